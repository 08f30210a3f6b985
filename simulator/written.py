"""Which tensors a kernel writes: numbers of the others are known when it is elaborated."""

from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import plain

NUMBERS = (ir.IndexType, ir.IntegerType, ir.FloatType)
"""Types of what sizes and places a region without being one: a number that was read from a tensor does not make that tensor written."""


def written_tensors(functions: list[func.FuncOp]) -> frozenset[str]:
    """Memories ("gm:NAME") of the arguments that some command of the functions may write."""
    return frozenset(f"gm:{name}" for function in functions for name in _written(function))


def _written(function: func.FuncOp) -> set[str]:
    names = plain(function.attributes["sim.arg_names"]) if "sim.arg_names" in function.attributes else []
    found: set[str] = set()
    seen: set[ir.Value] = set()

    def trace(value: ir.Value) -> None:
        if value in seen or isinstance(value.type, NUMBERS):
            return
        seen.add(value)
        if isinstance(value, ir.BlockArgument):
            if value.owner == function.entry_block:
                number = value.arg_number
                found.add(names[number] if number < len(names) else f"arg{number}")
            else:
                for operand in value.owner.owner.operation.operands:
                    trace(operand)
            return
        owner = value.owner.operation
        for operand in owner.operands:
            trace(operand)
        for region in owner.regions:
            for block in region.blocks:
                *_, last = block.operations
                for operand in last.operation.operands:
                    trace(operand)

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "sim.command":
            writes = plain(op.attributes["writes"])
            for name, operand in zip(plain(op.attributes["names"]), op.operands):
                if name in writes:
                    trace(operand)
        return ir.WalkResult.ADVANCE

    function.operation.walk(visit)
    return found
