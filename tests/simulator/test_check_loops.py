"""Loops that are skipped, blocks that are checked once and deletions that are judged together: the same report as walking everything."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptoc.machine.hazards import needs_barrier
from ptoc.simulator import check_loops
from ptoc.simulator.check import check, needs_of
from ptoc.simulator.check_blocks import groups_of
from ptoc.simulator.check_clocks import Clocks
from ptoc.simulator.check_pattern import Pattern, stretches_of
from ptoc.simulator.check_regions import Regions
from ptoc.simulator.program import Core
from ptoc.simulator.units import assign_units

from .build import AIC, AIV, AIV1, Build, gm, ub

PIPES = ("MTE2", "V", "MTE3")


@pytest.fixture(autouse=True)
def _look_everywhere(monkeypatch):
    monkeypatch.setattr(check_loops, "SNAPSHOT_COMMANDS", 1)


def walk(program, skipping=True):
    regions = Regions(program)
    clocks = Clocks(program, regions, needs_of(program, needs_barrier), pattern=Pattern(program, regions) if skipping else None)
    assert clocks.run()
    clocks.check_end()
    return clocks


class Lines:
    """Gives each place of a loop's body one site, however often it runs."""

    def __init__(self, build):
        self.build, self.known = build, {}

    def __call__(self, key):
        """The number of the line for Build's `line`, None where it is to be made."""
        line = self.known.get(key)
        self.known.setdefault(key, len(self.build.program.sites) + 1)
        return line


def ring(rounds, slots=2, before=True, after=True, back=True, in_place=False, core=AIV, build=None, wrong_at=-1):
    """Load, add, store over `slots` slots, each with its own event ids."""
    b = build or Build()
    b.on(core)
    at = Lines(b)
    for k in range(slots) if before and back else ():
        b.set("V", "MTE2", k, line=at(("prime", core)))
    for i in range(rounds):
        k = i % slots
        place = gm("y", 256 * i + 100000 * core.block)
        if back:
            b.wait("V", "MTE2", k, line=at("free"))
        b.work("MTE2", "tload", place if in_place else gm("x", 256 * i), ub(k if i != wrong_at else 4), line=at("load"))
        b.set("MTE2", "V", k, line=at("full")).wait("MTE2", "V", k, line=at("taken"))
        b.work("V", "tadd", ub(k), ub(k + 4), line=at("add"))
        if back:
            b.set("V", "MTE2", k, line=at("freed"))
        b.set("V", "MTE3", k, line=at("done")).wait("V", "MTE3", k, line=at("stored"))
        b.work("MTE3", "tstore", ub(k + 4), place, line=at("store"))
        b.set("MTE3", "V", k, line=at("again")).wait("MTE3", "V", k, line=at("go"))
    for k in range(slots) if after and back else ():
        b.wait("V", "MTE2", k, line=at(("drain", core)))
    return b


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("in_place", [False, True])
def test_a_ring_is_skipped_and_found_in_order(slots, in_place):
    clocks = walk(ring(200, slots, in_place=in_place).program)
    assert (clocks.missing, clocks.misuse) == ({}, {})
    assert clocks.skipper.skipped >= 180 // slots
    assert clocks.next == [len(ring(200, slots).program.streams[0].commands)]


def test_missing_orders_are_counted_through_what_is_skipped():
    program = ring(500, back=False).program
    skipping, plain = walk(program), walk(program, skipping=False)
    assert skipping.skipper.skipped > 200
    assert skipping.missing == plain.missing
    assert max(count for _, count in plain.missing.values()) > 400


def test_a_fault_late_in_a_loop_is_not_skipped():
    program = ring(301, wrong_at=277).program
    skipping, plain = walk(program), walk(program, skipping=False)
    assert skipping.missing == plain.missing != {}
    assert skipping.skipper.skipped > 100


