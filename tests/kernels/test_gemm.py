"""gemm as a library: element types, orders, what comes after the sum, tails, hostile data, consecutive calls, shapes that choose their tiles."""

import ml_dtypes
import numpy as np
import pytest

import ptoc
from ptoc import f16, f32
from ptoc.arguments import kernel_values
from ptoc.dialect.errors import ArgumentError, VerifyError
from ptoc.kernels.gemm import Epilogue, Tiling, gemm, multiply
from ptoc.machine.chip import load_chip

CHIP = load_chip("ascend910b1")
TYPES = [
    *(("f16", out, {}) for out in ("f32", "f16", "bf16")),
    *(("bf16", out, {}) for out in ("f32", "f16", "bf16")),
    *(("f32", out, {}) for out in ("f32", "f16", "bf16")),
    *(("i8", out, {}) for out in ("i32", "f32")),
    *(("i8", out, {"FACTOR": 2.0**-9}) for out in ("i8", "f16")),
    *(("i8", out, {"SCALE": "i64"}) for out in ("i8", "f16")),
]
"""Element types of the factors and of the result, with the scale that it needs."""


@pytest.mark.parametrize(("dtype", "out", "scale"), TYPES)
def test_every_pair_of_types(dtype: str, out: str, scale: dict) -> None:
    result = ptoc.run(gemm, M=40, K=90, N=70, IN=dtype, OUT=out, **scale, cores=1)
    assert result.passed
    assert result.outputs["c"].dtype == {"bf16": np.dtype(ml_dtypes.bfloat16), "i32": np.int32, "i8": np.int8}.get(out, {"f32": np.float32, "f16": np.float16}.get(out))


def test_floats_as_bytes_are_within_one_of_the_exact_sum() -> None:
    """Sums near a half are rounded as they come."""
    result = ptoc.run(gemm, M=50, K=300, N=60, OUT="i8", FACTOR=2.0, cores=1)
    assert result.max_abs_error <= 1
    assert np.ptp(result.outputs["c"].astype(int)) > 100


@pytest.mark.parametrize("orders", [("nd", "dn"), ("dn", "nd"), ("dn", "dn")])
@pytest.mark.parametrize("dtype", ["f16", "f32", "i8"])
def test_transposed_operands_give_the_same_bytes(dtype: str, orders: tuple[str, str]) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-9, 9, shape) for shape in ((70, 300), (300, 90)))
    kinds = {"IN": dtype, "OUT": "i32" if dtype == "i8" else "f32", "M": 70, "K": 300, "N": 90, "cores": 2}
    plain = ptoc.run(gemm, inputs={"a": a, "b": b}, **kinds)
    turned = {n: x.T if order == "dn" else x for n, x, order in zip("ab", (a, b), orders)}
    result = ptoc.run(gemm, inputs=turned, ORDER_A=orders[0], ORDER_B=orders[1], **kinds)
    assert np.array_equal(plain.outputs["c"], a @ b)
    assert result.outputs["c"].tobytes() == plain.outputs["c"].tobytes()


@pytest.mark.parametrize("cores", [1, 3, 24])
def test_one_compilation_serves_all_sizes_on_any_number_of_cores(cores: int) -> None:
    tiles = {"TM": 32, "TN": 64, "TK": 64, "TK0": 32, "TAILS": True}
    before = len(gemm.compilations)
    for m, n, k in ((1, 1, 1), (33, 65, 63), (96, 128, 64), (31, 200, 150)):
        assert ptoc.run(gemm, M=m, N=n, K=k, cores=cores, **tiles).passed
    assert len(gemm.compilations) <= before + 1


@pytest.mark.parametrize("split", [2, 3, 8])
@pytest.mark.parametrize("bias", ["", "f32"])
def test_parts_of_k_are_added(split: int, bias: str) -> None:
    """More parts than there are steps of K are none too many; the bias is added once."""
    result = ptoc.run(gemm, M=40, K=700, N=130, TM=32, TN=64, TK=128, TK0=64, SPLIT=split, BIAS=bias, cores=5, check=True)
    assert result.passed
    assert result.blocks == 5


def test_parts_of_k_of_bytes_are_exact_in_every_order() -> None:
    assert ptoc.run(gemm, M=40, K=2100, N=130, IN="i8", OUT="i32", SPLIT=4, cores=4, check=True).max_abs_error == 0


