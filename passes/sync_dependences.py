"""Dependences between commands: what must be complete before a command may start, and how many iterations of which loop earlier it ran.

Dependence (p, q, loop, d): q conflicts with what p did d iterations of `loop` earlier (d = 0: in the same iteration of all loops around
both).  Only the smallest d is kept: order holds for older ones too.  A ring whose slot number counts on through several loops has its
distance in iterations of the innermost one, counted through all of them: loop is that one and `scope` the outermost.
Accesses that a later write covers wholly are dropped: they are in order through it.
"""

from dataclasses import dataclass

import numpy as np

from .access_table import AccessTable, Live, Needs, accesses
from .symbolic import Poly, multiply
from .sync_tree import Block, Branch, Function, Leaf, Loop, blocks_of
from .tile_places import Place, Step, View, conflict, covers, delta

FARTHEST = 15
"""Largest distance told apart.  A ring has at most 15 slots in flight; an older conflict is in order if this one is."""


@dataclass(frozen=True)
class Dependence:
    """p before q; see the module.  `scope` is `loop` itself but for rings that count on through outer loops."""

    p: Leaf
    q: Leaf
    loop: Loop | None
    distance: int
    scope: Loop | None
    hazard: str


def dependences(function: Function, needs: Needs) -> list[Dependence]:
    """All dependences of a function, those of one command together."""
    finder = _Finder(function, needs)
    finder.walk(function.root, finder.table.nothing())
    return list(finder.found.values())


class _Finder:
    def __init__(self, function: Function, needs: Needs) -> None:
        self.symbols = function.symbols
        self.table = AccessTable(function, needs)
        self.found: dict[tuple, Dependence] = {}
        self.quiet = _quiet_pointers(function)

    def walk(self, block: Block, live: Live) -> Live:
        """Dependences within one run of a block on what was live before; what is live after it."""
        for item in block.items:
            if isinstance(item, Leaf):
                self.forward(item, live)
                self.executed(item, live)
            elif isinstance(item, Branch):
                ends = [self.walk(arm, live.copy()) for arm in item.arms]
                live = np.logical_or.reduce([*ends, *([live] if len(ends) < 2 else [])])
            else:
                end = self.walk(item.body, live.copy())
                self.carried(item, item.body, end & self.table.within(item.pos, item.end))
                live = end if item.runs else live | end
        return live

    def executed(self, leaf: Leaf, live: Live) -> None:
        """What a command wrote wholly is live no more, what it touched is."""
        self.covered(leaf, live)
        for number in self.table.of.get(leaf, ()):
            place = self.table.place[number]
            if not (isinstance(place, View) and place.root in self.quiet):
                live[number] = True

    def covered(self, leaf: Leaf, live: Live) -> None:
        """Drops what a command writes wholly: it is in order through it."""
        for number in self.table.of.get(leaf, ()):
            place = self.table.place[number]
            if self.table.written[number] and isinstance(place, Place) and place.fixed:
                for other in self.table.inside(number, live):
                    if covers(place, self.table.place[other]):
                        live[other] = False

    def forward(self, q: Leaf, live: Live) -> None:
        for number in self.table.of.get(q, ()):
            for other in self.table.met(number, live):
                p, place = self.table.leaf[other], self.table.place[other]
                common = _common(p, q)
                if conflict(self.symbols, place, self.table.place[number], Step(None, 0, tuple(x.info for x in common))):
                    loop = common[-1] if common else None
                    self.add(Dependence(p, q, loop, 0, loop, self.hazard(other, number)))

    def carried(self, loop: Loop, block: Block, tail: Live) -> None:
        """Dependences of the commands in `loop` on what its earlier iterations left."""
        for item in block.items:
            if isinstance(item, Leaf):
                for number in self.table.of.get(item, ()):
                    for other in self.table.met_later(number, tail, loop):
                        self.carried_pair(loop, other, number)
                if block is loop.body:
                    self.covered(item, tail)
            else:
                for inner in blocks_of(item):
                    self.carried(loop, inner, tail)

    def hazard(self, p: int, q: int) -> str:
        """RAW, WAR or WAW."""
        return ("W" if self.table.written[q] else "R") + "A" + ("W" if self.table.written[p] else "R")

    def carried_pair(self, loop: Loop, earlier: int, later: int) -> None:
        (p, place), (q, other) = ((self.table.leaf[n], self.table.place[n]) for n in (earlier, later))
        common = _common(p, q)
        ring = _ring(self.symbols, place, other, common)
        if ring and loop is not common[-1] and _index(common, loop) >= _index(common, ring):
            return  # counted through this loop: found at the innermost one
        goes_on = ring is not None and ring is not loop and loop is common[-1]
        distance = self.distance(loop, place, other, tuple(x.info for x in common), goes_on)
        if distance:
            scope = ring if ring and loop is common[-1] else loop
            self.add(Dependence(p, q, loop, distance, scope, self.hazard(earlier, later)))

    def distance(self, loop: Loop, p: Place | View, q: Place | View, common: tuple, goes_on: bool) -> int | None:
        """Smallest number of iterations after which q meets p; `goes_on`: counted through outer loops, so more than this one's trips."""
        most = 2 * FARTHEST if loop.trips is None or goes_on else min(loop.trips - 1, 2 * FARTHEST)
        steps = range(1, most + 1)
        for d in steps if self.moves(loop, p, q) else steps[:1]:
            if conflict(self.symbols, p, q, Step(loop.info, d, common)):
                return min(d, FARTHEST)
        if isinstance(p, View) and isinstance(q, View) and p.root == q.root and most == 2 * FARTHEST and self.approach(loop, p, q, common):
            return FARTHEST
        return None

    def moves(self, loop: Loop, p: Place | View, q: Place | View) -> bool:
        """True where one of the two changes with the loop."""
        return any(id(loop.info) in self.symbols.varies(poly) for place in (p, q) for poly in _polys(place))

    def approach(self, loop: Loop, p: View, q: View, common: tuple) -> bool:
        """True where windows that are apart after many iterations may still meet after more: no dimension only drifts apart."""
        for (mine, _), (other, _) in zip(p.windows, q.windows):
            early, late = (delta(self.symbols, mine, other, Step(loop.info, d, common)) for d in (2 * FARTHEST, 2 * FARTHEST + 1))
            if early is not None and late is not None and abs(late) >= abs(early) and early:
                return False
        return True

    def add(self, dependence: Dependence) -> None:
        key = (dependence.p.pos, dependence.q.pos, id(dependence.loop), id(dependence.scope), bool(dependence.distance))
        known = self.found.get(key)
        if known is None or dependence.distance < known.distance:
            self.found[key] = dependence


