"""Schedules computed by hand, one rule each; error texts; and random programs against a longest-path reference."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptoc.dialect.errors import DeadlockError, SimulationError, SyncError
from ptoc.simulator.engine import Costs, schedule
from ptoc.simulator.program import Command, Core, Program, Site, Stream
from ptoc.simulator.timeline import Link, Utilization, queue_of

BYTE_PER_FS = 10**15  # bytes per second


def program_of(arch="a3", **streams):
    """A program from core name -> list of (kind, pipe[, third[, fourth]]).

    work: (occupancy, latency, shared) as one tuple; set and wait: peer, flag; signal and await: flag.  Line = number of the site.
    Returns (program, prices), prices a list per stream.
    """
    sites, result, prices = [], [], []
    for name, items in streams.items():
        kind, block, sub = name[:3], int(name[3]), int(name[4:] or 0)
        commands, column = [], []
        for what, pipe, *rest in items:
            paired = what in ("set", "wait")
            site = Site(len(sites), what, f"{what}_op", pipe, f"k.py:{len(sites) + 1}", peer=rest[0] if paired else "", channel="ring" if what == "signal" else "")
            sites.append(site)
            commands.append(Command(site, flag=rest[-1] if paired or what in ("signal", "await") else -1))
            column.append((*rest[0], None)[:3] if what == "work" else None)
        result.append(Stream(Core(kind, block, sub), commands))
        prices.append(column)
    return Program("test", arch, result, sites), prices


def times_of(streams, costs=None, arch="a3"):
    """(start, end, complete) of every command, per stream."""
    timeline = run(streams, costs, arch)
    return [list(zip(*(column.tolist() for column in columns))) for columns in zip(timeline.start, timeline.end, timeline.complete)]


def run(streams, costs=None, arch="a3"):
    program, prices = program_of(arch, **streams)
    return schedule(program, prices, costs or Costs())


def work(pipe, occupancy, latency=None, shared=None):
    return ("work", pipe, (occupancy, occupancy if latency is None else latency, shared))


def copy(pipe, fs, count, resource="hbm"):
    return work(pipe, fs, fs, ((resource, count),))


def test_nothing_takes_no_time():
    assert run({"aiv0": []}).makespan == 0


def test_commands_are_issued_one_after_the_other():
    assert times_of({"aiv0": [work("V", 5), work("M", 5), work("MTE2", 5)]}, Costs(issue=3)) == [[(3, 8, 8), (6, 11, 11), (9, 14, 14)]]


def test_a_queue_is_in_order_and_free_after_the_occupancy():
    assert times_of({"aiv0": [work("V", 5, 20), work("V", 5, 7)]}) == [[(0, 5, 20), (5, 10, 12)]]


def test_scalar_work_holds_later_commands():
    assert times_of({"aiv0": [work("V", 50), work("S", 10, 15), work("M", 1)]}, Costs(issue=1)) == [[(1, 51, 51), (2, 12, 17), (13, 14, 14)]]


def test_set_fires_when_earlier_commands_are_complete_and_does_not_hold_its_queue():
    streams = {"aiv0": [work("V", 5, 20), work("V", 1, 1), ("set", "V", "MTE3", 0), work("V", 4), ("wait", "MTE3", "V", 0), work("MTE3", 1)]}
    assert times_of(streams, Costs(set_flag=2, wait_flag=3)) == [[(0, 5, 20), (5, 6, 6), (6, 8, 22), (8, 12, 12), (0, 25, 25), (25, 26, 26)]]


def test_wait_holds_only_its_queue_and_may_stand_before_its_set():
    streams = {"aiv0": [("wait", "V", "MTE2", 0), work("V", 1), work("M", 7), work("MTE2", 9), ("set", "MTE2", "V", 0)]}
    assert times_of(streams) == [[(0, 9, 9), (9, 10, 10), (0, 7, 7), (0, 9, 9), (9, 9, 9)]]


def test_wait_on_the_scalar_pipe_holds_later_commands():
    streams = {"aiv0": [work("V", 9), ("set", "V", "S", 0), ("wait", "S", "V", 0), work("M", 1)]}
    assert times_of(streams, Costs(issue=1, wait_flag=2)) == [[(1, 10, 10), (10, 10, 10), (3, 12, 12), (13, 14, 14)]]


def test_set_from_the_scalar_pipe_releases_a_waiting_queue():
    streams = {"aiv0": [("wait", "V", "S", 0), work("V", 4), work("S", 10, 12), ("set", "S", "V", 0)]}
    assert times_of(streams) == [[(0, 12, 12), (12, 16, 16), (0, 10, 12), (10, 10, 12)]]


def test_flags_of_one_key_pair_in_order():
    loop = [("wait", "MTE2", "V", 0), work("MTE2", 10), ("set", "MTE2", "V", 1), ("wait", "V", "MTE2", 1), work("V", 3), ("set", "V", "MTE2", 0)]
    times = times_of({"aiv0": [("set", "V", "MTE2", 0), *loop * 3, ("wait", "MTE2", "V", 0)]})[0]
    assert [times[2 + 6 * k] for k in range(3)] == [(0, 10, 10), (13, 23, 23), (26, 36, 36)]


def test_barrier_of_a_pipe_waits_for_its_completion_only():
    streams = {"aiv0": [work("V", 5, 20), ("barrier", "V"), work("V", 1), work("M", 90)]}
    assert times_of(streams, Costs(barrier=2)) == [[(0, 5, 20), (5, 22, 22), (22, 23, 23), (0, 90, 90)]]


def test_barrier_of_all_holds_the_scalar_unit_until_the_core_is_drained():
    streams = {"aiv0": [work("V", 5, 20), work("MTE3", 1), work("MTE3", 30, 33), ("barrier", "ALL"), work("V", 1)]}
    assert times_of(streams, Costs(barrier=2)) == [[(0, 5, 20), (0, 1, 1), (1, 31, 34), (0, 36, 36), (36, 37, 37)]]


def test_barrier_of_all_waits_for_queues_that_wait():
    streams = {"aiv0": [("wait", "V", "MTE2", 0), work("V", 2), work("MTE2", 9), ("set", "MTE2", "V", 0), ("barrier", "ALL"), work("M", 1)]}
    assert times_of(streams)[0][4:] == [(0, 11, 11), (11, 12, 12)]


def test_signal_arrives_after_its_latency():
    streams = {"aic0": [work("FIX", 10, 15), ("signal", "FIX", 3)], "aiv0": [("await", "V", 3), work("V", 1)]}
    times = times_of(streams, Costs(set_flag=1, wait_flag=2, signal=100))
    assert times == [[(0, 10, 15), (10, 11, 16)], [(0, 118, 118), (118, 119, 119)]]


def test_await_holds_the_scalar_unit_on_a3_and_its_pipe_on_a5():
    streams = {"aic0": [work("FIX", 10), ("signal", "FIX", 3)], "aiv0": [work("MTE2", 40), ("await", "V", 3), work("V", 1), work("MTE3", 1)]}
    assert times_of(streams)[1] == [(0, 40, 40), (0, 10, 10), (10, 11, 11), (10, 11, 11)]
    assert times_of(streams, arch="a5")[1] == [(0, 40, 40), (0, 10, 10), (10, 11, 11), (0, 1, 1)]


def test_cube_signal_reaches_every_vector_core_of_its_block_only():
    streams = {
        "aic0": [work("FIX", 10), ("signal", "FIX", 3)],
        "aiv00": [("await", "V", 3)],
        "aiv01": [("await", "V", 3)],
        "aic1": [work("FIX", 7), ("signal", "FIX", 3)],
        "aiv10": [("await", "V", 3)],
    }
    assert [times[-1][1] for times in times_of(streams)] == [10, 10, 10, 7, 7]


def test_cube_waits_until_both_vector_cores_have_signalled():
    streams = {
        "aiv00": [work("V", 5), ("signal", "V", 2), work("V", 1), ("signal", "V", 2)],
        "aiv01": [work("V", 9), ("signal", "V", 2), work("V", 1), ("signal", "V", 2)],
        "aic0": [("await", "M", 2), work("M", 100), ("await", "M", 2)],
    }
    timeline = run(streams)
    assert timeline.end[2].tolist() == [9, 109, 10]
    assert timeline.links[-4:] == [Link((0, 1), (2, 0)), Link((1, 1), (2, 0)), Link((0, 3), (2, 2)), Link((1, 3), (2, 2))]


def test_counters_count_in_the_order_of_time_not_of_the_program():
    streams = {"aic0": [work("FIX", 50), ("signal", "FIX", 1), work("M", 10), ("signal", "M", 1)], "aiv0": [("await", "V", 1), ("await", "V", 1)]}
    timeline = run(streams)
    assert timeline.end[1].tolist() == [10, 50]
    assert timeline.links == [Link((0, 3), (1, 0)), Link((0, 1), (1, 1))]


def test_signals_that_nobody_awaits_are_told():
    timeline = run({"aic0": [("signal", "FIX", 1)] * 3, "aiv00": [("await", "V", 1)], "aiv01": []})
    assert timeline.counters == {(Core("aiv", 0, 0), 1): 2, (Core("aiv", 0, 1), 1): 3}


def test_a_transfer_alone_takes_its_priced_time():
    assert times_of({"aiv0": [work("MTE2", 999, 1234, (("hbm", 777),))], "aiv1": [work("V", 1)]}, Costs(rates={"hbm": BYTE_PER_FS}))[0] == [(0, 999, 1234)]


def test_equal_transfers_share_equally():
    streams = {"aiv0": [copy("MTE2", 1000, 1000)], "aiv1": [copy("MTE2", 1000, 1000)]}
    assert times_of(streams, Costs(rates={"hbm": BYTE_PER_FS})) == [[(0, 2000, 2000)]] * 2


def test_a_late_transfer_takes_its_share_from_its_start():
    streams = {"aiv0": [copy("MTE2", 1000, 1000)], "aiv1": [work("S", 400), copy("MTE2", 1000, 1000)]}
    # 400 alone, 600 bytes at half speed until 1600, then the other's last 400 alone
    assert [times[-1][1] for times in times_of(streams, Costs(rates={"hbm": BYTE_PER_FS}))] == [1600, 2000]


def test_a_slow_transfer_keeps_its_demand_and_the_fast_one_takes_the_rest():
    streams = {"aiv0": [copy("MTE2", 1000, 250)], "aiv1": [copy("MTE2", 750, 750)]}
    assert [times[0][1] for times in times_of(streams, Costs(rates={"hbm": BYTE_PER_FS}))] == [1000, 1000]


def test_latency_after_the_occupancy_is_not_stretched():
    streams = {"aiv0": [work("MTE2", 1000, 1030, (("hbm", 1000),))], "aiv1": [work("MTE2", 1000, 1030, (("hbm", 1000),))]}
    assert times_of(streams, Costs(rates={"hbm": BYTE_PER_FS}))[0] == [(0, 2000, 2030)]


def test_a_transfer_goes_at_the_pace_of_its_scarcest_resource():
    streams = {
        "aiv0": [work("MTE2", 1000, 1000, (("l2", 1000), ("hbm", 500)))],
        "aiv1": [work("MTE2", 1000, 1000, (("l2", 1000), ("hbm", 500)))],
        "aiv2": [copy("MTE2", 1000, 1000, "l2")],
    }
    costs = Costs(rates={"l2": 4 * BYTE_PER_FS, "hbm": BYTE_PER_FS // 2})
    assert [times[0][1] for times in times_of(streams, costs)] == [2000, 2000, 1000]


def test_resources_without_a_rate_are_not_limited():
    streams = {"aiv0": [copy("MTE2", 1000, 1000)], "aiv1": [copy("MTE2", 1000, 1000)]}
    assert times_of(streams, Costs(rates={"l2": 1})) == [[(0, 1000, 1000)]] * 2


def test_a_flag_sees_a_transfer_that_was_slowed_down():
    streams = {
        "aiv0": [copy("MTE2", 100, 100), ("set", "MTE2", "V", 0), ("wait", "V", "MTE2", 0), work("V", 1)],
        "aiv1": [copy("MTE2", 100, 100), ("barrier", "ALL")],
    }
    times = times_of(streams, Costs(rates={"hbm": BYTE_PER_FS}))
    assert times[0][3] == (200, 201, 201)
    assert times[1][1] == (0, 200, 200)


def test_utilization_and_order():
    timeline = run({"aiv0": [work("V", 5), work("MTE2", 10)], "aiv1": [work("V", 10), ("barrier", "V")]})
    assert timeline.busy() == {(Core("aiv", 0), "V"): 5, (Core("aiv", 0), "MTE2"): 10, (Core("aiv", 1), "V"): 10}
    assert timeline.utilization() == {"MTE2": Utilization(1.0, 1.0), "V": Utilization(1.0, 0.75)}
    assert timeline.order() == [(0, 1), (0, 0), (1, 0), (1, 1)]


def test_prices_may_be_a_function():
    program, _ = program_of(aiv0=[work("V", 5), ("barrier", "V")])
    assert schedule(program, lambda command: (command.site.index + 7, 9, None), Costs()).end[0].tolist() == [7, 9]


def test_set_of_a_raised_flag_is_an_error():
    streams = {"aiv0": [("set", "V", "MTE3", 4), ("set", "V", "MTE3", 4), ("wait", "MTE3", "V", 4), ("wait", "MTE3", "V", 4)]}
    assert run({"aiv0": [streams["aiv0"][k] for k in (0, 2, 1, 3)]}).makespan == 0
    streams["aiv0"][2:2] = [work("MTE3", 9)]
    text = "k.py:2: 'set_op' on aiv0.0: flag V -> MTE3 id 4 is set while it is raised: it was set at k.py:1 and is cleared only by the wait at k.py:4"
    with pytest.raises(SyncError, match=re.escape(text)):
        run(streams)


def test_set_of_a_flag_that_nobody_waits_for_is_an_error():
    with pytest.raises(SyncError, match=re.escape("k.py:2: 'set_op' on aiv0.0: flag V -> M id 0 is set while it is raised: it was set at k.py:1 and is never waited for")):
        run({"aiv0": [("set", "V", "M", 0), ("set", "V", "M", 0)]})


def test_flag_left_raised_is_an_error():
    with pytest.raises(SyncError, match=re.escape("k.py:2: 'set_op' on aiv0.0: flag V -> M id 0 is left raised at the end; add a wait_flag on M")):
        run({"aiv0": [work("V", 1), ("set", "V", "M", 0)]})


def test_counter_over_fifteen_is_an_error():
    assert run({"aic0": [("signal", "FIX", 3)] * 15, "aiv0": []}).makespan == 0
    streams = {"aic0": [("signal", "FIX", 3)] * 16, "aiv0": [work("S", 9), ("await", "V", 3)]}
    text = "k.py:16: 'signal_op' on aic0: cross-core flag 3 ('ring') of aiv0.0 counts at most 15, this signal is one more; it is awaited at k.py:18: await earlier"
    with pytest.raises(SyncError, match=re.escape(text)):
        run(streams)
    with pytest.raises(SyncError, match="nobody awaits it"):
        run({"aic0": [("signal", "FIX", 3)] * 16, "aiv0": []})


def test_one_vector_core_may_not_run_away_from_the_other():
    with pytest.raises(SyncError, match=r"flag 3 \('ring'\) of aic0 counts at most 15"):
        run({"aiv00": [("signal", "V", 3)] * 16, "aiv01": [], "aic0": []})


def test_cross_core_flag_out_of_range_is_an_error():
    with pytest.raises(SyncError, match=re.escape("k.py:1: 'signal_op': a cross-core flag is 0 to 15, got 16")):
        run({"aic0": [("signal", "FIX", 16)]})


def test_unknown_pipe_is_an_error():
    with pytest.raises(SimulationError, match=re.escape("k.py:1: 'work_op': a work has no pipe 'VEC'; pipes are S, MTE2, MTE1, M, V, FIX, MTE3")):
        run({"aiv0": [work("VEC", 1)]})
    with pytest.raises(SimulationError, match="a set has no pipe 'ALL'"):
        run({"aiv0": [("set", "ALL", "V", 0)]})


def test_price_that_completes_before_it_ends_is_an_error():
    with pytest.raises(SimulationError, match=re.escape("k.py:1: 'work_op': a price needs 0 <= occupancy <= latency, got 5 fs and 4 fs")):
        run({"aiv0": [work("V", 5, 4)]})


def test_a_command_that_takes_longer_than_times_can_tell_is_an_error():
    with pytest.raises(SimulationError, match=re.escape("k.py:1: 'work_op': one command takes 20 s, more than the 10 s that a time here can be")):
        run({"aiv0": [work("V", 2 * 10**16)]})


# Random programs against the rules of engine.py's docstring, read as equations and iterated until nothing changes.

ENGINES = ("S", "V", "M", "MTE2", "MTE3")


def reference(program, prices, costs):
    """(start, end, complete) of every command as the least solution of the equations; flag pairs and counters by counting."""
    nodes = [(s, i) for s, stream in enumerate(program.streams) for i in range(len(stream.commands))]
    times = {}
    command = lambda node: program.streams[node[0]].commands[node[1]]  # noqa: E731
    queue = lambda node: queue_of(command(node).site, program.arch)  # noqa: E731

    def key(node):
        site = command(node).site
        return (node[0], site.pipe, site.peer) if site.kind == "set" else (node[0], site.peer, site.pipe)

    def nth(node, others):
        """The one of `others` with as many before it as `node` has before it of its own kind, flag and key."""
        site, flag = command(node).site, command(node).flag
        rank = sum(1 for n in nodes if n < node and n[0] == node[0] and command(n).site.kind == site.kind and command(n).flag == flag and key(n) == key(node))
        return others[rank]

    def solve(node):
        s, i = node
        site, flag = command(node).site, command(node).flag
        before = [(s, j) for j in range(i)]
        held = [n for n in before if queue(n) == "S"]
        issue = (times[held[-1]][1] + (i - held[-1][1]) * costs.issue) if held else (i + 1) * costs.issue
        same = [n for n in before if queue(n) == queue(node)]
        start = max([issue, *(times[n][1] for n in same)])
        done = max([start, *(times[n][2] for n in (before if site.pipe == "ALL" else same))])
        if site.kind == "work":
            return start, start + prices[s][i][0], start + prices[s][i][1]
        if site.kind in ("set", "signal"):
            return start, start + costs.set_flag, done + costs.set_flag
        if site.kind == "barrier":
            return start, done + costs.barrier, done + costs.barrier
        if site.kind == "wait":
            raised = times[nth(node, [n for n in nodes if command(n).site.kind == "set" and key(n) == key(node) and command(n).flag == flag])][2]
        else:
            core = program.streams[s].core
            senders = [k for k, other in enumerate(program.streams) if other.core.kind != core.kind and other.core.block == core.block]
            raised = max(
                times[nth(node, [n for n in nodes if n[0] == k and command(n).site.kind == "signal" and command(n).flag == flag])][2] for k in senders
            ) + costs.signal
        return (start, *[max(start, raised) + costs.wait_flag] * 2)

    while len(times) < len(nodes):
        for node in nodes:
            try:
                times[node] = times.get(node) or solve(node)
            except KeyError:
                continue
    return [[times[s, i] for i in range(len(stream.commands))] for s, stream in enumerate(program.streams)]


@st.composite
def legal_programs(draw):
    """Streams of an aic and up to two aivs whose items, in the order drawn, could run one after the other."""
    names = draw(st.sampled_from([("aiv0",), ("aic0", "aiv00"), ("aic0", "aiv00", "aiv01")]))
    streams = {name: [] for name in names}
    for number in range(draw(st.integers(1, 14))):
        name = draw(st.sampled_from(names))
        kind = draw(st.sampled_from(["work", "work", "work", "flag", "barrier", "cross"]))
        pipe, peer = draw(st.permutations(ENGINES))[:2]
        if kind == "work":
            occupancy = draw(st.integers(0, 20))
            streams[name].append(work(pipe, occupancy, occupancy + draw(st.integers(0, 9))))
        elif kind == "barrier":
            streams[name].append(("barrier", draw(st.sampled_from([*ENGINES, "ALL"]))))
        elif kind == "flag":
            pair = [("set", pipe, peer, number), ("wait", peer, pipe, number)]
            if "S" not in (pipe, peer) and draw(st.booleans()):
                pair.reverse()
            between = [work(draw(st.sampled_from(ENGINES)), draw(st.integers(0, 9))) for _ in range(draw(st.integers(0, 2)))]
            if pair[0][0] == "wait":
                between = [item for item in between if item[1] != peer]
            streams[name] += [pair[0], *between, pair[1]]
        elif len(names) > 1:
            senders = [n for n in names if (n == "aic0") == (name == "aic0")]
            for sender in senders:
                streams[sender].append(("signal", "MTE3", 1 if name == "aic0" else 2))
            for receiver in [n for n in names if n not in senders]:
                streams[receiver].append(("await", "V", 1 if name == "aic0" else 2))
    costs = Costs(*(draw(st.integers(0, 5)) for _ in range(5)))
    return streams, costs, draw(st.sampled_from(["a3", "a5"]))


@settings(max_examples=150, deadline=None)
@given(legal_programs())
def test_random_programs_take_the_longest_path(case):
    streams, costs, arch = case
    program, prices = program_of(arch, **streams)
    assert times_of(streams, costs, arch) == reference(program, prices, costs)


def shared_reference(copies, capacity):
    """End of each (start, fs, bytes) under max-min sharing, in floats: steps from event to event, every transfer on its own."""
    left = {k: float(count) for k, (_, _, count) in enumerate(copies)}
    now, ends = 0.0, {}
    while left:
        flying = [k for k in left if copies[k][0] <= now + 1e-9]
        rates, rest = {}, capacity
        for position, k in enumerate(sorted(flying, key=lambda k: copies[k][2] / copies[k][1])):
            rates[k] = min(copies[k][2] / copies[k][1], rest / (len(flying) - position))
            rest -= rates[k]
        steps = [left[k] / rates[k] for k in flying] + [copies[k][0] - now for k in left if k not in flying]
        now += min(steps)
        for k in flying:
            left[k] -= rates[k] * min(steps)
            if left[k] < 1e-7:
                ends[k] = now
                del left[k]
    return [ends[k] for k in range(len(copies))]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(500, 4000), st.integers(1, 4000)), min_size=1, max_size=8), st.integers(1, 4))
def test_random_transfers_share_fairly(copies, capacity):
    streams = {f"aiv{k}": [work("S", start), copy("MTE2", fs, count)] for k, (start, fs, count) in enumerate(copies)}
    ends = [times[1][1] for times in times_of(streams, Costs(rates={"hbm": capacity * BYTE_PER_FS}))]
    assert ends == pytest.approx(shared_reference(copies, capacity), rel=1e-6, abs=2 * len(copies))


ANYTHING = st.one_of(
    st.tuples(st.just("work"), st.sampled_from(ENGINES), st.tuples(st.integers(0, 9), st.just(9), st.just((("hbm", 50),)))),
    st.tuples(st.sampled_from(["set", "wait"]), st.sampled_from(ENGINES), st.sampled_from(ENGINES), st.integers(0, 1)),
    st.tuples(st.just("barrier"), st.sampled_from([*ENGINES, "ALL"])),
    st.tuples(st.sampled_from(["signal", "await"]), st.sampled_from(ENGINES), st.integers(0, 1)),
)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({name: st.lists(ANYTHING, max_size=8) for name in ("aic0", "aiv00", "aiv01")}), st.sampled_from(["a3", "a5"]))
def test_any_program_ends_or_is_refused(streams, arch):
    costs = Costs(1, 2, 3, 4, 5, {"hbm": 8 * BYTE_PER_FS})
    try:
        timeline = run(streams, costs, arch)
    except (SyncError, DeadlockError) as error:
        assert re.search(r"k\.py:\d+: ", str(error))  # noqa: PT017
        return
    for start, end, complete in zip(timeline.start, timeline.end, timeline.complete):
        assert all(0 <= begin <= stop <= seen for begin, stop, seen in zip(start, end, complete))
    assert len(timeline.order()) == sum(map(len, streams.values()))
    again = run(streams, costs, arch)
    assert again.links == timeline.links
    assert all(one.tolist() == other.tolist() for one, other in zip(again.start + again.complete, timeline.start + timeline.complete))
