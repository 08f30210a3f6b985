"""The checker: each rule on a program made for it, each text, and random programs against a graph closure and random interleavings."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptoc.dialect.errors import PoisonError
from ptoc.machine.hazards import needs_barrier
from ptoc.simulator.check import check, check_without, spare_sites
from ptoc.simulator.execute import execute_adverse
from ptoc.simulator.memory import Memories
from ptoc.simulator.program import Core
from ptoc.simulator.replay import Replay
from ptoc.simulator.values import Running

from .build import AIC, AIV, AIV1, Build, gm, ub

# one core


def test_a_flag_orders_two_pipes():
    assert Build().load(0).sync("MTE2", "V").add(0, 1).sync("V", "MTE3").store(1).check().ok
    assert Build().load(0).add(0, 1).missing() == [("RAW", "k.py:1", "k.py:2")]


def test_the_text_of_a_missing_order():
    missing = Build().load(0).add(0, 1).check().missing[0]
    assert str(missing) == (
        "k.py:2: RAW on ub bytes 0 to 1023: 'tload' (k.py:1, MTE2 of aiv0.0) and 'tadd' (k.py:2, V of aiv0.0) are in no order (1 time): "
        "set_flag(MTE2 -> V) after 'tload' (k.py:1) and wait_flag before 'tadd' (k.py:2)"
    )


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [((0, 1), (1, 2), "RAW"), ((0, 1), (2, 1), "WAW"), ((0, 1), (2, 0), "WAR"), ((0, 0), (1, 2), None), ((0, 1), (0, 2), None)],
)
def test_hazards_of_one_pipe(first, second, kind):
    build = Build().add(*first).add(*second)
    assert build.missing() == ([(kind, "k.py:1", "k.py:2")] if kind else [])
    if kind:
        assert build.check().missing[0].advice == "pipe_barrier(PIPE_V) after 'tadd' (k.py:1), before 'tadd' (k.py:2)"
    assert Build().add(*first).barrier("V").add(*second).check().ok
    assert Build(arch="a5").add(*first).add(*second).check().ok


def test_a_pipe_without_barriers_orders_its_own_accesses_by_start():
    assert Build().load(0).work("MTE2", w=ub(0)).check().ok


def test_a_round_of_flags_is_as_good_as_a_barrier():
    assert Build().add(0, 1).sync("V", "S").add(1, 2).check().ok
    assert Build().add(0, 1).sync("V", "MTE2").sync("MTE2", "V").add(1, 2).check().ok
    assert Build().add(0, 1).set("V", "MTE2").add(1, 2).wait("V", "MTE2").missing() == [("RAW", "k.py:1", "k.py:3")]


def test_an_op_that_ends_with_a_barrier():
    assert Build().add(0, 1, drained=True).add(1, 2).check().ok


def test_order_is_transitive_through_a_third_pipe():
    assert Build().load(0).sync("MTE2", "V").sync("V", "MTE3").store(0).check().ok


def test_a_flag_before_the_producer_does_not_help():
    assert Build().set("MTE2", "V").load(0).wait("MTE2", "V").add(0, 1).missing() == [("RAW", "k.py:2", "k.py:4")]


def test_a_wait_after_the_consumer_does_not_help():
    assert Build().load(0).set("MTE2", "V").add(0, 1).wait("MTE2", "V").missing() == [("RAW", "k.py:1", "k.py:3")]


def test_a_wait_on_s_orders_everything_issued_later():
    assert Build().load(0).sync("MTE2", "S").add(0, 1).sync("V", "S", 1).store(1).check().ok


def test_scalar_work_is_posted_like_any_other():
    assert Build().work("S", w=ub(0)).add(0, 1).missing() == [("RAW", "k.py:1", "k.py:2")]
    assert Build().work("S", w=ub(0)).sync("S", "V").add(0, 1).check().ok
    assert Build().add(0, 1).work("S", r=ub(1)).missing() == [("RAW", "k.py:1", "k.py:2")]
    assert Build().work("S", w=ub(0)).barrier("ALL").add(0, 1).check().ok


def test_the_scalar_unit_orders_its_own_work():
    assert Build().work("S", w=ub(0)).work("S", r=ub(0), w=ub(1)).work("S", w=ub(0)).check().ok


def test_a_wait_of_s_proves_what_it_waited_for_and_not_what_s_did_before():
    assert Build().load(0).work("S", w=ub(1)).sync("MTE2", "S").work("V", r=ub(0)).check().ok
    assert Build().load(0).work("S", w=ub(1)).sync("MTE2", "S").work("V", r=ub(1)).missing() == [("RAW", "k.py:2", "k.py:5")]


def test_a_barrier_of_all_pipes_orders_the_core():
    assert Build().load(0).add(2, 3).barrier("ALL").add(0, 1).barrier("ALL").store(1).check().ok


def test_the_pair_is_told_in_program_order_whatever_runs_first():
    build = Build().wait("MTE3", "MTE2").load(0).add(0, 1).set("MTE3", "MTE2")  # the load is held until the end
    assert build.missing() == [("RAW", "k.py:2", "k.py:3")]
    build = Build().wait("MTE3", "V").add(0, 1).load(0).set("MTE3", "V")
    assert build.missing() == [("WAR", "k.py:2", "k.py:3")]


def test_overlap_is_exact_not_by_hulls():
    assert Build().work("MTE2", w=ub(0, 0, 32)).work("V", r=ub(0, 32, 32)).check().ok
    missing = Build().work("MTE2", w=ub(0, 0, 33)).work("V", r=ub(0, 32, 32)).check().missing
    assert [(m.low, m.high) for m in missing] == [(128, 132)]


def test_the_same_pair_is_reported_once_with_its_count():
    build = Build().load(0).work("V", r=ub(0)).load(0, line=1).work("V", r=ub(0), line=2)
    # the later read has both loads before it, but only the latest is compared; the later load has the earlier read before it
    assert [(m.first.location, m.second.location, m.kind, m.count) for m in build.check().missing] == [
        ("k.py:1", "k.py:2", "RAW", 2),
        ("k.py:2", "k.py:1", "WAR", 1),
    ]


# flags


def test_a_flag_set_twice():
    report = Build().load(0).set("MTE2", "V").load(1).set("MTE2", "V").wait("MTE2", "V").wait("MTE2", "V").check()
    assert report.misuse == (
        "k.py:4: flag MTE2 -> V id 0 of aiv0.0 is set while it may still be raised by the set at k.py:2: order its wait on V before this set "
        "(a flag V -> MTE2), or take another id",
    )


def test_a_flag_whose_wait_comes_back_may_be_set_again():
    assert Build().sync("MTE2", "V").sync("V", "MTE2").sync("MTE2", "V").check().ok
    assert (
        Build()
        .sync("MTE2", "V")
        .sync("V", "MTE2", 1)
        .set("MTE2", "V")
        .set("MTE2", "V", 2)
        .wait("MTE2", "V")
        .wait("MTE2", "V", 2)
        .check()
        .ok
    )
    assert Build().sync("MTE2", "V").barrier("ALL").sync("MTE2", "V").check().ok
    assert not Build().sync("MTE2", "V").barrier("V").sync("MTE2", "V").check().ok


def test_a_wait_by_s_clears_before_everything_later():
    assert Build().sync("V", "S").sync("V", "S").check().ok


def test_a_flag_left_raised():
    assert Build().load(0).set("MTE2", "V", 3).check().misuse == (
        "k.py:2: flag MTE2 -> V id 3 of aiv0.0 is left raised at the end: add wait_flag(MTE2 -> V, 3) after it, or drop this set",
    )


def test_a_wait_without_a_set():
    text = Build().wait("MTE2", "V", 2).add(0, 1).check().deadlock
    assert "k.py:1: aiv0.0 V, 'wait_flag' waits for flag MTE2 -> V id 2, but no set_flag is left that would raise it" in text


def test_a_deadlock_names_its_cycle():
    text = (
        Build()
        .wait("MTE2", "V")
        .set("V", "MTE2")
        .wait("V", "MTE2", 1)
        .set("MTE2", "V")
        .wait("V", "MTE2")
        .set("V", "MTE2", 1)
        .check()
        .deadlock
    )
    assert "aiv0.0 MTE2 -> aiv0.0 V -> aiv0.0 MTE2" in text
    assert "k.py:3" in text


def test_event_ids_in_range():
    assert Build().sync("MTE2", "V", 8).check().misuse[0] == "k.py:1: 'set_flag' uses event id 8; a pipe pair has 8 of them, 0 to 7"


# several cores


def test_signals_order_global_memory_within_a_block():
    def build(synced):
        b = Build((AIC, AIV)).work("FIX", "tstore", w=gm("w"))
        if synced:
            b.signal("FIX")
        b.on(AIV)
        if synced:
            b.wait_for()
        return b.work("MTE2", "tload", r=gm("w"))

    assert build(True).check().ok
    missing = build(False).check().missing
    assert missing[0].advice == "signal from FIX of aic0 after 'tstore' (k.py:1) and await on aiv0.0 before 'tload' (k.py:2)"


def test_an_aic_goes_on_when_both_aivs_have_signalled():
    def build(second):
        b = Build((AIC, AIV, AIV1)).wait_for().work("MTE2", r=gm("p")).work("MTE2", r=gm("q"))
        b.on(AIV).work("MTE3", w=gm("p")).signal("MTE3")
        b.on(AIV1).work("MTE3", w=gm("q"))
        return b.signal("MTE3") if second else b

    assert build(True).check().ok
    assert "aiv0.1 has no signal of it left" in build(False).check().deadlock


def test_on_a3_an_await_holds_the_whole_core_and_on_a5_its_pipe():
    def build(arch):
        b = Build((AIC, AIV), arch).work("FIX", w=gm("w")).signal("FIX").on(AIV).wait_for(pipe="MTE2")
        return b.work("MTE2", r=gm("w")).work("MTE3", w=gm("w"))

    assert build("a3").check().ok is False  # MTE2 reads and MTE3 writes in no order
    assert [m.first.core for m in build("a3").check().missing] == ["aiv0.0"]
    assert sorted(m.first.core for m in build("a5").check().missing) == ["aic0", "aiv0.0"]


def test_two_blocks_are_never_in_order():
    other = Core("aiv", 1)
    build = Build((AIV, other)).work("MTE3", w=gm("y")).on(other).work("MTE3", w=gm("y", 64))
    assert (
        build.check().missing[0].advice == "nothing orders two blocks within a kernel: give each its own bytes, or make the writes atomic"
    )
    assert (build.check().missing[0].low, build.check().missing[0].high) == (256, 1024)
    assert Build((AIV, other)).work("MTE3", w=gm("y")).on(other).work("MTE3", w=gm("y", 256)).check().ok


def test_cores_have_their_own_on_chip_memory():
    assert Build((AIV, AIV1)).work("V", w=ub(0)).on(AIV1).work("V", w=ub(0)).check().ok


def test_atomic_writes_do_not_conflict_with_one_another():
    build = Build((AIV, AIV1)).work("MTE3", w=gm("y"), atomic=True).on(AIV1).work("MTE3", w=gm("y"), atomic=True)
    assert build.check().ok
    build.work("MTE2", r=gm("y"))
    assert [(m.kind, m.first.core) for m in build.check().missing] == [("RAW", "aiv0.0"), ("RAW", "aiv0.1")]


def test_a_counter_may_reach_15():
    def build(number):
        b = Build((AIC, AIV))
        for k in range(number):
            b.signal("FIX", line=1 if k else None)
        b.on(AIV)
        for k in range(number):
            b.wait_for(line=2 if k else None)
        return b

    assert build(15).check().ok
    assert build(16).check().misuse == (
        "k.py:1: cross-core flag 0 of aiv0.0 may count past 15: this signal of aic0 does not wait until the one 15 before it was awaited; "
        "let the receiver signal back more often",
    )


def test_a_counter_that_is_answered_never_overflows():
    build = Build((AIC, AIV))
    for k in range(40):
        build.on(AIC).signal("FIX", 0, line=1 if k else None).on(AIV).wait_for(0, line=2 if k else None)
        build.signal("V", 1, line=3 if k else None).on(AIC).wait_for(1, line=4 if k else None)
    assert build.check().ok


def test_signals_that_nobody_awaits_are_a_legal_rest():
    assert Build((AIC, AIV)).signal("FIX").check().ok


def test_one_flag_from_two_pipes_in_no_order():
    report = Build((AIC, AIV)).signal("FIX").signal("M").on(AIV).wait_for().wait_for().check()
    assert report.misuse == (
        "k.py:2: cross-core flag 0 of aic0 is signalled from FIX (k.py:1) and M in no order: use one pipe, or two flags",
    )
    report = Build((AIC, AIV), "a5").signal("FIX").signal("FIX").on(AIV).wait_for(pipe="MTE2").wait_for(pipe="V").check()
    assert report.misuse == (
        "k.py:4: cross-core flag 0 of aiv0.0 is awaited on MTE2 (k.py:3) and V in no order: use one pipe, or two flags",
    )


def test_cross_core_flags_in_range():
    assert (
        "k.py:1: 'signal' uses cross-core flag 16; a core has 16 of them, 0 to 15"
        in Build((AIC, AIV)).signal("FIX", 16).on(AIV).wait_for(16).check().misuse
    )


# units


def loop(rounds=3):
    """Load, add, store over one buffer: unit 0 load to add, 1 back, 2 add to store, 3 back, 4 a barrier of no use."""
    b = Build()
    b.set("V", "MTE2", 1, 1, "prime").set("MTE3", "V", 3, 3, "prime")
    for k in range(rounds):
        at = iter(range(3, 99)) if k else itertools.repeat(None)
        b.command(b.site("wait", "wait_flag", "MTE2", peer="V", unit=1, line=next(at)), 1)
        b.load(0, line=next(at))
        b.command(b.site("set", "set_flag", "MTE2", peer="V", unit=0, line=next(at)), 0)
        b.command(b.site("wait", "wait_flag", "V", peer="MTE2", unit=0, line=next(at)), 0)
        b.command(b.site("wait", "wait_flag", "V", peer="MTE3", unit=3, line=next(at)), 3)
        b.add(0, 1, line=next(at))
        b.command(b.site("set", "set_flag", "V", peer="MTE2", unit=1, line=next(at)), 1)
        b.command(b.site("set", "set_flag", "V", peer="MTE3", unit=2, line=next(at)), 2)
        b.command(b.site("wait", "wait_flag", "MTE3", peer="V", unit=2, line=next(at)), 2)
        b.work("MTE3", "tstore", ub(1), gm("y"), line=next(at))
        b.command(b.site("set", "set_flag", "MTE3", peer="V", unit=3, line=next(at)), 3)
        b.command(b.site("barrier", "pipe_barrier", "MTE2", unit=4, line=next(at)))
    b.wait("V", "MTE2", 1, 1, "drain").wait("MTE3", "V", 3, 3, "drain").barrier("ALL", 5, "end")
    return b


def test_redundant_units():
    report = loop().check(redundancy=True)
    assert report.ok
    assert [(unit.unit, unit.what) for unit in report.redundant] == [(4, "pipe_barrier(MTE2)")]
    assert report.idle == ()
    for unit in range(4):
        assert not check_without(loop().program, unit, needs_barrier).ok
    assert check_without(loop().program, 4, needs_barrier).ok


def test_a_back_flag_that_this_run_does_not_need_is_redundant_for_it():
    assert [unit.unit for unit in loop(1).check(redundancy=True).redundant] == [1, 3, 4]


def test_a_unit_that_only_primes_and_drains_is_idle():
    build = loop(0)
    build.site("wait", "wait_flag", "MTE2", peer="V", unit=1)
    build.site("set", "set_flag", "MTE2", peer="V", unit=0)
    report = build.check(redundancy=True)
    assert report.redundant == ()
    assert [unit.unit for unit in report.idle] == [0, 1]


def test_what_protects_another_flag_from_being_set_twice_is_not_redundant():
    build = Build().sync("MTE2", "V", 0, 0).sync("V", "MTE2", 0, 1).sync("MTE2", "V", 0, 2)
    assert [unit.unit for unit in build.check(redundancy=True).redundant] == [0, 2]


def test_sets_of_sites_are_judged_in_another_run_of_the_same_text():
    program = loop().program
    unit = [frozenset(site.index for site in program.sites if site.unit == n) for n in range(5)]
    assert spare_sites(program, needs_barrier, unit) == [False, False, False, False, True]
    assert spare_sites(loop(1).program, needs_barrier, unit) == [False, True, False, True, True]
    assert spare_sites(program, needs_barrier, [unit[4] | unit[0], unit[4] | frozenset()]) == [False, True]
    assert spare_sites(program, needs_barrier, []) == []


def test_sites_that_leave_their_partners_behind_are_judged_by_a_check_of_their_own():
    build = Build().sync("MTE2", "V", 0, 0).sync("V", "MTE2", 1, 1)
    assert spare_sites(build.program, needs_barrier, [frozenset({0}), frozenset({0, 1}), frozenset({3})]) == [False, True, False]


def test_nothing_is_spare_in_a_program_that_is_not_in_order_anyhow():
    build = Build().load(0).sync("MTE2", "S", 0, 0).barrier("MTE2", 1)
    build.work("V", r=ub(0)).load(0)
    assert not build.check().ok
    assert spare_sites(build.program, needs_barrier, [frozenset({3})]) == [False]


def test_redundancy_is_not_judged_where_orders_are_missing_or_nobody_asked():
    report = Build().load(0).sync("MTE2", "V", 0, 0).add(2, 1).store(0).check(redundancy=True)
    assert (report.redundant, report.idle) == (None, None)
    assert loop().check().redundant is None


def test_counts_and_json():
    report = loop().check(redundancy=True)
    assert (report.flag_units, report.flag_sites, report.barrier_units, report.barrier_sites) == (4, 12, 2, 2)
    assert report.event_ids == {"MTE2 -> V": 1, "MTE3 -> V": 1, "V -> MTE2": 1, "V -> MTE3": 1}
    data = json.loads(json.dumps(report.to_json()))
    assert data["ok"] is True
    assert data["redundant"][0]["what"] == "pipe_barrier(MTE2)"
    assert json.loads(json.dumps(Build().load(0).add(0, 1).check().to_json()))["missing"][0]["first"]["op"] == "tload"


# against brute force

PIPES = ("S", "MTE2", "V", "MTE3")
steps = st.one_of(
    st.tuples(st.just("work"), st.sampled_from(PIPES), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("sync"), st.sampled_from(PIPES), st.sampled_from(PIPES), st.integers(0, 1)),
    st.tuples(st.just("set"), st.sampled_from(PIPES), st.sampled_from(PIPES), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.sampled_from(PIPES), st.sampled_from(PIPES), st.integers(0, 1)),
    st.tuples(st.just("barrier"), st.sampled_from((*PIPES, "ALL")), st.just(0), st.just(0)),
    st.tuples(st.just("signal"), st.sampled_from(PIPES), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("await"), st.sampled_from(PIPES), st.integers(0, 1), st.just(0)),
)
cores = st.lists(steps, max_size=10)


def random_program(arch, left, right):
    """A program of two cores; waits that no raise could ever satisfy are left out, so that most programs end."""
    build = Build((AIC, AIV), arch)
    raises = [Counter(step[1:] for step in plan if step[0] in ("set", "signal")) for plan in (left, right)]
    signals = [Counter(flag for kind, _, flag, _ in plan if kind == "signal") for plan in (right, left)]
    for core, plan, sets, incoming in zip((AIC, AIV), (left, right), raises, signals):
        build.on(core)
        for kind, a, b, c in plan:
            if kind == "work":
                shared = b == 2
                build.work(a, r=gm("w") if shared else ub(b), w=ub(c))
                if c == 2:
                    build.work(a, w=gm("w"))
            elif kind == "sync" and a != b:
                build.sync(a, b, c)
            elif kind == "set" and a != b:
                build.set(a, b, c)
            elif kind == "wait" and a != b and sets[a, b, c]:
                sets[a, b, c] -= 1
                build.wait(a, b, c)
            elif kind == "barrier":
                build.barrier(a)
            elif kind == "signal":
                build.signal(a, b)
            elif kind == "await" and incoming[b]:
                incoming[b] -= 1
                build.wait_for(b, pipe=a)
    return build.program


def graph(program):
    """Happens-before as a closed graph over ("s" or "c", stream, index); None where something waits for ever."""
    edges, pairs = set(), {}
    for n, stream in enumerate(program.streams):
        commands = stream.commands
        queue = ["S" if c.site.pipe == "ALL" or (c.site.kind == "await" and program.arch == "a3") else c.site.pipe for c in commands]
        for j, command in enumerate(commands):
            edges.add((("s", n, j), ("c", n, j)))
            for i in range(j):
                kind = commands[i].site.kind
                if queue[i] == "S":
                    edges.add((("c" if kind in ("wait", "await", "barrier") else "s", n, i), ("s", n, j)))
                if queue[i] == queue[j]:
                    edges.add((("c" if kind in ("wait", "await", "barrier") else "s", n, i), ("s", n, j)))
                    if command.site.kind in ("set", "signal", "barrier"):
                        edges.add((("c", n, i), ("c", n, j)))
                if command.site.pipe == "ALL":
                    edges.add((("c", n, i), ("c", n, j)))
            key = {"set": (n, command.site.pipe, command.site.peer), "wait": (n, command.site.peer, command.site.pipe)}.get(
                command.site.kind
            )
            if command.site.kind in ("signal", "await"):
                key = ("x", n if command.site.kind == "signal" else 1 - n)
            if key:
                up, down = pairs.setdefault((*key, command.flag), ([], []))
                (up if command.site.kind in ("set", "signal") else down).append((n, j))
    for up, down in pairs.values():
        if len(down) > len(up):
            return None, pairs
        edges.update((("c", *one), ("c", *two)) for one, two in zip(up, down))
    after = {}
    for one, two in edges:
        after.setdefault(one, set()).add(two)
    closed = {}

    def reach(node):
        seen, todo = set(), [node]
        while todo:
            for successor in after.get(todo.pop(), ()):
                if successor not in seen:
                    seen.add(successor)
                    todo.append(successor)
        return seen

    for n, stream in enumerate(program.streams):
        for j in range(len(stream.commands)):
            for end in "sc":
                closed[end, n, j] = reach((end, n, j))
                if (end, n, j) in closed[end, n, j]:
                    return None, pairs
    return closed, pairs


def oracle(program):
    """(deadlock, unordered pairs, flags may be misused) from the closure."""
    closed, pairs = graph(program)
    if closed is None:
        return True, set(), False
    places = [(n, j) for n, stream in enumerate(program.streams) for j in range(len(stream.commands))]
    unordered = set()
    for one, two in itertools.permutations(places, 2):
        first, second = (program.streams[n].commands[j] for n, j in (one, two))
        if one >= two or first.site.kind != "work" or second.site.kind != "work":
            continue
        hazards = [
            kind
            for kind, mine, yours in (
                ("RAW", first.writes, second.reads),
                ("WAR", first.reads, second.writes),
                ("WAW", first.writes, second.writes),
            )
            for a in first.refs(mine)
            for b in second.refs(yours)
            if a == b and (one[0] == two[0] or a.memory == "gm:w")
        ]
        same_queue = one[0] == two[0] and first.site.pipe == second.site.pipe
        if same_queue and not any(needs_barrier(program.arch, first.site.pipe, kind) for kind in hazards):
            continue
        if hazards and ("s", *two) not in closed[("c", *one)] and ("s", *one) not in closed[("c", *two)]:
            unordered.add((one, two))
    misused = False
    for key, (up, down) in pairs.items():
        cross = key[0] == "x"
        misused |= not cross and len(up) != len(down)
        misused |= not cross and any(("c", *again) not in closed[("c", *taken)] for taken, again in zip(down, up[1:]))
        for events in (up, down) if cross else ():
            misused |= any(
                ("c", *b) not in closed[("c", *a)]
                and program.streams[a[0]].commands[a[1]].site.pipe != program.streams[b[0]].commands[b[1]].site.pipe
                for a, b in itertools.pairwise(events)
            )
    return False, unordered, misused


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(("a3", "a5")), cores, cores)
def test_the_verdict_is_that_of_the_closed_graph(arch, left, right):
    program = random_program(arch, left, right)
    report = check(program, needs_barrier)
    deadlock, unordered, misused = oracle(program)
    assert (report.deadlock is not None) == deadlock
    if deadlock or misused:
        assert deadlock or report.misuse
        return
    assert not report.misuse
    place = {str(c.site.location): (n, j) for n, s in enumerate(program.streams) for j, c in enumerate(s.commands)}
    found = {(place[m.first.location], place[m.second.location]) for m in report.missing}
    assert {tuple(sorted(pair)) for pair in found} <= unordered
    assert bool(found) == bool(unordered)


def test_scalar_work_is_late_in_the_adverse_order():
    def run(build):
        for site in build.program.sites:
            site.attributes["own"] = site.index
        memories = filled(build.program)
        execute_adverse(build.program, memories, {"work": affine}, needs_barrier)
        return memories.read(AIV, ub(1), None)[0, 0]

    assert run(Build().work("S", w=ub(0)).sync("S", "V").work("V", r=ub(0), w=ub(1))) == 3
    assert run(Build().work("S", w=ub(0)).work("S", r=ub(0), w=ub(1))) == 1
    with pytest.raises(PoisonError, match="while a write to it is in flight"):
        run(Build().work("S", w=ub(0)).work("V", r=ub(0), w=ub(1)))


def affine(arrays, attributes):
    """Three times the source plus a number of its own; every command's result differs."""
    source = arrays.get("src", np.zeros((4, 64), np.float32))
    return {"dst": np.float32(3) * source + np.float32(attributes["own"])}


