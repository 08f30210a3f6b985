"""W[h, i] = Q[h] @ K[h, i].T, block after block of keys: the first product of attention as a loop; written without a flag or an address.

Schedule.  A core takes one head after the other.  The queries of a head stay in L0A; each block of keys goes through L1, is turned on its way to
L0B, multiplied, and the product leaves L0C for global memory.  `stages=2`: each of these buffers has two slots, so that all four engines work
on blocks that follow one another.
"""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32


@ptoc.kernel
def gemm_qk(
    q: ptoc.Tensor["H", "TM", "D", f16],
    k: ptoc.Tensor["H", "BLOCKS", "TN", "D", f16],
    w: ptoc.Out["H", "BLOCKS", "TM", "TN", f32],
    H,
    BLOCKS,
    *,
    TM: int = 128,
    TN: int = 128,
    D: int = 128,
):
    """w[h, i, m, n] = sum over d of q[h, m, d] * k[h, i, n, d]."""
    for h in ptoc.range(ptoc.block_idx(), H, ptoc.num_blocks(), stages=2):
        q1, q0 = ptoc.tile([TM, D], f16, L1), ptoc.tile([TM, D], f16, L0A)
        ptoc.load(q1, q[h])
        ptoc.mov(q0, q1)
        for i in ptoc.range(BLOCKS, stages=2):
            k1, k0, c0 = ptoc.tile([TN, D], f16, L1), ptoc.tile([D, TN], f16, L0B), ptoc.tile([TM, TN], f32, L0C)
            ptoc.load(k1, k[h, i])
            ptoc.mov(k0, k1.reshape(D, TN, layout="zn"))
            ptoc.matmul(c0, q0, k0)
            ptoc.store(w[h, i], c0)


@gemm_qk.reference
def reference(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.einsum("hmd,hind->himn", q, k, optimize=True)


@gemm_qk.flops
def flops(H: int, BLOCKS: int, TM: int, TN: int, D: int, **_: int) -> int:
    return 2 * H * BLOCKS * TM * TN * D


@gemm_qk.cores
def cores(H: int, aic: int, **_: int) -> int:
    return min(H, aic)


gemm_qk.limit("the queries of a head fit into L0A: TM * D is at most 32768", D=512)
gemm_qk.tolerance = 1e-2
gemm_qk.case("default", H=1, BLOCKS=16)
gemm_qk.case("heads_in_turn", H=3, BLOCKS=3, cores=1)
gemm_qk.case("small", H=4, BLOCKS=1, cores=1)
gemm_qk.case("large", large=True, H=24, BLOCKS=256)
