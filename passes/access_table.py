"""All accesses of a function in arrays, so that those that an access may meet are found at once and only they are compared exactly.

Accesses of one memory, or through one pointer, stand together.  On chip the hull of the bytes decides; in global memory the windows of views
whose begins differ by numbers alone (one *class*), at any distance in a loop for which that is so.  Both only ever leave out what
`tile_places.conflict` would refuse.
"""

from collections.abc import Callable

import numpy as np

from .symbolic import Poly
from .sync_tree import Function, Leaf, Loop
from .tile_places import Place, Step, View, delta, end

Live = np.ndarray
"""By access: may what it did still be incomplete?"""

WIDE = 1 << 60
"""More than any index or address: the extent of what is not known."""

Needs = Callable[[str, str], bool]
"""(pipe, hazard): does one pipe need a barrier for that?"""


class AccessTable:
    """`leaf`, `place`, `written` by number of the access; `of`: the numbers of a command's accesses, reads first."""

    def __init__(self, function: Function, needs: Needs) -> None:
        self.symbols = function.symbols
        found = [(leaf, place, written) for leaf in function.root.leaves() for place, written in accesses(leaf)]
        spaces = {key: number for number, key in enumerate(dict.fromkeys(space(place) for _, place, _ in found))}
        order = sorted(range(len(found)), key=lambda i: (spaces[space(found[i][1])], i))
        self.leaf, self.place, self.written = (tuple(found[i][k] for i in order) for k in range(3))
        self.of: dict[Leaf, list[int]] = {}
        for number in sorted(range(len(order)), key=order.__getitem__):
            self.of.setdefault(self.leaf[number], []).append(number)
        self.pipes = {pipe: i for i, pipe in enumerate(sorted({leaf.pipe for leaf in self.leaf}))}
        self._needed = {
            (pipe, writes): np.array([needs(pipe, "WAR") if writes else False, needs(pipe, "WAW" if writes else "RAW")])
            for pipe in self.pipes
            for writes in (False, True)
        }
        self._written = np.array(self.written, dtype=bool)
        self._pipe = np.array([self.pipes[leaf.pipe] for leaf in self.leaf], dtype=np.int64)
        self._pos = np.array([leaf.pos for leaf in self.leaf], dtype=np.int64)
        nests = {nest: number for number, nest in enumerate(dict.fromkeys(leaf.block.loops for leaf in self.leaf))}
        self._nest = np.array([nests[leaf.block.loops] for leaf in self.leaf], dtype=np.int64)
        bounds = [hull(place) if isinstance(place, Place) else None for place in self.place]
        self._low, self._high = (np.array([b[k] if b else (-WIDE, WIDE)[k] for b in bounds], dtype=np.int64) for k in (0, 1))
        self._slices = self._spans()
        self._class, self._begin, self._size = self._windows()
        self._drifts: dict[tuple[int, int], list[int | None]] = {}

    def nothing(self) -> Live:
        """Nothing has run."""
        return np.zeros(len(self.leaf), dtype=bool)

    def within(self, begin: int, end: int) -> np.ndarray:
        """The accesses of commands between two positions."""
        return (self._pos > begin) & (self._pos < end)

    def met(self, q: int, live: Live) -> list[int]:
        """Live accesses that q may meet in the same iteration and must be ordered with if it does."""
        part, wanted = self._hazards(q, live)
        if isinstance(self.place[q], View):
            wanted &= self._windows_meet(q, part, None)
        return (np.flatnonzero(wanted) + part.start).tolist()

    def met_later(self, q: int, live: Live, loop: Loop) -> list[int]:
        """Live accesses of earlier iterations of a loop that q may meet and must be ordered with if it does."""
        part, wanted = self._hazards(q, live)
        if isinstance(self.place[q], View):
            wanted &= self._windows_meet(q, part, loop)
        return (np.flatnonzero(wanted) + part.start).tolist()

    def inside(self, q: int, live: Live) -> list[int]:
        """Live accesses on chip whose bytes lie within the hull of q's."""
        part = self._slices[space(self.place[q])]
        found = live[part] & (self._low[part] >= self._low[q]) & (self._high[part] <= self._high[q])
        return (np.flatnonzero(found) + part.start).tolist()

    def _hazards(self, q: int, live: Live) -> tuple[slice, np.ndarray]:
        """The accesses of q's space, and which of them are live, in a hazard with q that needs order, and near it."""
        part, pipe, writes = self._slices[space(self.place[q])], self.leaf[q].pipe, self.written[q]
        written = self._written[part]
        wanted = live[part] & (self._low[part] < self._high[q]) & (self._low[q] < self._high[part])
        wanted &= (self._pipe[part] != self.pipes[pipe]) | self._needed[pipe, writes][written.astype(np.int64)]
        return part, wanted if writes else wanted & written

    def _spans(self) -> dict[object, slice]:
        spans: dict[object, slice] = {}
        for number, place in enumerate(self.place):
            where = space(place)
            spans[where] = slice(spans[where].start if where in spans else number, number + 1)
        return spans

    def _windows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By access: class of its view (-1: none), and by dimension the number in its begin and its size."""
        views = [place if isinstance(place, View) and place.key is not None else None for place in self.place]
        most = max((len(view.windows) for view in views if view), default=0)
        begin, size = np.zeros((len(views), most), dtype=np.int64), np.full((len(views), most), WIDE, dtype=np.int64)
        classes: dict[tuple, int] = {}
        self.symbolic: list[tuple[Poly, ...]] = []
        numbers = np.full(len(views), -1, dtype=np.int64)
        for i, view in enumerate(views):
            if view is None:
                continue
            parts = tuple({m: c for m, c in poly.items() if m} for poly, _ in view.windows)
            key = (view.key, tuple(tuple(sorted(part.items())) for part in parts))
            if key not in classes:
                self.symbolic.append(parts)
            numbers[i] = classes.setdefault(key, len(classes))
            for k, (poly, extent) in enumerate(view.windows):
                begin[i, k] = poly.get((), 0)
                size[i, k] = WIDE if extent is None else extent
        return numbers, begin, size

    def _windows_meet(self, q: int, part: slice, loop: Loop | None) -> np.ndarray:
        """False for views of q's class that surely share no element with it: in one iteration, or after any number of a loop's."""
        mine, result = self._class[q], np.ones(part.stop - part.start, dtype=bool)
        if mine < 0:
            return result
        first, last = (0, 0) if loop is None else (1, WIDE if loop.trips is None else max(loop.trips - 1, 0))
        low, high = np.full(len(result), float(first)), np.full(len(result), float(last))
        for k in range(len(self.symbolic[mine])):
            drift = self._drift(int(mine), k, loop)
            if drift is None:
                continue
            # q lies `apart` + drift * d behind p after d iterations: they meet while that is more than -size of q and less than size of p.
            apart = (self._begin[q, k] - self._begin[part, k]).astype(float)
            least, most = 1.0 - self._size[q, k] - apart, self._size[part, k] - 1.0 - apart
            if drift == 0:
                result &= (least <= 0) & (most >= 0)
                continue
            if drift < 0:
                least, most = most, least
            low, high = np.maximum(low, np.ceil(least / drift)), np.minimum(high, np.floor(most / drift))
        other = self._class[part] != mine
        if loop is None and any(self.symbolic[mine]):
            other |= self._nest[part] != self._nest[q]  # loops that only one of them is in may change what both begin with
        return (result & (low <= high)) | other

    def _drift(self, class_: int, k: int, loop: Loop | None) -> int | None:
        """By how much a dimension's begin grows per iteration of a loop (0 without one), None where that is not one number."""
        key = (class_, id(loop))
        if key not in self._drifts:
            self._drifts[key] = [self._step(poly, loop) for poly in self.symbolic[class_]]
        return self._drifts[key][k]

    def _step(self, poly: Poly, loop: Loop | None) -> int | None:
        if loop is None or not poly:
            return 0
        around = tuple(loop.info.chain())
        one, two = (delta(self.symbols, poly, poly, Step(loop.info, d, around)) for d in (1, 2))
        return one if one is not None and two == 2 * one else None


def accesses(leaf: Leaf) -> list[tuple[Place | View, bool]]:
    """What a command reads and writes, and whether it writes it."""
    return [*((place, False) for place in leaf.reads), *((place, True) for place in leaf.writes)]


def space(place: Place | View) -> object:
    """Where two accesses must both be to meet: a memory, or what one pointer points to."""
    return ("gm", place.root) if isinstance(place, View) else place.memory


def hull(place: Place) -> tuple[int, int]:
    """First byte, and the one behind the last, that a place may be in."""
    if place.base is None:
        return -WIDE, WIDE
    if place.fixed:
        return place.base + min(runs[0] for runs in place.absolute), place.base + max(end(runs) for runs in place.absolute)
    return place.base, place.base + place.extent
