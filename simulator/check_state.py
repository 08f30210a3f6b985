"""The state of a walk at one point as numbers, and how it is put back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .check_flags import Raise
from .check_pattern import Pattern
from .check_regions import READS
from .replay import Queue

if TYPE_CHECKING:
    from .check_clocks import Clocks

EntryKey = tuple[int, int, int, int]  # stream (one past the last: memory that cores share), region, kind, queue


@dataclass
class State:
    """The state of a walk at one point.

    shape: what must be the same again.  clocks: [number, row, column]; places, columns: single places and the clock column that they
    belong to.  entries: those of tables that some queue will yet be asked about, (place, queues asked).
    """

    next: list[int]
    front: list[int]
    shape: list
    clocks: list[np.ndarray]
    places: np.ndarray
    columns: np.ndarray
    entries: dict[EntryKey, tuple[int, int]]
    missing: dict[tuple[int, int], int]


class Observer:
    """Reads and writes the state of one walk.  `stream_of`: the stream that each column of a clock belongs to."""

    def __init__(self, walk: "Clocks", pattern: Pattern) -> None:
        self.walk = walk
        self.stream_of = np.array([*(queue.stream for queue in walk.queues), *range(len(walk.cores))])
        self._bits = 1 << np.arange(len(walk.queues), dtype=np.int64)
        mine = [sum(1 << queue.local for queue in queues.values()) for queues in walk.cores]
        self._askers = [*mine, sum(mine)]
        self._never = [walk.never_asked(queue) for queue in walk.queues]
        self._last = pattern.last(walk.queue_numbers(), len(walk.queues))

    def state(self) -> State:
        """The state now."""
        walk = self.walk
        front = [min([at, *(q.waiting[0][0] for q in queues.values() if q.waiting)]) for at, queues in zip(walk.next, walk.cores)]
        shape, clocks, places = self._read()
        columns, values = zip(*places) if places else ((), ())
        counts = {key: count for key, (_, count) in walk.missing.items()}
        return State(list(walk.next), front, shape, clocks, np.array(values, np.int64), np.array(columns, np.int64), self._entries(), counts)

    def put_back(self, arrays: dict[int, np.ndarray], values: Iterator[int]) -> None:
        """Replaces clocks (by identity) and single places (in the order of `State.places`)."""
        walk, rules = self.walk, self.walk.rules
        for queue in walk.queues:
            queue.seen = arrays.get(id(queue.seen), queue.seen)
            queue.state = arrays[id(queue.state)]
            for number, (_, issued) in enumerate(queue.waiting):
                queue.waiting[number] = (next(values), arrays[id(issued)])
        for key in _sorted(walk.flags):
            tokens = walk.flags[key]
            for number, (token, made) in enumerate(tokens):
                tokens[number] = (arrays[id(token)], made)
        for _, made in self._raises():
            made.index = next(values)
            if made.taken >= 0:
                made.taken = next(values)
        for key in _sorted(rules.awaits):
            awaits = rules.awaits[key]
            for number, (queue, _) in enumerate(awaits):
                awaits[number] = (queue, next(values))
        for key in _sorted(rules.latest):
            rules.latest[key] = (rules.latest[key][0], next(values))

    def _entries(self) -> dict[EntryKey, tuple[int, int]]:
        """Entries of tables that a queue will ask about that has not: those that it meets in its own commands from here on."""
        walk = self.walk
        at = np.array([queue.waiting[0][0] if queue.waiting else walk.next[queue.stream] for queue in walk.queues])
        using, writing = ((last >= at[:, None]).T @ self._bits for last in self._last)
        return {
            (stream, region, kind, queue.local): (entry[0], entry[1])
            for stream, table in enumerate([*walk.tables, walk.shared])
            for region, kinds in table.items()
            for kind, of_kind in enumerate(kinds)
            for queue, entry in of_kind.items()
            if int((writing if kind == READS else using)[region]) & self._askers[stream] & ~entry[1] & ~self._never[queue.local][kind]
        }

    def _read(self) -> tuple[list, list[np.ndarray], list[tuple[int, int]]]:
        """(shape, clocks, places with their columns) of all but the tables."""
        walk, rules = self.walk, self.walk.rules
        shape: list = [_names(walk._parked), sorted((str(key), _names(queues)) for key, queues in walk._waiters.items())]
        clocks: list[np.ndarray] = []
        places: list[tuple[int, int]] = []
        for queue in walk.queues:
            clocks.append(queue.state)
            shape.append(len(queue.waiting))
            for index, issued in queue.waiting:
                clocks.append(issued)
                places.append((queue.local, index))
        for key in _sorted(walk.flags):
            shape.append((key, len(walk.flags[key])))
            clocks.extend(token for token, _ in walk.flags[key])
        for key, made in self._raises():
            shape.append((key, made.unit, made.taken >= 0))
            queues = walk.cores[key[0]]
            places.append((queues[key[1]].local, made.index))
            if made.taken >= 0:
                places.append((queues[key[2]].local, made.taken))
        for key in _sorted(rules.awaits):
            shape.append((key, [queue.local for queue, _ in rules.awaits[key]]))
            places.extend((queue.passed, at) for queue, at in rules.awaits[key])
        for key in _sorted(rules.latest):
            queue, at = rules.latest[key]
            shape.append((key, queue.local))
            places.append((queue.passed if key[0] == "await" else queue.local, at))
        return shape, clocks, places

    def _raises(self) -> list[tuple[tuple, Raise]]:
        """Sets that the rules remember, and those whose flag is up; each once."""
        found: dict[int, tuple[tuple, Raise]] = {}
        for key in _sorted(self.walk.rules.raises):
            found |= {id(made): (key, made) for made in self.walk.rules.raises[key]}
        for key in _sorted(self.walk.flags):
            found |= {id(made): (key, made) for _, made in self.walk.flags[key] if made is not None}
        return list(found.values())


def _names(queues: list[Queue]) -> list[tuple[int, str]]:
    return [(queue.stream, queue.pipe) for queue in queues]


def _sorted(keyed: dict) -> list[tuple]:
    return sorted(keyed, key=lambda key: (len(key), str(key)))
