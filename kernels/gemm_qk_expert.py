"""W[h, i] = Q[h] @ K[h, i].T as `gemm_qk` computes it, at the expert level: every address and every flag is written by hand.

Schedule.  `side` = block modulo 2 names one of two slots of L0A, L0B and L0C; L1 has room for one block of keys.  Five event ids, each "free" and "full":

    buffer                  id              filled by   read by   free             full
    keys in L1              0               MTE2        MTE1      MTE1 -> MTE2     MTE2 -> MTE1
    sides of L0A and L0B    1 + side        MTE1        M         M -> MTE1        MTE1 -> M
    sides of L0C            3 + side        M           FIX       FIX -> M         M -> FIX

and one more, 5, for the queries in L1.  What is free is declared so once, before the first head, and waited for once, behind the last.
"""

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32
from ptoc.kernels.gemm_qk import gemm_qk

KEYS, SIDES, PRODUCT, QUERIES = 0, 1, 3, 5
FREE = (("MTE1", "MTE2", KEYS), ("M", "MTE1", SIDES), ("M", "MTE1", SIDES + 1), ("FIX", "M", PRODUCT), ("FIX", "M", PRODUCT + 1), ("MTE1", "MTE2", QUERIES))


@ptoc.kernel(sync="keep")
def gemm_qk_expert(
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
    """w[h, i, m, n] = sum over d of q[h, m, d] * k[h, i, n, d], with flags and addresses by hand."""
    q1, k1 = ptoc.tile([TM, D], f16, L1, addr=0), ptoc.tile([TN, D], f16, L1, addr=TM * D * f16.bytes)
    q0_sides, k0_sides = ptoc.tile([TM, D], f16, L0A, slots=2, addr=0), ptoc.tile([D, TN], f16, L0B, slots=2, addr=0)
    c0_sides = ptoc.tile([TM, TN], f32, L0C, slots=2, addr=0)
    for free in FREE:
        ptoc.set_flag(*free)
    for h in ptoc.range(ptoc.block_idx(), H, ptoc.num_blocks()):
        ptoc.wait_flag("MTE1", "MTE2", QUERIES)
        ptoc.load(q1, q[h])
        ptoc.set_flag("MTE2", "MTE1", QUERIES)
        ptoc.wait_flag("MTE2", "MTE1", QUERIES)
        for i in ptoc.range(BLOCKS):
            side = i % 2
            q0, k0, c0 = q0_sides[side], k0_sides[side], c0_sides[side]
            ptoc.wait_flag("MTE1", "MTE2", KEYS)
            ptoc.load(k1, k[h, i])
            ptoc.set_flag("MTE2", "MTE1", KEYS)
            ptoc.wait_flag("M", "MTE1", SIDES + side)
            with ptoc.when(i < 2):
                ptoc.mov(q0, q1)
            ptoc.wait_flag("MTE2", "MTE1", KEYS)
            ptoc.mov(k0, k1.reshape(D, TN, layout="zn"))
            ptoc.set_flag("MTE1", "MTE2", KEYS)
            ptoc.set_flag("MTE1", "M", SIDES + side)
            ptoc.wait_flag("MTE1", "M", SIDES + side)
            ptoc.wait_flag("FIX", "M", PRODUCT + side)
            ptoc.matmul(c0, q0, k0)
            ptoc.set_flag("M", "MTE1", SIDES + side)
            ptoc.set_flag("M", "FIX", PRODUCT + side)
            ptoc.wait_flag("M", "FIX", PRODUCT + side)
            ptoc.store(w[h, i], c0)
            ptoc.set_flag("FIX", "M", PRODUCT + side)
        ptoc.set_flag("MTE1", "MTE2", QUERIES)
    for free in FREE:
        ptoc.wait_flag(*free)
    ptoc.barrier("ALL")


gemm_qk_expert.reference(gemm_qk.reference_function)
gemm_qk_expert.flops(gemm_qk.flops_function)
gemm_qk_expert.cores(gemm_qk.cores_function)
gemm_qk_expert.tolerance = gemm_qk.tolerance
for name, arguments in gemm_qk.cases.items():
    gemm_qk_expert.case(name, large=name in gemm_qk.large_cases, **arguments)
