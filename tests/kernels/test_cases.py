"""Every case of every shipped kernel: results right, synchronisation proven, nothing redundant."""

import pytest

import ptoc
from ptoc.loading import shipped_kernel, shipped_names

CASES = [(name, case) for name in shipped_names() if not shipped_kernel(name).chip for case in shipped_kernel(name).small_cases]
LARGE = {(f"flash_attention{level}", case) for level in ("", "_expert") for case in ("s4096", "s8192")} | {("paged_attention", "page64")}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_results_are_right(name: str, case: str) -> None:
    result = ptoc.run(name, case=case, check=(name, case) not in LARGE)
    assert result.passed, f"largest error {result.max_abs_error}"
    assert result.latency_us > result.kernel_us > 0


@pytest.mark.parametrize(("name", "case"), [c for c in CASES if c not in LARGE])
def test_synchronisation_is_complete_and_minimal(name: str, case: str) -> None:
    report = ptoc.check(name, case=case)
    assert report.ok, report
    assert not report.redundant, [str(u) for u in report.redundant]
