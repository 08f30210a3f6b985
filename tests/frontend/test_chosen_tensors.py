"""Tensors whose element type, order in memory and presence are chosen by parameters; outputs that are added to."""

import numpy as np
import pytest

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32
from ptoc.dialect.errors import ArgumentError


@ptoc.kernel
def scaled(x: ptoc.Tensor["M", "N", "TYPE"].stored("ORDER"), s: ptoc.Tensor["N", "SHIFT"], y: ptoc.Out["M", "N", "TYPE"].stored("ORDER"), M, N, *, TYPE: str = "f32", ORDER: str = "nd", SHIFT: str = ""):
    """y[m, n] = 2 x[m, n] + s[n]."""
    t = ptoc.tile([16, 32], x.dtype, layout=ORDER, valid=(M, N))
    ptoc.load(t, x[:, :])
    ptoc.muls(t, t, 2.0)
    if s is not None:
        row = ptoc.tile([1, 32], s.dtype, valid=(1, N))
        ptoc.load(row, s[:])
        ptoc.colexpandadd(t, t, row)
    ptoc.store(y[:, :], t)


@scaled.reference
def reference(x, s=None):
    return 2 * x if s is None else 2 * x + s


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_element_type_is_a_parameter(dtype: type) -> None:
    name = f"f{8 * dtype().itemsize}"
    result = ptoc.run(scaled, M=5, N=20, TYPE=name)
    assert result.passed
    assert result.outputs["y"].dtype == dtype
    assert f"!pto.ptr<{name}>, %arg1: !pto.ptr<{name}>" in ptoc.compile(scaled, TYPE=name).pto


def test_a_matrix_may_lie_in_memory_as_its_transpose() -> None:
    """The kernel sees [M, N], the array is [N, M]."""
    x = np.arange(100, dtype=np.float32).reshape(20, 5)
    result = ptoc.run(scaled, M=5, N=20, ORDER="dn", inputs={"x": x})
    assert result.passed
    assert np.array_equal(result.outputs["y"], 2 * x)
    with pytest.raises(ArgumentError, match=r"tensor 'x' must have shape \(20, 5\); got \(5, 20\)"):
        ptoc.run(scaled, M=5, N=20, ORDER="dn", inputs={"x": x.T})


def test_a_transposed_transpose_is_the_tensor() -> None:
    seen = []

    @ptoc.kernel
    def orders(x: ptoc.Tensor[4, 8, f32].stored("ORDER"), *, ORDER: str = "nd"):
        seen.append((x.shape, x.columns_first, x.T.shape, x.T.columns_first))

    for order in ("nd", "dn"):
        orders.trace(ORDER=order)
    assert seen == [((4, 8), False, (8, 4), True), ((4, 8), True, (8, 4), False)]


def test_a_tensor_may_be_left_out() -> None:
    assert ptoc.run(scaled, M=5, N=20, SHIFT="f32").passed
    assert '"x", "s", "y"' in ptoc.compile(scaled, SHIFT="f32").pto
    assert '"x", "y"' in ptoc.compile(scaled).pto
    with pytest.raises(ArgumentError, match="has no tensor 's'; tensors: x, y"):
        ptoc.run(scaled, M=5, N=20, inputs={"s": np.zeros(20)})


@pytest.mark.parametrize(("wrong", "message"), [({"TYPE": "f12"}, "parameter TYPE must be an element type .f32, f16.*got 'f12'"), ({"ORDER": "nz"}, "parameter ORDER must be nd or dn; got 'nz'")])
def test_what_there_is_not_is_told(wrong: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ptoc.run(scaled, M=5, N=20, **wrong)


def test_specialize_asks_for_cores_and_for_what_is_given() -> None:
    seen = []

    @ptoc.kernel
    def asked(x: ptoc.Tensor["N", f32], y: ptoc.Out["N", f32], N, *, TILE: int = 8, OTHER: int = 1):
        t = ptoc.tile([1, TILE], f32)
        ptoc.load(t, x[0:TILE])
        ptoc.store(y[0:TILE], t)

    @asked.specialize
    def specialize(N, aic, aiv, given, **_):
        seen.append((aic, aiv, sorted(given)))
        return {"TILE": 16}

    asked.case("default", N=64, OTHER=2)
    assert ptoc.run(asked, values=False).arguments["TILE"] == 16
    assert ptoc.run(asked, values=False, TILE=32).arguments["TILE"] == 32
    assert seen == [(24, 48, ["N", "OTHER"]), (24, 48, ["N", "OTHER", "TILE"])]


def test_large_cases_stay_out_of_tests() -> None:
    @ptoc.kernel
    def k(x: ptoc.Tensor["N", f32], N):
        pass

    k.case("small", N=1)
    k.case("huge", large=True, N=10**9)
    assert list(k.cases) == ["small", "huge"]
    assert k.small_cases == ("small",)


@ptoc.kernel
def summed(x: ptoc.Tensor["B", 64, "TYPE"], y: ptoc.Out[1, 64, "TYPE"], B, *, TYPE: str = "f32"):
    """y = sum over the blocks b of x[b]."""
    t = ptoc.tile([1, 64], x.dtype)
    b = ptoc.block_idx()
    ptoc.load(t, x[b : b + 1, :])
    ptoc.store(y, t, atomicType="atomic_add")


summed.reference(lambda x: x.sum(axis=0, keepdims=True))


def test_what_is_added_to_begins_as_zeros_and_may_be_rounded_in_any_order() -> None:
    x = np.float32(10) ** np.random.default_rng(3).integers(-3, 5, (9, 64)) * np.float32(1.1)
    assert ptoc.run(summed, B=9, cores=9, check=True, inputs={"x": x}).passed


def test_sums_of_integers_are_the_same_in_every_order() -> None:
    result = ptoc.run(summed, B=9, TYPE="i32", cores=9, check=True)
    assert result.max_abs_error == 0


@ptoc.kernel
def bytes_of(a: ptoc.Tensor[16, 32, f16], b: ptoc.Tensor[32, 16, f16], c: ptoc.Out[16, 16, ptoc.i8], *, FACTOR: float = 0.5):
    a1, b1 = ptoc.tile([16, 32], f16, L1), ptoc.tile([32, 16], f16, L1)
    a0, b0, c0 = ptoc.tile([16, 32], f16, L0A), ptoc.tile([32, 16], f16, L0B), ptoc.tile([16, 16], f32, L0C)
    for tile, tensor in ((a1, a), (b1, b)):
        ptoc.load(tile, tensor)
    ptoc.mov(a0, a1)
    ptoc.mov(b0, b1)
    ptoc.matmul(c0, a0, b0)
    ptoc.store(c, c0, pre_quant_scalar=ptoc.control_word(FACTOR))


def test_a_control_word_scales_what_is_stored() -> None:
    a, b = np.eye(16, 32) * 3, np.arange(32)[:, None] - np.arange(16)[None, :]
    got = ptoc.run(bytes_of, inputs={"a": a, "b": b}).outputs["c"]
    assert np.array_equal(got, np.rint(1.5 * b[:16]))


def test_a_kernel_may_say_which_chip_it_is_made_for() -> None:
    @ptoc.kernel(chip="ascend910b2")
    def k(x: ptoc.Tensor[1, 64, f32], y: ptoc.Out[1, 64, f32]):
        t = ptoc.tile([1, 64], f32)
        ptoc.load(t, x)
        ptoc.store(y, t)

    assert ptoc.run(k, values=False).chip.name == "ascend910b2"
    assert ptoc.run(k, "ascend910b1", values=False).chip.name == "ascend910b1"
    assert ptoc.compile(k).chip.name == "ascend910b2"
