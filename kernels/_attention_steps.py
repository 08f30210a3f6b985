"""What each step of an attention kernel covers: which query rows, which columns of K and V, whether it begins or ends a block.

A core's steps are numbered through all of its blocks of query rows, so that one block follows the other without a pause.
"""

from dataclasses import dataclass
from typing import Any

import ptoc


@dataclass
class Step:
    """One tile of columns of one block of query rows.

    row, rest: the block's first query row in the tensor, and rows from there to the end of its group; seen: columns that the first of them
    sees, where later ones see more; column: first column of its group's K and V in the tensor; tile, first, last: which tile of columns,
    whether it is the block's first or last; limit: columns that some row of the block sees; part: which part of the columns; valid: whether
    there is such a tile, None: surely.
    """

    row: Any
    rest: Any
    column: Any
    tile: Any
    first: Any
    last: Any
    limit: Any
    part: Any = 0
    seen: Any = None
    valid: Any = None


class Steps:
    """The steps of one core over `groups` times `rows` query rows and `columns` columns, in blocks of `block` rows and tiles of `tile` columns.

    sharing: consecutive groups that have K and V in common.  parts: the columns are divided into so many parts, each an item of work of its
    own and of equally many tiles; `part_columns` has the caller's half of that.  causal: row i sees the columns up to i + columns - rows.  Blocks i and last - i are then one item, so that all items are of about
    one length.
    """

    def __init__(self, rows, columns, *, block, tile, groups=1, sharing=1, parts=1, causal=False):
        self.sharing = sharing
        self.rows, self.columns, self.block, self.tile, self.parts, self.causal = rows, columns, block, tile, parts, causal
        self.blocks, self.tiles, self.groups = ptoc.ceil_div(rows, block), ptoc.ceil_div(columns, tile), groups
        self.offset = columns - rows
        if causal:
            self.items = ptoc.ceil_div(self.blocks, 2)
            self.length = self.tiles_of(0) + self.tiles_of(self.blocks - 1) + 1
        else:
            self.items = self.blocks * parts
            self.width = part_columns(columns, parts) if parts > 1 else columns
            self.length = ptoc.ceil_div(self.width, tile)
        self.all, self.all_rows = groups * self.items, groups * rows

    def total(self):
        """Steps of this core: of each item that falls to it, at least of one."""
        return ptoc.maximum(ptoc.ceil_div(self.all - ptoc.block_idx(), ptoc.num_blocks()), 1) * self.length

    def limit(self, b):
        """Columns that some row of block b sees; at least one, so that each block has a step."""
        return ptoc.maximum(ptoc.minimum((b + 1) * self.block + self.offset, self.columns), 1) if self.causal else self.columns

    def tiles_of(self, b):
        """Tiles of columns that block b sees."""
        return ptoc.ceil_div(self.limit(b), self.tile)

    def at(self, g):
        """Step number g of this core."""
        item, t = ptoc.block_idx() + g // self.length * ptoc.num_blocks(), g % self.length
        group, item = (0, item) if isinstance(self.groups, int) and self.groups == 1 else (item // self.items, item % self.items)
        if self.causal:
            return self._paired(group, item, t)
        part, b = (0, item) if self.parts == 1 else (item % self.parts, item // self.parts)
        limit = self.columns if self.parts == 1 else ptoc.minimum(self.columns - part * self.width, self.width)
        return self._step(group, b, t, (t == 0, t == self.length - 1), limit, part)

    def _paired(self, group, i, t):
        """Step t of blocks i and last - i, one after the other; the middle one of an odd number stands alone."""
        before, between = self.tiles_of(i), self.blocks - 1 - 2 * i
        second = ptoc.minimum(ptoc.maximum(t - before + 1, 0), 1)
        b, t = i + second * between, t - second * before
        count = self.tiles_of(b) * (1 - second * (1 - ptoc.minimum(between, 1)))
        seen = b * self.block + self.offset + 1
        return self._step(group, b, t, (t == 0, t == count - 1), self.limit(b), seen=seen, valid=t < count)

    def _step(self, group, b, tile, ends, limit, part=0, **more):
        row, column = group * self.rows + b * self.block, group // self.sharing * self.columns
        return Step(row, self.rows - b * self.block, column if self.parts == 1 else column + part * self.width, tile, *ends, limit, part, **more)


def part_columns(columns, parts):
    """Columns of each part but the last, which has what is left: whole groups of 64, so that a part begins where a fast load does."""
    return ptoc.ceil_div(ptoc.ceil_div(columns, 64), parts) * 64
