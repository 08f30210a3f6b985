"""Sparse attention of DSA: gather the chosen rows, then attend to them, with the row of keys and values shared by all heads (MLA in its absorbed form).

For each query the SDMA engine copies its K rows of the cache into a buffer. Then the cube core multiplies the query's heads, ROWS at a time, with TILE rows
of the buffer (query width D), SUB rows at a time; the vector core takes the online softmax; the cube core multiplies the result with the first DV numbers
of the same rows. The stages are those of `flash_attention`: scores of PRELOAD tiles are ahead of their values, tiles are numbered through all heads and
queries of a core so that one follows the other without a pause.

Query rows do not fit into L0A and accumulators of DV columns not into L0C: the contraction goes by DSTEP of its D numbers, the values by VSTEP of their DV, and
columns of keys take turns with rows of values in L0B. A tile of keys lies in L1 as it came; its transpose is another reading of the same bytes.

What holds a query's first load until its gather is complete is a flag from SDMA to MTE2, inserted for the dependence as any other. KV bytes are counted once on
each way: cache to buffer by the gather, buffer to engine by the attention. K rows are gathered for each query, whatever others chose. Departures from the
proposal for DSA: it maps the attention to batch x index heads; here it has the attention's own heads, query width D = 576 and value width DV = 512.
"""

import math

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32, i32

LOWEST = -3.0e38
"""Where a running maximum begins: near the least f32."""


@ptoc.kernel
def dsa_attention(
    q: ptoc.Tensor["S", "H", "D", f16],
    kv: ptoc.Tensor["N", "D", f16],
    index: ptoc.Tensor["S", "K", i32],
    chosen: ptoc.Out["S", "K", "D", f16],
    o: ptoc.Out["S", "H", "DV", f32],
    S,
    *,
    H: int = 128,
    D: int = 576,
    DV: int = 512,
    K: int = 2048,
    SCORE_WIDTH: int = 192,
    DOMAIN: str = "hbm",
    ROWS: int = 64,
    TILE: int = 128,
    SUB: int = 64,
    DSTEP: int = 96,
    VSTEP: int = 128,
    PRELOAD: int = 3,
    VECTORS: int = 2,
):
    """o[s] = softmax(q[s] @ chosen[s].T / sqrt(SCORE_WIDTH)) @ chosen[s, :, :DV] where chosen[s] = kv[index[s]]."""
    split = "up_down" if VECTORS == 2 else "none"
    qk, pv = (ptoc.pipe("c2v", (ROWS, cols), f32, slots=8, local_slots=2, split=split, name=name) for name, cols in (("qk", TILE), ("pv", DV)))
    p = ptoc.pipe("v2c", (ROWS, TILE), f16, slots=8, local_slots=2, split=split, name="p")
    each = ptoc.ceil_div(S, ptoc.num_blocks())
    first = ptoc.block_idx() * each
    mine = ptoc.maximum(ptoc.minimum(S - first, each), 0)
    ptoc.return_if(mine < 1)
    shape = Shape(H, D, DV, K, ROWS, TILE, SUB, DSTEP, VSTEP, VECTORS, first)
    total = mine * shape.of_query
    ahead = ptoc.minimum(total, PRELOAD)
    with ptoc.cube():
        cube = Cube(shape, q, kv, index, chosen, DOMAIN, qk, p, pv)
        for g in ptoc.range(total + ahead):
            with ptoc.when(g < total):
                cube.compute_qk(g)
            with ptoc.when(g >= ahead):
                cube.compute_pv(g - ahead)
    with ptoc.vector():
        vector = Vector(shape, 1.0 / math.sqrt(SCORE_WIDTH), PRELOAD + 1, qk, p, pv)
        for g in ptoc.range(total + ahead):
            with ptoc.when(g < total), ptoc.part("softmax"):
                vector.compute_p(g)
            with ptoc.when(g >= ahead), ptoc.part("attention"):
                vector.compute_gu(g - ahead, o)