def _quiet_pointers(function: Function) -> set:
    """Pointers in which nothing can conflict: never written, or touched by one pipe alone."""
    pipes: dict[object, set[str]] = {}
    written = set()
    for leaf in function.root.leaves():
        for place, writes in accesses(leaf):
            if isinstance(place, View):
                pipes.setdefault(place.root, set()).add(leaf.pipe)
                written |= {place.root} if writes else set()
    return {root for root, users in pipes.items() if root not in written or (len(users) == 1 and "V" not in users)}


def _common(p: Leaf, q: Leaf) -> tuple[Loop, ...]:
    return tuple(a for a, b in zip(p.block.loops, q.block.loops) if a is b)


def _index(loops: tuple[Loop, ...], loop: Loop) -> int:
    return next(i for i, x in enumerate(loops) if x is loop)


def _polys(place: Place | View) -> list[Poly]:
    if isinstance(place, View):
        return [begin for begin, _ in place.windows]
    slot = [place.slots.poly] if place.slots and place.slots.poly is not None else []
    return [*slot, *([place.offset] if place.offset else [])]


def _ring(symbols, p: Place | View, q: Place | View, common: tuple[Loop, ...]) -> Loop | None:
    """The outermost loop through which the slot number of p and q counts on; None where they are no slots of one ring."""
    if not (isinstance(p, Place) and isinstance(q, Place) and p.root == q.root and p.slots and q.slots and common):
        return None
    one, two = p.slots, q.slots
    if one.poly is None or two.poly is None or not one.modulus or one.modulus != two.modulus:
        return None
    if delta(symbols, one.poly, two.poly, Step(None, 0, tuple(x.info for x in common)), one.modulus) is None:
        return None
    scope = common[-1]
    step = coefficient(one.poly, scope.info.counter)
    if step is None or not step:
        return None
    for outer in reversed(common[:-1]):
        inner = scope
        if inner.block is not outer.body or inner.info.trip is None or id(outer.info) in symbols.varies(inner.info.trip):
            break
        own = coefficient(one.poly, outer.info.counter)
        expected = multiply(step, inner.info.trip)
        if own is None or any((own.get(m, 0) - expected.get(m, 0)) % one.modulus for m in {*own, *expected}):
            break
        scope, step = outer, expected
    return scope


def coefficient(poly: Poly, symbol: int) -> Poly | None:
    """What a symbol is multiplied by; None where the polynomial is not linear in it."""
    result: Poly = {}
    for monomial, factor in poly.items():
        if monomial.count(symbol) > 1:
            return None
        if symbol in monomial:
            result[tuple(s for s in monomial if s != symbol)] = factor
    return result

