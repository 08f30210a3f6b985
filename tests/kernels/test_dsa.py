"""DeepSeek sparse attention: the tests D1 to D11 of its proposal, each under its name, and what makes them red."""

import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ptoc
from ptoc.cli import main
from ptoc.dialect.errors import ArgumentError
from ptoc.kernels.dsa_attention import dsa_attention
from ptoc.kernels.dsa_scores import dsa_scores, dsa_scores_f8
from ptoc.kernels.dsa_topk import dsa_topk
from ptoc.loading import load_kernel, load_source
from ptoc.machine.chip import load_chip
from ptoc.program import load_program
from ptoc.program_run import ProgramResult
from ptoc.redundancy import without_sites
from ptoc.running import prepare, prove, time_program
from ptoc.simulator.account import accounts
from ptoc.simulator.program import Program
from ptoc.simulator.timeline import Timeline

PARTS = ("projection", "scoring", "relu_sum", "topk", "gather", "attention", "softmax")
KERNELS = Path(ptoc.__file__).parent.parent / "kernels"
SIZES = (131_072, 262_144, 524_288, 1_048_576)


def timed(chip: str = "ascend910b1", **sizes: object) -> ProgramResult:
    """The layer, time alone."""
    return ptoc.run_program("dsa", chip, values=False, **sizes)


@pytest.fixture(scope="module")
def scan() -> dict[int, ProgramResult]:
    """Two queries of DeepSeek V3.2 against contexts of 128K to 1M rows."""
    return {n: timed(model="deepseek_v32", N=n, S=2) for n in SIZES}


def all_parts(result: ProgramResult) -> bool:
    """Whether every part is there and does something; the scores are as many as there are rows."""
    parts, s, n = result.parts, result.sizes["S"], result.sizes["N"]
    there = all(name in parts and (parts[name].flops or parts[name].global_bytes) for name in PARTS)
    scores = sum(count for (way, tensor), count in parts["relu_sum"].bytes.items() if (way, tensor) == ("ub_to_gm", "scores")) if there else 0
    return there and parts["scoring"].cube_flops % (2 * s * n) == 0 < parts["scoring"].cube_flops and scores == 4 * s * n


@pytest.mark.parametrize(("chip", "phase"), [("ascend910b1", "decode"), ("ascend910b1", "prefill"), ("ascend910b2", "decode"), ("sg2262", "prefill")])
def test_d1_all_parts_are_there_and_scores_go_over_all_rows(chip: str, phase: str) -> None:
    small, twice = (timed(chip, N=n, phase=phase, S=4) for n in (256, 512))
    assert all_parts(small)
    assert all_parts(twice)
    for part in ("scoring", "relu_sum"):
        assert twice.parts[part].flops == pytest.approx(2 * small.parts[part].flops, rel=0.05)
    assert twice.parts["attention"] == small.parts["attention"]


def test_d2_the_indexer_dominates_more_and_more(scan: dict[int, ProgramResult]) -> None:
    flops = [r.parts["scoring"].cube_flops / r.parts["attention"].cube_flops for r in scan.values()]
    steps = [[r.share("index_query_direct", "scores", "topk"), r.share("attention")] for r in scan.values()]
    assert flops == sorted(flops)
    assert flops[-1] == pytest.approx(8 * flops[0])
    indexer, attention = zip(*steps)
    assert all(a < b for a, b in pairwise(indexer))
    assert all(a > b for a, b in pairwise(attention))


def test_d3_scores_are_counted_once() -> None:
    result = timed(model="deepseek_v4_flash", N=4096, S=4)
    model = {"HI": 64, "DI": 128, "H": 64, "D": 512, "K": 512}
    parts = result.parts
    assert parts["scoring"].cube_flops == 2 * 4 * 4096 * model["HI"] * model["DI"]
    assert parts["attention"].cube_flops == 2 * 4 * model["H"] * model["K"] * 2 * model["D"]
    assert {name for name, account in parts.items() if account.cube_flops} == {"projection", "scoring", "attention", "mlp"}
    read = {name: {tensor for (way, tensor) in account.bytes if way.startswith("gm_")} for name, account in parts.items()}
    assert read["scoring"] & read["attention"] == set()
    assert "k_index" in read["scoring"]


