"""How the a2a3 library cuts an elementwise op into instructions: the repeats of each, in the order in which it issues them.

A repeat is 256 bytes of lanes; an instruction takes at most 255 repeats, and a row stride of at most 255 blocks.  Valid parts that are
contiguous go as one run; else a column of repeats per instruction, one repeat a row; wide flat tiles go row by row.
Source: pto-isa 3186c381, include/pto/npu/a2a3/TBinOp.hpp, TBinSOp.hpp, TUnaryOp.hpp, TCvt.hpp, TExpandS.hpp.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ptoc.machine.work import Vector, WorkItem

from ..dtypes import DTYPES
from ..families import BLOCK_BYTES, REPEAT_BYTES
from ..layout import TileRef

MOST_REPEATS = 255
"""Repeats of one instruction, and blocks of one stride.  Source: pto-isa 3186c381, include/pto/common/constants.hpp (REPEAT_MAX)."""

FEW_REPEATS = 4
"""Below this many repeats in the whole tile, rows go one by one.  Source: the same, TBinOp.hpp (SMALL_RPT_BINOP)."""


class Lanes(NamedTuple):
    """A region counted in lanes of an instruction, which may be narrower or wider than an element."""

    rows: int
    cols: int
    v_rows: int
    v_cols: int


def lanes(ref: TileRef, width: int) -> Lanes:
    """The region in lanes of `width` bytes."""
    size = DTYPES[ref.dtype].bytes
    return Lanes(ref.rows, ref.cols * size // width, ref.v_rows, -(-ref.v_cols * size // width))


def chunks(repeats: int) -> list[int]:
    """Repeats of the instructions that a run of repeats takes."""
    return [MOST_REPEATS] * (repeats // MOST_REPEATS) + [repeats % MOST_REPEATS] * (repeats % MOST_REPEATS > 0)


def run(count: int, per_repeat: int, counted: bool) -> list[int]:
    """One run of lanes: a single instruction with a lane count, or whole repeats and a masked rest."""
    if counted:
        return [-(-count // per_repeat)]
    return [n for n in (count // per_repeat, int(count % per_repeat > 0)) if n]


def binary(dst: TileRef, *srcs: TileRef, width: int = 0) -> list[int]:
    """A two-operand instruction over tiles; `width`: bytes of a lane where it is not an element's."""
    size = DTYPES[dst.dtype].bytes
    width = width or size
    d, per, block = lanes(dst, width), REPEAT_BYTES // width, BLOCK_BYTES // width
    if width != size or any(src.cols != dst.cols for src in srcs):
        return strided([d, *(lanes(src, width) for src in srcs)], per, block)
    if d.rows <= MOST_REPEATS and d.cols < per:
        return [d.v_rows]
    if d.v_cols == d.cols or d.v_rows == 1:
        repeats = -(-d.rows * d.cols // per) if d.v_cols == d.cols else -(-d.v_cols // per)
        return run(d.v_rows * d.v_cols, per, (d.v_cols > per and d.v_cols % per > 0) or repeats > MOST_REPEATS)
    return scattered([d], per, block)


def scalar(dst: TileRef, src: TileRef) -> list[int]:
    """An instruction of a tile and a scalar."""
    size = DTYPES[dst.dtype].bytes
    d, s, per = lanes(dst, size), lanes(src, size), REPEAT_BYTES // size
    if (d.cols == d.v_cols and s.cols == s.v_cols) or d.rows == s.rows == 1:
        unaligned = d.cols > per and d.cols % per > 0
        return run(d.v_rows * d.v_cols, per, unaligned or -(-d.rows * d.cols // per) > MOST_REPEATS)
    return scattered([d, s], per, BLOCK_BYTES // size)


def unary(dst: TileRef, src: TileRef, width: int = 0) -> list[int]:
    """A one-operand instruction."""
    width = width or DTYPES[dst.dtype].bytes
    d, s, per = lanes(dst, width), lanes(src, width), REPEAT_BYTES // width
    if (d.cols == d.v_cols and s.cols == s.v_cols) or d.rows == s.rows == 1:
        return run(d.v_rows * d.v_cols, per, -(-d.rows * d.cols // per) > MOST_REPEATS)
    if d[:2] == s[:2] and d.v_rows == 1:
        return run(d.v_cols, per, -(-d.v_cols // per) > MOST_REPEATS)
    return scattered([d, s], per, BLOCK_BYTES // width)


def scattered(tiles: list[Lanes], per: int, block: int) -> list[int]:
    """A part that is not contiguous: row by row where the tile is flat, else one repeat of every row per instruction."""
    d, rows = tiles[0], max(tile.rows for tile in tiles)
    wide, rest = d.cols // per, d.v_cols % per
    if (wide > 1 and rows * wide < FEW_REPEATS) or rows < wide + 1:
        return [-(-d.v_cols // per)] * d.v_rows
    if rows <= MOST_REPEATS and max(tile.cols for tile in tiles) // block <= MOST_REPEATS:
        return [d.v_rows] * (d.v_cols // per) + [d.v_rows] * (rest > 0)
    return strided(tiles, per, block) if rows > per else masked(tiles, block)


def strided(tiles: list[Lanes], per: int, block: int) -> list[int]:
    """Whole repeats row by row, then what is left of every row under a mask."""
    d = tiles[0]
    whole, rest = divmod(d.v_cols, per)
    return chunks(whole) * d.v_rows + (masked(tiles, block) if rest else [])


def masked(tiles: list[Lanes], block: int) -> list[int]:
    """One repeat of every row; each row its own instruction where the stride does not fit the stride field."""
    far = max(tile.cols for tile in tiles) // block > MOST_REPEATS
    return [1] * tiles[0].v_rows if far else chunks(tiles[0].v_rows)


def convert(dst: TileRef, src: TileRef) -> list[int]:
    """A conversion: whole repeats of the wider type row by row, then the rest of all rows under a mask."""
    per = REPEAT_BYTES // max(DTYPES[dst.dtype].bytes, DTYPES[src.dtype].bytes)
    whole, rest = divmod(dst.v_cols, per)
    return chunks(whole) * dst.v_rows + (chunks(dst.v_rows) if rest else [])


def fill(dst: TileRef) -> list[int]:
    """vector_dup over a tile; 8-bit elements go in pairs."""
    width = max(2, DTYPES[dst.dtype].bytes)
    d, per = lanes(dst, width), REPEAT_BYTES // width
    long, short, full, count = (d.v_cols, d.v_rows, d.cols, d.cols) if dst.blayout == "row_major" else (d.v_rows, d.v_cols, d.rows, d.rows)
    if long == full or short == 1 or count == 1:
        return [-(-d.v_rows * d.v_cols // per)]
    return [-(-long // per)] * short


def counted(columns: int, dtype: str) -> int:
    """Repeats of one instruction with a lane count."""
    return -(-columns * DTYPES[dtype].bytes // REPEAT_BYTES)


def items(instruction: str, dtype: str, repeats: Iterable[int]) -> tuple[Vector, ...]:
    """Independent instructions of one kind."""
    return tuple(Vector(instruction, dtype, n) for n in repeats)


def after_barrier(work: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
    """The same work with a PIPE_V barrier before it."""
    return (work[0]._replace(barrier=True), *work[1:]) if work else ()


def sequence(*steps: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
    """Steps one after the other with a PIPE_V barrier between any two."""
    return steps[0] + tuple(item for step in steps[1:] for item in after_barrier(step))


def per_row(rows: int, row: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
    """A row's work for every row, each row ended by a PIPE_V barrier; the last one says that the op ends drained."""
    return sequence(*[row] * rows, (row[-1]._replace(repeats=0),)) if rows else ()
