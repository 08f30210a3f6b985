"""One page's softmax and product joined with those of the pages before: the last of the four tasks that paged attention consists of
(`orchestrations/paged_attention.py`).

Two vector cores have half of the rows each.  The results so far come and go through different tensors, so that a task never reads what it
writes.  A page without tokens (m = -1e30, l = 0) changes nothing.  With LAST the result is divided by the sum; where there is none, it is 0.
"""

import math

import numpy as np

import ptoc
from ptoc import f32

from ._paged import LEAST_SUM, row_of, to_column


@ptoc.kernel
def paged_update(
    m: ptoc.Tensor["ROWS", f32],
    l: ptoc.Tensor["ROWS", f32],
    o: ptoc.Tensor["ROWS", "D", f32],
    page_m: ptoc.Tensor["ROWS", f32],
    page_l: ptoc.Tensor["ROWS", f32],
    page_o: ptoc.Tensor["ROWS", "D", f32],
    new_m: ptoc.Out["ROWS", f32],
    new_l: ptoc.Out["ROWS", f32],
    new_o: ptoc.Out["ROWS", "D", f32],
    *,
    ROWS: int = 16,
    D: int = 16,
    LAST: bool = False,
):
    """new_m = max(m, page_m), r = exp((m - new_m) / sqrt(D)), s so for the page; new_l = l * r + page_l * s; new_o = o * r + page_o * s."""
    half, scale = ROWS // 2, 1.0 / math.sqrt(D)
    part = slice(ptoc.block_idx() * half, ptoc.block_idx() * half + half)
    rows = [row_of(half) for _ in range(5)]
    old, mine, sums, more, top = (row[:, 0:half] for row in rows)
    a, b = (ptoc.tile([half, D], f32) for _ in range(2))
    for tile, view in ((old, m), (mine, page_m), (sums, l), (more, page_l)):
        ptoc.load(tile, view[part])
    ptoc.load(a, o[part, :])
    ptoc.load(b, page_o[part, :])
    ptoc.max(top, old, mine)
    for tile in (old, mine):
        ptoc.sub(tile, tile, top)
    for tile in (old, mine):
        ptoc.muls(tile, tile, scale)
    for tile in (old, mine):
        ptoc.exp(tile, tile)
    ptoc.mul(sums, sums, old)
    ptoc.mul(more, more, mine)
    ptoc.rowexpandmul(a, a, to_column(rows[0], half))
    ptoc.rowexpandmul(b, b, to_column(rows[1], half))
    ptoc.add(sums, sums, more)
    ptoc.add(a, a, b)
    ptoc.store(new_m[part], top)
    ptoc.store(new_l[part], sums)
    if LAST:
        ptoc.maxs(more, sums, LEAST_SUM)
        ptoc.rowexpanddiv(a, a, to_column(rows[3], half))
    ptoc.store(new_o[part, :], a)


@paged_update.reference
def reference(m, l, o, page_m, page_l, page_o, D, LAST):
    top = np.maximum(m, page_m)
    r, s = (np.exp((x - top).astype(np.float64) / np.sqrt(D)) for x in (m, page_m))
    total, result = l * r + page_l * s, o * r[:, None] + page_o * s[:, None]
    return top, total, result / np.maximum(total, LEAST_SUM)[:, None] if LAST else result


@paged_update.inputs
def inputs(rng: np.random.Generator, ROWS: int, D: int, **_: object) -> dict[str, np.ndarray]:
    shapes = {name: (ROWS, D) if name.endswith("o") else (ROWS,) for name in ("m", "l", "o", "page_m", "page_l", "page_o")}
    return {n: np.abs(rng.standard_normal(shape, dtype=np.float32)) if n.endswith("l") else rng.standard_normal(shape, dtype=np.float32) for n, shape in shapes.items()}


@paged_update.cores(exact=True)
def cores(**_: object) -> int:
    return 2


paged_update.tolerance = 1e-5
paged_update.case("default")
paged_update.case("small", ROWS=6)
paged_update.case("last", LAST=True)
paged_update.case("wide", D=128, LAST=True)
