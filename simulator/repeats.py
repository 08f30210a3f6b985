"""Where a stream repeats itself: runs of equal iterations in what time sees of it, and the stream without some of them."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .program import Track

LONGEST = 1024
"""Most iterations that are looked at as one period."""


SAMPLE = 8192
"""Iterations in which periods are looked for."""


class Repeat(NamedTuple):
    """From chunk `first` on, `times` periods of `chunks` chunks; `step`: iterations of a period."""

    first: int
    chunks: int
    step: int
    times: int

    def again(self, factor: int) -> "Repeat":
        """The same with `factor` periods taken as one."""
        return Repeat(self.first, self.chunks * factor, self.step * factor, self.times // factor)

    def bound(self, period: int) -> int:
        """The chunk at which a period begins."""
        return self.first + period * self.chunks


@dataclass(frozen=True)
class Cut:
    """A stream without `left_out` periods of its repeat: those kept begin at command `low` and are `period` commands each, up to `high`."""

    track: Track
    low: int
    high: int
    period: int
    left_out: int


def find_repeat(track: Track, kept: int) -> Repeat | None:
    """The repeat that saves most if `kept` periods stay, None if none saves anything."""
    best, saved = None, 0
    for loop in set(track.marks.values()):
        names = np.array([mark for mark, number in track.marks.items() if number == loop], np.int32)
        begins = np.flatnonzero(np.isin(track.chunks, names))
        if begins.size <= kept + 1:
            continue
        begins = begins[: SAMPLE + 1]
        for step, first in _periods(_types(track.chunks, begins)):
            repeat = _extended(track.chunks, int(begins[first]), int(begins[first + step]), step)
            low, high = (int(track.offsets[repeat.bound(k)]) for k in (0, 1))
            if (high - low) * (repeat.times - kept) > saved:
                best, saved = repeat, (high - low) * (repeat.times - kept)
    return best


def _extended(chunks: np.ndarray, first: int, second: int, step: int) -> Repeat:
    """The repeat whose first two periods begin at chunks `first` and `second`, as far as it goes."""
    size = second - first
    differs = chunks[second:] != chunks[first:-size]
    same = int(np.argmax(differs)) if differs.any() else differs.size
    return Repeat(first, size, step, same // size + 1)


def _types(chunks: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """A number for the content of each iteration but the last, whose end is not known."""
    known: dict[bytes, int] = {}
    data, size = chunks.tobytes(), chunks.itemsize
    places = (begins * size).tolist()
    return np.array([known.setdefault(data[a:b], len(known)) for a, b in itertools.pairwise(places)], np.int32)


def _periods(types: np.ndarray) -> list[tuple[int, int]]:
    """(iterations of a period, first iteration) of the longest run for each length of period that occurs twice in a row."""
    found = []
    for step in range(1, min(LONGEST, types.size // 2) + 1):
        same = np.concatenate(([False], types[step:] == types[:-step], [False]))
        edges = np.flatnonzero(same[1:] != same[:-1])
        if not edges.size:
            continue
        begins, ends = edges[::2], edges[1::2]
        at = int(np.argmax(ends - begins))
        if ends[at] - begins[at] >= step:
            found.append((step, int(begins[at])))
            if ends[at] - begins[at] >= types.size - 3 * step:
                break
    return found


def cut_out(track: Track, repeat: Repeat, left_out: int) -> Cut:
    """The stream without `left_out` periods at the end of its repeat."""
    kept = repeat.times - left_out
    a, b, c = map(repeat.bound, (0, kept, repeat.times))
    shorter = Track(track.table, np.concatenate((track.chunks[:b], track.chunks[c:])), track.marks)
    low, high = int(track.offsets[a]), int(track.offsets[b])
    return Cut(shorter, low, high, (high - low) // kept, left_out)
