"""What the command line writes: files of a compilation, reports of runs and checks."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ptoc.codegen import write_golden
from ptoc.dialect.errors import ArgumentError
from ptoc.simulator.elaborate import kernel_functions

from .arguments import parse_definitions
from .golden import golden_case
from .loading import chip_of, load_source
from .result import Result
from .running import prepare, prove_order


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(name, 0o755 if path.suffix == ".sh" else 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def compile_to(
    kernel: str, definitions: tuple, case: str | None, chip: str | None, cores: int | None, sync: str | None, output: str, kinds: tuple[str, ...], memory_map: bool, checked: bool,
    auto_stages: bool = False,
) -> Iterator[str]:
    """Compiles and writes; yields lines to print (a text for standard output begins with a zero byte)."""
    source = load_source(kernel)
    prepared = prepare(source, chip_of(source, chip), parse_definitions(definitions), case, cores, {}, sync, auto_stages)
    compiled = prepared.compiled
    if checked:
        prove_order(prepared)
    files: dict[str, str] = {}
    if "pto" in kinds:
        files[f"{compiled.name}.pto"] = compiled.pto
    if "sim" in kinds:
        files[f"{compiled.name}.sim.mlir"] = compiled.sim
    if "cpp" in kinds:
        files |= compiled.cpp()
    yield from (f"remark: {remark}" for remark in compiled.remarks)
    if memory_map:
        from ptoc.passes.plan_memory import memory_map as map_of

        yield map_of(compiled.module, compiled.chip)
    if output == "-":
        if len(kinds) != 1:
            raise ArgumentError("-o -: one kind can go to standard output; say which with --emit")
        text = files.get(f"{compiled.name}.cpp") if kinds == ("cpp",) else next(iter(files.values()))
        yield "\0" + text
        return
    for name, text in files.items():
        write_text(Path(output) / name, text)
        yield f"wrote {Path(output) / name}"
    if "cpp" in kinds and "sim.arg_names" in next(iter(kernel_functions(compiled.simulator_ir)[compiled.name].values())).attributes:
        write_golden(Path(output) / "golden", [golden_case(prepared)])
        yield f"wrote {Path(output) / 'golden'}"


def save_outputs(result: Result, folder: Path) -> None:
    """Writes the outputs as FOLDER/NAME.npy."""
    save_arrays(result.outputs, folder)


def save_arrays(arrays: dict[str, np.ndarray], folder: Path) -> None:
    """Writes arrays as FOLDER/NAME.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
