"""README.md is executed: its kernel compiles and runs, its commands print what it shows, its Python runs."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def generator() -> object:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("_docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_print_what_is_shown() -> None:
    now = generator().readme()
    assert TEXT.count("\n$ ptoc") >= 5
    assert now == TEXT, "README.md is out of date: run 'python docs/generate.py'"


def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "relu_axpy.py").write_text(BLOCKS[0])
    monkeypatch.syspath_prepend(tmp_path)
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, "relu_axpy.py" if "@ptoc.kernel" in block else "README.md", "exec"), names)
    sys.modules.pop("relu_axpy", None)
    assert names["result"].passed


def test_the_kernel_is_short() -> None:
    assert len(BLOCKS[0].strip().split("\n")) <= 25
    assert "set_flag" not in BLOCKS[0]
    assert "addr" not in BLOCKS[0]


def test_its_jobs_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in set(re.findall(r"`?make (\w+)", TEXT)):
        assert re.search(rf"^{job}:", makefile, re.M), job
