"""The two mistakes that hang flash attention on a device once there are more tiles than slots: found by the compiler and the checker."""

import re
from functools import lru_cache
from pathlib import Path

import pytest

import ptoc
from ptoc.dialect import assembly
from ptoc.kernels.flash_attention import flash_attention

TILES_AS_SLOTS, MORE_TILES = 2048, 4096


@lru_cache
def text() -> str:
    return assembly.to_text(flash_attention.trace())


def nameless_free() -> str:
    changed, count = re.subn(r"pto\.tfree_from_aic\(%\w+ : [^)]*\) \{id = 0", "pto.tfree_from_aic {id = 0", text())
    assert count >= 1
    return changed


def other_local_slots() -> str:
    changed, count = re.subn(r"(aiv_initialize_pipe \{[^}]*local_slot_num = )2", r"\g<1>8", text(), count=1)
    assert count == 1
    return changed


def file_of(tmp_path: Path, content: str) -> str:
    path = tmp_path / "fa.pto"
    path.write_text(content)
    return str(path)


def test_all_is_well_as_written(tmp_path: Path) -> None:
    report = ptoc.check(file_of(tmp_path, text()), S0=128, S1=MORE_TILES)
    assert report.ok


def test_a_free_without_its_entry_passes_while_there_are_slots(tmp_path: Path) -> None:
    file = file_of(tmp_path, nameless_free())
    assert ptoc.check(file, S0=128, S1=TILES_AS_SLOTS).ok


def test_a_free_without_its_entry_is_found(tmp_path: Path) -> None:
    file = file_of(tmp_path, nameless_free())
    line = next(n for n, row in enumerate(nameless_free().split("\n"), 1) if "tfree_from_aic {id = 0" in row)
    report = ptoc.check(file, S0=128, S1=MORE_TILES)
    assert not report.ok
    assert f"fa.pto:{line}: this free of pipe 'qk' does not name its entry" in report.deadlock
    assert "pipe 'qk': aic0 tpush 8 of 16, talloc 0 of 2; aiv0.0 tpop 8 of 16; aiv0.1 tpop 8 of 16\n" in report.deadlock
    with pytest.raises(ptoc.DeadlockError, match=r"'talloc' waits for cross-core flag 1 \('qk'\)"):
        ptoc.run(file, S0=128, S1=MORE_TILES)


@pytest.mark.parametrize("run", [ptoc.check, ptoc.run], ids=["check", "run"])
def test_local_slot_counts_that_differ_are_found(tmp_path: Path, run: object) -> None:
    file = file_of(tmp_path, other_local_slots())
    message = r"fa\.pto:\d+: pipe 'qk': the two sides must agree on local_slot_num; got 2 at .*fa\.pto:\d+ and 8 at .*fa\.pto:\d+"
    with pytest.raises(ptoc.VerifyError, match=message):
        run(file, S0=128, S1=MORE_TILES)
