"""Softmax of rows of any length, longer than UB too, in f32, f16 or bf16, on any number of vector cores.

Schedule: a core takes every n-th row and goes through it twice, TILE elements at a time.  First pass: the maximum and the sum of exponentials
so far, one pair for each of the LANES lines of LINE elements that a tile consists of (the online rule: where a maximum grows, the sum so far is
rescaled), so that no tile is reduced to one number.  Then the lanes are joined.  Second pass: exp(x - maximum) / sum.  Both passes have two slots
for what is loaded, the second one for what is stored too: the row is read twice and written once, at the rate of global memory; what still
lies in the L2 comes faster the second time.
A last partial tile is filled up with the least number.  A row of -inf alone gives zeros.
"""

import numpy as np

import ptoc
from ptoc import f32

from ._tiles import column, narrowed, widened

LINE = 128
LOWEST = -3.0e38
"""Where a running maximum begins: near the least f32, so that exp(x - LOWEST) is 0 for x = -inf."""
LEAST_SUM = 1e-30
"""A sum is at least 1 but in a row of -inf alone, where it is 0."""


@ptoc.kernel
def softmax_long(x: ptoc.Tensor["M", "N", "T"], y: ptoc.Out["M", "N", "T"], M, N, *, T: str = "f32", TILE: int = 8192):
    """y[i, j] = exp(x[i, j] - max_j x[i, j]) / sum, for rows of any length."""
    tiles = ptoc.ceil_div(N, TILE)
    online = Online(TILE // LINE)
    for row in ptoc.range(ptoc.block_idx(), M, ptoc.num_blocks(), stages=2):
        online.begin()
        for t in ptoc.range(tiles, stages=2):
            n = ptoc.minimum(N - t * TILE, TILE)
            online.add(load(x, row, t, n, TILE))
        top, inverse = online.joined()
        for t in ptoc.range(tiles, stages=2):
            n = ptoc.minimum(N - t * TILE, TILE)
            a = load(x, row, t, n, TILE)
            lines = a.reshape(TILE // LINE, LINE)
            ptoc.rowexpandsub(lines, lines, top)
            ptoc.exp(lines, lines)
            ptoc.rowexpandmul(lines, lines, inverse)
            ptoc.store(y[row : row + 1, t * TILE : t * TILE + n], narrowed(a, y.dtype)[:, 0:n])


def load(x, row, t, n, size):
    """Tile t of a row, in f32; n of its elements are there, the others are the least number."""
    loaded = ptoc.tile([1, size], x.dtype, valid=(1, n), pad=3)
    ptoc.load(loaded, x[row : row + 1, t * size : t * size + n])
    whole = loaded[:, :]
    with ptoc.when(n < size):
        ptoc.fillpad_inplace(whole, loaded)
    return widened(whole)


class Online:
    """Running maximum m and sum of exponentials l of each lane."""

    def __init__(self, lanes):
        self.lanes = lanes
        (self.m, self.m_row), (self.l, self.l_row), (self.new, self.new_row), (self.old, self.old_row) = (column(lanes, lanes) for _ in range(4))
        self.scratch = ptoc.tile([lanes, LINE], f32)

    def begin(self):
        ptoc.expands(self.m_row, LOWEST)
        ptoc.expands(self.l_row, 0.0)

    def add(self, tile):
        """m' = max(m, max of the lane); l = l * exp(m - m') + sum of exp(x - m')."""
        lines = tile.reshape(self.lanes, LINE)
        ptoc.rowmax(self.new, lines, self.scratch)
        ptoc.max(self.new_row, self.new_row, self.m_row)
        ptoc.sub(self.old_row, self.m_row, self.new_row)
        ptoc.exp(self.old_row, self.old_row)
        ptoc.mul(self.l_row, self.l_row, self.old_row)
        ptoc.mov(self.m_row, self.new_row)
        ptoc.rowexpandsub(lines, lines, self.new)
        ptoc.exp(lines, lines)
        ptoc.rowsum(self.new, lines, self.scratch)
        ptoc.add(self.l_row, self.l_row, self.new_row)

    def joined(self):
        """The row's maximum and 1 / sum, each as a column with an equal number for every lane."""
        scratch = ptoc.tile([1, 64], f32)
        one, _ = column(8, 8)
        single = one[0:1, :]
        ptoc.rowmax(single, self.m_row, scratch)
        ptoc.rowexpand(self.new_row, single)
        ptoc.sub(self.m_row, self.m_row, self.new_row)
        ptoc.exp(self.m_row, self.m_row)
        ptoc.mul(self.l_row, self.l_row, self.m_row)
        ptoc.rowsum(single, self.l_row, scratch)
        ptoc.rowexpand(self.old_row, single)
        ptoc.maxs(self.old_row, self.old_row, LEAST_SUM)
        ptoc.recip(self.l_row, self.old_row)
        return self.new, self.l


@softmax_long.reference
def reference(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    e = np.exp(x - np.maximum(x.max(axis=1, keepdims=True), LOWEST))
    return e / np.maximum(e.sum(axis=1, keepdims=True), LEAST_SUM)


@softmax_long.flops
def flops(M: int, N: int, **_: int) -> int:
    return 8 * M * N


@softmax_long.cores
def cores(M: int, aiv: int, **_: int) -> int:
    return min(aiv, M)


softmax_long.tolerance = {"f32": (1e-9, 1e-4), "f16": (1e-7, 1e-2), "bf16": (1e-9, 1e-2)}
softmax_long.case("default", M=100, N=20_000)
softmax_long.case("in_turn", M=3, N=40_001, cores=1)
softmax_long.case("small", M=3, N=7)
softmax_long.case("half", M=3, N=30_001, T="f16", cores=2)
softmax_long.case("bfloat", M=3, N=17_000, T="bf16", cores=2)
softmax_long.case("large", large=True, M=480, N=131_072)
