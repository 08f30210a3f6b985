"""Rows of a table by number (embedding lookup, gather of rows), on any number of vector cores.

Schedule: each core takes every n-th group of ROWS results.  The scalar unit reads the numbers and MTE2 loads one row of the table for each into
a tile of ROWS rows, which MTE3 stores in one piece.  Two slots of it let the next rows come while these leave.  V does nothing; where rows are
long enough for their loads not to be bound by their start-up (2 KiB or so) this moves at the rate of global memory.
Rows may be of any type of 1, 2 or 4 bytes.  Limits: rows of at most 92 KiB.
A number outside of the table is an error in a run with values; a device reads what lies there.
"""

import numpy as np

import ptoc
from ptoc import i32

from ._tiles import UB_BYTES


@ptoc.kernel
def embedding(
    table: ptoc.Tensor["V", "D", "T"],
    ids: ptoc.Tensor["N", i32],
    y: ptoc.Out["N", "D", "T"],
    N,
    D,
    *,
    T: str = "f32",
    ROWS: int = 16,
    COLS: int = 1024,
):
    """y[i, :] = table[ids[i], :]; rows of at most COLS columns, ROWS at a time."""
    for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(N, ROWS), ptoc.num_blocks(), stages=2):
        rows = ptoc.minimum(N - i * ROWS, ROWS)
        tile = ptoc.tile([ROWS, COLS], table.dtype, valid=(rows, D))
        for r in ptoc.range(rows):
            row = ids.number(i * ROWS + r)
            ptoc.load(tile[r : r + 1, 0:D], table[row : row + 1, :])
        ptoc.store(y[i * ROWS : i * ROWS + rows, :], tile)


@embedding.reference
def reference(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return table[ids]


@embedding.inputs
def inputs(rng: np.random.Generator, V: int, N: int, D: int, **_: int) -> dict[str, np.ndarray]:
    return {"table": rng.standard_normal((V, D), dtype=np.float32), "ids": rng.integers(0, V, N)}


@embedding.cores
def cores(N: int, ROWS: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-N // ROWS))


@embedding.specialize
def specialize(D: int, T: str, **_: int) -> dict[str, int]:
    size = 4 if T in ("f32", "i32") else 2
    columns = -(-D // 64) * 64
    return {"COLS": columns, "ROWS": max(1, min(16, UB_BYTES // (2 * columns * size)))}


embedding.tolerance = 0.0
embedding.case("default", V=1000, N=500, D=500)
embedding.case("in_turn", V=100, N=90, D=500, cores=2)
embedding.case("small", V=3, N=7, D=5)
embedding.case("small_in_turn", V=3, N=70, D=5, cores=1)
embedding.case("half", V=50, N=100, D=129, T="f16", cores=3)
embedding.case("wide", V=20, N=50, D=12_288, cores=2)
embedding.case("large", large=True, V=32_000, N=16_384, D=4096)
