"""Root mean square normalisation of the rows of a matrix, in f32, f16 or bf16, on any number of vector cores.

Schedule: each core takes every n-th group of ROWS rows, and keeps the gains in UB all the while.  Two slots for what is loaded and for what
is stored let MTE2 fetch the next group, and MTE3 write the one before, while V works: a large matrix moves at the rate of global memory.
Arithmetic is in f32, its sums too.
Limits: rows of at most 8192 columns; sums of squares below 3.4e38 (f32).
"""

import numpy as np

import ptoc
from ptoc import f32

from ._tiles import TOLERANCE, column, narrowed, row_sums, rows_that_fit, widened


@ptoc.kernel
def rmsnorm(
    x: ptoc.Tensor["M", "N", "T"],
    gain: ptoc.Tensor["N", "T"],
    y: ptoc.Out["M", "N", "T"],
    M,
    N,
    *,
    T: str = "f32",
    EPS: float = 1e-6,
    ROWS: int = 8,
    COLS: int = 1024,
):
    """y[i, j] = x[i, j] / sqrt(mean_j(x[i, j]^2) + EPS) * gain[j]; rows of at most COLS columns, ROWS at a time."""
    g = ptoc.tile([1, COLS], x.dtype, valid=(1, N))
    ptoc.load(g, gain)
    g = widened(g)
    squares = ptoc.tile([ROWS, COLS], f32)
    ptoc.expands(squares, 0.0)
    scale, row = column(ROWS, ROWS)
    for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(M, ROWS), ptoc.num_blocks(), stages=2):
        rows = ptoc.minimum(M - i * ROWS, ROWS)
        part = slice(i * ROWS, i * ROWS + rows)
        loaded = ptoc.tile([ROWS, COLS], x.dtype, valid=(rows, N))
        ptoc.load(loaded, x[part, :])
        a = widened(loaded)
        ptoc.mul(squares[0:rows, 0:N], a, a)
        row_sums(scale, squares)
        ptoc.divs(row, row, N)
        ptoc.adds(row, row, EPS)
        ptoc.rsqrt(row, row, ptoc.tile([1, 8], f32))
        ptoc.rowexpandmul(a, a, scale[0:rows, :])
        ptoc.colexpandmul(a, a, g)
        ptoc.store(y[part, :], narrowed(a, y.dtype))


@rmsnorm.reference
def reference(x: np.ndarray, gain: np.ndarray, EPS: float) -> np.ndarray:
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return x / np.sqrt(np.mean(np.square(x), axis=1, keepdims=True) + EPS) * gain


@rmsnorm.flops
def flops(M: int, N: int, **_: int) -> int:
    return 4 * M * N


@rmsnorm.cores
def cores(M: int, ROWS: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-M // ROWS))


@rmsnorm.specialize
def specialize(N: int, T: str, **_: int) -> dict[str, int]:
    columns = -(-N // 512) * 512
    return {"COLS": columns, "ROWS": rows_that_fit(columns, T, work=1, vectors=1)}


rmsnorm.tolerance = TOLERANCE
rmsnorm.case("default", M=100, N=1000)
rmsnorm.case("in_turn", M=90, N=1000, cores=2)
rmsnorm.case("small", M=3, N=7)
rmsnorm.case("half", M=77, N=320, T="f16", cores=3)
rmsnorm.case("bfloat", M=50, N=129, T="bf16", cores=2)
rmsnorm.case("wide", M=5, N=8000, cores=2)
rmsnorm.case("half_in_turn", M=150, N=320, T="f16", cores=1)
rmsnorm.case("bfloat_in_turn", M=150, N=129, T="bf16", cores=1)
rmsnorm.case("small_in_turn", M=100, N=7, cores=1)
rmsnorm.case("large", large=True, M=16384, N=4096)
