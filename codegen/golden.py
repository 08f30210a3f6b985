"""Golden files: arguments and expected results of a kernel's cases, as .bin files and one index.json, for the device runner."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One call of a kernel.

    `arguments`: name to array or number, in the kernel's order, outputs and workspaces as they are before the call;
    `expected`: name to array for every output; `rtol`, `atol`: an output passes within atol + rtol * |expected|.
    """

    name: str
    kernel: str
    blocks: int
    arguments: dict[str, Any]
    expected: dict[str, np.ndarray] = field(default_factory=dict)
    rtol: float = 1e-3
    atol: float = 1e-3


def golden_files(cases: list[Case]) -> dict[str, bytes]:
    """File name to bytes: CASE_ARGUMENT.bin, CASE_ARGUMENT_golden.bin, index.json."""
    files: dict[str, bytes] = {}
    entries = []
    for case in cases:
        arguments = [_argument(case, name, value, files) for name, value in case.arguments.items()]
        facts = {"name": case.name, "kernel": case.kernel, "blocks": case.blocks, "rtol": case.rtol, "atol": case.atol}
        entries.append({**facts, "arguments": arguments})
    files["index.json"] = (json.dumps({"cases": entries}, indent=1) + "\n").encode()
    return files


def _argument(case: Case, name: str, value: Any, files: dict[str, bytes]) -> dict[str, Any]:
    if not isinstance(value, np.ndarray):
        return {"name": name, "value": value}
    entry = {"name": name, "file": f"{case.name}_{name}.bin", "dtype": value.dtype.name, "shape": list(value.shape)}
    files[entry["file"]] = value.tobytes()
    if name in case.expected:
        entry["golden"] = f"{case.name}_{name}_golden.bin"
        files[entry["golden"]] = case.expected[name].astype(value.dtype, copy=False).tobytes()
    return entry


def write_golden(folder: Path, cases: list[Case]) -> None:
    """Writes the golden files of cases into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in golden_files(cases).items():
        (folder / name).write_bytes(data)
