"""The command line: every command, its files, its JSON, its exit status, and that no error is a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ptoc import writing
from ptoc.cli import main

PTOC = Path(sys.executable).with_name("ptoc")

ADD = """module attributes {pto.target_arch = "a3"} {
  func.func @add(%x: !pto.ptr<f32>, %y: !pto.ptr<f32>) attributes {pto.entry} {
    %c1 = arith.constant 1 : index
    %c8 = arith.constant 8 : index
    %c64 = arith.constant 64 : index
    %v = pto.make_tensor_view %x, shape = [%c8, %c64], strides = [%c64, %c1] : !pto.tensor_view<8x64xf32>
    %w = pto.make_tensor_view %y, shape = [%c8, %c64], strides = [%c64, %c1] : !pto.tensor_view<8x64xf32>
    %a = pto.alloc_tile : !pto.tile_buf<vec, 8x64xf32>
    pto.tload ins(%v : !pto.tensor_view<8x64xf32>) outs(%a : !pto.tile_buf<vec, 8x64xf32>)
    pto.tadd ins(%a, %a : !pto.tile_buf<vec, 8x64xf32>, !pto.tile_buf<vec, 8x64xf32>) outs(%a : !pto.tile_buf<vec, 8x64xf32>)
    pto.tstore ins(%a : !pto.tile_buf<vec, 8x64xf32>) outs(%w : !pto.tensor_view<8x64xf32>)
    return
  }
}
"""


def ptoc(*arguments: object) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


def output(*arguments: object) -> str:
    """Standard output of a command that succeeds."""
    result = ptoc(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def add(tmp_path: Path) -> Path:
    """A kernel as text."""
    path = tmp_path / "add.pto"
    path.write_text(ADD)
    return path


def test_compile_writes_every_kind(tmp_path: Path) -> None:
    said = output("compile", "vector_add", "--case", "small", "-o", tmp_path / "out")
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert names >= {"vector_add.pto", "vector_add.sim.mlir", "vector_add.cpp", "vector_add_caller.cpp", "build.sh", "run.py"}
    wrote = {Path(line.removeprefix("wrote ")) for line in said.splitlines() if line.startswith("wrote ")}
    assert all(path.exists() for path in wrote)
    assert {tmp_path / "out" / name for name in names if "/" not in name} <= wrote
    assert os.access(tmp_path / "out" / "build.sh", os.X_OK)


def test_compile_writes_the_kinds_that_are_asked_for(tmp_path: Path) -> None:
    output("compile", "vector_add", "--case", "small", "--emit", "sim,pto", "-o", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"vector_add.pto", "vector_add.sim.mlir"}


@pytest.mark.parametrize(("kind", "mark"), [("pto", "pto.tadd"), ("sim", "sim.command"), ("cpp", "TADD(")])
def test_one_kind_goes_to_standard_output(kind: str, mark: str, add: Path) -> None:
    text = output("compile", add, "--emit", kind, "-o", "-")
    assert mark in text
    assert text.endswith("}\n")


def test_what_was_written_reads_back_as_the_same_module(add: Path, tmp_path: Path) -> None:
    output("compile", add, "--emit", "pto", "-o", tmp_path / "out")
    written = tmp_path / "out" / "add.pto"
    assert output("opt", written).strip() == written.read_text().strip()
    assert json.loads(output("check", written, "--sync", "keep", "--json"))["sync"]["missing"] == 0


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        command = [str(PTOC), "compile", "softmax", "--case", "small", "-o", str(tmp_path / seed)]
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True)
    first, second = ({p.relative_to(tmp_path / seed): p.read_bytes() for p in (tmp_path / seed).rglob("*") if p.is_file()} for seed in ("1", "2"))
    assert len(first) >= 6
    assert first == second


def test_files_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "kernel.pto"
    writing.write_text(target, "old")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device", "kernel.pto")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="No space left"):
        writing.write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_memory_map_says_where_tiles_lie(add: Path) -> None:
    said = ptoc("compile", add, "--memory-map", "--emit", "pto", "-o", "-").stderr
    assert "add: ub: 2048 of 196608 bytes" in said


SERIAL = """
import ptoc
from ptoc import f32

@ptoc.kernel
def serial(x: ptoc.Tensor[16, 4096, f32], y: ptoc.Out[16, 4096, f32]):
    t = ptoc.tile([1, 4096], f32)
    for i in ptoc.range(16):
        ptoc.load(t, x[i : i + 1, :])
        ptoc.relu(t, t)
        ptoc.store(y[i : i + 1, :], t)

@serial.reference
def reference(x):
    return x.clip(0)
