"""The K largest of N scores for each query, as indices, by a threshold: the cost grows with N and not with K, and nothing is sorted.

The threshold, the K-th largest score, is found bit by bit.  Floats are ordered as the whole numbers that their bits are, once the bits of negative ones are
flipped; so the largest number that at least K scores reach takes 32 steps: one for the sign, 31 from the highest bit down.  A step compares all scores with a
candidate (1), turns bits into ones (2) and sums them, a line of 64 at a time (3).  The candidate becomes the threshold where the sum is at least K, which is arithmetic on one number:
nothing branches on data.  Two more passes append indices to a list: of scores above the threshold, then of equal ones from the first until the
list is full.

Scores are streamed from global memory, COLS at a time in two slots.  The last part is filled up with -inf, which is taken only behind everything else.
Queries go to the vector cores in turn.  Indices come in the order of their scores' places, those above the threshold first.
"""

import numpy as np

import ptoc
from ptoc import f32, i32, ui8

LINE = 64
"""Scores that are counted together: what one repeat of a vector instruction sums."""

LOWEST_KEY = -2139095041
"""The key of -inf, 0x807fffff: below it lie the bits of negative NaNs."""


@ptoc.kernel
def dsa_topk(scores: ptoc.Tensor["S", "N", f32], index: ptoc.Out["S", "K", i32], S, N, *, K: int = 2048, COLS: int = 4096, WHOLE: bool = True, TAILS: bool = True):
    """index[s] = where the K largest of scores[s] are, ties by the smaller index; K <= N, no NaN."""
    with ptoc.part("topk"):
        search = Search(scores, N, K, COLS, WHOLE, TAILS)
        found, taken = ptoc.tile([1, K], i32), ptoc.tile([1, 8], i32, valid=(1, 1))
        sequence, place = ptoc.tile([1, COLS], i32), ptoc.tile([1, COLS], i32)
        ptoc.ci(sequence, 0)
        for s in ptoc.range(ptoc.block_idx(), S, ptoc.num_blocks()):
            search.threshold(s)
            ptoc.expands(found, 0)
            ptoc.expands(taken, 0)
            for mode in ("gt", "eq"):
                ptoc.mov(place, sequence)
                for x in search.parts_in_one_loop(s):
                    ptoc.compress(taken, found, x, search.limit, place, cmpMode=mode)
                    ptoc.adds(place, place, COLS)
            ptoc.store(index[s, :], found)


