"""Slack: how much later each command could end without the run ending later, as if every transfer took as long as it did.

The rules of `engine.py` are gone through from the end: a command ends early enough for the next of its queue, for what the scalar unit
issues after it, and, by when it is complete, for each flag, barrier and signal that waits for it.
"""

import numpy as np

from .history import History
from .table import AWAIT, BARRIER_ALL, QUEUES, SET, SIGNAL, WAIT

MOST = 400_000
"""Simulated commands up to which slack is found: one after the other in Python, some microseconds each."""


def slack(history: History) -> np.ndarray | None:
    """fs by command, at least 0; None for a run of more than MOST simulated commands."""
    if history.start.size > MOST:
        return None
    latest = _Latest(history)
    while latest.walk():
        pass
    return np.array(latest.start, np.int64) - history.start


class _Latest:
    """Latest start and completion of every command; a walk lowers them, until one finds nothing to lower."""

    def __init__(self, history: History) -> None:
        size = history.start.size
        self.history, self.costs = history, history.plan.costs
        self.start = [history.makespan] * size
        self.complete = [history.makespan] * size
        self.order = np.lexsort((np.arange(size), history.start, history.end))[::-1].tolist()
        columns = (history.kind, history.queue, history.end - history.start, history.complete - history.start, history.before, history.plan.hold, history.plan.index)
        self.columns = tuple(column.tolist() for column in columns)
        self.flag, self.signals = history.released_by.tolist(), _signals_of(history)

    def walk(self) -> bool:
        """One walk from the end; True if a time was lowered that an earlier step of this walk had used."""
        kind, queue, taken, result, before, hold, index = self.columns
        costs, makespan, start, complete = self.costs, self.history.makespan, self.start, self.complete
        ends = [makespan] * len(start)
        flushed = [makespan] * (len(self.history.plan.streams) * QUEUES)
        drained = [makespan] * len(self.history.plan.streams)
        again, seen = False, [False] * len(start)
        for g in self.order:
            q, k = queue[g], kind[g]
            done = min(complete[g], flushed[q], drained[q // QUEUES])
            waits, flushes = k == WAIT or k == AWAIT, k == SET or k == SIGNAL
            end = min(ends[g], done) if waits or (k >= 4 and not flushes) else ends[g]
            if waits:
                latest = end - costs.wait_flag
                for raised in self.signals.get(g, (self.flag[g],)) if k == AWAIT else (self.flag[g],):
                    due = latest - (costs.signal if k == AWAIT else 0)
                    if raised >= 0 and due < complete[raised]:
                        complete[raised] = due
                        again = again or seen[raised]
            elif flushes:
                latest = min(end - costs.set_flag, done - costs.set_flag)
                flushed[q] = min(flushed[q], done - costs.set_flag)
            elif k >= 4:
                latest = end - costs.barrier
                flushed[q] = min(flushed[q], latest)
                if k == BARRIER_ALL:
                    drained[q // QUEUES] = min(drained[q // QUEUES], latest)
            else:
                latest = min(end - taken[g], done - result[g])
            start[g], seen[g] = latest, True
            if before[g] >= 0:
                ends[before[g]] = min(ends[before[g]], latest)
            if hold[g] >= 0:
                ends[hold[g]] = min(ends[hold[g]], latest - costs.issue * (index[g] - index[hold[g]]))
        return again


def _signals_of(history: History) -> dict[int, tuple[int, ...]]:
    """Of an await all the signals that it takes, one of each core of the other kind."""
    found: dict[int, list[int]] = {}
    for awaits, signals in history.crossings():
        for await_, signal in zip(awaits.tolist(), signals.tolist()):
            found.setdefault(await_, []).append(signal)
    return {await_: tuple(signals) for await_, signals in found.items()}
