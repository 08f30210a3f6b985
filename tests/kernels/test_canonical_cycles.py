"""Shipped kernels with what canonicalize does to tiles, and without: never slower, and the same bytes."""

import sys
from pathlib import Path

import pytest

from ptoc.loading import Source, shipped_kernel, shipped_names
from ptoc.machine.chip import load_chip
from ptoc.running import Prepared, prepare, run_values, time_program

sys.path.insert(0, str(Path(__file__).parent.parent / "properties"))

from test_canonical_kernels import pipeline

QUICK = ("small", "short", "one_tile", "two_blocks")
"""Cases that take little time, the first of them that a kernel has."""
CASES = [(name, next((case for case in QUICK if case in shipped_kernel(name).cases), "default")) for name in shipped_names() if not shipped_kernel(name).chip]
CHIP = load_chip("ascend910b1")


def made(name: str, case: str, patterns: tuple | None) -> Prepared:
    kernel = shipped_kernel(name)
    kernel.compilations.clear()  # compiled once for its parameters, whatever the passes are
    try:
        with pipeline(patterns):
            return prepare(Source(name, kernel), CHIP, {}, case, None, {}, "insert")
    finally:
        kernel.compilations.clear()


@pytest.mark.parametrize(("name", "case"), CASES)
def test_no_kernel_becomes_slower_and_results_stay(name: str, case: str) -> None:
    plain, simple = (made(name, case, patterns) for patterns in ((), None))
    before, after = (time_program(whole.program, CHIP) for whole in (plain, simple))
    assert after.makespan <= before.makespan
    expected, got = run_values(plain, before), run_values(simple, after)
    assert {n: a.tobytes() for n, a in expected.items()} == {n: a.tobytes() for n, a in got.items()}