class Eager(Replay):
    """Every command runs to its end when it starts."""

    def __init__(self, program, memories):
        super().__init__(program)
        self.memories = memories

    def work(self, queue, index, command):
        Running(self.program.streams[queue.stream].core, command, self.memories, {"work": affine}).commit()


def filled(program):
    memories = Memories({"ub": 4096}, {"gm:w": 1024}, {"gm:w": np.arange(256, dtype=np.float32)})
    for stream in program.streams:
        for slot in range(3):
            memories.write(stream.core, ub(slot), np.full((4, 64), slot, np.float32), None)
    return memories


def contents(program, memories):
    return [memories.array("gm:w", np.float32, (256,)).tobytes()] + [
        memories.read(stream.core, ub(slot), None).tobytes() for stream in program.streams for slot in range(3)
    ]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(("a3", "a5")), cores, cores)
def test_a_program_in_order_has_one_result_in_all_orders(arch, left, right):
    program = random_program(arch, left, right)
    for site in program.sites:
        site.attributes["own"] = site.index
    if not check(program, needs_barrier).ok:
        return
    eager, adverse = filled(program), filled(program)
    assert Eager(program, eager).run()
    execute_adverse(program, adverse, {"work": affine}, needs_barrier)
    assert contents(program, eager) == contents(program, adverse)