def test_d4_the_softmax_is_there() -> None:
    result = ptoc.run(dsa_attention, case="small", S=1, cores=1)
    softmax = accounts(result.program, result.timeline)["softmax"]
    assert softmax.vector_flops >= 3 * 16 * 64
    assert softmax.cube_flops == 0
    assert result.passed
    in_turn(result.program, result.timeline, [("attention", "qk_slots", "softmax"), ("softmax", "p_slots", "attention"), ("attention", "pv_slots", "attention")])


@pytest.mark.parametrize("chip", ["ascend910b1", "sg2262"])
def test_d5_gather_and_attention_move_different_bytes(chip: str) -> None:
    result = timed(chip, model="deepseek_v32", N=8192, S=3)
    gathered, attended = result.parts["gather"].bytes, result.parts["attention"].bytes
    assert gathered == {("sdma.hbm", "kv_cache"): 3 * 2048 * 576 * 2}
    readers = {name for name, account in result.parts.items() for _, tensor in account.bytes if tensor == "kv_cache"}
    assert readers == {"gather"}
    heads = 128 // 64
    assert attended["gm_to_l1", "chosen_rows"] == heads * 3 * 2048 * (576 + 512) * 2


@pytest.mark.parametrize("chip", ["ascend910b1", "ascend910b2", "sg2262"])
def test_d6_the_gathers_domain_follows_the_phase(chip: str) -> None:
    for phase, domain in (("decode", "hbm"), ("prefill", "on_chip")):
        assert {way for way, _ in timed(chip, phase=phase, S=2).parts["gather"].bytes} == {f"sdma.{domain}"}


@pytest.mark.parametrize("chip", ["ascend910b1", "sg2262"])
def test_d7_top_k_costs_with_n_and_not_with_k(chip: str) -> None:
    def fs(n: int, k: int) -> int:
        return ptoc.run(dsa_topk, chip, S=1, N=n, K=k, cores=1, values=False).timeline.makespan

    one, two, four = (fs(n, 512) for n in (65_536, 131_072, 262_144))
    assert four - two == pytest.approx(2 * (two - one), rel=0.01)
    assert fs(131_072, 2048) == pytest.approx(two, rel=0.005)


def in_turn(program: Program, timeline: Timeline, gates: list[tuple[str, str, str]]) -> None:
    """Asserts of each (part, tensor, next part): what the next part reads of the tensor begins when the part is done with it, to the femtosecond."""
    for part, tensor, following in gates:
        done, begins = [], []
        for number, stream in enumerate(program.streams):
            for i, command in enumerate(stream.commands):
                site = command.site
                if site.kind == "work" and (site.part, site.tensors[1]) == (part, tensor):
                    done.append(int(timeline.complete[number][i]))
                if site.kind == "work" and (site.part, site.tensors[0]) == (following, tensor):
                    begins.append(int(timeline.start[number][i]))
        assert done, (part, tensor)
        assert begins, (following, tensor)
        assert min(begins) >= (max(done) if part != following else min(done)), (part, tensor, following)


def test_d8_the_chain_is_serial_for_one_block() -> None:
    result = ptoc.run_program("dsa", N=128, S=1)
    end, spans = 0, []
    for step in result.steps:
        spans.append((step.step.name, end, end + step.result.timeline.makespan))
        end = spans[-1][2]
    assert [a[2] for a in spans[:-1]] == [b[1] for b in spans[1:]]
    assert [name for name, _, _ in spans[:5]] == ["index_down", "index_query", "scores", "topk", "attention"]
    scores, attention = result.step("scores").result, result.step("attention").result
    in_turn(scores.program, scores.timeline, [("scoring", "products_slots", "relu_sum")])
    in_turn(attention.program, attention.timeline, [("gather", "chosen", "attention"), ("attention", "qk_slots", "softmax"), ("softmax", "p_slots", "attention")])


