"""QK of one page for one tile of query heads: the first of the four tasks that paged attention consists of (`orchestrations/paged_attention.py`).

One cube core multiplies ROWS queries with the PAGE keys of a page, those behind the end of the sequence included: paged_softmax leaves them out.
Limits: PAGE and D multiples of 16 up to 128.
"""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f32

from ._paged import FRACTAL


@ptoc.kernel
def paged_qk(
    q: ptoc.Tensor["ROWS", "D", "T"],
    k: ptoc.Tensor["PAGE", "D", "T"],
    s: ptoc.Out["ROWS", "PAGE", f32],
    *,
    T: str = "bf16",
    ROWS: int = 16,
    D: int = 16,
    PAGE: int = 16,
):
    """s = q @ k.T."""
    rows = -(-ROWS // FRACTAL) * FRACTAL
    q1, k1 = ptoc.tile([rows, D], q.dtype, L1)[0:ROWS, :], ptoc.tile([D, PAGE], q.dtype, L1, layout="zn")
    q0, k0 = ptoc.tile([rows, D], q.dtype, L0A)[0:ROWS, :], ptoc.tile([D, PAGE], q.dtype, L0B)
    s0 = ptoc.tile([rows, PAGE], f32, L0C)[0:ROWS, :]
    ptoc.load(q1, q)
    ptoc.load(k1, k.T[:, :])
    ptoc.mov(q0, q1)
    ptoc.mov(k0, k1)
    ptoc.matmul(s0, q0, k0)
    ptoc.store(s, s0)


@paged_qk.reference
def reference(q: np.ndarray, k: np.ndarray) -> np.ndarray:
    return q @ k.T


@paged_qk.flops
def flops(ROWS: int, D: int, PAGE: int, **_: int) -> int:
    return 2 * ROWS * D * PAGE


paged_qk.tolerance = 1e-3
paged_qk.case("default")
paged_qk.case("small", ROWS=6)
paged_qk.case("wide", D=128, PAGE=128)
