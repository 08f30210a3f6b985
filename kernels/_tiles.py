"""What the kernels over rows of any element type share: arithmetic is in f32, whatever the type in global memory."""

import ptoc
from ptoc import f32

UB_BYTES = 184 * 1024
"""Bytes of UB that tiles may take beside the library's own.  Source: pto-isa 3186c381, include/pto/common/constants.hpp (TMP_UB_OFFSET)."""

BLOCK = 8
"""f32 in a block of 32 bytes, of which a column of a tile has a whole number.  Source: pto-isa 3186c381, include/pto/common/pto_tile.hpp (Tile)."""

TOLERANCE = {"f32": 1e-5, "f16": 1e-2, "bf16": 1e-2}
"""Of kernels that compute in f32, by the type of their results."""


def widened(tile):
    """The tile in f32: itself, or converted."""
    if tile.dtype == f32:
        return tile
    wide = ptoc.tile(tile.shape, f32, valid=tile.valid)
    copy_widened(wide, tile)
    return wide


def copy_widened(wide, tile):
    """The tile's elements in an f32 tile of their own."""
    if tile.dtype == f32:
        ptoc.mov(wide, tile)
    else:
        ptoc.cvt(wide, tile)


def narrowed(tile, dtype):
    """An f32 tile in another type: itself, or rounded."""
    if dtype == f32:
        return tile
    narrow = ptoc.tile(tile.shape, dtype, valid=tile.valid)
    ptoc.cvt(narrow, tile)
    return narrow


def column(rows, valid):
    """A tile of one f32 for each row, and the same bytes as a row, which elementwise ops want; in whole blocks of 32 bytes, as the library wants them."""
    stored = -(-rows // BLOCK) * BLOCK
    tile = ptoc.tile([stored, 1], f32, layout="dn", valid=(valid, 1))
    return tile, tile.reshape(1, stored)[:, 0:valid]


def rows_that_fit(columns, dtype, *, work, vectors, most=32):
    """Rows of `columns` elements, at most `most`, that fit into UB: loaded and stored in two slots, beside `work` f32 tiles of as many elements
    and `vectors` rows of the type and their f32 forms.  A byte for each element is left for columns of sums."""
    narrow = dtype != "f32"
    element = (2 * 2 + 4 + 2 * 2 if narrow else 2 * 4) + 4 * work + 1
    return max(1, min(most, (UB_BYTES // columns - vectors * (2 + 4 if narrow else 4)) // element))


PIECE, ALIGNED = 64, 512
"""Columns that one repeat reduces, and what a row must be a multiple of to have a whole number of them for each block of 32 bytes."""


def row_sums(sums, tile):
    """Row sums of an f32 tile of which all bytes hold numbers: of pieces of a row first, since a wide row is folded repeat by repeat."""
    rows, columns = tile.shape
    scratch = ptoc.tile([rows, PIECE], f32)
    if columns <= ALIGNED:
        ptoc.rowsum(sums, tile, scratch)
        return
    pieces = ptoc.tile([rows * columns // PIECE, 1], f32, layout="dn")
    ptoc.rowsum(pieces, tile.reshape(rows * columns // PIECE, PIECE), ptoc.tile([rows * columns // PIECE, 8], f32))
    ptoc.rowsum(sums, pieces.reshape(rows, columns // PIECE), scratch)
