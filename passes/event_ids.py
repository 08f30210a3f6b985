"""Event ids for flags: each ordered pair of pipes has 8, less those that the library or flags from before use.

Every unit gets ids of its own as long as there are any.  Then a unit takes an id whose owners end before it, if its pipe knows by then that
the other's last wait is done.  Where more flags are raised at once than there are ids, two become one: set where the later one's was, wait
where the earlier one's was.  What cannot be merged becomes a local barrier: the two pipes wait for each other, by one id each way that serves
all local barriers of the pair.  Merged flags and local barriers are told in remarks.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

from ptoc.dialect.op import location_of

from .sync_clocks import SPAN, State
from .sync_tree import Function, Leaf, Loop
from .sync_units import Placement, Unit

Pair = tuple[str, str]


class FreeIds:
    """The ids of each pair of pipes that neither the library, nor flags from before, nor local barriers take."""

    def __init__(self, function: Function, event_ids: int) -> None:
        self.event_ids = event_ids
        self.taken = {pair: set(ids) for pair, ids in function.reserved.items()}
        for leaf in function.root.leaves():
            if isinstance(leaf.unit, tuple):
                src, dst, event = leaf.unit
                self.taken.setdefault((src, dst), set()).update(range(event_ids) if event is None else {event})

    def __call__(self, pair: Pair) -> list[int]:
        return [i for i in range(self.event_ids) if i not in self.taken.get(pair, ())]

    def take(self, pair: Pair) -> int:
        """The last free id of a pair, which is free no more."""
        last = self(pair)[-1]
        self.taken.setdefault(pair, set()).add(last)
        return last


def assign_ids(function: Function, placed: Placement, free: FreeIds) -> list[str]:
    """Gives every flag unit its first id; remarks where flags were merged or became barriers."""

    def stand_in(unit: Unit, why: str) -> None:
        pairs = [(unit.src, unit.dst), (unit.dst, unit.src)]
        if all(pair in placed.local_ids or free(pair) for pair in pairs):
            for pair in pairs:
                if pair not in placed.local_ids:
                    placed.local_ids[pair] = free.take(pair)
            placed.stand_in(unit, why)
        else:
            placed.stand_in_for_all(unit, f"{why}, nor one for a barrier of the two")

    for unit in [u for u in placed.units if u.stuck]:
        stand_in(unit, unit.stuck)
    while victim := _first_unfit(function, placed, free):
        unit, left = victim
        stand_in(unit, f"no event id is left for {unit.src} -> {unit.dst} ({left})")
    _drop_idle_ways_back(placed)
    for unit in placed.units:
        if unit.local:
            unit.base = placed.local_ids[unit.src, unit.dst]
    return placed.remarks


def _drop_idle_ways_back(placed: Placement) -> None:
    """A local barrier that is the only one of its pipes and runs once needs no way back: nothing raises its flag again."""
    halves: dict[frozenset[str], list[Unit]] = {}
    for unit in placed.units:
        if unit.local:
            halves.setdefault(frozenset((unit.src, unit.dst)), []).append(unit)
    for units in halves.values():
        if len(units) == 2 and not units[0].leaves[0].block.loops:
            back = next(unit for unit in units if unit.acknowledges)
            placed.take_out(back)
            placed.units.remove(back)


def _first_unfit(function: Function, placed: Placement, free: FreeIds) -> tuple[Unit, str] | None:
    """A unit that has to become a barrier, and how scarce its ids are; None where all have ids."""
    known: dict[Leaf, list[int]] = {}
    for pair in sorted({(u.src, u.dst) for u in placed.units if not u.barrier and not u.local}):
        pool = _Pool(function, placed, pair, free(pair), known)
        if unit := pool.unfit():
            return unit, f"{len(pool.free)} for {len(pool.units())} flags"
    return None


@dataclass
class _Group:
    """Owners of one id in one nest of loops, in program order; the last entry speaks for all.

    `ends`: the last wait so far; `begins`: per level, the least that any of them knew of the other pipe's waits where it began.
    """

    loops: tuple[Loop, ...]
    owners: list[Unit] = field(default_factory=list)
    ends: list[Leaf] = field(default_factory=list)
    begins: list[list[int]] = field(default_factory=list)


class _Pool:
    """The ids of one pair of pipes."""

    def __init__(self, function: Function, placed: Placement, pair: Pair, free: list[int], known: dict[Leaf, list[int]]) -> None:
        self.function, self.placed, self.pair, self.free = function, placed, pair, free
        self.work = [leaf.pos for leaf in function.root.leaves() if leaf.kind == "work" and leaf.pipe == pair[0]]
        self.known = known  # by the set of a unit, what its pipe knows of the other pipe's waits, by level; of all pairs, filled when first needed

    def units(self) -> list[Unit]:
        """Units of the pair, in program order."""
        return sorted((u for u in self.placed.units if (u.src, u.dst) == self.pair and not u.local), key=lambda u: u.order)

    def unfit(self) -> Unit | None:
        """Finds ids for all units, distinct ones if possible; a unit that must go where they do not suffice."""
        units, at = self.units(), 0
        if sum(u.ids for u in units) <= len(self.free):
            for unit in units:
                block = self.free[at : at + unit.ids]
                if block[-1] - block[0] != unit.ids - 1:
                    break
                unit.base = block[0]
                at += unit.ids
            else:
                return None
        return self.share(units)

    def share(self, units: list[Unit]) -> Unit | None:
        """Ids of their own for rings, then ids in turn for the rest, merging where too many are raised at once.

        What was known before a merge still is: the flag of two is set later and waited for earlier than either.
        """
        known = self.knowledge()
        rings = [u for u in units if u.ids > 1]
        left = list(self.free)
        for ring in sorted(rings, key=lambda u: (-u.ids, u.order)):
            bases = [i for i in left if all(i + k in left for k in range(ring.ids))]
            if not bases:
                return max(units, key=lambda u: (u.ids, u.order))
            ring.base = bases[0]
            left = [i for i in left if not ring.base <= i < ring.base + ring.ids]
        owners: dict[int, list[_Group]] = {i: [] for i in left}
        for unit in (u for u in units if u.ids == 1):
            base = self.least_loaded(unit, owners, known)
            while base is None:
                if not self.merge(unit, owners, known):
                    return max((u for u in units if u in self.placed.units), key=lambda u: (u.ids, u.order))
                if unit not in self.placed.units:
                    break
                base = self.least_loaded(unit, owners, known)
            else:
                unit.base = base
                _own(owners[base], unit, known)
        return None

    def least_loaded(self, unit: Unit, owners: dict[int, list[_Group]], known: dict[Leaf, list[int]]) -> int | None:
        """Of the ids that a unit may have, the one with the fewest owners."""
        fits = [i for i, groups in owners.items() if all(_apart(group, unit, known) for group in groups)]
        return min(fits, key=lambda i: (sum(len(g.owners) for g in owners[i]), i), default=None)

    def knowledge(self) -> dict[Leaf, list[int]]:
        """Fills `known`.  Merging two flags of any pair leaves it right: it tells all pipes no less than both did."""
        clocks = self.placed.clocks

        def check(leaf: Leaf, state: State) -> None:
            if leaf.kind in ("set", "prime") and isinstance(leaf.unit, Unit):
                self.known[leaf] = state.ages[clocks.pipes[leaf.unit.src], clocks.pipes[leaf.unit.dst]].tolist()

        if not self.known:
            clocks.check, clocks.checking = check, True
            clocks.block(self.function.root, clocks.fresh())
            clocks.checking = False
        return self.known

    def merge(self, unit: Unit, owners: dict[int, list[_Group]], known: dict[Leaf, list[int]]) -> bool:
        """Makes one of two flags of a block, the two of the last owners and `unit` that cost least; False where none can be."""
        in_use = [[g for g in groups if g.owners] for groups in owners.values()]
        last = [max(((g.owners[-1], g) for g in groups), key=lambda pair: pair[0].order) for groups in in_use if groups]
        mergeable = sorted([*last, (unit, None)], key=lambda pair: pair[0].leaf("set").pos)
        best = None
        for (a, group), (b, other) in zip(mergeable, mergeable[1:]):
            if _mergeable(a, b):
                cost = self.commands_between(a.leaf("set").pos, b.leaf("set").pos)
                if best is None or cost < best[0]:
                    best = (cost, a, group, b, other)
        if best is None:
            return False
        cost, a, group, b, other = best
        whole = self.placed.merged(a, b)
        for one in (group, other):
            if one is not None:
                _disown(one)
        keeper, whole.base = (group, a.base) if group is not None else (other, b.base)
        _own_in(keeper, whole, known)
        late, early = (location_of(leaf.cause.op) for leaf in (b, a))
        src, dst = self.pair
        self.placed.remarks.append(
            f"{early}: {src} -> {dst} has only {len(self.free)} event ids: one flag serves this line and {late}; "
            f"{dst} waits here for {cost} more commands of {src}"
        )
        return True

    def commands_between(self, begin: int, end: int) -> int:
        """Commands of the pair's first pipe between two positions."""
        return abs(bisect_left(self.work, end) - bisect_left(self.work, begin))


