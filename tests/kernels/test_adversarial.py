"""Everyday kernels on data that breaks careless ones: large magnitudes, rows of -inf, zeros, denormals, ties."""

import numpy as np
import pytest

import ptoc

TYPES = ("f32", "f16", "bf16")
LARGE = {"f32": 1e15, "f16": 6e4, "bf16": 1e15}
"""Large magnitudes whose squares still have a sum in f32, which all types are computed in."""
TINY = {"f32": 1e-40, "f16": 1e-7, "bf16": 1e-40}
"""Denormals of the type."""


def rows(T: str, columns: int) -> np.ndarray:
    """Rows of one kind each, the last ones ordinary."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((9, columns)).astype(np.float32)
    x[0], x[1], x[2] = LARGE[T], x[1] * LARGE[T] / 5, 0
    x[3] *= TINY[T]
    x[4, : columns // 2] = -LARGE[T]
    x[5, 1:] = 0
    return x


def with_infinities(T: str, columns: int) -> np.ndarray:
    """The same with a row of -inf alone, one of -inf but for one element, and one that begins and ends with -inf."""
    x = rows(T, columns)
    x[6], x[7, :-1], x[8, : columns // 3], x[8, -1] = -np.inf, -np.inf, -np.inf, -np.inf
    return x


def passes(kernel: str, inputs: dict, **sizes: object) -> dict:
    """The outputs of a run, which are right in the scheduled and the most adverse order."""
    result = ptoc.run(kernel, inputs=inputs, check=True, cores=2, **sizes)
    assert result.passed, result.max_abs_error
    return result.outputs


@pytest.mark.parametrize("T", TYPES)
@pytest.mark.parametrize("kernel", ["rmsnorm", "layernorm"])
def test_norms(kernel: str, T: str) -> None:
    gain = np.linspace(-2, 2, 200, dtype=np.float32)
    more = {"bias": gain[::-1].copy()} if kernel == "layernorm" else {}
    x = rows(T, 200)
    x[0, ::2] *= -1  # the mean of equal large numbers is rounded, and their deviations are nothing but that
    passes(kernel, {"x": x, "gain": gain} | more, M=9, N=200, T=T)
    got = ptoc.run(kernel, inputs={"x": with_infinities(T, 200), "gain": gain} | more, cores=2, M=9, N=200, T=T).outputs["y"]
    assert np.isnan(got[6].astype(np.float32)).all(), "nothing is normal in a row of -inf"
    assert np.isfinite(got[:6].astype(np.float32)).all(), "and no other row is touched by it"


@pytest.mark.parametrize("T", TYPES)
def test_gelu_and_swiglu(T: str) -> None:
    x = with_infinities(T, 100).reshape(-1)
    x[:4] = [np.inf, -0.0, 100, -100]
    got = passes("gelu", {"x": x}, N=900, T=T)["y"].astype(np.float32)
    assert got[0] == np.inf
    assert (got[x == -np.inf] == 0).all()
    up = np.where(np.isinf(x), 1, 2 * np.sign(x)).astype(np.float32)
    passes("swiglu", {"gate": np.clip(x, -np.inf, 3e4), "up": up}, N=900, T=T)


@pytest.mark.parametrize("T", TYPES)
def test_softmax_of_long_rows(T: str) -> None:
    got = passes("softmax_long", {"x": with_infinities(T, 1000)}, M=9, N=1000, T=T, TILE=384)["y"].astype(np.float32)
    assert not got[6].any(), "a row of -inf alone gives zeros"
    assert got[7, -1] == 1
    assert got[[0, 1, 2, 3, 4, 5, 7, 8]].sum(axis=1) == pytest.approx(1, rel=2e-2)


@pytest.mark.parametrize("T", [*TYPES, "i32"])
def test_transpose_keeps_every_bit(T: str) -> None:
    x = with_infinities(T, 100) if T != "i32" else np.arange(900).reshape(9, 100) - 450
    passes("transpose", {"x": x}, M=9, N=100, T=T)


@pytest.mark.parametrize("T", TYPES)
@pytest.mark.parametrize("OP", ["sum", "max"])
def test_reductions_over_cores_combine_to_that_of_the_tensor(OP: str, T: str) -> None:
    for x in (rows(T, 5000).reshape(-1) / 1e3, np.abs(rows(T, 5000)).reshape(-1), with_infinities(T, 5000).reshape(-1), np.full(45_000, -np.inf)):
        parts = ptoc.run("reduce", inputs={"x": x}, N=x.size, P=5, OP=OP, T=T, TILE=1024)
        whole = ptoc.run("reduce", inputs={"x": parts.outputs["y"]}, N=5, P=1, OP=OP)
        given = x.astype({"f32": np.float32, "f16": np.float16, "bf16": ptoc.bf16.numpy}[T]).astype(np.float64)
        expected = given.sum() if OP == "sum" else given.max()
        assert whole.outputs["y"][0] == pytest.approx(expected, rel=1e-5, abs=1e-6 * np.abs(given[np.isfinite(given)]).sum())


@pytest.mark.parametrize("T", TYPES)
@pytest.mark.parametrize("K", [1, 7, 40])
def test_the_largest_are_a_right_set_whatever_the_ties(K: int, T: str) -> None:
    x = with_infinities(T, 500)
    x[2] = np.arange(500) % 3
    outputs = passes("topk", {"x": x}, M=9, N=500, K=K, T=T)
    values, columns = outputs["values"].astype(np.float32), outputs["columns"]
    given = x.astype({"f32": np.float32, "f16": np.float16, "bf16": ptoc.bf16.numpy}[T]).astype(np.float32)
    assert np.array_equal(values, -np.sort(-given, axis=1)[:, :K]), "the values, largest first"
    assert np.array_equal(np.take_along_axis(given, columns, axis=1), values), "each from its column"
    assert all(len(set(row)) == K for row in columns), "no column twice, and none that the row does not have"


def test_more_than_the_row_has_are_refused() -> None:
    with pytest.raises(ptoc.ArgumentError, match="K must be at most the row's length; got K=8 and N=7"):
        ptoc.run("topk", values=False, M=3, N=7, K=8)


def test_the_columns_of_a_long_row_of_minus_infinity_are_its_own() -> None:
    columns = ptoc.run("topk", inputs={"x": np.full((2, 700), -np.inf)}, M=2, N=700, K=5, TILE=96).outputs["columns"]
    assert np.array_equal(columns, [[0, 1, 2, 3, 4]] * 2)


def test_rows_of_a_table_in_any_order_and_again() -> None:
    table = with_infinities("f32", 70)
    passes("embedding", {"table": table, "ids": np.array([8, 0, 0, 3, 8, 7, 7])}, V=9, N=7, D=70)
    with pytest.raises(ptoc.BoundsError, match=r"embedding\.py"):
        ptoc.run("embedding", inputs={"table": table, "ids": np.array([0, 9])}, V=9, N=2, D=70)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"HKV": 3}, "every KV head serves as many query heads; got H=16 and HKV=3"),
        ({"HKV": 0}, "every KV head serves as many query heads; got H=16 and HKV=0"),
        ({"SLOTS": 100}, r"SLOTS must be a multiple of HKV \* PAGE, a page of all KV heads; got 100 and 1 \* 16"),
    ],
)
def test_pages_and_heads_that_do_not_come_out_even_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ptoc.ArgumentError, match=message):
        ptoc.run("paged_attention", **{"B": 2, "LONGEST": 3, "SLOTS": 96, "D": 16, "PAGE": 16} | wrong)


@pytest.mark.parametrize("kind", ["large", "denormal", "zeros", "lowest scores"])
def test_paged_attention(kind: str) -> None:
    rng = np.random.default_rng(5)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 16, 16), (96, 16), (96, 16)))
    if kind == "large":
        q, k, v = 1e3 * q, 1e3 * k, 1e3 * np.abs(v)
    if kind == "denormal":
        q, k, v = q * 1e-39, k * 1e-39, v * 1e-39
    if kind == "zeros":
        q, k = 0 * q, 0 * k
    if kind == "lowest scores":
        q, k = np.full_like(q, 1e14), np.full_like(k, -1e14)  # scores near the -1e30 that a running maximum begins at
        k[:, 0] = -1e13
    inputs = {"q": q, "k": k, "v": v, "table": np.array([[4, 1, 0], [2, 5, 3]]), "contexts": np.array([33, 17])}
    passes("paged_attention", inputs, B=2, LONGEST=3, SLOTS=96, D=16, PAGE=16)
