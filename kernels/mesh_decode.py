"""Decode attention on a mesh: keys and values stay, partial results travel.

Rank r holds the r-th SKV keys and values of each of B users, and attends with one query row of each to them: that gives, for each query head,
the maximum m, the sum l and the unnormalised o of its part of the keys (what the kernel's other name, mesh mlo, says).  These triplets travel
along the open line of ranks as chunks do in ring attention: from each rank to both ends, one rank a step.  Every rank merges those of all
others, each exactly once, and ends with the whole result:

    m' = max(m, m2)    a = exp(s (m - m'))    b = exp(s (m2 - m'))    l = l a + l2 b    o = o a + o2 b    at last o / l

A triplet is one message: HQ rows of o, one row of m, one of l.

The part of each rank is flash decoding: for each TILE keys and each KV head the cube core multiplies all query heads of the group by K, the
vector core (one of them; links belong to it) updates m and l, the cube core multiplies by V.  Products QK come one tile before PV.

RANK_AXIS 0: a rank is an element of one cube; 1: a rank is a cube, element 0 of which does all the work; the others return at once.
"""

import math

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

from ._line import Line
from ._online_softmax import online_softmax

LOWEST = -3.0e38
"""Where a running maximum begins: near the least f32, so that exp(scale * (LOWEST - m)) is 0 for every m that can come."""

FRACTAL, BLOCK = 16, 8
"""Rows of a fractal of the cube core, and elements of f32 in a block of UB."""

KEPT = 3
"""Triplets in UB: one that comes, one that is merged, one that is still being passed on."""


