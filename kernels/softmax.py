"""y = softmax(x) along the rows of a matrix that fits into UB row by row, on any number of vector cores."""

import numpy as np

import ptoc
from ptoc import f32


@ptoc.kernel
def softmax(x: ptoc.Tensor["M", "N", f32], y: ptoc.Out["M", "N", f32], M, N, *, ROWS: int = 16, COLS: int = 512):
    """y[i, j] = exp(x[i, j] - max_j x[i, j]) / sum; rows of at most COLS columns, ROWS at a time."""
    blocks = ptoc.ceil_div(M, ROWS)
    for i in ptoc.range(ptoc.block_idx(), blocks, ptoc.num_blocks(), stages=2):
        rows = ptoc.minimum(M - i * ROWS, ROWS)
        part = slice(i * ROWS, i * ROWS + rows)
        a = ptoc.tile([ROWS, COLS], f32, valid=(rows, N))
        scratch = ptoc.tile([ROWS, COLS], f32, valid=(rows, N))
        column = ptoc.tile([-(-ROWS // 8) * 8, 1], f32, layout="dn", valid=(rows, 1))  # whole blocks of 32 bytes
        ptoc.load(a, x[part, :])
        ptoc.rowmax(column, a, scratch)
        ptoc.rowexpandsub(a, a, column)
        ptoc.exp(a, a)
        ptoc.rowsum(column, a, scratch)
        ptoc.rowexpanddiv(a, a, column)
        ptoc.store(y[part, :], a)


@softmax.reference
def reference(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@softmax.flops
def flops(M: int, N: int, **_: int) -> int:
    return 5 * M * N


@softmax.cores
def cores(M: int, ROWS: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-M // ROWS))


@softmax.specialize
def specialize(N: int, **_: int) -> dict[str, int]:
    return {"COLS": -(-N // 64) * 64, "ROWS": max(1, min(16, 8192 // (-(-N // 64) * 64)))}


softmax.tolerance = 1e-5
softmax.case("default", M=1000, N=500)
softmax.case("in_turn", M=200, N=500, cores=2)
softmax.case("small", M=3, N=7)
softmax.case("exact", M=256, N=512)
softmax.case("one_core", M=70, N=130, cores=1)
softmax.case("small_in_turn", M=100, N=7, cores=1)
softmax.case("wide", M=50, N=4000, cores=2)