def test_d8_no_dependence_means_no_waiting() -> None:
    result = ptoc.run(dsa_attention, case="small", cores=1)
    (stream,) = (n for n, s in enumerate(result.program.streams) if s.core.kind == "aic")
    sites = [command.site for command in result.program.streams[stream].commands]
    load, gather = (next(i for i, site in enumerate(sites) if site.op == op) for op in ("pto.tload", "pto.tsdma_gather"))
    assert sites[load].tensors[0] == "q"
    assert result.timeline.start[stream][load] < result.timeline.complete[stream][gather]


def test_d9_an_unvalidated_chip_gives_relative_results_only() -> None:
    short, long = (timed("sg2262", N=n, S=2) for n in (256, 1024))
    with pytest.raises(ArgumentError, match="sg2262 was never compared with a device: only ratios"):
        _ = short.kernel_us
    told = json.loads(CliRunner().invoke(main, ["run", "dsa", "--no-values", "--chip", "sg2262", "--json"]).stdout)
    assert told["kernel_us"] is told["latency_us"] is told["steps"][0]["kernel_us"] is None
    assert "busy_us" not in json.dumps(told)
    assert long.fs > short.fs
    assert long.step("topk").result.relative_to(short.step("topk").result) > 1


@pytest.mark.parametrize("left_out", ["index_query", "scores", "topk", "attention"])
def test_d10_a_missing_step_turns_d1_red(left_out: str) -> None:
    whole = load_program("dsa")
    steps = [step for step in whole.steps if step.name not in (left_out, "index_down" if left_out == "index_query" else left_out)]
    result = ptoc.run_program(whole.model_copy(update={"steps": steps}), values=False)
    assert not all_parts(result)
    assert all_parts(ptoc.run_program(whole, values=False))


@pytest.mark.parametrize(
    ("kernel", "line", "instead"),
    [
        ("dsa_scores", "ptoc.matmul(acc[0:rows, 0:n], q0[0:rows, :], k0[:, 0:n])", "pass"),
        ("dsa_scores", "first = t % chunks * CHUNK", "first = 0"),
        ("dsa_scores", ', reluPreMode="normal_relu"', ""),
        ("dsa_scores", 'ptoc.store(scores[query, column : column + n], row[:, 0:n])', "pass"),
        ("dsa_attention", "ptoc.sdma_gather(self.chosen[query, :, :], self.kv, self.index[query, :], domain=self.domain)", "pass"),
    ],
)
def test_d10_a_kernel_without_a_part_turns_d1_or_the_values_red(kernel: str, line: str, instead: str, tmp_path: Path) -> None:
    text = (KERNELS / f"{kernel}.py").read_text(encoding="utf-8")
    assert text.count(line) >= 1
    (tmp_path / f"{kernel}.py").write_text(text.replace(line, instead), encoding="utf-8")
    mutant = load_kernel(f"{tmp_path / kernel}.py:{kernel}")
    program = load_program("dsa")
    steps = [step.model_copy(update={"kernel": mutant}) if step.kernel == kernel else step for step in program.steps]
    mutated = program.model_copy(update={"steps": steps})
    try:
        result = ptoc.run_program(mutated)
    except ptoc.PtocError:
        return  # bytes that nobody had written, or two cores that store to the same place
    assert not (all_parts(result) and result.passed)


def test_d10_without_the_gate_d8_is_red() -> None:
    whole = prepare(load_source("dsa_attention"), load_chip("ascend910b1"), {}, "one_query", None, {}, None)
    gates = [("gather", "chosen", "attention")]
    in_turn(whole.program, time_program(whole.program, whole.compiled.chip), gates)
    sites = frozenset(s.index for s in whole.program.sites if s.kind in ("set", "wait") and "SDMA" in (s.pipe, s.peer))
    assert sites
    mutant = without_sites(whole.program, sites)
    with pytest.raises(AssertionError, match="gather"):
        in_turn(mutant, time_program(mutant, whole.compiled.chip), gates)
    with pytest.raises(ptoc.PtocError):
        prove(type(whole)(whole.compiled, whole.arguments, whole.values, mutant))


