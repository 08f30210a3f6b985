"""Scores of every query against all N keys by DSA's indexer: HI query heads share one key (MQA), ReLU, weighted sum over the heads.

The cube core multiplies the heads of two queries (one for each vector core) with TN keys at a time: contraction over DI, a score row of length N, work
in proportion to S * N. FIXP rectifies what leaves the accumulator and rounds it to f16. A ring takes the products to the vector cores, each of
which has one query: it multiplies its HI rows with the heads' weights and sums them in a binary tree. One tile is multiplied while the one before
leaves, and while the vector cores sum the one before that.

A task is a pair of queries and CHUNK keys; tasks go to the cores in turn, so that one query alone (decode) keeps all cores busy too. Products must
stay below 65504 before they are weighted, the largest f16.

`dsa_scores:dsa_scores_f8` has queries and keys of 8-bit floats, for chips whose cube multiplies them (a5): half the bytes of keys, twice the products in a cycle.
"""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, DType, f8E4M3FN, f16, f32


@ptoc.kernel
def dsa_scores(
    q: ptoc.Tensor["S", "HI", "DI", f16],
    k: ptoc.Tensor["N", "DI", f16],
    w: ptoc.Tensor["S", "HI", f32],
    scores: ptoc.Out["S", "N", f32],
    S,
    N,
    *,
    HI: int = 64,
    DI: int = 128,
    TN: int = 128,
    CHUNK: int = 4096,
    VECTORS: int = 2,
):
    """scores[s, n] = sum over h of w[s, h] * max(q[s, h] . k[n], 0)."""
    score(q, k, w, scores, S, N, HI, DI, TN, CHUNK, VECTORS, f16)


@ptoc.kernel(chip="sg2262")
def dsa_scores_f8(
    q: ptoc.Tensor["S", "HI", "DI", f8E4M3FN],
    k: ptoc.Tensor["N", "DI", f8E4M3FN],
    w: ptoc.Tensor["S", "HI", f32],
    scores: ptoc.Out["S", "N", f32],
    S,
    N,
    *,
    HI: int = 64,
    DI: int = 128,
    TN: int = 128,
    CHUNK: int = 4096,
    VECTORS: int = 1,
):
    """scores[s, n] = sum over h of w[s, h] * max(q[s, h] . k[n], 0), of 8-bit floats."""
    score(q, k, w, scores, S, N, HI, DI, TN, CHUNK, VECTORS, f8E4M3FN)


