"""What each command of a timeline followed from: the rules of `engine.py` read backwards, exactly, as integer arrays.

Commands are numbered as in the plan, through the simulated streams; alike cores have one history.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ptoc.dialect.errors import NotSupportedError

from .plan import Plan
from .program import Core, Site
from .table import AWAIT, BARRIER_ALL, QUEUES, SHARED, SIGNAL, WAIT, WORK
from .timeline import PIPES, Timeline

MOST = 10_000_000
"""Simulated commands of a run that is explained: the times of each are looked at, which takes about 250 bytes a command."""


class History:
    """start, end, complete of every command of `plan`, in fs, and what they followed from.

    Raises: NotSupportedError for a run of more than MOST simulated commands.
    """

    def __init__(self, timeline: Timeline) -> None:
        plan: Plan = timeline.plan
        size = int(plan.first[-1])
        if size > MOST:
            raise NotSupportedError(f"{plan.program.name}: an explanation looks at every simulated command, at most {MOST}; this run has {size}: give smaller sizes")
        self.timeline, self.plan, self.makespan = timeline, plan, timeline.makespan
        self.start, self.end, self.complete = (self._column(column) for column in (timeline.start, timeline.end, timeline.complete))

    def _column(self, column: Any) -> np.ndarray:
        parts = [column[number] for number in self.plan.streams]
        return np.concatenate(parts).astype(np.int64, copy=False) if parts else np.zeros(0, np.int64)

    # facts of commands

    @cached_property
    def kind(self) -> np.ndarray:
        """Kind of every command, see `table.py`."""
        return self.plan.kind

    @cached_property
    def works(self) -> np.ndarray:
        """True for commands that are work."""
        return (self.kind == WORK) | (self.kind == SHARED)

    @cached_property
    def queue(self) -> np.ndarray:
        """Queue of every command: simulated stream * QUEUES + pipe."""
        return self.plan.queue

    def site(self, command: int) -> Site:
        """The site of a command."""
        return self.plan.table.rows[self.plan.code[command]][0]

    def core(self, simulated: int) -> Core:
        """The core of a simulated stream."""
        return self.plan.program.streams[self.plan.streams[simulated]].core

    def pipe(self, command: int) -> str:
        """The name of a command's queue."""
        return PIPES[int(self.queue[command]) % QUEUES]

    def commands_of(self, queue: int) -> np.ndarray:
        """The commands of a queue in program order."""
        plan = self.plan
        return plan.order[plan.qstart[queue] : plan.qstart[queue + 1]]

    # what a command followed from

    @cached_property
    def before(self) -> np.ndarray:
        """The previous command of the same queue, -1 for none."""
        order, before = self.plan.order, np.full(self.start.size, -1, np.int64)
        same = self.queue[order[1:]] == self.queue[order[:-1]]
        before[order[1:][same]] = order[:-1][same]
        return before

    @cached_property
    def free(self) -> np.ndarray:
        """When the queue of each command was free for it: the end of the one before, 0 for the first."""
        return np.where(self.before >= 0, self.end[self.before], 0)

    @cached_property
    def base(self) -> np.ndarray:
        """When the scalar unit went on to issue what leads to each command: the end of what held it, 0 for nothing."""
        return np.where(self.plan.hold >= 0, self.end[self.plan.hold], 0)

    @cached_property
    def done(self) -> np.ndarray:
        """The earlier command of the same queue that was complete last, -1 for none; of equal ones the first."""
        result = np.full(self.start.size, -1, np.int64)
        for queue in range(len(self.plan.streams) * QUEUES):
            mine = self.commands_of(queue)
            if mine.size > 1:
                complete = self.complete[mine]
                highest = np.maximum.accumulate(complete)
                fresh = np.concatenate(([True], complete[1:] > highest[:-1]))
                leader = np.maximum.accumulate(np.where(fresh, np.arange(mine.size), 0))
                result[mine[1:]] = mine[leader[:-1]]
        return result

    def crossings(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(awaits, the signals that they took) of each receiver, flag and sender, in the order of time."""
        plan = self.plan
        for receiver in range(len(plan.streams)):
            awaits = plan.awaits_of(receiver)
            flags = plan.table.flag[plan.code[awaits]]
            for flag in np.unique(flags).tolist():
                mine = self._in_time(awaits[flags == flag], self.end)
                for sender in plan.peers.senders(receiver, flag):
                    yield mine, self._in_time(plan.signals_of(sender, flag), self.complete)[: mine.size]

    @cached_property
    def released_by(self) -> np.ndarray:
        """Of a wait its set, of an await the signal that arrived last, -1 for other commands."""
        result = np.where(self.kind == WAIT, self.plan.partner, -1)
        for awaits, signals in self.crossings():
            known = np.where(result[awaits] >= 0, self.complete[result[awaits]], -1)
            result[awaits] = np.where(self.complete[signals] > known, signals, result[awaits])
        return result

    @staticmethod
    def _in_time(commands: np.ndarray, times: np.ndarray) -> np.ndarray:
        return commands[np.lexsort((commands, times[commands]))]

    @cached_property
    def released(self) -> np.ndarray:
        """When what a wait or await waited for had arrived, 0 for other commands."""
        result = np.where(self.released_by >= 0, self.complete[self.released_by], 0)
        return np.where(self.kind == AWAIT, result + self.plan.costs.signal, result)

    @cached_property
    def drained(self) -> np.ndarray:
        """When all was complete that a set, signal or barrier waits for, 0 for other commands and where there is nothing."""
        plain = (self.kind >= 2) & (self.kind <= SIGNAL) & (self.kind != WAIT)
        result = np.where(plain & (self.done >= 0), self.complete[self.done], 0)
        for barrier in np.flatnonzero(self.kind == BARRIER_ALL).tolist():
            culprit = self.drained_by(barrier)
            result[barrier] = self.complete[culprit] if culprit >= 0 else 0
        return result

    def drained_by(self, command: int) -> int:
        """Which command a set, signal or barrier found complete last, -1 for none; of equal ones that of the first queue."""
        if self.kind[command] != BARRIER_ALL:
            return int(self.done[command])
        best = int(self.done[command])
        first = int(self.queue[command]) // QUEUES * QUEUES
        for queue in range(first + 1, first + QUEUES):
            mine = self.commands_of(queue)
            at = int(np.searchsorted(mine, command))
            if at:
                last = int(mine[at - 1])
                found = last if self.done[last] < 0 or self.complete[last] > self.complete[self.done[last]] else int(self.done[last])
                best = found if best < 0 or self.complete[found] > self.complete[best] else best
        return best

    @cached_property
    def producer(self) -> np.ndarray:
        """Of a set or signal the last work before it in its queue, of a wait or await that of what released it; -1 for none."""
        order = self.plan.order
        at = np.maximum.accumulate(np.where(self.works[order], np.arange(order.size), -1)) if order.size else order
        last = np.where(at >= 0, order[np.maximum(at, 0)], -1)
        result = np.full(order.size, -1, np.int64)
        result[order] = np.where((last >= 0) & (self.queue[np.maximum(last, 0)] == self.queue[order]), last, -1)
        held = self.released_by >= 0
        result[held] = result[self.released_by[held]]
        return result

    # slots and data

    @cached_property
    def slot(self) -> np.ndarray:
        """True for waits and awaits of a free slot: their flag is primed, or it goes against the flow of data."""
        table = self.plan.table
        primed = {site.unit for site, _, _ in table.rows if site.role == "prime" and site.unit >= 0}
        codes = np.array([waits_for_slot(site, primed) for site, _, _ in table.rows], bool)
        return codes[self.plan.code] if codes.size else np.zeros(self.start.size, bool)


FLOW = frozenset({("V", "MTE2"), ("MTE1", "MTE2"), ("M", "MTE1"), ("FIX", "M"), ("MTE3", "V"), ("FIX", "V"), ("FIX", "MTE1"), ("MTE3", "MTE1"), ("MTE2", "SDMA")})
"""(raising pipe, waiting pipe) against the flow of data through a core: what is handed over is room."""


def waits_for_slot(site: Site, primed: set[int]) -> bool:
    """Whether a wait or await is for room: a slot that a pipe's consumer frees, a primed flag, or one against the flow of data."""
    if site.kind == "await":
        return site.op == "talloc"
    return site.kind == "wait" and ((site.unit >= 0 and site.unit in primed) or (site.peer, site.pipe) in FLOW)

