"""skew-pipeline: stages of a loop run shifted against each other by their lag times preload iterations.

    before   scf.for %t = 0 to %n { %r = pto.alloc_tile    scf.if %true { write %r } {pto.lag = 0}    scf.if %true { read %r } {pto.lag = 1} } {pto.preload = 4}
    after    %ring = pto.alloc_multi_tile : ..., count=5
             scf.for %g = 0 to %n + 4 {
               scf.if %g < %n   { write %ring[%g mod 5] }
               scf.if %g >= 4   { read %ring[(%g - 4) mod 5] } }

A tile that is made in the loop and used by stages of different lags gets a slot for every iteration that is under way.
Needs: stages as split-sections leaves them.  Leaves: no loop with `pto.preload`.
Raises: NotSupportedError for a tile that stages of different lags use, where it is made outside of the loop or has slots of its own, and
for commands of the loop that belong to no stage.
"""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.op import location_of, plain
from ptoc.dialect.ops.structure import AllocMultiTile, AllocTile

from .cross_values import is_pure, parent_in, touches, walk
from .lower_pipes import pto_ops
from .tile_sweep import drop_unused


@dataclass(frozen=True)
class SkewPipeline:
    """The pass.  preload: iterations by which a round trip runs ahead; None: as the loop's `pto.preload` says."""

    preload: int | None = None
    name = "skew-pipeline"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Skews all loops with a preload, in place; a remark for one that has no stages."""
        remarks = []
        for loop in [op for op in walk(module.operation) if op.name == "scf.for" and "pto.preload" in op.attributes]:
            preload = self.preload or plain(loop.attributes["pto.preload"])
            del loop.attributes["pto.preload"]
            stages = [op.operation for op in loop.regions[0].blocks[0].operations if "pto.lag" in op.attributes]
            if not stages:
                remarks.append(f"{location_of(loop)}: preload does nothing: no cross tile connects sections that stand directly in this loop")
            else:
                _Skew(loop, stages, preload).run()
                drop_unused(loop)
        return remarks


class _Skew:
    """One loop: its bounds, its stages with their lags."""

    def __init__(self, loop: ir.Operation, stages: list[ir.Operation], preload: int) -> None:
        self.loop, self.stages, self.preload = loop, stages, preload
        self.lags = {stage: plain(stage.attributes["pto.lag"]) for stage in stages}
        self.body = loop.regions[0].blocks[0]
        self.lower, self.upper, self.step = list(loop.operands)[:3]
        self.common = [op.operation for op in self.body.operations if is_pure(op.operation)]

    def run(self) -> None:
        self._refuse_carried()
        self._refuse_unplaced()
        with self.loop.context, self.loop.location:
            rings = self._rings()
            end = max(self.lags.values())
            for stage in self.stages:
                self._shift(stage, rings)
            with ir.InsertionPoint(self.loop):
                if end:
                    self.loop.operands[1] = arith.addi(self.upper, self._iterations(end))
            for op, _ in rings.values():
                if not list(op.results[0].uses):
                    op.erase()

    def _refuse_carried(self) -> None:
        """A tile made before the loop would be seen too early or too late by stages of different lags, if one of them writes it."""
        scope = self.loop
        while scope.name != "func.func":
            scope = scope.parent.operation
        for rec in pto_ops(scope):
            if not issubclass(rec.cls, AllocTile | AllocMultiTile) or parent_in(rec.op, self.loop) is not None:
                continue
            written = any(writes and parent_in(user, self.loop) in self.lags for user, writes in touches(rec.op.results[0]))
            if written and len(self._lags_of(rec.op)) > 1:
                raise NotSupportedError(
                    "a tile that stages of different lags use belongs to one iteration: make it in the loop's body", location_of(rec.op)
                )

    def _refuse_unplaced(self) -> None:
        """Commands of the loop that no stage holds have no lag: they would run in the added iterations too."""
        if not max(self.lags.values()) * self.preload:
            return
        for op in [op.operation for op in self.body.operations]:
            if op not in self.lags and any(rec.cls.pipe_of(rec) for rec in pto_ops(op)):
                raise NotSupportedError(
                    "a loop with preload holds sections that cross tiles connect, and nothing else that issues commands: move this out of it",
                    location_of(op),
                )

    def _lags_of(self, alloc: ir.Operation) -> set[int]:
        found = {parent_in(user, self.loop) for user, _ in touches(alloc.results[0])}
        return {self.lags[stage] for stage in found if stage in self.lags}

    def _rings(self) -> dict[ir.Operation, tuple[ir.Operation, ir.Operation]]:
        """Tiles of the loop's body that outlive their stage: alloc, and the multi-slot alloc before the loop."""
        rings = {}
        for op in [op.operation for op in self.body.operations]:
            if op.name not in ("pto.alloc_tile", "pto.alloc_multi_tile") or len(self._lags_of(op)) < 2:
                continue
            if op.name == "pto.alloc_multi_tile" or list(op.operands):
                raise NotSupportedError("a tile that stages of different lags use must have one slot, no given address and a fixed valid size", location_of(op))
            lags = self._lags_of(op)
            multi = t.MultiTile(t.of(op.results[0].type), (max(lags) - min(lags)) * self.preload + 1)
            segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0, 0])}
            ring = ir.Operation.create(
                "pto.alloc_multi_tile", results=[t.to_mlir(multi)], attributes=segments, loc=op.location, ip=ir.InsertionPoint(self.loop)
            )
            rings[op] = (op, ring)
        return rings

    def _shift(self, stage: ir.Operation, rings: dict) -> None:
        """A stage's own iteration number, what the loop's body computes from it, and the guard that keeps it in the loop's range."""
        lag, end, block = self.lags[stage], max(self.lags.values()), stage.regions[0].blocks[0]
        number = self.body.arguments[0]
        with ir.InsertionPoint(stage):
            own = arith.subi(number, self._iterations(lag)) if lag else number
            bounds = [arith.cmpi(5, own, self.lower)] if lag else []
            bounds += [arith.cmpi(2, own, self.upper)] if lag < end else []
        changed: dict[ir.Value, ir.Value] = {number: own} if lag else {}
        if bounds:
            with ir.InsertionPoint(stage):
                stage.operands[0] = bounds[0] if len(bounds) == 1 else arith.andi(*bounds)
        with ir.InsertionPoint.at_block_begin(block):
            for alloc, ring in rings.values():
                count = t.of(ring.results[0].type).count
                turn = arith.remsi(self._count(own), arith.constant(ir.IndexType.get(), count))
                changed[alloc.results[0]] = ir.Operation.create("pto.multi_tile_get", results=[alloc.results[0].type], operands=[ring.results[0], turn]).result
            copies = []
            for op in self.common:
                copy = op.clone()
                copies.append(copy)
                _remap(copy, changed)
                changed |= dict(zip(op.results, copy.results))
        kept = set(copies)
        for op in walk(stage):
            if op != stage and op not in kept and not (op.name == "arith.subi" and op.results[0] == own):
                _remap(op, changed)
        del stage.attributes["pto.lag"]

    def _iterations(self, lag: int) -> ir.Value:
        """The distance in the loop variable of `lag` preloads."""
        amount = arith.constant(ir.IndexType.get(), lag * self.preload)
        return amount if _constant(self.step) == 1 else arith.muli(amount, self.step)

    def _count(self, number: ir.Value) -> ir.Value:
        """Number of an iteration, from 0."""
        number = number if _constant(self.lower) == 0 else arith.subi(number, self.lower)
        return number if _constant(self.step) == 1 else arith.divsi(number, self.step)


def _remap(op: ir.Operation, changed: dict[ir.Value, ir.Value]) -> None:
    for n, operand in enumerate(list(op.operands)):
        if operand in changed:
            op.operands[n] = changed[operand]


def _constant(value: ir.Value) -> int | None:
    owner = value.owner
    return plain(owner.attributes["value"]) if isinstance(owner, ir.Operation | ir.OpView) and owner.name == "arith.constant" else None
