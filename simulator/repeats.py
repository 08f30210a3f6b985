"""Where a stream repeats itself: runs of equal iterations in what time sees of it, and the stream without some of them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .program import Track

LONGEST = 1024
"""Most iterations that are looked at as one period."""


class Repeat(NamedTuple):
    """Chunks from `bounds[0]` on are `times` periods, the k-th from bounds[k * step] to bounds[(k + 1) * step]; `step`: iterations of a period."""

    bounds: np.ndarray
    step: int
    times: int

    def again(self, factor: int) -> "Repeat":
        """The same with `factor` periods taken as one."""
        return Repeat(self.bounds, self.step * factor, self.times // factor)


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
        types = _types(track.chunks, begins)
        offsets = track.offsets[begins]
        for step, first, times in _periods(types, kept):
            gain = int(offsets[first + times * step] - offsets[first]) * (times - kept) // times
            if gain > saved:
                best, saved = Repeat(begins[first:], step, times), gain
    return best


def _types(chunks: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """A number for the content of each iteration but the last, whose end is not known."""
    known: dict[bytes, int] = {}
    data, size = chunks.tobytes(), chunks.itemsize
    places = (begins * size).tolist()
    return np.array([known.setdefault(data[a:b], len(known)) for a, b in zip(places, places[1:])], np.int32)


def _periods(types: np.ndarray, kept: int) -> list[tuple[int, int, int]]:
    """(iterations of a period, first iteration, periods) of the longest run for each length of period that leaves something out."""
    found = []
    for step in range(1, min(LONGEST, types.size // (kept + 1)) + 1):
        same = np.concatenate(([False], types[step:] == types[:-step], [False]))
        edges = np.flatnonzero(same[1:] != same[:-1])
        if not edges.size:
            continue
        begins, ends = edges[::2], edges[1::2]
        at = int(np.argmax(ends - begins))
        first, times = int(begins[at]), int(ends[at] - begins[at]) // step + 1
        if times > kept:
            found.append((step, first, times))
            if times * step >= types.size - 2 * step:
                break
    return found


def cut_out(track: Track, repeat: Repeat, left_out: int) -> Cut:
    """The stream without `left_out` periods at the end of its repeat."""
    kept = repeat.times - left_out
    bounds, step = repeat.bounds, repeat.step
    a, b, c = (int(bounds[k * step]) for k in (0, kept, repeat.times))
    shorter = Track(track.table, np.concatenate((track.chunks[:b], track.chunks[c:])), track.marks)
    low, high = int(track.offsets[a]), int(track.offsets[b])
    return Cut(shorter, low, high, (high - low) // kept, left_out)