def _mergeable(a: Unit, b: Unit) -> bool:
    """True where one flag can serve two units: of one block, as many iterations apart, and waited for after it is set."""
    (sa, wa), (sb, wb) = ((u.leaf("set"), u.leaf("wait")) for u in (a, b))
    if (a.depth, a.loop, a.scope) != (b.depth, b.loop, b.scope) or sa.block is not sb.block or wa.block is not wb.block:
        return False
    return bool(a.depth) or max(sa.pos, sb.pos) < min(wa.pos, wb.pos)


def _own(groups: list[_Group], unit: Unit, known: dict[Leaf, list[int]]) -> None:
    loops = _ends(unit)[0].block.loops
    group = next((g for g in groups if g.loops == loops), None)
    if group is None:
        groups.append(group := _Group(loops))
    _own_in(group, unit, known)


def _own_in(group: _Group, unit: Unit, known: dict[Leaf, list[int]]) -> None:
    begin, end = _ends(unit)
    knew = known[begin]
    group.ends.append(max(end, group.ends[-1], key=lambda leaf: leaf.pos) if group.ends else end)
    group.begins.append([max(pair) for pair in zip(knew, group.begins[-1])] if group.begins else knew)
    group.owners.append(unit)


def _disown(group: _Group) -> None:
    """Takes the last owner out."""
    for entries in (group.owners, group.ends, group.begins):
        entries.pop()


def _apart(group: _Group, unit: Unit, known: dict[Leaf, list[int]]) -> bool:
    """True where a unit behind all owners of a group is raised after they are waited for, and they in the next iteration after it is."""
    if not group.owners:
        return True
    begin, end, last = *_ends(unit), group.ends[-1]
    if last.pos > begin.pos:
        return False
    common = [x for x, y in zip(begin.block.loops, last.block.loops) if x is y]
    if not known[begin][common[-1].info.depth if common else 0] < -last.pos:
        return False
    return all(group.begins[-1][loop.info.depth] < SPAN - end.pos for loop in common)


def _ends(unit: Unit) -> tuple[Leaf, Leaf]:
    """First set and last wait of a unit: its leaves are made in the order prime, wait, set, drain or set, wait."""
    return unit.leaves[0], unit.leaves[-1]
