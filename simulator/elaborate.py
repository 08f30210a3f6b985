"""elaborate(simulator IR, arguments, blocks) = streams of commands with every address, size and flag a number.

Each function of the IR is written out as Python once (loops stay loops, arithmetic on integers): in full, with the operands of every
command, for values and checks; and as what time sees (`write_time.py`), which cores with alike streams share.
"""

from functools import partial
from typing import Any

import numpy as np

from ptoc.dialect.errors import ArgumentError
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import plain
from ptoc.machine.mesh import Mesh

from .program import Codes, Program, Stream
from .signals import refuse_shared_links
from .streams import Forms, argument_of, cores_of, loader, program_of_forms, refused
from .timed import TimeForm
from .units import assign_units
from .write_accesses import write_accesses
from .write_stream import write_stream
from .write_time import write_time
from .written import written_tensors


def elaborate(
    module: ir.Module, kernel: str, arguments: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray] | None = None, timed: bool = False
) -> Program:
    """The streams of a run of `kernel` on `blocks` blocks.

    arguments: numbers by argument name; tensors are named by the function's arguments and take their extents in bytes from
    `arguments[name]`.  arrays: contents of integer tensors, for control and addresses that depend on them.  timed: make what time sees
    now, and operands of commands only when they are asked for.
    Raises: ArgumentError where an argument is missing, NotSupportedError where control or an address depends on a computed value.
    """
    parts = _parts(module, kernel)
    if timed:
        operands = partial(fill, module, arguments, blocks, arrays or {})
        return program_of_forms(time_forms(module, kernel), arguments, blocks, arrays or {}, operands)
    program = Program(kernel, _arch(module), [], [], {}, mesh=mesh_of(module))
    program.streams += [Stream(core) for core in cores_of(parts, blocks, vector_cores(parts))]
    _fill(parts, arguments, blocks, arrays or {}, program)
    return program


def time_forms(module: ir.Module, kernel: str) -> Forms:
    """What time needs of a kernel, written out; plain data."""
    parts, arch = _parts(module, kernel), _arch(module)
    forms = Forms(kernel, arch, [], Codes(), {}, vector_cores(parts), mesh=mesh_of(module))
    tensors = written_tensors(list(parts.values()))
    moves: dict[str, TimeForm | None] = {}
    for kind, function in parts.items():
        forms.parts[kind], site_of = write_time(function, arch, forms.table, forms.sites, forms.vectors, tensors)
        moves[kind] = write_accesses(function, arch, forms.ways, forms.sites, forms.vectors, site_of)
    forms.moves = moves if all(moves.values()) else None
    refuse_shared_links(forms.sites)
    return forms


def fill(module: ir.Module, arguments: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray], program: Program) -> None:
    """Makes the commands of all streams of a program that was elaborated for time alone."""
    _fill(_parts(module, program.name), arguments, blocks, arrays, program)


def _fill(parts: dict[str, func.FuncOp], arguments: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray], program: Program) -> None:
    """The commands with operands of all streams; sites that are there already are kept."""
    vectors = vector_cores(parts)
    tensors = written_tensors(list(parts.values()))
    written, first = {}, 0
    for kind, function in parts.items():
        written[kind] = write_stream(function, program.arch, program.sites, vectors, program.hints, written=tensors, first_site=first)
        first += written[kind].sites
    refuse_shared_links(program.sites)
    values = {kind: [argument_of(name, dtype, arguments, program) for name, dtype in form.arguments] for kind, form in written.items()}
    load = loader(arrays)
    for stream in program.streams:
        core, commands = stream.core, []
        try:
            written[core.kind].run(commands.append, core.block, blocks, core.sub, program.memories, load, *values[core.kind])
        except (ZeroDivisionError, ValueError) as error:
            raise refused(error, program.name, commands[-1].site if commands else None) from None
        stream.commands = commands
    assign_units(program)


def _arch(module: ir.Module) -> str:
    return ir.StringAttr(module.operation.attributes["sim.arch"]).value


def mesh_of(module: ir.Module) -> Mesh | None:
    """Where the blocks stand, None for a chip without links."""
    attributes = module.operation.attributes
    return Mesh(*plain(attributes["sim.mesh"])) if "sim.mesh" in attributes else None


def _parts(module: ir.Module, kernel: str) -> dict[str, func.FuncOp]:
    functions = kernel_functions(module)
    if kernel not in functions:
        raise ArgumentError(f"the module has no kernel '{kernel}'; it has: {', '.join(functions) or 'none'}")
    return functions[kernel]


def vector_cores(parts: dict[str, func.FuncOp]) -> int:
    """Vector cores of a block: two beside a cube core, where the functions do not say one."""
    stated = [plain(f.attributes["sim.vector_cores"]) for f in parts.values() if "sim.vector_cores" in f.attributes]
    return min([2 if "aic" in parts else 1, *stated])


def kernel_functions(module: ir.Module) -> dict[str, dict[str, func.FuncOp]]:
    """Kernel name to its function per kind of core, "aic" first."""
    kernels: dict[str, dict[str, func.FuncOp]] = {}
    for function in module.body.operations:
        if isinstance(function, func.FuncOp) and "sim.core" in function.attributes:
            name = plain(function.attributes["sim.kernel"]) if "sim.kernel" in function.attributes else function.name.value
            kernels.setdefault(name, {})[plain(function.attributes["sim.core"])] = function
    return {name: dict(sorted(parts.items())) for name, parts in kernels.items()}
