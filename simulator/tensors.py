"""Which tensors a command of the simulator IR moves from and to: of its operands that are views, the arguments that they are views of."""

from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import plain

VIEWS = ("sim.slice", "sim.view", "sim.advance")


def tensors_of(op: ir.Operation) -> tuple[str, str]:
    """(tensor read, tensor written) by name, "" for none; of several that are read the first."""
    written = plain(op.attributes["writes"])
    found = {True: "", False: ""}
    for name, value in zip(plain(op.attributes["names"]), op.operands):
        if tensor := _tensor(value):
            found[name in written] = found[name in written] or tensor
    return found[False], found[True]


def _tensor(value: ir.Value) -> str:
    """The argument that a value is a view of, "" where it is none or where that is not known."""
    while not isinstance(value, ir.BlockArgument) and value.owner.operation.name in VIEWS:
        value = value.owner.operation.operands[0]
    if not isinstance(value, ir.BlockArgument) or not isinstance(value.owner.owner.opview, func.FuncOp):
        return ""
    function, number = value.owner.owner.opview, value.arg_number
    names = plain(function.attributes["sim.arg_names"]) if "sim.arg_names" in function.attributes else []
    return names[number] if number < len(names) else f"arg{number}"
