"""A function as insert-sync sees it: commands, loops and branches with the places that each command reads and writes, no MLIR in between.

Sections of the other kind of core are left out, those of this kind are part of the block around them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, Record, location_of, record
from ptoc.dialect.ops import structure, sync

from .bounds import in_first_iteration, runs_at_least_once
from .symbolic import LoopInfo, Poly, Symbols, add, number
from .tile_places import Place, Slots, View, whole

GAP = 1 << 20
"""Distance between the numbers of two neighbours: room for what is inserted between them."""

SECTIONS = {"pto.section_cube": "cube", "pto.section_vector": "vector"}


@dataclass(eq=False)
class Leaf:
    """One command, at `pos` in program order.  kind: work, set, wait, prime, drain, barrier; unknown: a flag with an id
    from run time.  A flag's `pipe` is where it runs, its `unit` what it belongs to: (pipe, pipe, id) for one that was there before.
    `anchor`: where an inserted one goes: the node, and True for after it."""

    kind: str
    pipe: str
    op: ir.Operation | None = None
    reads: list[Place | View] = field(default_factory=list)
    writes: list[Place | View] = field(default_factory=list)
    drained: bool = False
    events: tuple = ()
    unit: Any = None
    block: "Block" = None
    pos: int = 0
    deps: list = field(default_factory=list)
    guards: list = field(default_factory=list)
    anchor: tuple | None = None

    @property
    def end(self) -> int:
        """Last position in it: its own."""
        return self.pos

    @property
    def location(self) -> str:
        """file:line of its op."""
        return location_of(self.op) if self.op is not None else ""


@dataclass(eq=False)
class Loop:
    """A loop; `trips`: how often it runs where that is known; `running`: levels counted on through loops around (see sync_clocks)."""

    op: ir.Operation
    info: LoopInfo
    body: "Block" = None
    block: "Block" = None
    pos: int = 0
    end: int = 0
    running: list[int] = field(default_factory=list)

    @property
    def trips(self) -> int | None:
        """Number of iterations, None where it is not known."""
        return number(self.info.trip)

    @cached_property
    def runs(self) -> bool:
        """True where it surely has an iteration."""
        return self.trips > 0 if self.trips is not None else self.op.name == "scf.for" and runs_at_least_once(self.op)


@dataclass(eq=False)
class Branch:
    """A choice of one of several blocks, or of none where `arms` has an empty one."""

    op: ir.Operation
    arms: list["Block"] = field(default_factory=list)
    block: "Block" = None
    pos: int = 0
    end: int = 0

    @cached_property
    def first(self) -> dict[ir.Operation, bool]:
        """Loops in whose first iteration it is known whether the first arm is taken, and whether it is."""
        return in_first_iteration(self.op.operands[0])

    def arms_in(self, first_of: frozenset[ir.Operation]) -> list["Block"]:
        """The arms that may be taken in the first iteration of some loops."""
        known = {taken for loop, taken in self.first.items() if loop in first_of}
        return [arm for n, arm in enumerate(self.arms) if not known or (n == 0) is (True in known)]


Node = Leaf | Loop | Branch


@dataclass(eq=False)
class Block:
    """Nodes in order.  `owner`: the loop or branch that it belongs to, None for the function."""

    owner: Loop | Branch | None = None
    items: list[Node] = field(default_factory=list)
    loops: tuple[Loop, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """All commands inside, in program order."""
        for item in self.items:
            if isinstance(item, Leaf):
                yield item
            else:
                for block in blocks_of(item):
                    yield from block.leaves()


def blocks_of(node: Node) -> list[Block]:
    """The blocks of a loop or branch."""
    return [node.body] if isinstance(node, Loop) else node.arms if isinstance(node, Branch) else []


def ancestor(node: Node, block: Block) -> Node:
    """The node of `block` that a node is in, or is."""
    while node.block is not block:
        node = node.block.owner
    return node


def common_block(a: Node, b: Node) -> Block:
    """The innermost block that both are in."""
    around = set()
    block = a.block
    while block is not None:
        around.add(id(block))
        block = block.owner.block if block.owner else None
    block = b.block
    while id(block) not in around:
        block = block.owner.block
    return block


@dataclass
class Function:
    """The tree of one kind of core of a function; `reserved`: event ids that library internals use, by (pipe, pipe)."""

    op: ir.Operation
    kind: str
    root: Block
    symbols: Symbols
    reserved: dict[tuple[str, str], set[int]]


def kinds_of(func: ir.Operation) -> list[str]:
    """ "cube", "vector" where the function has such sections, else one "" for the whole function."""
    found = {SECTIONS[op.name] for op in _inside(func) if op.name in SECTIONS}
    return sorted(found) or [""]


def read_function(func: ir.Operation, kind: str) -> Function:
    """The tree of a function for one kind of core."""
    reader = _Reader(kind)
    reader.follow_until_stable(func.regions[0].blocks[0])
    root = Block()
    reader.fill(root, func.regions[0].blocks[0])
    _number(root, GAP)
    reserved: dict[tuple[str, str], set[int]] = {}
    for leaf in root.leaves():
        for src, dst, event in leaf.events:
            reserved.setdefault((pipe_name(src), pipe_name(dst)), set()).add(event)
    return Function(func, kind, root, reader.symbols, reserved)


def pipe_name(text: str) -> str:
    """PIPE_MTE2 as MTE2."""
    return text.removeprefix("PIPE_")


def internals_of(rec: Record) -> dict[str, Any]:
    """What the library does inside this instance of an op."""
    of = getattr(rec.cls, "internals_of", None)
    return of(rec) if of else rec.cls.internals


def _inside(op: ir.Operation) -> Iterator[ir.Operation]:
    for region in op.regions:
        for block in region.blocks:
            for view in block.operations:
                yield view.operation
                yield from _inside(view.operation)


def _number(block: Block, at: int) -> int:
    """Numbers a block's nodes from `at` on; the next free number."""
    for item in block.items:
        item.pos = at
        at += GAP
        for inner in blocks_of(item):
            at = _number(inner, at)
        if not isinstance(item, Leaf):
            item.end = at
            at += GAP
    return at


