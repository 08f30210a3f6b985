"""A load whose source and tile nothing in the loop changes moves before the loop.

It moves where the loop surely runs, or where the tile is the loop's own and what is loaded surely exists.  Nothing in the function may
write the tensor that it loads from (another core may be that function too), nothing else in the loop the tile, and all tiles must fit
into their memory side by side: a tile that lives through a loop shares its bytes with none of it.  Functions with flags or barriers of
their own, and loops whose stages will be shifted, are left alone.
"""

from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, Record, plain, record
from ptoc.dialect.ops import events, sync
from ptoc.dialect.ops.structure import AllocMultiTile, AllocTile, MakeTensorView, PartitionView, slot_stride

from .bounds import constant, runs_at_least_once
from .cross_values import is_pure, parent_in, walk
from .tile_uses import TileUses, Users, is_own

ORDERING = (
    sync.SetFlag, sync.WaitFlag, sync.SetFlagDyn, sync.WaitFlagDyn, sync.Barrier,
    events.EventOp, events.BarrierSync, events.CrossCoreOp, events.BufferTokenOp, events.TSync,
)  # fmt: skip
"""Ops that order others: among them a load stands where it must."""


def hoist_loads(uses: TileUses, chip: Any) -> int:
    """Moves what can be moved, out of as many loops as possible; returns how often."""
    if any(issubclass(rec.cls, ORDERING) for rec in uses.records):
        return 0
    loops = [op for op in walk(uses.function) if op.name == "scf.for"]
    room: dict[str, bool] = {}
    count = 0
    for loop in reversed(loops):  # inner ones first: what leaves one may leave the next
        if "pto.preload" in loop.attributes:
            continue
        for op in list(loop.regions[0].blocks[0].operations):
            if op.operation.name in REGISTRY:
                count += _hoist(record(op.operation), loop, uses, chip, room)
    return count


def _hoist(load: Record, loop: ir.Operation, uses: TileUses, chip: Any, room: dict[str, bool]) -> bool:
    if not _is_load(load):
        return False
    target = load.operands[load.cls.writes[0]]
    tile = uses.root(target)
    alloc = tile.owner.operation if is_own(tile) else None
    if alloc is None or not _only_writer(load, uses.of(tile), loop) or not _source_stays(load, uses):
        return False
    inside = parent_in(alloc, loop) is not None
    moved = _invariant([*load.op.operands], loop, alloc)
    if moved is None or not (runs_at_least_once(loop) or (inside and _exists(load))):
        return False
    memory = load.types[load.cls.writes[0]].memory
    if memory not in room:
        room[memory] = _fits(uses, memory, chip)
    if not room[memory]:
        return False
    for op in [*moved, load.op]:
        op.move_before(loop)
    return True


def _is_load(rec: Record) -> bool:
    """Whether an op only brings global memory into one tile."""
    kinds = [rec.types[name] for name in rec.cls.reads_of(rec) if name in rec.types]
    written = [name for name in rec.cls.writes if name in rec.operands]
    tiles = len(written) == 1 and isinstance(rec.types[written[0]], t.Tile)
    return rec.cls.only_writes and tiles and bool(kinds) and all(isinstance(kind, t.View) for kind in kinds)


def _only_writer(load: Record, users: Users, loop: ir.Operation) -> bool:
    """Whether nothing else in the loop changes the tile, and what reads it there comes after the load."""
    if users.others or any(parent_in(rec.op, loop) for rec in users.sizers):
        return False
    if any(rec.op != load.op and parent_in(rec.op, loop) for rec in users.writers):
        return False
    readers = [parent_in_block(rec.op, load.op.block) for rec in users.readers if parent_in(rec.op, loop)]
    return all(op is not None and load.op.is_before_in_block(op) for op in readers)


def parent_in_block(op: ir.Operation, block: ir.Block) -> ir.Operation | None:
    """The op of a block that an op is or lies in."""
    while op.block != block:
        if op.parent is None or op.parent.name == "builtin.module":
            return None
        op = op.parent.operation
    return op