"""


def test_auto_stages_is_an_option_of_compile_run_and_check(tmp_path: Path) -> None:
    kernel = tmp_path / "serial.py"
    kernel.write_text(SERIAL)
    slow, fast = (json.loads(output("run", kernel, "--json", "--check", *more))["cycles"] for more in ((), ("--auto-stages",)))
    assert fast < 0.7 * slow
    for more, cycles in ((("--auto-stages",), fast), ((), slow), (("--auto-stages",), fast)):  # time alone, kept on disk by its options
        assert json.loads(output("run", kernel, "--json", "--no-values", *more))["cycles"] == cycles
    assert "count=2" in output("compile", kernel, "--auto-stages", "--emit", "pto", "-o", "-")
    assert "count=2" not in output("compile", kernel, "--emit", "pto", "-o", "-")
    assert output("check", kernel, "--auto-stages") != output("check", kernel)


def test_opt_takes_options_of_passes() -> None:
    said = CliRunner().invoke(main, ["opt", "-", "--passes", "canonicalize,multi-buffer{auto-stages=true},plan-memory"], input=ADD)
    assert said.exit_code == 0


def test_run_prints_a_report() -> None:
    report = output("run", "vector_add", "--case", "small")
    for word in ("vector_add on ascend910b1", "latency", "engines", "values    right"):
        assert word in report


def test_run_json_has_every_key() -> None:
    facts = json.loads(output("run", "vector_add", "-D", "N=5000", "--cores", "2", "--json"))
    assert facts["kernel"] == "vector_add"
    assert facts["chip"] == "ascend910b1"
    assert facts["cores"] == 2
    assert facts["arguments"]["N"] == 5000
    assert facts["latency_us"] > facts["kernel_us"] > 0
    assert facts["cycles"] > 0
    assert facts["tflops"] > 0
    assert facts["max_abs_error"] <= facts["tolerance"]
    assert facts["passed"] is True
    assert facts["validated"] is True
    assert set(facts["utilization"]) >= {"MTE2", "V", "MTE3"}
    assert facts["commands"] > 0
    assert set(facts["sync"]) >= {"flags", "barriers", "missing", "redundant"}
    assert facts["sync"]["missing"] is None
    assert facts["sync"]["redundant"] is None


def test_run_check_proves_synchronisation_and_no_values_leaves_results_out() -> None:
    checked = json.loads(output("run", "vector_add", "--case", "small", "--check", "--json"))
    assert checked["sync"]["missing"] == 0
    timed = json.loads(output("run", "vector_add", "--case", "small", "--no-values", "--json"))
    assert timed["passed"] is None
    assert timed["max_abs_error"] is None
    assert timed["latency_us"] == checked["latency_us"]


def test_run_writes_a_trace_and_outputs(add: Path, tmp_path: Path) -> None:
    array = np.arange(512, dtype=np.float32)
    np.save(tmp_path / "x.npy", array)
    output("run", add, "-D", f"x={tmp_path / 'x.npy'}", "--trace", tmp_path / "trace.json", "--save", tmp_path / "saved")
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert np.array_equal(np.load(tmp_path / "saved" / "y.npy").ravel(), array + array)


def test_times_of_an_unvalidated_chip_are_withheld() -> None:
    facts = json.loads(output("run", "vector_add", "--case", "small", "--chip", "ascend950pr", "--no-values", "--json"))
    assert facts["latency_us"] is None
    assert facts["cycles"] is None
    assert facts["validated"] is False
    shown = json.loads(output("run", "vector_add", "--case", "small", "--chip", "ascend950pr", "--no-values", "--allow-unvalidated", "--json"))
    assert shown["latency_us"] > 0


def test_check_json_counts() -> None:
    facts = json.loads(output("check", "vector_add", "--case", "one_core", "--json"))["sync"]
    assert facts["missing"] == 0
    assert facts["redundant"] == 0
    assert facts["deadlock"] is None or facts["deadlock"] == ""
    assert facts["flags"] > 0
    assert facts["barriers"] >= 1


def test_check_fails_where_an_order_is_missing(add: Path) -> None:
    result = ptoc("check", add, "--sync", "keep")
    assert result.exit_code == 1
    assert "RAW on ub bytes 0 to 2047: 'pto.tload'" in result.stdout
    assert "add.pto:9" in result.stdout
    assert ptoc("run", add, "--sync", "keep", "--check").exit_code == 1


def test_check_strict_fails_on_redundancy(add: Path) -> None:
    add.write_text(ADD.replace("    pto.tstore", "    pto.barrier <PIPE_MTE2>\n    pto.tstore"))
    assert ptoc("check", add).exit_code == 0
    result = ptoc("check", add, "--strict")
    assert result.exit_code == 1
    assert "1 redundant" in result.stdout


def test_opt_runs_named_passes_and_reads_standard_input() -> None:
    planned = CliRunner().invoke(main, ["opt", "-", "--passes", "plan-memory"], input=ADD)
    assert planned.exit_code == 0
    assert "alloc_tile addr = " in planned.stdout
    every = CliRunner().invoke(main, ["opt", "-", "--passes", "plan-memory,insert-sync", "--print-after-all"], input=ADD).stdout
    assert every.index("// after plan-memory") < every.index("// after insert-sync")


def test_lists() -> None:
    kernels = json.loads(output("kernels", "--json"))["kernels"]
    assert {k["name"] for k in kernels} >= {"vector_add", "softmax", "gemm", "flash_attention"}
    assert all(k["arguments"] and k["cases"] for k in kernels)
    assert [k["name"] for k in json.loads(output("kernels", "gemm", "--json"))["kernels"]] == ["gemm"]
    assert "case tails" in output("kernels", "gemm")
    chips = {c["name"]: c for c in json.loads(output("chips", "--json"))["chips"]}
    assert chips["ascend910b1"]["validated"] is True
    assert chips["ascend950pr"]["validated"] is False
    assert "ascend910b2" in output("chips")
    ops = json.loads(output("ops", "--json"))["ops"]
    assert len(ops) >= 100
    assert all(op["summary"] for op in ops)
    assert "pto.tmatmul.acc" in output("ops")
    passes = [p["name"] for p in json.loads(output("passes", "--json"))["passes"]]
    assert passes.index("lower-pipes") < passes.index("multi-buffer") < passes.index("plan-memory") < passes.index("insert-sync")
    assert "insert-sync" in output("passes")


WRONG = [
    (("run", "nonsense"), "no kernel is called 'nonsense'; shipped kernels: "),
    (("run", "nonsense.py"), "no file 'nonsense.py'"),
    (("compile", "nonsense.pto", "-o", "-"), "no file 'nonsense.pto'"),
    (("opt", "nonsense.pto"), "nonsense.pto: No such file or directory"),
    (("run", "vector_add", "--chip", "nonsense"), "nonsense"),
    (("run", "vector_add", "-D", "N"), "-D N: NAME=VALUE is expected"),
    (("run", "vector_add", "-D", "N=many"), "-D N=many: an integer is expected"),
    (("run", "vector_add", "-D", "N=0"), "size 'N' must be at least 1; got 0"),
    (("run", "vector_add", "--cores", "49"), "49 blocks are more than the 48 aiv cores of ascend910b1; give at most 48 as --cores"),
    (("run", "vector_add", "-D", "Q=1"), "kernel vector_add has no size or parameter 'Q'; known: N, TILE"),
    (("run", "vector_add", "--case", "odd"), "kernel vector_add has no case 'odd'; cases: default"),
    (("run", "vector_add", "--case", "small", "--cores", "0"), "--cores must be at least 1; got 0"),
    (("compile", "vector_add", "-o", "-"), "-o -: one kind can go to standard output"),
    (("compile", "vector_add", "-o", "-", "--emit", "asm"), "--emit: kinds are pto, sim, cpp; got 'asm'"),
    (("opt", "{add}", "--passes", "nonsense"), "no pass is called 'nonsense'; passes: "),
    (("opt", "{add}", "--passes", "multi-buffer{{stages=2}}"), "pass 'multi-buffer' has no option 'stages'; options: auto-stages"),
    (("opt", "{binary}"), "not a text in UTF-8"),
    (("run", "{add}", "--case", "x"), "a file has no cases"),
    (("run", "{add}", "-D", "x=8by8"), "-D x=8by8: SHAPE:DTYPE such as 128x64:f16, or a .npy file, is expected"),
    (("run", "{add}", "-D", "x=none.npy"), "-D x=none.npy: no such file"),
    (("run", "{add}", "--chip", "ascend950pr"), "is for arch a3, chip ascend950pr is a5; choose another with --chip"),
    (("run", "{broken}"), "broken.py:2: not Python: "),
    (("run", "{failing}"), "failing.py:2: ZeroDivisionError: division by zero"),
    (("run", "{empty}"), "empty.py has 0 kernels (none); name one: empty.py:FUNCTION"),
    (("run", "{empty}:main"), "empty.py has no kernel 'main'; it has: none"),
    (("compile", "{add}", "-o", "{binary}/out"), "Not a directory"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_an_error_is_one_paragraph_and_status_1(arguments: tuple[str, ...], message: str, add: Path, tmp_path: Path) -> None:
    files = {"add": add, "binary": tmp_path / "binary.pto", "broken": tmp_path / "broken.py", "failing": tmp_path / "failing.py", "empty": tmp_path / "empty.py"}
    files["binary"].write_bytes(b"\xff\xfe\x00")
    files["broken"].write_text("import ptoc\ndef (:\n")
    files["failing"].write_text("import ptoc\n1 / 0\n")
    files["empty"].write_text("import ptoc\n")
    result = ptoc(*(a.format(**files) for a in arguments))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert "\n\n" not in result.stderr.strip()


def test_a_wrong_option_is_status_2() -> None:
    assert ptoc("run", "vector_add", "--nonsense").exit_code == 2
    assert ptoc("run", "vector_add", "--sync", "maybe").exit_code == 2


def test_the_installed_program_answers(tmp_path: Path) -> None:
    run = subprocess.run([str(PTOC), "run", "nonsense"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("error: no kernel is called 'nonsense'")
    assert "version" in subprocess.run([str(PTOC), "--version"], capture_output=True, text=True, check=True).stdout
