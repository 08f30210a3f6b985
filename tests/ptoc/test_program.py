"""Programs: kernels in order, results handed on by name, strict files, expressions, time alone, JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ptoc
from ptoc import f16, f32
from ptoc.cli import main
from ptoc.dialect.errors import ArgumentError
from ptoc.expressions import evaluate
from ptoc.kernels.gemm import gemm
from ptoc.model import load_model, model_names
from ptoc.program import load_program

TWO = """
name: two_products
sizes: {M: 64, K: 32, W: 2 * K}
steps:
  - kernel: gemm
    sizes: {M: M, N: W, K: K}
    tensors: {a: x, b: w1, c: h}
  - kernel: softmax
    name: last
    sizes: {M: M, N: W}
    tensors: {x: h, y: out}
    times: 3
"""


def write(folder: Path, text: str, name: str = "program.yaml") -> str:
    """A file with a text, and its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_results_go_from_step_to_step(tmp_path: Path) -> None:
    result = ptoc.run_program(write(tmp_path, TWO))
    assert result.passed
    assert set(result.tensors) == {"x", "w1", "h", "out"}
    product = result.tensors["x"].astype(np.float64) @ result.tensors["w1"].astype(np.float64)
    e = np.exp(product - product.max(axis=1, keepdims=True))
    assert np.allclose(result.tensors["out"], e / e.sum(axis=1, keepdims=True), rtol=1e-3, atol=1e-3)
    assert result.sizes == {"M": 64, "K": 32, "W": 64}


def test_times_count_time_flops_and_bytes(tmp_path: Path) -> None:
    result = ptoc.run_program(write(tmp_path, TWO), values=False)
    first, last = result.steps
    assert result.fs == first.result.timeline.makespan + 3 * last.result.timeline.makespan
    assert result.kernel_us == pytest.approx(first.result.kernel_us + 3 * last.result.kernel_us)
    assert result.latency_us == pytest.approx(first.result.latency_us + 3 * last.result.latency_us)
    assert result.parts["gemm"].cube_flops == 2 * 64 * 64 * 32
    assert result.parts["last"].bytes == {("gm_to_ub", "h"): 3 * 64 * 64 * 4, ("ub_to_gm", "out"): 3 * 64 * 64 * 4}
    assert result.share("gemm") + result.share("last") == pytest.approx(1)
    assert result.passed is None
    assert not result.tensors


def test_values_and_time_alone_agree(tmp_path: Path) -> None:
    path = write(tmp_path, TWO)
    full, timed = (ptoc.run_program(path, values=values, M=48) for values in (True, False))
    assert full.fs == timed.fs
    assert full.parts == timed.parts


def test_a_program_in_python() -> None:
    steps = [
        ptoc.Step(kernel=gemm, sizes={"M": "M", "N": 32, "K": 16}, tensors={"c": "h"}),
        ptoc.Step(kernel="softmax", sizes={"M": "M", "N": 32}, tensors={"x": "h"}, when="M > 8"),
        ptoc.Step(kernel="softmax", name="left_out", when='chip == "sg2262"'),
    ]
    program = ptoc.Program(name="listed", sizes={"M": 16}, steps=steps)
    result = ptoc.run_program(program, check=True)
    assert [one.step.name for one in result.steps] == ["gemm", "softmax"]
    assert result.passed
    assert "softmax.y" in result.tensors
    assert [one.step.name for one in ptoc.run_program(program, M=8).steps] == ["gemm"]
    with pytest.raises(ArgumentError, match=r"program listed ran no step 'left_out'; steps: gemm, softmax"):
        result.step("left_out")