def score(q, k, w, scores, S, N, HI, DI, TN, CHUNK, VECTORS, dtype: DType):
    """The body of both kernels; VECTORS queries a block, one for each vector core."""
    ring = ptoc.pipe("c2v", (VECTORS * HI, TN), f16, slots=4, local_slots=2, split="up_down" if VECTORS == 2 else "none", name="products")
    chunks = ptoc.ceil_div(N, CHUNK)
    tasks = ptoc.ceil_div(S, VECTORS) * chunks
    ptoc.return_if(ptoc.block_idx() >= tasks)
    mine = ptoc.maximum(ptoc.ceil_div(tasks - ptoc.block_idx(), ptoc.num_blocks()), 1)

    def task(i):
        """First query, first key and number of tiles of the i-th task of this core."""
        t = ptoc.block_idx() + i * ptoc.num_blocks()
        first = t % chunks * CHUNK
        return t // chunks * VECTORS, first, ptoc.ceil_div(ptoc.minimum(N - first, CHUNK), TN)

    with ptoc.cube(), ptoc.part("scoring"):
        q1, q0 = ptoc.tile([VECTORS * HI, DI], dtype, L1), ptoc.tile([VECTORS * HI, DI], dtype, L0A)
        for i in ptoc.range(mine):
            s, first, tiles = task(i)
            queries = ptoc.minimum(S - s, VECTORS)
            rows = queries * HI
            for one in range(VECTORS):
                with ptoc.when(queries > one):
                    ptoc.load(q1[one * HI : (one + 1) * HI, :], q[s + one, :, :])
            ptoc.mov(q0[0:rows, :], q1[0:rows, :])
            for u in ptoc.range(tiles, stages=2):
                column = first + u * TN
                n = ptoc.minimum(N - column, TN)
                k1, k0 = ptoc.tile([TN, DI], dtype, L1), ptoc.tile([DI, TN], dtype, L0B)
                acc = ptoc.tile([VECTORS * HI, TN], f32, L0C)
                ptoc.load(k1[0:n, :], k[column : column + n, :])
                ptoc.mov(k0[:, 0:n], k1.reshape(DI, TN, layout="zn")[:, 0:n])
                ptoc.matmul(acc[0:rows, 0:n], q0[0:rows, :], k0[:, 0:n])
                entry = ring.alloc()
                ptoc.store(entry[0:rows, 0:n], acc[0:rows, 0:n], reluPreMode="normal_relu")
                ring.push(entry)
    with ptoc.vector(), ptoc.part("relu_sum"):
        weights, spread = ptoc.tile([1, HI], f32), ptoc.tile([HI // 2, TN], f32)
        for i in ptoc.range(mine):
            s, first, tiles = task(i)
            query = s + (ptoc.sub_block_idx() if VECTORS == 2 else 0)
            with ptoc.when(query < S):
                ptoc.load(weights, w[query, :])
            for u in ptoc.range(tiles, stages=2):
                column = first + u * TN
                n = ptoc.minimum(N - column, TN)
                x16, x, row = ptoc.tile([HI, TN], f16), ptoc.tile([HI, TN], f32), ptoc.tile([1, TN], f32)
                entry = ring.pop()
                with ptoc.when(query < S):
                    ptoc.load(x16[:, 0:n], entry[:, 0:n])
                    ptoc.cvt(x[:, 0:n], x16[:, 0:n])
                    ptoc.rowexpandmul(x[:, 0:n], x[:, 0:n], weights.reshape(HI, 1, layout="dn"))
                    ptoc.colsum(row[:, 0:n], x[:, 0:n], spread[:, 0:n], isBinary=True)
                    ptoc.store(scores[query, column : column + n], row[:, 0:n])
                ring.free(entry)


def reference(q: np.ndarray, k: np.ndarray, w: np.ndarray) -> np.ndarray:
    """scores[s, n] = sum over heads h of w[s, h] * max(q[s, h] . k[n], 0)."""
    return np.einsum("sh,shn->sn", w, np.maximum(np.einsum("shd,nd->shn", q, k), 0))


def inputs(rng: np.random.Generator, S: int, N: int, HI: int, DI: int, **_: int) -> dict[str, np.ndarray]:
    """Queries and weights scaled as the model scales them."""
    q, k, w = rng.standard_normal((S, HI, DI)), rng.standard_normal((N, DI)), rng.standard_normal((S, HI))
    return {"q": q / DI**0.5, "k": k, "w": w / HI**0.5}


def flops(S: int, N: int, HI: int, DI: int, **_: int) -> int:
    """Of the products alone."""
    return 2 * S * N * HI * DI


def cores(S: int, N: int, VECTORS: int, CHUNK: int, aic: int, **_: int) -> int:
    """As many as there are tasks for."""
    return min(aic, -(-S // VECTORS) * -(-N // CHUNK))


def specialize(S: int, N: int, **_: int) -> dict[str, int]:
    """Few queries: short runs of keys, so that there is a task for every core."""
    return {"CHUNK": max(128, min(4096, N // 256 // 128 * 128))} if S < 64 else {}


for one in (dsa_scores, dsa_scores_f8):
    one.reference(reference)
    one.inputs(inputs)
    one.flops(flops)
    one.cores(cores)
    one.specialize(specialize)
    one.tolerance = 1e-2
    one.case("small", S=3, N=700, HI=16, DI=32, cores=2)
    one.case("one_query", S=1, N=500, HI=64, DI=128)
    one.case("pairs", S=4, N=1024, HI=64, DI=128, cores=3)
    one.case("context_128k", S=48, N=131072, HI=64, DI=128, large=True)
    one.limit("at most 128 heads: the products of two queries with TN keys lie in L0C", HI=512)