class _Reader:
    """Follows tiles and views through a function, then builds its tree."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.symbols = Symbols()
        self.places: dict[ir.Value, list[Place | View]] = {}
        self.records: dict[ir.Operation, Record] = {}
        self.roots: dict[Any, int] = {}

    def follow_until_stable(self, block: ir.Block) -> None:
        """Places of all values; loops that carry tiles are gone through until nothing is added."""
        while self.follow(block):
            pass

    def follow(self, block: ir.Block) -> bool:
        """One walk; True where something carried by a loop was added."""
        changed = False
        for view in block.operations:
            op = view.operation
            if len(op.regions):
                changed |= self.structure(op)
            elif op.name in REGISTRY:
                rec = self.records.setdefault(op, record(op))
                if len(op.results) and (places := self.made_by(rec)):
                    for result in op.results:
                        self.places[result] = places
        return changed

    def structure(self, op: ir.Operation) -> bool:
        if SECTIONS.get(op.name, self.kind or SECTIONS.get(op.name)) != (self.kind or SECTIONS.get(op.name)):
            return False
        changed = False
        loop = op.name != "scf.if" and op.name not in SECTIONS
        if loop:
            inits = list(op.operands)[-len(op.results) :] if len(op.results) else []
            changed |= self.join(op, op.results, inits, False)
            for region in op.regions:
                for block in region.blocks:
                    changed |= self.join(op, list(block.arguments)[-len(inits) :] if inits else [], inits, False)
        for region in op.regions:
            for block in region.blocks:
                changed |= self.follow(block)
                end = block.operations[len(block.operations) - 1].operation if len(block.operations) else None
                if end is not None and end.name in ("scf.yield", "scf.condition") and len(op.results):
                    values = list(end.operands)[-len(op.results) :]
                    changed |= self.join(op, op.results, values, loop)
                    if loop:
                        changed |= self.join(op, list(block.arguments)[-len(values) :], values, True)
        return changed and loop

    def join(self, op: ir.Operation, targets: Any, values: list[ir.Value], carried: bool) -> bool:
        """What a target may be; a place that comes from another iteration may be any slot or offset of its root."""
        changed = False
        for target, value in zip(targets, values):
            known = self.places.setdefault(target, []) if value in self.places else []
            for place in self.places.get(value, ()):
                if carried or len(known):
                    place = _loosened(place)
                if place not in known:
                    known.append(place)
                    changed = True
        return changed

    def made_by(self, rec: Record) -> list[Place | View]:
        """Places of the result of an op that makes or renames a tile, a view or a pointer."""
        if issubclass(rec.cls, structure.AllocTile | structure.AllocMultiTile):
            return [self.allocated(rec)]
        if issubclass(rec.cls, structure.MultiTileGet):
            return [self.slot(rec, place) for place in self.places.get(rec.operands["source"], ())]
        if issubclass(rec.cls, structure.Subview):
            return [self.subview(rec, place) for place in self.places.get(rec.operands["source"], ())]
        if issubclass(rec.cls, structure.MakeTensorView):
            return [self.view(rec, view) for view in self.pointer(rec.operands["ptr"])]
        if issubclass(rec.cls, structure.PartitionView):
            return [self.partition(rec, view) for view in self.places.get(rec.operands["source"], ()) if isinstance(view, View)]
        if issubclass(rec.cls, structure.AddPtr):
            return [replace(view, key=None) for view in self.pointer(rec.operands["ptr"])]
        if rec.cls.reads or rec.cls.writes:
            return []
        return self.renamed(rec)

    def allocated(self, rec: Record) -> Place:
        type_ = t.of(rec.op.results[0].type)
        tile, count = (type_.tile, type_.count) if isinstance(type_, t.MultiTile) else (type_, 1)
        base = number(self.symbols.poly(rec.operands["addr"])) if "addr" in rec.operands else None
        slots = Slots(count, structure.slot_stride(tile), None) if isinstance(type_, t.MultiTile) else None
        return Place(self.root(rec.op), tile.memory, base, tile, valid=_valid(tile), offset={}, slots=slots)

    def root(self, key: Any) -> int:
        return self.roots.setdefault(key, len(self.roots))

    def slot(self, rec: Record, place: Place) -> Place:
        poly, modulus = self.symbols.modular(self.symbols.poly(rec.operands["index"]))
        return replace(place, slots=replace(place.slots, poly=poly, modulus=modulus), valid=_valid(t.of(rec.op.results[0].type)))

    def subview(self, rec: Record, place: Place) -> Place:
        offsets = [self.symbols.poly(v) for v in rec.operands["offsets"]]
        tile, valid = place.storage, _valid(t.of(rec.op.results[0].type))
        rows, cols = (number(p) for p in offsets) if len(offsets) == 2 else (None, None)
        if rows is not None and cols is not None and place.row + rows + valid[0] <= tile.rows and place.col + cols + valid[1] <= tile.cols:
            return replace(place, row=place.row + rows, col=place.col + cols, valid=valid)
        if len(offsets) == 2 and tile.slayout == "none_box" and place.offset is not None:
            steps = (tile.cols, 1) if tile.blayout == "row_major" else (1, tile.rows)
            offset: Poly = place.offset
            for poly, step in zip(offsets, steps):
                offset = add(offset, poly, step * tile.dtype.bytes)
            return replace(place, valid=valid, offset=offset)
        return replace(whole(place), offset=None)

    def renamed(self, rec: Record) -> list[Place]:
        """The same bytes under another type."""
        tile = t.of(rec.op.results[0].type) if len(rec.op.results) == 1 else None
        if not isinstance(tile, t.Tile):
            return []
        sources = [p for v in rec.op.operands for p in self.places.get(v, ()) if isinstance(p, Place)]
        if not sources and not len(rec.op.operands):
            return self.declared(rec.op, tile)
        return [self.retyped(place, tile) for place in sources]

    def retyped(self, place: Place, tile: t.Tile) -> Place:
        same = t.with_valid(tile, None, None) == t.with_valid(place.storage, None, None)
        if same or (place.row == 0 and place.col == 0 and tile.bytes == place.storage.bytes):
            return replace(place, storage=tile, valid=_valid(tile))
        return whole(place)

    def declared(self, op: ir.Operation, tile: t.Tile) -> list[Place]:
        """A tile that a pipe op fills in: some slot of the pipe's local buffer, which is that pipe's own."""
        for use in op.results[0].uses:
            for value in use.owner.operands:
                maker = value.owner
                if isinstance(t.of(value.type), t.Opaque) and not isinstance(maker, ir.Block):
                    return [Place(self.root(maker), tile.memory, None, tile, valid=_valid(tile), offset=None, private=True)]
        return [Place(self.root(op), tile.memory, None, tile, valid=_valid(tile), offset=None)]

    def pointer(self, value: ir.Value) -> list[View]:
        known = [p for p in self.places.get(value, ()) if isinstance(p, View)]
        return known or [View(self.root(value), (), ())]

    def view(self, rec: Record, pointer: View) -> View:
        polys = [self.symbols.poly(v) for name in ("shape", "strides") for v in rec.operands.get(name, ())]
        steady = pointer.key is not None and not any(self.symbols.varies(p) for p in polys)
        shape = [number(self.symbols.poly(v)) for v in rec.operands.get("shape", ())]
        key = tuple(frozenset(p.items()) for p in polys) if steady else None
        return View(pointer.root, key, tuple(({}, n) for n in shape))

    def partition(self, rec: Record, source: View) -> View:
        offsets = [self.symbols.poly(v) for v in rec.operands.get("offsets", ())]
        sizes = [number(self.symbols.poly(v)) for v in rec.operands.get("sizes", ())]
        if source.key is None or len(offsets) != len(source.windows) or len(sizes) != len(offsets):
            return replace(source, key=None, windows=())
        windows = tuple((add(begin, offset), size) for (begin, _), offset, size in zip(source.windows, offsets, sizes))
        return replace(source, windows=windows)

    def fill(self, target: Block, block: ir.Block) -> None:
        """Appends the nodes of an MLIR block to `target`."""
        for view in block.operations:
            op = view.operation
            if op.name in SECTIONS:
                if SECTIONS[op.name] == self.kind:
                    self.fill(target, op.regions[0].blocks[0])
            elif len(op.regions):
                self.put(target, self.node(target, op))
            elif op.name in REGISTRY and (leaf := self.leaf(self.records[op])):
                self.put(target, leaf)

    @staticmethod
    def put(target: Block, node: Node) -> None:
        node.block = target
        target.items.append(node)

    def node(self, target: Block, op: ir.Operation) -> Node:
        if op.name == "scf.if":
            branch = Branch(op)
            for region in op.regions:
                arm = Block(branch, loops=target.loops)
                branch.arms.append(arm)
                for block in region.blocks:
                    self.fill(arm, block)
            return branch
        loop = Loop(op, self.symbols.loop(op))
        loop.body = Block(loop, loops=(*target.loops, loop))
        for region in op.regions:
            for block in region.blocks:
                self.fill(loop.body, block)
        return loop

    def leaf(self, rec: Record) -> Leaf | None:
        facts = rec.attributes
        if issubclass(rec.cls, sync.SetFlag | sync.WaitFlag | sync.SetFlagDyn | sync.WaitFlagDyn):
            sets = issubclass(rec.cls, sync.SetFlag | sync.SetFlagDyn)
            src, dst = pipe_name(facts["src_pipe"]), pipe_name(facts["dst_pipe"])
            event = facts.get("event_id")
            if event is None:
                return Leaf("unknown", src if sets else dst, rec.op, unit=(src, dst, None))
            return Leaf("set" if sets else "wait", src if sets else dst, rec.op, unit=(src, dst, int(event.removeprefix("EVENT_ID"))))
        if issubclass(rec.cls, sync.Barrier):
            return Leaf("barrier", pipe_name(facts["pipe"]), rec.op)
        pipe = pipe_name(rec.cls.pipe_of(rec))
        if not pipe or not (rec.cls.reads or rec.cls.writes):
            return None
        internals = internals_of(rec)
        reads, writes = (self.touched(rec, names) for names in (rec.cls.reads, rec.cls.writes))
        return Leaf("work", pipe, rec.op, reads, writes, bool(internals.get("drained")), tuple(internals.get("event_ids", ())))

    def touched(self, rec: Record, names: tuple[str, ...]) -> list[Place | View]:
        values = [v for name in names if name in rec.operands for v in _each(rec.operands[name])]
        places = []
        for value in values:
            found = self.places.get(value, ())
            if not found and isinstance(t.of(value.type), t.Ptr):
                found = [replace(view, key=None) for view in self.pointer(value)]
            places += [p for p in found if p not in places]
        return places


def _each(value: Any) -> list[ir.Value]:
    return list(value) if isinstance(value, list) else [value]


def _valid(tile: t.Tile) -> tuple[int, int]:
    tile = tile.tile if isinstance(tile, t.MultiTile) else tile
    return tuple(n if v is None else v for v, n in zip(tile.valid, (tile.rows, tile.cols)))


def _loosened(place: Place | View) -> Place | View:
    if isinstance(place, View):
        return replace(place, key=None, windows=())
    slots = replace(place.slots, poly=None, modulus=0) if place.slots else None
    return replace(place, slots=slots, offset={} if place.offset == {} else None)