def test_inputs_are_taken_and_seeded_by_name(tmp_path: Path) -> None:
    path, x = write(tmp_path, TWO), np.ones((64, 32), np.float16)
    one, two = (ptoc.run_program(path, inputs={"x": x}) for _ in range(2))
    assert np.array_equal(one.tensors["x"], x)
    assert np.array_equal(one.tensors["w1"], two.tensors["w1"])
    assert not np.array_equal(one.tensors["w1"].ravel()[:2048], ptoc.run_program(path).tensors["x"].ravel()[:2048])
    with pytest.raises(ArgumentError, match=r"program two_products has no tensor 'z'; tensors: .*h, out, w1, x"):
        ptoc.run_program(path, inputs={"z": x})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: two_products", "", r"program.yaml: key 'name' is missing"),
        ("    times: 3", "    time: 3", r"program.yaml: unknown key 'steps.1.time'"),
        ("    times: 3", "    times: [3]", r"program.yaml: key 'steps.1.times': expected a valid integer, got a list"),
        ("    times: 3", "    times: M - 64", r"program.yaml: steps.1.times: a whole number of at least 1 is expected; got 0"),
        ("    name: last", "    name: gemm", r"program.yaml: steps.1.name: two steps are called 'gemm'"),
        ("kernel: softmax", "kernel: sofmax", r"program.yaml: steps.1.kernel: no kernel is called 'sofmax'; shipped kernels: "),
        ("{M: M, N: W, K: K}", "{M: M, N: W, L: K}", r"program.yaml: steps.0.sizes: kernel gemm has no size or parameter 'L'; known: M, "),
        ("{x: h, y: out}", "{z: h}", r"program.yaml: steps.1.tensors: kernel softmax has no tensor 'z'; tensors: x, y"),
        ("{x: h, y: out}", "{x: x}", r"two_products, step last: tensor 'x' is \[64, 32\] f16 in step gemm; 'x' of kernel softmax is \[64, 64\] f32"),
        ("W: 2 * K", "W: 2 * L", r"program.yaml: size 'W': '2 \* L': no number is called 'L'; known: "),
        ("sizes: {M: 64", "model: nothing\nsizes: {M: 64", r"no model is called 'nothing'; there are deepseek_v32"),
        ("name: two_products", "name: two_products\nname: two_products", r"program.yaml:\d+: not YAML: key 'name' is given twice"),
        ("steps:", "steps: {", r"program.yaml:\d+: not YAML: "),
        ("    times: 3", "    parts: {up: down}", r"two_products, step last: kernel softmax has no part 'up'; parts: none"),
        ("    times: 3", "    when: M < 0\n  - kernel: gemm\n    when: 1 +", r"program.yaml: steps.2.when: '1 \+' is no expression"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TWO
    with pytest.raises(ArgumentError, match=said):
        ptoc.run_program(write(tmp_path, TWO.replace(old, new, 1)), values=False)


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"program.yaml: a mapping of the keys name, description, .* is expected; got list"):
        load_program(write(tmp_path, "- 1"))
    with pytest.raises(ArgumentError, match=r"no_such.yaml: cannot be read as text"):
        load_program(str(tmp_path / "no_such.yaml"))
    with pytest.raises(ArgumentError, match=r"no program is called 'nothing'"):
        load_program("nothing")
    with pytest.raises(ArgumentError, match=r"no step takes part"):
        ptoc.run_program(write(tmp_path, TWO.replace("kernel: gemm", "kernel: gemm\n    when: 1 < 0").replace("times: 3", "when: M < 0")))


def test_a_definition_that_the_program_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"program two_products has no size 'Q'; known: K, M, W"):
        ptoc.run_program(write(tmp_path, TWO), Q=3)


def test_a_step_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"program two_products, step gemm: gemm: 99 blocks are more than the 24 aic cores"):
        ptoc.run_program(write(tmp_path, TWO.replace("kernel: gemm", "kernel: gemm\n    cores: 99")))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7), ("-n // 2", -4), ("n % 4", 3), ("ceil_div(n, 2)", 4), ("min(n, 3) + max(1, n)", 10), ("n / 2", 3.5),
        ('kind == "low"', True), ("n if kind != 'low' else 1", 1), ("not (n > 6 and n <= 6 or n < 0)", True), ("n >= 8", False),
    ],
)  # fmt: skip
def test_expressions(text: str, value: object) -> None:
    assert evaluate(text, {"n": 7, "kind": "low"}, "here") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n + m", "no number is called 'm'; known: n"),
        ("n // 0", "integer division or modulo by zero"),
        ("n.real", "'n.real' is not understood"),
        ("__import__('os')", "is not understood"),
        ("[n]", "'\\[n\\]' is not understood"),
        ("n +", "is no expression"),
        ("n < n < n", "is not understood"),
        ("'a' - 1", "unsupported operand"),
    ],
)
def test_what_is_no_expression(text: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=f"^here: .*{said}"):
        evaluate(text, {"n": 7}, "here")


MODEL = Path(ptoc.__file__).parent.parent / "kernels" / "models" / "deepseek_v32.yaml"


