"""Decode attention over a paged KV cache, as one kernel: a cube core and its two vector cores run through the pages of a sequence side by side.

A task is a batch entry and a tile of ROWS query heads that share one KV head; the blocks take every n-th task.  For page i of a task:

    cube    QK(i) = Q @ K(i).T      -> FIFO qk, f32 [ROWS, PAGE], two slots
    vector  P(i) = softmax step     -> FIFO p, bf16 [ROWS, PAGE], two slots; each vector core has ROWS / 2 rows
    cube    PV(i) = P(i) @ V(i)     -> FIFO pv, f32 [ROWS, D], two slots
    vector  O = O * r(i) + PV(i)

Schedule: the cube computes QK(i), then PV(i - 1); the vector cores compute P(i), then update O with PV(i - 1): while one side works on page i
the other one works on page i - 1.  K(i) and V(i) are loaded before the cube waits for P(i - 1): a wait for another core stops the scalar unit,
and with it every load behind it.  V has two slots in L1, by the parity of i, since PV comes a page later; K has one, which is free again as soon as
it is in L0B, while V(i) is on its way.  The first QK and the last PV of a task stand outside of the loop: conditions in it would blur what waits for
what.  MTE2 of the cube core, which loads K and V, bounds a long sequence.
The online rule: m' = max(m, rowmax(QK)), r = exp(scale * (m - m')), P = exp(scale * (QK - m')) rounded to bf16, and l = l * r + the sum of what
was rounded.  A last page that is not full has fewer columns in every step.  A sequence without tokens gives zeros: m = -1e30, and l as it begins,
which is next to nothing and not 0, so that O / l is 0.
A tile of query heads has the largest even number of rows that divides those of a KV head, up to 16; of an odd number one is computed twice.
Limits: PAGE and D multiples of 16 up to 128; bf16 or f16 tensors, f32 result.  The cache lies as [pages, KV heads, PAGE, D]; SLOTS is the product
of the first three.
"""

import math

import ptoc
from ptoc import L0A, L0B, L0C, L1, f32, i32

from ._paged import BLOCK, CASES, FRACTAL, LEAST_SUM, LOWEST, attention_inputs, attention_of_pages


@ptoc.kernel
def paged_attention(
    q: ptoc.Tensor["B", "H", "D", "T"],
    k: ptoc.Tensor["SLOTS", "D", "T"],
    v: ptoc.Tensor["SLOTS", "D", "T"],
    table: ptoc.Tensor["B", "LONGEST", i32],
    contexts: ptoc.Tensor["B", i32],
    o: ptoc.Out["B", "H", "D", f32],
    B,
    *,
    T: str = "bf16",
    H: int = 16,
    HKV: int = 1,
    D: int = 128,
    PAGE: int = 128,
    ROWS: int = 16,
):
    """o[b, h] = softmax(q[b, h] @ k[b].T / sqrt(D)) @ v[b] over the contexts[b] tokens in the pages table[b]."""
    qk = ptoc.pipe("c2v", (ROWS, PAGE), f32, slots=2, name="qk")
    p = ptoc.pipe("v2c", (ROWS, PAGE), q.dtype, slots=2, name="p")
    pv = ptoc.pipe("c2v", (ROWS, D), f32, slots=2, name="pv")
    tasks = Tasks(B, H, HKV, PAGE, ROWS, table, contexts)
    with ptoc.cube():
        cube = Cube(tasks, q, k, v, qk, p, pv)
        for number in ptoc.range(ptoc.block_idx(), tasks.count, ptoc.num_blocks()):
            task = tasks.at(number)
            with ptoc.when(task.pages > 0):
                cube.begin(task)
                cube.compute_qk(task, 0)
                for i in ptoc.range(1, task.pages):
                    cube.compute_qk(task, i)
                    cube.compute_pv(task, i - 1)
                cube.compute_pv(task, task.pages - 1)
    with ptoc.vector():
        vector = Vector(tasks, D, q.dtype, qk, p, pv)
        for number in ptoc.range(ptoc.block_idx(), tasks.count, ptoc.num_blocks()):
            task = tasks.at(number)
            vector.begin()
            with ptoc.when(task.pages > 0):
                vector.compute_p(task, 0)
                for i in ptoc.range(1, task.pages):
                    vector.compute_p(task, i)
                    vector.update(task, i - 1)
                vector.update(task, task.pages - 1)
            vector.finish(task, o)


