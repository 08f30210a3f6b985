"""What to prime and to drain where a loop carries flags: what is told, and that doing it helps."""

import pytest

from ptoc.machine.hazards import needs_barrier
from ptoc.simulator.check import check

from .build import AIC, AIV, AIV1, Build, ub
from .test_check_loops import Lines, ring

LOOP = ("outer.py:5", "k.py:7")


def protocol(primed=False, drained=False, ids=2, rounds=6, back=True, core=AIV):
    """The ring of load, add and store, its flags from V to MTE2 carried around the loop."""
    return ring(rounds, ids, before=primed, after=drained, core=core, build=Build((core,)), back=back)


def loops_of(program, lines=LOOP):
    """As if all but primes and drains stood in a loop."""
    counts = {site: sum(command.site is site for stream in program.streams for command in stream.commands) for site in program.sites}
    inside = {site.index: lines for site in program.sites if counts[site] > 2}
    return lambda: {site.index: inside.get(site.index, ()) for site in program.sites}


def test_a_carried_flag_that_nobody_primed_or_drained():
    program = protocol().program
    report = check(program, needs_barrier, loops=loops_of(program))
    assert report.deadlock is not None
    assert report.advice == (
        "prime before the loop at outer.py:5, on aiv: set_flag(V -> MTE2, 0), set_flag(V -> MTE2, 1)",
        "drain after the loop at outer.py:5, on aiv: wait_flag(V -> MTE2, 0), wait_flag(V -> MTE2, 1)",
        "with these flags every order is there",
    )
    assert check(protocol(primed=True, drained=True).program, needs_barrier).ok


def test_a_carried_flag_that_is_primed_and_not_drained():
    program = protocol(primed=True).program
    report = check(program, needs_barrier, loops=loops_of(program))
    assert report.deadlock is None
    assert report.advice == (
        "drain after the loop at outer.py:5, on aiv: wait_flag(V -> MTE2, 0), wait_flag(V -> MTE2, 1)",
        "with these flags every order is there",
    )


def test_a_carried_flag_that_is_drained_and_not_primed():
    program = protocol(drained=True).program
    assert check(program, needs_barrier, loops=loops_of(program)).advice[0].startswith("prime before the loop at outer.py:5, on aiv: set_flag")
    assert check(program, needs_barrier, loops=loops_of(program)).advice[1:] == ("with these flags every order is there",)


def test_without_knowledge_of_loops_the_lines_of_the_flags_are_told():
    assert check(protocol(ids=1).program, needs_barrier).advice[:2] == (
        "prime before k.py:1, on aiv: set_flag(V -> MTE2, 0)",
        "drain after k.py:6, on aiv: wait_flag(V -> MTE2, 0)",
    )


def test_it_is_told_what_remains():
    build = protocol(ids=1)
    build.work("MTE3", "tstore", ub(6), ub(7)).work("V", "tadd", ub(7), ub(6))
    program = build.program
    assert check(program, needs_barrier, loops=loops_of(program)).advice[-1] == "with these flags there remain missing orders: 1"
    build = protocol(ids=1).wait("MTE3", "V", 7)
    assert check(build.program, needs_barrier, loops=loops_of(build.program)).advice[-1] == (
        "with these flags something still waits for ever: deadlock in 'k': 1 queue on 1 core waits for ever; there is no cycle: "
        "what they wait for is never raised"
    )


@pytest.mark.parametrize(
    "build",
    [
        Build().wait("MTE2", "V").load(0),  # a wait alone
        Build().wait("MTE2", "V").set("V", "MTE2").wait("V", "MTE2").set("MTE2", "V"),  # no loop
        Build().load(0).set("MTE2", "V"),  # a set alone
    ],
)
def test_flags_that_no_loop_carries_get_no_advice(build):
    report = check(build.program, needs_barrier)
    assert not report.ok
    assert report.advice == ()


def test_one_id_that_would_have_to_be_up_twice_gets_no_advice():
    b = Build()
    at = Lines(b)
    for _ in range(4):
        b.wait("V", "MTE2", line=at("one")).wait("V", "MTE2", line=at("two"))
        b.set("MTE2", "V", 1, line=at("full")).wait("MTE2", "V", 1, line=at("taken"))
        b.set("V", "MTE2", line=at("set")).set("V", "MTE2", line=at("again"))
    report = check(b.program, needs_barrier)
    assert report.deadlock is not None
    assert report.advice == ()


def test_alike_cores_are_told_once_and_different_ones_apart():
    b = Build((AIC, AIV, AIV1))
    at = Lines(b)
    for core in (AIC, AIV, AIV1):
        b.on(core)
        peer = "MTE1" if core is AIC else "V"
        for _ in range(3):
            b.wait(peer, "MTE2", line=at((core.kind, "free"))).set("MTE2", peer, line=at((core.kind, "set")))
            b.wait("MTE2", peer, line=at((core.kind, "wait"))).set(peer, "MTE2", line=at((core.kind, "freed")))
    advice = check(b.program, needs_barrier).advice
    assert [line.partition(":")[0] for line in advice] == [
        "prime before k.py", "drain after k.py", "prime before k.py", "drain after k.py", "with these flags every order is there",
    ]  # fmt: skip
    assert "on aic: set_flag(MTE1 -> MTE2, 0)" in advice[0]
    assert "on aiv: set_flag(V -> MTE2, 0)" in advice[2]


def test_nothing_is_advised_where_all_is_well():
    assert check(protocol(primed=True, drained=True).program, needs_barrier).advice == ()
