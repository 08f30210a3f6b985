"""Dropping tiles and index arithmetic that nobody uses any more."""

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY

from .cross_values import is_pure


def drop_unused(root: ir.Operation) -> None:
    """Erases allocs and pure ops below an op whose results have no use, users before what they use."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    for op in reversed(found):
        makes = op.name in REGISTRY and op.name in ("pto.alloc_tile", "pto.alloc_multi_tile", "pto.declare_global")
        if (makes or is_pure(op)) and not any(list(result.uses) for result in op.results):
            op.erase()
