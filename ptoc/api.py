"""Compile, run and check kernels from Python."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ptoc.frontend import Kernel
from ptoc.machine.chip import Chip, load_chip

from .compiled import Compiled, compile_source
from .loading import DEFAULT_CHIP, Source, chip_of, load_kernel, load_source
from .result import Result
from .running import check_compiled, run_compiled

if TYPE_CHECKING:
    from .program import Program
    from .program_run import ProgramResult


def _source(kernel: Kernel | str | Source) -> Source:
    if isinstance(kernel, Source):
        return kernel
    return Source(kernel.name, kernel) if isinstance(kernel, Kernel) else load_source(kernel)


def compile(kernel: Kernel | str | Source, chip: str | Chip | None = None, *, sync: str | None = None, auto_stages: bool = False, **parameters: Any) -> Compiled:
    """Compiles a kernel (an object, a shipped name, `file.py:function`, a `.pto` file) for a chip (none given: the one that the kernel
    is made for, else the default); parameters are its constants.

    sync: "insert" what flags and barriers are missing, or "keep" them as written; None: as the kernel says, else "insert".
    auto_stages: two slots for tiles that cross engines also in loops without `stages=`, where memory allows.
    Raises: PtocError of the stage that refuses it.
    """
    source = _source(kernel)
    return compile_source(source, chip_of(source, chip), parameters, sync, auto_stages)


def run(
    kernel: Kernel | str | Source,
    chip: str | Chip | None = None,
    *,
    inputs: dict[str, np.ndarray] | None = None,
    case: str | None = None,
    cores: int | None = None,
    values: bool = True,
    check: bool = False,
    allow_unvalidated: bool = False,
    sync: str | None = None,
    auto_stages: bool = False,
    **definitions: Any,
) -> Result:
    """Compiles and simulates: results and time from one run.

    definitions: sizes and parameters by name.  inputs: arrays by tensor name (seeded random ones where missing).  cores: blocks to
    launch.  values=False: time alone.  auto_stages: see compile.  check=True: also proves the synchronisation and runs the most adverse order that it allows.
    Raises: PtocError.
    """
    source = _source(kernel)
    return run_compiled(source, chip_of(source, chip), definitions, case, cores, inputs or {}, values, check, allow_unvalidated, sync, auto_stages)


def check(
    kernel: Kernel | str | Source, chip: str | Chip | None = None, *, case: str | None = None, cores: int | None = None, sync: str | None = None, auto_stages: bool = False,
    **definitions: Any,
) -> Any:  # fmt: skip
    """Proves a kernel's synchronisation for given arguments: a SyncReport of what is missing, redundant or misused."""
    source = _source(kernel)
    return check_compiled(source, chip_of(source, chip), definitions, case, cores, {}, sync, auto_stages)


def run_program(
    program: "Program | str",
    chip: str | Chip | None = None,
    *,
    inputs: dict[str, np.ndarray] | None = None,
    values: bool = True,
    check: bool = False,
    allow_unvalidated: bool = False,
    **definitions: Any,
) -> "ProgramResult":
    """Runs a program (an object, a shipped name or a .yaml file) on a chip: values from kernel to kernel, time, flops and bytes of each.

    definitions: the program's sizes, and `model`.  inputs: tensors by their names in the program.  values=False: time alone.
    Raises: PtocError that names the step.
    """
    from .program import load_program
    from .program_run import run_program as run

    loaded = load_program(program) if isinstance(program, str) else program
    return run(loaded, chip if isinstance(chip, Chip) else load_chip(chip or DEFAULT_CHIP), definitions, inputs, values, check, allow_unvalidated)


__all__ = ["DEFAULT_CHIP", "Compiled", "Result", "check", "compile", "load_kernel", "run", "run_program"]
