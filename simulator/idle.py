"""Where the time of an engine goes: intervals that tile [0, makespan], each with its cause and, where another command is to blame, which.

What holds the scalar unit holds an engine that waits for its next command: such a wait has the cause that the scalar unit had.
"""

from dataclasses import dataclass

import numpy as np

from .history import History
from .table import AWAIT, BARRIER, BARRIER_ALL, QUEUES, SET, SIGNAL, WAIT

CAUSES = ("work", "bandwidth", "data", "slot", "signal", "barrier", "sync", "scalar", "issue", "tail")
"""work: at its price; bandwidth: transfers take longer for sharing it; data: waits for a flag or signal behind what another engine makes;
slot: the same for room; signal: a cross-core signal that was raised travels; barrier: waits for earlier results; sync: handles flags and
barriers; scalar: the scalar unit works; issue: the scalar unit has not come to the next command; tail: all of its commands are done."""

WORK, BANDWIDTH, DATA, SLOT, SIGNALLED, DRAIN, SYNC, SCALAR, ISSUE, TAIL = range(len(CAUSES))


@dataclass
class Intervals:
    """Columns in the order of time: begin and end in fs, number in CAUSES, the engine's command (-1: none is left), the one to blame, and
    the one that waited for it, which is the engine's or one that held the scalar unit (-1: none).
    """

    begin: np.ndarray
    end: np.ndarray
    cause: np.ndarray
    command: np.ndarray
    culprit: np.ndarray
    waiter: np.ndarray

    def columns(self) -> tuple[np.ndarray, ...]:
        """The six columns."""
        return self.begin, self.end, self.cause, self.command, self.culprit, self.waiter

    def total(self) -> np.ndarray:
        """fs by cause."""
        result = np.zeros(len(CAUSES), np.int64)
        np.add.at(result, self.cause, self.end - self.begin)
        return result


def engine_time(history: History, queue: int, scalar: Intervals | None = None) -> Intervals:
    """How one engine spends [0, makespan].  `scalar`: the same of its core's scalar unit; made where it is not given."""
    first = queue // QUEUES * QUEUES
    if queue == first:
        return _joined(history, queue, history.commands_of(queue), None)
    scalar = engine_time(history, first) if scalar is None else scalar
    return _joined(history, queue, history.commands_of(queue), scalar)


def _joined(history: History, queue: int, mine: np.ndarray, scalar: Intervals | None) -> Intervals:
    """Each command's wait for its issue, and what it does; then the tail."""
    start, free = history.start[mine], history.free[mine]
    held = np.clip(history.base[mine], free, start)
    nothing = np.full(mine.size, -1, np.int64)
    parts = [(held, start, np.full(mine.size, ISSUE), mine, nothing, nothing)]
    if scalar is None:
        parts.append((free, held, np.full(mine.size, ISSUE), mine, nothing, nothing))
    else:
        parts.append(_held(free, held, mine, scalar))
    parts += _doing(history, mine)
    last = int(history.end[mine[-1]]) if mine.size else 0
    alone = np.array([-1])
    parts.append((np.array([last]), np.array([history.makespan]), np.array([TAIL]), alone, alone, alone))
    columns = [np.concatenate(column) for column in zip(*parts)]
    kept = columns[1] > columns[0]
    columns = [column[kept] for column in columns]
    order = np.argsort(columns[0], kind="stable")
    return Intervals(*(column[order] for column in columns))


def _held(begin: np.ndarray, end: np.ndarray, mine: np.ndarray, scalar: Intervals) -> tuple[np.ndarray, ...]:
    """The waits [begin, end) for the scalar unit, cut into what it did meanwhile."""
    some = end > begin
    begin, end, mine = begin[some], end[some], mine[some]
    low = np.searchsorted(scalar.end, begin, side="right")
    high = np.searchsorted(scalar.begin, end, side="left")
    counts = high - low
    wait = np.repeat(np.arange(begin.size), counts)
    at = np.arange(wait.size) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    cause = np.where(scalar.cause[at] == WORK, SCALAR, scalar.cause[at])
    blamed = np.where(scalar.culprit[at] >= 0, scalar.culprit[at], scalar.command[at])
    idle = cause == ISSUE
    begins, ends = np.maximum(scalar.begin[at], begin[wait]), np.minimum(scalar.end[at], end[wait])
    return begins, ends, cause, mine[wait], np.where(idle, -1, blamed), np.where(idle, -1, scalar.command[at])


def _doing(history: History, mine: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """What the commands do between start and end: work and sharing, or waiting and then handling of flags."""
    start, end, kind = history.start[mine], history.end[mine], history.kind[mine]
    nothing = np.full(mine.size, -1, np.int64)
    works = history.works[mine]
    priced = start + history.plan.table.occupancy[history.plan.code[mine]]
    waits = (kind == WAIT) | (kind == AWAIT)
    drains = (kind == BARRIER) | (kind == BARRIER_ALL)
    raised = (kind == SET) | (kind == SIGNAL)
    by = history.released_by[mine]
    there = np.where(by >= 0, history.complete[by], 0)
    arrived = np.where(waits, there, np.where(drains, history.drained[mine], start))
    arrived = np.clip(arrived, start, end)
    travelled = np.where(waits, np.clip(history.released[mine], arrived, end), arrived)
    reason = np.where(waits, np.where(history.slot[mine], SLOT, DATA), DRAIN)
    blamed = np.where(waits, history.producer[mine], nothing)
    blamed[drains] = [history.drained_by(int(g)) for g in mine[drains]]
    work = works, [(start, priced, WORK, nothing), (priced, end, BANDWIDTH, nothing)]
    held = waits | drains, [(start, arrived, None, blamed), (arrived, travelled, SIGNALLED, blamed), (travelled, end, SYNC, nothing)]
    plain = raised, [(start, end, SYNC, nothing)]
    parts = []
    for mask, pieces in (work, held, plain):
        for begin, stop, cause, culprit in pieces:
            causes = reason[mask] if cause is None else np.full(int(mask.sum()), cause)
            parts.append((begin[mask], stop[mask], causes, mine[mask], culprit[mask], mine[mask]))
    return parts
