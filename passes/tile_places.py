"""Where an op's operands lie, as places that can be compared: do two of them share bytes when one runs d iterations of a loop later?"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from ptoc.dialect.layout import TileRef
from ptoc.dialect.types import Tile

from .symbolic import LoopInfo, Poly, Symbols, add, constant, number

Level = tuple[int, int]
Runs = tuple[int, tuple[Level, ...], int]  # base, (count, stride) levels, run


@dataclass(frozen=True)
class Slots:
    """`count` slots `stride` bytes apart; slot `poly` mod `modulus` (0: `poly` itself); poly None: any of them."""

    count: int
    stride: int
    poly: Poly | None
    modulus: int = 0


@dataclass(frozen=True)
class Place:
    """Bytes of an on-chip memory: runs at base + slot * stride + offset.

    `root`: the allocation; places of one root are compared without `base` (None where the address is no constant).  `private`: bytes
    that belong to no other root.  `storage`: the tile whose layout counts, (row, col) where the region begins in it.
    """

    root: int
    memory: str
    base: int | None
    storage: Tile
    row: int = 0
    col: int = 0
    valid: tuple[int, int] = (0, 0)
    offset: Poly | None = None
    slots: Slots | None = None
    private: bool = False

    @cached_property
    def runs(self) -> tuple[Runs, ...]:
        """The bytes, relative to base and offset."""
        s = self.storage
        return _runs(TileRef("", 0, s.dtype.name, s.rows, s.cols, s.blayout, s.slayout, s.fractal, self.row, self.col, *self.valid))

    @cached_property
    def fixed(self) -> bool:
        """True where the address is one number."""
        return self.base is not None and not self.offset and (self.slots is None or (self.slots.poly is not None and number(self.slots.poly) is not None))

    @property
    def extent(self) -> int:
        """Bytes from the allocation's first to behind its last."""
        return self.storage.bytes + ((self.slots.count - 1) * self.slots.stride if self.slots else 0)

    @cached_property
    def absolute(self) -> tuple[Runs, ...]:
        """Runs relative to base with the slot worked in: exact for a known slot, all slots else."""
        slots = self.slots
        if slots is None:
            return self.runs
        known = number(slots.poly) if slots.poly is not None else None
        if known is not None:
            return tuple((base + known * slots.stride, levels, run) for base, levels, run in self.runs)
        return tuple((base, (*levels, (slots.count, slots.stride)), run) for base, levels, run in self.runs)


@dataclass(frozen=True)
class View:
    """A region of global memory: `root` pointer, `key` of the view that it is a slice of, per dimension (begin, size or None)."""

    root: object
    key: object
    windows: tuple[tuple[Poly, int | None], ...] = ()


@dataclass(frozen=True)
class Step:
    """How much later the second of two ops runs: `distance` iterations of `loop` (None: in the same iteration of all common loops).

    `common`: loops around both.
    """

    loop: LoopInfo | None
    distance: int
    common: tuple[LoopInfo, ...]


def delta(symbols: Symbols, p: Poly, q: Poly, step: Step, modulus: int = 0) -> int | None:
    """q's value minus p's value `step` earlier, modulo `modulus` if that is not 0; None where it is not one number."""
    shared = {id(loop) for loop in step.common}
    if step.distance:
        shared -= {id(loop) for loop in step.common[step.loop.depth - 1 :]}
    earlier: Poly = {}
    for monomial, coefficient in p.items():
        term = constant(coefficient)
        for symbol in monomial:
            facts = symbols.table[symbol]
            if step.distance and facts.loop is step.loop:
                factor = {(symbol,): 1, (): -step.distance}
            elif facts.varies <= shared:
                factor = {(symbol,): 1}
            else:
                factor = {(-symbol - 1,): 1}
            term = _times(term, factor)
        earlier = add(earlier, term)
    difference = add(q, earlier, -1)
    if modulus:
        difference = {m: c % modulus for m, c in difference.items() if c % modulus}
    return number(difference)


def _times(a: Poly, b: Poly) -> Poly:
    result: Poly = {}
    for m, x in a.items():
        for n, y in b.items():
            result = add(result, {tuple(sorted(m + n)): x * y})
    return result


