"""The four stages of attention over rings between cores: two of the cube core, two of the vector cores.

compute_qk (cube) -> ring qk -> compute_p (vector: online softmax) -> ring p -> compute_pv (cube) -> ring pv -> compute_gu (vector).
"""

import math
from dataclasses import dataclass
from typing import Any

import ptoc
from ptoc import L0A, L0B, L0C, L1, f32

LOWEST = -3.0e38
"""Where a running maximum begins: near the least f32, so that exp(scale * (LOWEST - m)) is 0 for every m that can come."""
FLOOR = -1.0e30
"""Least maximum of a row where columns are masked: above LOWEST and what a mask leaves, so that both become 0; below every score of 16-bit numbers."""
TINY = 1.0e-30
"""Least sum of a row that a result is divided by where a row may see nothing; the result is 0 then."""


def chunk(extent, most=128):
    """Columns of a head that L0 takes at a time: the largest divisor of at most `most` that is whole fractals of 16."""
    return max(n for n in range(16, most + 1, 16) if extent % n == 0)


def tuned(rows, columns, d, dv, tile=256):
    """Parameters that are fastest on 910B for a shape; a tile other than 256 is taken as asked for.

    Many long rows take tiles of 512, which halve what is passed on of PV, in one buffer of L1 each.  Short ones take half of a sub-tile's
    columns at a time, in turns in L0: they start earlier; long ones all of them, in fewer commands.  A slice of scores is 8192 numbers, a
    shape of which the library folds rows in groups.  Wider heads leave less room.
    """
    if tile == 256:
        tile = 512 if max(d, dv) <= 128 and columns >= 8192 and rows > 1024 else 256 if max(d, dv) <= 256 else 128
    wide, long = max(d, dv) > 128, tile >= 512
    short = rows <= 1024 and columns <= 4096
    return {
        "TILE": tile,
        "WIDTH": min(tile, 64 if wide or long or short else 128),
        "BUFFERS": 1 if wide or long else 2,
        "SLICE": 16 if wide else min(64, 8192 // tile),
        "PIECE": 16 if wide or long else 32,
        "PRELOAD": 2 if long or tile == 32 else 4,
        "SLOTS": 4 if long or tile == 32 else 8,
    }


@dataclass
class Sizes:
    """Extents of the parts of a step.

    d, dv: width of queries and of values; rows: query rows of a block; width: columns of a tile that one matrix product takes; buffers: tiles
    of K and of V in L1; slice, piece: rows that a vector core takes at a time, of scores and of products; tails: some parts are not whole.
    """

    d: int
    dv: int
    rows: int
    tile: int
    width: int
    buffers: int
    slice: int
    piece: int
    tails: bool
    dtype: Any
    steps: Any

    @property
    def half(self):
        """Query rows of one vector core."""
        return self.rows // 2

    def part(self, size, rest, least=0):
        """Elements of a part of `size` where `rest` remain, which is at least `least`."""
        return ptoc.maximum(ptoc.minimum(rest, size), least) if self.tails else size

    def columns(self, step):
        """First column, and number of columns, of a step's tile."""
        first = step.tile * self.tile
        return first, self.part(self.tile, step.limit - first, 1)

    def block_rows(self, step):
        """Query rows of a step's block."""
        return self.part(self.rows, step.rest, 1)

    def when(self, n):
        """Runs its body where a part has elements."""
        return ptoc.when(n > 0) if self.tails else ptoc.when(True)


class Cube:
    """The cube core's stages.

    K, V and P of a tile are loaded in one piece each: long bursts, one start.  They are multiplied `width` columns at a time, in two places
    of L0 that take turns where the width leaves room for two: one is filled while the other is multiplied, and scores leave while the next
    ones are made.  Each operand has bytes of its own in L0, so that the stages, of which the first and last steps run only one, need not wait
    for each other.  Q of one operand stays in L0A from tile to tile; a wider one comes in pieces with those of K.
    """

    def __init__(self, sizes, q, k, v, qk, p, pv):
        s = self.s = sizes
        self.q, self.k, self.v, self.qk, self.p, self.pv = q, k, v, qk, p, pv
        self.dc, self.vc = s.d if s.d <= 128 else chunk(s.d, 64), chunk(s.dv)
        self.resident = s.d == self.dc
        self.width = s.width if self.resident else min(s.tile, 128)
        self.turns = max(1, 128 // s.width)
        self.q1 = ptoc.tile([s.rows, s.d], s.dtype, L1)
        self.k1 = ptoc.tile([s.d, s.tile], s.dtype, L1, layout="zn", slots=s.buffers)
        self.p1 = ptoc.tile([s.rows, s.tile], s.dtype, L1)
        self.v1 = ptoc.tile([s.tile, s.dv], s.dtype, L1, slots=s.buffers)
        self.q0 = ptoc.tile([s.rows, s.d], s.dtype, L0A) if self.resident else None
        self.pv0 = ptoc.tile([s.rows, self.vc], f32, L0C)

    def compute_qk(self, g, step):
        """QK of a step; with the first tile of a block come its query rows."""
        s, rows, (first, n) = self.s, self.s.block_rows(step), self.s.columns(step)
        q1, k1 = self.q1[0:rows, :], self.k1[g % s.buffers][:, 0:n]
        with ptoc.when(step.first):
            ptoc.load(q1, self.q[step.row : step.row + rows, :])
            if self.resident:
                ptoc.mov(self.q0[0:rows, :], q1)
        entry, column = self.qk.alloc(), step.column + first
        ptoc.load(k1, self.k.T[:, column : column + n])
        for t in ptoc.range(ptoc.ceil_div(n, self.width), stages=self.turns if self.resident else 1):
            columns = s.part(self.width, n - t * self.width)
            scores = ptoc.tile([s.rows, self.width], f32, L0C)[0:rows, 0:columns]
            self.multiply_q(q1, k1, t * self.width, scores)
            ptoc.store(entry[0:rows, t * self.width : t * self.width + columns], scores)
        self.qk.push(entry)

    def multiply_q(self, q1, k1, at, scores):
        """scores = Q K, for the columns of K that begin at `at`."""
        rows, columns = scores.valid
        if self.resident:
            k0 = ptoc.tile([self.dc, self.width], self.s.dtype, L0B)[:, 0:columns]
            ptoc.extract(k0, k1, 0, at)
            ptoc.matmul(scores, self.q0[0:rows, :], k0)
            return
        for c in ptoc.range(self.s.d // self.dc, stages=2):
            q0 = ptoc.tile([self.s.rows, self.dc], self.s.dtype, L0A)[0:rows, :]
            k0 = ptoc.tile([self.dc, self.width], self.s.dtype, L0B)[:, 0:columns]
            ptoc.extract(q0, q1, 0, c * self.dc)
            ptoc.extract(k0, k1, c * self.dc, at)
            accumulate(scores, q0, k0, c)

    def compute_pv(self, g, step):
        """PV of a step, for so much of the values' width at a time as L0C takes."""
        s, rows, (first, n) = self.s, self.s.block_rows(step), self.s.columns(step)
        p1, v1 = self.p1[0:rows, 0:n], self.v1[g % s.buffers][0:n, :]
        full, empty, column = self.p.pop(), self.pv.alloc(), step.column + first
        ptoc.load(v1, self.v[column : column + n, :])
        ptoc.load(p1, full[0:rows, 0:n])
        sums = self.pv0[0:rows, :]
        for c in ptoc.range(s.dv // self.vc) if s.dv > self.vc else range(1):
            for t in ptoc.range(ptoc.ceil_div(n, s.width), stages=self.turns):
                columns = s.part(s.width, n - t * s.width)
                p0 = ptoc.tile([s.rows, s.width], s.dtype, L0A)[0:rows, 0:columns]
                v0 = ptoc.tile([s.width, self.vc], s.dtype, L0B)[0:columns, :]
                ptoc.extract(p0, p1, 0, t * s.width)
                ptoc.extract(v0, v1, t * s.width, c * self.vc)
                accumulate(sums, p0, v0, t)
            ptoc.store(empty[0:rows, c * self.vc : (c + 1) * self.vc], sums)
        self.p.free(full)
        self.pv.push(empty)


def accumulate(sums, left, right, turn):
    """sums = left @ right in turn 0, sums += left @ right after it."""
    with ptoc.when(turn == 0):
        ptoc.matmul(sums, left, right)
    with ptoc.when(turn > 0):
        ptoc.matmul_acc(sums, sums, left, right)


class Vector:
    """A vector core's stages for its half of each block's query rows, `slice` rows at a time so that the working tiles fit into UB.

    m, l: running maximum and sum of each row; o: the unnormalised result; r: exp(scale * (old m - new m)), which is 0 in the first tile
    of a block, so that l and o begin anew there.  compute_p runs up to `ring` - 1 steps ahead of compute_gu: l and r of those are kept, and m
    (`kept`) where maxima are stored.
    """

    def __init__(self, sizes, qk, p, pv, ring):
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
        self.kept = ptoc.tile([1, s.half], f32, slots=ring) if s.steps.parts > 1 else None
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
        """x16 = exp(scale * (x - new m)); m, l and r follow.  Commands that do not depend on each other stand together: fewer barriers."""
        rows, ring = x.valid[0], self.ring
        whole = (self.m, self.l[g % ring], self.l[(g + ring - 1) % ring], self.r[g % ring], self.local)
        m, l, before, r, local = (row[:, part][:, 0:rows] for row in whole)
        column, scratch = self.column(self.local)[part, :][0:rows, :], self.scratch[0:rows, :]
        ptoc.rowmax(column, x, scratch)
        if below is not None:
            with ptoc.when(below < 0):
                ptoc.maxs(local, local, FLOOR)
        ptoc.max(local, local, m)
        ptoc.sub(r, m, local)
        ptoc.rowexpandsub(x, x, column)
        ptoc.mov(m, local)
        if self.kept is not None:
            ptoc.mov(self.kept[g % ring][:, part][:, 0:rows], local)
        ptoc.muls(r, r, self.scale)
        ptoc.muls(x, x, self.scale)
        ptoc.exp(r, r)
        ptoc.exp(x, x)
        ptoc.mul(l, before, r)
        ptoc.cvt(x16, x)
        ptoc.rowsum(column, x, scratch)
        ptoc.add(l, l, local)

    def compute_gu(self, g, step, out, totals):
        """o = o * r + PV of step g; behind the last tile of a block out = o / l."""
        s, (row, whole) = self.s, self.rows(step)
        entry = self.pv.pop()
        with s.when(whole):
            o = self.o[0:whole, :]
            ptoc.rowexpandmul(o, o, self.column(self.r[g % self.ring])[0:whole, :])
        turn = 0
        for i, at, rows in self.parts(step, s.piece):
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


def attend(sizes, q, k, v, o, *, slots, local_slots, preload, totals=()):
    """The pipeline: rings, sections, and the cube running `preload` steps of QK ahead."""
    s, steps = sizes, sizes.steps
    ring = {"slots": slots, "local_slots": local_slots}
    qk = ptoc.pipe("c2v", (s.rows, s.tile), f32, name="qk", **ring)
    p = ptoc.pipe("v2c", (s.rows, s.tile), s.dtype, name="p", **ring)
    pv = ptoc.pipe("c2v", (s.rows, s.dv), f32, name="pv", **ring)
    ptoc.return_if(ptoc.block_idx() >= steps.all)
    total = steps.total()
    ahead = ptoc.minimum(total, preload)

    def when(inside, g):
        """Runs its body where step g is one of this core's and not empty."""
        step = steps.at(g)
        return step, ptoc.when(inside if step.valid is None else inside & step.valid)

    with ptoc.cube():
        cube = Cube(s, q, k, v, qk, p, pv)
        for g in ptoc.range(total + ahead):
            step, arm = when(g < total, g)
            with arm:
                cube.compute_qk(g, step)
            step, arm = when(g >= ahead, g - ahead)
            with arm:
                cube.compute_pv(g - ahead, step)
    with ptoc.vector():
        vector = Vector(s, qk, p, pv, preload + 1)
        for g in ptoc.range(total + ahead):
            step, arm = when(g < total, g)
            with arm:
                vector.compute_p(g, step)
            step, arm = when(g >= ahead, g - ahead)
            with arm:
                vector.compute_gu(g - ahead, step, o, totals)
