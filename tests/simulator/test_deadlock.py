"""Deadlocks: the message names every waiting queue, its line, the cycle and the counters; and the engine always stops."""

import re

import pytest

from ptoc.dialect.errors import DeadlockError, SyncError
from ptoc.simulator.deadlock import Blocked, find_cycle
from ptoc.simulator.engine import Costs, schedule
from ptoc.simulator.program import Command, Core, Program, Site, Stream


def message_of(arch="a3", **streams):
    """The text of the DeadlockError of streams of (kind, pipe[, peer], flag or -1); line = number of the command."""
    sites, result = [], []
    for name, items in streams.items():
        commands = []
        for kind, pipe, *peer, flag in items:
            channel = "scores" if kind in ("signal", "await") else ""
            site = Site(len(sites), kind, f"{kind}_op", pipe, f"k.py:{len(sites) + 1}", peer="".join(peer), channel=channel)
            sites.append(site)
            commands.append(Command(site, flag=flag))
        result.append(Stream(Core(name[:3], int(name[3]), int(name[4:] or 0)), commands))
    with pytest.raises(DeadlockError, match="deadlock in 'kernel': ") as caught:
        schedule(Program("kernel", arch, result, sites), lambda command: (10, 10, None), Costs())
    return str(caught.value)


def test_two_pipes_that_wait_for_each_other():
    text = message_of(aiv0=[("wait", "V", "MTE2", 1), ("set", "V", "MTE2", 0), ("wait", "MTE2", "V", 0), ("set", "MTE2", "V", 1)])
    assert text.split("\n  ") == [
        "deadlock in 'kernel': 2 queues on 1 core wait for ever; the cycle is aiv0.0 MTE2 -> aiv0.0 V -> aiv0.0 MTE2 (-> waits for)",
        "k.py:3: aiv0.0 MTE2, 'wait_op' waits for flag V -> MTE2 id 0, which 'set_op' at k.py:2 would raise",
        "k.py:1: aiv0.0 V, 'wait_op' waits for flag MTE2 -> V id 1, which 'set_op' at k.py:4 would raise",
    ]


def test_wait_without_a_set():
    text = message_of(aiv0=[("work", "MTE2", -1), ("wait", "V", "MTE2", 3)])
    assert text.split("\n  ") == [
        "deadlock in 'kernel': 1 queue on 1 core waits for ever; there is no cycle: what they wait for is never raised",
        "k.py:2: aiv0.0 V, 'wait_op' waits for flag MTE2 -> V id 3, but no set_flag is left that would raise it: add one on MTE2, or drop the wait",
    ]


def test_a_held_scalar_unit_closes_the_cycle():
    text = message_of(aiv0=[("wait", "S", "V", 0), ("set", "V", "S", 0)])
    assert text.split("\n  ") == [
        "deadlock in 'kernel': 1 queue on 1 core waits for ever; the cycle is aiv0.0 S -> aiv0.0 V -> aiv0.0 S (-> waits for)",
        "k.py:1: aiv0.0 S, 'wait_op' waits for flag V -> S id 0, which 'set_op' at k.py:2 would raise",
        "k.py:2: aiv0.0 V, 'set_op' is not issued, the scalar unit is held by 'wait_op' at k.py:1",
    ]


def test_barrier_of_all_behind_a_wait():
    text = message_of(aiv0=[("wait", "V", "MTE2", 0), ("barrier", "ALL", -1), ("set", "MTE2", "V", 0)])
    assert text.split("\n  ")[1:] == [
        "k.py:2: aiv0.0 S, 'barrier_op' waits until V of its core are drained",
        "k.py:1: aiv0.0 V, 'wait_op' waits for flag MTE2 -> V id 0, which 'set_op' at k.py:3 would raise",
        "k.py:3: aiv0.0 MTE2, 'set_op' is not issued, the scalar unit is held by 'barrier_op' at k.py:2",
    ]


CROSSED = {
    "aic0": [("await", "M", 2), ("signal", "FIX", 1)],
    "aiv00": [("await", "V", 1), ("signal", "V", 2)],
    "aiv01": [("signal", "V", 2), ("await", "V", 1)],
}