@ptoc.kernel(chip="mesh_cubes")
def mesh_decode(
    q: ptoc.Tensor["B", "HQ", "D", f16],
    k: ptoc.Tensor["N", "B", "SKV", "HKV", "D", f16],
    v: ptoc.Tensor["N", "B", "SKV", "HKV", "D", f16],
    o: ptoc.Out["N", "B", "HQ", "D", f32],
    N,
    B,
    *,
    SKV: int = 256,
    HQ: int = 8,
    HKV: int = 2,
    D: int = 128,
    RANK_AXIS: int = 0,
    TILE: int = 128,
):
    """o[r] = softmax(q k' / sqrt(D)) v for each query head, over the keys of all N ranks, on every rank r; partial results travel."""
    if HQ % HKV or HQ // HKV > FRACTAL:
        raise ptoc.ArgumentError(f"mesh_decode: every KV head serves as many query heads, at most {FRACTAL}; got HQ {HQ} and HKV {HKV}")
    if RANK_AXIS:
        ptoc.return_if(ptoc.pe_idx() != 0)
    s = Shape(Line(ptoc.cube_idx() if RANK_AXIS else ptoc.pe_idx(), N, RANK_AXIS), SKV, HQ // HKV, HKV, D, TILE)
    qk = ptoc.pipe("c2v", (FRACTAL, TILE), f32, slots=HKV + 1, sync_period=1, split="none", name="qk")
    p = ptoc.pipe("v2c", (FRACTAL, TILE), f16, slots=HKV + 1, sync_period=1, split="none", name="p")
    pv = ptoc.pipe("c2v", (FRACTAL, D), f32, slots=HKV + 1, sync_period=1, split="none", name="pv")
    with ptoc.cube():
        cube = Cube(s, q, k, v, qk, p, pv)
        for user in ptoc.range(B):
            cube.compute_qk(user, 0)
            for t in ptoc.range(1, s.tiles + 1):
                with ptoc.when(t < s.tiles):
                    cube.compute_qk(user, t)
                cube.compute_pv(user, t - 1)
    with ptoc.vector():
        vector = Vector(s, qk, p, pv)
        for user in ptoc.range(B):
            vector.begin()
            vector.compute_p(0)
            for t in ptoc.range(1, s.tiles + 1):
                with ptoc.when(t < s.tiles):
                    vector.compute_p(t)
                vector.compute_gu(t - 1)
            vector.pack()
            for fold in ptoc.range(1, N):
                vector.take(fold)
                vector.merge(fold)
            vector.end(o, user)


class Shape:
    """Extents: `tiles` of up to `tile` keys; `group` query heads of each KV head, which take `pitch` rows of a triplet, `rows` in all."""

    def __init__(self, line, skv, group, kv_heads, d, tile):
        self.line, self.skv, self.group, self.kv_heads, self.d, self.tile = line, skv, group, kv_heads, d, tile
        self.tiles = -(-skv // tile)
        self.pitch = -(-group // BLOCK) * BLOCK
        self.rows = kv_heads * self.pitch
        if self.rows > d:
            raise ptoc.ArgumentError(f"mesh_decode: m of all query heads is one row of a triplet: at most D = {d} of them, in blocks of {BLOCK} a KV head; got {self.rows}")

    def keys(self, t):
        """Keys in tile t: a number where nothing has a tail."""
        return self.tile if self.skv % self.tile == 0 else ptoc.minimum(self.skv - t * self.tile, self.tile)


class Cube:
    """The cube core: QK and PV of the query heads of each KV head."""

    def __init__(self, shape, q, k, v, qk, p, pv):
        s = self.s = shape
        self.q, self.k, self.v, self.qk, self.p, self.pv = q, k, v, qk, p, pv
        self.q1 = [ptoc.tile([FRACTAL, s.d], f16, L1) for _ in range(s.kv_heads)]
        self.k1, self.v1 = (ptoc.tile([s.tile, s.d], f16, L1, slots=2) for _ in range(2))
        self.p1 = ptoc.tile([FRACTAL, s.tile], f16, L1, slots=2)
        self.q0, self.p0 = ptoc.tile([FRACTAL, s.d], f16, L0A, slots=2), ptoc.tile([FRACTAL, s.tile], f16, L0A, slots=2)
        self.k0, self.v0 = ptoc.tile([s.d, s.tile], f16, L0B), ptoc.tile([s.tile, s.d], f16, L0B)
        self.qk0, self.pv0 = ptoc.tile([FRACTAL, s.tile], f32, L0C, slots=2), ptoc.tile([FRACTAL, s.d], f32, L0C, slots=2)

    def compute_qk(self, user, t):
        """QK of tile t for each KV head; with the first tile come the user's query heads."""
        s, n, first = self.s, self.s.keys(t), t * self.s.tile
        if isinstance(t, int):
            for h, q1 in enumerate(self.q1):
                ptoc.load(q1[0 : s.group, :], self.q[user, h * s.group : (h + 1) * s.group, :])
        for h, q1 in enumerate(self.q1):
            k1, k0 = self.k1[h % 2], self.k0[:, 0:n]
            q0, qk0 = self.q0[h % 2][0 : s.group, :], self.qk0[h % 2][0 : s.group, 0:n]
            ptoc.load(k1[0:n, :], self.k[s.line.rank, user, first : first + n, h, :])
            ptoc.mov(q0, q1[0 : s.group, :])
            ptoc.mov(k0, k1.reshape(s.d, s.tile, layout="zn")[:, 0:n])
            ptoc.matmul(qk0, q0, k0)
            entry = self.qk.alloc()
            ptoc.store(entry[0 : s.group, 0:n], qk0)
            self.qk.push(entry)

    def compute_pv(self, user, t):
        """PV of tile t for each KV head."""
        s, n, first = self.s, self.s.keys(t), t * self.s.tile
        for h in range(s.kv_heads):
            v1, v0 = self.v1[h % 2][0:n, :], self.v0[0:n, :]
            p1, p0, pv0 = (tiles[h % 2][0 : s.group, :] for tiles in (self.p1, self.p0, self.pv0))
            ptoc.load(v1, self.v[s.line.rank, user, first : first + n, h, :])
            full = self.p.pop()
            ptoc.load(p1[:, 0:n], full[0 : s.group, 0:n])
            self.p.free(full)
            ptoc.mov(p0[:, 0:n], p1[:, 0:n])
            ptoc.mov(v0, v1)
            ptoc.matmul(pv0, p0[:, 0:n], v0)
            empty = self.pv.alloc()
            ptoc.store(empty[0 : s.group, :], pv0)
            self.pv.push(empty)


class Triplet:
    """A tile that is one message: `o`, `rows` x `d`; below it `m` and `l`, one row each."""

    def __init__(self, tile, rows):
        self.tile, self.o = tile, tile[0:rows, :]
        self.m, self.l = tile[rows : rows + 1, 0:rows], tile[rows + 1 : rows + 2, 0:rows]


class Vector:
    """The vector core: online softmax of this rank's keys, and the merge with all other ranks' results.

    For each KV head m, l of its query heads, and r of the tiles that compute_gu still needs; their o in the rows of the triplet that is this
    rank's own.  Rows of a triplet behind the query heads of a group hold o = 0, m = LOWEST, l = 1: they merge to something finite.
    """

    def __init__(self, shape, qk, p, pv):
        s = self.s = shape
        self.qk, self.p, self.pv = qk, p, pv
        self.scale = 1.0 / math.sqrt(s.d)
        self.x = ptoc.tile([s.pitch, s.tile], f32, slots=2)
        self.x16, self.scratch = ptoc.tile([s.pitch, s.tile], f16), ptoc.tile([s.pitch, s.tile], f32)
        self.y = ptoc.tile([s.pitch, s.d], f32, slots=2)
        self.m, self.l = ([ptoc.tile([1, s.pitch], f32) for _ in range(s.kv_heads)] for _ in range(2))
        self.r = [ptoc.tile([1, s.pitch], f32, slots=2) for _ in range(s.kv_heads)]
        self.local = ptoc.tile([1, s.pitch], f32)
        self.ring = ptoc.tile([s.rows + 2, s.d], f32, slots=KEPT)
        self.sum = Triplet(ptoc.tile([s.rows + 2, s.d], f32), s.rows)
        self.scaled = ptoc.tile([s.rows, s.d], f32)
        self.most, self.a, self.b = (ptoc.tile([1, s.rows], f32) for _ in range(3))

    def triplet(self, fold):
        """The triplet of a fold; that of fold 0 is this rank's own."""
        return Triplet(self.ring[fold % KEPT], self.s.rows)

    def begin(self):
        """Nothing is summed yet."""
        own = self.triplet(0)
        ptoc.expands(own.tile, 0.0)
        ptoc.expands(own.m, LOWEST)
        ptoc.expands(own.l, 1.0)
        for m, l in zip(self.m, self.l):
            ptoc.expands(m, LOWEST)
            ptoc.expands(l, 0.0)

    def compute_p(self, t):
        """Online softmax of tile t: P = exp(scale * (QK - m)) in f16, and the rescaling of what came before."""
        s, n = self.s, self.s.keys(t)
        for h in range(s.kv_heads):
            x, x16, scratch = (tile[0 : s.group, 0:n] for tile in (self.x[h % 2], self.x16, self.scratch))
            column = self.column(self.local)
            m, l, r, local = (row[:, 0 : s.group] for row in (self.m[h], self.l[h], self.r[h][t % 2], self.local))
            full, empty = self.qk.pop(), self.p.alloc()
            ptoc.load(x, full[0 : s.group, 0:n])
            self.qk.free(full)
            online_softmax(x, x16, m, l, l, r, local, column, scratch, self.scale)
            ptoc.store(empty[0 : s.group, 0:n], x16)
            self.p.push(empty)

    def compute_gu(self, t):
        """o = o * r + PV of tile t."""
        s, own = self.s, self.triplet(0)
        for h in range(s.kv_heads):
            o, y = own.o[h * s.pitch : h * s.pitch + s.group, :], self.y[h % 2][0 : s.group, :]
            entry = self.pv.pop()
            ptoc.load(y, entry[0 : s.group, :])
            self.pv.free(entry)
            ptoc.rowexpandmul(o, o, self.column(self.r[h][t % 2]))
            ptoc.add(o, o, y)

    def pack(self):
        """This rank's own triplet: sent to both sides, and what the others are merged into."""
        s, own = self.s, self.triplet(0)
        for h in range(s.kv_heads):
            at = slice(h * s.pitch, h * s.pitch + s.group)
            ptoc.mov(own.m[:, at], self.m[h][:, 0 : s.group])
            ptoc.mov(own.l[:, at], self.l[h][:, 0 : s.group])
        self.pass_on(0, own)
        for mine, first in ((self.sum.o, own.o), (self.sum.m, own.m), (self.sum.l, own.l)):
            ptoc.mov(mine, first)

    def take(self, fold):
        """The triplet of another rank, from the neighbour that it comes by; it is passed on to the other one."""
        line, other = self.s.line, self.triplet(fold)
        with ptoc.when(line.from_west(fold)):
            ptoc.recv(other.tile, "W", axis=line.axis)
        with ptoc.otherwise():
            ptoc.recv(other.tile, "E", axis=line.axis)
        self.pass_on(fold, other)

    def pass_on(self, fold, triplet):
        """Sends a triplet away from where it came."""
        for way in "EW":
            with ptoc.when(self.s.line.goes(fold, way)):
                ptoc.send(triplet.tile, way, axis=self.s.line.axis)

    def merge(self, fold):
        """The sum of what was merged so far and a triplet."""
        s, mine, other = self.s, self.sum, self.triplet(fold)
        ptoc.max(self.most, mine.m, other.m)
        ptoc.sub(self.a, mine.m, self.most)
        ptoc.sub(self.b, other.m, self.most)
        ptoc.mov(mine.m, self.most)
        for row in (self.a, self.b):
            ptoc.muls(row, row, self.scale)
            ptoc.exp(row, row)
        ptoc.mul(mine.l, mine.l, self.a)
        ptoc.mul(self.most, other.l, self.b)
        ptoc.rowexpandmul(mine.o, mine.o, self.a.reshape(s.rows, 1, layout="dn"))
        ptoc.rowexpandmul(self.scaled, other.o, self.b.reshape(s.rows, 1, layout="dn"))
        ptoc.add(mine.l, mine.l, self.most)
        ptoc.add(mine.o, mine.o, self.scaled)

    def end(self, out, user):
        """out = o / l."""
        s = self.s
        ptoc.mov(self.a, self.sum.l)
        ptoc.rowexpanddiv(self.sum.o, self.sum.o, self.a.reshape(s.rows, 1, layout="dn"))
        for h in range(s.kv_heads):
            ptoc.store(out[s.line.rank, user, h * s.group : (h + 1) * s.group, :], self.sum.o[h * s.pitch : h * s.pitch + s.group, :])

    def column(self, row):
        """A row of numbers, one for each query head of a group, as a column."""
        return row.reshape(self.s.pitch, 1, layout="dn")[0 : self.s.group, :]


@mesh_decode.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Attention of each user's query heads over all keys of their KV heads, one head at a time; on every rank."""
    ranks, users, _, kv_heads, d = k.shape
    o = np.empty(q.shape, np.float64)
    for user in range(users):
        for head in range(q.shape[1]):
            kv = head // (q.shape[1] // kv_heads)
            s = k[:, user, :, kv].reshape(-1, d).astype(np.float64) @ q[user, head].astype(np.float64) / math.sqrt(d)
            e = np.exp(s - s.max())
            o[user, head] = e @ v[:, user, :, kv].reshape(-1, d) / e.sum()
    return np.broadcast_to(o, (ranks, *o.shape))


@mesh_decode.flops
def flops(N: int, B: int, SKV: int, HQ: int, D: int, **_: int) -> int:
    return 4 * B * N * SKV * HQ * D


@mesh_decode.cores
def cores(N: int, RANK_AXIS: int, **_: int) -> int:
    return N * 8 if RANK_AXIS else N


mesh_decode.tolerance = 1e-3
mesh_decode.case("small", N=2, B=1)
mesh_decode.case("single_user_decode", N=8, B=1, SKV=256, HQ=8, HKV=2)
mesh_decode.case("multi_user_decode", N=4, B=3, SKV=256, HQ=8, HKV=2, RANK_AXIS=1)
mesh_decode.case("uneven_gqa", N=5, B=2, SKV=300, HQ=6, HKV=2)
mesh_decode.case("one_head", N=3, B=1, SKV=40, HQ=1, HKV=1)
mesh_decode.case("heads_64", N=4, B=1, SKV=128, HQ=8, HKV=8, D=64)
mesh_decode.case("llama_70b", large=True, N=8, B=1, SKV=512, HQ=64, HKV=8)
mesh_decode.case("llama_70b_32k", large=True, N=8, B=1, SKV=4096, HQ=64, HKV=8)
mesh_decode.case("ranks_64", large=True, N=64, B=1, SKV=32, HQ=2, HKV=1, RANK_AXIS=1)
mesh_decode.limit("every KV head serves as many query heads", HQ=5, HKV=2)
mesh_decode.limit("a KV head serves at most 16 query heads, the rows of a fractal", HQ=17, HKV=1)
mesh_decode.limit("m of all query heads is one row of a triplet: D of them, in blocks of 8 a KV head", HQ=9, HKV=9, D=64)
mesh_decode.limit("ranks of one cube are its 8 elements; a longer line is one of cubes (RANK_AXIS=1)", N=9)
mesh_decode.limit("a line of cubes has 64 of them", N=65, RANK_AXIS=1)
mesh_decode.limit("it runs over links: every rank must be launched", N=3, cores=2)