def test_an_outer_loop_is_skipped_where_the_inner_one_is_short():
    b = Build()
    at = Lines(b)
    for outer in range(60):
        for inner in range(3):
            b.work("MTE2", "tload", gm("x", 0), ub(inner), line=at("load")).set("MTE2", "V", line=at("set")).wait("MTE2", "V", line=at("wait"))
            b.work("V", "tadd", ub(inner), ub(inner + 4), line=at("add")).set("V", "MTE2", 1, line=at("back")).wait("V", "MTE2", 1, line=at("backed"))
        b.barrier("V") if not outer else b.command(b.program.sites[6])
    clocks = walk(b.program)
    assert clocks.skipper.skipped > 40
    assert clocks.missing == walk(b.program, skipping=False).missing


def handshake(rounds, slots=4, arch="a3", awaits_on="S", late=-1):
    """An aic fills slots of a ring in global memory, two aivs empty them and say so."""
    b = Build((AIC, AIV, AIV1), arch)
    at = Lines(b)
    for i in range(rounds):
        b.on(AIC)
        if i >= slots:
            b.wait_for(1, pipe=awaits_on, line=at("slot free"))
        b.work("FIX", "tstore", None, gm("w", 256 * (i % slots)), line=at("fill")).signal("FIX", 0, line=at("push"))
        for core in (AIV, AIV1):
            b.on(core).wait_for(0, pipe=awaits_on if awaits_on == "S" else "MTE2", line=at((core, "pop")))
            b.work("MTE2", "tload", gm("w", 256 * (i % slots)), ub(i % 3), line=at((core, "load"))).set("MTE2", "V", line=at((core, "set")))
            b.wait("MTE2", "V", line=at((core, "wait")))
            if i != late:
                b.signal("MTE2", 1, line=at((core, "free")))
            b.work("V", "tadd", ub(i % 3), ub(3 + i % 3), line=at((core, "add"))).set("V", "MTE2", line=at((core, "back")))
            b.wait("V", "MTE2", line=at((core, "backed")))
            if i == late:
                b.signal("MTE2", 1, line=at((core, "free")))
    return b


@pytest.mark.parametrize(("arch", "pipe"), [("a3", "S"), ("a5", "FIX")])
def test_cores_that_hand_slots_to_each_other_are_skipped(arch, pipe):
    program = handshake(400, arch=arch, awaits_on=pipe).program
    clocks = walk(program)
    assert clocks.skipper.skipped * 6 > 300
    assert (clocks.missing, clocks.misuse) == ({}, {})


def test_a_stream_that_does_not_wait_where_it_did_before_is_not_skipped_to_there():
    program = handshake(10, 1, late=0).program
    commands = program.streams[2].commands
    awaits = [n for n, command in enumerate(commands) if command.site.kind == "await"]
    del commands[awaits[-2]]
    assign_units(program)
    assert check(program, needs_barrier) == check(program, needs_barrier, shortcuts=False)


def test_a_deadlock_behind_a_skipped_loop_is_told_alike():
    b = handshake(300)
    b.on(AIV).wait("V", "MTE2", 5)
    assert check(b.program, needs_barrier) == check(b.program, needs_barrier, shortcuts=False)
    assert "no set_flag is left" in check(b.program, needs_barrier).deadlock


def test_periods_are_found_in_the_streams():
    stream = ring(50, 2).program.streams[0]
    codes = np.array([hash((c.site.index, c.flag)) for c in stream.commands])
    (stretch,) = stretches_of(stream, codes)
    assert stretch.period == 22
    assert (stretch.end - stretch.start) // 22 == 24


def test_nothing_repeats_in_a_straight_program():
    b = Build()
    for _ in range(200):
        b.load(0)
    assert stretches_of(b.program.streams[0], np.arange(200)) == []


# blocks


def test_blocks_alike_but_for_global_memory_are_one_group():
    b = Build([Core("aiv", n) for n in range(4)])
    at = {}
    for n in range(4):
        build_lines = at.setdefault("lines", Lines(b))
        b.on(Core("aiv", n)).work("MTE2", "tload", gm("x"), ub(0), line=build_lines("load")).set("MTE2", "MTE3", line=build_lines("set"))
        b.wait("MTE2", "MTE3", line=build_lines("wait")).work("MTE3", "tstore", ub(0), gm("y", 256 * n), line=build_lines("store"))
    assert [len(group.blocks) for group in groups_of(b.program)] == [4]
    assert [len(group.blocks) for group in groups_of(b.program, alone=True)] == [1, 1, 1, 1]
    assert check(b.program, needs_barrier, redundancy=True) == check(b.program, needs_barrier, redundancy=True, shortcuts=False)


