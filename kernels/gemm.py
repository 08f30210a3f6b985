"""C = A @ B: f16 inputs, f32 accumulation, any M, N, K, any number of cube cores; written without a flag or an address."""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32


@ptoc.kernel
def gemm(
    a: ptoc.Tensor["M", "K", f16],
    b: ptoc.Tensor["K", "N", f16],
    c: ptoc.Out["M", "N", f32],
    M,
    N,
    K,
    *,
    TM: int = 128,
    TN: int = 256,
    TK: int = 256,
    TK0: int = 128,
    TAILS: bool = False,
):
    """c[m, n] = sum over k of a[m, k] * b[k, n]; tiles of TM x TN in two accumulators, TK columns of A in L1 at a time, TK0 in L0.

    While one half of a tile is multiplied, the other half of the tile before leaves L0C.  All loops have `stages`: slots are counted on from
    tile to tile, so that the loads of the next tile begin while this one is multiplied.
    """

    def part(size, rest):
        """Elements of a part of `size` where `rest` remain."""
        return ptoc.minimum(rest, size) if TAILS else size

    half, steps = TN // 2, TK // TK0
    columns, blocks = ptoc.ceil_div(N, TN), ptoc.ceil_div(K, TK)
    accumulators = ptoc.tile([TM, half], f32, L0C, slots=2)
    for t in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(M, TM) * columns, ptoc.num_blocks(), stages=2):
        m0, n0 = t // columns * TM, t % columns * TN
        m, n = part(TM, M - m0), part(TN, N - n0)
        for i in ptoc.range(blocks, stages=2):
            k = part(TK, K - i * TK)
            a1, b1 = ptoc.tile([TM, TK], f16, L1, valid=(m, k)), ptoc.tile([TK, TN], f16, L1, valid=(k, n))
            ptoc.load(a1, a[m0 : m0 + m, i * TK : i * TK + k])
            ptoc.load(b1, b[i * TK : i * TK + k, n0 : n0 + n])
            for h in ptoc.range(2, stages=2):
                nh = part(half, n - h * half)
                acc = accumulators[h % 2][0:m, 0:nh]
                for j in ptoc.range(steps, stages=2):
                    k0 = part(TK0, k - j * TK0)
                    with ptoc.when((k0 > 0) & (nh > 0) if TAILS else True):
                        a0, b0 = ptoc.tile([TM, TK0], f16, L0A, valid=(m, k0)), ptoc.tile([TK0, half], f16, L0B, valid=(k0, nh))
                        ptoc.extract(a0, a1, 0, j * TK0)
                        ptoc.extract(b0, b1, j * TK0, h * half)
                        first = (i + j) == 0
                        with ptoc.when(first):
                            ptoc.matmul(acc, a0, b0)
                        with ptoc.when(~first):
                            ptoc.matmul_acc(acc, acc, a0, b0)
                last = i == blocks - 1
                with ptoc.when(last & (nh > 0) if TAILS else last):
                    ptoc.store(c[m0 : m0 + m, n0 + h * half : n0 + h * half + nh], acc)


@gemm.reference
def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a @ b


@gemm.flops
def flops(M: int, N: int, K: int, **_: int) -> int:
    return 2 * M * N * K


@gemm.cores
def cores(M: int, N: int, TM: int, TN: int, aic: int, **_: int) -> int:
    return min(aic, -(-M // TM) * -(-N // TN))


@gemm.specialize
def specialize(M: int, N: int, K: int, TM: int, TN: int, TK: int, **_: int) -> dict[str, bool]:
    """Sizes known when compiling make every part whole; they are left open only where a part is not."""
    return {"TAILS": bool(M % TM or N % TN or K % TK)}


gemm.tolerance = 1e-2
gemm.case("default", M=512, K=2048, N=1536, cores=1)
gemm.case("tails", M=200, K=300, N=270, cores=2)
gemm.case("small", M=17, K=33, N=5, cores=1)
gemm.case("many_cores", M=512, K=512, N=1024)
