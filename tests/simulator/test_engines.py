"""The engines against each other: the reference, the fast one as Python, and the same one compiled."""

import itertools
import random

import numpy as np
import pytest

from ptoc.dialect.errors import DeadlockError, SyncError
from ptoc.simulator import compiled, extrapolate, state
from ptoc.simulator.engine import Costs, run, run_reference, run_repeating, schedule
from ptoc.simulator.plan import plan
from ptoc.simulator.program import Codes, Command, Core, Program, Site, Stream, Track

PIPES = ("S", "MTE2", "MTE1", "M", "V", "FIX", "MTE3")
RATES = {"l2": 3 * 10**15, "hbm": 2 * 10**15}


def looped(seed, longest=60):
    """(program, prices, costs): blocks of a cube and up to two vector cores, or vector cores alone, in loops that share bandwidth."""
    rng = random.Random(seed)
    mixed = rng.random() < 0.6
    vectors = rng.choice([1, 2]) if mixed else 1
    kinds = ["aic", *["aiv"] * vectors] if mixed else ["aiv"]
    sites = []

    def site(kind, pipe, peer=""):
        sites.append(Site(len(sites), kind, f"{kind}_op", pipe, f"k.py:{len(sites) + 1}", peer=peer))
        return sites[-1]

    def body(cross):
        """A loop's commands, each with its price: transfers in, work, transfers out, flags that come back, signals."""
        pipes = rng.sample(PIPES[1:], rng.randint(2, 4))
        items = []
        for one, two in itertools.pairwise(pipes):
            items.append((Command(site("wait", one, two), flag=1), None))
            for _ in range(rng.randint(1, 2)):
                occupancy = rng.randint(0, 400)
                shared = (((rng.choice(["l2", "hbm"]), rng.randint(1, 900)),) if one in ("MTE2", "MTE3", "FIX") and rng.random() < 0.7 else None)
                if shared and rng.random() < 0.3:
                    shared = (("l2", shared[0][1]), ("hbm", rng.randint(1, 900)))
                items.append((Command(site("work", one)), (occupancy, occupancy + rng.randint(0, 300), shared)))
            items += [(Command(site("set", one, two), flag=0), None), (Command(site("wait", two, one), flag=0), None)]
            items.append((Command(site("work", two)), (rng.randint(0, 300), 400, None)))
            items.append((Command(site("set", two, one), flag=1), None))
        if rng.random() < 0.3:
            items.append((Command(site("barrier", rng.choice([*PIPES, "ALL"]))), None))
        if rng.random() < 0.3:
            items.insert(rng.randint(0, len(items)), (Command(site("work", "S")), (rng.randint(0, 50), 50, None)))
        prime = [(Command(site("set", two, one), flag=1), None) for one, two in itertools.pairwise(pipes)]
        drain = [(Command(site("wait", one, two), flag=1), None) for one, two in itertools.pairwise(pipes)]
        send = (Command(site("signal", pipes[-1]), flag=cross), None)
        take = (Command(site("await", "S"), flag=1 - cross), None)
        return prime, items, drain, send, take

    parts = {kind: body(0 if kind == "aic" else 1) for kind in dict.fromkeys(kinds)}
    extra = {kind: [(Command(site("work", rng.choice(PIPES[1:]))), (rng.randint(0, 200), 200, None))] for kind in parts}
    streams, prices, table = [], {}, Codes()
    trips = rng.choice([1, 3, longest // 3, longest])
    every = rng.choice([1, 1, 2, 3])
    for block in range(rng.choice([1, 1, 2, 5])):
        mine = trips if rng.random() < 0.7 else max(1, trips - rng.randint(0, 2))
        for number, kind in enumerate(kinds):
            prime, items, drain, send, take = parts[kind]
            one = [*([take] if mixed and kind == "aiv" else []), *items, *([send] if mixed else []), *([take] if mixed and kind == "aic" else [])]
            parts_of_stream = [(False, prime), *((True, one if trip % every else [*one, *extra[kind]]) for trip in range(mine)), (False, drain)]
            for command, price in (item for _, part in parts_of_stream for item in part):
                prices[command.site] = price
            core = Core(kind, block, max(0, number - 1) if mixed else 0)
            streams.append(Stream(core, [command for _, part in parts_of_stream for command, _ in part], track_of(table, parts_of_stream)))
    costs = Costs(*(rng.choice([0, rng.randint(0, 30)]) for _ in range(5)), {name: rate * rng.randint(1, 4) for name, rate in RATES.items()})
    return Program("loops", rng.choice(["a3", "a5"]), streams, sites, codes=table), lambda command: prices[command.site], costs


def track_of(table, parts):
    """A track of (begins an iteration, commands) parts."""
    if not table.chunks:
        table.chunks.append(())
    chunks = []
    for begins, part in parts:
        chunks += [0] if begins else []
        chunks.append(table.chunk(tuple(table.code(command.site, command.flag) for command, _ in part)))
    return Track(table, np.array(chunks, np.int32), {0: 0})


def outcome(function, planned):
    """The columns of a run, or what it raises."""
    try:
        timeline = function(planned)
    except (SyncError, DeadlockError) as error:
        return type(error), str(error)
    return [[times.tolist() for times in column] for column in (timeline.start, timeline.end, timeline.complete)], timeline.counters, timeline.links


@pytest.mark.parametrize("seed", range(120))
def test_fast_and_reference_engine_agree(seed):
    planned = plan(*looped(seed))
    assert planned.untimed
    assert outcome(lambda p: run(p, compiled=False), planned) == outcome(run_reference, planned)


def test_compiled_and_python_engine_agree():
    pytest.importorskip("numba")
    for seed in range(120):
        planned = plan(*looped(seed))
        assert outcome(lambda p: run(p, compiled=True), planned) == outcome(lambda p: run(p, compiled=False), planned), seed


def test_alike_cores_are_simulated_once():
    program, prices, costs = looped(5)
    streams = [Stream(Core(s.core.kind, block, s.core.sub), s.commands, s.track) for block in range(3) for s in program.streams if s.core.block == 0]
    planned = plan(Program("copies", program.arch, streams, program.sites, codes=program.codes), prices, costs)
    assert len(planned.streams) < len(streams)
    assert int(planned.copies.sum()) == len(streams)
    assert np.array_equal(np.bincount(planned.stands_for), planned.copies)


@pytest.mark.parametrize("by_numba", [False, True])
def test_repeats_that_are_left_out_are_what_would_have_been_walked(monkeypatch, by_numba):
    if by_numba:
        pytest.importorskip("numba")
    monkeypatch.setattr(extrapolate, "WORTH", 10)
    monkeypatch.setattr(extrapolate, "KEPT", (8, 1))
    monkeypatch.setattr(state, "COMPILED_FROM", 0 if by_numba else 10**9)
    crossed = shared = drifted = 0
    for seed in range(500):
        planned = plan(*looped(seed, longest=240))
        timeline = run_repeating(planned)
        if timeline is None:
            continue
        walked = run(planned, compiled=False)
        for one, other in zip((timeline.start, timeline.end, timeline.complete), (walked.start, walked.end, walked.complete)):
            assert all(np.array_equal(one[n], other[n]) for n in range(len(planned.stands_for))), seed
        assert (timeline.makespan, timeline.busy(), timeline.counters) == (walked.makespan, walked.busy(), walked.counters), seed
        crossed += 1
        shared += planned.contended
        drifted += len({int(d) for later in timeline._jump.later.values() for d in later[0]}) > 1
    assert crossed > 100
    assert shared > 10
    assert drifted > 10


def test_what_is_wrong_after_a_repeat_is_told_as_by_a_walk(monkeypatch):
    monkeypatch.setattr(extrapolate, "WORTH", 10)
    monkeypatch.setattr(extrapolate, "KEPT", (8, 1))
    program, prices, costs = next(case for case in (looped(seed, longest=240) for seed in range(100)) if run_repeating(plan(*case)) is not None)
    site = Site(len(program.sites), "set", "set_op", "V", "k.py:999", peer="M")
    for stream in program.streams:
        chunk = program.codes.chunk((program.codes.code(site, 9),))
        stream.track = Track(program.codes, np.append(stream.track.chunks, np.int32(chunk)), stream.track.marks)
    program.sites.append(site)
    planned = plan(program, prices, costs)
    assert run_repeating(planned) is None
    with pytest.raises(SyncError, match=r"k\.py:999: 'set_op' on .*: flag V -> M id 9 is left raised at the end"):
        schedule(program, prices, costs)


def test_a_damaged_compiled_engine_is_made_anew(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(compiled, "folder", lambda: tmp_path)
    planned = plan(*looped(3))
    expected = outcome(lambda p: run(p, compiled=False), planned)
    for damage in (False, True):
        for path in tmp_path.rglob("*.nbi") if damage else ():
            path.write_bytes(path.read_bytes()[:-20] + b"damaged")
        compiled.compiled_walk.cache_clear()
        assert outcome(lambda p: run(p, compiled=True), planned) == expected
    compiled.compiled_walk.cache_clear()


def test_without_numba_all_runs_as_python(monkeypatch):
    monkeypatch.setattr(state, "COMPILED_FROM", 0)
    monkeypatch.setattr(state, "COMPILED_FROM_UNKEPT", 0)
    monkeypatch.setattr(state, "can_compile", lambda: False)
    planned = plan(*looped(3))
    assert not state.State(planned).compiled
    assert outcome(run, planned) == outcome(run_reference, planned)
