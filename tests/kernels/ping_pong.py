"""Q @ K.T, tile after tile of K, with every address and flag by hand: two sides of L0A, L0B and L0C take turns.

Five event ids: 0 for K in L1, 1 and 2 for the sides of L0A and L0B, 3 and 4 for those of L0C.  PRIMED and DRAINED add the flags before
and behind the loop that such a protocol needs.
"""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

K_IN_L1, L0_AB, L0_C = 0, 1, 3


@ptoc.kernel
def ping_pong(
    q: ptoc.Tensor[64, 64, f16],
    k: ptoc.Tensor["N", 64, f16],
    w: ptoc.Out["N", 64, f32],
    N,
    *,
    BATCHES: int = 1,
    PRIMED: bool = False,
    DRAINED: bool = False,
):
    """w[64 i + r, c] = sum over d of q[r, d] * k[64 i + c, d], BATCHES times over."""
    q1 = ptoc.tile([64, 64], f16, L1, addr=0)
    k1 = ptoc.tile([64, 64], f16, L1, layout="zn", addr=8192)
    left = ptoc.tile([64, 64], f16, L0A, slots=2, addr=0)
    right = ptoc.tile([64, 64], f16, L0B, slots=2, addr=0)
    product = ptoc.tile([64, 64], f32, L0C, slots=2, addr=0)
    ptoc.load(q1, q)
    ptoc.set_flag("MTE2", "MTE1", 5)
    ptoc.wait_flag("MTE2", "MTE1", 5)
    if PRIMED:
        ptoc.set_flag("MTE1", "MTE2", K_IN_L1)
        for side in range(2):
            ptoc.set_flag("M", "MTE1", L0_AB + side)
            ptoc.set_flag("FIX", "M", L0_C + side)
    for _ in ptoc.range(BATCHES):
        for i in ptoc.range(N // 64):
            side = i % 2
            ptoc.wait_flag("MTE1", "MTE2", K_IN_L1)
            ptoc.load(k1, k.T[:, i * 64 : i * 64 + 64])
            ptoc.set_flag("MTE2", "MTE1", K_IN_L1)
            ptoc.wait_flag("M", "MTE1", L0_AB + side)
            with ptoc.when(i < 2):
                ptoc.mov(left[side], q1)
            ptoc.wait_flag("MTE2", "MTE1", K_IN_L1)
            ptoc.mov(right[side], k1)
            ptoc.set_flag("MTE1", "MTE2", K_IN_L1)
            ptoc.set_flag("MTE1", "M", L0_AB + side)
            ptoc.wait_flag("MTE1", "M", L0_AB + side)
            ptoc.wait_flag("FIX", "M", L0_C + side)
            ptoc.matmul(product[side], left[side], right[side])
            ptoc.set_flag("M", "MTE1", L0_AB + side)
            ptoc.set_flag("M", "FIX", L0_C + side)
            ptoc.wait_flag("M", "FIX", L0_C + side)
            ptoc.store(w[i * 64 : i * 64 + 64, :], product[side])
            ptoc.set_flag("FIX", "M", L0_C + side)
    if DRAINED:
        ptoc.wait_flag("MTE1", "MTE2", K_IN_L1)
        for side in range(2):
            ptoc.wait_flag("M", "MTE1", L0_AB + side)
            ptoc.wait_flag("FIX", "M", L0_C + side)
    ptoc.barrier("ALL")


@ping_pong.reference
def reference(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.concatenate([q @ k[i : i + 64].T for i in range(0, k.shape[0], 64)])


ping_pong.tolerance = 1e-3
ping_pong.case("default", N=1024, cores=1)