@pytest.mark.parametrize("after", [{"RELU": True}, {"SCALE": "i64", "OUT": "f16"}])
def test_what_parts_must_not_see_is_refused(after: dict) -> None:
    with pytest.raises(ArgumentError, match="parts of a sum are added, which a scale or ReLU must not touch; take SPLIT=1"):
        ptoc.run(gemm, M=40, K=700, N=130, SPLIT=2, IN="i8" if "SCALE" in after else "f16", **after)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"IN": "f64"}, ArgumentError, "parameter IN must be an element type .*got 'f64'"),
        ({"IN": "i16"}, VerifyError, "element types must be one of f16 x f16 -> f32"),
        ({"OUT": "i32"}, VerifyError, "an f32 accumulator is stored without a scale as f32 or f16 or bf16; got i32"),
        ({"ORDER_B": "nz"}, ArgumentError, "parameter ORDER_B must be nd or dn; got 'nz'"),
        ({"BIAS": "f16"}, VerifyError, "bias"),
        ({"TK": 256, "TK0": 48}, ArgumentError, "TK must be a multiple of TK0; got 256 and 48"),
        ({"TM": 100}, VerifyError, "a tile in l0c consists of whole boxes of 16x16 f32; got 100x"),
        ({"SPLIT": -1}, ArgumentError, "SPLIT and BAND must be at least 1; got -1 and 8"),
        ({"BAND": 0}, ArgumentError, "SPLIT and BAND must be at least 1; got 1 and 0"),
    ],
)
def test_what_it_cannot_do_is_told(wrong: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        ptoc.run(gemm, M=32, K=32, N=32, **wrong)


HOSTILE = {
    "large": lambda rng, shape: rng.choice([-6e4, 6e4, 1.0], shape),
    "zeros": lambda rng, shape: np.where(rng.random(shape) < 0.5, 0.0, -0.0),
    "denormals": lambda rng, shape: rng.integers(-1023, 1024, shape) * 2.0**-24,
    "infinities": lambda rng, shape: np.where((np.arange(shape[0]) % 7 == 3)[:, None], -np.inf, rng.integers(1, 5, shape)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data(name: str) -> None:
    """Against float64: sums of products of f16 are exact there but for their last bits."""
    rng = np.random.default_rng(2)
    a, b = (HOSTILE[name](rng, shape).astype(np.float16) for shape in ((45, 200), (200, 75)))
    result = ptoc.run(gemm, inputs={"a": a, "b": b}, M=45, K=200, N=75, cores=2, check=True)
    with np.errstate(invalid="ignore"):
        expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(result.outputs["c"], expected, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(np.where(np.isfinite(expected), expected, 0))))


def test_sums_beyond_f16_become_infinite_and_scaled_ones_stay() -> None:
    a, b = np.full((16, 64), 200, np.float16), np.full((64, 16), 200, np.float16)
    given = {"inputs": {"a": a, "b": b}, "M": 16, "K": 64, "N": 16}
    assert np.isinf(ptoc.run(gemm, OUT="f16", **given).outputs["c"]).all()
    bytes_ = {"a": np.full((16, 64), -128), "b": np.full((64, 16), 127)}
    result = ptoc.run(gemm, inputs=bytes_, M=16, K=64, N=16, IN="i8", OUT="i8", FACTOR=1.0)
    assert (result.outputs["c"] == -128).all()


@ptoc.kernel
def chain(a: ptoc.Tensor["M", "K", f16], b: ptoc.Tensor["K", "N", f16], d: ptoc.Tensor["K", "N", f16], c: ptoc.Out["M", "N", f32], e: ptoc.Out["M", "N", f16], M, N, K, *, CALLS: int = 2):
    """c = a @ b, then e = relu(a @ d)."""
    cut = Tiling(64, 128, 128, 64)
    multiply(a, b, c, M, N, K, cut)
    if CALLS > 1:
        multiply(a, d, e, M, N, K, cut, Epilogue(relu=True))


chain.reference(lambda a, b, d: (a @ b, np.maximum(a @ d, 0)))
chain.tolerance = 1e-2


def test_consecutive_calls_run_into_each_other() -> None:
    """Two calls take less than twice the time of one: the second one loads while the first one multiplies."""
    sizes = {"M": 128, "K": 256, "N": 256, "cores": 1}
    both = ptoc.run(chain, check=True, **sizes)
    assert both.passed
    one = ptoc.run(chain, CALLS=1, values=False, **sizes)
    commands, begun, ended = both.program.streams[0].commands, both.timeline.start[0], both.timeline.end[0]
    loads = [n for n, c in enumerate(commands) if c.site.pipe == "MTE2" and c.site.kind == "work" and any(r.memory == "gm:d" for r in c.refs(c.reads))]
    stores = [n for n, c in enumerate(commands) if c.site.pipe == "FIX" and c.site.kind == "work" and any(r.memory == "gm:c" for r in c.refs(c.writes))]
    assert begun[loads[0]] < ended[stores[-1]]
    assert both.kernel_us < 2 * one.kernel_us - 0.2


@pytest.mark.parametrize(
    ("sizes", "orders", "tile"),
    [
        ((6144, 6144, 6144), "nd", (128, 256, 256, 128)),
        ((6144, 6144, 6144), "dn", (128, 256, 320, 80)),  # loads of a transposed B have a long start
        ((8192, 8192, 8192), "nd", (128, 256, 320, 80)),  # loads that miss the L2 take longer
        ((16, 18432, 7168), "nd", (16, 256, 256, 128)),
        ((512, 512, 512), "nd", (64, 256, 256, 128)),
        ((1, 1, 1), "nd", (16, 64, 256, 128)),
    ],
)
def test_tiles_follow_from_shapes(sizes: tuple[int, int, int], orders: str, tile: tuple[int, ...]) -> None:
    values = kernel_values(gemm, "many_cores", dict(zip("MNK", sizes)) | {"ORDER_B": orders}, CHIP)
    assert tuple(values[n] for n in ("TM", "TN", "TK", "TK0")) == tile


def test_a_given_tile_is_kept_and_the_rest_chosen_for_it() -> None:
    values = kernel_values(gemm, "many_cores", {"M": 6144, "N": 6144, "K": 6144, "TM": 64, "TK": 128}, CHIP)
    assert (values["TM"], values["TK"], values["TAILS"]) == (64, 128, False)
    assert values["TK"] % values["TK0"] == 0


@pytest.mark.parametrize(("case", "other"), [("f16_6144", {"TK": 320, "TK0": 80}), ("f16_8192", {"TK": 256, "TK0": 128}), ("bf16_to_bf16_6144", {"TK": 256, "TK0": 128})])
def test_the_chosen_step_is_the_faster_one(case: str, other: dict[str, int]) -> None:
    chosen, rejected = (ptoc.run(gemm, "ascend910b2", case=case, values=False, **more) for more in ({}, other))
    assert chosen.kernel_us < rejected.kernel_us


@pytest.mark.parametrize("case", ["f16_6144", "f16_8192"])
def test_it_reaches_85_percent_of_the_cube_rate(case: str) -> None:
    result = ptoc.run(gemm, "ascend910b2", case=case, values=False)
    peak = 24 * 4096 * 2 * 1.8e9 / 1e12
    assert result.blocks == 24
    assert result.tflops >= 0.85 * peak


def test_bands_of_tiles_spare_the_l2() -> None:
    """The cores' tiles of one time as a block instead of a row: fewer bytes of A and B at a time, so more of them are found in the L2."""
    case = {"case": "f16_8192", "values": False}
    assert ptoc.run(gemm, "ascend910b2", **case).kernel_us < 0.97 * ptoc.run(gemm, "ascend910b2", BAND=1, **case).kernel_us


def test_it_is_no_slower_than_by_hand_at_its_goal() -> None:
    developer, by_hand = (ptoc.run(name, "ascend910b2", case="f16_6144", values=False) for name in ("gemm", "gemm_expert"))
    assert developer.kernel_us <= 1.01 * by_hand.kernel_us


def test_the_loop_over_keys_is_no_slower_than_by_hand() -> None:
    for case in gemm_cases():
        developer, by_hand = (ptoc.run(name, case=case, values=False) for name in ("gemm_qk", "gemm_qk_expert"))
        assert developer.kernel_us <= by_hand.kernel_us


def gemm_cases() -> tuple[str, ...]:
    """The small cases of the loop over keys."""
    from ptoc.loading import shipped_kernel

    return shipped_kernel("gemm_qk").small_cases
