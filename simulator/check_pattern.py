"""What repeats in the streams of a block: loops, found in the streams themselves, and what in them is alike but for the regions."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .check_regions import Regions
from .program import Program, Stream

LONGEST_PERIOD = 512
"""Loop bodies (from one jump back to the next) that a period may span; longer periods are walked."""


def leader_of(program: Program) -> int:
    """The stream of a block whose loops a walk goes by: the longest one."""
    sizes = [len(stream.commands) for stream in program.streams]
    return sizes.index(max(sizes, default=0)) if sizes else 0


def bodies_of(stream: Stream) -> np.ndarray:
    """First commands of loop bodies: where a stream goes back to an earlier line, or to the same one."""
    sites = np.fromiter((command.site.index for command in stream.commands), np.int64, len(stream.commands))
    return np.flatnonzero(sites[1:] <= sites[:-1]) + 1


class Stretch(NamedTuple):
    """Commands `start` to `end` - 1 of a stream, of which each is like the one `period` further on."""

    start: int
    end: int
    period: int


class Pattern:
    """The streams of a block as numbers, and the stretches of the leading one.

    codes[s][i]: equal for commands of one site, flag, and number of regions read and written.  regions[s][offsets[s][i]:offsets[s][i + 1]]:
    the regions of command i, those read first.
    """

    def __init__(self, program: Program, regions: Regions) -> None:
        self.size = len(regions.refs)
        self.neighbours, self.shared = regions.neighbours, regions.shared
        self._touched = regions.touched
        known: dict[tuple, int] = {}
        self.codes = [
            np.array([known.setdefault((c.site.index, c.flag, len(t.reads), len(t.writes)), len(known)) for c, t in zip(stream.commands, touched)], np.int64)
            for stream, touched in zip(program.streams, regions.touched)
        ]
        self._differing: dict[tuple[int, int], np.ndarray] = {}
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        leader = leader_of(program)
        self.stretches = stretches_of(program.streams[leader], self.codes[leader])

    @cached_property
    def regions(self) -> list[np.ndarray]:
        """See above; made when first asked for."""
        return [np.array([r for part in touched for r in (*part.reads, *part.writes)], np.int64) for touched in self._touched]

    @cached_property
    def offsets(self) -> list[np.ndarray]:
        """See above; made when first asked for."""
        return [
            np.concatenate(([0], np.cumsum([len(part.reads) + len(part.writes) for part in touched], dtype=np.int64))) for touched in self._touched
        ]

    def alike_until(self, stream: int, first: int, period: int) -> int:
        """The first command from `first` on that is not like the one `period` further on."""
        codes = self.codes[stream]
        if (stream, period) not in self._differing:
            self._differing[stream, period] = np.flatnonzero(codes[:-period] != codes[period:])
        differing = self._differing[stream, period]
        at = int(np.searchsorted(differing, first))
        return int(differing[at]) if at < differing.size else max(first, codes.size - period)

    def last(self, queues: Sequence[Sequence[int]], count: int) -> tuple[np.ndarray, np.ndarray]:
        """[queue, region]: the last command of a queue that touches the region or a neighbour, and the last that writes one; -1: none.

        queues: per stream and command the number of its queue, of `count`.
        """
        if self._last is None:
            self._last = tuple(self._last_of(queues, count, writes) for writes in (False, True))
        return self._last

    def _last_of(self, queues: Sequence[Sequence[int]], count: int, writes: bool) -> np.ndarray:
        own = np.full((count, self.size), -1, np.int64)
        for numbers, regions, offsets, touched in zip(queues, self.regions, self.offsets, self._touched):
            commands = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
            kept = np.array([w for part in touched for w in (*[False] * len(part.reads), *[True] * len(part.writes))], bool) if writes else slice(None)
            np.maximum.at(own, (np.array(numbers, np.int64)[commands[kept]], regions[kept]), commands[kept])
        found = own.copy()
        for number, others in enumerate(self.neighbours):
            if others and others != (number,):
                found[:, number] = own[:, list(others)].max(axis=1)
        return found


def stretches_of(stream: Stream, codes: np.ndarray) -> list[Stretch]:
    """Where a stream repeats itself three times or more; short periods first."""
    starts = np.concatenate(([0], bodies_of(stream), [codes.size]))
    words: dict[bytes, int] = {}
    bodies = np.array([words.setdefault(codes[a:b].tobytes(), len(words)) for a, b in pairwise(starts)])
    found: list[Stretch] = []
    covered: list[tuple[int, int, int]] = []
    for period in range(1, min(LONGEST_PERIOD, bodies.size // 3) + 1):
        for low, high in runs(bodies[period:] == bodies[:-period], 2 * period):
            stretch = Stretch(int(starts[low]), int(starts[high + period]), int(starts[low + period] - starts[low]))
            inside = any(a <= low and high + period <= b and period % p == 0 for a, b, p in covered)
            if not inside:
                found.append(stretch)
                covered.append((low, high + period, period))
    return found


def runs(flags: np.ndarray, least: int) -> list[tuple[int, int]]:
    """Runs of at least `least` true flags, as (first, first after)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2]) if b - a >= least]
