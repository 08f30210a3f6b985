"""The files of lit_tests/: each runs something, each line that looks like a check is one, and nothing of the dialect or the passes is left out."""

import re
from pathlib import Path

import pytest

from ptoc.passes.pipeline import PIPELINE

ROOT = Path(__file__).parent.parent
LIT = ROOT / "lit_tests"
FILES = sorted(p for p in LIT.rglob("*") if p.suffix in (".pto", ".mlir", ".py") and p.name != "lit.cfg.py")
LOOKS_LIKE_A_CHECK = re.compile(r"\s*(?://|#) *([A-Z][A-Z0-9]+)\b([-A-Z0-9]*)( ?)(:?)")
SUFFIX = re.compile(r"|-NEXT|-SAME|-NOT|-DAG|-LABEL|-EMPTY|-COUNT-[1-9][0-9]*")
EXPECTED = re.compile(r"// expected-error (@[+-]\d+ )?\{\{.+\}\}")
LONGEST = {"foreign": 60}
"""Lines of a file: 40; whole programs as others write them may be longer."""


def prefixes(runs: list[str]) -> set[str]:
    """What the RUN lines' filechecks look at."""
    reading = [run for run in runs if "%filecheck" in run]
    return {match[1] if (match := re.search(r"--check-prefix[ =](\w+)", run)) else "CHECK" for run in reading}


def faults(text: str, longest: int = 40) -> list[str]:
    """What is wrong with a file: a missing RUN, a check that is never looked at."""
    lines = text.split("\n")
    found = []
    if not re.match(r"(//|#) RUN: ", lines[0]):
        found.append("line 1: no RUN")
    runs = [line for line in lines if "RUN:" in line]
    live, checks, expected = prefixes(runs), 0, 0
    for number, line in enumerate(lines, 1):
        match = LOOKS_LIKE_A_CHECK.match(line)
        if match and match[1] != "RUN" and (match[4] or match[2] or "CHECK" in match[1]):
            checks += 1
            if match[1] not in live or not SUFFIX.fullmatch(match[2]) or match[3] or not match[4]:
                found.append(f"line {number}: no check: {line.strip()}")
        elif "CHECK" in line and line not in runs:
            found.append(f"line {number}: no check: {line.strip()}")
        if "expected-" in line:
            expected += 1
            if not EXPECTED.search(line) or not any("--verify-diagnostics" in run for run in runs):
                found.append(f"line {number}: no expectation: {line.strip()}")
    unused = sorted(prefix for prefix in live if not re.search(rf"(//|#) {prefix}(-[A-Z]+)?:", text))
    found += [f"no check {prefix}" for prefix in unused]
    if not checks and not expected:
        found.append("nothing is checked")
    if len(lines) - 1 > longest:
        found.append(f"{len(lines) - 1} lines, more than {longest}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(LIT).as_posix())
def test_every_check_is_live(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8"), LONGEST.get(path.parent.name, 40)) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("// CHECK: a\n// RUN: x | %filecheck %s\n", "line 1: no RUN"),
        ("// RUN: x | %filecheck %s\n// CHECK a\n", "line 2: no check: // CHECK a"),
        ("// RUN: x | %filecheck %s\n// CHECK-NXT: a\n", "line 2: no check: // CHECK-NXT: a"),
        ("// RUN: x | %filecheck %s\n// CHECK : a\n", "line 2: no check: // CHECK : a"),
        ("// RUN: x\n// CHECK: a\n", "line 2: no check: // CHECK: a"),
        ("// RUN: x | %filecheck %s --check-prefix CPP\n// CHECK: a\n", "line 2: no check: // CHECK: a"),
        ("// RUN: x | %filecheck %s --check-prefix CPP\n// CHECK: a\n", "no check CPP"),
        ("// RUN: x | %filecheck %s\n// CHECK: a\n// SIM: b\n", "line 3: no check: // SIM: b"),
        ("// RUN: x\n// expected-error {{a}}\n", "line 2: no expectation: // expected-error {{a}}"),
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
