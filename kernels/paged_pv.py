"""PV of one page for one tile of query heads: the third of the four tasks that paged attention consists of (`orchestrations/paged_attention.py`).

One cube core multiplies the exponentials of a page, which are 0 behind the end of the sequence, with its values.
Limits: PAGE and D multiples of 16 up to 128; no infinity or NaN among the values behind the end.
"""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f32

from ._paged import FRACTAL


@ptoc.kernel
def paged_pv(
    p: ptoc.Tensor["ROWS", "PAGE", "T"],
    v: ptoc.Tensor["PAGE", "D", "T"],
    o: ptoc.Out["ROWS", "D", f32],
    *,
    T: str = "bf16",
    ROWS: int = 16,
    D: int = 16,
    PAGE: int = 16,
):
    """o = p @ v."""
    rows = -(-ROWS // FRACTAL) * FRACTAL
    p1, v1 = ptoc.tile([rows, PAGE], p.dtype, L1)[0:ROWS, :], ptoc.tile([PAGE, D], p.dtype, L1)
    p0, v0 = ptoc.tile([rows, PAGE], p.dtype, L0A)[0:ROWS, :], ptoc.tile([PAGE, D], p.dtype, L0B)
    o0 = ptoc.tile([rows, D], f32, L0C)[0:ROWS, :]
    ptoc.load(p1, p)
    ptoc.load(v1, v)
    ptoc.mov(p0, p1)
    ptoc.mov(v0, v1)
    ptoc.matmul(o0, p0, v0)
    ptoc.store(o, o0)


@paged_pv.reference
def reference(p: np.ndarray, v: np.ndarray) -> np.ndarray:
    return p @ v


@paged_pv.flops
def flops(ROWS: int, D: int, PAGE: int, **_: int) -> int:
    return 2 * ROWS * D * PAGE


paged_pv.tolerance = 1e-3
paged_pv.case("default")
paged_pv.case("small", ROWS=6)
paged_pv.case("wide", D=128, PAGE=128)
