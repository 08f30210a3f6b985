"""Dependences between commands: what must be complete before a command may start, and how many iterations of which loop earlier it ran.

Dependence (p, q, loop, d): q conflicts with what p did d iterations of `loop` earlier (d = 0: in the same iteration of all loops around
both).  Only the smallest d is kept: order holds for older ones too.  A ring whose slot number counts on through several loops has its
distance in iterations of the innermost one, counted through all of them: loop is that one and `scope` the outermost.
Accesses that a later write covers wholly are dropped: they are in order through it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .symbolic import Poly, multiply
from .sync_tree import Block, Branch, Function, Leaf, Loop, blocks_of
from .tile_places import Place, Step, View, conflict, covers, delta

FARTHEST = 15
"""Largest distance told apart.  A ring has at most 15 slots in flight; an older conflict is in order if this one is."""

Needs = Callable[[str, str], bool]
"""(pipe, hazard): does one pipe need a barrier for that?"""


@dataclass(frozen=True)
class Dependence:
    """p before q; see the module.  `scope` is `loop` itself but for rings that count on through outer loops."""

    p: Leaf
    q: Leaf
    loop: Loop | None
    distance: int
    scope: Loop | None
    hazard: str


Entry = tuple[Leaf, Place | View, bool]  # command, place, is it written
Live = dict[int, Entry]  # by number of the access


def dependences(function: Function, needs: Needs) -> list[Dependence]:
    """All dependences of a function, those of one command together."""
    finder = _Finder(function, needs)
    finder.walk(function.root, {})
    return list(finder.found.values())


class _Finder:
    def __init__(self, function: Function, needs: Needs) -> None:
        self.symbols, self.needs = function.symbols, needs
        self.found: dict[tuple, Dependence] = {}
        self.accesses: dict[tuple[int, int, bool], int] = {}
        self.quiet = _quiet_pointers(function)

    def walk(self, block: Block, live: Live) -> Live:
        """Dependences within one run of a block on what was live before; what is live after it."""
        for item in block.items:
            if isinstance(item, Leaf):
                self.forward(item, live)
                live = self.executed(item, live)
            elif isinstance(item, Branch):
                ends = [self.walk(arm, dict(live)) for arm in item.arms]
                live = {**(live if len(ends) < 2 else {}), **{k: v for end in ends for k, v in end.items()}}
            else:
                end = self.walk(item.body, dict(live))
                inside = {k: entry for k, entry in end.items() if item.pos < entry[0].pos < item.end}
                self.carried(item, item.body, inside)
                live = end if item.runs else {**live, **end}
        return live

    def executed(self, leaf: Leaf, live: Live) -> Live:
        for place in leaf.writes:
            if isinstance(place, Place) and place.fixed:
                live = {k: e for k, e in live.items() if not (isinstance(e[1], Place) and covers(place, e[1]))}
        for number_, (place, written) in enumerate(_accesses(leaf)):
            if isinstance(place, View) and place.root in self.quiet:
                continue
            live[self.accesses.setdefault((leaf.pos, number_, written), len(self.accesses))] = (leaf, place, written)
        return live

    def forward(self, q: Leaf, live: Live) -> None:
        for p, place, written in live.values():
            for other, writes in _accesses(q):
                hazard = self.hazard(p, q, written, writes)
                if not hazard:
                    continue
                common = _common(p, q)
                if conflict(self.symbols, place, other, Step(None, 0, tuple(x.info for x in common))):
                    loop = common[-1] if common else None
                    self.add(Dependence(p, q, loop, 0, loop, hazard))

    def carried(self, loop: Loop, block: Block, tail: Live) -> Live:
        """Dependences of the commands in `loop` on what its earlier iterations left."""
        for item in block.items:
            if isinstance(item, Leaf):
                for p, place, written in tail.values():
                    for other, writes in _accesses(item):
                        hazard = self.hazard(p, item, written, writes)
                        if hazard:
                            self.carried_pair(loop, p, place, item, other, hazard)
                if block is loop.body:
                    for place in item.writes:
                        if isinstance(place, Place) and place.fixed:
                            tail = {k: e for k, e in tail.items() if not (isinstance(e[1], Place) and covers(place, e[1]))}
            else:
                for inner in blocks_of(item):
                    self.carried(loop, inner, tail)
        return tail

    def carried_pair(self, loop: Loop, p: Leaf, place: Place | View, q: Leaf, other: Place | View, hazard: str) -> None:
        common = _common(p, q)
        ring = _ring(self.symbols, place, other, common)
        if ring and loop is not common[-1] and _index(common, loop) >= _index(common, ring):
            return  # counted through this loop: found at the innermost one
        goes_on = ring is not None and ring is not loop and loop is common[-1]
        distance = self.distance(loop, place, other, tuple(x.info for x in common), goes_on)
        if distance:
            scope = ring if ring and loop is common[-1] else loop
            self.add(Dependence(p, q, loop, distance, scope, hazard))

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

    def hazard(self, p: Leaf, q: Leaf, written: bool, writes: bool) -> str:
        """RAW, WAR, WAW, or "" where the two need no order."""
        kind = {(True, False): "RAW", (False, True): "WAR", (True, True): "WAW"}.get((written, writes), "")
        return kind if kind and (p.pipe != q.pipe or self.needs(p.pipe, kind)) else ""

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
        for place, writes in _accesses(leaf):
            if isinstance(place, View):
                pipes.setdefault(place.root, set()).add(leaf.pipe)
                written |= {place.root} if writes else set()
    return {root for root, users in pipes.items() if root not in written or (len(users) == 1 and "V" not in users)}


def _accesses(leaf: Leaf) -> list[tuple[Place | View, bool]]:
    return [*((place, False) for place in leaf.reads), *((place, True) for place in leaf.writes)]


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

