"""Softmax of one page by itself: the second of the four tasks that paged attention consists of (`orchestrations/paged_attention.py`).

Two vector cores have half of the rows each.  Columns behind the end of the sequence are the most negative number, so that their exponentials
are 0; the maximum is at least -1e30, so that those of a page without tokens are 0 too.  The sum is of what was rounded to the type of P.
"""

import math

import numpy as np

import ptoc
from ptoc import f32, i32

from ._paged import LOWEST, row_of, to_column

MASKED = -3.0e38
"""Near the least f32."""


@ptoc.kernel
def paged_softmax(
    s: ptoc.Tensor["ROWS", "PAGE", f32],
    tokens: ptoc.Tensor[1, i32],
    p: ptoc.Out["ROWS", "PAGE", "T"],
    m: ptoc.Out["ROWS", f32],
    l: ptoc.Out["ROWS", f32],
    *,
    T: str = "bf16",
    ROWS: int = 16,
    D: int = 16,
    PAGE: int = 16,
):
    """m = max(rowmax(s), -1e30), p = exp((s - m) / sqrt(D)), l = rowsum(p), over the first tokens[0] columns; on two blocks."""
    half, n = ROWS // 2, tokens.number(0)
    part = slice(ptoc.block_idx() * half, ptoc.block_idx() * half + half)
    x, scratch, rounded = ptoc.tile([half, PAGE], f32), ptoc.tile([half, PAGE], f32), ptoc.tile([half, PAGE], p.dtype)
    top, total = row_of(half), row_of(half)
    ptoc.expands(x, MASKED)
    with ptoc.when(n > 0):
        ptoc.load(x[:, 0:n], s[part, 0:n])
    ptoc.rowmax(to_column(top, half), x, scratch)
    ptoc.maxs(top[:, 0:half], top[:, 0:half], LOWEST)
    ptoc.rowexpandsub(x, x, to_column(top, half))
    ptoc.store(m[part], top[:, 0:half])
    ptoc.muls(x, x, 1.0 / math.sqrt(D))
    ptoc.exp(x, x)
    ptoc.cvt(rounded, x)
    ptoc.cvt(x, rounded)
    ptoc.store(p[part, :], rounded)
    ptoc.rowsum(to_column(total, half), x, scratch)
    ptoc.store(l[part], total[:, 0:half])


@paged_softmax.reference
def reference(s: np.ndarray, tokens: np.ndarray, D: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s = np.where(np.arange(s.shape[1]) < tokens[0], s, -np.inf).astype(np.float64)
    m = np.maximum(s.max(axis=1), LOWEST)
    p = np.exp((s - m[:, None]) / np.sqrt(D))
    return p, m, p.sum(axis=1)


@paged_softmax.inputs
def inputs(rng: np.random.Generator, ROWS: int, PAGE: int, **_: object) -> dict[str, np.ndarray]:
    return {"s": rng.standard_normal((ROWS, PAGE), dtype=np.float32), "tokens": np.array([PAGE * 3 // 4])}


@paged_softmax.cores(exact=True)
def cores(**_: object) -> int:
    return 2


paged_softmax.tolerance = 1e-2
paged_softmax.case("default")
paged_softmax.case("small", ROWS=6)
paged_softmax.case("wide", D=128, PAGE=128)
