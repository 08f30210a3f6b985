"""A walk skips what it need not see: once the state of a loop repeats, the iterations that are still alike change it in the same way.

The state of a walk holds places in the streams (in clocks, tables, flags) and regions.  Between two points of a loop each place must have
stayed or moved on by the period of its stream, those that stayed all lying before those that moved; and the regions must have moved by
one map that keeps which of them overlap.  Whatever a walk does with places (the larger of two, is one before the other) and regions (do
they overlap) then gives the same again, moved once more, for as long as the commands are alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .check_flags import Raise
from .check_pattern import Pattern, Stretch
from .check_regions import READS

if TYPE_CHECKING:
    from .check_clocks import Clocks

SNAPSHOT_COMMANDS = 100
"""Commands of the leading stream between two looks at the state: a look costs about as much as walking them."""

LOOKS_MAX = 64
"""Looks at one stretch; then it is walked."""

EntryKey = tuple[int, int, int, int]  # stream (-1: shared memory), region, kind, queue


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


@dataclass
class Lead:
    """A stretch of the leading stream during a walk: the next place to look from, the state there before, and one saved for longer."""

    stretch: Stretch
    stride: int
    at: int
    looks: int = 0
    before: State | None = None
    saved: State | None = None


class Skipper:
    """Looks at the state of one walk at the beginnings of loop bodies, and moves it on where it repeats."""

    def __init__(self, walk: "Clocks", pattern: Pattern) -> None:
        self.walk, self.pattern = walk, pattern
        self.skipped = 0
        self.leads: list[Lead] = []
        for stretch in pattern.stretches:
            stride = -(-SNAPSHOT_COMMANDS // stretch.period) * stretch.period
            if stretch.end - stretch.start >= 4 * stride:
                self.leads.append(Lead(stretch, stride, stretch.start))
        self._stream_of = np.array([*(queue.stream for queue in walk.queues), *range(len(walk.cores))])
        self._bits = 1 << np.arange(len(walk.queues), dtype=np.int64)
        mine = [sum(1 << queue.local for queue in queues.values()) for queues in walk.cores]
        self._askers = [*mine, sum(mine)]
        self._free = [walk.never_asked(queue) for queue in walk.queues]
        self._last = pattern.last(walk.queue_numbers(), len(walk.queues)) if self.leads else ()

    def look(self) -> None:
        """Looks if this is a place to look from."""
        here = self.walk.next[self.walk.leader]
        state: State | None = None
        for lead in self.leads:
            if lead.at < here:
                lead.at += -(-(here - lead.at) // lead.stride) * lead.stride
            if lead.at > here or lead.at + lead.stride > lead.stretch.end or lead.looks == LOOKS_MAX:
                continue
            state = state or self._state()
            lead.looks += 1
            for one in (lead.before, lead.saved if lead.saved is not lead.before else None):
                rounds = self._skip(one, state) if one is not None else 0
                if rounds:
                    self.skipped += rounds
                    return
            lead.before = state
            if lead.looks & (lead.looks - 1) == 0:  # the distance to the saved one takes every value, in the end
                lead.saved = state

    def _state(self) -> State:
        walk = self.walk
        front = [min([at, *(q.waiting[0][0] for q in queues.values() if q.waiting)]) for at, queues in zip(walk.next, walk.cores)]
        at = np.array([queue.waiting[0][0] if queue.waiting else walk.next[queue.stream] for queue in walk.queues])
        using, writing = ((last >= at[:, None]).T @ self._bits for last in self._last)
        entries = {
            (stream, region, kind, queue.local): (entry[0], entry[1])
            for stream, table in enumerate([*walk.tables, walk.shared])
            for region, kinds in table.items()
            for kind, of_kind in enumerate(kinds)
            for queue, entry in of_kind.items()
            if int((writing if kind == READS else using)[region]) & self._askers[stream] & ~entry[1] & ~self._free[queue.local][kind]
        }
        shape, clocks, places = _inside(walk)
        columns, values = zip(*places) if places else ((), ())
        counts = {key: count for key, (_, count) in walk.missing.items()}
        return State(list(walk.next), front, shape, clocks, np.array(values, np.int64), np.array(columns, np.int64), entries, counts)

    def _skip(self, one: State, two: State) -> int:
        """Moves the walk, which is at `two`, on by as many times the way from `one` to `two` as is certain; their number."""
        periods = [b - a for a, b in zip(one.next, two.next)]
        rounds = min(
            ((self.pattern.alike_until(s, one.front[s], p) - one.next[s]) // p for s, p in enumerate(periods) if p), default=0
        )
        if rounds < 1 or one.shape != two.shape or not self._moved(one, two, periods, None):
            return 0
        mapping = RegionMap(self.pattern, one, periods, rounds)
        if mapping.rounds < 1 or not mapping.keeps_overlaps({key[1] for key in one.entries}):
            return 0
        target = mapping.target()
        paired = {(s, int(target[r]), k, q): key for key in one.entries for s, r, k, q in (key,)}
        if paired.keys() != two.entries.keys() or any(one.entries[key][1] != two.entries[moved][1] for moved, key in paired.items()):
            return 0
        if not self._moved(one, two, periods, paired):
            return 0
        rounds, final = mapping.power({key[1] for key in two.entries})
        if rounds:
            self._move(one, two, periods, rounds, final, paired)
        return rounds

    def _moved(self, one: State, two: State, periods: list[int], paired: dict[EntryKey, EntryKey] | None) -> bool:
        """True if every place stayed or moved by its period, and in each stream those that stayed lie before those that moved."""
        alive = self.walk.alive
        columns = np.arange(self._stream_of.size)
        before = [a[alive].ravel() for a in one.clocks] + [one.places]
        after = [a[alive].ravel() for a in two.clocks] + [two.places]
        belong = [np.tile(columns, int(alive.sum()) * len(one.clocks)), one.columns]
        if paired:
            before.append(np.array([one.entries[key][0] for key in paired.values()]))
            after.append(np.array([two.entries[key][0] for key in paired]))
            belong.append(np.array([key[3] for key in paired]))
        first, second, column = np.concatenate(before), np.concatenate(after), np.concatenate(belong)
        stream = self._stream_of[column]
        period = np.array(periods)[stream]
        moved, stayed = second - first == period, second == first
        if not (moved | stayed).all():
            return False
        return all(
            np.max(first[stayed & mine], initial=-1) < np.min(first[moved & mine], initial=np.iinfo(np.int64).max)
            for mine in (stream == number for number, step in enumerate(periods) if step)
        )

    def _move(self, one: State, two: State, periods: list[int], rounds: int, final: np.ndarray, paired: dict[EntryKey, EntryKey]) -> None:
        """Moves places on by `rounds` periods and regions to `final`."""
        walk = self.walk
        way = np.array(periods) * rounds
        by_column = np.array(periods)[self._stream_of]

        def on(before: int, after: int, stream: int) -> int:
            return after + int(way[stream]) if after != before else after

        arrays = {
            id(after): after + np.where(after - before == by_column, by_column, 0) * rounds for before, after in zip(one.clocks, two.clocks)
        }
        values = iter([on(a, b, int(self._stream_of[c])) for a, b, c in zip(one.places.tolist(), two.places.tolist(), one.columns)])
        _put_back(walk, arrays, values)
        walk.next[:] = [at + int(step) for at, step in zip(walk.next, way)]
        queues = walk.queues
        for table in (*walk.tables, walk.shared):
            table.clear()
        for (stream, region, kind, queue), key in paired.items():
            place, asked = two.entries[stream, region, kind, queue]
            table = walk.shared if stream == len(walk.tables) else walk.tables[stream]
            moved = on(one.entries[key][0], place, queues[queue].stream)
            table.setdefault(int(final[region]), ({}, {}, {}))[kind][queues[queue]] = [moved, asked]
        for key, found in walk.missing.items():
            found[1] += rounds * (two.missing.get(key, 0) - one.missing.get(key, 0))


class RegionMap:
    """Regions of the commands from `state` on, and of those a period later: `rounds` periods of them, fewer where they do not match."""

    def __init__(self, pattern: Pattern, state: State, periods: list[int], rounds: int) -> None:
        self.pattern, self.rounds = pattern, rounds
        self.to = np.full(pattern.size + 1, -1, np.int64)
        while self.rounds > 0 and not self._read(state, periods):
            pass

    def _read(self, state: State, periods: list[int]) -> bool:
        """Reads the map; False, with fewer rounds, where it is not one to one."""
        pairs = []
        for stream, period in enumerate(periods):
            if period:
                offsets, regions = self.pattern.offsets[stream], self.pattern.regions[stream]
                first, end = state.front[stream], state.next[stream] + self.rounds * period
                pairs.append((regions[offsets[first] : offsets[end]], regions[offsets[first + period] : offsets[end + period]]))
        source, image = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        bad = np.zeros(source.size, bool)
        for keys, values in ((source, image), (image, source)):
            table = np.full(self.pattern.size + 1, -1, np.int64)
            table[keys[::-1]] = values[::-1]  # the first one stays
            bad |= table[keys] != values
        if not bad.any():
            self.to[:] = -1
            self.to[source] = image
            return True
        place = 0
        for (stream, period), (part, _) in zip(((s, p) for s, p in enumerate(periods) if p), pairs):
            wrong = np.flatnonzero(bad[place : place + part.size])
            place += part.size
            if wrong.size:
                offsets = self.pattern.offsets[stream]
                command = int(np.searchsorted(offsets, offsets[state.front[stream]] + wrong[0], side="right")) - 1
                self.rounds = min(self.rounds - 1, (command - state.next[stream]) // period)
        return False

    def target(self) -> np.ndarray:
        """Where each region goes in one period: regions that the commands do not touch stay; `size` where that is not known."""
        nowhere = self.pattern.size
        result = np.arange(nowhere + 1)
        known = self.to >= 0
        result[self.to[known]] = nowhere
        result[known] = self.to[known]
        return result

    def keeps_overlaps(self, present: set[int]) -> bool:
        """True if regions that the commands touch overlap the same ones, of them and of those in tables, after the move."""
        sources = np.flatnonzero(self.to >= 0)
        images = self.to[sources]
        staying = {region for region in present if self.to[region] < 0}
        reached = set(images.tolist())
        if staying & reached:
            return False
        if np.array_equal(sources, images):
            return True
        target = self.target()
        old, new = present | set(sources.tolist()), staying | reached
        neighbours = self.pattern.neighbours
        return all(
            {int(target[other]) for other in neighbours[a] if other in old} == {other for other in neighbours[b] if other in new}
            for a, b in zip(sources.tolist(), images.tolist())
        )

    def power(self, present: set[int]) -> tuple[int, np.ndarray]:
        """(rounds, where regions go in so many): fewer than `self.rounds` where one that is present would go nobody knows where."""
        regions = list(present)
        for rounds in (self.rounds, self.rounds - 1, self.rounds // 2):
            result, square, rest = np.arange(self.pattern.size + 1), self.target(), rounds
            while rest:
                if rest & 1:
                    result = square[result]
                square, rest = square[square], rest >> 1
            if (result[regions] < self.pattern.size).all():
                return rounds, result
        return 0, self.target()


def _inside(walk: "Clocks") -> tuple[list, list[np.ndarray], list[tuple[int, int]]]:
    """(shape, clocks, places with their columns) of all but the tables; `_put_back` goes through them in the same order."""
    shape: list = [
        [(q.stream, q.pipe) for q in walk._parked],
        sorted((str(key), [(q.stream, q.pipe) for q in queues]) for key, queues in walk._waiters.items()),
    ]
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
    for key, made in _raises(walk):
        shape.append((key, made.unit, made.taken >= 0))
        queues = walk.cores[key[0]]
        places.append((queues[key[1]].local, made.index))
        if made.taken >= 0:
            places.append((queues[key[2]].local, made.taken))
    rules = walk.rules
    for key in _sorted(rules.awaits):
        shape.append((key, [queue.local for queue, _ in rules.awaits[key]]))
        places.extend((queue.passed, at) for queue, at in rules.awaits[key])
    for key in _sorted(rules.latest):
        queue, at = rules.latest[key]
        shape.append((key, queue.local))
        places.append((queue.passed if key[0] == "await" else queue.local, at))
    return shape, clocks, places


def _put_back(walk: "Clocks", arrays: dict[int, np.ndarray], values: Iterator[int]) -> None:
    for queue in walk.queues:
        queue.seen = arrays.get(id(queue.seen), queue.seen)
        queue.state = arrays[id(queue.state)]
        for number, (_, issued) in enumerate(queue.waiting):
            queue.waiting[number] = (next(values), arrays[id(issued)])
    for key in _sorted(walk.flags):
        tokens = walk.flags[key]
        for number, (token, made) in enumerate(tokens):
            tokens[number] = (arrays[id(token)], made)
    for _, made in _raises(walk):
        made.index = next(values)
        if made.taken >= 0:
            made.taken = next(values)
    rules = walk.rules
    for key in _sorted(rules.awaits):
        awaits = rules.awaits[key]
        for number, (queue, _) in enumerate(awaits):
            awaits[number] = (queue, next(values))
    for key in _sorted(rules.latest):
        rules.latest[key] = (rules.latest[key][0], next(values))


def _raises(walk: "Clocks") -> list[tuple[tuple, Raise]]:
    """Sets that the rules remember, and those whose flag is up; each once."""
    found: dict[int, tuple[tuple, Raise]] = {}
    for key in _sorted(walk.rules.raises):
        found |= {id(made): (key, made) for made in walk.rules.raises[key]}
    for key in _sorted(walk.flags):
        found |= {id(made): (key, made) for _, made in walk.flags[key] if made is not None}
    return list(found.values())


def _sorted(keyed: dict) -> list[tuple]:
    return sorted(keyed, key=lambda key: (len(key), str(key)))