@pytest.mark.parametrize("key", ["topk", "index_heads", "hidden", "score_width"])
def test_a_model_without_a_key_is_an_error_that_names_it(tmp_path: Path, key: str) -> None:
    text = "\n".join(line for line in MODEL.read_text(encoding="utf-8").splitlines() if not line.startswith(f"{key}:"))
    with pytest.raises(ArgumentError, match=rf"model.yaml: key '{key}' is missing"):
        load_model(write(tmp_path, text, "model.yaml"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("topk: 2048", "topk: 0", "key 'topk': expected greater than or equal to 1, got 0"),
        ("topk: 2048", "topk: 2048\ntop: 1", "unknown key 'top'"),
        ("index_rank: null", "index_rank: 3", "'index_rank' is a number where 'projection' is low_rank, and null where it is direct"),
        ("projection: direct", "projection: none", "key 'projection': expected 'direct' or 'low_rank', got 'none'"),
    ],
)
def test_a_model_is_read_strictly(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        load_model(write(tmp_path, MODEL.read_text(encoding="utf-8").replace(old, new), "model.yaml"))


@pytest.mark.parametrize("name", model_names())
def test_shipped_models_load(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert {"name", "description", "source"}.isdisjoint(model.numbers)
    assert model.numbers["topk"] == model.topk


def test_a_models_numbers_are_names(tmp_path: Path) -> None:
    text = TWO.replace("sizes: {M: 64, K: 32, W: 2 * K}", "model: deepseek_v32\nsizes: {M: 16, K: index_dim, W: index_heads * 8}")
    result = ptoc.run_program(write(tmp_path, text), values=False)
    assert result.sizes == {"model": "deepseek_v32", "M": 16, "K": 128, "W": 512}
    own = MODEL.read_text(encoding="utf-8").replace("name: deepseek_v32", "name: mine").replace("index_dim: 128", "index_dim: 64")
    assert ptoc.run_program(write(tmp_path, text), values=False, model=write(tmp_path, own, "mine.yaml")).sizes["K"] == 64
    beside = write(tmp_path, text.replace("model: deepseek_v32", "model: mine.yaml"))
    assert ptoc.run_program(beside, values=False).sizes["model"] == "mine"


def ran(*arguments: object) -> object:
    """`ptoc run` with these arguments."""
    return CliRunner().invoke(main, ["run", *map(str, arguments)])


def test_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, TWO)
    told = ran(path, "-D", "M=32", "--save", tmp_path / "out")
    assert told.exit_code == 0, told.output
    assert "two_products on ascend910b1: M=32, K=32, W=64" in told.stdout
    assert "values    right" in told.stdout
    assert np.load(tmp_path / "out" / "h.npy").shape == (32, 64)
    data = json.loads(ran(path, "--no-values", "--json").stdout)
    assert [step["name"] for step in data["steps"]] == ["gemm", "last"]
    assert data["flops"] == sum(step["flops"] for step in data["steps"]) == sum(part["flops"] for part in data["parts"].values())
    assert data["global_bytes"] == sum(part["global_bytes"] for part in data["parts"].values())
    assert data["kernel_us"] == pytest.approx(sum(step["kernel_us"] for step in data["steps"]), abs=1e-5)
    assert sum(step["share"] for step in data["steps"]) == pytest.approx(1, abs=1e-5)
    assert data["steps"][0]["bytes"][0] == {"way": "gm_to_l1", "tensor": "x", "bytes": 64 * 32 * 2}
    assert data["steps"][0]["bound"]
    refused = ran(path, "--cores", "2")
    assert refused.exit_code == 1
    assert "--cores: not for a program; its file says what each step runs with" in refused.stderr


def test_an_unvalidated_chip_gives_shares_and_no_times(tmp_path: Path) -> None:
    path = write(tmp_path, TWO.replace("kernel: gemm", "kernel: vector_add").replace("{M: M, N: W, K: K}", "{N: M * W}").replace("{a: x, b: w1, c: h}", "{}").replace("x: h, ", ""))
    data = json.loads(ran(path, "--chip", "sg2262", "--no-values", "--json").stdout)
    assert data["kernel_us"] is None
    assert data["steps"][0]["kernel_us"] is None
    assert "busy_us" not in data["parts"]["last"]
    assert 0 < data["steps"][0]["share"] < 1
    told = ran(path, "--chip", "sg2262", "--no-values")
    assert "withheld" in told.stdout
    assert json.loads(ran(path, "--chip", "sg2262", "--no-values", "--json", "--allow-unvalidated").stdout)["kernel_us"] > 0


def test_wrong_values_fail(tmp_path: Path) -> None:
    source = """
import ptoc
from ptoc import f32


@ptoc.kernel
def wrong(x: ptoc.Tensor[64, f32], y: ptoc.Out[64, f32]):
    t = ptoc.tile([1, 64], f32)
    ptoc.load(t, x)
    ptoc.store(y, t)


wrong.reference(lambda x: x + 1)
"""
    kernel = write(tmp_path, source, "wrong.py")
    told = ran(write(tmp_path, f"name: one\nsteps:\n  - kernel: {kernel}\n"))
    assert told.exit_code == 1
    assert "WRONG" in told.stdout


def test_a_kernels_own_inputs_are_used() -> None:
    @ptoc.kernel
    def doubled(x: ptoc.Tensor[64, f32], y: ptoc.Out[64, f32]):
        t = ptoc.tile([1, 64], f32)
        ptoc.load(t, x)
        ptoc.adds(t, t, 1.0)
        ptoc.store(y, t)

    doubled.inputs(lambda rng, **_: {"x": np.full(64, 3, np.float32)})
    doubled.reference(lambda x: x + 1)
    result = ptoc.run_program(ptoc.Program(name="one", steps=[ptoc.Step(kernel=doubled)]))
    assert np.array_equal(result.tensors["doubled.y"], np.full(64, 4, np.float32))
    assert f16 is not f32
