"""Flash attention: unusual data, parts that are combined, masks, and the frozen hand-written kernel that it is measured against."""

from pathlib import Path

import numpy as np
import pytest

import ptoc
from ptoc import f32

BY_HAND = str(Path(__file__).parents[2] / "benchmarks" / "fidelity" / "attention_by_hand.py")
SIZES = {"S0": 128, "S1": 512, "D": 128}


def integers(rng, rows, columns, most):
    """Whole numbers: products of them are exact, so that scores of any size have no error of their own."""
    return rng.integers(-most, most + 1, (rows, columns)).astype(np.float16)


def unusual(kind):
    """q, k and v of one block."""
    rng = np.random.default_rng(3)
    q, k, v = (rng.standard_normal((rows, 128)).astype(np.float16) for rows in (128, 512, 512))
    if kind == "large scores":
        q, k = integers(rng, 128, 128, 64), integers(rng, 512, 128, 64)
    elif kind == "one column decides":
        k[:] = 0
        k[300], q[:] = 60, 60
    elif kind == "all scores equal":
        q[:] = 0
    elif kind == "zeros":
        q[:], k[:], v[:] = 0, 0, 0
    elif kind == "denormal values":
        v = (v * np.float16(6e-8)).astype(np.float16)
    elif kind == "denormal weights":
        q, k = integers(rng, 128, 128, 1), integers(rng, 512, 128, 4)
    elif kind == "largest values":
        v = np.where(v > 0, 65504, -65504).astype(np.float16)
    return q, k, v


@pytest.mark.parametrize(
    "kind", ["large scores", "one column decides", "all scores equal", "zeros", "denormal values", "denormal weights"]
)
def test_unusual_data(kind):
    q, k, v = unusual(kind)
    result = ptoc.run("flash_attention", inputs={"q": q, "k": k, "v": v}, S0=128, S1=512)
    assert result.passed, result.max_abs_error
    assert np.isfinite(result.outputs["o"]).all()


def test_largest_values_stay_within_their_range():
    q, k, v = unusual("largest values")
    result = ptoc.run("flash_attention", inputs={"q": q, "k": k, "v": v}, S0=128, S1=512)
    assert np.abs(result.outputs["o"]).max() <= 65504 * 1.001
    assert result.max_abs_error <= 1e-3 * 65504


@pytest.mark.parametrize(("case", "parts"), [("default", 2), ("shorter_last", 3)])
def test_parts_combine_to_the_whole(case, parts):
    split = ptoc.run("flash_attention_split", case=case)
    sizes = split.arguments
    rows = sizes["KV"] * sizes["GROUP"] * sizes["S0"]
    partial = {"o": (parts, rows, 128), "m": (parts, rows), "l": (parts, rows)}
    combined = ptoc.run("flash_attention_combine", inputs={n: split.outputs[n].reshape(s) for n, s in partial.items()}, R=rows, PARTS=parts)
    whole = ptoc.run("flash_attention_heads", **{n: sizes[n] for n in ("KV", "GROUP", "S0", "S1")})
    assert combined.passed
    assert np.allclose(combined.outputs["out"], whole.outputs["o"].reshape(rows, 128), rtol=1e-3, atol=1e-3)


def test_parts_of_different_lengths_are_refused():
    message = r"PARTS=4 makes parts of 192 columns of S1 = 576 and leaves 0 for the last one: all must take equally many tiles of 256"
    with pytest.raises(ptoc.ArgumentError, match=message):
        ptoc.run("flash_attention_split", KV=1, S0=128, S1=576, PARTS=4)


def test_no_parts_are_refused_and_one_part_is_the_whole():
    with pytest.raises(ptoc.ArgumentError, match="PARTS must be at least 1; got 0"):
        ptoc.run("flash_attention_split", KV=1, S0=128, S1=576, PARTS=0)
    result = ptoc.run("flash_attention_split", KV=1, S0=7, S1=130, PARTS=1)
    assert result.passed, result.max_abs_error


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"D": 8, "DV": 8}, "widths of heads must be multiples of 16; got 8"),
        ({"SLICE": 5}, "half of ROWS, a vector core's, must be a multiple of SLICE; got 64 and 5"),
        ({"PIECE": 24}, "half of ROWS, a vector core's, must be a multiple of PIECE; got 64 and 24"),
        ({"ROWS": 16}, "half of ROWS, a vector core's, must be a multiple of SLICE; got 8 and 32"),
        ({"WIDTH": 48}, "TILE must be a multiple of WIDTH; got 256 and 48"),
    ],
)
def test_rows_and_columns_that_would_be_left_over_are_refused(wrong, message):
    with pytest.raises(ptoc.ArgumentError, match=message):
        ptoc.run("flash_attention", S0=133, S1=500, **wrong)


