"""inline-calls: an entry function becomes whole: what it calls stands in it, cube and vector functions as sections."""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import location_of, plain

SECTIONS = {"cube": "pto.section_cube", "vector": "pto.section_vector"}


@dataclass(frozen=True)
class InlineCalls:
    """Puts the body of every called function in the place of the call.

    Before:
        func.func @k(%a: !pto.ptr<f32>) attributes {pto.entry} { func.call @k_cube(%a) : (!pto.ptr<f32>) -> () }
        func.func private @k_cube(%p: !pto.ptr<f32>) attributes {pto.kernel_kind = #pto.kernel_kind<cube>} { .. }
    After:
        func.func @k(%a: !pto.ptr<f32>) attributes {pto.entry} { pto.section.cube { .. } }

    Needs: nothing.  Leaves: no call.
    Raises: NotSupportedError for a call of a function without a body, a recursive one, and one of a kind of core that returns values.
    """

    name = "inline-calls"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Inlines all calls of a module in place and drops the called functions."""
        functions = {f.name.value: f for f in module.body.operations if isinstance(f, func.FuncOp)}
        called = {_callee(call) for f in functions.values() for call in _calls(f.operation)}
        for name, function in functions.items():
            if name not in called:
                _inline(function.operation, functions, (name,))
        for name in called:
            functions[name].operation.erase()
        return []


def _calls(root: ir.Operation) -> list[ir.Operation]:
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "func.call":
            found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def _callee(call: ir.Operation) -> str:
    return ir.FlatSymbolRefAttr(call.attributes["callee"]).value


def _inline(root: ir.Operation, functions: dict[str, func.FuncOp], chain: tuple[str, ...]) -> None:
    for call in _calls(root):
        name = _callee(call)
        if name in chain:
            raise NotSupportedError(f"'func.call': @{name} calls itself", location_of(call))
        if functions[name].is_external:
            raise NotSupportedError(f"'func.call': @{name} has no body in this file", location_of(call))
        copy = functions[name].operation.clone(ip=ir.InsertionPoint(functions[name].operation))
        _inline(copy, functions, (*chain, name))
        _splice(call, copy)
        copy.erase()


def _splice(call: ir.Operation, copy: ir.Operation) -> None:
    """Moves the body of a function's copy to a call of it."""
    kind = plain(copy.attributes["pto.kernel_kind"]) if "pto.kernel_kind" in copy.attributes else None
    if kind and len(call.results):
        raise NotSupportedError(f"'func.call': a function of the {kind} core cannot return values", location_of(call))
    block = copy.regions[0].blocks[0]
    if len(copy.regions[0].blocks) > 1:
        raise NotSupportedError("'func.call': the called function has several blocks", location_of(call))
    for argument, value in zip(block.arguments, call.operands):
        argument.replace_all_uses_with(value)
    anchor = call
    if kind:
        with ir.InsertionPoint(call), call.location:
            section = ir.Operation.create(SECTIONS[kind], regions=1)
        body = section.regions[0].blocks.append()
        anchor = None
    for view in list(block.operations):
        op = view.operation
        if op.name == "func.return":
            for result, value in zip(call.results, op.operands):
                result.replace_all_uses_with(value)
        elif anchor is not None:
            op.move_before(anchor)
        else:
            body.append(op)
    call.erase()
