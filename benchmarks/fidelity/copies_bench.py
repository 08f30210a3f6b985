"""Bench kernels: elementwise addition and plain reads and writes of which device times are published.  Frozen: they are never improved.

Sources: asc-devkit 0da921b91, best practices, add_high_performance and data_copy; huawei-csl/npu-skillyard fdd49bf, platform_model.md.
"""

import ptoc
from ptoc import L1, f16, f32

SLOT_BYTES = 32768
"""Bytes between slots of an operand: as the measured program lays them out, whatever the size of a piece."""


@ptoc.kernel
def vector_add(
    x: ptoc.Tensor["E", f16], y: ptoc.Tensor["E", f16], z: ptoc.Out["E", f16], E, *,
    ROW: int = 8192, PIECE: int = 16384, SLOTS: int = 1, IN_PLACE: bool = False, APART: bool = False,
):  # fmt: skip
    """z = x + y: rows of ROW elements dealt out evenly, PIECE elements at a time, SLOTS slots of each operand.

    IN_PLACE: the next loads wait for the store, as engine times of the multi-core cases with one slot show: they add up to the whole.
    APART: x and y lie half a period of the bank groups of UB apart, so that an addition reads both at once.
    """
    cores, core = ptoc.num_blocks(), ptoc.block_idx()
    share, extra = E // ROW // cores, E // ROW % cores
    first = (core * share + ptoc.minimum(core, extra)) * ROW
    mine = (share + ptoc.minimum(ptoc.maximum(extra - core, 0), 1)) * ROW
    size = SLOTS * SLOT_BYTES - (256 if APART else 0)
    a, b = (ptoc.tile([1, PIECE], f16, slots=SLOTS, addr=i * size) for i in range(2))
    c = a if IN_PLACE else ptoc.tile([1, PIECE], f16, slots=SLOTS, addr=2 * size)
    for i in ptoc.range(ptoc.ceil_div(mine, PIECE)):
        n = ptoc.minimum(mine - i * PIECE, PIECE)
        part = slice(first + i * PIECE, first + i * PIECE + n)
        a1, b1, c1 = (t[i % SLOTS][:, 0:n] for t in (a, b, c))
        ptoc.load(a1, x[part])
        ptoc.load(b1, y[part])
        ptoc.add(c1, a1, b1)
        ptoc.store(z[part], c1)


vector_add.reference(lambda x, y: x + y)
vector_add.case("default", E=8 * 8192, cores=3)
vector_add.case("double", E=8 * 8192, cores=3, SLOTS=2, PIECE=4096)


@ptoc.kernel
def read_tiles(
    x: ptoc.Tensor["M", "N", f16], done: ptoc.Out[1, 16, f16], M, N, *,
    ROWS: int = 64, COLS: int = 64, TO_L1: bool = False, REPEATS: int = 1, PARTS: int = 1,
):  # fmt: skip
    """Each core reads its M / cores rows in tiles of ROWS x COLS, in PARTS parts, each part REPEATS times over."""
    with ptoc.cube() if TO_L1 else ptoc.vector():
        cores = ptoc.num_blocks()
        rows = M // cores
        first = ptoc.block_idx() * rows
        down, across = ptoc.maximum(rows // ROWS, 1), ptoc.ceil_div(N, COLS)
        tile = ptoc.tile([ROWS, COLS], f16, L1) if TO_L1 else ptoc.tile([ROWS, COLS], f16)
        part = ptoc.ceil_div(down * across, PARTS)
        for p in ptoc.range(PARTS):
            for _ in ptoc.range(REPEATS):
                for i in ptoc.range(ptoc.minimum(part, down * across - p * part)):
                    t = p * part + i
                    row, column = first + t // across * ROWS, t % across * COLS
                    n = ptoc.minimum(N - column, COLS)
                    ptoc.load(tile[:, 0:n], x[row : row + ROWS, column : column + n])


@ptoc.kernel
def stream_read(x: ptoc.Tensor["E", f32], done: ptoc.Out[1, 8, f32], E, *, PIECE: int = 16384, PASSES: int = 1):
    """Every vector core reads its share of x, PASSES times over."""
    share = E // ptoc.num_blocks()
    tile = ptoc.tile([1, PIECE], f32)
    for _ in ptoc.range(PASSES):
        for i in ptoc.range(ptoc.ceil_div(share, PIECE)):
            first, n = ptoc.block_idx() * share + i * PIECE, ptoc.minimum(share - i * PIECE, PIECE)
            ptoc.load(tile[:, 0:n], x[first : first + n])


@ptoc.kernel
def stream_read_cube(x: ptoc.Tensor["M", 128, f16], done: ptoc.Out[1, 16, f16], M, *, ROWS: int = 256):
    """Every cube core reads its share of x into L1."""
    with ptoc.cube():
        share = M // ptoc.num_blocks()
        tile = ptoc.tile([ROWS, 128], f16, L1)
        for i in ptoc.range(share // ROWS):
            first = ptoc.block_idx() * share + i * ROWS
            ptoc.load(tile, x[first : first + ROWS, :])


@ptoc.kernel
def stream_read_both(x: ptoc.Tensor["M", 128, f16], done: ptoc.Out[1, 16, f16], M, *, ROWS: int = 256):
    """Half of x is read by the cube cores, half by the vector cores."""
    share = M // 2 // ptoc.num_blocks()
    with ptoc.cube():
        tile = ptoc.tile([ROWS, 128], f16, L1)
        for i in ptoc.range(share // ROWS):
            first = ptoc.block_idx() * share + i * ROWS
            ptoc.load(tile, x[first : first + ROWS, :])
    with ptoc.vector():
        half = ptoc.tile([ROWS, 128], f16)
        start = M // 2 + (2 * ptoc.block_idx() + ptoc.sub_block_idx()) * (share // 2)
        for i in ptoc.range(share // 2 // ROWS):
            first = start + i * ROWS
            ptoc.load(half, x[first : first + ROWS, :])


@ptoc.kernel
def stream_write(y: ptoc.Out["E", f32], E, *, PIECE: int = 16384):
    """Every vector core writes zeros over its share of y."""
    share = E // ptoc.num_blocks()
    tile = ptoc.tile([1, PIECE], f32)
    ptoc.expands(tile, 0.0)
    for i in ptoc.range(ptoc.ceil_div(share, PIECE)):
        first, n = ptoc.block_idx() * share + i * PIECE, ptoc.minimum(share - i * PIECE, PIECE)
        ptoc.store(y[first : first + n], tile[:, 0:n])


