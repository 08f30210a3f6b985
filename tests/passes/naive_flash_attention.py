"""Flash attention in naive order: no pipe, no flag, no address; the compiler makes the four-stage schedule of it."""

import math

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

Q, K, OUT = ptoc.Tensor["S0", "D", f16], ptoc.Tensor["S1", "D", f16], ptoc.Out["S0", "D", f32]


@ptoc.kernel
def naive_flash_attention(q: Q, k: K, v: K, o: OUT, S1, *, D: int = 128, TILE: int = 256, SUB: int = 128, SLICE: int = 32, PRELOAD: int = 4):
    """o = softmax(q @ k.T / sqrt(D)) @ v for 128 query rows a block, whole tiles of S1."""
    first, rows, parts, scale = ptoc.block_idx() * 128, 128, range(64 // SLICE), 1.0 / math.sqrt(D)
    q1, q0 = ptoc.tile([rows, D], f16, L1), ptoc.tile([rows, D], f16, L0A)
    k1, v1 = ptoc.tile([D, SUB], f16, L1, layout="zn", slots=2), ptoc.tile([SUB, D], f16, L1, slots=2)
    p1, p0 = ptoc.tile([rows, SUB], f16, L1, slots=2), ptoc.tile([rows, SUB], f16, L0A)
    k0, v0 = ptoc.tile([D, SUB], f16, L0B), ptoc.tile([SUB, D], f16, L0B)
    qk0, pv0 = ptoc.tile([rows, SUB], f32, L0C), ptoc.tile([rows, D], f32, L0C)
    x, y, x16 = ptoc.tile([SLICE, TILE], f32, slots=2), ptoc.tile([SLICE, D], f32, slots=2), ptoc.tile([SLICE, TILE], f16)
    acc, m, total = [ptoc.tile([SLICE, D], f32) for _ in parts], *([ptoc.tile([1, SLICE], f32) for _ in parts] for _ in range(2))
    new, scratch = ptoc.tile([1, SLICE], f32), ptoc.tile([SLICE, TILE], f32)
    with ptoc.cube():
        ptoc.load(q1, q[first : first + rows, :])
        ptoc.mov(q0, q1)
    with ptoc.vector():
        for i in parts:
            for tile, start in ((m[i], -3e38), (total[i], 0.0), (acc[i], 0.0)):
                ptoc.expands(tile, start)
    for t in ptoc.range(S1 // TILE, preload=PRELOAD):
        qk, p, pv = ptoc.cross((rows, TILE), f32), ptoc.cross((rows, TILE), f16), ptoc.cross((rows, D), f32)
        r = [ptoc.tile([1, SLICE], f32) for _ in parts]
        with ptoc.cube():  # S = Q K^T
            for j in range(TILE // SUB):
                ptoc.load(k1[j % 2], k.T[:, t * TILE + j * SUB : t * TILE + (j + 1) * SUB])
                ptoc.mov(k0, k1[j % 2])
                ptoc.matmul(qk0, q0, k0)
                ptoc.store(qk[:, j * SUB : (j + 1) * SUB], qk0)
        with ptoc.vector():  # P = exp(scale * (S - max)), and r, by which what came before shrinks
            for i in parts:
                xi = x[i % 2]
                ptoc.load(xi, qk[i * SLICE : (i + 1) * SLICE, :])
                ptoc.rowmax(column(new), xi, scratch)
                ptoc.max(new, new, m[i])
                ptoc.sub(r[i], m[i], new)
                ptoc.rowexpandsub(xi, xi, column(new))
                ptoc.mov(m[i], new)
                ptoc.muls(r[i], r[i], scale)
                ptoc.muls(xi, xi, scale)
                ptoc.exp(r[i], r[i])
                ptoc.exp(xi, xi)
                ptoc.mul(total[i], total[i], r[i])
                ptoc.cvt(x16, xi)
                ptoc.rowsum(column(new), xi, scratch)
                ptoc.add(total[i], total[i], new)
                ptoc.store(p[i * SLICE : (i + 1) * SLICE, :], x16)
        with ptoc.cube():  # PV = P V
            for j in range(TILE // SUB):
                ptoc.load(v1[j % 2], v[t * TILE + j * SUB : t * TILE + (j + 1) * SUB, :])
                ptoc.load(p1[j % 2], p[:, j * SUB : (j + 1) * SUB])
                ptoc.mov(p0, p1[j % 2])
                ptoc.mov(v0, v1[j % 2])
                ptoc.matmul_acc(pv0, pv0, p0, v0) if j else ptoc.matmul(pv0, p0, v0)
            ptoc.store(pv, pv0)
        with ptoc.vector():  # O = O * r + PV
            for i in parts:
                ptoc.load(y[i % 2], pv[i * SLICE : (i + 1) * SLICE, :])
                ptoc.rowexpandmul(acc[i], acc[i], column(r[i]))
                ptoc.add(acc[i], acc[i], y[i % 2])
    with ptoc.vector():
        for i in parts:
            row = first + ptoc.sub_block_idx() * 64 + i * SLICE
            ptoc.rowexpanddiv(acc[i], acc[i], column(total[i]))
            ptoc.store(o[row : row + SLICE, :], acc[i])


def column(row):
    """A row of numbers as a column."""
    return row.reshape(row.shape[1], 1, layout="dn")


@naive_flash_attention.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    s = q @ k.T / math.sqrt(q.shape[1])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e @ v / e.sum(axis=1, keepdims=True)


naive_flash_attention.case("default", S0=128, S1=1024)
