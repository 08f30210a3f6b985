"""What a kernel reaches in its tensors: a run of the simulator IR's arithmetic alone, without commands' work, values or time.

Used for files that come as text: extents of tensors, and which values of an integer argument all its uses admit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import plain

from . import regions
from .elaborate import kernel_functions
from .program import Command
from .regions import Memory
from .write_stream import write_stream

MOST_COMMANDS = 1 << 18
"""Commands after which a trial counts as too long to be meant."""


class NotAdmittedError(Exception):
    """A size or offset lies outside of what it is taken from."""


@dataclass
class Reach:
    """What one trial found.

    extents: bytes reached in each tensor.  read, written: names of tensors that commands read or write.  amount: commands and the
    elements that they touch, to tell whether a larger argument makes the kernel do more.
    """

    extents: dict[str, int] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    amount: int = 0


class Trials:
    """Trial runs of one kernel; `arguments`: (name, element type, None for a number) in order."""

    def __init__(self, module: ir.Module, kernel: str) -> None:
        arch = plain(module.operation.attributes["sim.arch"])
        parts = kernel_functions(module)[kernel]
        self._vectors = 2 if "aic" in parts else 1
        checked = {"TileRef": _tile, "part": _part, "reshape": _reshape, "slice_": _slice, "work_of": _no_work}
        self._parts = {kind: write_stream(function, arch, [], self._vectors, [], checked) for kind, function in parts.items()}
        self.arguments = next(iter(self._parts.values()))[1]

    def reach(self, numbers: dict[str, Any], blocks: int, load: Callable[..., Any] | None = None) -> Reach:
        """Runs all cores.  `load` answers where control or an address depends on a tensor's contents; 0 without it.

        Raises: NotAdmittedError.
        """
        found = Reach()

        def append(command: Command) -> None:
            found.amount += 1
            if found.amount > MOST_COMMANDS * 256:
                raise NotAdmittedError
            for name, operand in command.operands:
                if type(operand) is ViewRef:
                    _note(found, command, name, operand)
                elif type(operand) is TileRef:
                    found.amount += operand.v_rows * operand.v_cols // 64

        def read(pointer: Memory, offset: int, dtype: str, site: Any) -> Any:
            size = DTYPES[dtype].bytes
            _extend(found, pointer.name, pointer.offset + (offset + 1) * size)
            found.read.add(pointer.name.removeprefix("gm:"))
            return load(pointer, offset, dtype, site) if load is not None else 0

        for block in range(blocks):
            for kind, (run, arguments) in self._parts.items():
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
        raise NotAdmittedError
    _extend(found, ref.memory, (last + 1) * DTYPES[ref.dtype].bytes)


def _extend(found: Reach, memory: str, end: int) -> None:
    tensor = memory.removeprefix("gm:")
    found.extents[tensor] = max(found.extents.get(tensor, 0), end)


def _admit(condition: bool) -> None:
    if not condition:
        raise NotAdmittedError


def _tile(*facts: Any) -> TileRef:
    ref = TileRef(*facts)
    _admit(0 <= ref.v_rows <= ref.rows and 0 <= ref.v_cols <= ref.cols and ref.address >= 0)
    return ref


def _part(ref: TileRef, row: int, col: int, v_rows: int, v_cols: int) -> TileRef:
    part = regions.part(ref, row, col, v_rows, v_cols)
    _admit(min(row, col, v_rows, v_cols) >= 0 and part.row + v_rows <= part.rows and part.col + v_cols <= part.cols)
    return part


def _reshape(ref: TileRef, v_rows: int, v_cols: int, *facts: Any) -> TileRef:
    found = regions.reshape(ref, v_rows, v_cols, *facts)
    _admit(0 <= v_rows <= found.rows and 0 <= v_cols <= found.cols)
    return found


def _slice(ref: ViewRef, offsets: tuple[int, ...], sizes: tuple[int, ...]) -> ViewRef:
    _admit(all(o >= 0 and n >= 0 and o + n <= extent for o, n, extent in zip(offsets, sizes, ref.shape)))
    return regions.slice_(ref, offsets, sizes)


def _no_work(*_: Any) -> tuple:
    return ()
