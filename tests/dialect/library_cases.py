"""Op cases on the library's CPU build: many cases in one program, each a kernel that fills tiles, calls the op, writes tiles back.

Tiles are filled and read element by element through the library's own layout, not by loads and stores, so that a case tests its op alone.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ptoc.codegen import calls, tiles, views
from ptoc.codegen.cpu_check import CpuProgram, compile_for_cpu
from ptoc.codegen.emit import render
from ptoc.codegen.kernel import Kernel, Parameter
from ptoc.codegen.writer import GmView, Writer
from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError, SimulationError
from ptoc.dialect.op import Record
from ptoc.machine.chip import load_chip

from .op_cases import Case
from .op_instances import built, class_of

SLOT_ALIGNMENT = 512
HELPERS = """
template <typename T> void fill_tile(T& tile, const typename T::DType* data)
{
    for (unsigned r = 0; r < tile.GetValidRow(); ++r)
        for (unsigned c = 0; c < tile.GetValidCol(); ++c) tile.SetElement(r, c, data[r * tile.GetValidCol() + c]);
}
template <typename T> void read_tile(T& tile, typename T::DType* data)
{
    for (unsigned r = 0; r < tile.GetValidRow(); ++r)
        for (unsigned c = 0; c < tile.GetValidCol(); ++c) data[r * tile.GetValidCol() + c] = tile.GetElement(r, c);
}
"""


@dataclass
class Batch:
    """Cases as text of one kernel file.  `spans`: per case the lines that it has in the file."""

    kernels: list[Kernel] = field(default_factory=list)
    writer: Writer = field(default_factory=lambda: Writer(load_chip("ascend910b1"), {}))

    def add(self, name: str, case: Case) -> None:
        """Adds a case as kernel `name`.  Raises NotSupportedError, VerifyError where it has no C++ form."""
        w = self.writer
        w.lines, w.taken, w.depth = [], set(), 1
        with built(case) as rec:
            parameters = _declare(case, rec, w)
            w.line(calls.fill(rec, w))
            for written in rec.cls.writes:
                if written in rec.operands and isinstance(rec.types[written], t.Tile):
                    w.line(f"read_tile({written}, {written}_data);")
        self.kernels.append(Kernel(name, tuple(parameters), tuple(w.lines), ("vector",), False, True, str(case)))

    def text(self) -> str:
        """The kernel file."""
        aliases = [(alias, text, "") for text, (alias, _) in self.writer.aliases.items()]
        facts = {"name": "cases", "chip": self.writer.chip, "kernels": self.kernels, "aliases": aliases, "helpers": [HELPERS]}
        return render("kernel.cpp.j2", facts)


def _declare(case: Case, rec: Record, w: Writer) -> list[Parameter]:
    parameters, used = [], {}
    for name, operand in _operands(rec):
        kind = t.of(operand.type)
        if isinstance(kind, t.Tile):
            address = used.get(kind.memory, 0)
            used[kind.memory] = address + -(-kind.bytes // SLOT_ALIGNMENT) * SLOT_ALIGNMENT
            sizes = tiles.valid_sizes(kind, None, None, w, rec.op)
            w.line(f"{tiles.tile_type(kind, w)} {name}{'(' + ', '.join(sizes) + ')' if sizes else ''};")
            w.line(f"TASSIGN({name}, {address});")
            w.line(f"fill_tile({name}, {name}_data);")
            w.expressions[operand] = name
        elif isinstance(kind, t.View):
            strides = tuple(int(np.prod(kind.shape[i + 1 :])) for i in range(len(kind.shape)))
            view = GmView(f"{name}_data", kind.dtype, kind.shape, strides, views.layout_of(kind.shape, strides, kind.dtype, None))
            views.global_tensor(operand, view, [], w, None)
        else:
            w.expressions[operand] = calls.spelled_number(case.scalars[name])
            continue
        parameters.append(Parameter(f"{name}_data", f"__gm__ {kind.dtype.cpp}*", kind.dtype.name))
    return parameters


def _operands(rec: Record) -> list[tuple[str, Any]]:
    found = []
    for name, operand in rec.operands.items():
        many = operand if isinstance(operand, list) else [operand]
        found += [(name, many[0])] if not isinstance(operand, list) else [(f"{name}{i}", v) for i, v in enumerate(many)]
    return found


def run_all(cases: list[Case], folder: Path) -> dict[str, dict[str, np.ndarray] | str]:
    """Per case the written operands as the library leaves them, or the text of why it could not run."""
    results: dict[str, dict[str, np.ndarray] | str] = {}
    batch = Batch()
    left = {}
    for number, case in enumerate(cases):
        try:
            batch.add(f"case_{number}", case)
            left[f"case_{number}"] = case
        except NotSupportedError as error:
            results[str(case)] = str(error)
    program = _compile(batch, left, results, folder)
    for name, case in left.items():
        try:
            results[str(case)] = _run(program, name, case)
        except SimulationError as error:
            results[str(case)] = str(error).replace(name, "case")  # the same text wherever the case stands
    return results


def _compile(batch: Batch, left: dict[str, Case], results: dict, folder: Path) -> CpuProgram | None:
    """Compiles a batch; cases that the compiler refuses leave it, with its message as their result."""
    while left:
        batch.kernels = [k for k in batch.kernels if k.name in left]
        text = batch.text()
        try:
            return compile_for_cpu(text, tuple(batch.kernels), folder, parts=False)
        except SimulationError as error:
            guilty = _guilty(str(error), text.splitlines())
            if not guilty:
                raise
            for name, message in guilty.items():
                results[str(left.pop(name))] = message
    return None


def _guilty(message: str, text: list[str]) -> dict[str, str]:
    """The cases that the compiler's errors lie in, each with its first error."""
    guilty: dict[str, str] = {}
    error = ""
    for line in message.splitlines():
        if "error: " in line:
            error = line.partition("error: ")[2]
        for number in re.findall(r"kernel\.cpp:(\d+)", line):
            names = re.findall(r"void (case_\d+)\(", "\n".join(text[: int(number)]))
            if names:
                guilty.setdefault(names[-1], error)
    return guilty


def _run(program: CpuProgram, name: str, case: Case) -> dict[str, np.ndarray]:
    values = case.values()
    order = [p.name.removesuffix("_data") for p in program.kernels[name].parameters]
    arrays = dict(zip(order, program.run(name, [np.ascontiguousarray(values[n]) for n in order])))
    return {n: arrays[n] for n in class_of(case).writes if n in arrays}