class Tasks:
    """The tasks of a run: (batch entry, tile of query heads)."""

    def __init__(self, batches, heads, kv_heads, page, rows, table, contexts):
        self.page, self.rows, self.kv_heads, self.table, self.contexts = page, rows, kv_heads, table, contexts
        self.group = heads // kv_heads
        self.tiles = -(-self.group // rows)
        self.count = batches * (kv_heads * self.tiles)

    def at(self, number):
        return Task(self, number)


class Task:
    """Batch entry, KV head, query heads, tokens and pages of one task; `there`: how many of its query heads there are."""

    def __init__(self, tasks, number):
        self.of, each = tasks, tasks.kv_heads * tasks.tiles
        self.batch = number // each
        self.kv_head = number % each // tasks.tiles
        first = number % tasks.tiles * tasks.rows
        self.head = self.kv_head * tasks.group + first
        self.there = ptoc.minimum(tasks.group - first, tasks.rows) if tasks.group % 2 else tasks.rows
        self.tokens = tasks.contexts.number(self.batch)
        self.pages = ptoc.ceil_div(self.tokens, tasks.page)

    def tokens_of(self, i):
        """Tokens in page i."""
        return ptoc.minimum(self.tokens - i * self.of.page, self.of.page)

    def first_slot(self, i):
        """Row of the cache that page i begins at."""
        return (self.of.table.number(self.batch, i) * self.of.kv_heads + self.kv_head) * self.of.page

    def mine(self):
        """First query head and number of heads of this vector core."""
        half, sub = self.of.rows // 2, ptoc.sub_block_idx()
        return self.head + sub * half, half if isinstance(self.there, int) else ptoc.minimum(self.there - sub * half, half)


class Cube:
    """The cube core's stages."""

    def __init__(self, tasks, q, k, v, qk, p, pv):
        self.rows, rows, page, d, dtype = tasks.rows, -(-tasks.rows // FRACTAL) * FRACTAL, tasks.page, q.shape[2], q.dtype
        self.q, self.k, self.v, self.qk, self.p, self.pv = q, k, v, qk, p, pv
        self.q1, self.q0 = ptoc.tile([rows, d], dtype, L1), ptoc.tile([rows, d], dtype, L0A)
        self.k1, self.k0 = ptoc.tile([d, page], dtype, L1, layout="zn"), ptoc.tile([d, page], dtype, L0B)
        self.v1, self.v0 = ptoc.tile([page, d], dtype, L1, slots=2), ptoc.tile([page, d], dtype, L0B)
        self.p1, self.p0 = ptoc.tile([rows, page], dtype, L1), ptoc.tile([rows, page], dtype, L0A)
        self.s0, self.o0 = ptoc.tile([rows, page], f32, L0C), ptoc.tile([rows, d], f32, L0C)

    def begin(self, task):
        """The queries; one again where there is one less than rows."""
        n, q1 = task.there, self.q1[0 : self.rows, :]
        ptoc.load(self.q1[0:n, :], self.q[task.batch, task.head : task.head + n, :])
        if not isinstance(n, int):
            with ptoc.when(n < self.rows):
                ptoc.load(self.q1[n : n + 1, :], self.q[task.batch, task.head : task.head + 1, :])
        ptoc.mov(self.q0[0 : self.rows, :], q1)

    def compute_qk(self, task, i):
        """QK(i) into its FIFO; V(i) is on its way behind it."""
        n, slot = task.tokens_of(i), task.first_slot(i)
        k1, k0, s0 = self.k1[:, 0:n], self.k0[:, 0:n], self.s0[0 : self.rows, 0:n]
        ptoc.load(k1, self.k.T[:, slot : slot + n])
        ptoc.load(self.v1[i % 2][0:n, :], self.v[slot : slot + n, :])
        entry = self.qk.alloc()
        ptoc.mov(k0, k1)
        ptoc.matmul(s0, self.q0[0 : self.rows, :], k0)
        ptoc.store(entry[0 : self.rows, 0:n], s0)
        self.qk.push(entry)

    def compute_pv(self, task, i):
        n = task.tokens_of(i)
        p1, p0, v0, o0 = self.p1[0 : self.rows, 0:n], self.p0[0 : self.rows, 0:n], self.v0[0:n, :], self.o0[0 : self.rows, :]
        full = self.p.pop()
        ptoc.load(p1, full[0 : self.rows, 0:n])
        self.p.free(full)
        ptoc.mov(p0, p1)
        ptoc.mov(v0, self.v1[i % 2][0:n, :])
        ptoc.matmul(o0, p0, v0)
        entry = self.pv.alloc()
        ptoc.store(entry[0 : self.rows, :], o0)
        self.pv.push(entry)


class Vector:
    """A vector core's stages for its half of the rows: running maximum m, sum l, result o; r of the last two pages."""

    def __init__(self, tasks, d, dtype, qk, p, pv):
        rows, page = tasks.rows // 2, tasks.page
        self.height, self.qk, self.p, self.pv, self.scale = rows, qk, p, pv, 1.0 / math.sqrt(d)
        self.x, self.rounded, self.scratch = ptoc.tile([rows, page], f32), ptoc.tile([rows, page], dtype), ptoc.tile([rows, page], f32)
        self.y, self.o = ptoc.tile([rows, d], f32), ptoc.tile([rows, d], f32)
        padded = -(-rows // BLOCK) * BLOCK
        self.m, self.l, self.local = (ptoc.tile([1, padded], f32) for _ in range(3))
        self.r = ptoc.tile([1, padded], f32, slots=2)

    def begin(self):
        for tile, value in ((self.m, LOWEST), (self.l, LEAST_SUM), (self.o, 0.0)):
            ptoc.expands(tile, value)

    def compute_p(self, task, i):
        """P(i) into its FIFO; m, l and r follow.  Commands that do not depend on each other stand together: fewer barriers."""
        rows, n = self.height, task.tokens_of(i)
        full, empty = self.qk.pop(), self.p.alloc()
        x, rounded, scratch = self.x[0:rows, 0:n], self.rounded[0:rows, 0:n], self.scratch[0:rows, 0:n]
        m, l, r, local = (row[:, 0:rows] for row in (self.m, self.l, self.r[i % 2], self.local))
        column = self._column(self.local)
        ptoc.load(x, full[0:rows, 0:n])
        ptoc.rowmax(column, x, scratch)
        ptoc.max(local, local, m)
        ptoc.sub(r, m, local)
        ptoc.rowexpandsub(x, x, column)
        ptoc.mov(m, local)
        ptoc.muls(r, r, self.scale)
        ptoc.muls(x, x, self.scale)
        ptoc.exp(r, r)
        ptoc.exp(x, x)
        ptoc.mul(l, l, r)
        ptoc.cvt(rounded, x)
        ptoc.cvt(x, rounded)
        ptoc.store(empty[0:rows, 0:n], rounded)
        ptoc.rowsum(column, x, scratch)
        ptoc.add(l, l, local)
        self.qk.free(full)
        self.p.push(empty)

    def update(self, task, i):
        """o = o * r(i) + PV(i)."""
        rows, full = self.height, self.pv.pop()
        ptoc.load(self.y, full[0:rows, :])
        ptoc.rowexpandmul(self.o, self.o, self._column(self.r[i % 2]))
        ptoc.add(self.o, self.o, self.y)
        self.pv.free(full)

    def finish(self, task, out):
        """out = o / l."""
        head, rows = task.mine()
        ptoc.rowexpanddiv(self.o, self.o, self._column(self.l))
        with ptoc.when(True if isinstance(rows, int) else rows > 0):
            ptoc.store(out[task.batch, head : head + rows, :], self.o[0:rows, :])

    def _column(self, row):
        return row.reshape(row.shape[1], 1, layout="dn")[0 : self.height, :]


paged_attention.reference(attention_of_pages)
paged_attention.inputs(attention_inputs)


@paged_attention.specialize
def specialize(H: int, HKV: int, SLOTS: int, PAGE: int, **_: int) -> dict[str, int]:
    """An even number of rows, of which each vector core has half."""
    if HKV < 1 or H % HKV or H < HKV:
        raise ptoc.ArgumentError(f"paged_attention: every KV head serves as many query heads; got H={H} and HKV={HKV}")
    if PAGE < 1 or SLOTS % (HKV * PAGE):
        raise ptoc.ArgumentError(f"paged_attention: SLOTS must be a multiple of HKV * PAGE, a page of all KV heads; got {SLOTS} and {HKV} * {PAGE}")
    group = H // HKV + H // HKV % 2
    return {"ROWS": max(rows for rows in range(2, 17, 2) if group % rows == 0)}


@paged_attention.flops
def flops(B: int, H: int, D: int, PAGE: int, LONGEST: int, **_: int) -> int:
    """Of whole pages, all sequences as long as the longest."""
    return 4 * B * H * D * PAGE * LONGEST


@paged_attention.cores
def cores(B: int, H: int, HKV: int, ROWS: int, aic: int, **_: int) -> int:
    return min(aic, B * HKV * -(-(H // HKV) // ROWS))


paged_attention.limit("every KV head serves as many query heads", H=16, HKV=3)
paged_attention.limit("SLOTS is a multiple of HKV * PAGE", SLOTS=100)
paged_attention.limit("PAGE and D are multiples of 16", D=24)
paged_attention.tolerance = (2e-3, 1e-2)
for _name, _case in CASES.items():
    paged_attention.case(_name, **_case)
