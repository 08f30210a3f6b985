"""Flash attention as a four-stage pipeline across the cube core and the vector cores of each block.

compute_qk (cube) -> QK ring -> compute_p (vector: online softmax) -> P ring -> compute_pv (cube) -> PV ring -> compute_gu (vector).
The cube runs PRELOAD tiles of QK ahead.  Source of the schedule: PTO-DSL flash attention, hw-native-sys/pto-isa.
"""

import math

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

LOWEST = -3.0e38
"""Where a running maximum begins: near the least f32, so that exp(scale * (LOWEST - m)) is 0 for every m that can come."""


@ptoc.kernel
def flash_attention(
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
    SLOTS: int = 8,
    LOCAL_SLOTS: int = 2,
    TAILS: bool = False,
):
    """o = softmax(q @ k.T / sqrt(D)) @ v, non-causal; TILE columns of S1 at a time, ROWS query rows a block."""
    qk = ptoc.pipe("c2v", (ROWS, TILE), f32, slots=SLOTS, local_slots=LOCAL_SLOTS, name="qk")
    p = ptoc.pipe("v2c", (ROWS, TILE), f16, slots=SLOTS, local_slots=LOCAL_SLOTS, name="p")
    pv = ptoc.pipe("c2v", (ROWS, D), f32, slots=SLOTS, local_slots=LOCAL_SLOTS, name="pv")
    blocks = ptoc.ceil_div(S0, ROWS)
    ptoc.return_if(ptoc.block_idx() >= blocks)
    tiles = ptoc.ceil_div(S1, TILE)
    mine = ptoc.maximum(ptoc.ceil_div(blocks - ptoc.block_idx(), ptoc.num_blocks()), 1)
    total = mine * tiles
    ahead = ptoc.minimum(total, PRELOAD)
    shape = Shape(S0, S1, D, TILE, SUB, ROWS, SLICE, TAILS, tiles)
    with ptoc.cube():
        cube = Cube(shape, q, k, v, qk, p, pv)
        for g in ptoc.range(total + ahead):
            with ptoc.when(g < total):
                cube.compute_qk(g)
            with ptoc.when(g >= ahead):
                cube.compute_pv(g - ahead)
    with ptoc.vector():
        vector = Vector(shape, qk, p, pv, PRELOAD + 1)
        for g in ptoc.range(total + ahead):
            with ptoc.when(g < total):
                vector.compute_p(g)
            with ptoc.when(g >= ahead):
                vector.compute_gu(g - ahead, o)


