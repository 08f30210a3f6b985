"""multi-buffer: in loops marked `stages = N`, tiles that cross engines get N slots; with auto-stages also in loops that are not marked.

    before   scf.for %i = ... {                              {pto.stages = 2}
               %t = pto.alloc_tile : T
               pto.tload ... outs(%t)      pto.tadd ins(%t, ...)
    after    %m = pto.alloc_multi_tile : T, count=2
             scf.for %i = ... {
               %s = (%i - lower) / step mod 2      %t = pto.multi_tile_get %m[%s]

Needs: tiles without addresses.  Leaves: no loop marked `stages`.  Raises: nothing.
A tile crosses engines if one engine writes it and another one touches it; scratch of one engine is left alone, and so is what has an address
or slots by hand.  The tile is made in the loop, or each iteration overwrites it first and nothing outside of the loop uses it.  Nested marked
loops count on: the slot number is outer * inner trips + inner, so that the ring turns across the outer loop's iterations.
Slots are granted one at a time: inner loops first, small tiles first.  One is refused, with a remark, where the planner has no place for it, or
only one where bytes are shared over which engines would wait for each other in a loop.
Option auto-stages: two stages for every loop without `stages` that may run twice, makes or overwrites crossing tiles and has no flags of the
author's; `stages = 1` keeps a loop as it is.  A tile that such a loop makes must begin each iteration by being overwritten.  Of the tiles
between one pair of engines in such a loop, the first for whose slots there are event ids get them.
A remark tells tiles and slots that are filled again while they are read, where one more slot would fit: two names of one buffer.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.op import REGISTRY, plain, record
from ptoc.dialect.ops import sync

from .memory_plan import plans_of
from .plan_memory import functions
from .slot_grants import STAGES, Candidate, candidates, grant, stages_by_hand
from .tile_liveness import RESERVE, Buffer, Loop
from .tile_refills import refills

FLAGS = (sync.SetFlag, sync.WaitFlag, sync.SetFlagDyn, sync.WaitFlagDyn)


@dataclass(frozen=True)
class MultiBuffer:
    """The pass.  auto_stages: two stages also for loops that are not marked."""

    auto_stages: bool = False

    name = "multi-buffer"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Gives tiles their slots, in place; remarks name tiles that got fewer than asked, and buffers of two names."""
        remarks: list[str] = []
        for func in functions(module):
            plans = plans_of(func, chip, _given)
            found = self._candidates(plans, int(chip.number("sync.event_ids")))
            for one in found:
                one.loop.op.attributes[STAGES] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), one.stages)
            rooms = grant(found, _around)
            remarks += refills(plans, rooms, [one for one in found if one.count > 1])
            for one in found:
                if one.count < one.stages:
                    tile = t.of(one.buffer.op.results[0].type)
                    remarks.append(f"{one.buffer.location}: tile {tile} gets {one.count} of {one.stages} slots: {one.why}")
                if one.count > 1:
                    _rewrite(one)
        for loop in _loops(module.operation):
            if STAGES in loop.attributes:
                del loop.attributes[STAGES]
        return remarks

    def _candidates(self, plans: list, event_ids: int) -> list[Candidate]:
        by_itself = [loop for plan in plans[:1] for loop in plan.live.loops if self.auto_stages and _may_repeat(loop.op) and not _has_flags(loop.op)]
        unmarked = {id(loop) for loop in by_itself if stages_by_hand(loop) is None}

        def stages_of(loop: Loop) -> int:
            return 2 if id(loop) in unmarked else stages_by_hand(loop) or 1

        return list(_with_ids(list(candidates(plans, stages_of)), event_ids, unmarked))


def _given(buffer: Buffer) -> int | None:
    """The address that an alloc states; 0 for one from run time, which plan-memory refuses."""
    if buffer.op.name == RESERVE:
        return buffer.address
    addr = record(buffer.op).operands.get("addr")
    return None if addr is None else _constant(addr) or 0


def _with_ids(found: list[Candidate], event_ids: int, unmarked: set[int]) -> Iterator[Candidate]:
    """The candidates without those of unmarked loops for whose slots no event ids are left, each slot taking one of its pair of engines."""
    taken: Counter = Counter()
    for one in found:
        uses = one.buffer.uses
        crossed = {(id(one.loop), w.pipe, u.pipe) for w in uses if w.writes and w.pipe for u in uses if u.pipe not in ("", w.pipe)}
        if id(one.loop) not in unmarked or all(taken[pair] + one.stages <= event_ids for pair in crossed):
            taken.update(dict.fromkeys(crossed, one.stages))
            yield one


def _has_flags(loop: ir.Operation) -> bool:
    found = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        found.append(issubclass(REGISTRY.get(op.name, type(None)), FLAGS))
        return ir.WalkResult.ADVANCE

    loop.walk(visit)
    return any(found)


def _may_repeat(loop: ir.Operation) -> bool:
    """True for a counted loop that may run twice."""
    if loop.name != "scf.for":
        return False
    lower, upper, step = (_constant(v) for v in list(loop.operands)[:3])
    return None in (lower, upper, step) or upper - lower > step


def _loops(root: ir.Operation) -> list[ir.Operation]:
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "scf.for":
            found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(visit)
    return found


def _around(one: Candidate) -> Loop | None:
    """The loop around the place where a candidate's slots are made: before the outermost marked loop, or in the tile's own place."""
    if _valid(one) or one.outside:
        return one.buffer.loop
    loop = one.loop
    while loop.parent is not None and loop.op.parent.operation == loop.parent.op and (stages_by_hand(loop.parent) or 1) > 1:
        loop = loop.parent
    return loop.parent


def _valid(one: Candidate) -> dict[str, ir.Value]:
    operands = record(one.buffer.op).operands
    return {k: operands[k] for k in ("valid_row", "valid_col") if k in operands}


def _rewrite(one: Candidate) -> None:
    """Replaces a tile by the slot of a ring that turns with the loop."""
    op, loop, valid = one.buffer.op, one.loop.op, _valid(one)
    tile = t.of(op.results[0].type)
    with op.context, op.location:
        with ir.InsertionPoint(op if valid or one.outside else _outermost_marked(loop)):
            segments = ir.DenseI32ArrayAttr.get([0, int("valid_row" in valid), int("valid_col" in valid)])
            ring = ir.Operation.create(
                "pto.alloc_multi_tile",
                results=[t.to_mlir(t.MultiTile(tile, one.count))],
                operands=list(valid.values()),
                attributes={"operandSegmentSizes": segments},
            )
        with ir.InsertionPoint.at_block_begin(loop.regions[0].blocks[0]) if one.outside else ir.InsertionPoint(op):
            slot = arith.remsi(_counter(loop), arith.constant(ir.IndexType.get(), one.count))
            got = ir.Operation.create("pto.multi_tile_get", results=[t.to_mlir(tile)], operands=[ring.result, slot])
        op.results[0].replace_all_uses_with(got.result)
        op.erase()


def _outermost_marked(loop: ir.Operation) -> ir.Operation:
    outer = _outer_marked(loop)
    return loop if outer is None else _outermost_marked(outer)


def _outer_marked(loop: ir.Operation) -> ir.Operation | None:
    parent = loop.parent.operation
    return parent if parent.name == "scf.for" and STAGES in parent.attributes and plain(parent.attributes[STAGES]) > 1 else None


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
