"""Ring attention on a mesh (prefill): queries stay, keys and values travel.

Rank r holds SQ query rows and the r-th SKV keys and values.  Ranks stand in an open line, west to east; every chunk of keys and values
travels from its rank to both ends, one rank a step, so that rank r has the chunk of rank i at step |r - i|, each exactly once, and no two
partial results are ever merged.

What rank 2 of 5 folds, in its order; `<` came from the west and is passed on to the east, `>` the reverse, `o` is its own:

    fold      0    1    2    3    4
    chunk     o2   <1   >3   <0   >4

A rank in the middle takes from both sides in turn, and from the longer side alone when the shorter one has come to its end; so all ranks
fold N chunks.  A chunk is one KV head's K and V, TILE rows a message, two parts of TILE rows where SKV is an even number of them: while one part is
taken out of a buffer and sent on, the next one is on the link.  The parts behind them travel when those have come to both ends.  A rank never
sends more than two chunks ahead of what its neighbour has taken, so that a buffer for eight messages cannot stay full.

For each chunk, and each query head of the group (GQA), the pipeline of flash attention:

    cube     recv K, V -> send on    QK = q k'             PV = p v
    vector                           p = exp(s QK - m)     o = o r + PV, behind the last o / l

The products QK of a part come one part before its PV (two, with one query head), so that the cube core does not wait for a softmax, and messages are received as
far ahead as there are slots in L1.  Links, cube and vector cores work side by side: a step takes as long as the slowest of them.  Query rows
beyond ROWS, and each further KV head, take another round, in which the chunks travel again.

RANK_AXIS 0: a rank is an element of one cube (one user); 1: a rank is a cube (many users), element 0 of which does all the work; the
other elements, which hold replicas, return at once.
"""

import math

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

from ._line import Line
from ._online_softmax import online_softmax

LOWEST = -3.0e38
"""Where a running maximum begins: near the least f32, so that exp(scale * (LOWEST - m)) is 0 for every m that can come."""


