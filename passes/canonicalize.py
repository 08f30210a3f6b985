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
from ptoc.dialect.op import Record, plain
from ptoc.dialect.ops.copies import TMov
from ptoc.dialect.ops.structure import AllocMultiTile, AllocTile

from .lower_pipes import pto_ops


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
    """An op with the scalar that changes nothing (src * 1) as a move: the result has the same bits, save that a NaN keeps its payload."""
    scalar = rec.operands.get("scalar")
    if not rec.cls.neutral or scalar is None or not hasattr(rec.types["src"], "loc") or rec.types["src"].dtype != rec.types["dst"].dtype:
        return False
    kind = "float" if rec.types["src"].dtype.is_float else "int"
    owner = scalar.owner
    constant = plain(owner.attributes["value"]) if isinstance(owner, ir.Operation | ir.OpView) and owner.name == "arith.constant" else None
    if constant is None or constant != rec.cls.neutral.get(kind):
        return False
    src, dst = rec.operands["src"], rec.operands["dst"]
    if src != dst:
        present = [int(name in ("src", "dst")) for name in TMov.operand_names()]
        segments = {} if set(TMov.segments()) == {"single"} else {"operandSegmentSizes": ir.DenseI32ArrayAttr.get(present, rec.op.context)}
        with rec.op.context, ir.InsertionPoint(rec.op), rec.op.location:
            ir.Operation.create(TMov.OPERATION_NAME, operands=[src, dst], attributes=segments)
    rec.op.erase()
    return True


def _drop_self_move(rec: Record) -> None:
    if rec.cls is TMov and set(rec.operands) == {"src", "dst"} and rec.operands["src"] == rec.operands["dst"]:
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

