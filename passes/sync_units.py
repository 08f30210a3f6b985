"""Synchronisation units, and putting them into a tree: flags of one set and one wait, primed rings of flags around a loop, barriers."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from ptoc.dialect.op import location_of

from .sync_clocks import Clocks
from .sync_tree import GAP, Block, Leaf, Loop, Node, ancestor, common_block

ALL = "ALL"


@dataclass(eq=False)
class Unit:
    """A flag from `src` to `dst`, or (src == dst, or ALL) a barrier of that pipe.

    `depth`: flags raised before `scope` begins and drained after it (0: none).  `loop`: the loop whose iterations it counts; `ids`: event
    ids that it takes in turn, by iterations of `loop` counted through from `counts_from` on.  `cause`: the command that needs it.  `acknowledges`: it only makes another unit's ids free again.
    `straight`: it orders two commands of the function's own block with no loop or branch between them.  `local`: half of a local barrier.
    `stuck`: why it must become one.  `late`: it is drained at the end of the function, not right behind its loop.
    """

    src: str
    dst: str
    cause: Leaf
    depth: int = 0
    loop: Loop | None = None
    scope: Loop | None = None
    acknowledges: bool = False
    straight: bool = False
    local: bool = False
    stuck: str = ""
    late: bool = False
    ids: int = 1
    base: int = -1
    counts_from: Loop | None = None
    leaves: list[Leaf] = field(default_factory=list)

    @property
    def barrier(self) -> bool:
        """True for a barrier."""
        return self.src == self.dst

    def leaf(self, kind: str) -> Leaf:
        """Its set, wait, prime or drain."""
        return next(leaf for leaf in self.leaves if leaf.kind == kind)

    @property
    def order(self) -> int:
        """Where it begins."""
        return min(leaf.pos for leaf in self.leaves)


class Placement:
    """Puts units into a tree, and takes them out again."""

    def __init__(self, root: Block, clocks: Clocks) -> None:
        self.clocks = clocks
        self.local_ids: dict[tuple[str, str], int] = {}  # by pair of pipes, the id of its local barriers
        self.units: list[Unit] = []
        self.remarks: list[str] = []
        self.counts: dict[tuple[int, bool], int] = {}
        self.positions: dict[str, list[int]] = {pipe: [] for pipe in clocks.pipes}
        for leaf in root.leaves():
            if leaf.pipe in self.positions:
                self.positions[leaf.pipe].append(leaf.pos)

    def order(self, p: Leaf, q: Leaf, loop: Loop | None, distance: int, scope: Loop | None) -> Unit:
        """A unit that puts p before q, which runs `distance` iterations of `loop` later."""
        if p.pipe == q.pipe:
            block = loop.body if distance else common_block(p, q)
            return self.barrier(p.pipe, ancestor(q, block), q)
        return self.carried(p, q, loop, distance, scope) if distance else self.forward(p, q)

    def barrier(self, pipe: str, node: Node, cause: Leaf) -> Unit:
        """A barrier right before a node."""
        unit = Unit(pipe, pipe, cause)
        self.put(unit, "barrier", pipe, node, False)
        self.units.append(unit)
        return unit

    def stand_in(self, unit: Unit, why: str) -> None:
        """A local barrier wherever a unit waits, instead of it: its two pipes wait for each other.  Whatever its flags told is known there too.

        The same pipe begins in all local barriers of two pipes: so each knows that its flag of the one before was taken.
        """
        src, dst = unit.src, unit.dst
        self.replace(unit, f"{why}: {src} and {dst} wait for each other here")
        for waited in (leaf for leaf in unit.leaves if leaf.kind in ("wait", "drain")):
            for turn, (a, b) in enumerate(sorted(((src, dst), (dst, src)))):
                half = Unit(a, b, unit.cause, acknowledges=a == dst, local=True)
                for kind, pipe in (("set", a), ("wait", b)):
                    leaf = Leaf(kind, pipe, unit.cause.op, unit=half, pos=waited.pos + 2 * turn + (kind == "wait"), block=waited.block, anchor=waited.anchor)
                    half.leaves.append(leaf)
                    self.restore(leaf)
                self.units.append(half)

    def stand_in_for_all(self, unit: Unit, why: str) -> None:
        """A barrier over all pipes wherever a unit waits, instead of it."""
        self.replace(unit, f"{why}: a barrier over all pipes stands in")
        whole = Unit(ALL, ALL, unit.cause)
        for waited in unit.leaves:
            if waited.kind in ("wait", "drain"):
                leaf = Leaf("barrier", ALL, unit.cause.op, unit=whole, pos=waited.pos, block=waited.block, anchor=waited.anchor)
                whole.leaves.append(leaf)
                self.restore(leaf)
        self.units.append(whole)

    def stretch(self, unit: Unit, first: Node, last: Node, late: bool) -> None:
        """Primes a unit before one node of a block and drains it behind another."""
        self.take_out(unit)
        turning, unit.leaves, unit.late = unit.leaves[1:3], [], late
        self.put(unit, "prime", unit.src, first, False)
        for leaf in turning:
            unit.leaves.append(leaf)
            self.restore(leaf)
        self.put(unit, "drain", unit.dst, last, True)

    def replace(self, unit: Unit, remark: str) -> None:
        """Takes a unit out for good, with a remark at the line that needed it."""
        self.remarks.append(f"{location_of(unit.cause.op)}: {remark}")
        self.take_out(unit)
        self.units.remove(unit)

    def merged(self, a: Unit, b: Unit) -> Unit:
        """One flag for two of a block and depth: set where the later one's was, wait where the earlier one's was."""
        early = min(a, b, key=lambda u: u.leaf("wait").pos)
        kept = {"prime": min, "wait": min, "set": max, "drain": min}
        leaves = [pick((a.leaf(kind), b.leaf(kind)), key=lambda leaf: leaf.pos) for kind, pick in kept.items() if a.depth or kind in ("set", "wait")]
        for unit in (a, b):
            self.take_out(unit)
            self.units.remove(unit)
        whole = Unit(a.src, a.dst, early.cause, a.depth, a.loop, a.scope)
        whole.leaves = leaves if a.depth else leaves[::-1]
        for leaf in whole.leaves:
            leaf.unit = whole
            self.restore(leaf)
        self.units.append(whole)
        return whole

    def forward(self, p: Leaf, q: Leaf) -> Unit:
        """Set right after what p is in, wait right before what q is in, in the innermost block that both are in."""
        block = common_block(p, q)
        unit = Unit(p.pipe, q.pipe, q, 0, block.loops[-1] if block.loops else None)
        self.put(unit, "set", p.pipe, ancestor(p, block), True)
        self.put(unit, "wait", q.pipe, ancestor(q, block), False)
        self.units.append(unit)
        return unit

    def carried(self, p: Leaf, q: Leaf, loop: Loop, distance: int, scope: Loop) -> Unit:
        """Wait before q and set after p in the loop's body; as many flags as the distance are raised before `scope` and drained after it.

        A single flag that is waited for before it is set keeps turning whatever the loops around do: it is primed outside of all of them.
        """
        block = self.turning_in(p, q, loop) if distance == 1 else loop.body
        before, after = ancestor(q, block), ancestor(p, block)
        if distance == 1 and before.pos <= after.pos:
            scope = loop.body.loops[0]
        unit = Unit(p.pipe, q.pipe, q, distance, loop, scope)
        self.put(unit, "prime", p.pipe, scope, False)
        self.put(unit, "wait", q.pipe, before, False)
        self.put(unit, "set", p.pipe, after, True)
        self.put(unit, "drain", q.pipe, scope, True)
        self.units.append(unit)
        return unit

    def turning_in(self, p: Leaf, q: Leaf, loop: Loop) -> Block:
        """The block in which a flag from p to the next q may turn: the innermost arm in a loop's body that both are in, else the body."""
        block = common_block(p, q)
        while block.loops[-1] is not loop:
            block = block.owner.block
        known = (loop, block) in self.clocks.runs
        return block if known and ancestor(q, block).pos <= ancestor(p, block).pos else loop.body

    def put(self, unit: Unit, kind: str, pipe: str, node: Node, after: bool) -> Leaf:
        """A leaf of a unit beside a node, behind what stands there already; drains come first after a loop."""
        key = (id(node), kind if kind == "drain" else after)
        count = self.counts[key] = self.counts.get(key, 0) + 1
        made = isinstance(node, Leaf) and node.anchor is not None
        step = 1 if made or kind == "drain" else 1 << 9
        pos = node.end + count * step if after else node.pos - (1 << 8) + count if made else node.pos - GAP // 2 + count * step
        leaf = Leaf(kind, pipe, unit.cause.op, unit=unit, pos=pos)
        leaf.anchor = node.anchor if made else (node, after)
        leaf.block = node.block
        unit.leaves.append(leaf)
        self.restore(leaf)
        return leaf

    def restore(self, leaf: Leaf) -> None:
        """Puts a leaf at its position."""
        items = leaf.block.items
        items.insert(bisect_left(items, leaf.pos, key=lambda item: item.pos), leaf)
        if leaf.pipe in self.positions:
            insort(self.positions[leaf.pipe], leaf.pos)
        if leaf.kind == "drain" and not leaf.unit.late:
            insort(self.clocks.drains.setdefault(leaf.unit.scope, []), leaf, key=lambda drain: drain.pos)

    def take_out(self, unit: Unit) -> None:
        """Removes a unit from the tree."""
        for leaf in unit.leaves:
            items, positions = leaf.block.items, self.positions.get(leaf.pipe)
            at = bisect_left(items, leaf.pos, key=lambda item: item.pos)
            del items[next(i for i in range(at, len(items)) if items[i] is leaf)]
            if leaf.kind == "drain" and not unit.late:
                self.clocks.drains[unit.scope].remove(leaf)
            if positions:
                del positions[bisect_left(positions, leaf.pos)]