@pytest.mark.parametrize(("kernel", "case"), [("gemm", "small"), ("flash_attention", "two_blocks"), ("vector_add", "one_core"), ("dsa_topk", "small")])
def test_d11_nothing_else_changes(kernel: str, case: str, tmp_path: Path) -> None:
    (tmp_path / "without.yaml").write_text("base: ascend910b1\nname: without\ndescription: no SDMA\nvalidated: true\nsdma: null\n", encoding="utf-8")
    one, two = (ptoc.run(kernel, chip, case=case, values=False) for chip in ("ascend910b1", str(tmp_path / "without.yaml")))
    assert one.timeline.makespan == two.timeline.makespan
    assert one.commands == two.commands


def test_a_chip_without_sdma_says_so(tmp_path: Path) -> None:
    (tmp_path / "without.yaml").write_text("base: ascend910b1\nname: without\ndescription: no SDMA\nvalidated: true\nsdma: null\n", encoding="utf-8")
    with pytest.raises(ptoc.ChipError, match="the chip has no sdma: key 'sdma' is null"):
        ptoc.run(dsa_attention, str(tmp_path / "without.yaml"))


@pytest.mark.parametrize("chip", ["ascend910b1", "ascend910b2", "sg2262"])
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_the_whole_layers_values_are_right(chip: str, phase: str) -> None:
    result = ptoc.run_program("dsa", chip, phase=phase, N=192, S=5, check=True)
    assert result.passed
    assert all_parts(result)
    t = {name: array.astype(np.float64) for name, array in result.tensors.items()}
    scores = np.einsum("sh,shn->sn", t["head_weights"], np.maximum(np.einsum("shd,nd->shn", t["q_index"].reshape(5, 16, 32), t["k_index"]), 0))
    wanted = [set(np.argsort(-row)[:64].tolist()) for row in scores]
    chosen = [set(row.astype(int).tolist()) for row in t["chosen_index"]]
    agreed = [len(a & b) / 64 for a, b in zip(wanted, chosen)]
    assert min(agreed) > 0.9, agreed  # scores near the threshold change places where queries are rounded


ADVERSARIAL: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "one value": lambda rng: np.full((3, 700), 2.5),
    "zeros of both signs": lambda rng: np.where(rng.random((3, 700)) < 0.5, 0.0, -0.0),
    "all -inf": lambda rng: np.full((3, 700), -np.inf),
    "few above -inf": lambda rng: np.where(rng.random((3, 700)) < 0.02, 1.0, -np.inf),
    "infinities": lambda rng: np.where(rng.random((3, 700)) < 0.3, np.inf, -np.inf),
    "denormals": lambda rng: rng.integers(-9, 9, (3, 700)) * 2.0**-149,
    "large and small": lambda rng: rng.standard_normal((3, 700)) * 10.0 ** rng.integers(-38, 38, (3, 700)),
    "neighbours": lambda rng: np.float32(1) + rng.integers(-3, 3, (3, 700)) * 2.0**-23,
    "negative": lambda rng: -rng.random((3, 700)),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_top_k_of_adversarial_scores(name: str) -> None:
    scores = ADVERSARIAL[name](np.random.default_rng(7)).astype(np.float32)
    result = ptoc.run(dsa_topk, case="small", inputs={"scores": scores})
    assert result.passed
    for row, chosen in zip(scores, result.outputs["index"]):
        assert len(set(chosen.tolist())) == 64
        assert sorted(row[chosen].tolist()) == sorted(np.sort(row)[-64:].tolist())


def test_attention_of_adversarial_rows() -> None:
    rng = np.random.default_rng(3)
    q, kv = rng.standard_normal((3, 16, 96)), rng.standard_normal((96, 96))
    q[0], kv[:, 0] = 0, 60
    q[1] *= 30
    q[2] *= 2.0**-20
    index = np.stack([rng.permutation(96)[:64] for _ in range(3)])
    assert ptoc.run(dsa_attention, case="small", inputs={"q": q, "kv": kv, "index": index}, check=True).passed