def _source_stays(load: Record, uses: TileUses) -> bool:
    """Whether nothing in the function writes the global memory that is loaded; different arguments are different memory."""
    for root in uses.touched(load, load.cls.reads_of(load)):
        if not isinstance(root.owner, ir.Block) or uses.of(root).writers or uses.of(root).others:
            return False
    written = (root for root, users in uses.users.items() if users.writers or users.others)
    return all(isinstance(root.owner, ir.Block) or not isinstance(t.of(root.type), t.View | t.Ptr) or _is_entry(root) for root in written)


def _is_entry(root: ir.Value) -> bool:
    """Whether a view is a slot of a pipe, which is memory of its own."""
    op = root.owner.operation
    return op.name in REGISTRY and not REGISTRY[op.name].operand_names()


def _invariant(values: list[ir.Value], loop: ir.Operation, alloc: ir.Operation) -> list[ir.Operation] | None:
    """The ops in the loop that some values come from, in order, where each can stand before the loop; None where one cannot."""
    found: list[ir.Operation] = []
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        owner = value.owner
        if isinstance(owner, ir.Block):
            if owner.owner.operation == loop or parent_in(owner.owner.operation, loop) is not None:
                return None
            continue
        op = owner.operation
        if parent_in(op, loop) is None or op in found:
            continue
        if op.block != loop.regions[0].blocks[0] or not (is_pure(op) or op == alloc):
            return None
        found.append(op)
        waiting += list(op.operands)
    return [op.operation for op in loop.regions[0].blocks[0].operations if op.operation in found]


def _exists(load: Record) -> bool:
    """Whether the bytes of a load exist whatever the arguments are: a fixed part of a tensor of fixed size."""
    view = load.operands[next(name for name in load.cls.reads_of(load) if name in load.operands)].owner.operation
    rec = record(view)
    if issubclass(rec.cls, MakeTensorView):
        return _of_fixed_size(rec)
    if not issubclass(rec.cls, PartitionView) or isinstance(rec.operands["source"].owner, ir.Block):
        return False
    source = record(rec.operands["source"].owner.operation)
    if not issubclass(source.cls, MakeTensorView) or not _of_fixed_size(source):
        return False
    parts = zip(rec.operands["offsets"], rec.operands["sizes"], source.operands["shape"])
    numbers = [tuple(constant(value) for value in part) for part in parts]
    return all(None not in part and 0 <= part[0] and part[0] + part[1] <= part[2] for part in numbers)


def _of_fixed_size(view: Record) -> bool:
    """Whether a whole tensor's extents are numbers: an argument of the kernel then has as many elements."""
    return isinstance(view.operands["ptr"].owner, ir.Block) and all(constant(n) is not None for n in view.operands["shape"])


def _fits(uses: TileUses, memory: str, chip: Any) -> bool:
    """Whether all tiles of a memory fit side by side, with the slots that loops with `stages` ask for."""
    total = 0
    for rec in uses.records:
        if issubclass(rec.cls, AllocTile | AllocMultiTile):
            kind = rec.types["result"]
            tile, count = (kind.tile, kind.count) if isinstance(kind, t.MultiTile) else (kind, _stages(rec.op))
            total += slot_stride(tile) * count if tile.memory == memory else 0
    scratch = memory == "ub" and any(rec.cls.internals_of(rec).get("ub_scratch") for rec in uses.records)
    return total <= (int(chip.number("memories.ub_reserved_from")) if scratch else chip.capacity_bytes(memory))


def _stages(op: ir.Operation) -> int:
    """Slots that the loops around a tile ask for."""
    most = 1
    while op.name != "func.func":
        most = max(most, plain(op.attributes["pto.stages"]) if "pto.stages" in op.attributes else 1)
        op = op.parent.operation
    return most
