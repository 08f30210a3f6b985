"""canonicalize: folds arithmetic, merges equal values, and simplifies tile ops.

    before   %c1 = arith.constant 1.0 : f32
             pto.tmuls ins(%a, %c1 : ...) outs(%b : ...)
             %t = pto.alloc_tile : ...                      (never used)
    after    pto.tmov ins(%a : ...) outs(%b : ...)

Needs: nothing.  Leaves: no multiplication by one, no move of a tile onto itself, no tile that nobody uses, folded index arithmetic.
Raises: nothing.
"""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir, passmanager
from ptoc.dialect.op import Record, plain, record
from ptoc.dialect.ops.structure import AllocMultiTile, AllocTile

from .lower_pipes import pto_ops

NEUTRAL = {"pto.tmuls": 1, "pto.tdivs": 1, "pto.tadds": 0, "pto.tsubs": 0}
"""Ops with a scalar, and the scalar that makes them a move."""


@dataclass(frozen=True)
class Canonicalize:
    """The pass; it has no options."""

    name = "canonicalize"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Simplifies a module in place."""
        upstream(module, "canonicalize", "cse")
        for rec in list(pto_ops(module.operation)):
            if not _neutral_to_move(rec):
                _drop_self_move(rec)
        _drop_unused_tiles(module)
        upstream(module, "canonicalize", "cse")
        _tile_choices_to_branches(module)
        return []


def upstream(module: ir.Module, *passes: str) -> None:
    """Runs passes of MLIR itself."""
    with module.context:
        passmanager.PassManager.parse(f"builtin.module({','.join(passes)})").run(module.operation)


def _neutral_to_move(rec: Record) -> bool:
    """src * 1 (and its likes) as a move: the result has the same bits, save that a NaN keeps its payload."""
    scalar = rec.operands.get("scalar")
    if rec.op.name not in NEUTRAL or scalar is None or not hasattr(rec.types["src"], "loc") or rec.types["src"].dtype != rec.types["dst"].dtype:
        return False
    owner = scalar.owner
    if not isinstance(owner, ir.Operation | ir.OpView) or owner.name != "arith.constant" or plain(owner.attributes["value"]) != NEUTRAL[rec.op.name]:
        return False
    if rec.op.name in ("pto.tadds", "pto.tsubs") and rec.types["src"].dtype.is_float:
        return False  # -0.0 + 0.0 is +0.0, not a move
    with rec.op.context, ir.InsertionPoint(rec.op), rec.op.location:
        if rec.operands["src"] != rec.operands["dst"]:
            segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get(_segments(rec))}
            ir.Operation.create("pto.tmov", operands=[rec.operands["src"], rec.operands["dst"]], attributes=segments if segments["operandSegmentSizes"] else {})
    rec.op.erase()
    return True


def _segments(rec: Record) -> list[int]:
    from ptoc.dialect.op import REGISTRY

    kinds = REGISTRY["pto.tmov"].segments()
    names = REGISTRY["pto.tmov"].operand_names()
    return [int(name in ("src", "dst")) for name in names] if set(kinds) != {"single"} else []


def _drop_self_move(rec: Record) -> None:
    if rec.op.name == "pto.tmov" and set(rec.operands) == {"src", "dst"} and rec.operands["src"] == rec.operands["dst"]:
        rec.op.erase()


def _tile_choices_to_branches(module: ir.Module) -> None:
    """A choice of tiles as a branch that yields one, the one form that later passes know; MLIR makes it an arith.select."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "arith.select" and isinstance(t.of(op.results[0].type), t.Tile | t.MultiTile | t.View):
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in found:
        condition, *choices = op.operands
        with op.context, ir.InsertionPoint(op), op.location:
            branch = ir.Operation.create("scf.if", results=[op.results[0].type], operands=[condition], regions=2)
            for region, value in zip(branch.regions, choices):
                with ir.InsertionPoint(region.blocks.append()):
                    ir.Operation.create("scf.yield", operands=[value])
        op.results[0].replace_all_uses_with(branch.results[0])
        op.erase()


def _drop_unused_tiles(module: ir.Module) -> None:
    for rec in list(pto_ops(module.operation)):
        if issubclass(rec.cls, AllocTile | AllocMultiTile) and not list(rec.results["result"].uses):
            rec.op.erase()


__all__ = ["Canonicalize", "record", "upstream"]
