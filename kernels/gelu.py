"""GELU of a tensor of any length, in f32, f16 or bf16, on any number of vector cores.

Schedule: each core takes every n-th tile of TILE elements; two slots for what is loaded and for what is stored let MTE2 and MTE3 move the next
and the last tile while V works.
The form with tanh, written as x / (1 + exp(-2 c (x + 0.044715 x^3))) with c = sqrt(2 / pi): one exponential and one division.  x is taken
as -30 below that, where the result is 0 in every type, so that -inf gives 0 and not inf / inf.
"""

import math

import numpy as np

import ptoc
from ptoc import f32

from ._tiles import TOLERANCE, narrowed, widened

CUBIC, TWICE_C = 0.044715, 2 * math.sqrt(2 / math.pi)
LEAST = -30.0
"""GELU is 0 below."""


@ptoc.kernel
def gelu(x: ptoc.Tensor["N", "T"], y: ptoc.Out["N", "T"], N, *, T: str = "f32", TILE: int = 8192):
    """y[i] = x[i] / 2 * (1 + tanh(sqrt(2 / pi) * (x[i] + 0.044715 * x[i]^3)))."""
    for i in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(N, TILE), ptoc.num_blocks(), stages=2):
        n = ptoc.minimum(N - i * TILE, TILE)
        part = slice(i * TILE, i * TILE + n)
        loaded, e = ptoc.tile([1, TILE], x.dtype, valid=(1, n)), ptoc.tile([1, TILE], f32, valid=(1, n))
        ptoc.load(loaded, x[part])
        a = widened(loaded)
        ptoc.maxs(a, a, LEAST)
        ptoc.mul(e, a, a)
        ptoc.muls(e, e, -TWICE_C * CUBIC)
        ptoc.adds(e, e, -TWICE_C)
        ptoc.mul(e, e, a)
        ptoc.exp(e, e)
        ptoc.adds(e, e, 1.0)
        ptoc.div(a, a, e)
        ptoc.store(y[part], narrowed(a, y.dtype))


@gelu.reference
def reference(x: np.ndarray) -> np.ndarray:
    x = np.maximum(x.astype(np.float64), LEAST)
    return x / 2 * (1 + np.tanh(TWICE_C / 2 * (x + CUBIC * x**3)))


@gelu.flops
def flops(N: int, **_: int) -> int:
    return 8 * N


@gelu.cores
def cores(N: int, TILE: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-N // TILE))


gelu.tolerance = TOLERANCE
gelu.case("default", N=500_003)
gelu.case("small", N=100)
gelu.case("one_core", N=50_001, cores=1)
gelu.case("half", N=100_001, T="f16", cores=3)
gelu.case("bfloat", N=100_001, T="bf16", cores=3)
gelu.case("large", large=True, N=60_000_000)
