"""Bench kernel: flash attention as written by hand in C++ for A2/A3.  Frozen: it stands for one measured program and is never improved.

One cube core and two vector cores per block of 128 query rows, a cube tile of 128 columns, TILE columns of S1 per signal, QK PRELOAD
tiles ahead, rings of 8 entries reported one by one, sub-tiles stored densely one behind the other; K, P, V in two slots of L1, halves of
L0 by 64 columns of the inner size; a vector core works on 64 / (TILE / 128) rows at a time and rescales its 64 rows at once.
Source: hw-native-sys/pto-isa 3186c381, kernels/manual/common/flash_atten and demos/torch_jit/flash_atten (fa_kernel.cpp).
"""

import math

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

LOWEST = -3.0e38
RING = 8


@ptoc.kernel
def attention_by_hand(
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
    PRELOAD: int = 4,
):
    """o = softmax(q @ k.T / sqrt(D)) @ v; each block of query rows begins its pipeline anew."""
    subs = TILE // SUB
    qk = ptoc.pipe("c2v", (subs * ROWS, SUB), f32, slots=RING, local_slots=2, sync_period=1, split="none", name="qk")
    p = ptoc.pipe("v2c", (subs * ROWS, SUB), f16, slots=RING, local_slots=2, sync_period=1, split="none", name="p")
    pv = ptoc.pipe("c2v", (ROWS, D), f32, slots=RING, local_slots=2, sync_period=1, split="none", name="pv")
    blocks, tiles = ptoc.ceil_div(S0, ROWS), ptoc.ceil_div(S1, TILE)
    ahead = ptoc.minimum(tiles, PRELOAD)
    with ptoc.cube():
        cube = Cube(q, k, v, qk, p, pv, D, SUB, ROWS, subs)
        for b in ptoc.range(ptoc.block_idx(), blocks, ptoc.num_blocks()):
            for g in ptoc.range(ahead):
                entry = qk.alloc()
                for j in range(subs):
                    cube.compute_qk(b, g, j, entry)
                qk.push(entry)
            for g in ptoc.range(tiles - ahead):
                entry, full = qk.alloc(), p.pop()
                for j in range(subs):
                    cube.compute_qk(b, g + ahead, j, entry)
                    cube.compute_pv(g, j, full)
                qk.push(entry)
                cube.finish_pv(full)
            for g in ptoc.range(ahead):
                full = p.pop()
                for j in range(subs):
                    cube.compute_pv(g + tiles - ahead, j, full)
                cube.finish_pv(full)
    with ptoc.vector():
        vector = Vector(qk, p, pv, D, SUB, ROWS, subs)
        for b in ptoc.range(ptoc.block_idx(), blocks, ptoc.num_blocks()):
            vector.begin()
            for g in ptoc.range(ahead):
                vector.compute_p(g, g * subs)
            for g in ptoc.range(tiles - ahead):
                turn = ahead * subs + g * (subs + 1)
                vector.compute_p(g + ahead, turn)
                vector.compute_gu(g, turn + subs)
            for g in ptoc.range(ahead):
                vector.compute_gu(g + tiles - ahead, (tiles - ahead) * (subs + 1) + ahead * subs + g)
            vector.finish(b, tiles - 1, o)


class Cube:
    """The cube core's stages."""

    def __init__(self, q, k, v, qk, p, pv, d, sub, rows, subs):
        self.q, self.k, self.v, self.qk, self.p, self.pv = q, k, v, qk, p, pv
        self.d, self.sub, self.rows, self.subs, self.half = d, sub, rows, subs, d // 2
        self.q1 = ptoc.tile([rows, d], f16, L1)
        self.k1 = ptoc.tile([d, sub], f16, L1, layout="zn", slots=2)
        self.p1 = ptoc.tile([rows, sub], f16, L1, slots=2)
        self.v1 = ptoc.tile([sub, d], f16, L1, slots=2)
        self.left = ptoc.tile([rows, self.half], f16, L0A, slots=2)
        self.right = ptoc.tile([self.half, sub], f16, L0B, slots=2)
        self.qk0 = ptoc.tile([rows, sub], f32, L0C)
        self.pv0 = ptoc.tile([rows, d], f32, L0C)

    def multiply(self, acc, left, right, fresh):
        """acc (+)= left @ right, by halves of the inner size."""
        for i in range(2):
            a, b = self.left[i], self.right[i]
            ptoc.extract(a, left, 0, i * self.half)
            ptoc.extract(b, right, i * self.half, 0)
            if fresh and i == 0:
                ptoc.matmul(acc, a, b)
            else:
                ptoc.matmul_acc(acc, acc, a, b)

    def compute_qk(self, b, g, j, entry):
        """Scores of sub-tile j of tile g; the first one brings the query rows along."""
        if j == 0:
            with ptoc.when(g == 0):
                ptoc.load(self.q1, self.q[b * self.rows : (b + 1) * self.rows, :])
        first, k1 = (g * self.subs + j) * self.sub, self.k1[j % 2]
        ptoc.load(k1, self.k.T[:, first : first + self.sub])
        self.multiply(self.qk0, self.q1, k1, True)
        ptoc.store(entry[j * self.rows : (j + 1) * self.rows, :], self.qk0)

    def compute_pv(self, g, j, full):
        """Adds sub-tile j of P @ V of tile g."""
        first, v1, p1 = (g * self.subs + j) * self.sub, self.v1[j % 2], self.p1[j % 2]
        ptoc.load(v1, self.v[first : first + self.sub, :])
        ptoc.load(p1, full[j * self.rows : (j + 1) * self.rows, :])
        self.multiply(self.pv0, p1, v1, j == 0)

    def finish_pv(self, full):
        """Gives the entry of P back and hands PV on."""
        self.p.free(full)
        entry = self.pv.alloc()
        ptoc.store(entry, self.pv0)
        self.pv.push(entry)