def test_cross_core_cycle_with_the_counters():
    assert message_of(**CROSSED).split("\n  ") == [
        "deadlock in 'kernel': 3 queues on 3 cores wait for ever; the cycle is aic0 S -> aiv0.0 V -> aiv0.0 S -> aic0 FIX -> aic0 S (-> waits for)",
        "k.py:1: aic0 S, 'await_op' waits for cross-core flag 2 ('scores'): aiv0.0 V would signal it at k.py:4",
        "k.py:4: aiv0.0 V, 'signal_op' is not issued, the scalar unit is held by 'await_op' at k.py:3",
        "k.py:3: aiv0.0 S, 'await_op' waits for cross-core flag 1 ('scores'): aic0 FIX would signal it at k.py:2",
        "k.py:2: aic0 FIX, 'signal_op' is not issued, the scalar unit is held by 'await_op' at k.py:1",
        "k.py:6: aiv0.1 S, 'await_op' waits for cross-core flag 1 ('scores'): aic0 FIX would signal it at k.py:2",
        "cross-core counters of aic0: 2 ('scores'): 0 from aiv0.0, 1 from aiv0.1",
        "cross-core counters of aiv0.0: 1 ('scores'): 0 from aic0",
        "cross-core counters of aiv0.1: 1 ('scores'): 0 from aic0",
        "pipe 'scores': aic0 await_op 0 of 1, signal_op 0 of 1; aiv0.0 await_op 0 of 1, signal_op 0 of 1; aiv0.1 signal_op 1 of 1, await_op 0 of 1",
    ]


def test_a5_holds_only_the_pipe():
    a5 = {"aic0": [("await", "M", 2), ("signal", "FIX", 1)], "aiv0": [("await", "V", 1), ("signal", "V", 2)]}
    sites = [Site(k, kind, kind, pipe, f"k.py:{k + 1}") for k, (kind, pipe, _) in enumerate(a5["aic0"] + a5["aiv0"])]
    commands = [Command(site, flag=flag) for site, (_, _, flag) in zip(sites, a5["aic0"] + a5["aiv0"])]
    streams = [Stream(Core("aic", 0), commands[:2]), Stream(Core("aiv", 0), commands[2:])]
    assert schedule(Program("kernel", "a5", streams, sites), [[None] * 2] * 2, Costs(signal=7)).makespan == 14
    with pytest.raises(DeadlockError, match="2 queues on 2 cores wait for ever; the cycle is aic0 S"):
        schedule(Program("kernel", "a3", streams, sites), [[None] * 2] * 2, Costs(signal=7))


def test_await_without_a_signal():
    assert "aic0 has no signal of it left" in message_of(aic0=[("signal", "FIX", 1)], aiv0=[("await", "V", 1), ("await", "V", 1)])
    assert "cross-core counters of aiv0.0: 1 ('scores'): 0 from aic0; 4: 1 from aic0" in message_of(aic0=[("signal", "FIX", 4)], aiv0=[("await", "V", 1)])


def test_await_without_a_peer():
    text = message_of(aiv0=[("await", "V", 1)])
    assert "waits for cross-core flag 1 ('scores'), but the program has no other core in its block that could signal it" in text
    assert "cross-core counters of aiv0.0: 1 ('scores'): no sender" in text


def test_many_blocks_are_told_in_few_lines():
    text = message_of(**{f"aiv{block}": [("wait", "V", "M", 0)] for block in range(9)}, **{f"aic{block}": [("await", "M", 0)] for block in range(9)})
    assert "18 queues on 18 cores wait for ever" in text
    assert "\n  and 2 more\n" in text


def test_a_misused_flag_is_told_before_the_deadlock_that_it_causes():
    sites = [Site(k, *rest, f"k.py:{k + 1}", peer=peer) for k, (*rest, peer) in enumerate([("set", "set", "V", "M"), ("set", "set", "V", "M"), ("wait", "wait", "M", "S")])]
    stream = Stream(Core("aiv", 0), [Command(site, flag=0) for site in sites])
    with pytest.raises(SyncError, match=re.escape("k.py:2: 'set' on aiv0.0: flag V -> M id 0 is set while it is raised")):
        schedule(Program("kernel", "a3", [stream], sites), [[None] * 3], Costs())


def test_find_cycle_skips_branches_that_end():
    def item(pipe, *needs):
        return Blocked((0, pipe), 0, "", tuple((0, need) for need in needs))

    assert find_cycle([item("S", "V", "M"), item("V"), item("M", "FIX"), item("FIX", "V")]) == []
    cycle = find_cycle([item("S", "V", "M"), item("V", "FIX"), item("M", "MTE3"), item("MTE3", "FIX", "M"), item("FIX")])
    assert [member.node[1] for member in cycle] == ["M", "MTE3"]
