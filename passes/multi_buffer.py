"""multi-buffer: in loops marked `stages = N`, tiles that cross engines get N slots.

    before   scf.for %i = ... {                              {pto.stages = 2}
               %t = pto.alloc_tile : T
               pto.tload ... outs(%t)      pto.tadd ins(%t, ...)
    after    %m = pto.alloc_multi_tile : T, count=2
             scf.for %i = ... {
               %s = (%i - lower) / step mod 2      %t = pto.multi_tile_get %m[%s]

Needs: tiles without addresses.  Leaves: no loop marked `stages`.
A tile crosses engines if ops of two pipes touch it; scratch of one engine is left alone.  Nested marked loops count on: the slot number
is outer * inner trips + inner, so that the ring turns across the outer loop's iterations.  Where N slots of everything do not fit into a
memory, the count of that memory's tiles is lowered, with a remark.  Raises: nothing.
"""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.op import Record, plain, record
from ptoc.dialect.ops.structure import AllocTile, slot_stride

from .lower_pipes import pto_ops


@dataclass(frozen=True)
class MultiBuffer:
    """The pass; it has no options."""

    name = "multi-buffer"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Gives tiles their slots, in place; remarks name tiles that got fewer than asked."""
        remarks: list[str] = []
        plans = [plan for plan in _plans(module) if plan is not None]
        budget = _Budget(module, chip)
        for plan in plans:
            count = budget.grant(plan)
            if count < plan.stages:
                remarks.append(
                    f"{plan.rec.location}: tile {plan.tile} gets {count} of {plan.stages} slots: {plan.tile.memory} has no room for more"
                )
            if count > 1:
                _rewrite(plan, count)
        for loop in _loops(module.operation):
            if "pto.stages" in loop.attributes:
                del loop.attributes["pto.stages"]
        return remarks


@dataclass(frozen=True)
class _Plan:
    """A tile that is to get slots: its alloc, the marked loop around it."""

    rec: Record
    tile: t.Tile
    loop: ir.Operation
    stages: int


def _plans(module: ir.Module) -> list[_Plan]:
    plans = []
    for rec in pto_ops(module.operation):
        if not issubclass(rec.cls, AllocTile) or "addr" in rec.operands:
            continue
        loop = _marked_loop(rec.op)
        if loop is not None and len(pipes_of(rec.results["result"])) > 1:
            plans.append(_Plan(rec, rec.tile("result"), loop, plain(loop.attributes["pto.stages"])))
    return plans


def _marked_loop(op: ir.Operation) -> ir.Operation | None:
    """The innermost loop around an op, if it is marked."""
    parent = op.parent
    while parent.name in ("scf.if",):
        parent = parent.parent
    operation = parent.operation
    return operation if operation.name == "scf.for" and "pto.stages" in operation.attributes else None


def pipes_of(value: ir.Value) -> set[str]:
    """The engines whose ops touch a tile, through its views."""
    pipes: set[str] = set()
    for use in value.uses:
        owner = use.owner.operation
        if not owner.name.startswith("pto."):
            continue
        rec = record(owner)
        pipe = rec.cls.pipe_of(rec)
        if pipe:
            pipes.add(pipe)
        for result in owner.results:
            if isinstance(t.of(result.type), t.Tile):
                pipes |= pipes_of(result)
    return pipes


def _loops(root: ir.Operation) -> list[ir.Operation]:
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "scf.for":
            found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(visit)
    return found


class _Budget:
    """Bytes left per memory when every tile has one slot, so that slots are granted only where they fit."""

    def __init__(self, module: ir.Module, chip: Any) -> None:
        self.free = {name: chip.capacity_bytes(name) for name in ("ub", "l1", "l0a", "l0b", "l0c", "bias", "scaling")}
        for rec in pto_ops(module.operation):
            if rec.cls.internals.get("ub_scratch"):
                self.free["ub"] = min(self.free["ub"], int(chip.number("memories.ub_reserved_from")))
        for rec in pto_ops(module.operation):
            for record_ in rec.types.values():
                if isinstance(record_, t.MultiTile) and "result" in rec.results:
                    self.free[record_.tile.memory] -= record_.count * slot_stride(record_.tile)
            if issubclass(rec.cls, AllocTile):
                self.free[rec.tile("result").memory] -= slot_stride(rec.tile("result"))

    def grant(self, plan: _Plan) -> int:
        """Slots that a tile gets: as many as asked, else as many as fit."""
        stride, memory = slot_stride(plan.tile), plan.tile.memory
        extra = min(plan.stages - 1, max(0, self.free[memory]) // stride)
        self.free[memory] -= extra * stride
        return extra + 1


def _rewrite(plan: _Plan, count: int) -> None:
    """Replaces a tile by the slot of a ring that turns with the loop."""
    op, loop = plan.rec.op, plan.loop
    multi = t.MultiTile(plan.tile, count)
    valid = {k: plan.rec.operands[k] for k in ("valid_row", "valid_col") if k in plan.rec.operands}
    outermost = _outermost_marked(plan.loop)
    with op.context, op.location:
        place = outermost if not valid else None
        with ir.InsertionPoint(place if place is not None else op):
            segments = ir.DenseI32ArrayAttr.get([0, int("valid_row" in valid), int("valid_col" in valid)])
            ring = ir.Operation.create(
                "pto.alloc_multi_tile", results=[t.to_mlir(multi)], operands=list(valid.values()), attributes={"operandSegmentSizes": segments}
            )
        with ir.InsertionPoint(op):
            slot = arith.remsi(_counter(loop), arith.constant(ir.IndexType.get(), count))
            got = ir.Operation.create("pto.multi_tile_get", results=[t.to_mlir(plan.tile)], operands=[ring.result, slot])
        plan.rec.results["result"].replace_all_uses_with(got.result)
        op.erase()


def _outermost_marked(loop: ir.Operation) -> ir.Operation:
    outer = _outer_marked(loop)
    return loop if outer is None else _outermost_marked(outer)


def _outer_marked(loop: ir.Operation) -> ir.Operation | None:
    parent = loop.parent.operation
    return parent if parent.name == "scf.for" and "pto.stages" in parent.attributes else None


def _counter(loop: ir.Operation) -> ir.Value:
    """Number of the current iteration, counted on through directly enclosing marked loops whose inner trip count they do not change."""
    lower, upper, step = list(loop.operands)[:3]
    own = _divide(arith.subi(loop.regions[0].blocks[0].arguments[0], lower), step)
    outer = _outer_marked(loop)
    if outer is None or any(_defined_inside(v, outer) for v in (lower, upper, step)):
        return own
    trips = arith.ceildivsi(arith.subi(upper, lower), step) if _constant(step) != 1 else arith.subi(upper, lower)
    return arith.addi(arith.muli(_counter(outer), arith.maxsi(trips, arith.constant(ir.IndexType.get(), 0))), own)


def _divide(value: ir.Value, step: ir.Value) -> ir.Value:
    return value if _constant(step) == 1 else arith.divsi(value, step)


def _constant(value: ir.Value) -> int | None:
    owner = value.owner
    return plain(owner.attributes["value"]) if isinstance(owner, ir.Operation | ir.OpView) and owner.name == "arith.constant" else None


def _defined_inside(value: ir.Value, loop: ir.Operation) -> bool:
    owner = value.owner
    block = owner if isinstance(owner, ir.Block) else owner.operation.block
    while block is not None:
        parent = block.owner.operation
        if parent == loop:
            return _constant(value) is None
        if parent.name in ("func.func", "builtin.module"):
            return False
        block = parent.block
    return False

