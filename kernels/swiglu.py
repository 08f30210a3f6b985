"""SwiGLU of two tensors of any length, in f32, f16 or bf16, on any number of vector cores.

Schedule: each core takes every n-th tile of TILE elements; two slots for what is loaded and for what is stored let MTE2 and MTE3 move the next
and the last tile while V works.  The sigmoid is 1 / (1 + exp(-gate)).  The gate is taken as -100 below that, where exp(100) is past the
largest f32 and the result 0, so that -inf gives 0 and not inf / inf.
"""

import numpy as np

import ptoc
from ptoc import f32

from ._tiles import TOLERANCE, narrowed, widened

LEAST = -100.0
"""gate * sigmoid(gate) is 0 in f32 below."""


@ptoc.kernel
def swiglu(
    gate: ptoc.Tensor["N", "T"], up: ptoc.Tensor["N", "T"], y: ptoc.Out["N", "T"], N, *, T: str = "f32", TILE: int = 4096
):
    """y[i] = gate[i] * sigmoid(gate[i]) * up[i]."""
    for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(N, TILE), ptoc.num_blocks(), stages=2):
        n = ptoc.minimum(N - i * TILE, TILE)
        part = slice(i * TILE, i * TILE + n)
        gates, ups = (ptoc.tile([1, TILE], gate.dtype, valid=(1, n)) for _ in range(2))
        ptoc.load(gates, gate[part])
        ptoc.load(ups, up[part])
        g, u, e = widened(gates), widened(ups), ptoc.tile([1, TILE], f32, valid=(1, n))
        ptoc.maxs(g, g, LEAST)
        ptoc.muls(e, g, -1.0)
        ptoc.exp(e, e)
        ptoc.adds(e, e, 1.0)
        ptoc.div(g, g, e)
        ptoc.mul(g, g, u)
        ptoc.store(y[part], narrowed(g, y.dtype))


@swiglu.reference
def reference(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    gate = np.maximum(gate.astype(np.float64), LEAST)
    return gate / (1 + np.exp(-gate)) * up


@swiglu.flops
def flops(N: int, **_: int) -> int:
    return 6 * N


@swiglu.cores
def cores(N: int, TILE: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-N // TILE))


swiglu.tolerance = TOLERANCE
swiglu.case("default", N=300_003)
swiglu.case("small", N=100)
swiglu.case("one_core", N=50_001, cores=1)
swiglu.case("half", N=50_001, T="f16", cores=3)
swiglu.case("bfloat", N=50_001, T="bf16", cores=3)
swiglu.case("large", large=True, N=50_000_000)
