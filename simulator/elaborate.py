"""elaborate(simulator IR, arguments, blocks) = streams of commands with every address, size and flag a number.

Each function of the IR is written out as a Python function once (loops stay loops, arithmetic on integers), which each core then runs:
commands whose operands are all constants are made once and shared by all their instances.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.errors import ArgumentError, NotSupportedError
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import plain

from .program import Command, Core, Program, Site, Stream
from .regions import Memory
from .registers import written_tensors
from .units import assign_units
from .write_stream import write_stream

Loader = Callable[[Memory, int, str, Site], Any]


def elaborate(
    module: ir.Module, kernel: str, arguments: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray] | None = None
) -> Program:
    """The streams of a run of `kernel` on `blocks` blocks.

    arguments: numbers by argument name; tensors are named by the function's arguments and take their extents in bytes from
    `arguments[name]`.  arrays: contents of integer tensors, for control and addresses that depend on them.
    Raises: ArgumentError where an argument is missing, NotSupportedError where control or an address depends on a computed value.
    """
    functions = kernel_functions(module)
    if kernel not in functions:
        raise ArgumentError(f"the module has no kernel '{kernel}'; it has: {', '.join(functions) or 'none'}")
    arch = ir.StringAttr(module.operation.attributes["sim.arch"]).value
    parts = functions[kernel]
    sites: list[Site] = []
    program = Program(kernel, arch, [], sites, {})
    vectors = 2 if "aic" in parts else 1
    tensors = written_tensors(list(parts.values()))
    written = {kind: write_stream(function, arch, sites, vectors, program.hints, written=tensors) for kind, function in parts.items()}
    for block in range(blocks):
        for kind, (run, names) in written.items():
            values = [_argument(name, dtype, arguments, program) for name, dtype in names]
            for sub in range(vectors if kind == "aiv" else 1):
                commands: list[Command] = []
                try:
                    run(commands.append, block, blocks, sub, program.memories, _loader(arrays or {}), *values)
                except (ZeroDivisionError, ValueError) as error:
                    if isinstance(error, ValueError) and "range()" not in str(error):
                        raise
                    last = f"; it comes after '{commands[-1].site.op}' ({commands[-1].site.location})" if commands else ""
                    raise ArgumentError(f"kernel {kernel}: a division by zero or a loop of step zero for these arguments ({error}){last}") from None
                program.streams.append(Stream(Core(kind, block, sub), commands))
    assign_units(program)
    return program


def kernel_functions(module: ir.Module) -> dict[str, dict[str, func.FuncOp]]:
    """Kernel name to its function per kind of core, "aic" first."""
    kernels: dict[str, dict[str, func.FuncOp]] = {}
    for function in module.body.operations:
        if isinstance(function, func.FuncOp) and "sim.core" in function.attributes:
            name = plain(function.attributes["sim.kernel"]) if "sim.kernel" in function.attributes else function.name.value
            kernels.setdefault(name, {})[plain(function.attributes["sim.core"])] = function
    return {name: dict(sorted(parts.items())) for name, parts in kernels.items()}


def _argument(name: str, dtype: str | None, arguments: dict[str, Any], program: Program) -> Any:
    if name not in arguments:
        raise ArgumentError(f"kernel {program.name}: argument '{name}' is missing; give it as -D {name}=VALUE")
    if dtype is None:
        return arguments[name]
    program.memories[f"gm:{name}"] = arguments[name]
    return Memory(f"gm:{name}", 0)


def _loader(arrays: dict[str, np.ndarray]) -> Loader:
    """Reads a number of an integer tensor at elaboration."""

    def load(pointer: Memory, offset: int, dtype: str, site: Site) -> Any:
        array = arrays.get(pointer.name.removeprefix("gm:"))
        if array is None:
            name = pointer.name.removeprefix("gm:")
            raise NotSupportedError(
                f"'{site.op}': control or an address depends on '{name}', which no input gives; pass its contents (-D {name}=FILE.npy)", site.location
            )
        at = pointer.offset + offset * DTYPES[dtype].bytes
        data = array.reshape(-1).view(np.uint8)[at : at + DTYPES[dtype].bytes]
        if data.size != DTYPES[dtype].bytes:
            raise ArgumentError(f"'{site.op}': element {offset} lies outside of '{pointer.name}'", site.location)
        return data.view(DTYPES[dtype].numpy)[0].item()

    return load