def test_scores_of_8_bit_floats_and_their_halves() -> None:
    half, eighth = (ptoc.run(k, "sg2262", case="small", values=values, **more) for k, values, more in ((dsa_scores, True, {"VECTORS": 1}), (dsa_scores_f8, True, {})))
    assert half.passed
    assert eighth.passed
    with pytest.raises(ptoc.VerifyError, match=r"element types must be one of .* got f8E4M3FN x f8E4M3FN"):
        ptoc.run(dsa_scores_f8, "ascend910b1", case="small")


@pytest.mark.parametrize(
    ("kernel", "sizes", "said"),
    [
        (dsa_topk, {"K": 800}, "dsa_topk: the K largest of N need K <= N; got K=800, N=700"),
        (dsa_attention, {"K": 160}, "dsa_attention: K rows are chosen of N; got K=160, N=96"),
        (dsa_attention, {"H": 24}, "dsa_attention: 24 has no divisor of at most 64 that is a multiple of 16"),
        ("dsa_projection", {"K": 20}, "dsa_projection: K must be a multiple of 16; got 20"),
    ],
)
def test_sizes_that_a_kernel_does_not_take(kernel: object, sizes: dict[str, int], said: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(said)):
        ptoc.run(kernel, case="small", **sizes)


def test_another_kernel_of_a_file() -> None:
    assert load_kernel("dsa_scores:dsa_scores_f8").name == "dsa_scores_f8"
    with pytest.raises(ArgumentError, match="the file of kernel dsa_scores has no kernel 'nothing'; it has: dsa_scores, dsa_scores_f8"):
        load_kernel("dsa_scores:nothing")


def test_time_alone_makes_no_tensors_where_no_number_is_read() -> None:
    result = ptoc.run(dsa_attention, case="mla_decode", N=1 << 22, values=False)
    assert result.timeline.makespan > 0
    assert math.prod((1 << 22, 576)) * 2 < result.program.memories["gm:kv"] + 1


def test_the_gather_is_part_of_an_explanation() -> None:
    told = CliRunner().invoke(main, ["run", "dsa_attention", "--no-values", "--explain", "-D", "S=1", "--cores", "1"])
    assert told.exit_code == 0, told.output
    assert "sdma=inf" in told.stdout or "SDMA" in told.stdout


@pytest.mark.parametrize("K", [80, 240, 272])
def test_all_chosen_rows_take_part_whatever_their_number(K: int) -> None:
    """80 rows are no two equal sub-tiles of at most 64 and whole fractals."""
    result = ptoc.run(dsa_attention, S=1, N=300, H=16, D=64, DV=64, K=K, SCORE_WIDTH=48)
    assert result.passed, result.max_abs_error


@pytest.mark.parametrize(("wrong", "message"), [({"TK0": 48}, "K must be a multiple of TK0; got 256 and 48"), ({"TK": 80, "TK0": 64}, "TK must be a multiple of TK0; got 80 and 64")])
def test_a_projection_leaves_nothing_of_its_contraction(wrong: dict, message: str) -> None:
    with pytest.raises(ptoc.ArgumentError, match=message):
        ptoc.run("dsa_projection", M=16, N=64, K=256, **wrong)


@pytest.mark.parametrize("row", [-1, 300])
def test_a_row_that_there_is_not_is_no_row_of_zeros(row: int) -> None:
    """300 is refused by the reference where there is one."""
    kernel = ptoc.load_kernel("dsa_attention")
    kernel.reference_function = None
    with pytest.raises(ptoc.BoundsError, match=rf"dsa_attention\.py:\d+: 'pto.tsdma_gather': an index must lie in 0 to 299, the rows that there are; got {row}"):
        ptoc.run(kernel, inputs={"index": np.full((1, 16), row)}, S=1, N=300, H=16, D=64, DV=64, K=16, SCORE_WIDTH=48)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"phase": "prefil"}, "program dsa: phase is decode or prefill; got phase=prefil, N=512"), ({"N": "10"}, "topk is at most N, the rows of the context; got phase=decode, N=10")],
)
def test_a_phase_or_context_that_there_is_not_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ptoc.ArgumentError, match=message):
        ptoc.run_program("dsa", values=False, **given)
