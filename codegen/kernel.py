"""Functions of a scheduled module as C++ kernels: parameters, kernel kinds, the file's type aliases and helpers."""

from collections.abc import Iterator
from dataclasses import dataclass

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import REGISTRY
from ptoc.dialect.ops.structure import SectionCube, SectionVector

from . import control, events, pipes  # noqa: F401  (register themselves with the visitor)
from .scalars import HELPERS, cpp_type
from .structure import emit_block, guarded
from .writer import Writer, source_of

CUBE_MEMORIES = frozenset({"l1", "l0a", "l0b", "l0c", "bias", "scaling"})
FFTS = "ffts_addr"
"""Parameter that carries the address by which cores signal one another."""

HOST_NAMES = ("blocks", "stream", "message", "message_bytes", "control", "control_bytes", "error")
"""Names that the host launcher uses beside the kernel's parameters."""


@dataclass(frozen=True)
class Parameter:
    """A kernel parameter: C++ name and type, and the element type where it is a pointer."""

    name: str
    type: str
    element: str = ""


@dataclass(frozen=True)
class Kernel:
    """A function in C++.  `ffts`: its first parameter is the cross-core signal address; `launched`: the host starts it."""

    name: str
    parameters: tuple[Parameter, ...]
    lines: tuple[str, ...]
    kinds: tuple[str, ...]
    ffts: bool
    launched: bool
    source: str

    @property
    def signature(self) -> str:
        """Parameters as C++ text."""
        shown = [f"__gm__ uint64_t* {FFTS}"] * self.ffts + [f"{p.type} {p.name}" for p in self.parameters]
        return ", ".join(shown)


def kernels_of(module: ir.Module, name: str, w: Writer) -> tuple[Kernel, ...]:
    """Every function of a module that has a body, callees first; a cube and a vector function alone get a kernel `name` that calls both."""
    functions = [op for op in module.body.operations if isinstance(op, func.FuncOp) and not op.is_external]
    called = {call.attributes["callee"].value for f in functions for call in _walk(f.operation) if call.name == "func.call"}
    functions.sort(key=lambda f: f.name.value not in called)  # stable: a callee stands before its callers
    pair = _is_pair([f for f in functions if f.name.value not in called])
    kernels = tuple(_kernel(f, f.name.value not in called and not pair, functions, w) for f in functions)
    return (*kernels, _both(kernels[-2:], name, any(_signals(f, functions) for f in functions))) if pair else kernels


def _is_pair(functions: list[func.FuncOp]) -> bool:
    """True for two functions, one of each kind of core, with the same parameters: the two halves of one kernel."""
    if len(functions) != 2 or functions[0].type != functions[1].type:
        return False
    if any("pto.kernel_kind" not in f.operation.attributes for f in functions):
        return False
    return {kinds_of(f, [])[0] for f in functions} == {"cube", "vector"}


def _both(halves: tuple[Kernel, ...], name: str, ffts: bool) -> Kernel:
    first = halves[0]
    arguments = ", ".join(p.name for p in first.parameters)
    lines = [f"    set_ffts_base_addr((uint64_t){FFTS});"] * ffts + [f"    {half.name}({arguments});" for half in halves]
    taken = {half.name for half in halves}
    return Kernel(f"{name}_kernel" if name in taken else name, first.parameters, tuple(lines), ("cube", "vector"), ffts, True, "")


def _kernel(function: func.FuncOp, launched: bool, functions: list[func.FuncOp], w: Writer) -> Kernel:
    if list(function.type.results):
        raise NotSupportedError("a kernel that returns values has no C++ form", source_of(function))
    w.lines, w.taken, w.depth, w.numbers = [], {FFTS, *HOST_NAMES}, 1, 0
    attributes = function.operation.attributes
    w.vector_cores = ir.IntegerAttr(attributes["pto.vector_cores"]).value if "pto.vector_cores" in attributes else 2
    block = function.body.blocks[0]
    parameters = tuple(_parameter(function, number, argument, w) for number, argument in enumerate(block.arguments))
    ops = list(_walk(function.operation))
    ffts = launched and _signals(function, functions) and not any(op.name == "pto.set_ffts" for op in ops)
    kinds = kinds_of(function, ops)
    if ffts:
        w.line(f"set_ffts_base_addr((uint64_t){FFTS});", comment="where this core's signals to other cores go")
    if len(kinds) == 1 and not _has(ops, (SectionCube, SectionVector)):
        guarded(kinds[0], [block], w)
    else:
        emit_block(block, w)
    return Kernel(function.name.value, parameters, tuple(w.lines), kinds, ffts, launched, source_of(function).rsplit("/", 1)[-1])


def _parameter(function: func.FuncOp, number: int, argument: ir.Value, w: Writer) -> Parameter:
    attributes = function.operation.attributes
    names = [name.value for name in attributes["pto.arg_names"]] if "pto.arg_names" in attributes else []
    name = w.fresh(names[number] if number < len(names) else f"arg{number}")
    w.expressions[argument] = name
    kind = t.of(argument.type)
    if isinstance(kind, t.Tile | t.MultiTile | t.View):
        raise NotSupportedError(f"a function that takes {argument.type} has no C++ form: only pointers and numbers", source_of(function))
    return Parameter(name, cpp_type(argument.type), kind.dtype.name if isinstance(kind, t.Ptr) else "")


def kinds_of(function: func.FuncOp, ops: list[ir.Operation]) -> tuple[str, ...]:
    """Kinds of core that a function has work for: as its attribute or sections say, else by the memories of its tiles."""
    attribute = function.operation.attributes["pto.kernel_kind"] if "pto.kernel_kind" in function.operation.attributes else None
    if attribute is not None:
        return (ir.StringAttr(attribute.params[1]).value if isinstance(attribute, ir.DynamicAttr) else attribute.value,)
    sections = [kind for kind, cls in (("cube", SectionCube), ("vector", SectionVector)) if _has(ops, (cls,))]
    if sections:
        return tuple(sections)
    memories = {x.memory for op in ops for value in op.results if isinstance(x := t.of(value.type), t.Tile)}
    kinds = [kind for kind, used in (("cube", memories & CUBE_MEMORIES), ("vector", memories & {"ub"})) if used]
    if len(kinds) == 2:
        raise NotSupportedError(
            "tiles of cube and vector cores in one function: put them in pto.section.cube and pto.section.vector", source_of(function)
        )
    return tuple(kinds)


def _has(ops: list[ir.Operation], classes: tuple[type, ...]) -> bool:
    return any(REGISTRY.get(op.name) in classes for op in ops)


def _signals(function: func.FuncOp, functions: list[func.FuncOp]) -> bool:
    """True if the function, or one that it calls, holds a pipe between cores."""
    ops = list(_walk(function.operation))
    if any(isinstance(x := t.of(v.type), t.Opaque) and x.mnemonic == "pipe" for op in ops for v in op.results):
        return True
    callees = {op.attributes["callee"].value for op in ops if op.name == "func.call"}
    return any(_signals(f, functions) for f in functions if f.name.value in callees)


def _walk(op: ir.Operation) -> Iterator[ir.Operation]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                yield from _walk(inner.operation)


def helper_text(name: str) -> str:
    """A division function as C++."""
    return f"template <typename T>\nAICORE inline T {name}(T a, T b)\n{{\n    return {HELPERS[name]};\n}}"
