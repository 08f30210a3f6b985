"""The critical path: from the completion of the last command back to time 0, each step to what the time followed from.

Its segments tile [0, makespan]: each begins where the one before ends.  Where two things happened at once, the command's own queue counts
before a flag, and a flag before the scalar unit.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .history import History
from .table import AWAIT, BARRIER, BARRIER_ALL, SET, SHARED, SIGNAL, WAIT, WORK

CAUSES = ("work", "bandwidth", "latency", "sync", "signal", "issue")
"""What a segment is: an engine works at its price; it shares bandwidth; a result is on its way after the engine is free again; a flag or
barrier is handled; a cross-core signal travels; the scalar unit issues what comes before the command."""


class Segment(NamedTuple):
    """`begin` < `end` in fs, why, and the command whose line is named."""

    begin: int
    end: int
    cause: str
    command: int


def critical_path(history: History) -> list[Segment]:
    """The path, in the order of time; empty for a run that takes no time."""
    if not history.start.size:
        return []
    backwards = _Backwards(history, int(np.argmax(history.complete)))
    step = backwards.completion
    while step is not None:
        step = step()
    return backwards.segments[::-1]


class _Backwards:
    """Where the walk back stands: all before `at` is still to be explained, and follows from a time of `command`.

    Each step says which of the command's times comes next: completion, end or start.
    """

    def __init__(self, history: History, command: int) -> None:
        self.history, self.costs = history, history.plan.costs
        self.at, self.command = history.makespan, command
        self.segments: list[Segment] = []

    def _to(self, begin: int, cause: str) -> None:
        """The time from `begin` on is `cause`, of the current command."""
        begin = int(begin)
        assert begin <= self.at, "a command began after what followed from it"
        if begin < self.at:
            self.segments.append(Segment(begin, self.at, cause, self.command))
            self.at = begin

    def completion(self) -> Callable | None:
        """From a command's completion to its end or start, or to the completion of what it waited for."""
        history, g = self.history, self.command
        kind = history.kind[g]
        if kind in (WORK, SHARED):
            self._to(history.end[g], "latency")
            return self.finish
        waits = kind in (WAIT, AWAIT)
        self._to(self.at - (self.costs.wait_flag if waits else self.costs.barrier if kind in (BARRIER, BARRIER_ALL) else self.costs.set_flag), "sync")
        if (history.released if waits else history.drained)[g] <= history.start[g]:
            return self.begin
        self.command = int(history.released_by[g]) if waits else history.drained_by(g)
        if kind == AWAIT:
            self._to(history.complete[self.command], "signal")
        return self.completion

    def finish(self) -> Callable | None:
        """From a command's end to its start, or to what held it."""
        history, g = self.history, self.command
        if history.kind[g] in (SET, SIGNAL):
            self._to(history.start[g], "sync")
            return self.begin
        if history.kind[g] not in (WORK, SHARED):
            return self.completion()
        self._to(history.start[g] + history.plan.table.occupancy[history.plan.code[g]], "bandwidth")
        self._to(history.start[g], "work")
        return self.begin

    def begin(self) -> Callable | None:
        """From a command's start to the end of what came before it in its queue, or held the scalar unit; None at time 0."""
        history, g = self.history, self.command
        assert self.at == history.start[g], "the path has a gap"
        if history.before[g] >= 0 and history.free[g] >= self.at:
            self.command = int(history.before[g])
            return self.finish
        self._to(history.base[g], "issue")
        self.command = int(history.plan.hold[g])
        return self.finish if self.command >= 0 else None