class Vector:
    """A vector core's stages for its 64 of the block's query rows.  Softmax and rescaling take turns in two slots for what they load."""

    def __init__(self, qk, p, pv, d, sub, rows, subs):
        self.qk, self.p, self.pv, self.sub, self.rows, self.subs = qk, p, pv, sub, rows, subs
        self.scale, self.mine, self.piece = 1.0 / math.sqrt(d), rows // 2, rows // 2 // subs
        self.x = ptoc.tile([self.piece, sub * subs], f32, slots=2)
        self.x16 = ptoc.tile([self.piece, sub * subs], f16, slots=2)
        self.scratch = ptoc.tile([self.piece, sub * subs], f32)
        self.d = d
        self.o = ptoc.tile([self.mine, d], f32)
        self.m = [ptoc.tile([1, self.piece], f32) for _ in range(subs)]
        self.l = [ptoc.tile([1, self.piece], f32) for _ in range(subs)]
        self.r = ptoc.tile([1, self.mine], f32, slots=RING)
        self.local = ptoc.tile([1, self.piece], f32)

    def begin(self):
        """Before the first tile: nothing summed, all maxima low."""
        for i in range(self.subs):
            ptoc.expands(self.m[i], LOWEST)
            ptoc.expands(self.l[i], 0.0)
        ptoc.expands(self.o, 0.0)

    def compute_p(self, g, turn):
        """Online softmax of tile g, from the slot of `turn` on."""
        full, empty = self.qk.pop(), self.p.alloc()
        top = ptoc.sub_block_idx() * self.mine
        for i in range(self.subs):
            x, x16 = self.x[(turn + i) % 2], self.x16[(turn + i) % 2]
            parts = [slice(j * self.rows + top + i * self.piece, j * self.rows + top + (i + 1) * self.piece) for j in range(self.subs)]
            columns = [slice(j * self.sub, (j + 1) * self.sub) for j in range(self.subs)]
            for part, column in zip(parts, columns):
                ptoc.load(x[:, column], full[part, :])
            self.softmax(g, i, x, x16)
            for part, column in zip(parts, columns):
                ptoc.store(empty[part, :], x16[:, column])
        self.qk.free(full)
        self.p.push(empty)

    def softmax(self, g, i, x, x16):
        """x16 = exp(scale * (x - new maximum)), with maximum, sum and factor of the rows."""
        r = self.r[g % RING][:, i * self.piece : (i + 1) * self.piece]
        m, l, local = self.m[i], self.l[i], self.local
        column = local.reshape(self.piece, 1, layout="dn")
        ptoc.rowmax(column, x, self.scratch)
        ptoc.max(local, local, m)
        ptoc.sub(r, m, local)
        ptoc.rowexpandsub(x, x, column)
        ptoc.mov(m, local)
        ptoc.muls(r, r, self.scale)
        ptoc.muls(x, x, self.scale)
        ptoc.exp(r, r)
        ptoc.exp(x, x)
        ptoc.mul(l, l, r)
        ptoc.cvt(x16, x)
        ptoc.rowsum(column, x, self.scratch)
        ptoc.add(l, l, local)

    def compute_gu(self, g, turn):
        """o = o * r + PV of tile g."""
        entry = self.pv.pop()
        top = ptoc.sub_block_idx() * self.mine
        y = self.x[turn % 2].reshape(self.mine, self.d)
        ptoc.load(y, entry[top : top + self.mine, :])
        self.pv.free(entry)
        ptoc.rowexpandmul(self.o, self.o, self.r[g % RING].reshape(self.mine, 1, layout="dn"))
        ptoc.add(self.o, self.o, y)

    def finish(self, b, g, out):
        """out = o / l."""
        row = b * self.rows + ptoc.sub_block_idx() * self.mine
        for i in range(self.subs):
            part = slice(i * self.piece, (i + 1) * self.piece)
            ptoc.rowexpanddiv(self.o[part, :], self.o[part, :], self.l[i].reshape(self.piece, 1, layout="dn"))
        ptoc.store(out[row : row + self.mine, :], self.o)


@attention_by_hand.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Softmax attention."""
    s = q @ k.T / math.sqrt(q.shape[1])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e @ v / e.sum(axis=1, keepdims=True)


attention_by_hand.case("default", S0=128, S1=1024, cores=1)
