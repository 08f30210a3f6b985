"""Time alone from the command line: the same with and without what is kept on disk, and without MLIR where it is."""

import os
import subprocess
import sys

import pytest

KERNEL = """
import ptoc
from ptoc import f32
import parts


@ptoc.kernel
def double(x: ptoc.Tensor["N", f32], y: ptoc.Out["N", f32], N, *, TILE: int = 1024):
    for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(N, TILE), ptoc.num_blocks(), stages=2):
        n = ptoc.minimum(N - i * TILE, TILE)
        a = ptoc.tile([1, TILE], f32, valid=(1, n))
        ptoc.load(a, x[i * TILE : i * TILE + n])
        for _ in range(parts.TIMES):
            ptoc.muls(a, a, 2.0)
        ptoc.store(y[i * TILE : i * TILE + n], a)
"""

MAIN = """
import sys
from ptoc.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    loaded = [name for name in ("mlir", "torch_mlir", "pydantic", "yaml", "numba") if name in sys.modules]
    print("LOADED", *loaded)
    sys.exit(end.code)
"""


@pytest.fixture
def kernel(tmp_path):
    (tmp_path / "double.py").write_text(KERNEL)
    (tmp_path / "parts.py").write_text("TIMES = 1\n")
    return tmp_path


def run(folder, *words, cache="kept", expected=0):
    """(output, modules that were loaded) of `ptoc run WORDS --no-values` in a process of its own."""
    environment = {**os.environ, "PTOC_CACHE_DIR": str(folder / cache), "PTOC_CACHE": "" if cache else "off"}
    line = [sys.executable, "-W", "error", "-c", MAIN, "run", *words, "--no-values"]
    process = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert process.returncode == expected, process.stderr
    output, _, loaded = process.stdout.partition("LOADED")
    return output + process.stderr, loaded.split()


def test_a_run_that_was_seen_before_imports_no_mlir(tmp_path):
    words = ("flash_attention", "-D", "S0=128", "-D", "S1=512", "--cores", "1")
    off, _ = run(tmp_path, *words, cache="")
    first, loaded = run(tmp_path, *words)
    assert {"pydantic", "yaml"} <= set(loaded)
    second, loaded = run(tmp_path, *words)
    assert loaded == []
    assert first == second == off
    assert "cycles" in first


def test_the_kernel_is_kept_for_other_sizes_and_cores(kernel):
    run(kernel, "double.py", "-D", "N=5000")
    kept = len(list((kernel / "kept").iterdir()))
    for words in (("-D", "N=9000"), ("-D", "N=5000", "--cores", "3")):
        assert run(kernel, "double.py", *words)[0] == run(kernel, "double.py", *words, cache="")[0] == run(kernel, "double.py", *words)[0]
    assert len(list((kernel / "kept").iterdir())) == kept + 2  # two requests, no kernel


def test_an_edited_kernel_or_module_of_it_is_compiled_again(kernel):
    words = ("double.py", "-D", "N=5000")
    first, _ = run(kernel, *words)
    assert run(kernel, *words)[1] == []
    (kernel / "parts.py").write_text("TIMES = 5\n")
    second, loaded = run(kernel, *words)
    assert loaded
    assert second != first
    (kernel / "double.py").write_text(KERNEL.replace("TILE: int = 1024", "TILE: int = 512"))
    assert run(kernel, *words)[0] not in (first, second)


def test_damaged_entries_cost_time_alone(kernel):
    words = ("double.py", "-D", "N=5000")
    first, _ = run(kernel, *words)
    for number, path in enumerate(path for path in (kernel / "kept").iterdir() if path.is_file()):
        path.write_bytes(b"" if number % 2 else path.read_bytes()[:-7])
    assert run(kernel, *words)[0] == first
    assert run(kernel, *words)[1] == []


def test_runs_at_once_do_not_disturb_each_other(kernel):
    environment = {**os.environ, "PTOC_CACHE": "", "PTOC_CACHE_DIR": str(kernel / "kept")}
    line = [sys.executable, "-m", "ptoc.cli", "run", "double.py", "-D", "N=5000", "--no-values"]
    processes = [subprocess.Popen(line, cwd=kernel, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate()[0] for process in processes}
    assert outputs == {run(kernel, "double.py", "-D", "N=5000", cache="")[0]}
    assert not [path for path in (kernel / "kept").iterdir() if path.name.startswith(".part")]


def test_a_trace_of_a_kept_run_has_all_commands(kernel):
    words = ("double.py", "-D", "N=5000")
    run(kernel, *words, "--trace", "a.json")
    run(kernel, *words, "--trace", "b.json")
    run(kernel, *words, "--trace", "c.json", cache="")
    assert (kernel / "a.json").read_text() == (kernel / "b.json").read_text() == (kernel / "c.json").read_text()
    assert '"pto.tmuls"' in (kernel / "a.json").read_text()


DEADLOCK = """module attributes {sim.arch = "a3"} {
func.func @k() attributes {sim.core = "aiv", sim.kernel = "k"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  sim.wait "MTE2" to "V" id %c0
  sim.set "V" to "MTE2" id %c1
  sim.wait "V" to "MTE2" id %c1
  sim.set "MTE2" to "V" id %c0
  return
}
}"""


def test_a_deadlock_is_told_every_time(tmp_path):
    (tmp_path / "k.sim.mlir").write_text(DEADLOCK)
    texts = {run(tmp_path, "k.sim.mlir", "--cores", "2", cache=cache, expected=1)[0] for cache in ("kept", "kept", "")}
    assert len(texts) == 1
    assert "4 queues on 2 cores wait for ever; the cycle is aiv0.0 MTE2 -> aiv0.0 V -> aiv0.0 MTE2" in texts.pop()


def test_a_chip_file_that_changes_is_read_again(kernel):
    (kernel / "mine.yaml").write_text("base: ascend910b1\nname: mine\ndescription: mine\nvalidated: false\n")
    words = ("double.py", "-D", "N=5000", "--chip", "mine.yaml", "--allow-unvalidated")
    first, _ = run(kernel, *words)
    assert run(kernel, *words) == (first, [])
    source = '{value: 400, unit: cycles, source: "a test", kind: assumed}'
    (kernel / "mine.yaml").write_text(f"base: ascend910b1\nname: mine\ndescription: mine\nvalidated: false\nsync: {{barrier: {source}, wait_flag: {source}}}\n")
    assert run(kernel, *words)[0] != first
