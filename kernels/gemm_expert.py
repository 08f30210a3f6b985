"""C = A @ B as `gemm` computes it, at the expert level: every address and every flag is written by hand.

Each buffer has two slots, and each slot a pair of flags, "free" and "full", of the slot's number:

    buffer                        filled by   read by   free             full
    A and B blocks in L1          MTE2        MTE1      MTE1 -> MTE2     MTE2 -> MTE1
    A and B parts in L0A, L0B     MTE1        M         M -> MTE1        MTE1 -> M
    accumulators in L0C           M           FIX       FIX -> M         M -> FIX

All slots are declared free once, before the first output tile, and waited for once, behind the last: consecutive tiles run into each other.
"""

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32
from ptoc.kernels.gemm import Tiling, gemm

FREE_AND_FULL = (("MTE1", "MTE2"), ("M", "MTE1"), ("FIX", "M"))


@ptoc.kernel(sync="keep")
def gemm_expert(
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
    BAND: int = 8,
):
    """c[m, n] = sum over k of a[m, k] * b[k, n], with flags and addresses by hand; f16, stored row by row."""
    half, steps, bytes_a1 = TN // 2, TK // TK0, TM * TK * f16.bytes
    a1_slots, b1_slots = ptoc.tile([TM, TK], f16, L1, slots=2, addr=0), ptoc.tile([TK, TN], f16, L1, slots=2, addr=2 * bytes_a1)
    a0_slots, b0_slots = ptoc.tile([TM, TK0], f16, L0A, slots=2, addr=0), ptoc.tile([TK0, half], f16, L0B, slots=2, addr=0)
    c0_slots = ptoc.tile([TM, half], f32, L0C, slots=2, addr=0)
    rows, columns, blocks = ptoc.ceil_div(M, TM), ptoc.ceil_div(N, TN), ptoc.ceil_div(K, TK)
    first, stride = ptoc.block_idx(), ptoc.num_blocks()
    for reader, writer in FREE_AND_FULL:
        for slot in range(2):
            ptoc.set_flag(reader, writer, slot)
    for t in ptoc.range(first, rows * columns, stride):
        row, column = Tiling(TM, TN, TK, TK0, BAND).tile_at(t, rows, columns)
        m0, n0 = row * TM, column * TN
        m, n = ptoc.minimum(M - m0, TM), ptoc.minimum(N - n0, TN)
        for i in ptoc.range(blocks):
            k, slot1 = ptoc.minimum(K - i * TK, TK), ((t - first) // stride * blocks + i) % 2
            a1, b1 = a1_slots[slot1][0:m, 0:k], b1_slots[slot1][0:k, 0:n]
            ptoc.wait_flag("MTE1", "MTE2", slot1)
            ptoc.load(a1, a[m0 : m0 + m, i * TK : i * TK + k])
            ptoc.load(b1, b[i * TK : i * TK + k, n0 : n0 + n])
            ptoc.set_flag("MTE2", "MTE1", slot1)
            ptoc.wait_flag("MTE2", "MTE1", slot1)
            for h in ptoc.range(ptoc.ceil_div(n, half)):
                nh = ptoc.minimum(n - h * half, half)
                c0 = c0_slots[h][0:m, 0:nh]
                with ptoc.when(i == 0):
                    ptoc.wait_flag("FIX", "M", h)
                for j in ptoc.range(ptoc.ceil_div(k, TK0)):
                    k0, slot0 = ptoc.minimum(k - j * TK0, TK0), (h * steps + j) % 2
                    a0, b0 = a0_slots[slot0][0:m, 0:k0], b0_slots[slot0][0:k0, 0:nh]
                    ptoc.wait_flag("M", "MTE1", slot0)
                    ptoc.extract(a0, a1, 0, j * TK0)
                    ptoc.extract(b0, b1, j * TK0, h * half)
                    ptoc.set_flag("MTE1", "M", slot0)
                    ptoc.wait_flag("MTE1", "M", slot0)
                    first_step = (i + j) == 0
                    with ptoc.when(first_step):
                        ptoc.matmul(c0, a0, b0)
                    with ptoc.when(~first_step):
                        ptoc.matmul_acc(c0, c0, a0, b0)
                    ptoc.set_flag("M", "MTE1", slot0)
                with ptoc.when(i == blocks - 1):
                    ptoc.set_flag("M", "FIX", h)
                    ptoc.wait_flag("M", "FIX", h)
                    ptoc.store(c[m0 : m0 + m, n0 + h * half : n0 + h * half + nh], c0)
                    ptoc.set_flag("FIX", "M", h)
            ptoc.set_flag("MTE1", "MTE2", slot1)
    for reader, writer in FREE_AND_FULL:
        for slot in range(2):
            ptoc.wait_flag(reader, writer, slot)
    ptoc.barrier("ALL")


@gemm_expert.cores
def cores(M: int, N: int, TM: int, TN: int, aic: int, **_: int) -> int:
    return min(aic, -(-M // TM) * -(-N // TN))


gemm_expert.reference(lambda a, b: a @ b)
gemm_expert.flops(gemm.flops_function)
gemm_expert.tolerance = gemm.tolerance
for name in ("default", "tails", "tails_in_turn", "small", "many_cores", "f16_6144"):
    gemm_expert.case(name, large=name in gemm.large_cases, **{n: v for n, v in gemm.cases[name].items() if n in ("M", "N", "K", "cores")})
