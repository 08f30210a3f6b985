"""Time alone, from what is kept on disk where it is there: a run that was seen before imports neither MLIR nor the kernel.

Two kinds of entries: a kernel as time sees it, by source, parameters, chip and options; and what a request (a command line) comes to:
which kernel, its sizes and blocks, the extents of its tensors.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptoc.simulator.cache import digest_of, folder, key_of, load, store
from ptoc.simulator.program import Program

from .result import Result, sync_counts
from .timed_kernel import TimedKernel

if TYPE_CHECKING:
    from .running import Arranged


@dataclass
class Request:
    """What a command line comes to.  `kernel`: key of its TimedKernel; `depends`: (file, digest) of the files that it was made from; `chip`: as it is loaded."""

    kernel: str
    name: str
    depends: list[tuple[str, str]]
    blocks: int
    values: dict[str, Any]
    extents: dict[str, Any]
    chip: str
    flops: int | None
    tolerance: float | None


def run_timed(kernel: str, chip: str | None, definitions: dict[str, str], case: str | None, cores: int | None, sync: str, auto_stages: bool, allow_unvalidated: bool) -> Result:
    """Time alone of what a command line names; see api.run.  chip: None for the kernel's own.  Raises: PtocError."""
    key = _request_key(kernel, chip or "", definitions, case, cores, sync, auto_stages)
    request = load(key) if key else None
    if isinstance(request, Request) and all(digest_of(path) == digest for path, digest in request.depends):
        timed = load(request.kernel)
        if isinstance(timed, TimedKernel):
            arranged = cache(lambda: _arranged(kernel, request.chip, definitions, case, cores, sync, auto_stages))
            result = _run(request, timed, request.chip, lambda program: arranged().fill(program))
            result.arranged = arranged
            result.allow_unvalidated = allow_unvalidated
            return result
    return _first_run(key, kernel, chip, definitions, case, cores, sync, auto_stages, allow_unvalidated)


def _first_run(
    key: str, kernel: str, wanted: str | None, definitions: dict[str, str], case: str | None, cores: int | None, sync: str, auto_stages: bool, allow_unvalidated: bool
) -> Result:
    from .loading import chip_of, load_source
    from .running import Arranged, arrange, run_arranged

    before = set(sys.modules)
    source = load_source(kernel)
    depends = [(path, digest_of(path)) for path in _local_files(kernel, before)]
    loaded = chip_of(source, wanted)
    chip = wanted or loaded.name

    def kept(parameters: dict[str, Any]) -> TimedKernel | None:
        found = load(_kernel_key(kernel, depends, parameters, chip, sync, auto_stages)) if key else None
        return found if isinstance(found, TimedKernel) else None

    arranged: Arranged = arrange(source, loaded, definitions, case, cores, {}, sync, auto_stages, values=False, kept=kept)
    result = run_arranged(arranged, allow_unvalidated)
    if key and not arranged.arguments.arrays:
        kernel_key = _kernel_key(kernel, depends, arranged.parameters, chip, sync, auto_stages)
        known = kept(arranged.parameters)
        if known is None or known.learned() < arranged.timed.learned():
            store(kernel_key, arranged.timed)
        extents = arranged.extents
        store(key, Request(kernel_key, result.kernel, depends, result.blocks, result.arguments, extents, chip, result.flops, result.tolerance))
    return result


def _run(request: Request, timed: TimedKernel, chip: str, fill: Callable[[Program], None]) -> Result:
    def loaded() -> Any:
        from ptoc.machine.chip import load_chip

        return load_chip(chip)

    learned = timed.learned()
    program, timeline = timed.simulate(request.extents, request.blocks, {}, loaded, fill)
    if timed.learned() > learned:
        store(request.kernel, timed)
    result = Result(request.name, timed.chip, request.blocks, request.values, program, timeline)
    result.flops, result.tolerance, result.sync = request.flops, request.tolerance, sync_counts(program, False)
    return result


def _arranged(kernel: str, chip: str, definitions: dict[str, str], case: str | None, cores: int | None, sync: str, auto_stages: bool) -> "Arranged":
    """The run with its compiled kernel: for commands with operands in a trace or the report of a deadlock, and for pricing again."""
    from ptoc.machine.chip import load_chip

    from .loading import load_source
    from .running import arrange

    return arrange(load_source(kernel), load_chip(chip), definitions, case, cores, {}, sync, auto_stages, values=False)


def _request_key(kernel: str, chip: str, definitions: dict[str, str], case: str | None, cores: int | None, sync: str, auto_stages: bool) -> str:
    """"" where the request cannot be kept: without a cache, or with files among the definitions."""
    if folder() is None or any(str(value).endswith(".npy") for value in definitions.values()):
        return ""
    return key_of("request", _named(kernel), _chip_part(chip), sorted(definitions.items()), case, cores, sync, auto_stages)


def _kernel_key(kernel: str, depends: list[tuple[str, str]], parameters: dict[str, Any], chip: str, sync: str, auto_stages: bool) -> str:
    return key_of("kernel", _named(kernel), depends, sorted(parameters.items()), _chip_part(chip), sync, auto_stages)


def _named(kernel: str) -> tuple[str, ...]:
    """A kernel's name and, for one in a file, the file's digest."""
    path = kernel.partition(":")[0]
    return (kernel, str(Path(path).absolute()), digest_of(path)) if path.endswith((".py", ".pto", ".mlir")) else (kernel,)


def _chip_part(chip: str) -> tuple[str, ...]:
    """A chip's name and, for one in a file, the digests of the file and of what it is based on; shipped ones are part of ptoc."""
    if not chip.endswith((".yaml", ".yml")):
        return (chip,)
    parts, path, seen = [chip], Path(chip), set()
    while path not in seen:
        seen.add(path)
        parts.append(digest_of(path))
        base = re.search(r"^base:\s*[\"']?([^\s\"'#]+)", path.read_text(errors="replace"), re.M) if path.is_file() else None
        if base is None:
            break
        path = path.parent / f"{base[1]}.yaml"
    return tuple(parts)


def _local_files(kernel: str, before: set[str]) -> list[str]:
    """Files of the user's modules that loading a kernel has imported: not ptoc's, Python's or installed ones."""
    root = str(Path(__file__).resolve().parent.parent)
    installed = (sys.prefix, sys.base_prefix)
    files = []
    for name in sorted(set(sys.modules) - before):
        file = getattr(sys.modules[name], "__file__", None)
        inside = file is not None and (name.split(".")[0] == "ptoc" or file.startswith(installed) or "site-packages" in file)
        if file is not None and not inside and not file.startswith(f"{root}/ptoc/"):
            files.append(file)
    path = kernel.partition(":")[0]
    return [*files, str(Path(path).absolute())] if path.endswith((".py", ".pto", ".mlir")) else files
