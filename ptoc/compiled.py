"""A compiled kernel: the scheduled module and what is printed from it."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ptoc.dialect import assembly
from ptoc.dialect.assembly_names import keep_argument_names
from ptoc.dialect.errors import ArgumentError, NotSupportedError, PtocError
from ptoc.dialect.families import target_arch
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import location_of, plain
from ptoc.dialect.sim_text import parse_sim, sim_to_text
from ptoc.frontend import Kernel
from ptoc.frontend.kernel import SYNC
from ptoc.lowering import lower
from ptoc.lowering.kinds import mixed_kinds
from ptoc.machine.chip import Chip
from ptoc.passes.multi_buffer import MultiBuffer
from ptoc.passes.pipeline import PIPELINE, Pass, run_passes
from ptoc.simulator.elaborate import kernel_functions

from .loading import Source
from .timed_kernel import TimedKernel, timed_kernel


@dataclass
class Compiled:
    """`module`: the scheduled pto module (None for a `.sim.mlir` file); `simulator_ir`: what it lowers to; `remarks` of the passes."""

    name: str
    chip: Chip
    source: Source
    module: ir.Module | None
    simulator_ir: ir.Module
    parameters: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def kernel(self) -> Kernel | None:
        """The Python kernel, None for a kernel that came as text."""
        return self.source.kernel

    @cached_property
    def pto(self) -> str:
        """The scheduled module as `.pto` text."""
        return assembly.to_text(self._scheduled())

    @cached_property
    def sim(self) -> str:
        """The simulator IR as text."""
        return sim_to_text(self.simulator_ir)

    @cached_property
    def timed(self) -> TimedKernel:
        """The kernel as time sees it."""
        return timed_kernel(self.simulator_ir, self.name, self.chip)

    def cpp(self) -> dict[str, str]:
        """C++ kernel, host caller, build script and device runner by file name.  Raises NotSupportedError where the chip has no C++."""
        if self.chip.data.toolchain is None:
            raise NotSupportedError(f"{self.name}: no C++ for this chip: nothing compiles it for {self.chip.name}; --emit pto,sim writes what there is")
        from ptoc.codegen import emit

        from .notes import priced_notes

        return emit(self._scheduled(), self.chip, self.name, priced_notes(self._scheduled(), self.chip))

    def _scheduled(self) -> ir.Module:
        if self.module is None:
            raise NotSupportedError(f"{self.name}: a .sim.mlir file has no pto module behind it")
        return self.module


def compile_source(source: Source, chip: Chip, parameters: dict[str, Any] | None = None, sync: str | None = None, auto_stages: bool = False) -> Compiled:
    """Compiles a kernel or a text for a chip.

    parameters: constants of a Python kernel.  sync: "insert", or "keep" to leave flags and barriers as they are; None: as the kernel says.
    auto_stages: two slots also in loops without stages.  A Python kernel is compiled once for each chip, parameters and options.
    Raises: PtocError of the stage that refuses the program.
    """
    parameters = parameters or {}
    sync = sync or (source.kernel.sync if source.kernel else "insert")
    if sync not in SYNC:
        raise ArgumentError(f"sync must be {' or '.join(map(repr, SYNC))}; got {sync!r}")
    if source.form == "sim":
        return _read_sim(source, chip, parameters)
    if source.kernel is None:
        return _compile(source, chip, parameters, sync, auto_stages)
    key = (chip, sync, auto_stages, tuple(sorted(parameters.items())))
    known = source.kernel.compilations
    if key not in known:
        known[key] = _compile(source, chip, parameters, sync, auto_stages)
    return known[key]


def _compile(source: Source, chip: Chip, parameters: dict[str, Any], sync: str, auto_stages: bool) -> Compiled:
    if source.kernel is not None:
        module = source.kernel.trace(arch=chip.arch, **parameters)
    else:
        module = assembly.parse(source.text, source.file)
        _set_arch(module, chip, source.file)
        keep_argument_names(module, source.text)
    _set_mesh(module, chip)
    if not any(_functions(module)):
        raise ArgumentError(f"{source.file or source.name}: no function with a body, so there is nothing to compile")
    remarks = run_passes(module, chip, pipeline_for(module, sync, auto_stages)) + _mixed(module)
    return Compiled(entry_name(module, source.name), chip, source, module, lower(module), parameters, remarks)


def pipeline_for(module: ir.Module, sync: str, auto_stages: bool = False) -> tuple[Pass, ...]:
    """The passes for a module: without insert-sync where its synchronisation is to be kept as it stands, multi-buffer with its option."""
    chosen = (replace(p, auto_stages=auto_stages) if isinstance(p, MultiBuffer) else p for p in PIPELINE)
    return tuple(p for p in chosen if not (p.name == "insert-sync" and sync == "keep"))


def entry_name(module: ir.Module, default: str) -> str:
    """The kernel of a module: the function marked `pto.entry`, else the only one, else the first that has a body."""
    functions = _functions(module)
    marked = [f for f in functions if "pto.entry" in f.attributes]
    chosen = (marked or functions)[:1]
    return chosen[0].name.value if chosen else default


def _functions(module: ir.Module) -> list[func.FuncOp]:
    return [op for op in module.body.operations if isinstance(op, func.FuncOp) and not op.is_external]


def _read_sim(source: Source, chip: Chip, parameters: dict[str, Any]) -> Compiled:
    """A `.sim.mlir` file: the kernel that is named as the file is, else the first one; raises PtocError where it is for another chip."""
    module = parse_sim(source.text, source.file)
    kernels = kernel_functions(module)
    if not kernels or "sim.arch" not in module.operation.attributes:
        raise ArgumentError(f"{source.file}: no kernel in it: a module with 'sim.arch' and functions with 'sim.core' is expected")
    arch = plain(module.operation.attributes["sim.arch"])
    if arch != chip.arch:
        raise PtocError(f"{source.file} is for arch {arch}, chip {chip.name} is {chip.arch}; choose another with --chip")
    return Compiled(source.name if source.name in kernels else next(iter(kernels)), chip, source, None, module, parameters)


def _mixed(module: ir.Module) -> list[str]:
    """A remark for each function whose commands no one core of a chip can run."""
    mixed = [f for f in _functions(module) if mixed_kinds(f)]
    return [
        f"{location_of(f.operation)}: '{f.name.value}' has cube and vector commands without sections: simulated as one core that has all engines"
        for f in mixed
    ]


def _set_mesh(module: ir.Module, chip: Chip) -> None:
    """Notes the chip's mesh on the module: which block is whose neighbour."""
    mesh = chip.mesh()
    if mesh is not None:
        with module.context:
            module.operation.attributes["pto.mesh"] = ir.DenseI64ArrayAttr.get(list(mesh))


def _set_arch(module: ir.Module, chip: Chip, file: str) -> None:
    """Makes the chip's architecture the module's; raises PtocError where the text is for another one."""
    wanted = target_arch(module.operation)
    if wanted not in ("", chip.arch):
        raise PtocError(f"{file} is for arch {wanted}, chip {chip.name} is {chip.arch}; choose another with --chip")
    with module.context:
        module.operation.attributes["pto.target_arch"] = ir.StringAttr.get(chip.arch)
