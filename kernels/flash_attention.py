"""Flash attention as a four-stage pipeline across the cube core and the vector cores of each block.

compute_qk (cube) -> QK ring -> compute_p (vector: online softmax) -> P ring -> compute_pv (cube) -> PV ring -> compute_gu (vector).

A block has ROWS query rows and goes through S1 in tiles of TILE columns; its tiles, and those of the core's later blocks, are the steps of one
loop.  The cube core runs PRELOAD steps of QK ahead of PV, so that the softmax of one tile runs while others are multiplied; a ring entry holds
one tile, and rings of SLOTS entries are reported free by halves, so that neither side waits for each entry.

The cube core loads K, V and P of a tile in one piece each, long bursts, with BUFFERS tiles of K and V in L1; Q stays in L0A where it fits, which
is up to a width of 128, and comes in pieces with those of K else.  WIDTH columns are multiplied at a time, in two places of L0 in turn where
two fit: one is filled while the other is multiplied, and scores leave while the next ones are made.

Each vector core has half of the rows, SLICE at a time: new maximum, exponentials, sums, and the factor by which what came before is to be
scaled, kept for PRELOAD + 1 tiles.  compute_gu scales the sums of P V by it and adds PIECE rows of a tile's at a time; they never leave UB before
the block's last tile.

Parameters follow from the shape where they are not given (`tuned`).  Source of the schedule: PTO-DSL flash attention, hw-native-sys/pto-isa.
"""

import math

import numpy as np

import ptoc
from ptoc import f32

from ._attention_sizes import Sizes, tuned
from ._attention_stages import attend
from ._attention_steps import Steps


@ptoc.kernel
def flash_attention(
    q: ptoc.Tensor["S0", "D", "DTYPE"],
    k: ptoc.Tensor["S1", "D", "DTYPE"],
    v: ptoc.Tensor["S1", "DV", "DTYPE"],
    o: ptoc.Out["S0", "DV", f32],
    S0,
    S1,
    *,
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
    TAILS: bool = False,
):
    """o = softmax(q @ k.T / sqrt(D)) @ v, non-causal; TILE columns of S1 at a time, ROWS query rows a block."""
    steps = Steps(S0, S1, block=ROWS, tile=TILE)
    sizes = Sizes(D, DV, ROWS, TILE, WIDTH, BUFFERS, SLICE, PIECE, TAILS, q.dtype, steps)
    attend(sizes, q, k, v, o, slots=SLOTS, local_slots=LOCAL_SLOTS, preload=PRELOAD)


@flash_attention.reference
def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    s = q @ k.T / math.sqrt(q.shape[1])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e @ v / e.sum(axis=1, keepdims=True)


@flash_attention.flops
def flops(S0: int, S1: int, D: int, DV: int = 0, **_: int) -> int:
    return 2 * S0 * S1 * (D + (DV or D))


@flash_attention.cores
def cores(S0: int, ROWS: int, aic: int, **_: int) -> int:
    return min(aic, -(-S0 // ROWS))


@flash_attention.specialize
def specialize(S0: int, S1: int, D: int, DV: int, TILE: int, ROWS: int, **_: int) -> dict[str, int | bool]:
    """The tuned parameters of a shape.  Sizes known when compiling make every part whole; they are left open only where a part is not."""
    chosen = tuned(S0, S1, D, DV, TILE)
    return chosen | {"TAILS": bool(S0 % ROWS or S1 % chosen.get("TILE", TILE))}


TOLERANCE = {"f32": 1e-3, "f16": 1e-3, "bf16": 1e-2}
"""Of results in f32, by what queries and probabilities are rounded to."""
flash_attention.tolerance = TOLERANCE
flash_attention.case("default", S0=128, S1=1024)
flash_attention.case("s2048", S0=128, S1=2048)
flash_attention.case("s4096", S0=128, S1=4096)
flash_attention.case("s8192", S0=128, S1=8192)
flash_attention.case("two_blocks", S0=256, S1=512, cores=2)
flash_attention.case("blocks_in_turn", S0=256, S1=1536, cores=1)
flash_attention.case("one_tile_in_turn", S0=384, S1=256, cores=1)
flash_attention.case("tails", S0=200, S1=700, cores=2)
flash_attention.case("short", S0=5, S1=3)
flash_attention.case("few_rows", S0=40, S1=700)
flash_attention.case("short_in_turn", S0=300, S1=100, cores=1)
flash_attention.case("tails_in_turn", S0=300, S1=2900, cores=1)
WAYS = {
    "bf16": {"DTYPE": "bf16"},
    "d64": {"D": 64, "DV": 64},
    "d256": {"D": 256, "DV": 256},
    "mla": {"D": 576, "DV": 512},
    "tile32": {"TILE": 32},
    "tile512": {"TILE": 512},
}
"""Parameters that other shapes have: each in a case of many tiles, and in one in which a core's blocks have one tile each."""
for name, parameters in WAYS.items():
    tile = parameters.get("TILE", 256)
    flash_attention.case(name, S0=256, S1=6 * tile, cores=1, **parameters)
    flash_attention.case(f"{name}_in_turn", S0=384, S1=128 if name == "mla" else tile, cores=1, **parameters)
for size in (8192, 32768):
    flash_attention.case(f"square{size}", large=True, S0=size, S1=size)
flash_attention.case("mla8192", large=True, S0=3072, S1=8192, D=576, DV=512)
flash_attention.limit("queries and values are f16 or bf16", DTYPE="f32")
flash_attention.limit("widths of heads are multiples of 16", D=120, DV=120)
flash_attention.limit("half of ROWS is a multiple of SLICE and of PIECE, TILE of WIDTH", SLICE=24)
flash_attention.limit("ROWS is at most 128, the rows of an accumulator of 128 columns that leaves room for another one in L0C", ROWS=256)