class Shape:
    """Extents of the parts that the work of one core consists of; numbers where nothing has a tail.

    A core's tiles are numbered through all of its blocks of query rows, so that one block follows the other without a pause.
    """

    def __init__(self, s0, s1, d, tile, sub, rows, piece, tails, tiles):
        self.s0, self.s1, self.d, self.tile, self.sub, self.rows, self.slice, self.tails = s0, s1, d, tile, sub, rows, piece, tails
        self.subs, self.slices, self.tiles = tile // sub, rows // 2 // piece, tiles

    def part(self, size, rest):
        """Elements of a part of `size` where `rest` remain."""
        return ptoc.maximum(ptoc.minimum(rest, size), 0) if self.tails else size

    def first_row(self, g):
        """First query row of the block that tile g belongs to."""
        return (ptoc.block_idx() + g // self.tiles * ptoc.num_blocks()) * self.rows

    def block_rows(self, g):
        """Query rows in that block."""
        return self.part(self.rows, self.s0 - self.first_row(g))

    def columns(self, g, j):
        """First column of S1, and number of columns, of sub-tile j of tile g."""
        first = g % self.tiles * self.tile + j * self.sub
        return first, self.part(self.sub, self.s1 - first)

    def when(self, n, surely=False):
        """Runs its body where a part has elements; `surely`: it has, whatever the sizes."""
        return ptoc.when(n > 0) if self.tails and not surely else ptoc.when(True)


class Cube:
    """The cube core's stages: all of L0A, L0B and L0C; K, P and V in two slots of L1."""

    def __init__(self, shape, q, k, v, qk, p, pv):
        s = self.s = shape
        self.q, self.k, self.v, self.qk, self.p, self.pv = q, k, v, qk, p, pv
        self.q1 = ptoc.tile([s.rows, s.d], f16, L1)
        self.k1 = ptoc.tile([s.d, s.sub], f16, L1, layout="zn", slots=2)
        self.p1 = ptoc.tile([s.rows, s.sub], f16, L1, slots=2)
        self.v1 = ptoc.tile([s.sub, s.d], f16, L1, slots=2)
        self.q0 = ptoc.tile([s.rows, s.d], f16, L0A)
        self.p0 = ptoc.tile([s.rows, s.sub], f16, L0A)
        self.k0 = ptoc.tile([s.d, s.sub], f16, L0B)
        self.v0 = ptoc.tile([s.sub, s.d], f16, L0B)
        self.qk0 = ptoc.tile([s.rows, s.sub], f32, L0C)
        self.pv0 = ptoc.tile([s.rows, s.d], f32, L0C)

    def compute_qk(self, g):
        """QK of tile g, sub-tile by sub-tile; with the first tile of a block come its query rows."""
        s, rows = self.s, self.s.block_rows(g)
        q1, q0 = self.q1[0:rows, :], self.q0[0:rows, :]
        with ptoc.when(g % s.tiles == 0):
            ptoc.load(q1, self.q[s.first_row(g) : s.first_row(g) + rows, :])
            ptoc.mov(q0, q1)
        entry = self.qk.alloc()
        for j in range(s.subs):
            first, n = s.columns(g, j)
            with s.when(n, surely=j == 0):
                k1, k0, qk0 = self.k1[j % 2][:, 0:n], self.k0[:, 0:n], self.qk0[0:rows, 0:n]
                ptoc.load(k1, self.k.T[:, first : first + n])
                ptoc.mov(k0, k1)
                ptoc.matmul(qk0, q0, k0)
                ptoc.store(entry[0:rows, j * s.sub : j * s.sub + n], qk0)
        self.qk.push(entry)

    def compute_pv(self, g):
        """PV of tile g, summed over its sub-tiles."""
        s, rows = self.s, self.s.block_rows(g)
        full, pv0 = self.p.pop(), self.pv0[0:rows, :]
        for j in range(s.subs):
            first, n = s.columns(g, j)
            with s.when(n, surely=j == 0):
                v1, p1 = self.v1[j % 2][0:n, :], self.p1[j % 2][0:rows, 0:n]
                p0, v0 = self.p0[0:rows, 0:n], self.v0[0:n, :]
                ptoc.load(v1, self.v[first : first + n, :])
                ptoc.load(p1, full[0:rows, j * s.sub : j * s.sub + n])
                ptoc.mov(p0, p1)
                ptoc.mov(v0, v1)
                if j == 0:
                    ptoc.matmul(pv0, p0, v0)
                else:
                    ptoc.matmul_acc(pv0, pv0, p0, v0)
        self.p.free(full)
        empty = self.pv.alloc()
        ptoc.store(empty[0:rows, :], pv0)
        self.pv.push(empty)


class Vector:
    """A vector core's stages for its half of each block's query rows, SLICE rows at a time so that the working tiles fit into UB.

    m, l: running maximum and sum of each row; o: the unnormalised result; r: exp(scale * (old m - new m)), which is 0 in the first tile
    of a block, so that l and o begin anew there.  compute_p runs up to `ring` - 1 tiles ahead of compute_gu: l and r of those are kept.
    """

    def __init__(self, shape, qk, p, pv, ring):
        s = self.s = shape
        self.qk, self.p, self.pv, self.ring = qk, p, pv, ring
        self.scale = 1.0 / math.sqrt(s.d)
        self.x = ptoc.tile([s.slice, s.tile], f32, slots=2)
        self.x16 = ptoc.tile([s.slice, s.tile], f16)
        self.scratch = ptoc.tile([s.slice, s.tile], f32)
        self.y = ptoc.tile([s.slice, s.d], f32, slots=2)
        self.o = [ptoc.tile([s.slice, s.d], f32) for _ in range(s.slices)]
        self.m = [ptoc.tile([1, s.slice], f32) for _ in range(s.slices)]
        self.l = [ptoc.tile([1, s.slice], f32, slots=ring) for _ in range(s.slices)]
        self.r = [ptoc.tile([1, s.slice], f32, slots=ring) for _ in range(s.slices)]
        self.local = [ptoc.tile([1, s.slice], f32) for _ in range(s.slices)]
        for i in range(s.slices):
            ptoc.expands(self.l[i][ring - 1], 0.0)
            ptoc.expands(self.o[i], 0.0)

    def first_row(self, g):
        """First query row of this core's half of tile g's block."""
        return self.s.first_row(g) + ptoc.sub_block_idx() * (self.s.rows // 2)

    def rows(self, g, i):
        """Query rows in slice i."""
        return self.s.part(self.s.slice, self.s.s0 - self.first_row(g) - i * self.s.slice)

    def compute_p(self, g):
        """Online softmax of tile g: P = exp(scale * (QK - m)) in f16, and the rescaling of what came before."""
        s = self.s
        with ptoc.when(g % s.tiles == 0):
            for i in range(s.slices):
                ptoc.expands(self.m[i], LOWEST)
        full, empty = self.qk.pop(), self.p.alloc()
        n = s.part(s.tile, s.s1 - g % s.tiles * s.tile)
        for i in range(s.slices):
            rows = self.rows(g, i)
            with s.when(rows):
                part = slice(i * s.slice, i * s.slice + rows)
                x, x16 = self.x[i % 2][0:rows, 0:n], self.x16[0:rows, 0:n]
                ptoc.load(x, full[part, 0:n])
                self._softmax(g, i, x, x16, self.scratch[0:rows, 0:n], rows)
                ptoc.store(empty[part, 0:n], x16)
        self.qk.free(full)
        self.p.push(empty)

    def _softmax(self, g, i, x, x16, scratch, rows):
        """x16 = exp(scale * (x - new m)); m, l and r follow.  Commands that do not depend on each other stand together: fewer barriers."""
        r, l, before = self.r[i][g % self.ring], self.l[i][g % self.ring], self.l[i][(g + self.ring - 1) % self.ring]
        column = self._column(self.local[i], rows)
        m, l, before, r, local = (row[:, 0:rows] for row in (self.m[i], l, before, r, self.local[i]))
        ptoc.rowmax(column, x, scratch)
        ptoc.max(local, local, m)
        ptoc.sub(r, m, local)
        ptoc.rowexpandsub(x, x, column)
        ptoc.mov(m, local)
        ptoc.muls(r, r, self.scale)
        ptoc.muls(x, x, self.scale)
        ptoc.exp(r, r)
        ptoc.exp(x, x)
        ptoc.mul(l, before, r)
        ptoc.cvt(x16, x)
        ptoc.rowsum(column, x, scratch)
        ptoc.add(l, l, local)

    def compute_gu(self, g, out):
        """o = o * r + PV of tile g; behind the last tile of a block out = o / l."""
        s = self.s
        entry = self.pv.pop()
        for i in range(s.slices):
            rows = self.rows(g, i)
            with s.when(rows):
                o = self.o[i][0:rows, :]
                ptoc.rowexpandmul(o, o, self._column(self.r[i][g % self.ring], rows))
        for i in range(s.slices):
            rows = self.rows(g, i)
            with s.when(rows):
                y, o = self.y[i % 2][0:rows, :], self.o[i][0:rows, :]
                ptoc.load(y, entry[i * s.slice : i * s.slice + rows, :])
                ptoc.add(o, o, y)
        self.pv.free(entry)
        with ptoc.when(g % s.tiles == s.tiles - 1):
            for i in range(s.slices):
                rows = self.rows(g, i)
                with s.when(rows):
                    o, row = self.o[i][0:rows, :], self.first_row(g) + i * s.slice
                    ptoc.rowexpanddiv(o, o, self._column(self.l[i][g % self.ring], rows))
                    ptoc.store(out[row : row + rows, :], o)

    def _column(self, row, rows):
        """A row of numbers, one for each query row, as a column."""
        return row.reshape(self.s.slice, 1, layout="dn")[0:rows, :]


@flash_attention.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    s = q @ k.T / math.sqrt(q.shape[1])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e @ v / e.sum(axis=1, keepdims=True)


@flash_attention.flops
def flops(S0: int, S1: int, D: int, **_: int) -> int:
    return 4 * S0 * S1 * D


@flash_attention.cores
def cores(S0: int, ROWS: int, aic: int, **_: int) -> int:
    return min(aic, -(-S0 // ROWS))


@flash_attention.specialize
def specialize(S0: int, S1: int, ROWS: int, TILE: int, **_: int) -> dict[str, bool]:
    """Sizes known when compiling make every part whole; they are left open only where a part is not."""
    return {"TAILS": bool(S0 % ROWS or S1 % TILE)}


flash_attention.tolerance = 1e-3
flash_attention.case("default", S0=128, S1=1024)
flash_attention.case("s2048", S0=128, S1=2048)
flash_attention.case("s4096", S0=128, S1=4096)
flash_attention.case("s8192", S0=128, S1=8192)
flash_attention.case("two_blocks", S0=256, S1=512, cores=2)
flash_attention.case("blocks_in_turn", S0=256, S1=1536, cores=1)
flash_attention.case("one_tile_in_turn", S0=384, S1=256, cores=1)
flash_attention.case("tails", S0=200, S1=700, cores=2)
flash_attention.case("short", S0=5, S1=3)
flash_attention.case("few_rows", S0=40, S1=700)
flash_attention.case("short_in_turn", S0=300, S1=100, cores=1)
flash_attention.case("tails_in_turn", S0=300, S1=2900, cores=1)
