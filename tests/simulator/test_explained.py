"""Critical path, engines' time and slack: of programs worked out by hand, and on random ones against what the engine does with other prices."""

import numpy as np
import pytest

from ptoc.dialect.errors import NotSupportedError
from ptoc.simulator import extrapolate, history
from ptoc.simulator.critical_path import critical_path
from ptoc.simulator.engine import Costs, run, run_reference, run_repeating, schedule
from ptoc.simulator.history import History
from ptoc.simulator.idle import CAUSES, engine_time
from ptoc.simulator.loads import Loads
from ptoc.simulator.plan import plan
from ptoc.simulator.program import Program, Stream
from ptoc.simulator.slack import slack
from ptoc.simulator.table import QUEUES
from ptoc.simulator.timeline import PIPES

from .test_engine import program_of, work
from .test_engines import looped


def history_of(streams, costs=None, arch="a3"):
    program, prices = program_of(arch, **streams)
    return History(schedule(program, prices, costs or Costs()))


def path_of(streams, costs=None, arch="a3"):
    """(begin, end, cause, line) of the critical path."""
    found = history_of(streams, costs, arch)
    return [(s.begin, s.end, s.cause, int(found.site(s.command).location.split(":")[1])) for s in critical_path(found)]


def spent(found, pipe, simulated=0):
    """(begin, end, cause, line to blame or None) of one engine."""
    columns = engine_time(found, simulated * QUEUES + PIPES.index(pipe)).columns()
    return [
        (begin, end, CAUSES[cause], int(found.site(culprit).location.split(":")[1]) if culprit >= 0 else None)
        for begin, end, cause, _, culprit, _ in zip(*(column.tolist() for column in columns))
    ]


FLAGGED = {"aiv0": [work("MTE2", 100, 130), ("set", "MTE2", "V", 0), ("wait", "V", "MTE2", 0), work("V", 50, 60)]}
"""A load whose result is used behind a flag."""


def test_the_path_goes_through_the_flag_to_what_it_waited_for():
    costs = Costs(issue=2, set_flag=5, wait_flag=3)
    assert path_of(FLAGGED, costs) == [
        (0, 2, "issue", 1), (2, 102, "work", 1), (102, 132, "latency", 1), (132, 137, "sync", 2), (137, 140, "sync", 3), (140, 190, "work", 4), (190, 200, "latency", 4),
    ]  # fmt: skip


def test_engines_say_what_they_wait_for():
    found = history_of(FLAGGED, Costs(issue=2, set_flag=5, wait_flag=3))
    assert spent(found, "MTE2") == [(0, 2, "issue", None), (2, 102, "work", None), (102, 107, "sync", None), (107, 200, "tail", None)]
    assert spent(found, "V") == [(0, 6, "issue", None), (6, 137, "data", 1), (137, 140, "sync", None), (140, 190, "work", None), (190, 200, "tail", None)]


def test_a_primed_flag_and_one_against_the_flow_of_data_are_room():
    found = history_of({"aiv0": [work("V", 100), ("set", "V", "MTE2", 0), ("wait", "MTE2", "V", 0), work("MTE2", 10)]})
    assert spent(found, "MTE2") == [(0, 100, "slot", 1), (100, 110, "work", None)]
    program, prices = program_of("a3", aiv0=[("set", "MTE2", "V", 0), work("MTE2", 100), ("set", "MTE2", "V", 0), ("wait", "V", "MTE2", 0), ("wait", "V", "MTE2", 0), work("V", 10)])
    for site in program.sites:
        site.unit = 3 if site.kind != "work" else -1
    program.sites[0].role = "prime"
    # A raised flag must be taken before it is raised again.
    program.streams[0].commands.insert(1, program.streams[0].commands.pop(3))
    prices[0].insert(1, prices[0].pop(3))
    assert spent(History(schedule(program, prices, Costs())), "V") == [(0, 100, "slot", 2), (100, 110, "work", None)]


def test_a_barrier_waits_for_the_result_that_is_complete_last():
    streams = {"aiv0": [work("V", 10, 50), work("V", 10, 20), ("barrier", "V"), work("V", 5)]}
    assert path_of(streams, Costs(barrier=4)) == [(0, 10, "work", 1), (10, 50, "latency", 1), (50, 54, "sync", 3), (54, 59, "work", 4)]
    assert spent(history_of(streams, Costs(barrier=4)), "V") == [
        (0, 10, "work", None), (10, 20, "work", None), (20, 50, "barrier", 1), (50, 54, "sync", None), (54, 59, "work", None),
    ]  # fmt: skip


def test_a_barrier_of_all_holds_every_engine_and_blames_the_slowest():
    streams = {"aiv0": [work("MTE3", 40, 90), work("V", 10), ("barrier", "ALL"), work("V", 5)]}
    found = history_of(streams, Costs(barrier=4))
    assert path_of(streams, Costs(barrier=4)) == [(0, 40, "work", 1), (40, 90, "latency", 1), (90, 94, "sync", 3), (94, 99, "work", 4)]
    assert spent(found, "V") == [(0, 10, "work", None), (10, 90, "barrier", 1), (90, 94, "sync", 3), (94, 99, "work", None)]


def test_a_signal_travels_and_holds_what_the_scalar_unit_cannot_issue():
    streams = {"aic0": [work("FIX", 100), ("signal", "FIX", 1)], "aiv0": [("await", "S", 1), work("V", 10)]}
    costs = Costs(set_flag=5, wait_flag=3, signal=20)
    assert path_of(streams, costs) == [(0, 100, "work", 1), (100, 105, "sync", 2), (105, 125, "signal", 2), (125, 128, "sync", 3), (128, 138, "work", 4)]
    assert spent(history_of(streams, costs), "V", 1) == [(0, 105, "data", 1), (105, 125, "signal", 1), (125, 128, "sync", 3), (128, 138, "work", None)]


