"""The projections of DSA's layer: c = a @ b of f16, stored as f16; a direct projection is one call, a low-rank one is two.

Tiles of TM x TN, TK of the contraction in L1 at a time, TK0 in L0; everything that crosses engines has two slots.  The accumulator is rounded to f16 by FIXP on its
way out.  Few rows (decode) make the product a stream of b: TM follows the number of rows, so that nothing is multiplied for rows that are not there.

`dsa_projection:dsa_to_f8` rounds the indexer's queries to 8-bit floats, for chips that score in them (a5).
"""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f8E4M3FN, f16, f32


@ptoc.kernel
def dsa_projection(
    a: ptoc.Tensor["M", "K", f16],
    b: ptoc.Tensor["K", "N", f16],
    c: ptoc.Out["M", "N", f16],
    M,
    N,
    K,
    *,
    TM: int = 128,
    TN: int = 128,
    TK: int = 256,
    TK0: int = 128,
):
    """c[m, n] = sum over k of a[m, k] * b[k, n], rounded to f16; K a multiple of TK0."""
    if TK % TK0:
        raise ptoc.ArgumentError(f"dsa_projection: TK must be a multiple of TK0; got {TK} and {TK0}")
    columns, steps = ptoc.ceil_div(N, TN), ptoc.ceil_div(K, TK)
    with ptoc.part("projection"):
        for t in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(M, TM) * columns, ptoc.num_blocks(), stages=2):
            m0, n0 = t // columns * TM, t % columns * TN
            m, n = ptoc.minimum(M - m0, TM), ptoc.minimum(N - n0, TN)
            acc = ptoc.tile([TM, TN], f32, L0C)
            for i in ptoc.range(steps, stages=2):
                k = ptoc.minimum(K - i * TK, TK)
                a1, b1 = ptoc.tile([TM, TK], f16, L1), ptoc.tile([TK, TN], f16, L1)
                ptoc.load(a1[0:m, 0:k], a[m0 : m0 + m, i * TK : i * TK + k])
                ptoc.load(b1[0:k, 0:n], b[i * TK : i * TK + k, n0 : n0 + n])
                for j in ptoc.range(k // TK0, stages=2):
                    a0, b0 = ptoc.tile([TM, TK0], f16, L0A), ptoc.tile([TK0, TN], f16, L0B)
                    ptoc.extract(a0[0:m, :], a1[0:m, 0:k], 0, j * TK0)
                    ptoc.extract(b0[:, 0:n], b1[0:k, 0:n], j * TK0, 0)
                    first = (i + j) == 0
                    with ptoc.when(first):
                        ptoc.matmul(acc[0:m, 0:n], a0[0:m, :], b0[:, 0:n])
                    with ptoc.when(~first):
                        ptoc.matmul_acc(acc[0:m, 0:n], acc[0:m, 0:n], a0[0:m, :], b0[:, 0:n])
            ptoc.store(c[m0 : m0 + m, n0 : n0 + n], acc[0:m, 0:n])


@dsa_projection.reference
def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b


@dsa_projection.inputs
def inputs(rng: np.random.Generator, M: int, N: int, K: int, **_: int) -> dict[str, np.ndarray]:
    """Weights scaled so that the result is as large as the input."""
    return {"a": rng.standard_normal((M, K)), "b": rng.standard_normal((K, N)) / K**0.5}


@dsa_projection.flops
def flops(M: int, N: int, K: int, **_: int) -> int:
    return 2 * M * N * K


@dsa_projection.cores
def cores(M: int, N: int, TM: int, TN: int, aic: int, **_: int) -> int:
    return min(aic, -(-M // TM) * -(-N // TN))


@dsa_projection.specialize
def specialize(M: int, K: int, TK0: int, given: set[str], **_: int) -> dict[str, int]:
    """Tiles as high as there are rows; parts of the contraction that divide it."""
    if "TK0" in given and K % TK0:
        raise ptoc.ArgumentError(f"dsa_projection: K must be a multiple of TK0; got {K} and {TK0}")
    tk0 = TK0 if "TK0" in given else next((size for size in (128, 64, 32, 16) if K % size == 0), 0)
    if not tk0:
        raise ptoc.ArgumentError(f"dsa_projection: K must be a multiple of 16; got {K}")
    return {"TM": min(128, -(-M // 16) * 16), "TK0": tk0, "TK": max(1, 256 // tk0) * tk0}


dsa_projection.tolerance = 1e-2
dsa_projection.case("small", M=48, N=700, K=352, cores=1)
dsa_projection.case("few_rows", M=3, N=700, K=96, cores=1)
dsa_projection.case("many_rows", M=200, N=600, K=512, cores=2)
dsa_projection.case("deepseek_v32", M=48, N=8192, K=7168, large=True)
dsa_projection.limit("K is a multiple of 16", K=20)
dsa_projection.limit("K and TK are multiples of TK0", TK0=48)


@ptoc.kernel(chip="sg2262")
def dsa_to_f8(x: ptoc.Tensor["N", f16], y: ptoc.Out["N", f8E4M3FN], N, *, TILE: int = 8192):
    """y[i] = x[i] rounded to f8E4M3FN, by way of f32."""
    with ptoc.part("projection"):
        for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(N, TILE), ptoc.num_blocks(), stages=2):
            n = ptoc.minimum(N - i * TILE, TILE)
            part = slice(i * TILE, i * TILE + n)
            half, single, eighth = (ptoc.tile([1, TILE], dtype, valid=(1, n)) for dtype in (f16, f32, f8E4M3FN))
            ptoc.load(half, x[part])
            ptoc.cvt(single, half)
            ptoc.cvt(eighth, single)
            ptoc.store(y[part], eighth)


@dsa_to_f8.reference
def rounded(x: np.ndarray) -> np.ndarray:
    return x.astype(f8E4M3FN.numpy).astype(np.float32)


@dsa_to_f8.cores
def cores_of_rounding(N: int, TILE: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-N // TILE))


dsa_to_f8.tolerance = 0
dsa_to_f8.case("small", N=20000, cores=2)
