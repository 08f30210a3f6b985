"""Flash attention as `flash_attention` computes it, at the expert level: every flag, every barrier and every address of the cube core by hand.

The schedule is the same, four stages over three rings.  Each buffer has a number, and with it two flags: its reader declares it free for its
writer, and its writer declares it full for its reader.

    cube core             number    written by   read by         vector core         number    written by   read by
    K sub-tiles in L1     0, 1      MTE2         MTE1            QK slices           0, 1      MTE2         V
    P and V in L1         2, 3      MTE2         MTE1            PV slices           2, 3      MTE2         V
    Q in L1               4         MTE2         MTE1            P slice in f16      0         V            MTE3
    Q and K in L0         0         MTE1         M               O slices            1, 2      V            MTE3
    P and V in L0         1         MTE1         M
    QK, PV in L0C         0, 1      M            FIX

All buffers are declared free once, before the first tile, and waited for once, behind the last.
"""

import math

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32
from ptoc.kernels._attention_vector import LOWEST
from ptoc.kernels.flash_attention import flash_attention

Q, K, OUT = ptoc.Tensor["S0", "D", f16], ptoc.Tensor["S1", "D", f16], ptoc.Out["S0", "D", f32]


@ptoc.kernel(sync="keep")
def flash_attention_expert(
    q: Q, k: K, v: K, o: OUT, S0, S1, *, D: int = 128, TILE: int = 256, SUB: int = 128, ROWS: int = 128, SLICE: int = 32, PRELOAD: int = 4
):
    """o = softmax(q @ k.T / sqrt(D)) @ v, with flags and barriers by hand; whole tiles: S0 a multiple of ROWS, S1 of TILE."""
    qk, pv = (ptoc.pipe("c2v", (ROWS, cols), f32, slots=8, local_slots=2, name=name) for name, cols in (("qk", TILE), ("pv", D)))
    p = ptoc.pipe("v2c", (ROWS, TILE), f16, slots=8, local_slots=2, name="p")
    first, stride, tiles = ptoc.block_idx(), ptoc.num_blocks(), S1 // TILE
    total = ptoc.maximum(ptoc.ceil_div(S0 // ROWS - first, stride), 0) * tiles
    ahead = ptoc.minimum(total, PRELOAD)

    def row(g):
        """First query row of tile g: a core's tiles are numbered through all of its blocks of query rows."""
        return (first + g // tiles * stride) * ROWS

    with ptoc.cube():
        cube = Cube(ROWS, TILE, SUB, D)
        declare_free(cube.buffers)
        for g in ptoc.range(total + ahead):
            with ptoc.when(g < total):
                cube.compute_qk(g % tiles, q[row(g) : row(g) + ROWS, :], k.T, qk)
            with ptoc.when(g >= ahead):
                cube.compute_pv((g - ahead) % tiles, v, p, pv)
        wait_until_free(cube.buffers)
        ptoc.barrier("ALL")
    with ptoc.vector():
        vector = Vector(TILE, D, ROWS // 2, SLICE, PRELOAD + 1)
        declare_free(vector.buffers)
        for g in ptoc.range(total + ahead):
            with ptoc.when(g < total):
                vector.compute_p(g, tiles, qk, p)
            with ptoc.when(g >= ahead):
                vector.compute_gu(g - ahead, tiles, pv, o, row(g - ahead) + ptoc.sub_block_idx() * (ROWS // 2))
        wait_until_free(vector.buffers)
        ptoc.barrier("ALL")


def declare_free(buffers):
    """Raises the flags "free" of all buffers: (writer, reader, how many)."""
    for writer, reader, count in buffers:
        for n in range(count):
            ptoc.set_flag(reader, writer, n)


def wait_until_free(buffers):
    """Waits for the flags "free" of all buffers."""
    for writer, reader, count in buffers:
        for n in range(count):
            ptoc.wait_flag(reader, writer, n)


class Cube:
    """The cube core's stages; L0A, L0B and L0C are full: one half for QK, one for PV."""

    buffers = (("MTE2", "MTE1", 5), ("MTE1", "M", 2), ("M", "FIX", 2))

    def __init__(self, rows, tile, sub, d):
        self.tile, self.sub, self.subs = tile, sub, tile // sub
        self.q1 = ptoc.tile([rows, d], f16, L1, addr=0)
        at = 2 * rows * d
        self.k1 = ptoc.tile([d, sub], f16, L1, layout="zn", slots=2, addr=at)
        self.p1 = ptoc.tile([rows, sub], f16, L1, slots=2, addr=at + 4 * d * sub)
        self.v1 = ptoc.tile([sub, d], f16, L1, slots=2, addr=at + 4 * (d + rows) * sub)
        self.q0, self.p0 = ptoc.tile([rows, d], f16, L0A, addr=0), ptoc.tile([rows, sub], f16, L0A, addr=2 * rows * d)
        self.k0, self.v0 = ptoc.tile([d, sub], f16, L0B, addr=0), ptoc.tile([sub, d], f16, L0B, addr=2 * d * sub)
        self.qk0, self.pv0 = ptoc.tile([rows, sub], f32, L0C, addr=0), ptoc.tile([rows, d], f32, L0C, addr=4 * rows * sub)

    def compute_qk(self, t, q, k, qk):
        """QK of tile t of a block, sub-tile by sub-tile; with the first tile come the block's query rows."""
        with ptoc.when(t == 0):
            ptoc.wait_flag("MTE1", "MTE2", 4)
            ptoc.load(self.q1, q)
            ptoc.set_flag("MTE2", "MTE1", 4)
        entry = qk.alloc()
        for j in range(self.subs):
            at, n = t * self.tile + j * self.sub, j % 2
            ptoc.wait_flag("MTE1", "MTE2", n)
            ptoc.load(self.k1[n], k[:, at : at + self.sub])
            ptoc.set_flag("MTE2", "MTE1", n)
            ptoc.wait_flag("M", "MTE1", 0)
            if j == 0:
                with ptoc.when(t == 0):
                    ptoc.wait_flag("MTE2", "MTE1", 4)
                    ptoc.mov(self.q0, self.q1)
                    ptoc.set_flag("MTE1", "MTE2", 4)
            ptoc.wait_flag("MTE2", "MTE1", n)
            ptoc.mov(self.k0, self.k1[n])
            ptoc.set_flag("MTE1", "MTE2", n)
            ptoc.set_flag("MTE1", "M", 0)
            ptoc.wait_flag("MTE1", "M", 0)
            ptoc.wait_flag("FIX", "M", 0)
            ptoc.matmul(self.qk0, self.q0, self.k0)
            ptoc.set_flag("M", "MTE1", 0)
            ptoc.set_flag("M", "FIX", 0)
            ptoc.wait_flag("M", "FIX", 0)
            ptoc.store(entry[:, j * self.sub : (j + 1) * self.sub], self.qk0)
            ptoc.set_flag("FIX", "M", 0)
        qk.push(entry)

    def compute_pv(self, t, v, p, pv):
        """PV of tile t of a block, summed over its sub-tiles."""
        full = p.pop()
        for j in range(self.subs):
            at, n = t * self.tile + j * self.sub, 2 + j % 2
            ptoc.wait_flag("MTE1", "MTE2", n)
            ptoc.load(self.v1[j % 2], v[at : at + self.sub, :])
            ptoc.load(self.p1[j % 2], full[:, j * self.sub : (j + 1) * self.sub])
            ptoc.set_flag("MTE2", "MTE1", n)
            ptoc.wait_flag("MTE2", "MTE1", n)
            ptoc.wait_flag("M", "MTE1", 1)
            ptoc.mov(self.p0, self.p1[j % 2])
            ptoc.mov(self.v0, self.v1[j % 2])
            ptoc.set_flag("MTE1", "MTE2", n)
            ptoc.set_flag("MTE1", "M", 1)
            ptoc.wait_flag("MTE1", "M", 1)
            if j == 0:
                ptoc.wait_flag("FIX", "M", 1)
                ptoc.matmul(self.pv0, self.p0, self.v0)
            else:
                ptoc.matmul_acc(self.pv0, self.pv0, self.p0, self.v0)
            ptoc.set_flag("M", "MTE1", 1)
        p.free(full)
        entry = pv.alloc()
        ptoc.set_flag("M", "FIX", 1)
        ptoc.wait_flag("M", "FIX", 1)
        ptoc.store(entry, self.pv0)
        ptoc.set_flag("FIX", "M", 1)
        pv.push(entry)


class Vector:
    """A vector core's stages for its half of the query rows, in slices; m, l, o and r as in flash_attention."""

    def __init__(self, tile, d, rows, size, ring):
        self.parts = [slice(at, at + size) for at in range(0, rows, size)]
        self.buffers = (("MTE2", "V", 4), ("V", "MTE3", 1 + len(self.parts)))
        self.ring, self.scale = ring, 1.0 / math.sqrt(d)
        self.x, self.y = ptoc.tile([size, tile], f32, slots=2), ptoc.tile([size, d], f32, slots=2)
        self.x16, self.scratch = ptoc.tile([size, tile], f16), ptoc.tile([size, tile], f32)
        self.o = [ptoc.tile([size, d], f32) for _ in self.parts]
        self.m, self.local = ([ptoc.tile([1, size], f32) for _ in self.parts] for _ in range(2))
        self.l, self.r = ([ptoc.tile([1, size], f32, slots=ring) for _ in self.parts] for _ in range(2))
        for l, o in zip(self.l, self.o):
            ptoc.expands(l[ring - 1], 0.0)
            ptoc.expands(o, 0.0)

    def compute_p(self, g, tiles, qk, p):
        """Online softmax of tile g: P = exp(scale * (QK - m)) in f16, and the rescaling of what came before."""
        with ptoc.when(g % tiles == 0):
            for m in self.m:
                ptoc.expands(m, LOWEST)
        full, empty = qk.pop(), p.alloc()
        for i, part in enumerate(self.parts):
            n = i % 2
            ptoc.wait_flag("V", "MTE2", n)
            ptoc.load(self.x[n], full[part, :])
            ptoc.set_flag("MTE2", "V", n)
            ptoc.wait_flag("MTE2", "V", n)
            self._softmax(i, g, self.x[n])
            ptoc.store(empty[part, :], self.x16)
            ptoc.set_flag("MTE3", "V", 0)
        qk.free(full)
        p.push(empty)

    def _softmax(self, i, g, x):
        """x16 = exp(scale * (x - new m)) of slice i.  The library ends a row maximum and a row sum with a barrier of its own."""
        l, before, r = self.l[i][g % self.ring], self.l[i][(g + self.ring - 1) % self.ring], self.r[i][g % self.ring]
        m, local = self.m[i], self.local[i]
        ptoc.rowmax(column(local), x, self.scratch)
        ptoc.max(local, local, m)
        ptoc.barrier("V")
        ptoc.sub(r, m, local)
        ptoc.rowexpandsub(x, x, column(local))
        ptoc.barrier("V")
        ptoc.mov(m, local)
        ptoc.muls(r, r, self.scale)
        ptoc.muls(x, x, self.scale)
        ptoc.barrier("V")
        ptoc.exp(r, r)
        ptoc.exp(x, x)
        ptoc.barrier("V")
        ptoc.mul(l, before, r)
        ptoc.wait_flag("MTE3", "V", 0)
        ptoc.cvt(self.x16, x)
        ptoc.set_flag("V", "MTE3", 0)
        ptoc.wait_flag("V", "MTE3", 0)
        ptoc.rowsum(column(local), x, self.scratch)
        ptoc.set_flag("V", "MTE2", i % 2)
        ptoc.add(l, l, local)

    def compute_gu(self, g, tiles, pv, out, row):
        """o = o * r + PV of tile g; behind the last tile of a block out = o / l."""
        entry = pv.pop()
        for i, o in enumerate(self.o):
            with ptoc.when(g % tiles == 0):
                ptoc.wait_flag("MTE3", "V", 1 + i)
            ptoc.rowexpandmul(o, o, column(self.r[i][g % self.ring]))
        ptoc.barrier("V")
        for i, (part, o) in enumerate(zip(self.parts, self.o)):
            n = i % 2
            ptoc.wait_flag("V", "MTE2", 2 + n)
            ptoc.load(self.y[n], entry[part, :])
            ptoc.set_flag("MTE2", "V", 2 + n)
            ptoc.wait_flag("MTE2", "V", 2 + n)
            ptoc.add(o, o, self.y[n])
            ptoc.set_flag("V", "MTE2", 2 + n)
        pv.free(entry)
        ptoc.barrier("V")
        with ptoc.when(g % tiles == tiles - 1):
            for i, (part, o) in enumerate(zip(self.parts, self.o)):
                ptoc.rowexpanddiv(o, o, column(self.l[i][g % self.ring]))
                ptoc.set_flag("V", "MTE3", 1 + i)
                ptoc.wait_flag("V", "MTE3", 1 + i)
                ptoc.store(out[row + part.start : row + part.stop, :], o)
                ptoc.set_flag("MTE3", "V", 1 + i)


def column(row):
    """A row of numbers, one for each query row, as a column."""
    return row.reshape(row.shape[1], 1, layout="dn")


flash_attention_expert.reference(flash_attention.reference_function)
flash_attention_expert.flops(flash_attention.flops_function)
flash_attention_expert.cores(flash_attention.cores_function)
flash_attention_expert.tolerance = flash_attention.tolerance


@flash_attention_expert.specialize
def specialize(S0: int, S1: int, ROWS: int, TILE: int, **_: int) -> dict[str, int]:
    """Refuses sizes with tails."""
    if S0 % ROWS or S1 % TILE:
        got = f"S0 must be a multiple of ROWS = {ROWS} and S1 of TILE = {TILE}; got {S0} and {S1}"
        raise ptoc.ArgumentError(f"flash_attention_expert: {got}; flash_attention takes any")
    return {}


flash_attention_expert.case("default", S0=128, S1=1024)
flash_attention_expert.case("s2048", S0=128, S1=2048)
flash_attention_expert.case("s4096", S0=128, S1=4096)
flash_attention_expert.case("s8192", S0=128, S1=8192)
flash_attention_expert.case("two_blocks", S0=256, S1=512, cores=2)
flash_attention_expert.case("blocks_in_turn", S0=256, S1=1536, cores=1)
flash_attention_expert.case("one_tile_in_turn", S0=384, S1=256, cores=1)