@ptoc.kernel(chip="mesh_cubes")
def ring_attention(
    q: ptoc.Tensor["N", "SQ", "HQ", "D", f16],
    k: ptoc.Tensor["N", "SKV", "HKV", "D", f16],
    v: ptoc.Tensor["N", "SKV", "HKV", "D", f16],
    o: ptoc.Out["N", "SQ", "HQ", "D", f32],
    N,
    *,
    SQ: int = 32,
    SKV: int = 128,
    HQ: int = 4,
    HKV: int = 1,
    D: int = 128,
    RANK_AXIS: int = 0,
    TILE: int = 128,
    ROWS: int = 64,
    SLICE: int = 32,
):
    """o = softmax(q k' / sqrt(D)) v for each query head, over the keys of all N ranks; K and V travel along the line of ranks."""
    if HQ % HKV:
        raise ptoc.ArgumentError(f"ring_attention: every KV head serves as many query heads: HQ must be a multiple of HKV; got {HQ} and {HKV}")
    if RANK_AXIS:
        ptoc.return_if(ptoc.pe_idx() != 0)
    s = Shape(Line(ptoc.cube_idx() if RANK_AXIS else ptoc.pe_idx(), N, RANK_AXIS), SQ, SKV, HQ // HKV, HKV, D, TILE, ROWS, SLICE)
    qk = ptoc.pipe("c2v", (ROWS, TILE), f32, slots=s.group + 1, sync_period=1, name="qk")
    p = ptoc.pipe("v2c", (ROWS, TILE), f16, slots=s.lag * s.group + 1, sync_period=1, name="p")
    pv = ptoc.pipe("c2v", (ROWS, D), f32, slots=s.group + 1, sync_period=1, name="pv")
    with ptoc.cube():
        cube = Cube(s, q, k, v, qk, p, pv)
        for t in range(s.lag):
            cube.take(t)
            cube.compute_qk(t)
        for t in ptoc.range(s.lag, s.total + s.lag):
            with ptoc.when(t < s.total):
                cube.take(t)
                cube.compute_qk(t)
            cube.compute_pv(t - s.lag)
    with ptoc.vector():
        vector = Vector(s, qk, p, pv)
        for t in range(s.lag):
            vector.compute_p(t)
        for t in ptoc.range(s.lag, s.total + s.lag):
            with ptoc.when(t < s.total):
                vector.compute_p(t)
            vector.compute_gu(t - s.lag, o)


class Shape:
    """What the work consists of: messages (round, part of the chunks, fold), numbered one after the other, each for `group` query heads; two parts of a chunk follow each other.

    A round is a KV head and up to ROWS query rows.
    """

    def __init__(self, line, sq, skv, group, kv_heads, d, tile, rows, piece):
        self.line, self.sq, self.skv, self.group, self.kv_heads, self.d = line, sq, skv, group, kv_heads, d
        self.tile, self.rows, self.half, self.slice, self.slices = tile, rows, rows // 2, piece, -(-(rows // 2) // piece)
        self.parts = -(-skv // tile)
        self.flight = 1 if self.parts % 2 else 2  # parts of a chunk that follow each other on a link
        self.tiles = line.ranks * self.parts  # messages of a round
        self.total = kv_heads * -(-sq // rows) * self.tiles
        self.lag = 1 if group > 1 else 2
        self.kept = self.lag + self.flight + 1  # messages in L1: one that comes, one that QK reads, those that PV still needs

    def fold(self, t):
        """The fold that message t belongs to; the number 0 where that is known: its own chunk."""
        return 0 if isinstance(t, int) and t < self.flight else t // self.flight % self.line.ranks

    def first_row(self, t):
        """First query row of the round of message t."""
        return t // self.tiles // self.kv_heads * self.rows

    def head(self, t, j):
        """Query head number j of the round of message t."""
        return self.kv_head(t) * self.group + j

    def kv_head(self, t):
        """KV head of the round of message t."""
        return t // self.tiles % self.kv_heads

    def block_rows(self, t):
        """Query rows of the round of message t."""
        return self.part(self.rows, self.sq, self.first_row(t))

    def columns(self, t):
        """First key in its chunk, and number of keys, of message t."""
        part = t % self.tiles // (self.line.ranks * self.flight) * self.flight + t % self.flight
        first = part * self.tile
        return first, self.part(self.tile, self.skv, first)

    def part(self, size, whole, first):
        """Elements of a part of `size` that begins at `first`: a number where nothing has a tail."""
        return size if whole % size == 0 else ptoc.minimum(whole - first, size)


class Cube:
    """The cube core: takes messages, passes them on, multiplies."""

    def __init__(self, shape, q, k, v, qk, p, pv):
        s = self.s = shape
        self.q, self.k, self.v, self.qk, self.p, self.pv = q, k, v, qk, p, pv
        self.q1 = [ptoc.tile([s.rows, s.d], f16, L1) for _ in range(s.group)]
        self.k1 = ptoc.tile([s.tile, s.d], f16, L1, slots=s.kept)
        self.v1 = ptoc.tile([s.tile, s.d], f16, L1, slots=s.kept)
        self.p1 = ptoc.tile([s.rows, s.tile], f16, L1, slots=2)
        self.sides = 2 if 4 * s.rows * max(s.d, s.tile) * 2 <= 65536 else 1  # of L0A
        self.q0 = ptoc.tile([s.rows, s.d], f16, L0A, slots=self.sides)
        self.p0 = ptoc.tile([s.rows, s.tile], f16, L0A, slots=self.sides)
        self.k0, self.v0 = ptoc.tile([s.d, s.tile], f16, L0B), ptoc.tile([s.tile, s.d], f16, L0B)
        self.qk0, self.pv0 = ptoc.tile([s.rows, s.tile], f32, L0C, slots=2), ptoc.tile([s.rows, s.d], f32, L0C, slots=2)

    def take(self, t):
        """K and V of message t: its own from memory, others from a neighbour; both are passed on away from where they came."""
        s, line = self.s, self.s.line
        fold, (first, n), h = s.fold(t), s.columns(t), s.kv_head(t)
        pairs = [(tiles[t % s.kept][0:n, :], tensor[line.rank, first : first + n, h, :]) for tiles, tensor in ((self.k1, self.k), (self.v1, self.v))]
        if isinstance(fold, int):
            for tile, own in pairs:
                ptoc.load(tile, own)
        else:
            with ptoc.when(fold == 0):
                for tile, own in pairs:
                    ptoc.load(tile, own)
            with ptoc.otherwise():
                with ptoc.when(line.from_west(fold)):
                    for tile, _ in pairs:
                        ptoc.recv(tile, "W", axis=line.axis)
                with ptoc.otherwise():
                    for tile, _ in pairs:
                        ptoc.recv(tile, "E", axis=line.axis)
        for way in "EW":
            with ptoc.when(line.goes(fold, way)):
                for tile, _ in pairs:
                    ptoc.send(tile, way, axis=line.axis)

    def compute_qk(self, t):
        """QK of message t for each query head; with the first message of a round come its query rows."""
        s, line = self.s, self.s.line
        rows, (_, n), first = s.block_rows(t), s.columns(t), s.first_row(t)
        with ptoc.when(t % s.tiles == 0):
            for j in range(s.group):
                ptoc.load(self.q1[j][0:rows, :], self.q[line.rank, first : first + rows, s.head(t, j), :])
        k0 = self.k0[:, 0:n]
        ptoc.mov(k0, self.k1[t % s.kept].reshape(s.d, s.tile, layout="zn")[:, 0:n])
        for j in range(s.group):
            q0, qk0 = self.q0[j % self.sides][0:rows, :], self.qk0[j % 2][0:rows, 0:n]
            ptoc.mov(q0, self.q1[j][0:rows, :])
            ptoc.matmul(qk0, q0, k0)
            entry = self.qk.alloc()
            ptoc.store(entry[0:rows, 0:n], qk0)
            self.qk.push(entry)

    def compute_pv(self, t):
        """PV of message t for each query head."""
        s = self.s
        rows, (_, n) = s.block_rows(t), s.columns(t)
        v0 = self.v0[0:n, :]
        for j in range(s.group):
            p1, p0, pv0 = self.p1[j % 2][0:rows, 0:n], self.p0[j % self.sides][0:rows, 0:n], self.pv0[j % 2][0:rows, :]
            full = self.p.pop()
            ptoc.load(p1, full[0:rows, 0:n])
            self.p.free(full)
            ptoc.mov(p0, p1)
            if j == 0:  # behind P, which came after V, so that one flag tells of both
                ptoc.mov(v0, self.v1[t % s.kept][0:n, :])
            ptoc.matmul(pv0, p0, v0)
            empty = self.pv.alloc()
            ptoc.store(empty[0:rows, :], pv0)
            self.pv.push(empty)


class Vector:
    """A vector core's half of the query rows, SLICE rows at a time so that the working tiles fit into UB.

    For each query head of a round: m, l, the running maximum and sum of each row; o, the unnormalised result; r, exp(scale * (old m - new m)),
    which is 0 in the first message of a round, so that l and o begin anew there.  Of l and r those are kept that compute_gu still needs.
    """

    def __init__(self, shape, qk, p, pv):
        s = self.s = shape
        self.qk, self.p, self.pv = qk, p, pv
        self.scale = 1.0 / math.sqrt(s.d)
        self.x = ptoc.tile([s.slice, s.tile], f32, slots=2)
        self.x16, self.scratch = ptoc.tile([s.slice, s.tile], f16), ptoc.tile([s.slice, s.tile], f32)
        self.y = ptoc.tile([s.slice, s.d], f32, slots=2)
        parts = s.group * s.slices
        self.o = [ptoc.tile([s.slice, s.d], f32) for _ in range(parts)]
        self.m = [ptoc.tile([1, s.slice], f32) for _ in range(parts)]
        self.l = [ptoc.tile([1, s.slice], f32, slots=s.lag + 1) for _ in range(parts)]
        self.r = [ptoc.tile([1, s.slice], f32, slots=s.lag + 1) for _ in range(parts)]
        self.local = [ptoc.tile([1, s.slice], f32) for _ in range(2)]
        for l, o in zip(self.l, self.o):
            ptoc.expands(l[s.lag], 0.0)
            ptoc.expands(o, 0.0)

    def first_row(self, t):
        """First query row of this core's half of message t's round."""
        return self.s.first_row(t) + ptoc.sub_block_idx() * self.s.half

    def parts(self, t):
        """(query head, first row in this core's half, query rows, number) of each slice of each query head of message t."""
        s = self.s
        for j in range(s.group):
            for i in range(s.slices):
                if s.sq % s.rows == 0 and s.half % s.slice == 0:
                    rows = s.slice
                else:
                    rows = ptoc.minimum(ptoc.minimum(s.half, s.sq - self.first_row(t)) - i * s.slice, s.slice)
                yield j, i * s.slice, rows, j * s.slices + i

    def when(self, rows):
        """Runs its body where a slice has rows."""
        return ptoc.when(True) if isinstance(rows, int) else ptoc.when(rows > 0)

    def compute_p(self, t):
        """Online softmax of message t: P = exp(scale * (QK - m)) in f16, and the rescaling of what came before."""
        s = self.s
        _, n = s.columns(t)
        with ptoc.when(t % s.tiles == 0):
            for m in self.m:
                ptoc.expands(m, LOWEST)
        for _, first, rows, part in self.parts(t):
            if first == 0:
                full, empty = self.qk.pop(), self.p.alloc()
            with self.when(rows):
                x, x16 = self.x[part % 2][0:rows, 0:n], self.x16[0:rows, 0:n]
                ptoc.load(x, full[first : first + rows, 0:n])
                self.softmax(t, part, x, x16, rows, n)
                ptoc.store(empty[first : first + rows, 0:n], x16)
            if first + s.slice >= s.half:
                self.qk.free(full)
                self.p.push(empty)

    def softmax(self, t, part, x, x16, rows, n):
        """x16 = exp(scale * (x - new m)); m, l and r follow."""
        s, scratch = self.s, self.scratch[0:rows, 0:n]
        local = self.local[part % 2]
        column = self.column(local, rows)
        slots = (self.m[part], self.l[part][(t + s.lag) % (s.lag + 1)], self.l[part][t % (s.lag + 1)], self.r[part][t % (s.lag + 1)], local)
        m, before, l, r, local = (row[:, 0:rows] for row in slots)
        online_softmax(x, x16, m, before, l, r, local, column, scratch, self.scale)

    def compute_gu(self, t, out):
        """o = o * r + PV of message t; behind the last message of a round out = o / l."""
        s = self.s
        for _, first, rows, part in self.parts(t):
            if first == 0:
                entry = self.pv.pop()
            with self.when(rows):
                y, o = self.y[part % 2][0:rows, :], self.o[part][0:rows, :]
                ptoc.load(y, entry[first : first + rows, :])
                ptoc.rowexpandmul(o, o, self.column(self.r[part][t % (s.lag + 1)], rows))
                ptoc.add(o, o, y)
            if first + s.slice >= s.half:
                self.pv.free(entry)
        with ptoc.when(t % s.tiles == s.tiles - 1):
            for j, first, rows, part in self.parts(t):
                with self.when(rows):
                    o, row = self.o[part][0:rows, :], self.first_row(t) + first
                    ptoc.rowexpanddiv(o, o, self.column(self.l[part][t % (s.lag + 1)], rows))
                    ptoc.store(out[s.line.rank, row : row + rows, s.head(t, j), :], o)

    def column(self, row, rows):
        """A row of numbers, one for each query row, as a column."""
        return row.reshape(self.s.slice, 1, layout="dn")[0:rows, :]


@ring_attention.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Attention of each query head over all keys of its KV head, one head at a time."""
    heads, kv_heads, d = q.shape[2], k.shape[2], q.shape[3]
    o = np.empty(q.shape, np.float64)
    for head in range(heads):
        kv = head // (heads // kv_heads)
        s = q[:, :, head].reshape(-1, d).astype(np.float64) @ k[:, :, kv].reshape(-1, d).T.astype(np.float64) / math.sqrt(d)
        e = np.exp(s - s.max(axis=1, keepdims=True))
        o[:, :, head] = (e @ v[:, :, kv].reshape(-1, d) / e.sum(axis=1, keepdims=True)).reshape(q.shape[0], -1, d)
    return o


@ring_attention.flops
def flops(N: int, SQ: int, SKV: int, HQ: int, D: int, **_: int) -> int:
    return 4 * (N * SQ) * (N * SKV) * HQ * D


@ring_attention.cores
def cores(N: int, RANK_AXIS: int, **_: int) -> int:
    return N * 8 if RANK_AXIS else N


@ring_attention.specialize
def specialize(SQ: int, HQ: int, HKV: int, **_: int) -> dict[str, int]:
    """As many query rows a round as UB has room for o of: 256 for all query heads of a group, in whole fractals."""
    rows = max(16, min(128, 512 // (HQ // HKV) // 16 * 16, -(-SQ // 16) * 16))
    return {"ROWS": rows, "SLICE": min(32, rows // 2)}


ring_attention.tolerance = 1e-3
ring_attention.case("small", N=2, SQ=64, SKV=128, HQ=2)
ring_attention.case("single_user_prefill", N=8, SQ=32, SKV=128, HQ=8, HKV=2)
ring_attention.case("multi_user_prefill", N=4, SQ=32, SKV=256, HQ=4, HKV=1, RANK_AXIS=1)
ring_attention.case("uneven_gqa", N=4, SQ=40, SKV=200, HQ=6, HKV=2)
ring_attention.case("one_head", N=5, SQ=24, SKV=300, HQ=1)
ring_attention.case("heads_64", N=8, SQ=16, SKV=64, HQ=4, HKV=4, D=64)
ring_attention.case("two_rounds", N=3, SQ=200, SKV=128, HQ=2)
ring_attention.case("llama_70b", large=True, N=8, SQ=64, SKV=64, HQ=64, HKV=8)
ring_attention.case("llama_70b_4k", large=True, N=8, SQ=512, SKV=512, HQ=64, HKV=8)
ring_attention.case("ranks_64", large=True, N=64, SQ=16, SKV=16, HQ=1, RANK_AXIS=1)
ring_attention.limit("every KV head serves as many query heads", HQ=5, HKV=2)
ring_attention.limit("ranks of one cube are its 8 elements; a longer line is one of cubes (RANK_AXIS=1)", N=9)
ring_attention.limit("a line of cubes has 64 of them", N=65, RANK_AXIS=1)
ring_attention.limit("a slot of a receive buffer holds TILE rows of K or V: 64 KiB", TILE=512)
ring_attention.limit("it runs over links: every rank must be launched", N=3, cores=2)
