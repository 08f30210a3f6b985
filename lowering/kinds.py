"""On which kinds of core a function runs: stated, by its sections, or by the engines of its ops."""

from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import PtoOp, plain, record
from ptoc.dialect.ops.structure import SectionCube, SectionVector

CUBE_PIPES = frozenset(("M", "MTE1", "FIX"))
VECTOR_PIPES = frozenset(("V", "MTE3"))


def core_kinds(function: func.FuncOp) -> tuple[str, ...]:
    """("aic",), ("aiv",) or both, in that order; ("aiv",) for a function that issues nothing."""
    if "pto.kernel_kind" in function.attributes:
        return ("aic",) if plain(function.attributes["pto.kernel_kind"]) == "cube" else ("aiv",)
    sections, pipes = _used(function)
    return tuple(sorted(sections)) or (("aic",) if pipes & CUBE_PIPES else ("aiv",))


def mixed_kinds(function: func.FuncOp) -> bool:
    """True for a function that issues commands of cube and vector cores and does not say which core runs what."""
    sections, pipes = _used(function)
    stated = sections or "pto.kernel_kind" in function.attributes
    return not stated and bool(pipes & CUBE_PIPES) and bool(pipes & VECTOR_PIPES)


def _used(function: func.FuncOp) -> tuple[set[str], set[str]]:
    """Kinds of the function's sections, and the engines of its ops."""
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
    return sections, pipes
