"""Flash attention over parts of K and V: what `flash_attention_combine` makes one result of.

Where there are fewer blocks of query rows than cores, or a few more than a multiple of them, cores stand idle.  Here the columns are divided
into PARTS, and a block with each part of the columns is an item of work of its own.  An item leaves its result as if there were no
other columns, with maximum and sum of each row; a second launch weighs the parts.  This pays where the pipeline's time that is saved exceeds that of the second launch
and of writing and reading PARTS results: with one block of rows and long columns, or with about a core's length of idle time.

Heads and rows are laid out as in `flash_attention_heads`, and the pipeline is that of `flash_attention`; nothing is masked.
"""

import math

import numpy as np

import ptoc
from ptoc import f32

from ._attention_sizes import Sizes, tuned
from ._attention_stages import attend
from ._attention_steps import Steps, part_columns
from .flash_attention import TOLERANCE


@ptoc.kernel
def flash_attention_split(
    q: ptoc.Tensor["KV", "GROUP", "S0", "D", "DTYPE"],
    k: ptoc.Tensor["KV", "S1", "D", "DTYPE"],
    v: ptoc.Tensor["KV", "S1", "DV", "DTYPE"],
    o: ptoc.Out["PARTS", "KV", "GROUP", "S0", "DV", f32],
    m: ptoc.Out["PARTS", "KV", "GROUP", "S0", f32],
    l: ptoc.Out["PARTS", "KV", "GROUP", "S0", f32],
    KV,
    S0,
    S1,
    *,
    PARTS: int = 2,
    GROUP: int = 1,
    D: int = 128,
    DV: int = 128,
    DTYPE: str = "f16",
    TILE: int = 256,
    WIDTH: int = 64,
    ROWS: int = 128,
    BUFFERS: int = 2,
    SLICE: int = 32,
    PIECE: int = 32,
    PRELOAD: int = 4,
    SLOTS: int = 8,
    LOCAL_SLOTS: int = 2,
    TAILS: bool = True,
):
    """Of each part of the columns: m = largest of s = q[h, g] @ k[h].T, l = sum of e = exp((s - m) / sqrt(D)), o = e @ v[h] / l."""
    steps = Steps(GROUP * S0, S1, block=ROWS, tile=TILE, groups=KV, parts=PARTS)
    sizes = Sizes(D, DV, ROWS, TILE, WIDTH, BUFFERS, SLICE, PIECE, TAILS, q.dtype, steps)
    rings = {"slots": SLOTS, "local_slots": LOCAL_SLOTS, "preload": PRELOAD}
    attend(sizes, q.flat(), k.flat(), v.flat(), o.flat(), totals=(m.flat(0), l.flat(0)), **rings)


@flash_attention_split.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, PARTS: int) -> tuple[np.ndarray, ...]:
    columns = part_columns(k.shape[1], PARTS)
    found = []
    for at in range(0, k.shape[1], columns):
        s = np.einsum("hgid,hjd->hgij", q, k[:, at : at + columns], optimize=True)
        m = s.max(axis=-1)
        e = np.exp((s - m[..., None]) / math.sqrt(q.shape[3]))
        l = e.sum(axis=-1)
        found.append((np.einsum("hgij,hjd->hgid", e, v[:, at : at + columns], optimize=True) / l[..., None], m, l))
    return tuple(np.stack(parts) for parts in zip(*found))


@flash_attention_split.flops
def flops(KV: int, GROUP: int, S0: int, S1: int, D: int, DV: int, **_: int) -> int:
    return 2 * KV * GROUP * S0 * S1 * (D + DV)


@flash_attention_split.cores
def cores(KV: int, GROUP: int, S0: int, ROWS: int, PARTS: int, aic: int, **_: int) -> int:
    return min(aic, KV * PARTS * -(-GROUP * S0 // ROWS))


@flash_attention_split.specialize
def specialize(KV: int, GROUP: int, S0: int, S1: int, D: int, DV: int, PARTS: int, TILE: int, ROWS: int, **_: int) -> dict[str, int | bool]:
    """The tuned parameters of a shape.  Raises ArgumentError where parts would take different numbers of tiles, or none."""
    if PARTS < 1:
        raise ptoc.ArgumentError(f"flash_attention_split: PARTS must be at least 1; got {PARTS}")
    chosen, width = tuned(KV * GROUP * S0 * PARTS, S1 // PARTS, D, DV, TILE), part_columns(S1, PARTS)
    tile, last = chosen["TILE"], S1 - (PARTS - 1) * width
    if -(-last // tile) != -(-width // tile):
        message = f"PARTS={PARTS} makes parts of {width} columns of S1 = {S1} and leaves {max(last, 0)} for the last one"
        raise ptoc.ArgumentError(f"flash_attention_split: {message}: all must take equally many tiles of {tile}; choose other PARTS or TILE")
    return chosen | {"TAILS": bool(GROUP * S0 % ROWS or width % tile or last % tile)}


flash_attention_split.tolerance = TOLERANCE
flash_attention_split.case("default", KV=1, S0=128, S1=2048, PARTS=2)
flash_attention_split.case("in_turn", KV=1, S0=384, S1=512, PARTS=2, cores=1)
flash_attention_split.case("tails", KV=1, GROUP=3, S0=70, S1=1200, PARTS=3, cores=2)
flash_attention_split.case("tails_in_turn", KV=2, GROUP=3, S0=20, S1=700, PARTS=3, cores=1)
flash_attention_split.case("tails_few", KV=1, GROUP=3, S0=20, S1=700, PARTS=3, cores=1)
flash_attention_split.case("shorter_last", KV=2, GROUP=3, S0=20, S1=1500, PARTS=3, cores=3)
flash_attention_split.case("row8192", large=True, KV=1, S0=128, S1=8192, PARTS=16)
flash_attention_split.case("square8192", large=True, KV=1, S0=8192, S1=8192, PARTS=3)
flash_attention_split.case("decoding", large=True, KV=8, GROUP=8, S0=16, S1=32768, PARTS=3)
flash_attention_split.limit("all parts take equally many tiles, none is empty", PARTS=7)