@pytest.mark.parametrize(("kernel", "more"), [("flash_attention", {}), ("flash_attention_heads", {"KV": 1, "GROUP": 1}), ("flash_attention_split", {"KV": 1, "PARTS": 1})])
def test_few_columns_in_bf16_are_as_exact_as_bf16(kernel, more):
    """Each probability is rounded to 8 bits, and few of them do not even out: errors lie above the 1e-3 of f16."""
    for S1 in (7, 17):
        result = ptoc.run(kernel, S0=13, S1=S1, DTYPE="bf16", **more)
        assert result.passed, result.max_abs_error
    assert not ptoc.run(kernel, inputs={"v": np.zeros((*[1] * (kernel != "flash_attention"), 17, 128))}, S0=13, S1=17, DTYPE="bf16", **more).outputs["o"].any()


def test_rows_that_see_nothing_give_zero():
    outputs = ptoc.run("flash_attention_heads", case="causal_rows_that_see_nothing").outputs["o"]
    assert not outputs[:, :, :250].any()
    assert outputs[:, :, 250:].any(axis=-1).all()


def test_what_a_mask_hides_is_not_read():
    """The columns that no row sees may hold anything."""
    rng = np.random.default_rng(5)
    q, k, v = (rng.standard_normal(shape).astype(np.float16) for shape in ((1, 1, 128, 128), (1, 512, 128), (1, 512, 128)))
    whole = ptoc.run("flash_attention_heads", inputs={"q": q, "k": k[:, :128], "v": v[:, :128]}, KV=1, GROUP=1, S0=128, S1=128, CAUSAL=True)
    k[:, 384:], v[:, 384:] = np.nan, np.nan
    seen = {"q": np.concatenate([q, q, q, q], axis=2), "k": k, "v": v}
    result = ptoc.run("flash_attention_heads", inputs=seen, KV=1, GROUP=1, S0=512, S1=512, CAUSAL=True, cores=2)
    first = result.outputs["o"][0, 0, :128]
    assert np.isfinite(result.outputs["o"][0, 0, :384]).all()
    assert np.allclose(first, whole.outputs["o"][0, 0], rtol=1e-3, atol=1e-3)


def test_a_causal_mask_saves_time():
    sizes = {"KV": 1, "GROUP": 4, "S0": 2048, "S1": 2048, "cores": 4, "values": False}
    whole, causal = (ptoc.run("flash_attention_heads", CAUSAL=causal, **sizes) for causal in (False, True))
    assert causal.relative_to(whole) < 0.85


@pytest.mark.parametrize("tile", [256, 512])
def test_it_is_not_slower_than_the_frozen_kernel_by_hand(tile):
    sizes = {"chip": "ascend910b2", "S0": 8192, "S1": 8192, "cores": 24, "values": False}
    assert ptoc.run("flash_attention", **sizes).latency_us <= ptoc.run(BY_HAND, TILE=tile, **sizes).latency_us


def test_flat_views():
    @ptoc.kernel
    def all_rows(x: ptoc.Tensor["A", 3, 64, f32], y: ptoc.Out["A", 3, 64, f32], z: ptoc.Out["A", 192, f32], A):
        t = ptoc.tile([1, 64], f32)
        for i in ptoc.range(A * 3):
            ptoc.load(t, x.flat()[i : i + 1, :])
            ptoc.store(y.flat()[i : i + 1, :], t)
            ptoc.store(z.flat(0)[i * 64 : i * 64 + 64], t)

    all_rows.reference(lambda x: (x, x.reshape(-1, 192)))
    assert ptoc.run(all_rows, A=4, check=True).passed


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda x: x[0:1, :].flat(), "only a whole tensor that lies row by row can be made flat"),
        (lambda x: x.T.flat(), "only a whole tensor that lies row by row can be made flat"),
        (lambda x: x.flat(2), "flat: last must be 0 to 1, fewer than the tensor's axes; got 2"),
    ],
)
def test_flat_views_that_there_are_not(use, message):
    @ptoc.kernel
    def wrong(x: ptoc.Tensor[4, 64, f32]):
        use(x)

    with pytest.raises(ptoc.ParseError, match=message):
        ptoc.compile(wrong)
