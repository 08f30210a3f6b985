"""A walk skips what it need not see: once the state of a loop repeats, the iterations that are still alike change it in the same way.

The state of a walk holds places in the streams (in clocks, tables, flags) and regions.  Between two points of a loop each place must have
stayed or moved on by the period of its stream, those that stayed all lying before those that moved; and the regions must have moved by
one map that keeps which of them overlap.  Whatever a walk does with places (the larger of two, is one before the other) and regions (do
they overlap) then gives the same again, moved once more, for as long as the commands are alike.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .check_pattern import Pattern, Stretch
from .check_region_map import RegionMap
from .check_state import EntryKey, Observer, State

if TYPE_CHECKING:
    from .check_clocks import Clocks

SNAPSHOT_COMMANDS = 100
"""Commands of the leading stream between two looks at the state: a look costs about as much as walking them."""

LOOKS_MAX = 64
"""Looks at one stretch; then it is walked."""


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
        self.observer = Observer(walk, pattern) if self.leads else None

    def look(self) -> None:
        """Looks if this is a place to look from."""
        here = self.walk.next[self.walk.leader]
        state: State | None = None
        for lead in self.leads:
            if lead.at < here:
                lead.at += -(-(here - lead.at) // lead.stride) * lead.stride
            if lead.at > here or lead.at + lead.stride > lead.stretch.end or lead.looks == LOOKS_MAX:
                continue
            state = state or self.observer.state()
            lead.looks += 1
            for one in (lead.before, lead.saved if lead.saved is not lead.before else None):
                rounds = self._skip(one, state) if one is not None else 0
                if rounds:
                    self.skipped += rounds
                    return
            lead.before = state
            if lead.looks & (lead.looks - 1) == 0:  # the distance to the saved one takes every value, in the end
                lead.saved = state

    def _skip(self, one: State, two: State) -> int:
        """Moves the walk, which is at `two`, on by as many times the way from `one` to `two` as is certain; their number."""
        periods = [b - a for a, b in zip(one.next, two.next)]
        # The command that each stream has come to counts: it may be what the stream waits at.
        rounds = min(
            ((self.pattern.alike_until(s, one.front[s], p) - 1 - one.next[s]) // p for s, p in enumerate(periods) if p), default=0
        )
        if rounds < 1 or one.shape != two.shape or not self._moved(one, two, periods, None):
            return 0
        mapping = RegionMap(self.pattern, one.front, one.next, periods, rounds)
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
        columns = np.arange(self.observer.stream_of.size)
        before = [a[alive].ravel() for a in one.clocks] + [one.places]
        after = [a[alive].ravel() for a in two.clocks] + [two.places]
        belong = [np.tile(columns, int(alive.sum()) * len(one.clocks)), one.columns]
        if paired:
            before.append(np.array([one.entries[key][0] for key in paired.values()]))
            after.append(np.array([two.entries[key][0] for key in paired]))
            belong.append(np.array([key[3] for key in paired]))
        first, second, column = np.concatenate(before), np.concatenate(after), np.concatenate(belong)
        stream = self.observer.stream_of[column]
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
        by_column = np.array(periods)[self.observer.stream_of]

        def on(before: int, after: int, stream: int) -> int:
            return after + int(way[stream]) if after != before else after

        arrays = {
            id(after): after + np.where(after - before == by_column, by_column, 0) * rounds for before, after in zip(one.clocks, two.clocks)
        }
        values = iter([on(a, b, int(self.observer.stream_of[c])) for a, b, c in zip(one.places.tolist(), two.places.tolist(), one.columns)])
        self.observer.put_back(arrays, values)
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
