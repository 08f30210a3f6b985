"""Flash attention in naive order: no pipe, no flag, no address.

Four sections a tile, as the formulas say it; `ptoc.cross` values go from one kind of core to the other.  The compiler makes rings of slots of them
and, for `preload=`, the four-stage schedule that `flash_attention` has written out (passes split-sections and skew-pipeline).
"""

import math

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32
from ptoc.kernels._attention_vector import LOWEST
from ptoc.kernels.flash_attention import flash_attention

Q, K, OUT = ptoc.Tensor["S0", "D", f16], ptoc.Tensor["S1", "D", f16], ptoc.Out["S0", "D", f32]


@ptoc.kernel
def flash_attention_naive(
    q: Q, k: K, v: K, o: OUT, S0, S1, *, D: int = 128, TILE: int = 256, SUB: int = 128, ROWS: int = 128, SLICE: int = 32, PRELOAD: int = 4
):
    """o = softmax(q @ k.T / sqrt(D)) @ v, tile by tile in naive order; whole tiles: S0 a multiple of ROWS, S1 of TILE."""
    parts, scale = range(ROWS // 2 // SLICE), 1.0 / math.sqrt(D)
    first, blocks, tiles = ptoc.block_idx(), S0 // ROWS, ptoc.ceil_div(S1, TILE)
    ptoc.return_if(first >= blocks)
    mine = ptoc.maximum(ptoc.ceil_div(blocks - first, ptoc.num_blocks()), 1)
    q1, q0 = ptoc.tile([ROWS, D], f16, L1), ptoc.tile([ROWS, D], f16, L0A)
    k1, v1 = ptoc.tile([D, SUB], f16, L1, layout="zn", slots=2), ptoc.tile([SUB, D], f16, L1, slots=2)
    p1, p0 = ptoc.tile([ROWS, SUB], f16, L1, slots=2), ptoc.tile([ROWS, SUB], f16, L0A)
    k0, v0 = ptoc.tile([D, SUB], f16, L0B), ptoc.tile([SUB, D], f16, L0B)
    qk0, pv0 = ptoc.tile([ROWS, SUB], f32, L0C), ptoc.tile([ROWS, D], f32, L0C)
    x, y, x16 = ptoc.tile([SLICE, TILE], f32, slots=2), ptoc.tile([SLICE, D], f32, slots=2), ptoc.tile([SLICE, TILE], f16)
    scratch, acc = ptoc.tile([SLICE, TILE], f32), [ptoc.tile([SLICE, D], f32) for _ in parts]
    m, total, new, old = ([ptoc.tile([1, SLICE], f32) for _ in parts] for _ in range(4))
    with ptoc.vector():
        for i in parts:
            ptoc.expands(total[i], 0.0)
            ptoc.expands(acc[i], 0.0)
    for g in ptoc.range(mine * tiles, preload=PRELOAD):  # all blocks of query rows of this core, tile by tile
        t, row = g % tiles, (first + g // tiles * ptoc.num_blocks()) * ROWS
        qk, p, pv = ptoc.cross((ROWS, TILE), f32, name="qk"), ptoc.cross((ROWS, TILE), f16, name="p"), ptoc.cross((ROWS, D), f32, name="pv")
        r, l = ([ptoc.tile([1, SLICE], f32) for _ in parts] for _ in range(2))
        with ptoc.cube():  # S = Q K^T
            with ptoc.when(t == 0):
                ptoc.load(q1, q[row : row + ROWS, :])
                ptoc.mov(q0, q1)
            for j in range(TILE // SUB):
                ptoc.load(k1[j % 2], k.T[:, t * TILE + j * SUB : t * TILE + (j + 1) * SUB])
                ptoc.mov(k0, k1[j % 2])
                ptoc.matmul(qk0, q0, k0)
                ptoc.store(qk[:, j * SUB : (j + 1) * SUB], qk0)
        with ptoc.vector():  # P = exp(scale * (S - max)); r, by which what came before shrinks (to 0 in a block's first tile); l, the sum so far
            with ptoc.when(t == 0):
                for i in parts:
                    ptoc.expands(m[i], LOWEST)
            for i in parts:
                xi = x[i % 2]
                ptoc.load(xi, qk[i * SLICE : (i + 1) * SLICE, :])
                ptoc.rowmax(column(new[i]), xi, scratch)
                ptoc.max(new[i], new[i], m[i])
                ptoc.sub(r[i], m[i], new[i])
                ptoc.rowexpandsub(xi, xi, column(new[i]))
                ptoc.mov(m[i], new[i])
                ptoc.muls(r[i], r[i], scale)
                ptoc.muls(xi, xi, scale)
                ptoc.exp(r[i], r[i])
                ptoc.exp(xi, xi)
                ptoc.mul(old[i], total[i], r[i])
                ptoc.cvt(x16, xi)
                ptoc.rowsum(column(new[i]), xi, scratch)
                ptoc.add(total[i], old[i], new[i])
                ptoc.add(l[i], old[i], new[i])
                ptoc.store(p[i * SLICE : (i + 1) * SLICE, :], x16)
        with ptoc.cube():  # PV = P V
            for j in range(TILE // SUB):
                ptoc.load(v1[j % 2], v[t * TILE + j * SUB : t * TILE + (j + 1) * SUB, :])
                ptoc.load(p1[j % 2], p[:, j * SUB : (j + 1) * SUB])
                ptoc.mov(p0, p1[j % 2])
                ptoc.mov(v0, v1[j % 2])
                ptoc.matmul_acc(pv0, pv0, p0, v0) if j else ptoc.matmul(pv0, p0, v0)
            ptoc.store(pv, pv0)
        with ptoc.vector():  # O = O * r + PV, and behind a block's last tile O / l
            for i in parts:
                ptoc.rowexpandmul(acc[i], acc[i], column(r[i]))
            for i in parts:
                ptoc.load(y[i % 2], pv[i * SLICE : (i + 1) * SLICE, :])
                ptoc.add(acc[i], acc[i], y[i % 2])
            with ptoc.when(t == tiles - 1):
                for i in parts:
                    at = row + ptoc.sub_block_idx() * (ROWS // 2) + i * SLICE
                    ptoc.rowexpanddiv(acc[i], acc[i], column(l[i]))
                    ptoc.store(o[at : at + SLICE, :], acc[i])


def column(row):
    """A row of numbers, one for each query row, as a column."""
    return row.reshape(row.shape[1], 1, layout="dn")


flash_attention_naive.reference(flash_attention.reference_function)
flash_attention_naive.flops(flash_attention.flops_function)
flash_attention_naive.cores(flash_attention.cores_function)
flash_attention_naive.tolerance = flash_attention.tolerance


@flash_attention_naive.specialize
def specialize(S0: int, S1: int, ROWS: int, TILE: int, **_: int) -> dict[str, int]:
    """Refuses sizes with tails."""
    if S0 % ROWS or S1 % TILE:
        got = f"S0 must be a multiple of ROWS = {ROWS} and S1 of TILE = {TILE}; got {S0} and {S1}"
        raise ptoc.ArgumentError(f"flash_attention_naive: {got}; flash_attention takes any")
    return {}


flash_attention_naive.case("default", S0=128, S1=1024)
flash_attention_naive.case("s2048", S0=128, S1=2048)
flash_attention_naive.case("two_blocks", S0=256, S1=512, cores=2)
flash_attention_naive.case("blocks_in_turn", S0=256, S1=1536, cores=1)
flash_attention_naive.case("one_tile_in_turn", S0=384, S1=256, cores=1)
