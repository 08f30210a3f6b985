"""The two stages of attention on the cube core: scores QK, and products PV."""

import ptoc
from ptoc import L0A, L0B, L0C, L1, f32

from ._attention_sizes import chunk


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
