"""z = x + y over vectors of any length, on any number of vector cores."""

import numpy as np

import ptoc
from ptoc import f32


@ptoc.kernel
def vector_add(x: ptoc.Tensor["N", f32], y: ptoc.Tensor["N", f32], z: ptoc.Out["N", f32], N, *, TILE: int = 8192):
    """z[i] = x[i] + y[i]; the last tile of a core may be partial."""
    tiles = ptoc.ceil_div(N, TILE)
    for i in ptoc.range(ptoc.block_idx(), tiles, ptoc.num_blocks(), stages=2):
        n = ptoc.minimum(N - i * TILE, TILE)
        part = slice(i * TILE, i * TILE + n)
        a = ptoc.tile([1, TILE], f32, valid=(1, n))
        b = ptoc.tile([1, TILE], f32, valid=(1, n))
        ptoc.load(a, x[part])
        ptoc.load(b, y[part])
        ptoc.add(a, a, b)
        ptoc.store(z[part], a)


@vector_add.reference
def reference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x + y


@vector_add.flops
def flops(N: int, **_: int) -> int:
    return N


@vector_add.cores
def cores(N: int, TILE: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-N // TILE))


vector_add.tolerance = 1e-6
vector_add.case("default", N=1_000_003)
vector_add.case("small", N=100)
vector_add.case("one_tile", N=8192)
vector_add.case("one_core", N=50_001, cores=1)
