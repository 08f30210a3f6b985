"""Flash attention with several heads: grouped queries, causal masks.  The pipeline is that of `flash_attention`.

q is [KV, GROUP, S0, D]: GROUP query heads for each head of K and V; a batch counts as more of the latter.

Without a mask the query rows of a group are as good as the rows of one head, since all attend to the same K and V: a block takes ROWS of all
GROUP * S0 rows, so that a decoding step with one row a head still fills the cube's rows with those of a group.

With CAUSAL row i sees the columns up to i + S1 - S0; rows that see none give 0.  Columns that no row of a block sees are not loaded, and
neither multiplied: a block's columns end with its last row's.  What is left above the diagonal is hidden in the vector core, by a triangle of
large negative numbers, only in slices that the diagonal crosses.  Blocks get longer from the first to the last; the first and the last, the
second and the one before the last, and so on, are one item of work, so that all items are of one length and cores are done together.
"""

import math

import numpy as np

import ptoc
from ptoc import f32

from ._attention_sizes import Sizes, tuned
from ._attention_stages import attend
from ._attention_steps import Steps
from .flash_attention import TOLERANCE


@ptoc.kernel
def flash_attention_heads(
    q: ptoc.Tensor["KV", "GROUP", "S0", "D", "DTYPE"],
    k: ptoc.Tensor["KV", "S1", "D", "DTYPE"],
    v: ptoc.Tensor["KV", "S1", "DV", "DTYPE"],
    o: ptoc.Out["KV", "GROUP", "S0", "DV", f32],
    KV,
    S0,
    S1,
    *,
    GROUP: int = 4,
    CAUSAL: bool = False,
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
    """o[h, g] = softmax(q[h, g] @ k[h].T / sqrt(D)) @ v[h], causal or not; GROUP query heads share each head of K and V."""
    if CAUSAL:
        steps = Steps(S0, S1, block=ROWS, tile=TILE, groups=KV * GROUP, sharing=GROUP, causal=True)
    else:
        steps = Steps(GROUP * S0, S1, block=ROWS, tile=TILE, groups=KV)
    sizes = Sizes(D, DV, ROWS, TILE, WIDTH, BUFFERS, SLICE, PIECE, TAILS, q.dtype, steps)
    attend(sizes, q.flat(), k.flat(), v.flat(), o.flat(), slots=SLOTS, local_slots=LOCAL_SLOTS, preload=PRELOAD)


@flash_attention_heads.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, CAUSAL: bool) -> np.ndarray:
    rows, columns = q.shape[2], k.shape[1]
    s = np.einsum("hgid,hjd->hgij", q, k, optimize=True) / math.sqrt(q.shape[3])
    if CAUSAL:
        s = np.where(np.arange(columns) <= np.arange(rows)[:, None] + columns - rows, s, -np.inf)
    most = s.max(axis=-1, keepdims=True)
    e = np.exp(s - np.where(np.isinf(most), 0, most))
    return np.einsum("hgij,hjd->hgid", e, v, optimize=True) / np.maximum(e.sum(axis=-1, keepdims=True), 1e-30)


@flash_attention_heads.flops
def flops(KV: int, GROUP: int, S0: int, S1: int, D: int, DV: int, CAUSAL: bool, **_: int) -> int:
    """Of what the mask leaves."""
    hidden = sum(min(S1, S0 - 1 - i) for i in range(S0)) if CAUSAL else 0
    return 2 * KV * GROUP * (S0 * S1 - hidden) * (D + DV)


@flash_attention_heads.cores
def cores(KV: int, GROUP: int, S0: int, ROWS: int, CAUSAL: bool, aic: int, **_: int) -> int:
    return min(aic, KV * GROUP * -(-S0 // ROWS // 2) if CAUSAL else KV * -(-GROUP * S0 // ROWS))


@flash_attention_heads.specialize
def specialize(GROUP: int, S0: int, S1: int, D: int, DV: int, CAUSAL: bool, TILE: int, ROWS: int, **_: int) -> dict[str, int | bool]:
    """The tuned parameters of a shape.  A causal block's last tile is seldom whole."""
    chosen = tuned(GROUP * S0, S1, D, DV, TILE)
    return chosen | {"TAILS": bool(CAUSAL or GROUP * S0 % ROWS or S1 % chosen["TILE"])}


flash_attention_heads.tolerance = TOLERANCE
flash_attention_heads.case("default", KV=2, GROUP=4, S0=64, S1=512, cores=2)
flash_attention_heads.case("in_turn", KV=2, GROUP=4, S0=64, S1=256, cores=1)
flash_attention_heads.case("decode", KV=3, GROUP=8, S0=1, S1=700, cores=2)
flash_attention_heads.case("decode_in_turn", KV=3, GROUP=8, S0=1, S1=100, cores=1)
flash_attention_heads.case("causal", KV=1, GROUP=2, S0=384, S1=1024, CAUSAL=True, cores=2)
flash_attention_heads.case("causal_in_turn", KV=2, GROUP=2, S0=128, S1=256, CAUSAL=True, cores=1)
flash_attention_heads.case("causal_tails", KV=1, GROUP=2, S0=300, S1=450, CAUSAL=True, cores=1)
flash_attention_heads.case("causal_rows_that_see_nothing", KV=1, GROUP=2, S0=450, S1=200, CAUSAL=True, cores=1)
flash_attention_heads.case("layer", large=True, KV=8, GROUP=4, S0=4096, S1=4096)
flash_attention_heads.case("causal_layer", large=True, KV=8, GROUP=4, S0=4096, S1=4096, CAUSAL=True)
flash_attention_heads.case("decoding", large=True, KV=8, GROUP=8, S0=16, S1=32768)
flash_attention_heads.limit("queries and values are f16 or bf16", DTYPE="f32")
flash_attention_heads.limit("widths of heads are multiples of 16", D=120, DV=120)
