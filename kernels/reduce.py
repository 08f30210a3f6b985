"""Sum or maximum of a whole tensor, in f32 from f32, f16 or bf16, on any number of vector cores.

Schedule: P cores take the tensor's tiles in turn and fold each into a tile of lanes in UB, so that V does one addition (or maximum) for each
element and its two slots keep MTE2 busy.  Behind the last tile the lanes are folded: lines of LINE elements into one number each, these into
one.  Core p leaves its result in y[p].  Cores do not wait for each other, so the P results are combined by a second run of the same kernel, with
P = 1 and y as x: two launches, of which the second takes no time to speak of.
Each lane adds every (P * TILE)-th element only, which keeps the rounding error of a sum of a billion f32 as small as one of a few thousand.
"""

import math

import numpy as np

import ptoc
from ptoc import f32

from ._tiles import column, widened

LINE = 128
FOLDS = {"sum": (0.0, "add", "rowsum"), "max": (-math.inf, "max", "rowmax")}
"""By OP: what a fold begins with, the op between two tiles, the one along rows."""


@ptoc.kernel
def reduce(x: ptoc.Tensor["N", "T"], y: ptoc.Out["P", f32], N, P, *, T: str = "f32", OP: str = "sum", TILE: int = 8192):
    """y[p] = the sum (OP=max: maximum) of the tiles p, p + P, ... of x; to be launched on P blocks."""
    if OP not in FOLDS:
        raise ptoc.ArgumentError(f"reduce: OP must be {' or '.join(FOLDS)}; got {OP!r}")
    start, fold, fold_rows = FOLDS[OP]
    fold, fold_rows = getattr(ptoc, fold), getattr(ptoc, fold_rows)
    lanes = ptoc.tile([1, TILE], f32)
    ptoc.expands(lanes, start)
    for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(N, TILE), P, stages=2):
        n = ptoc.minimum(N - i * TILE, TILE)
        loaded = ptoc.tile([1, TILE], x.dtype, valid=(1, n))
        ptoc.load(loaded, x[i * TILE : i * TILE + n])
        fold(lanes[:, 0:n], lanes[:, 0:n], widened(loaded))
    lines, row = column(TILE // LINE, TILE // LINE)
    fold_rows(lines, lanes.reshape(TILE // LINE, LINE), ptoc.tile([TILE // LINE, LINE], f32))
    one = ptoc.tile([8, 1], f32, layout="dn")
    fold_rows(one[0:1, :], row, ptoc.tile([1, LINE], f32))
    ptoc.store(y[ptoc.block_idx() : ptoc.block_idx() + 1], one.reshape(1, 8)[:, 0:1])


@reduce.reference
def reference(x: np.ndarray, P: int, OP: str, TILE: int) -> np.ndarray:
    tiles = np.full((-(-len(x) // (P * TILE)), P, TILE), FOLDS[OP][0])
    tiles.reshape(-1)[: len(x)] = x
    return (np.sum if OP == "sum" else np.max)(tiles, axis=(0, 2))


@reduce.flops
def flops(N: int, **_: int) -> int:
    return N


@reduce.cores(exact=True)
def cores(P: int, **_: int) -> int:
    return P


reduce.tolerance = (1e-3, 1e-5)
reduce.case("default", N=1_000_003, P=48)
reduce.case("in_turn", N=100_001, P=2)
reduce.case("small", N=48, P=1)
reduce.case("more_cores_than_tiles", N=100, P=3)
reduce.case("half", N=200_001, P=5, T="f16")
reduce.case("bfloat", N=100_001, P=3, T="bf16")
reduce.case("max", N=300_001, P=4, OP="max")
reduce.case("max_half", N=100_001, P=2, T="f16", OP="max")
reduce.case("large", large=True, N=120_000_000, P=48)
