"""The recipes of docs/ are followed: their blocks run, in processes of their own."""

import json
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)


def run(folder: Path, text: str) -> None:
    """Runs a program, warnings being errors."""
    (folder / "program.py").write_text(text)
    done = subprocess.run([sys.executable, "-W", "error", "program.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_add_an_op(tmp_path: Path) -> None:
    found = blocks("add-an-op.md", "python")
    assert len(found) == 2
    run(tmp_path, "\n".join(found))


def test_add_a_pass(tmp_path: Path) -> None:
    found = blocks("add-a-pass.md", "python")
    assert len(found) == 2
    run(tmp_path, "\n".join(found))


def test_add_a_chip(tmp_path: Path) -> None:
    (text,) = blocks("add-a-chip.md", "yaml")
    (tmp_path / "slow910b.yaml").write_text(text)
    ptoc = Path(sys.executable).with_name("ptoc")
    command = [str(ptoc), "run", "vector_add", "--case", "small", "--json", "--chip", "slow910b.yaml"]
    withheld = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert withheld["latency_us"] is None
    shown = json.loads(subprocess.run([*command, "--allow-unvalidated"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    fast = json.loads(subprocess.run([*command[:-1], "ascend910b1"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert 1.5 < shown["kernel_us"] / fast["kernel_us"] <= 2.01


def test_kernel_language(tmp_path: Path) -> None:
    found = blocks("kernel-language.md", "python")
    assert len(found) >= 5
    run(tmp_path, "\n".join(found))


def test_programs(tmp_path: Path) -> None:
    (text,) = blocks("programs.md", "yaml")
    (tmp_path / "two_products.yaml").write_text(text)
    ptoc = Path(sys.executable).with_name("ptoc")
    told = subprocess.run([str(ptoc), "run", "two_products.yaml", "--json", "-D", "M=128"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["passed"] is True
    run(tmp_path, "\n".join(blocks("programs.md", "python")))