def test_blocks_whose_global_regions_overlap_otherwise_are_not_alike():
    b = Build([Core("aiv", n) for n in range(2)])
    lines = Lines(b)
    for n, offset in enumerate((256, 100)):
        b.on(Core("aiv", n)).work("MTE3", "tstore", ub(0), gm("y", 1000 * n), line=lines("one"))
        b.work("MTE2", "tload", gm("y", 1000 * n + offset), ub(1), line=lines("two"))
    assert [len(group.blocks) for group in groups_of(b.program)] == [1, 1]
    report = check(b.program, needs_barrier)
    assert [(m.kind, m.first.core) for m in report.missing] == [("RAW", "aiv1.0")]


def test_blocks_that_meet_in_global_memory_are_told_with_their_number():
    b = Build([Core("aiv", n) for n in range(3)])
    lines = Lines(b)
    for n in range(3):
        for k in range(2):
            b.on(Core("aiv", n)).work("MTE3", "tstore", ub(0), gm("y", 256 * (n + k)), line=lines("store"))
    report = check(b.program, needs_barrier)
    assert [(m.kind, m.first.core, m.second.core, m.count) for m in report.missing] == [("WAW", "aiv0.0", "aiv1.0", 2)]
    assert report == check(b.program, needs_barrier, shortcuts=False)


def test_a_fault_in_alike_blocks_counts_in_each_of_them():
    b = Build([Core("aiv", n) for n in range(3)])
    lines = Lines(b)
    for n in range(3):
        b.on(Core("aiv", n)).work("MTE2", w=ub(0), line=lines("load")).work("V", r=ub(0), line=lines("add"))
    assert [(m.first.core, m.count) for m in check(b.program, needs_barrier).missing] == [("aiv0.0", 3)]


def test_blocks_that_wait_for_ever_are_counted():
    b = Build([Core("aiv", n) for n in range(3)])
    lines = Lines(b)
    for n in range(3):
        b.on(Core("aiv", n)).wait("MTE2", "V", line=lines("wait"))
    report = check(b.program, needs_barrier)
    assert report.deadlock.endswith("\n  and so do 2 more blocks")
    assert report == check(b.program, needs_barrier, shortcuts=False)


# random loops

part = st.one_of(
    st.tuples(st.just("work"), st.sampled_from((*PIPES, "S")), st.integers(1, 4), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.just("global"), st.sampled_from(("MTE2", "MTE3")), st.sampled_from((0, 1, 2, 3)), st.booleans(), st.booleans()),
    st.tuples(st.just("sync"), st.sampled_from((*PIPES, "S")), st.sampled_from((*PIPES, "S")), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("carried"), st.sampled_from(PIPES), st.sampled_from(PIPES), st.integers(1, 2), st.integers(0, 3)),
    st.tuples(st.just("barrier"), st.sampled_from((*PIPES, "ALL")), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("signal"), st.sampled_from(PIPES), st.integers(1, 3), st.just(0), st.just(0)),
    st.tuples(st.just("inner"), st.sampled_from(PIPES), st.integers(2, 5), st.integers(1, 2), st.integers(0, 1)),
)
bodies = st.lists(part, min_size=1, max_size=6)


