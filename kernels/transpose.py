"""The transpose of a matrix of 1, 2 or 4 byte elements, on any number of vector cores.

Schedule: each core takes every n-th tile of ROWS x COLS elements, turns it in UB and stores it.  Two slots for what is loaded and for what is
stored let MTE2 fetch the next tile, and MTE3 write the one before, while V turns one.  Tiles are as square as their two slots allow: a row of a
tile is a burst of global memory, on the way in and on the way out, and short bursts are slow.  Tiles are numbered along the rows of the result,
so that the cores store neighbouring bursts at one time.
"""

import numpy as np

import ptoc


@ptoc.kernel
def transpose(
    x: ptoc.Tensor["M", "N", "T"], y: ptoc.Out["N", "M", "T"], M, N, *, T: str = "f32", ROWS: int = 96, COLS: int = 96
):
    """y[j, i] = x[i, j]."""
    down = ptoc.ceil_div(M, ROWS)
    for t in ptoc.range(ptoc.block_idx(), down * ptoc.ceil_div(N, COLS), ptoc.num_blocks(), stages=2):
        i, j = t % down * ROWS, t // down * COLS
        m, n = ptoc.minimum(M - i, ROWS), ptoc.minimum(N - j, COLS)
        a = ptoc.tile([ROWS, COLS], x.dtype, valid=(m, n))
        turned = ptoc.tile([COLS, ROWS], x.dtype, valid=(n, m))
        ptoc.load(a, x[i : i + m, j : j + n])
        ptoc.trans(turned, a, ptoc.tile([COLS, ROWS], x.dtype))
        ptoc.store(y[j : j + n, i : i + m], turned)


@transpose.reference
def reference(x: np.ndarray) -> np.ndarray:
    return x.T


@transpose.specialize
def specialize(T: str, **_: int) -> dict[str, int]:
    side = 96 if T in ("f32", "i32") else 128
    return {"ROWS": side, "COLS": side}


@transpose.cores
def cores(M: int, N: int, ROWS: int, COLS: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-M // ROWS) * -(-N // COLS))


transpose.tolerance = 0.0
transpose.case("default", M=1000, N=700)
transpose.case("in_turn", M=300, N=250, cores=2)
transpose.case("small", M=3, N=7)
transpose.case("half", M=300, N=500, T="f16", cores=2)
transpose.case("integers", M=300, N=500, T="i32", cores=2)
transpose.case("bytes", M=300, N=500, T="i8", cores=2)
transpose.case("large", large=True, M=8192, N=8192)