def test_transfers_that_share_are_told_by_the_resource():
    copy = work("MTE2", 100, 100, (("l2", 100), ("hbm", 50)))
    streams = {"aiv0": [copy], "aiv1": [copy]}
    costs = Costs(rates={"l2": 10**15, "hbm": 10**16})
    found = history_of(streams, costs)
    assert path_of(streams, costs) == [(0, 100, "work", 1), (100, 200, "bandwidth", 1)]
    assert spent(found, "MTE2") == [(0, 100, "work", None), (100, 200, "bandwidth", None)]
    loads = Loads(found)
    assert loads.binding(np.array([0, 1])).tolist() == ["l2", "l2"]
    assert {name: loads.total(name) for name in loads.drawn} == {"l2": 200, "hbm": 100}
    assert [column.tolist() for column in loads.served("l2")] == [[0, 200], [1.0, 0.0]]
    assert [column.tolist() for column in loads.asked("hbm")] == [[0, 200], [1.0, 0.0]]


def test_scalar_work_is_told_where_it_holds_an_engine():
    assert spent(history_of({"aiv0": [work("S", 30), work("V", 10)]}), "V") == [(0, 30, "scalar", 1), (30, 40, "work", None)]


def test_nothing_takes_no_time():
    assert path_of({"aiv0": []}) == []


def test_a_run_of_too_many_commands_is_refused(monkeypatch):
    monkeypatch.setattr(history, "MOST", 3)
    with pytest.raises(NotSupportedError, match="at most 3; this run has 4: give smaller sizes"):
        history_of(FLAGGED)


def tiles(found):
    """The path and every engine's time tile [0, makespan], and what works is what the timeline says."""
    path = critical_path(found)
    assert sum(s.end - s.begin for s in path) == found.makespan
    assert [s.begin for s in path] == [0, *(s.end for s in path[:-1])][: len(path)]
    busy = found.timeline.busy()
    for queue in range(len(found.plan.streams) * QUEUES):
        intervals = engine_time(found, queue)
        total = dict(zip(CAUSES, intervals.total().tolist()))
        assert sum(total.values()) == found.makespan
        assert intervals.begin.tolist() == [0, *intervals.end[:-1].tolist()][: intervals.begin.size]
        core = found.core(queue // QUEUES)
        assert total["work"] + total["bandwidth"] == busy.get((core, PIPES[queue % QUEUES]), 0)


@pytest.mark.parametrize("seed", range(60))
def test_parts_sum_to_the_makespan_of_random_programs(seed):
    planned = plan(*looped(seed, longest=12))
    tiles(History(run(planned)))
    found = History(run_reference(planned))
    tiles(found)
    spare = slack(found)
    assert spare.min(initial=0) == 0
    on_path = [s.command for s in critical_path(found) if s.cause == "work"]
    assert not spare[on_path].any()


def test_loops_that_were_left_out_are_explained_too(monkeypatch):
    monkeypatch.setattr(extrapolate, "WORTH", 10)
    monkeypatch.setattr(extrapolate, "KEPT", (8, 1))
    seen = 0
    for seed in range(30):
        planned = plan(*looped(seed, longest=240))
        timeline = run_repeating(planned)
        if timeline is not None:
            seen += 1
            found = History(timeline)
            tiles(found)
            assert critical_path(found) == critical_path(History(run(planned)))
    assert seen > 5


def test_who_takes_a_signal_in_the_order_of_time_is_followed():
    streams = {
        "aic0": [work("FIX", 300), ("signal", "FIX", 1), work("MTE2", 10), ("signal", "MTE2", 1)],
        "aiv0": [("await", "S", 1), work("V", 10), ("await", "S", 1), work("V", 20)],
    }
    found = history_of(streams, Costs(signal=7))
    assert not found.plan.untimed
    tiles(found)
    assert [s.cause for s in critical_path(found)] == ["work", "signal", "work"]
    assert spent(found, "V", 1)[0] == (0, 10, "data", 3)


@pytest.mark.parametrize("seed", range(40))
def test_work_may_take_as_much_longer_as_its_slack(seed):
    program, price, costs = looped(seed, longest=6)
    costs = Costs(costs.issue, costs.set_flag, costs.wait_flag, costs.barrier, costs.signal)
    program = Program(program.name, program.arch, [Stream(s.core, s.commands) for s in program.streams], program.sites)
    prices = [[(*price(c)[:2], None) if c.site.kind == "work" else None for c in s.commands] for s in program.streams]
    found = History(schedule(program, prices, costs))
    spare = slack(found)
    rng = np.random.default_rng(seed)
    for command in rng.choice(np.flatnonzero(found.works), 6).tolist():
        simulated = int(found.queue[command]) // QUEUES
        number, index = found.plan.streams[simulated], command - int(found.plan.first[simulated])
        for more in (0, 1, 50):
            slower = [list(column) for column in prices]
            occupancy, latency, _ = slower[number][index]
            late = int(spare[command]) + more
            slower[number][index] = (occupancy + late, latency + late, None)
            assert schedule(program, slower, costs).makespan == found.makespan + more


def test_slack_is_not_looked_for_in_very_long_runs(monkeypatch):
    monkeypatch.setattr("ptoc.simulator.slack.MOST", 3)
    assert slack(history_of(FLAGGED)) is None
