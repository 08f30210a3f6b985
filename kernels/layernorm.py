"""Layer normalisation of the rows of a matrix, in f32, f16 or bf16, on any number of vector cores.

Schedule: as rmsnorm: each core takes every n-th group of ROWS rows, the gains and biases stay in UB, and two slots for what is loaded and for
what is stored let MTE2 and MTE3 move the next and the last group while V works.  The variance is the mean of the squared differences from the
mean, taken from the group in UB, not a difference of two large sums.  Arithmetic is in f32.
Limits: rows of at most 8192 columns; sums of squares below 3.4e38 (f32); deviations from the mean above the rounding of the mean (2^-24 of it).
"""

import numpy as np

import ptoc
from ptoc import f32

from ._tiles import TOLERANCE, column, copy_widened, narrowed, row_sums, rows_that_fit, widened


@ptoc.kernel
def layernorm(
    x: ptoc.Tensor["M", "N", "T"],
    gain: ptoc.Tensor["N", "T"],
    bias: ptoc.Tensor["N", "T"],
    y: ptoc.Out["M", "N", "T"],
    M,
    N,
    *,
    T: str = "f32",
    EPS: float = 1e-5,
    ROWS: int = 8,
    COLS: int = 1024,
):
    """y[i, j] = (x[i, j] - mean_j) / sqrt(variance_j + EPS) * gain[j] + bias[j]; rows of at most COLS columns, ROWS at a time."""
    g, b = (ptoc.tile([1, COLS], x.dtype, valid=(1, N)) for _ in range(2))
    ptoc.load(g, gain)
    ptoc.load(b, bias)
    g, b = widened(g), widened(b)
    summed = ptoc.tile([ROWS, COLS], f32)
    ptoc.expands(summed, 0.0)
    mean, mean_row = column(ROWS, ROWS)
    scale, scale_row = column(ROWS, ROWS)
    for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(M, ROWS), ptoc.num_blocks(), stages=2):
        rows = ptoc.minimum(M - i * ROWS, ROWS)
        part = slice(i * ROWS, i * ROWS + rows)
        loaded = ptoc.tile([ROWS, COLS], x.dtype, valid=(rows, N))
        ptoc.load(loaded, x[part, :])
        filled = summed[0:rows, 0:N]
        copy_widened(filled, loaded)
        row_sums(mean, summed)
        ptoc.divs(mean_row, mean_row, N)
        a = loaded if x.dtype == f32 else ptoc.tile([ROWS, COLS], f32, valid=(rows, N))
        ptoc.rowexpandsub(a, filled, mean[0:rows, :])
        ptoc.mul(filled, a, a)
        row_sums(scale, summed)
        ptoc.divs(scale_row, scale_row, N)
        ptoc.adds(scale_row, scale_row, EPS)
        ptoc.rsqrt(scale_row, scale_row, ptoc.tile([1, 8], f32))
        ptoc.rowexpandmul(a, a, scale[0:rows, :])
        ptoc.colexpandmul(a, a, g)
        ptoc.colexpandadd(a, a, b)
        ptoc.store(y[part, :], narrowed(a, y.dtype))


@layernorm.reference
def reference(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, EPS: float) -> np.ndarray:
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        x = x - x.mean(axis=1, keepdims=True)
        return x / np.sqrt(np.mean(np.square(x), axis=1, keepdims=True) + EPS) * gain + bias


@layernorm.flops
def flops(M: int, N: int, **_: int) -> int:
    return 7 * M * N


@layernorm.cores
def cores(M: int, ROWS: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-M // ROWS))


@layernorm.specialize
def specialize(N: int, T: str, **_: int) -> dict[str, int]:
    columns = -(-N // 512) * 512
    return {"COLS": columns, "ROWS": rows_that_fit(columns, T, work=1, vectors=2)}


layernorm.tolerance = TOLERANCE
layernorm.case("default", M=100, N=1000)
layernorm.case("in_turn", M=90, N=1000, cores=2)
layernorm.case("small", M=3, N=7)
layernorm.case("small_in_turn", M=100, N=7, cores=1)
layernorm.case("half", M=77, N=320, T="f16", cores=3)
layernorm.case("half_in_turn", M=150, N=320, T="f16", cores=1)
layernorm.case("bfloat", M=150, N=129, T="bf16", cores=2)
layernorm.case("wide", M=5, N=8000, cores=1)
layernorm.case("large", large=True, M=16384, N=4096)
