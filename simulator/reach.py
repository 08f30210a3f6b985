"""What a kernel reaches in its tensors: a run of the simulator IR's arithmetic alone, without commands' work, values or time.

Used for files that come as text: extents of tensors, and which values of an integer argument all its uses admit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import plain

from . import regions
from .elaborate import kernel_functions, vector_cores
from .program import Command
from .regions import Memory
from .write_stream import write_stream
from .written import written_tensors

MOST_COMMANDS = 1 << 18
"""Commands after which a trial counts as too long to be meant."""


class NotAdmittedError(Exception):
    """A size or offset lies outside of what it is taken from."""


@dataclass
class Reach:
    """What one trial found.

    extents: bytes reached in each tensor.  read, written: names of tensors that commands read or write.  commands and elements: how many
    there are and how many of tiles they touch, to tell whether a larger argument makes the kernel do more.
    """

    extents: dict[str, int] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    commands: int = 0
    elements: int = 0


class Trials:
    """Trial runs of one kernel; `arguments`: (name, element type, None for a number) in order; `sizes`: those that are sizes of something."""

    def __init__(self, module: ir.Module, kernel: str) -> None:
        arch = plain(module.operation.attributes["sim.arch"])
        parts = kernel_functions(module)[kernel]
        self._vectors = vector_cores(parts)
        checked = {"TileRef": _tile, "part": _part, "reshape": _reshape, "slice_": _slice, "work_of": _no_work}
        tensors = written_tensors(list(parts.values()))
        self._parts = {kind: write_stream(function, arch, [], self._vectors, [], checked, tensors) for kind, function in parts.items()}
        self.arguments = next(iter(self._parts.values())).arguments
        self.sizes = sorted({name for function in parts.values() for name in _size_arguments(function)})

    def reach(self, numbers: dict[str, Any], blocks: int, load: Callable[..., Any] | None = None) -> Reach:
        """Runs all cores.  `load` answers where control or an address depends on a tensor's contents; 0 without it.

        Raises: NotAdmittedError.
        """
        found = Reach()

        def append(command: Command) -> None:
            found.commands += 1
            if found.commands > MOST_COMMANDS:
                raise NotAdmittedError(f"more than {MOST_COMMANDS} commands")
            for name, operand in command.operands:
                if type(operand) is ViewRef:
                    _note(found, command, name, operand)
                elif type(operand) is TileRef:
                    found.elements += operand.v_rows * operand.v_cols

        def read(pointer: Memory, offset: int, dtype: str, site: Any) -> Any:
            size = DTYPES[dtype].bytes
            _extend(found, pointer.name, pointer.offset + (offset + 1) * size)
            found.read.add(pointer.name.removeprefix("gm:"))
            return load(pointer, offset, dtype, site) if load is not None else 0

        for block in range(blocks):
            for kind, (run, arguments, _) in self._parts.items():
                values = [Memory(f"gm:{name}", 0) if dtype else numbers[name] for name, dtype in arguments]
                for sub in range(self._vectors if kind == "aiv" else 1):
                    run(append, block, blocks, sub, {}, read, *values)
        return found


def _note(found: Reach, command: Command, name: str, ref: ViewRef) -> None:
    tensor = ref.memory.removeprefix("gm:")
    if name in command.reads:
        found.read.add(tensor)
    if name in command.writes:
        found.written.add(tensor)
    if 0 in ref.shape:
        return
    last = ref.offset + sum((n - 1) * s for n, s in zip(ref.shape, ref.strides))
    if ref.offset < 0:
        raise NotAdmittedError(f"element {ref.offset} of {tensor}")
    _extend(found, ref.memory, (last + 1) * DTYPES[ref.dtype].bytes)


def _extend(found: Reach, memory: str, end: int) -> None:
    tensor = memory.removeprefix("gm:")
    found.extents[tensor] = max(found.extents.get(tensor, 0), end)


def _tile(*facts: Any) -> TileRef:
    ref = TileRef(*facts)
    if not (0 <= ref.v_rows <= ref.rows and 0 <= ref.v_cols <= ref.cols):
        raise NotAdmittedError(f"a valid part of {ref.v_rows}x{ref.v_cols} of a tile of {ref.rows}x{ref.cols}")
    return ref


def _part(ref: TileRef, row: int, col: int, v_rows: int, v_cols: int) -> TileRef:
    part = regions.part(ref, row, col, v_rows, v_cols)
    if min(row, col, v_rows, v_cols) < 0 or part.row + v_rows > part.rows or part.col + v_cols > part.cols:
        raise NotAdmittedError(f"a part of {v_rows}x{v_cols} from ({row}, {col}) on of a tile of {part.rows}x{part.cols}")
    return part


def _reshape(ref: TileRef, v_rows: int, v_cols: int, *facts: Any) -> TileRef:
    found = regions.reshape(ref, v_rows, v_cols, *facts)
    if not (0 <= v_rows <= found.rows and 0 <= v_cols <= found.cols):
        raise NotAdmittedError(f"a valid part of {v_rows}x{v_cols} of a tile of {found.rows}x{found.cols}")
    return found


def _slice(ref: ViewRef, offsets: tuple[int, ...], sizes: tuple[int, ...]) -> ViewRef:
    if any(o < 0 or n < 0 or o + n > extent for o, n, extent in zip(offsets, sizes, ref.shape)):
        shown = ["x".join(map(str, numbers)) for numbers in (sizes, offsets, ref.shape)]
        raise NotAdmittedError(f"a slice of {shown[0]} from {shown[1]} on of a view of {shown[2]}")
    return regions.slice_(ref, offsets, sizes)


def _no_work(*_: Any) -> tuple:
    return ()


SIZES = {"sim.tile": slice(1, 3), "sim.part": slice(3, 5), "sim.reshape": slice(1, 3)}
"""Operands of region ops that are valid sizes."""


def _size_arguments(function: func.FuncOp) -> list[str]:
    """Arguments that a size of a tile or slice is computed from."""
    names = plain(function.attributes["sim.arg_names"]) if "sim.arg_names" in function.attributes else []
    found: list[str] = []
    seen: set[ir.Value] = set()

    def trace(value: ir.Value) -> None:
        if value in seen:
            return
        seen.add(value)
        if isinstance(value, ir.BlockArgument):
            if value.owner == function.entry_block:
                found.append(names[value.arg_number] if value.arg_number < len(names) else f"arg{value.arg_number}")
            return
        for operand in value.owner.operation.operands if value.owner.operation.name.startswith("arith.") else ():
            trace(operand)

    def visit(op: ir.Operation) -> ir.WalkResult:
        sizes = list(op.operands)[SIZES[op.name]] if op.name in SIZES else []
        if op.name == "sim.slice":
            sizes = list(op.operands)[-plain(op.attributes["operandSegmentSizes"])[2] :]
        for value in sizes:
            trace(value)
        return ir.WalkResult.ADVANCE

    function.operation.walk(visit)
    return found