def conflict(symbols: Symbols, p: Place | View, q: Place | View, step: Step) -> bool:
    """True unless the two surely share no byte."""
    if isinstance(p, View) or isinstance(q, View):
        return isinstance(p, View) and isinstance(q, View) and _views_meet(symbols, p, q, step)
    if p.memory != q.memory:
        return False
    if p.root == q.root:
        return _same_root(symbols, p, q, step)
    if p.base is None or q.base is None:
        return not ((p.base is None and p.private) or (q.base is None and q.private))
    if p.offset or q.offset:
        return _any_meet(_whole(p), _whole(q), q.base - p.base)
    return _any_meet(p.absolute, q.absolute, q.base - p.base)


def _same_root(symbols: Symbols, p: Place, q: Place, step: Step) -> bool:
    if p.slots and q.slots and not same_slot(symbols, p.slots, q.slots, step):
        return False
    shift = 0
    if p.offset is None or q.offset is None or p.offset or q.offset:
        shift = delta(symbols, p.offset, q.offset, step) if p.offset is not None and q.offset is not None else None
        if shift is None:
            return True
    return _any_meet(p.runs, q.runs, shift)


def same_slot(symbols: Symbols, p: Slots, q: Slots, step: Step) -> bool:
    """True unless the two surely use different slots."""
    if p.poly is None or q.poly is None:
        return True
    if p.modulus == q.modulus:
        apart = delta(symbols, p.poly, q.poly, step, p.modulus)
        return apart is None or apart == 0
    return True


def _whole(place: Place) -> tuple[Runs, ...]:
    return ((0, (), place.extent),)


def whole(place: Place) -> Place:
    """The place with its region widened to the whole tile."""
    return replace(place, row=0, col=0, valid=(place.storage.rows, place.storage.cols), offset=None)


@lru_cache(maxsize=65536)
def _runs(ref: TileRef) -> tuple[Runs, ...]:
    return tuple((a.base, a.levels, a.run) for a in ref.accesses())


@lru_cache(maxsize=65536)
def _any_meet(p: tuple[Runs, ...], q: tuple[Runs, ...], shift: int) -> bool:
    """True where some run of p and some run of q, moved by `shift`, share a byte."""
    return any(_meet(a, (b[0] + shift, *b[1:])) for a in p for b in q)


def _meet(a: Runs, b: Runs) -> bool:
    if a[0] >= end(b) or b[0] >= end(a):
        return False
    if not a[1] and not b[1]:
        return True
    begins, others = np.sort(_begins(*a[:2])), np.sort(_begins(*b[:2]))
    after = np.searchsorted(others, begins)
    following = others[np.minimum(after, len(others) - 1)]
    preceding = others[np.maximum(after - 1, 0)]
    meets = ((after < len(others)) & (following < begins + a[2])) | ((after > 0) & (preceding + b[2] > begins))
    return bool(meets.any())


def end(runs: Runs) -> int:
    """The byte behind the last of some runs."""
    return runs[0] + sum((count - 1) * stride for count, stride in runs[1]) + runs[2]


def _begins(base: int, levels: tuple[Level, ...]) -> np.ndarray:
    begins = np.array([base])
    for count, stride in levels:
        begins = (begins[:, None] + np.arange(count) * stride).ravel()
    return begins


def covers(p: Place, q: Place) -> bool:
    """True where p surely holds every byte of q, in whatever iterations they run."""
    if p.memory != q.memory or not p.fixed or not q.fixed:
        return False
    mine, others = p.absolute, q.absolute
    if p.base == q.base and mine == others:
        return True
    if len(mine) != 1 or mine[0][1]:
        return False
    first, last = p.base + mine[0][0], p.base + end(mine[0])
    return all(first <= q.base + runs[0] and q.base + end(runs) <= last for runs in others)


def _views_meet(symbols: Symbols, p: View, q: View, step: Step) -> bool:
    if p.root != q.root:
        return False
    if p.key is None or p.key != q.key or len(p.windows) != len(q.windows):
        return True
    return not any(_apart(symbols, mine, other, step) for mine, other in zip(p.windows, q.windows))


def _apart(symbols: Symbols, p: tuple[Poly, int | None], q: tuple[Poly, int | None], step: Step) -> bool:
    """True where two windows of one dimension surely share no index."""
    shift = delta(symbols, p[0], q[0], step)
    if shift is None:
        return False
    return (p[1] is not None and shift >= p[1]) or (q[1] is not None and -shift >= q[1])
