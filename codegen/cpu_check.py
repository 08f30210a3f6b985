"""Emitted C++ on a CPU: compile kernels against the library's own headers, run them on arrays.

The library's CPU build is functional only: flags and barriers do nothing there, so a right result says nothing about synchronisation.
One host thread runs per core: a cube core and `subblocks` vector cores per block.  The kernel file is compiled twice in one program,
as the NPU compiler does it: once as cube code and once as vector code.

Needs `PTO_LIB_PATH` (a checkout of pto-isa) and clang++.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ptoc.dialect.errors import ArgumentError, SimulationError

from .emit import render
from .kernel import Kernel

COMPILERS = ("clang++-19", "clang++-20", "clang++-18", "clang++")
FLAGS = (
    *("-std=c++23", "-O1", "-w", "-ferror-limit=0", "-include", "stdint.h", "-include", "stddef.h"),
    *("-D__CPU_SIM", "-D__STDCPP_BFLOAT16_T__=1", "-DCPU_SIM_BFLOAT_ENABLED=1"),
)
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class CpuProgram:
    """A compiled program: `run` starts one of its kernels in a process of its own."""

    binary: Path
    kernels: dict[str, Kernel]

    def run(self, name: str, arguments: list[Any], blocks: int = 1, subblocks: int = 1) -> list[np.ndarray]:
        """Runs a kernel; pointer arguments are arrays, others numbers.  Returns the arrays as the kernel leaves them, in order.

        Raises: SimulationError with the program's last words where it fails or does not end; ArgumentError for a wrong number of arguments.
        """
        kernel = self.kernels[name]
        if len(arguments) != len(kernel.parameters):
            names = ", ".join(p.name for p in kernel.parameters)
            raise ArgumentError(f"kernel '{name}' takes {len(kernel.parameters)} arguments ({names}); got {len(arguments)}")
        with tempfile.TemporaryDirectory() as folder:
            paths, words = [], []
            for number, value in enumerate(arguments):
                if isinstance(value, np.ndarray):
                    paths.append((Path(folder, f"{number}.bin"), value))
                    value.tofile(paths[-1][0])
                words.append(str(paths[-1][0]) if isinstance(value, np.ndarray) else repr(value))
            self._start([str(self.binary), name, str(blocks), str(subblocks), *words], name)
            return [np.fromfile(path, value.dtype).reshape(value.shape) for path, value in paths]

    def _start(self, command: list[str], name: str) -> None:
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise SimulationError(f"kernel '{name}' did not end within {TIMEOUT_SECONDS} s on the CPU: a pipe waits for ever") from None
        if result.returncode:
            words = " ".join((result.stdout + result.stderr).split())[-600:]
            raise SimulationError(f"kernel '{name}' failed on the CPU with code {result.returncode}: {words}")


def library_path() -> Path | None:
    """The pto-isa checkout that PTO_LIB_PATH names, if it is one."""
    path = Path(os.environ.get("PTO_LIB_PATH", "/nonexistent"))
    return path if (path / "include/pto/pto-inst.hpp").is_file() else None


def compiler() -> str | None:
    """The first of the known compilers that is installed."""
    return next((found for name in COMPILERS if (found := shutil.which(name))), None)


def compile_for_cpu(text: str, kernels: tuple[Kernel, ...], folder: Path, parts: bool = True) -> CpuProgram:
    """Compiles the text of a kernel file (`emit(...)["NAME.cpp"]`) into a program in `folder`.

    parts: with the calls on parts of tiles that the NPU's headers take and the CPU build does not (cpu_tiles.hpp); without, the library alone.

    Raises: ArgumentError without library or compiler; SimulationError with the compiler's first errors.
    """
    library, clang = library_path(), compiler()
    if library is None:
        raise ArgumentError("running emitted C++ on a CPU needs the library: set PTO_LIB_PATH to a checkout of pto-isa")
    if clang is None:
        raise ArgumentError(f"running emitted C++ on a CPU needs one of the compilers {', '.join(COMPILERS)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.cpp").write_text(text)
    driver = folder / "driver.cpp"
    launched = [k for k in kernels if k.launched]
    # A kernel without tiles runs on either kind of core; here on vector cores.
    runs_on = {k.name: k.kinds or ("vector",) for k in launched}
    kinds = {kind: any(kind in used for used in runs_on.values()) for kind in ("cube", "vector")}
    driver.write_text(render("cpu_driver.cpp.j2", {"kernels": launched, "runs_on": runs_on, "kinds": kinds, "parts": parts}))
    (folder / "cpu_pipes.hpp").write_text(render("cpu_pipes.hpp", {}))
    (folder / "cpu_tiles.hpp").write_text(render("cpu_tiles.hpp", {}))
    (folder / "stdfloat").write_text(render("stdfloat.hpp", {}))
    binary = folder / "driver"
    command = [clang, *FLAGS, f"-I{folder}", f"-I{library / 'include'}", str(driver), "-o", str(binary), "-rdynamic", "-lpthread", "-ldl"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [
            line for line in result.stderr.splitlines() if any(word in line for word in ("error:", "kernel.cpp:", "undefined reference"))
        ]
        raise SimulationError("the emitted C++ does not compile: " + "\n".join(errors or [result.stderr[-600:]]))
    return CpuProgram(binary, {k.name: k for k in launched})
