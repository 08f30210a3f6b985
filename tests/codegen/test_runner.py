"""Golden files and the device runner, with a fake device that computes on the host."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from ptoc.codegen import Case, emit, golden_files, write_golden
from ptoc.machine.chip import load_chip

from .texts import VADD, parse

A = np.arange(6, dtype=np.float32).reshape(2, 3)
CASE = Case("small", "vadd", 2, {"a": A, "b": A, "c": np.zeros_like(A), "n": 2}, {"c": A + A})


class FakeNpu:
    """A device whose kernel adds `error` to a + b."""

    def __init__(self, error: float = 0.0, code: int = 0) -> None:
        self.buffers: dict[int, np.ndarray] = {}
        self.error, self.code, self.launches = error, code, 0
        self.library = self

    def upload(self, array: np.ndarray) -> int:
        self.buffers[len(self.buffers) + 1] = array.copy()
        return len(self.buffers)

    def download(self, buffer: int, array: np.ndarray) -> np.ndarray:
        return self.buffers[buffer]

    def address(self, buffer: int) -> int:
        return buffer

    def stream(self) -> int:
        return 7

    def microseconds(self, start: Any) -> float:
        start()
        return 5.0

    def launch_vadd(self, blocks: Any, stream: Any, a: Any, b: Any, c: Any, n: Any, message: Any, size: Any) -> int:
        assert (blocks.value, stream.value, n.value) == (2, 7, 2)
        self.launches += 1
        self.buffers[c.value] = self.buffers[a.value] + self.buffers[b.value] + np.float32(self.error)
        message.value = b"k: bad" if self.code else b""
        return self.code

    def wait_for_stream(self, stream: Any, message: Any, size: Any) -> int:
        return 0


@pytest.fixture
def runner(tmp_path: Path) -> ModuleType:
    """The emitted run.py as a module, beside golden files."""
    module = ModuleType("run")
    module.__file__ = str(tmp_path / "run.py")
    text = emit(parse(VADD), load_chip("ascend910b1"), "vadd")["run.py"]
    (tmp_path / "run.py").write_text(text)
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    write_golden(tmp_path / "golden", [CASE])
    return module


def test_golden_files_hold_arguments_and_results() -> None:
    files = golden_files([CASE])
    index = json.loads(files["index.json"])
    assert sorted(files) == ["index.json", "small_a.bin", "small_b.bin", "small_c.bin", "small_c_golden.bin"]
    assert np.array_equal(np.frombuffer(files["small_c_golden.bin"], np.float32).reshape(2, 3), A + A)
    assert index["cases"][0]["arguments"][3] == {"name": "n", "value": 2}
    assert index["cases"][0]["arguments"][2]["golden"] == "small_c_golden.bin"
    assert golden_files([CASE]) == files


def test_a_case_passes_and_is_timed(runner: ModuleType, tmp_path: Path) -> None:
    npu = FakeNpu()
    (case,) = runner.read_cases(tmp_path / "golden")
    assert runner.run_case(npu, case, 3, 4) == (0.0, True, [5.0] * 4)
    assert npu.launches == 1 + 3 + 4


def test_a_wrong_result_fails(runner: ModuleType, tmp_path: Path) -> None:
    (case,) = runner.read_cases(tmp_path / "golden")
    error, passed, _ = runner.run_case(FakeNpu(error=0.5), case, 0, 0)
    assert (error, passed) == (0.5, False)


def test_an_error_code_of_the_launcher_is_raised(runner: ModuleType, tmp_path: Path) -> None:
    (case,) = runner.read_cases(tmp_path / "golden")
    with pytest.raises(RuntimeError, match="code 3: k: bad"):
        runner.run_case(FakeNpu(code=3), case, 0, 0)


def test_not_a_number_fails_unless_it_is_expected(runner: ModuleType) -> None:
    nan, one = np.array([np.nan]), np.array([1.0])
    assert runner.compare(nan, one, 1, 1)[1] is False
    assert runner.compare(nan, nan, 0, 0) == (0.0, True)


def test_element_types_that_numpy_lacks_are_read(runner: ModuleType, tmp_path: Path) -> None:
    array = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    write_golden(tmp_path / "b", [Case("b", "vadd", 1, {"a": array})])
    (case,) = runner.read_cases(tmp_path / "b")
    assert case["arguments"][0]["array"].tobytes() == array.tobytes()
    assert case["arguments"][0]["array"].dtype == ml_dtypes.bfloat16


def test_the_table_is_aligned(runner: ModuleType) -> None:
    lines = runner.table([("small", "2", "5.00", "4.90", "0", "passed")]).splitlines()
    assert [line.index("median" if "median" in line else "5.00") for line in lines] == [15, 15]


def test_the_build_script_is_valid_shell(tmp_path: Path) -> None:
    script = tmp_path / "build.sh"
    script.write_text(emit(parse(VADD), load_chip("ascend910b1"), "vadd")["build.sh"])
    subprocess.run(["bash", "-n", str(script)], check=True)
    missing = subprocess.run(["bash", str(script)], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)
    assert "set PTO_LIB_PATH to a checkout of pto-isa" in missing.stderr
    missing = subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "PTO_LIB_PATH": "x"}, check=False
    )
    assert "'bisheng' not found" in missing.stderr
    assert missing.returncode == 1


def test_the_runner_starts_without_torch_for_help(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(emit(parse(VADD), load_chip("ascend910b1"), "vadd")["run.py"])
    shown = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=True)
    assert "--iterations" in shown.stdout
