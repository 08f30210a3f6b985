"""One result of the parts that `flash_attention_split` leaves: each part weighs l exp((m - M) / sqrt(D)), M the largest of all m.

All of it is vector work, on every vector core: ROWS rows at a time, whose maxima and sums are read as rows of numbers, so that the weights of
all parts are computed at once, and then the parts' results, each scaled by its weights and added.  Loads of the next rows and parts go on
meanwhile.  It is bound by the memory: PARTS results are read, one is written.
"""

import math

import numpy as np

import ptoc
from ptoc import f32


@ptoc.kernel
def flash_attention_combine(
    o: ptoc.Tensor["PARTS", "R", "DV", f32],
    m: ptoc.Tensor["PARTS", "R", f32],
    l: ptoc.Tensor["PARTS", "R", f32],
    out: ptoc.Out["R", "DV", f32],
    R,
    *,
    PARTS: int = 2,
    D: int = 128,
    DV: int = 128,
    ROWS: int = 32,
):
    """out = sum over parts of w * o / sum over parts of w, w = l * exp((m - largest m) / sqrt(D)); D: width of the queries."""
    rows_of = o.flat()
    for t in ptoc.range(ptoc.block_idx(), ptoc.ceil_div(R, ROWS), ptoc.num_blocks(), stages=2):
        row = t * ROWS
        n = ptoc.minimum(R - row, ROWS)
        w, sums = (ptoc.tile([PARTS, ROWS], f32, valid=(PARTS, n)) for _ in range(2))
        most, total = (ptoc.tile([1, ROWS], f32, valid=(1, n)) for _ in range(2))
        ptoc.load(w, m[:, row : row + n])
        ptoc.load(sums, l[:, row : row + n])
        scratch = ptoc.tile([PARTS, ROWS], f32)
        ptoc.colmax(most, w)
        ptoc.colexpandsub(w, w, most)
        ptoc.muls(w, w, 1.0 / math.sqrt(D))
        ptoc.exp(w, w)
        ptoc.mul(w, w, sums)
        ptoc.colsum(total, w, scratch)
        ptoc.colexpanddiv(w, w, total)
        acc = ptoc.tile([ROWS, DV], f32, valid=(n, DV))
        ptoc.expands(acc, 0.0)
        for p in ptoc.range(PARTS, stages=2):
            part = ptoc.tile([ROWS, DV], f32, valid=(n, DV))
            at = p * R + row
            ptoc.load(part, rows_of[at : at + n, :])
            ptoc.rowexpandmul(part, part, w.reshape(PARTS * ROWS, 1, layout="dn")[p * ROWS : p * ROWS + n, :])
            ptoc.add(acc, acc, part)
        ptoc.store(out[row : row + n, :], acc)


@flash_attention_combine.reference
def reference(o: np.ndarray, m: np.ndarray, l: np.ndarray, D: int) -> np.ndarray:
    w = l * np.exp((m - m.max(axis=0)) / math.sqrt(D))
    return (w[..., None] * o).sum(axis=0) / w.sum(axis=0)[:, None]


@flash_attention_combine.inputs
def inputs(rng: np.random.Generator, PARTS: int, R: int, DV: int, **_: int) -> dict[str, np.ndarray]:
    """Maxima and sums as they come of some hundred columns."""
    draw = rng.standard_normal
    return {"o": draw((PARTS, R, DV)), "m": 30 + 5 * draw((PARTS, R)), "l": 10 + 100 * rng.random((PARTS, R))}


@flash_attention_combine.cores
def cores(R: int, ROWS: int, aiv: int, **_: int) -> int:
    return min(aiv, -(-R // ROWS))


flash_attention_combine.case("default", R=128)
flash_attention_combine.case("tails", R=200, PARTS=3, cores=3)
flash_attention_combine.case("in_turn", R=300, PARTS=3, cores=1)
flash_attention_combine.case("in_turn_whole", R=256, cores=1)
flash_attention_combine.case("square8192", large=True, R=8192, PARTS=3)
flash_attention_combine.limit("the parts' maxima and sums of ROWS rows fit into UB", PARTS=1024)
