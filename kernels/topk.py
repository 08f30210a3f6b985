"""The K largest elements of each row and their columns, largest first, on any number of vector cores; of equal ones the first in the row.

Schedule: a core takes every n-th row and goes through it TILE elements at a time.  A tile is sorted in blocks of 32 with its column numbers; a
merge joins four neighbouring sorted blocks.  As soon as blocks are longer than LIST >= K, only the first LIST of each are kept, so that the later
merges are short.  Three blocks remain, which a last merge joins with the best LIST of the tiles before.  Time is linear in the row's length and
goes to sorting, not to memory: 16 cycles for 32 elements, once for the blocks and once for each merge before blocks are cut.
A last partial tile is filled up with -inf; real elements come before these, being earlier in the row.
Limits: K at most 512 and at most the row's length; no NaN.
"""

import math

import numpy as np

import ptoc
from ptoc import f32, i32, ui32

from ._tiles import narrowed, widened

BLOCK, WAYS, PAIR = 32, 4, 2
"""Elements that are sorted at once, lists that a merge joins, f32 words of a value with its column."""


@ptoc.kernel
def topk(
    x: ptoc.Tensor["M", "N", "T"],
    values: ptoc.Out["M", "K", "T"],
    columns: ptoc.Out["M", "K", i32],
    M,
    N,
    *,
    T: str = "f32",
    K: int = 8,
    LIST: int = 32,
    TILE: int = 1536,
):
    """values[i, j] = the j-th largest of x[i, :], columns[i, j] = its column."""
    if not 0 < K <= LIST:
        raise ptoc.ArgumentError(f"topk: K must be 1 to {LIST}; got {K}")
    numbers = ptoc.tile([1, TILE], i32)
    ptoc.ci(numbers, 0)
    best = Best(LIST, TILE)
    for row in ptoc.range(ptoc.block_idx(), M, ptoc.num_blocks(), stages=2):
        for t in ptoc.range(ptoc.ceil_div(N, TILE), stages=2):
            n = ptoc.minimum(N - t * TILE, TILE)
            loaded, number = ptoc.tile([1, TILE], x.dtype, valid=(1, n), pad=3), ptoc.tile([1, TILE], ui32)
            ptoc.load(loaded, x[row : row + 1, t * TILE : t * TILE + n])
            whole = loaded[:, :]
            with ptoc.when(n < TILE):
                ptoc.fillpad_inplace(whole, loaded)
            ptoc.adds(number.reshape(1, TILE, dtype=i32), numbers, t * TILE)
            best.add(widened(whole), number, t)
        whole_blocks = -(-K // 16) * 16  # the packed columns fill a tile, of two-byte results too
        first = best.merged[:, 0 : PAIR * whole_blocks]
        found, where = (ptoc.tile([1, whole_blocks], dtype) for dtype in (f32, i32))
        ptoc.gather(found, src=first, maskPattern="P0101")
        ptoc.gather(where, src=first, maskPattern="P1010")
        ptoc.store(values[row : row + 1, :], narrowed(found, values.dtype)[:, 0:K])
        ptoc.store(columns[row : row + 1, :], where[:, 0:K])


class Best:
    """The best `size` pairs so far, in the first slot of `lists`; three new lists come into the next ones, and the last one holds -inf for ever."""

    def __init__(self, size, tile):
        self.words, self.tile = size * PAIR, tile
        self.lists = ptoc.tile([1, (WAYS + 1) * self.words], f32)
        self.merged = ptoc.tile([1, WAYS * self.words], f32)
        self.pairs = [ptoc.tile([1, tile * PAIR], f32) for _ in range(2)]
        ptoc.expands(self.lists, -math.inf)

    def add(self, elements, numbers, t):
        """The best of what was there and of a row's tile number t; of the first tile alone."""
        words = self.words
        self._sorted(elements, numbers)
        first = ptoc.maximum(1 - t, 0) * words  # in a row's first tile behind the best so far, which are of another row
        ptoc.mrgsort(self.merged, self.lists[:, first : first + WAYS * words], block_len=words)
        ptoc.mov(self.lists[:, 0:words], self.merged[:, 0:words])

    def _sorted(self, elements, numbers):
        """A tile's best three lists, into the slots behind the first."""
        source, target = self.pairs
        ptoc.sort32(source, elements, numbers)
        length, count = BLOCK * PAIR, self.tile // BLOCK
        while count > WAYS - 1:
            ptoc.mrgsort(target[:, 0 : count * length], source[:, 0 : count * length], block_len=length)
            source, target = target, source
            length, count = length * WAYS, count // WAYS
            if length > self.words and count > WAYS - 1:
                self._cut(target[:, 0 : count * self.words], source[:, 0 : count * length], count)
                source, target, length = target, source, self.words
        self._cut(self.lists[:, self.words : WAYS * self.words], source[:, 0 : count * length], count)

    def _cut(self, into, lists, count):
        """The first words of each of the lists."""
        ptoc.mov(into.reshape(count, self.words), lists.reshape(count, lists.shape[1] // count)[:, 0 : self.words])


@topk.reference
def reference(x: np.ndarray, K: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-x, axis=1, kind="stable")[:, :K]
    return np.take_along_axis(x, order, axis=1), order


@topk.cores
def cores(M: int, aiv: int, **_: int) -> int:
    return min(aiv, M)


@topk.specialize
def specialize(N: int, K: int, **_: int) -> dict[str, int]:
    if K > N:
        raise ptoc.ArgumentError(f"topk: K must be at most the row's length; got K={K} and N={N}")
    size = next((BLOCK * WAYS**i for i in range(2) if BLOCK * WAYS**i >= K), 512)
    tile = (WAYS - 1) * size
    while tile < min(N, 1536):
        tile *= WAYS
    return {"LIST": size, "TILE": tile}


topk.tolerance = 0.0
topk.limit("K is at most 512", K=513)
topk.limit("K is at most the row's length", N=7)
topk.case("default", M=50, N=2000, K=8)
topk.case("in_turn", M=3, N=5000, K=8, cores=1)
topk.case("small", M=3, N=7, K=2)
topk.case("small_in_turn", M=7, N=200, K=2, TILE=96, cores=1)
topk.case("many", M=7, N=4000, K=300, cores=2)
topk.case("half", M=7, N=2500, K=50, T="f16", cores=2)
topk.case("large", large=True, M=4096, N=4096, K=64)