class Search:
    """The threshold of a query's scores.  key: of the largest number that at least K scores reach; limit: that number."""

    def __init__(self, scores, n, k, cols, whole, tails):
        self.scores, self.n, self.k, self.cols, self.whole, self.tails = scores, n, k, cols, whole, tails
        self.ones, self.limits, self.passed = (ptoc.tile([1, cols], f32) for _ in range(3))
        self.mask = ptoc.tile([1, cols // 8], ui8)
        one = [1, 8]
        self.key, self.step, self.candidate, self.chosen = (ptoc.tile(one, i32) for _ in range(4))
        self.ordered, self.sign, self.flips, self.scratch, self.bits = (ptoc.tile(one, i32) for _ in range(5))
        self.lines = cols // LINE
        self.sums, self.counts = (ptoc.tile([1, max(self.lines, 8)], f32) for _ in range(2))
        self.count = ptoc.tile(one, f32)
        self.limit_row = self.bits.reshape(1, 8, dtype=f32)
        self.limit = self.limit_row[:, 0:1]
        ptoc.expands(self.ones, 1.0)
        ptoc.expands(self.count, 0.0)

    def parts(self, s):
        """The parts of a query's scores, one after the other; the last one, where it is no whole one, filled up with -inf.

        It stands behind the loop: filled in it, each load would wait for the vector engine.
        """
        whole = self.n // self.cols if self.whole else 0
        if self.whole:
            for c in ptoc.range(whole, stages=2):
                x = ptoc.tile([1, self.cols], f32)
                ptoc.load(x, self.scores[s, c * self.cols : (c + 1) * self.cols])
                yield x
        if self.tails:
            x = ptoc.tile([1, self.cols], f32)
            ptoc.expands(x, float("-inf"))
            ptoc.load(x[:, 0 : self.n - whole * self.cols], self.scores[s, whole * self.cols : self.n])
            yield x

    def parts_in_one_loop(self, s):
        """The same parts; the last one is filled in the loop, which costs little where the scores are gone through once."""
        for c in ptoc.range(ptoc.ceil_div(self.n, self.cols), stages=2):
            n = ptoc.minimum(self.n - c * self.cols, self.cols)
            x = ptoc.tile([1, self.cols], f32)
            with ptoc.when(n < self.cols):
                ptoc.expands(x, float("-inf"))
            ptoc.load(x[:, 0:n], self.scores[s, c * self.cols : c * self.cols + n])
            yield x

    def threshold(self, s):
        """Finds the key, bit by bit, and the limit that it stands for."""
        ptoc.expands(self.candidate, 0)
        self.reached(s)
        ptoc.adds(self.key, self.chosen, -1)
        ptoc.shls(self.key, self.key, 31)
        ptoc.expands(self.step, 1 << 30)
        for _ in ptoc.range(31):
            ptoc.add(self.candidate, self.key, self.step)
            self.reached(s)
            ptoc.mul(self.chosen, self.chosen, self.step)
            ptoc.add(self.key, self.key, self.chosen)
            ptoc.shrs(self.step, self.step, 1)
        self.number_of(self.key)

    def reached(self, s):
        """chosen = 1 where at least K scores reach the candidate, else 0."""
        self.number_of(self.candidate)
        ptoc.rowexpand(self.limits, self.limit_row)
        ptoc.expands(self.counts, 0.0)
        for x in self.parts(s):
            ptoc.cmp(self.mask, x, self.limits, cmpMode="ge")
            ptoc.sels(self.passed, self.mask, self.ones, 0.0)
            ptoc.rowsum(column(self.sums)[0 : self.lines, :], self.passed.reshape(self.lines, LINE))
            ptoc.add(self.counts[:, 0 : self.lines], self.counts[:, 0 : self.lines], self.sums[:, 0 : self.lines])
        ptoc.rowsum(column(self.count)[0:1, :], self.counts)
        ptoc.adds(self.count, self.count, float(1 - self.k))
        ptoc.maxs(self.count, self.count, 0.0)
        ptoc.mins(self.count, self.count, 1.0)
        ptoc.cvt(self.chosen, self.count)

    def number_of(self, key):
        """limit = the float whose key this is: the bits of negative ones are flipped."""
        ptoc.maxs(self.ordered, key, LOWEST_KEY)
        ptoc.shrs(self.sign, self.ordered, 31)
        ptoc.ands(self.flips, self.sign, 0x7FFFFFFF)
        ptoc.xor(self.bits, self.ordered, self.flips, self.scratch)


def column(row):
    """A row of numbers as a column."""
    return row.reshape(row.shape[1], 1, layout="dn")


@dsa_topk.reference
def reference(scores: np.ndarray, K: int) -> np.ndarray:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    limit = np.take_along_axis(scores, order[:, -1:], axis=1)
    place = np.sort(order, axis=1)
    equal = np.take_along_axis(scores, place, axis=1) == limit
    return np.take_along_axis(place, np.argsort(equal, axis=1, kind="stable"), axis=1)


@dsa_topk.cores
def cores(S: int, aiv: int, **_: int) -> int:
    return min(aiv, S)


@dsa_topk.specialize
def specialize(N: int, K: int, **_: int) -> dict[str, int]:
    """Parts of a row that is shorter are as long as the row; whether there are whole parts, and a rest, is known when compiling."""
    if K > N:
        raise ptoc.ArgumentError(f"dsa_topk: the K largest of N need K <= N; got K={K}, N={N}")
    cols = min(4096, -(-N // 256) * 256)
    return {"COLS": cols, "WHOLE": N >= cols, "TAILS": N % cols > 0}


dsa_topk.tolerance = 0
dsa_topk.case("small", S=3, N=700, K=64, cores=2)
dsa_topk.case("all", S=3, N=32, K=32, cores=1)
dsa_topk.case("parts", S=2, N=9000, K=512, cores=1)
dsa_topk.case("whole_parts", S=2, N=12288, K=512, cores=1)
dsa_topk.case("context_128k", S=48, N=131072, K=2048, large=True)
dsa_topk.limit("K is at most N", K=800)
