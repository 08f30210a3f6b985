"""On which kinds of core a function runs: stated, by its sections, or by the engines of its ops."""

from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import PtoOp, plain, record
from ptoc.dialect.ops.structure import SectionCube, SectionVector

CUBE_PIPES = ("M", "MTE1", "FIX")


def core_kinds(function: func.FuncOp) -> tuple[str, ...]:
    """("aic",), ("aiv",) or both, in that order; () for a function that issues nothing."""
    if "pto.kernel_kind" in function.attributes:
        return ("aic",) if plain(function.attributes["pto.kernel_kind"]) == "cube" else ("aiv",)
    sections, pipes = set(), set()

    def visit(op: ir.Operation) -> ir.WalkResult:
        view = op.opview
        if isinstance(view, SectionCube):
            sections.add("aic")
        elif isinstance(view, SectionVector):
            sections.add("aiv")
        elif isinstance(view, PtoOp):
            pipes.add(view.pipe_of(record(op)))
        return ir.WalkResult.ADVANCE

    function.operation.walk(visit)
    if sections:
        return tuple(sorted(sections))
    if not pipes - {""}:
        return ()
    return ("aic",) if pipes & set(CUBE_PIPES) else ("aiv",)
