"""Bench kernel: flash attention as PTO-DSL builds it.  Frozen: it stands for one measured program and is never improved.

One slot of QK, P and V where the hand-written one has two, rings reported every four entries, working tiles of 32 rows, rescaling before
the softmax of the tile PRELOAD ahead.  BARRIERS: the vector barrier behind every vector instruction that early builds contain.
Source: hw-native-sys/pto-isa 3186c381, kernels/python/flash_atten; on-chip memory as published with its pull request 117.
"""

import math

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

LOWEST = -3.0e38


@ptoc.kernel
def attention_dsl(
    q: ptoc.Tensor["S0", "D", f16],
    k: ptoc.Tensor["S1", "D", f16],
    v: ptoc.Tensor["S1", "D", f16],
    o: ptoc.Out["S0", "D", f32],
    S0,
    S1,
    *,
    D: int = 128,
    TILE: int = 256,
    SUB: int = 128,
    ROWS: int = 128,
    SLICE: int = 32,
    PRELOAD: int = 4,
    BARRIERS: bool = False,
):
    """o = softmax(q @ k.T / sqrt(D)) @ v; each block of query rows begins its pipeline anew."""
    qk = ptoc.pipe("c2v", (ROWS, TILE), f32, slots=8, local_slots=2, name="qk")
    p = ptoc.pipe("v2c", (ROWS, TILE), f16, slots=8, local_slots=2, name="p")
    pv = ptoc.pipe("c2v", (ROWS, D), f32, slots=8, local_slots=2, name="pv")
    blocks, tiles = ptoc.ceil_div(S0, ROWS), ptoc.ceil_div(S1, TILE)
    ahead = ptoc.minimum(tiles, PRELOAD)
    with ptoc.cube():
        cube = Cube(q, k, v, qk, p, pv, D, SUB, ROWS, TILE // SUB)
        for b in ptoc.range(ptoc.block_idx(), blocks, ptoc.num_blocks()):
            cube.load_query(b)
            for g in ptoc.range(ahead):
                entry = qk.alloc()
                for j in range(cube.subs):
                    cube.compute_qk(g, j, entry)
                qk.push(entry)
            for g in ptoc.range(tiles - ahead):
                full, entry = p.pop(), qk.alloc()
                for j in range(cube.subs):
                    cube.compute_pv(g, j, full)
                    cube.compute_qk(g + ahead, j, entry)
                cube.finish_pv(full)
                qk.push(entry)
            for g in ptoc.range(ahead):
                full = p.pop()
                for j in range(cube.subs):
                    cube.compute_pv(g + tiles - ahead, j, full)
                cube.finish_pv(full)
    with ptoc.vector():
        vector = Vector(qk, p, pv, D, TILE, ROWS, SLICE, PRELOAD, BARRIERS)
        for b in ptoc.range(ptoc.block_idx(), blocks, ptoc.num_blocks()):
            vector.begin()
            for g in ptoc.range(ahead):
                vector.compute_p(g)
            for g in ptoc.range(tiles - ahead):
                vector.compute_gu(g)
                vector.compute_p(g + ahead)
            for g in ptoc.range(ahead):
                vector.compute_gu(g + tiles - ahead)
            vector.finish(b, o)


class Cube:
    """The cube core's stages: all of L0A, L0B and L0C, two slots of K, one of P and V."""

    def __init__(self, q, k, v, qk, p, pv, d, sub, rows, subs):
        self.q, self.k, self.v, self.qk, self.p, self.pv = q, k, v, qk, p, pv
        self.sub, self.rows, self.subs = sub, rows, subs
        self.q1 = ptoc.tile([rows, d], f16, L1)
        self.k1 = ptoc.tile([d, sub], f16, L1, layout="zn", slots=2)
        self.p1 = ptoc.tile([rows, sub], f16, L1)
        self.v1 = ptoc.tile([sub, d], f16, L1)
        self.q0 = ptoc.tile([rows, d], f16, L0A)
        self.p0 = ptoc.tile([rows, sub], f16, L0A)
        self.k0 = ptoc.tile([d, sub], f16, L0B)
        self.v0 = ptoc.tile([sub, d], f16, L0B)
        self.qk0 = ptoc.tile([rows, sub], f32, L0C)
        self.pv0 = ptoc.tile([rows, d], f32, L0C)

    def load_query(self, b):
        """The block's query rows, once."""
        ptoc.load(self.q1, self.q[b * self.rows : (b + 1) * self.rows, :])
        ptoc.mov(self.q0, self.q1)

    def compute_qk(self, g, j, entry):
        """Scores of sub-tile j of tile g."""
        first, k1 = (g * self.subs + j) * self.sub, self.k1[j % 2]
        ptoc.load(k1, self.k.T[:, first : first + self.sub])
        ptoc.mov(self.k0, k1)
        ptoc.matmul(self.qk0, self.q0, self.k0)
        ptoc.store(entry[:, j * self.sub : (j + 1) * self.sub], self.qk0)

    def compute_pv(self, g, j, full):
        """Adds sub-tile j of P @ V of tile g."""
        first = (g * self.subs + j) * self.sub
        ptoc.load(self.p1, full[:, j * self.sub : (j + 1) * self.sub])
        ptoc.mov(self.p0, self.p1)
        ptoc.load(self.v1, self.v[first : first + self.sub, :])
        ptoc.mov(self.v0, self.v1)
        if j == 0:
            ptoc.matmul(self.pv0, self.p0, self.v0)
        else:
            ptoc.matmul_acc(self.pv0, self.pv0, self.p0, self.v0)

    def finish_pv(self, full):
        """Gives the entry of P back and hands PV on."""
        self.p.free(full)
        entry = self.pv.alloc()
        ptoc.store(entry, self.pv0)
        self.pv.push(entry)


class Vector:
    """A vector core's stages for its half of the block's query rows."""

    def __init__(self, qk, p, pv, d, tile, rows, piece, preload, barriers):
        self.qk, self.p, self.pv, self.rows, self.piece, self.ring, self.barriers = qk, p, pv, rows, piece, preload, barriers
        self.scale, self.slices = 1.0 / math.sqrt(d), rows // 2 // piece
        self.x, self.e, self.scratch = (ptoc.tile([piece, tile], f32) for _ in range(3))
        self.x16 = ptoc.tile([piece, tile], f16)
        self.y = [ptoc.tile([piece, d], f32) for _ in range(self.slices)]
        self.o = [ptoc.tile([piece, d], f32) for _ in range(self.slices)]
        self.m = [ptoc.tile([1, piece], f32) for _ in range(self.slices)]
        self.l = [ptoc.tile([1, piece], f32) for _ in range(self.slices)]
        self.r = [ptoc.tile([1, piece], f32, slots=preload) for _ in range(self.slices)]
        self.local = ptoc.tile([1, piece], f32)

    def issue(self, op, *operands):
        """One vector instruction, with a barrier behind it where every one has one."""
        op(*operands)
        if self.barriers:
            ptoc.barrier("V")

    def column(self, row):
        """A row of numbers as a column."""
        return row.reshape(self.piece, 1, layout="dn")

    def begin(self):
        """Before the first tile: nothing summed, all maxima low."""
        for i in range(self.slices):
            self.issue(ptoc.expands, self.m[i], LOWEST)
            self.issue(ptoc.expands, self.l[i], 0.0)
            self.issue(ptoc.expands, self.o[i], 0.0)

    def compute_p(self, g):
        """Online softmax of tile g."""
        full, empty = self.qk.pop(), self.p.alloc()
        for i in range(self.slices):
            part = slice(i * self.piece, (i + 1) * self.piece)
            ptoc.load(self.x, full[part, :])
            self.softmax(g, i)
            ptoc.store(empty[part, :], self.x16)
        self.qk.free(full)
        self.p.push(empty)

    def softmax(self, g, i):
        """x16 = exp(scale * (x - new maximum)), with maximum, sum and factor of the rows."""
        x, e, local, m, l, r = self.x, self.e, self.local, self.m[i], self.l[i], self.r[i][g % self.ring]
        self.issue(ptoc.rowmax, self.column(local), x, self.scratch)
        self.issue(ptoc.max, local, local, m)
        self.issue(ptoc.sub, r, m, local)
        self.issue(ptoc.mov, m, local)
        self.issue(ptoc.muls, r, r, self.scale)
        self.issue(ptoc.exp, r, r)
        self.issue(ptoc.rowexpandsub, e, x, self.column(local))
        self.issue(ptoc.muls, e, e, self.scale)
        self.issue(ptoc.exp, e, e)
        self.issue(ptoc.cvt, self.x16, e)
        self.issue(ptoc.mul, l, l, r)
        self.issue(ptoc.rowsum, self.column(local), e, self.scratch)
        self.issue(ptoc.add, l, l, local)

    def compute_gu(self, g):
        """o = o * r + PV of tile g."""
        entry = self.pv.pop()
        for i in range(self.slices):
            ptoc.load(self.y[i], entry[i * self.piece : (i + 1) * self.piece, :])
            self.issue(ptoc.rowexpandmul, self.o[i], self.o[i], self.column(self.r[i][g % self.ring]))
            self.issue(ptoc.add, self.o[i], self.o[i], self.y[i])
        self.pv.free(entry)

    def finish(self, b, out):
        """out = o / l."""
        row = b * self.rows + ptoc.sub_block_idx() * (self.rows // 2)
        for i in range(self.slices):
            self.issue(ptoc.rowexpanddiv, self.o[i], self.o[i], self.column(self.l[i]))
            ptoc.store(out[row + i * self.piece : row + (i + 1) * self.piece, :], self.o[i])


@attention_dsl.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Softmax attention."""
    s = q @ k.T / math.sqrt(q.shape[1])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e @ v / e.sum(axis=1, keepdims=True)


attention_dsl.case("default", S0=128, S1=1024, cores=1)
