"""The two stages of attention on a vector core: online softmax, and the sum of what the tiles give."""

import math

import ptoc
from ptoc import f32

from ._attention_sizes import chunk
from ._online_softmax import online_softmax

LOWEST = -3.0e38
"""Where a running maximum begins: near the least f32, so that exp(scale * (LOWEST - m)) is 0 for every m that can come."""
FLOOR = -1.0e30
"""Least maximum of a row where columns are masked: above LOWEST and what a mask leaves, so that both become 0; below every score of 16-bit numbers."""
TINY = 1.0e-30
"""Least sum of a row that a result is divided by where a row may see nothing; the result is 0 then."""


class Vector:
    """A vector core's stages for its half of each block's query rows, `slice` rows at a time so that the working tiles fit into UB.

    m, l: running maximum and sum of each row; o: the unnormalised result; r: exp(scale * (old m - new m)), which is 0 in the first tile
    of a block, so that l and o begin anew there.  compute_p runs up to `ring` - 1 steps ahead of compute_gu: l and r of those are kept, and m
    (`kept`) where maxima are stored (`keep`).
    """

    def __init__(self, sizes, qk, p, pv, ring, keep):
        s = self.s = sizes
        self.qk, self.p, self.pv, self.ring = qk, p, pv, ring
        self.scale = 1.0 / math.sqrt(s.d)
        self.x = ptoc.tile([s.slice, s.tile], f32, slots=2)
        self.x16 = ptoc.tile([s.slice, s.tile], s.dtype, slots=1 if s.steps.causal else 2)
        self.scratch = ptoc.tile([s.slice, s.tile if s.steps.causal else min(s.tile, 64)], f32)  # of reductions; of a mask too
        self.vc = chunk(s.dv)
        self.y = ptoc.tile([s.piece, self.vc], f32, slots=2)
        self.o = ptoc.tile([s.half, s.dv], f32)
        self.m, self.local = ptoc.tile([1, s.half], f32), ptoc.tile([1, s.half], f32)
        self.l, self.r = ptoc.tile([1, s.half], f32, slots=ring), ptoc.tile([1, s.half], f32, slots=ring)
        self.kept = ptoc.tile([1, s.half], f32, slots=ring) if keep else None
        for i in range(0 if s.steps.causal else ring - 1, ring):
            ptoc.expands(self.l[i], 0.0)
        ptoc.expands(self.o, 0.0)

    def above(self):
        """Query rows of a block above this core's half."""
        return ptoc.sub_block_idx() * self.s.half

    def rows(self, step):
        """First query row of this core's half of a step's block, and number of its rows."""
        return step.row + self.above(), self.s.part(self.s.half, step.rest - self.above())

    def parts(self, step, size):
        """(number, first row, rows) of each part of `size` rows of this core's half."""
        for i in range(self.s.half // size):
            yield i, i * size, self.s.part(size, step.rest - self.above() - i * size)

    def compute_p(self, g, step):
        """Online softmax of step g: P = exp(scale * (QK - m)) in 16 bits, and the rescaling of what came before."""
        s = self.s
        with ptoc.when(step.first):
            ptoc.expands(self.m, LOWEST)
        full, empty = self.qk.pop(), self.p.alloc()
        _, n = s.columns(step)
        for i, at, rows in self.parts(step, s.slice):
            with s.when(rows):
                x, x16 = self.x[i % 2][0:rows, 0:n], self.x16[i % len(self.x16)][0:rows, 0:n]
                ptoc.load(x, full[at : at + rows, 0:n])
                below = self.hide(step, x, at, rows, n) if s.steps.causal else None
                self.softmax(g, slice(at, at + s.slice), x, x16, below)
                ptoc.store(empty[at : at + rows, 0:n], x16)
        self.qk.free(full)
        self.p.push(empty)

    def hide(self, step, x, at, rows, n):
        """Subtracts from x what lies above the diagonal; the last column that the first of these rows sees, counted from x's first one."""
        s = self.s
        diagonal = step.seen - 1 + self.above() + at - step.tile * s.tile
        mask = self.scratch[0:rows, 0:n]
        with ptoc.when(diagonal < n - 1):
            ptoc.tri(mask, diagonal + 1, upperOrLower=1)
            ptoc.muls(mask, mask, LOWEST)
            ptoc.add(x, x, mask)
        return diagonal

    def softmax(self, g, part, x, x16, below):
        """x16 = exp(scale * (x - new m)); m, l and r follow."""
        rows, ring = x.valid[0], self.ring
        whole = (self.m, self.l[g % ring], self.l[(g + ring - 1) % ring], self.r[g % ring], self.local)
        m, l, before, r, local = (row[:, part][:, 0:rows] for row in whole)
        column, scratch = self.column(self.local)[part, :][0:rows, :], self.scratch[0:rows, :]

        def floor(local):
            with ptoc.when(below < 0):
                ptoc.maxs(local, local, FLOOR)

        def keep(m):
            ptoc.mov(self.kept[g % ring][:, part][:, 0:rows], m)

        online_softmax(
            x, x16, m, before, l, r, local, column, scratch, self.scale,
            floor=None if below is None else floor, keep=None if self.kept is None else keep,
        )  # fmt: skip

    def compute_gu(self, g, step, out, totals):
        """o = o * r + PV of step g; behind the last tile of a block out = o / l."""
        s, (row, whole) = self.s, self.rows(step)
        entry = self.pv.pop()
        with s.when(whole):
            o = self.o[0:whole, :]
            ptoc.rowexpandmul(o, o, self.column(self.r[g % self.ring])[0:whole, :])
        turn = 0
        for _, at, rows in self.parts(step, s.piece):
            with s.when(rows):
                for c in range(0, s.dv, self.vc):
                    y, o = self.y[turn % 2][0:rows, :], self.o[at : at + s.piece, c : c + self.vc][0:rows, :]
                    turn += 1
                    ptoc.load(y, entry[at : at + rows, c : c + self.vc])
                    ptoc.add(o, o, y)
        self.pv.free(entry)
        with ptoc.when(step.last), s.when(whole):
            at = step.part * s.steps.all_rows + row
            self.store_result(g, self.o[0:whole, :], out[at : at + whole, :])
            for tile, total in zip((self.kept, self.l), totals):
                ptoc.store(total[at : at + whole], tile[g % self.ring][:, 0:whole])

    def store_result(self, g, o, out):
        """The rows of a block, divided by their sums."""
        l, rows = self.l[g % self.ring], o.valid[0]
        if self.s.steps.causal:
            ptoc.maxs(l[:, 0:rows], l[:, 0:rows], TINY)
        ptoc.rowexpanddiv(o, o, self.column(l)[0:rows, :])
        ptoc.store(out, o)

    def column(self, row):
        """A row of numbers, one for each query row, as a column."""
        return row.reshape(self.s.half, 1, layout="dn")
