"""Extents of the parts of an attention step, and the parameters that are fastest for a shape."""

from dataclasses import dataclass
from typing import Any

import ptoc


def chunk(extent, most=128):
    """Columns of a head that L0 takes at a time: the largest divisor of at most `most` that is whole fractals of 16.

    Raises: ArgumentError where the width is not.
    """
    if extent < 1 or extent % 16:
        raise ptoc.ArgumentError(f"flash attention: widths of heads must be multiples of 16; got {extent}")
    return max(n for n in range(16, most + 1, 16) if extent % n == 0)


def tuned(rows, columns, d, dv, tile=256):
    """Parameters that are fastest on 910B for a shape; a tile other than 256 is taken as asked for.

    Many long rows take tiles of 512, which halve what is passed on of PV, in one buffer of L1 each.  Short ones take half of a sub-tile's
    columns at a time, in turns in L0: they start earlier; long ones all of them, in fewer commands.  A slice of scores is 8192 numbers, a
    shape of which the library folds rows in groups.  Wider heads leave less room.
    """
    if tile == 256:
        tile = 512 if max(d, dv) <= 128 and columns >= 8192 and rows > 1024 else 256 if max(d, dv) <= 256 else 128
    wide, long = max(d, dv) > 128, tile >= 512
    short = rows <= 1024 and columns <= 4096
    return {
        "TILE": tile,
        "WIDTH": min(tile, 64 if wide or long or short else 128),
        "BUFFERS": 1 if wide or long else 2,
        "SLICE": 16 if wide else min(64, 8192 // tile),
        "PIECE": 16 if wide or long else 32,
        "PRELOAD": 2 if long or tile == 32 else 4,
        "SLOTS": 4 if long or tile == 32 else 8,
    }


@dataclass
class Sizes:
    """Extents of the parts of a step.

    Raises: ArgumentError where rows or columns would be left over.

    d, dv: width of queries and of values; rows: query rows of a block; width: columns of a tile that one matrix product takes; buffers: tiles
    of K and of V in L1; slice, piece: rows that a vector core takes at a time, of scores and of products; tails: some parts are not whole.
    """

    d: int
    dv: int
    rows: int
    tile: int
    width: int
    buffers: int
    slice: int
    piece: int
    tails: bool
    dtype: Any
    steps: Any

    def __post_init__(self):
        for whole, part, names in (
            (self.half, self.slice, "half of ROWS, a vector core's, must be a multiple of SLICE"),
            (self.half, self.piece, "half of ROWS, a vector core's, must be a multiple of PIECE"),
            (self.tile, self.width, "TILE must be a multiple of WIDTH"),
        ):
            if part < 1 or whole % part:
                raise ptoc.ArgumentError(f"flash attention: {names}; got {whole} and {part}")

    @property
    def half(self):
        """Query rows of one vector core."""
        return self.rows // 2

    def part(self, size, rest, least=0):
        """Elements of a part of `size` where `rest` remain, which is at least `least`."""
        return ptoc.maximum(ptoc.minimum(rest, size), least) if self.tails else size

    def columns(self, step):
        """First column, and number of columns, of a step's tile."""
        first = step.tile * self.tile
        return first, self.part(self.tile, step.limit - first, 1)

    def block_rows(self, step):
        """Query rows of a step's block."""
        return self.part(self.rows, step.rest, 1)

    def when(self, n):
        """Runs its body where a part has elements."""
        return ptoc.when(n > 0) if self.tails else ptoc.when(True)