class Shape:
    """Extents of what one core works on.  A core's tiles are numbered through its queries, of each through its heads, ROWS at a time."""

    def __init__(self, heads, d, dv, k, rows, tile, sub, dstep, vstep, vectors, first):
        self.heads, self.d, self.dv, self.rows, self.tile, self.sub, self.dstep, self.vstep = heads, d, dv, rows, tile, sub, dstep, vstep
        self.tiles, self.subs, self.slice, self.first = k // tile, tile // sub, rows // vectors, first
        self.slots, self.columns = min(2, self.subs), dv // vstep
        self.of_query = self.tiles * (heads // rows)

    def query(self, g):
        """The query that tile g belongs to."""
        return self.first + g // self.of_query

    def head(self, g):
        """The first of the heads that tile g belongs to."""
        return g % self.of_query // self.tiles * self.rows

    def row(self, g, j):
        """First row, in the query's buffer, of sub-tile j of tile g."""
        return g % self.tiles * self.tile + j * self.sub


class Cube:
    """The cube core's stages, and the gather: keys, values and P in two slots of L1."""

    def __init__(self, shape, q, kv, index, chosen, domain, qk, p, pv):
        s = self.s = shape
        self.q, self.kv, self.index, self.chosen, self.domain, self.qk, self.p, self.pv = q, kv, index, chosen, domain, qk, p, pv
        self.q1 = ptoc.tile([s.rows, s.d], f16, L1)
        self.k1 = ptoc.tile([s.sub, s.d], f16, L1, slots=s.slots)
        self.v1 = ptoc.tile([s.sub, s.dv], f16, L1, slots=s.slots)
        self.p1 = ptoc.tile([s.rows, s.sub], f16, L1, slots=s.slots)
        self.p0 = ptoc.tile([s.rows, s.sub], f16, L0A, slots=s.slots)
        self.v0 = ptoc.tile([s.sub, s.vstep], f16, L0B, slots=s.slots)
        self.qk0 = ptoc.tile([s.rows, s.sub], f32, L0C, slots=s.slots)

    def compute_qk(self, g):
        """Scores of tile g; with the first tile of a query its rows are gathered, with the first of some heads come their query rows."""
        s, query = self.s, self.s.query(g)
        with ptoc.when(g % s.of_query == 0), ptoc.part("gather"):
            ptoc.sdma_gather(self.chosen[query, :, :], self.kv, self.index[query, :], domain=self.domain)
        with ptoc.part("attention"):
            with ptoc.when(g % s.tiles == 0):
                ptoc.load(self.q1, self.q[query, s.head(g) : s.head(g) + s.rows, :])
            entry = self.qk.alloc()
            for j in range(s.subs):
                k1, qk0 = self.k1[j % s.slots], self.qk0[j % s.slots]
                ptoc.load(k1, self.chosen[query, s.row(g, j) : s.row(g, j) + s.sub, :])
                columns = k1.reshape(s.d, s.sub, layout="zn")
                for i in ptoc.range(s.d // s.dstep, stages=2):
                    q0, k0 = ptoc.tile([s.rows, s.dstep], f16, L0A), ptoc.tile([s.dstep, s.sub], f16, L0B)
                    ptoc.extract(q0, self.q1, 0, i * s.dstep)
                    ptoc.extract(k0, columns, i * s.dstep, 0)
                    with ptoc.when(i == 0):
                        ptoc.matmul(qk0, q0, k0)
                    with ptoc.when(i > 0):
                        ptoc.matmul_acc(qk0, qk0, q0, k0)
                ptoc.store(entry[:, j * s.sub : (j + 1) * s.sub], qk0)
            self.qk.push(entry)

    def compute_pv(self, g):
        """P of tile g times the first DV numbers of its rows, summed over its sub-tiles."""
        s, query = self.s, self.s.query(g)
        with ptoc.part("attention"):
            full, empty = self.p.pop(), self.pv.alloc()
            for j in range(s.subs):
                ptoc.load(self.v1[j % s.slots], self.chosen[query, s.row(g, j) : s.row(g, j) + s.sub, 0 : s.dv])
                ptoc.load(self.p1[j % s.slots], full[:, j * s.sub : (j + 1) * s.sub])
                ptoc.mov(self.p0[j % s.slots], self.p1[j % s.slots])
            self.p.free(full)
            for i in ptoc.range(s.columns, stages=2):
                pv0 = ptoc.tile([s.rows, s.vstep], f32, L0C)
                for j in range(s.subs):
                    p0, v0 = self.p0[j % s.slots], self.v0[j % s.slots]
                    ptoc.extract(v0, self.v1[j % s.slots], 0, i * s.vstep)
                    ptoc.matmul_acc(pv0, pv0, p0, v0) if j else ptoc.matmul(pv0, p0, v0)
                ptoc.store(empty[:, i * s.vstep : (i + 1) * s.vstep], pv0)
            self.pv.push(empty)


class Vector:
    """A vector core's stages for its share of the heads: running maximum m, sum l, rescaling r, unnormalised result o.

    r is 0 in the first tile of some heads, so that l and o begin anew there.  compute_p runs up to `ring` - 1 tiles ahead of compute_gu.
    """

    def __init__(self, shape, scale, ring, qk, p, pv):
        s = self.s = shape
        self.scale, self.ring, self.qk, self.p, self.pv = scale, ring, qk, p, pv
        self.x = ptoc.tile([s.slice, s.tile], f32)
        self.x16 = ptoc.tile([s.slice, s.tile], f16)
        self.scratch = ptoc.tile([s.slice, s.tile], f32)
        self.y = ptoc.tile([s.slice, s.vstep], f32, slots=min(2, s.columns))
        self.o = [ptoc.tile([s.slice, s.vstep], f32) for _ in range(s.columns)]
        self.m, self.local = ptoc.tile([1, s.slice], f32), ptoc.tile([1, s.slice], f32)
        self.l, self.r = (ptoc.tile([1, s.slice], f32, slots=ring) for _ in range(2))
        with ptoc.part("softmax"):
            ptoc.expands(self.l[ring - 1], 0.0)
        with ptoc.part("attention"):
            for o in self.o:
                ptoc.expands(o, 0.0)

    def compute_p(self, g):
        """Online softmax of tile g: P = exp(scale * (QK - m)), and by how much what came before shrinks."""
        s, x, x16 = self.s, self.x, self.x16
        with ptoc.when(g % s.tiles == 0):
            ptoc.expands(self.m, LOWEST)
        full, empty = self.qk.pop(), self.p.alloc()
        ptoc.load(x, full)
        r, l, before = self.r[g % self.ring], self.l[g % self.ring], self.l[(g + self.ring - 1) % self.ring]
        column = self._column(self.local)
        ptoc.rowmax(column, x, self.scratch)
        ptoc.max(self.local, self.local, self.m)
        ptoc.sub(r, self.m, self.local)
        ptoc.rowexpandsub(x, x, column)
        ptoc.mov(self.m, self.local)
        ptoc.muls(r, r, self.scale)
        ptoc.muls(x, x, self.scale)
        ptoc.exp(r, r)
        ptoc.exp(x, x)
        ptoc.mul(l, before, r)
        ptoc.cvt(x16, x)
        ptoc.rowsum(column, x, self.scratch)
        ptoc.add(l, l, self.local)
        ptoc.store(empty, x16)
        self.qk.free(full)
        self.p.push(empty)

    def compute_gu(self, g, out):
        """o = o * r + PV of tile g; behind the last tile of some heads out = o / l."""
        s = self.s
        entry = self.pv.pop()
        for o in self.o:
            ptoc.rowexpandmul(o, o, self._column(self.r[g % self.ring]))
        for j, o in enumerate(self.o):
            ptoc.load(self.y[j % len(self.y)], entry[:, j * s.vstep : (j + 1) * s.vstep])
            ptoc.add(o, o, self.y[j % len(self.y)])
        self.pv.free(entry)
        with ptoc.when(g % s.tiles == s.tiles - 1):
            head = s.head(g) + (ptoc.sub_block_idx() * s.slice if s.slice < s.rows else 0)
            for j, o in enumerate(self.o):
                ptoc.rowexpanddiv(o, o, self._column(self.l[g % self.ring]))
                ptoc.store(out[s.query(g), head : head + s.slice, j * s.vstep : (j + 1) * s.vstep], o)

    def _column(self, row):
        """A row of numbers, one for each head, as a column."""
        return row.reshape(self.s.slice, 1, layout="dn")


@dsa_attention.reference
def reference(q: np.ndarray, kv: np.ndarray, index: np.ndarray, DV: int, SCORE_WIDTH: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = kv[index]
    s = np.einsum("shd,skd->shk", q, chosen) / math.sqrt(SCORE_WIDTH)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return chosen, np.einsum("shk,skv->shv", e, chosen[..., :DV]) / e.sum(axis=-1, keepdims=True)


@dsa_attention.inputs
def inputs(rng: np.random.Generator, S: int, N: int, H: int, D: int, K: int, **_: int) -> dict[str, np.ndarray]:
    """Every query chooses K different rows."""
    index = np.stack([rng.permutation(N)[:K] for _ in range(S)])
    return {"q": rng.standard_normal((S, H, D)), "kv": rng.standard_normal((N, D)), "index": index}


@dsa_attention.flops
def flops(S: int, H: int, D: int, DV: int, K: int, **_: int) -> int:
    return 2 * S * H * K * (D + DV)


@dsa_attention.cores
def cores(S: int, aic: int, **_: int) -> int:
    return min(aic, S)


def largest(n: int, most: int, unit: int = 16) -> int:
    """The largest divisor of n that is a multiple of `unit` and at most `most`; raises where there is none."""
    found = next((size for size in range(most // unit * unit, 0, -unit) if n % size == 0), 0)
    if not found:
        raise ptoc.ArgumentError(f"dsa_attention: {n} has no divisor of at most {most} that is a multiple of {unit}")
    return found


@dsa_attention.specialize
def specialize(H: int, D: int, DV: int, K: int, N: int, **_: int) -> dict[str, int]:
    """The largest tiles that the memories take."""
    if K > N:
        raise ptoc.ArgumentError(f"dsa_attention: K rows are chosen of N; got K={K}, N={N}")
    sub = largest(K, 64)
    tile = 2 * sub if K % (2 * sub) == 0 else sub
    return {"ROWS": largest(H, 64), "TILE": tile, "SUB": sub, "DSTEP": largest(D, 128), "VSTEP": largest(DV, 128)}


dsa_attention.tolerance = 1e-3
dsa_attention.case("small", S=3, N=96, H=16, D=96, DV=64, K=64, SCORE_WIDTH=48, cores=2)
dsa_attention.case("one_query", S=1, N=300, H=32, D=64, DV=64, K=256, SCORE_WIDTH=64)
dsa_attention.case("mla_decode", S=2, N=600, H=128, D=576, DV=512, K=512, SCORE_WIDTH=192, cores=1)
dsa_attention.case("deepseek_v32", S=48, N=131072, H=128, D=576, DV=512, K=2048, SCORE_WIDTH=192, large=True)
dsa_attention.limit("K is at most N", K=160)
dsa_attention.limit("heads, widths and K are multiples of 16", H=24)
