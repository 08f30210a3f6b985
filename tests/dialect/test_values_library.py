"""Every op case against the library's CPU build, or, where PTO_LIB_PATH is not set, against the committed digest of such a run.

After a change of cases or ops: PTO_LIB_PATH=... PTOC_UPDATE_DIGESTS=1 pytest tests/dialect/test_values_library.py
"""

import hashlib
import importlib
import json
import os
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptoc.codegen.cpu_check import compiler, library_path

from . import op_cases
from .library_cases import run_all
from .op_cases import Case
from .op_instances import built

DIGESTS = Path(__file__).with_name("digests.json")
SAMPLES = 12
RTOL = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 2e-2}
"""Difference allowed relative to the largest result, by element type: the order of a sum and the last place of exp and log are free."""


KNOWN = {
    "tcvt-vec-3x256xf32-valid=3x200-vec-3x256xf16-valid=3x200-rmode=round_mode-FLOOR": "its CPU build rounds f32 to f16 to nearest in every mode",
    "tcvt-vec-16x64xf32-vec-16x64xf16-rmode=round_mode-CEIL": "its CPU build rounds f32 to f16 to nearest in every mode",
    "tcvt-vec-8x128xf32-valid=7x100-vec-8x128xf16-valid=7x100-rmode=round_mode-TRUNC": "its CPU build rounds f32 to f16 to nearest in every mode",
    "tmov-acc-16x32xi32-blayout=col_major-slayout=row_major-fractal=1024-mat-16x32xi8-blayout=col_major-slayout=row_major-pre_quant_scalar=70369835745280": "requantisation of i32 to i8 differs",
    "tstore_fp-acc-16x32xf32-blayout=col_major-slayout=row_major-fractal=1024-scaling-1x32xi64-gm-16x32xi8": "per-column quantisation to i8 differs",
    "tprefetch-gm-16x64xf32-vec-16x64xf32": "its CPU build leaves the tile as it is",
}
"""Cases where the library's CPU build is known to differ, with the reason; one that no longer differs must leave the list."""


def all_cases() -> list[Case]:
    """The cases of all files, in a fixed order."""
    names = sorted(found.name for found in pkgutil.iter_modules(op_cases.__path__))
    modules = [importlib.import_module(f"{op_cases.__name__}.{name}") for name in names]
    return list({str(case): case for module in modules for case in module.CASES}.values())


CASES = all_cases()
HAS_LIBRARY = library_path() is not None and compiler() is not None


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the library computes for each case, from one program; {} without the library."""
    return run_all(CASES, tmp_path_factory.mktemp("library")) if HAS_LIBRARY else {}


@pytest.fixture(scope="module")
def digests(library: dict[str, Any]) -> dict[str, Any]:
    """The committed digests, written anew first where that is asked for."""
    if HAS_LIBRARY and os.environ.get("PTOC_UPDATE_DIGESTS"):
        table = {str(case): digest(case, library[str(case)]) for case in CASES}
        DIGESTS.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(table.items())) + "\n}\n")
    return json.loads(DIGESTS.read_text())


def digest(case: Case, result: dict[str, np.ndarray] | str) -> dict[str, Any]:
    """Facts that pin a result down: of its inputs and of exact outputs a hash, of others the largest value and samples.

    A case that the library does not take has the reason instead.
    """
    if isinstance(result, str):
        return {"refused": result[:160]}
    if str(case) in KNOWN:
        return {"refused": f"differs: {KNOWN[str(case)]}"}
    entry: dict[str, Any] = {"inputs": hash_of(case.values())}
    for name, array in result.items():
        entry[name] = {"hash": hash_of({name: array})} if exact(array) else {"max": largest(array), "samples": samples(array)}
    return entry


def exact(array: np.ndarray) -> bool:
    """True for element types that have no rounding."""
    return array.dtype.name not in RTOL


def hash_of(values: dict[str, Any]) -> str:
    """Hash of arrays and numbers by name."""
    text = hashlib.sha256()
    for name, value in sorted(values.items()):
        text.update(name.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()))
    return text.hexdigest()[:16]


def largest(array: np.ndarray) -> float:
    """The largest finite magnitude, to six digits."""
    wide = np.abs(array.astype(np.float64))
    return float(f"{np.max(wide[np.isfinite(wide)], initial=0.0):.6g}")


def samples(array: np.ndarray) -> list[str]:
    """Some elements at equal distances, to six digits."""
    flat = array.astype(np.float64).ravel()
    return [f"{x:.6g}" for x in flat[:: max(1, flat.size // SAMPLES)][:SAMPLES]]


def evaluated(case: Case) -> dict[str, np.ndarray]:
    """What the op's numpy meaning says."""
    with built(case) as rec:
        return rec.cls.evaluate(case.values(), rec.attributes)


def agree(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal for exact types, else within RTOL of the largest expected value."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    if exact(expected):
        np.testing.assert_array_equal(got, expected)
        return
    rtol = RTOL[expected.dtype.name]
    np.testing.assert_allclose(got.astype(np.float64), expected.astype(np.float64), rtol=rtol, atol=rtol * largest(expected))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_evaluate_agrees_with_the_library(case: Case, library: dict[str, Any], digests: dict[str, Any]) -> None:
    assert str(case) in digests, "a new case: run once with PTO_LIB_PATH and PTOC_UPDATE_DIGESTS=1 (see the top of this file)"
    entry = digests[str(case)]
    if not HAS_LIBRARY and "refused" not in entry:
        agree_with_digest(case, entry)
    elif HAS_LIBRARY and isinstance(library[str(case)], str):
        assert entry == digest(case, library[str(case)])
    elif HAS_LIBRARY and str(case) in KNOWN:
        with pytest.raises(AssertionError):
            agree_with_library(case, library)
    elif HAS_LIBRARY:
        agree_with_library(case, library)


def agree_with_library(case: Case, library: dict[str, Any]) -> None:
    """evaluate() against what the library computed."""
    got = evaluated(case)
    for name, expected in library[str(case)].items():
        agree(got[name], expected)


def agree_with_digest(case: Case, entry: dict[str, Any]) -> None:
    """evaluate() against the committed facts of the library's result."""
    assert hash_of(case.values()) == entry["inputs"], "the case's numbers changed: update the digests"
    got = evaluated(case)
    for name, facts in entry.items():
        if name == "inputs":
            continue
        if "hash" in facts:
            assert hash_of({name: got[name]}) == facts["hash"]
            continue
        rtol = RTOL[got[name].dtype.name]
        flat = got[name].astype(np.float64).ravel()
        found = flat[:: max(1, flat.size // SAMPLES)][:SAMPLES]
        np.testing.assert_allclose(found, [float(x) for x in facts["samples"]], rtol=rtol, atol=max(rtol, 1e-5) * facts["max"])


def test_refused_cases_say_why(digests: dict[str, Any]) -> None:
    assert all(entry["refused"].strip() for entry in digests.values() if "refused" in entry)
    assert set(digests) == {str(case) for case in CASES}
