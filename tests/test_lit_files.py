"""The files of lit_tests/: each runs something, each line that looks like a check is one, and nothing of the dialect or the passes is left out."""

import re
from pathlib import Path

import pytest
from ptoc.passes.pipeline import PIPELINE

ROOT = Path(__file__).parent.parent
LIT = ROOT / "lit_tests"
FILES = sorted(p for p in LIT.rglob("*") if p.suffix in (".pto", ".mlir", ".py") and p.name != "lit.cfg.py" and "output" not in p.parts)
CHECK = re.compile(r"\s*(//|#) CHECK(-NEXT|-SAME|-NOT|-DAG|-LABEL|-EMPTY)?: ?\S.*|\s*(//|#) CHECK-EMPTY:")
EXPECTED = re.compile(r"// expected-error (@[+-]\d+ )?\{\{.+\}\}")
LONGEST = 40


def faults(text: str) -> list[str]:
    """What is wrong with a file: a missing RUN, a check that is never looked at."""
    lines = text.split("\n")
    found = []
    if not re.match(r"(//|#) RUN: ", lines[0]):
        found.append("line 1: no RUN")
    runs = [line for line in lines if "RUN:" in line]
    checks = [(n, line) for n, line in enumerate(lines, 1) if "CHECK" in line and "RUN:" not in line]
    expected = [(n, line) for n, line in enumerate(lines, 1) if "expected-" in line]
    found += [f"line {n}: no check: {line.strip()}" for n, line in checks if not CHECK.fullmatch(line)]
    found += [f"line {n}: no expectation: {line.strip()}" for n, line in expected if not EXPECTED.search(line)]
    if checks and not any("%filecheck %s" in run for run in runs):
        found.append("CHECK lines, but no filecheck reads them")
    if expected and not any("--verify-diagnostics" in run for run in runs):
        found.append("expected errors, but no --verify-diagnostics reads them")
    if not checks and not expected:
        found.append("nothing is checked")
    if len(lines) - 1 > LONGEST:
        found.append(f"{len(lines) - 1} lines, more than {LONGEST}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(LIT).as_posix())
def test_every_check_is_live(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("// CHECK: a\n// RUN: x | %filecheck %s\n", "line 1: no RUN"),
        ("// RUN: x | %filecheck %s\n// CHECK a\n", "line 2: no check: // CHECK a"),
        ("// RUN: x | %filecheck %s\n// CHECK-NXT: a\n", "line 2: no check: // CHECK-NXT: a"),
        ("// RUN: x | %filecheck %s\n// CHECK : a\n", "line 2: no check: // CHECK : a"),
        ("// RUN: x\n// CHECK: a\n", "CHECK lines, but no filecheck reads them"),
        ("// RUN: x\n// expected-error {{a}}\n", "expected errors, but no --verify-diagnostics reads them"),
        ("// RUN: x --verify-diagnostics\n// expected-eror {{a}}\n", "line 2: no expectation: // expected-eror {{a}}"),
        ("// RUN: x\n", "nothing is checked"),
        ("// RUN: x | %filecheck %s\n// CHECK: a\n" + "\n" * 40, "42 lines, more than 40"),
    ],
)
def test_a_dead_check_is_seen(text: str, fault: str) -> None:
    assert fault in faults(text)


def test_there_are_at_least_sixty() -> None:
    assert len(FILES) >= 60


def test_every_dialect_file_has_a_text_test_and_a_negative_one() -> None:
    declaring = [p.stem for p in (ROOT / "dialect" / "ops").glob("*.py") if re.search(r"^class \w+\(.*name=", p.read_text(encoding="utf-8"), re.M)]
    names = {p.stem for p in FILES if p.parent == LIT / "dialect" / "ops"} | {p.stem for p in FILES if p.parent == LIT / "dialect"}
    assert len(declaring) >= 20
    assert [name for name in declaring if name not in names or f"{name}_errors" not in names] == []


def test_every_pass_has_a_text_test_and_those_that_raise_a_negative_one() -> None:
    texts = [p.read_text(encoding="utf-8") for p in FILES if p.parent == LIT / "passes"]
    runs = [text.split("\n")[0] for text in texts]
    for name in {one.name for one in PIPELINE}:
        assert any(re.search(rf"--passes ([\w,-]+,)?{name}[ ,]", run) for run in runs), name
    for name in ("lower-pipes", "plan-memory", "inline-calls"):
        assert any(name in run and ("--verify-diagnostics" in run or "not %ptoc" in run) for run in runs), name