class RandomLoop:
    """A loop of random parts on an aic and one or two aivs of each block; what they exchange is awaited where it is due."""

    def __init__(self, arch, left, right, rounds, blocks, odd):
        self.cores = [core for n in range(blocks) for core in (Core("aic", n), Core("aiv", n))]
        self.build, self.odd = Build(self.cores, arch), odd
        self.at = Lines(self.build)
        for core in self.cores:
            mine, other = (left, right) if core.kind == "aic" else (right, left)
            self.loop(core, mine, other, rounds)
        assign_units(self.build.program)
        self.program = self.build.program

    def loop(self, core, mine, other, rounds):
        b = self.build.on(core)
        carried = [(n, part) for n, part in enumerate(mine) if part[0] == "carried" and part[1] != part[2]]
        for n, (_, pipe, peer, ids, flaws) in carried:
            for k in range(ids) if flaws != 1 else ():
                b.set(pipe, peer, 4 + n % 2 * 2 + k, line=self.at((core.kind, n, "prime")))
        for i in range(rounds):
            for n, (_, pipe, peer, ids, _) in carried:
                b.wait(pipe, peer, 4 + n % 2 * 2 + i % ids, line=self.at((core.kind, n, "wait")))
            for n, one in enumerate(mine):
                self.part(core, (core.kind, n), i, one)
            for n, (kind, pipe, every, *_) in enumerate(other):
                if kind == "signal" and i % every == 0:
                    b.wait_for(n, pipe=pipe, line=self.at((core.kind, n, "await")))
            for n, (_, pipe, peer, ids, _) in carried:
                b.set(pipe, peer, 4 + n % 2 * 2 + i % ids, line=self.at((core.kind, n, "set")))
        for n, (_, pipe, peer, ids, flaws) in carried:
            for k in range(ids) if flaws != 2 else ():
                b.wait(pipe, peer, 4 + n % 2 * 2 + k, line=self.at((core.kind, n, "drain")))

    def part(self, core, key, i, one):
        b, line = self.build, self.at
        kind, pipe, *numbers = one
        odd = i == self.odd
        if kind == "work":
            slots, shift, others = numbers
            b.work(pipe, r=ub((i + shift) % slots), w=ub(4 + i % others + odd), line=line(key))
        elif kind == "global":
            stride, writes, atomic = numbers
            place = gm("w" if stride % 2 else "v", 128 * stride * i + (5000000 * core.block if stride else 0))
            b.work(pipe, r=ub(0) if writes else place, w=place if writes else ub(0), line=line(key), **({"atomic": True} if atomic else {}))
        elif kind == "sync" and pipe != numbers[0]:
            b.set(pipe, numbers[0], i % numbers[1], line=line((*key, "set"))).wait(pipe, numbers[0], i % numbers[1], line=line((*key, "wait")))
        elif kind == "barrier":
            b.command(b.site("barrier", "pipe_barrier", pipe, line=line(key)))
        elif kind == "signal" and i % numbers[0] == 0:
            b.signal(pipe, key[1], line=line(key))
        elif kind == "inner":
            times, slots, shared = numbers
            for k in range(times):
                b.work(pipe, r=ub(k % slots), w=ub(4 + shared * k % 3), line=line((*key, "inner")))
                b.set(pipe, "V" if pipe != "V" else "MTE2", 3, line=line((*key, "in set")))
                b.wait(pipe, "V" if pipe != "V" else "MTE2", 3, line=line((*key, "in wait")))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(("a3", "a5")), bodies, bodies, st.integers(3, 60), st.integers(1, 3), st.integers(-40, 59))
def test_random_loops_are_judged_as_if_they_were_walked(arch, left, right, rounds, blocks, odd):
    program = RandomLoop(arch, left, right, rounds, blocks, odd).program
    assert check(program, needs_barrier, redundancy=True) == check(program, needs_barrier, redundancy=True, shortcuts=False)


FAMILIES = st.one_of(
    st.builds(ring, st.integers(6, 60), st.integers(1, 4), in_place=st.booleans(), back=st.booleans(), wrong_at=st.integers(-40, 59)),
    st.builds(handshake, st.integers(6, 40), st.integers(1, 6), late=st.integers(-40, 39)),
    st.builds(handshake, st.integers(6, 40), st.integers(1, 6), arch=st.just("a5"), awaits_on=st.just("FIX")),
)
"""Loops that are in order, or nearly."""


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(FAMILIES, st.integers(0, 300), st.integers(0, 3), st.booleans())
def test_loops_that_lack_a_command_are_judged_as_if_they_were_walked(build, at, number, site):
    program = build.program
    commands = program.streams[at % len(program.streams)].commands
    at %= len(commands)
    if site:
        gone = commands[at].site
        commands[:] = [command for command in commands if command.site is not gone or number == 0]
    else:
        del commands[at : at + number]
    assign_units(program)
    assert check(program, needs_barrier, redundancy=True) == check(program, needs_barrier, redundancy=True, shortcuts=False)
