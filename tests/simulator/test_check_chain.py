"""The longest chains: what counts, where they turn, and that no longer one exists."""

import functools

from hypothesis import given, settings
from hypothesis import strategies as st

from ptoc.machine.hazards import needs_barrier
from ptoc.simulator.check import check
from ptoc.simulator.check_chain import longest_chain
from ptoc.simulator.check_report import ChainLink

from .build import AIC, AIV, Build, gm
from .test_check import cores, graph, random_program
from .test_check_loops import ring


def lines(chain):
    return [(link.what, link.source_location, link.target_location) for link in chain.turn]


def test_each_flag_between_two_works_counts_once():
    chain = longest_chain(Build().load(0).sync("MTE2", "V").add(0, 1).sync("V", "MTE3").store(1).program)
    assert (chain.syncs, chain.turns) == (2, 1)
    assert chain.turn[0] == ChainLink("flag MTE2 -> V", "MTE2", "k.py:1", "V", "k.py:4")
    assert lines(chain)[1] == ("flag V -> MTE3", "k.py:4", "k.py:7")


def test_priming_draining_and_the_end_count_nothing():
    program = Build().set("V", "MTE2").wait("V", "MTE2").load(0).sync("MTE2", "V").add(0, 1).sync("V", "S").barrier("ALL").program
    assert longest_chain(program).syncs == 1
    assert longest_chain(Build().sync("MTE2", "V").program).syncs == 0


def test_a_flag_that_comes_too_early_adds_nothing_to_a_longer_chain():
    build = Build().add(0, 1).barrier("V").add(1, 2).barrier("V").load(0).sync("MTE2", "V").add(2, 3)
    assert [link.what for link in longest_chain(build.program).turn] == ["barrier V", "barrier V"]


def test_what_the_scalar_unit_waited_for_counts_for_all_that_it_issues_later():
    chain = longest_chain(Build().load(0).sync("MTE2", "S").add(0, 1).program)
    assert lines(chain) == [("flag MTE2 -> S", "k.py:1", "k.py:4")]


def test_a_loop_is_told_as_a_turn():
    chain = longest_chain(ring(40, 1).program)
    assert (chain.syncs, chain.turns) == (80, 39)
    assert [(link.source, link.target) for link in chain.turn] == [("V", "MTE3"), ("MTE3", "V")]


def test_chains_go_from_core_to_core():
    chain = longest_chain(Build((AIC, AIV)).work("FIX", w=gm("w")).signal("FIX").on(AIV).wait_for().work("MTE2", r=gm("w")).program)
    assert lines(chain) == [("signal", "k.py:1", "k.py:4")]
    named = Build((AIC, AIV)).work("FIX", w=gm("w"))
    named.command(named.site("signal", "tpush", "FIX", channel="qk"), 0)
    named.on(AIV).command(named.site("await", "tpop", "S", channel="qk"), 0).work("MTE2", r=gm("w"))
    assert longest_chain(named.program).turn[0].what == "pipe qk"


def test_a_chain_of_barriers_does_not_hide_the_one_across_pipes():
    build = Build()
    for k in range(6):
        build.add(0, 1, line=1 if k else None).command(build.site("barrier", "pipe_barrier", "V", line=2 if k else None))
    build.add(0, 2).sync("V", "MTE3").store(2)
    chains = check(build.program, needs_barrier, chains=True).chains
    assert [chain.syncs for chain in chains] == [7, 1]
    build = Build().add(0, 1).barrier("V").add(1, 2).load(5).sync("MTE2", "V").add(5, 3)
    assert [c.syncs for c in check(build.program, needs_barrier, chains=True).chains] == [1, 1]
    build = Build().load(0).sync("MTE2", "V").add(0, 1).sync("V", "MTE3").store(1)
    assert [c.syncs for c in check(build.program, needs_barrier, chains=True).chains] == [2]


def test_nobody_asked_or_something_is_wrong():
    assert check(ring(3).program, needs_barrier).chains == ()
    assert check(Build().load(0).add(0, 1).program, needs_barrier, chains=True).chains == ()
    assert check(Build().load(0).program, needs_barrier, chains=True).chains == ()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(("a3", "a5")), cores, cores)
def test_no_longer_chain_exists(arch, left, right):
    """Against the graph: the longest path from work to work, one for each flag, signal or barrier on it."""
    program = random_program(arch, left, right)
    closed, pairs = graph(program)
    if closed is not None:
        assert longest_chain(program).syncs == longest_path(program, pairs)


def longest_path(program, pairs):
    """The longest path, found from every work backwards."""
    taken = {down: up for ups, downs in pairs.values() for up, down in zip(ups, downs)}
    queues = [
        ["S" if c.site.pipe == "ALL" or (c.site.kind == "await" and program.arch == "a3") else c.site.pipe for c in stream.commands]
        for stream in program.streams
    ]

    @functools.cache
    def behind(n, j):
        """Syncs on the longest path to command j and through it, -1 where there is no work on any."""
        site = program.streams[n].commands[j].site
        earlier = [i for i in range(j) if queues[n][i] == queues[n][j]]
        passed = [i for i in range(j) if queues[n][i] == "S" and program.streams[n].commands[i].site.kind in ("wait", "await", "barrier")]
        found = [behind(n, i) for i in (*earlier[-1:], *passed[-1:])]
        if (n, j) in taken:
            found.append(one_more(taken[n, j]))
        if site.kind == "barrier":
            found += [one_more((n, i)) for i in (range(j) if site.pipe == "ALL" else earlier) if works((n, i))]
        return max(found, default=-1)

    def works(place):
        """Is there work in its queue, up to it?"""
        n, j = place
        return any(queues[n][i] == queues[n][j] and program.streams[n].commands[i].site.kind == "work" for i in range(j + 1))

    def one_more(place):
        length = max(behind(*place), 0 if works(place) else -1)
        return length + 1 if length >= 0 else -1

    places = [(n, j) for n, stream in enumerate(program.streams) for j, command in enumerate(stream.commands) if command.site.kind == "work"]
    return max((behind(*place) for place in places), default=0) if any(behind(*place) > 0 for place in places) else 0
