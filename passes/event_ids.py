"""Event ids for flags: each ordered pair of pipes has 8, less those that the library or flags from before use.

Every unit gets ids of its own as long as there are any.  Then a unit takes the id of one that ends before it, if its pipe knows by then that
the other's last wait is done; then two units merge into one (set where the later one's was, wait where the earlier one's was); at last a
barrier over all pipes stands in, with a remark.
"""

from .sync_clocks import SPAN, State
from .sync_tree import Function, Leaf, Loop
from .sync_units import Placement, Unit

Pair = tuple[str, str]


def assign_ids(function: Function, placed: Placement, event_ids: int) -> list[str]:
    """Gives every flag unit its first id; remarks where barriers stand in for flags."""
    taken = {pair: set(ids) for pair, ids in function.reserved.items()}
    for leaf in function.root.leaves():
        if isinstance(leaf.unit, tuple):
            src, dst, event = leaf.unit
            taken.setdefault((src, dst), set()).update(range(event_ids) if event is None else {event})
    for pair in sorted({(u.src, u.dst) for u in placed.units if not u.barrier}):
        free = [i for i in range(event_ids) if i not in taken.get(pair, ())]
        _Pool(function, placed, pair, free).assign()
    return placed.remarks


class _Pool:
    """The ids of one pair of pipes."""

    def __init__(self, function: Function, placed: Placement, pair: Pair, free: list[int]) -> None:
        self.function, self.placed, self.pair, self.free = function, placed, pair, free

    def units(self) -> list[Unit]:
        """Units of the pair, in program order."""
        return sorted((u for u in self.placed.units if (u.src, u.dst) == self.pair), key=lambda u: u.order)

    def assign(self) -> None:
        """Finds ids; merges flags, then puts barriers in, until they suffice."""
        while not self.fit():
            units = self.units()
            if not self.merge(units):
                victim = max(units, key=lambda u: (u.ids, u.order))
                left = f"{len(self.free)} for {len(units)} flags"
                self.placed.stand_in(victim, f"no event id is left for {self.pair[0]} -> {self.pair[1]} ({left})")

    def fit(self) -> bool:
        """Finds ids for all units, distinct ones if possible."""
        units = self.units()
        if sum(u.ids for u in units) <= len(self.free):
            at = 0
            for unit in units:
                block = self.free[at : at + unit.ids]
                if block[-1] - block[0] != unit.ids - 1:
                    break
                unit.base = block[0]
                at += unit.ids
            else:
                return True
        return self.share(units)

    def share(self, units: list[Unit]) -> bool:
        """Ids of their own for rings, then one after the other for the rest."""
        known = self.knowledge(units)
        owners: dict[int, list[Unit]] = {i: [] for i in self.free}
        for unit in sorted(units, key=lambda u: (-u.ids, u.order)):
            best = None
            for base in self.free:
                ids = range(base, base + unit.ids)
                if all(i in owners and self.free_for(unit, owners[i], known) for i in ids):
                    load = (sum(len(owners[i]) for i in ids), base)
                    best = min(best, load) if best else load
            if best is None:
                return False
            unit.base = best[1]
            for i in range(unit.base, unit.base + unit.ids):
                owners[i].append(unit)
        return True

    def knowledge(self, units: list[Unit]) -> dict[Leaf, object]:
        """At each first set of a unit, what its pipe knows of the other pipe's waits."""
        clocks, seen = self.placed.clocks, {}

        def check(leaf: Leaf, state: State) -> None:
            if leaf.kind in ("set", "prime") and isinstance(leaf.unit, Unit) and (leaf.unit.src, leaf.unit.dst) == self.pair:
                seen[leaf] = state.ages[clocks.pipes[self.pair[0]], clocks.pipes[self.pair[1]]].copy()

        clocks.check, clocks.checking = check, True
        clocks.block(self.function.root, clocks.fresh())
        clocks.checking = False
        return seen

    def free_for(self, unit: Unit, owners: list[Unit], known: dict[Leaf, object]) -> bool:
        """True where an id can be a unit's beside its owners, in program order.

        One owner that is done before the unit begins, outside of all loops, speaks for all before it: waits of one pipe are done in order.
        """
        for owner in reversed(owners):
            if not self.apart(unit, owner, known):
                return False
            if owner.order < unit.order and not any(leaf.block.loops for leaf in owner.leaves) and owner is owners[-1]:
                return True
        return True

    def apart(self, a: Unit, b: Unit, known: dict[Leaf, object]) -> bool:
        """True where neither is raised while a flag of the other may be."""
        if a.ids > 1 or b.ids > 1:
            return False
        first, second = (a, b) if a.order < b.order else (b, a)
        begin, end = _ends(second)[0], _ends(first)[1]
        if end.pos > begin.pos:
            return False
        common = [x for x, y in zip(begin.block.loops, end.block.loops) if x is y]
        if not known[begin][innermost_level(common)] < -end.pos:
            return False
        begin, end = _ends(first)[0], _ends(second)[1]
        return all(known[begin][loop.info.depth] < SPAN - end.pos for loop in common)

    def merge(self, units: list[Unit]) -> bool:
        """Makes one of two flags of one block, the two whose sets and waits are nearest."""
        best = None
        plain = [u for u in units if not u.depth and u.ids == 1]
        for i, a in enumerate(plain):
            for b in plain[i + 1 :]:
                (sa, wa), (sb, wb) = ((u.leaf("set"), u.leaf("wait")) for u in (a, b))
                if sa.block is not sb.block or not max(sa.pos, sb.pos) < min(wa.pos, wb.pos):
                    continue
                cost = abs(sa.pos - sb.pos) + abs(wa.pos - wb.pos)
                if best is None or cost < best[0]:
                    best = (cost, a, b)
        if best is None:
            return False
        _, a, b = best
        late, early = max(a, b, key=lambda u: u.leaf("set").pos), min(a, b, key=lambda u: u.leaf("wait").pos)
        for unit in (a, b):
            self.placed.take_out(unit)
            self.placed.units.remove(unit)
        whole = Unit(a.src, a.dst, early.cause, 0, a.loop)
        for leaf in (late.leaf("set"), early.leaf("wait")):
            leaf.unit = whole
            whole.leaves.append(leaf)
            self.placed.restore(leaf)
        self.placed.units.append(whole)
        return True


def innermost_level(loops: list[Loop]) -> int:
    """The level of the last of some nested loops."""
    return loops[-1].info.depth if loops else 0


def _ends(unit: Unit) -> tuple[Leaf, Leaf]:
    """First set and last wait of a unit: its leaves are made in the order prime, wait, set, drain or set, wait."""
    return unit.leaves[0], unit.leaves[-1]

