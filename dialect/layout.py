"""Where the elements of a region lie: physical layouts of tiles and views, as byte runs and as numpy indices.

Boxed layout of a tile with R rows, inner box ir x ic, Nz: offset = (c/ic)*R*ic + (r/ir)*ir*ic + (r%ir)*ic + c%ic; the other three
swap the order of the boxes (outer letter) or of the elements in a box (inner letter).
Source: pto-isa 3186c381, include/pto/common/pto_tile.hpp and include/pto/cpu/tile_offsets.hpp.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .dtypes import DTYPES


class Access(NamedTuple):
    """Bytes of a memory: runs of `run` bytes at base + sum(i_k * stride_k), i_k < count_k, for each (count, stride) level."""

    memory: str
    base: int
    levels: tuple[tuple[int, int], ...]
    run: int

    @property
    def end(self) -> int:
        """First byte after the hull."""
        return self.base + sum((count - 1) * stride for count, stride in self.levels) + self.run


class TileRef(NamedTuple):
    """A region of an on-chip tile: `v_rows` x `v_cols` elements from (`row`, `col`) of a tile of `rows` x `cols` stored at `address`."""

    memory: str
    address: int
    dtype: str
    rows: int
    cols: int
    blayout: str
    slayout: str
    fractal: int
    row: int
    col: int
    v_rows: int
    v_cols: int

    @property
    def shape(self) -> tuple[int, int]:
        """Valid rows and columns."""
        return (self.v_rows, self.v_cols)

    def accesses(self) -> tuple[Access, ...]:
        """The bytes of the valid region, exactly; adjacent runs are joined."""
        if not self.v_rows or not self.v_cols:
            return ()
        at_zero = _tile_accesses(self._replace(address=0))
        return tuple(Access(self.memory, a.base + self.address, a.levels, a.run) for a in at_zero)


class ViewRef(NamedTuple):
    """A region of global memory: element (i0, i1, ..) lies at `offset` + sum(i_k * strides_k) elements of `memory` ("gm:NAME")."""

    memory: str
    offset: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def accesses(self) -> tuple[Access, ...]:
        """The bytes of the region, exactly."""
        size = DTYPES[self.dtype].bytes
        levels = sorted(((n, s * size) for n, s in zip(self.shape, self.strides) if n != 1), key=lambda level: -abs(level[1]))
        if any(n == 0 for n in self.shape):
            return ()
        return (_joined(self.memory, self.offset * size, levels, size),)


Ref = TileRef | ViewRef


def _joined(memory: str, base: int, levels: list[tuple[int, int]], run: int) -> Access:
    """An access whose innermost levels are merged into its run where they are contiguous."""
    levels = list(levels)
    while levels and levels[-1][1] == run:
        run *= levels.pop()[0]
    return Access(memory, base, tuple(levels), run)


def box_of(slayout: str, fractal: int, dtype: str) -> tuple[int, int]:
    """Rows and columns of the inner box.  (1, 1) where the tile is not boxed."""
    if slayout == "none_box":
        return 1, 1
    size = DTYPES[dtype].bytes
    if fractal == 1024:
        return 16, 16
    if fractal == 32:
        return (1, 32 // size) if slayout == "row_major" else (32 // size, 1)
    return (16, 32 // size) if slayout == "row_major" else (32 // size, 16)


@lru_cache(maxsize=4096)
def offsets(dtype: str, rows: int, cols: int, blayout: str, slayout: str, fractal: int) -> np.ndarray:
    """Element offset of every (row, col) of a tile: int64 [rows, cols]."""
    ir_, ic = box_of(slayout, fractal, dtype)
    r, c = np.arange(rows)[:, None], np.arange(cols)[None, :]
    inner = (r % ir_) * ic + c % ic if slayout == "row_major" else (c % ic) * ir_ + r % ir_
    boxes_r, boxes_c = -(-rows // ir_), -(-cols // ic)
    outer = (r // ir_) * boxes_c + c // ic if blayout == "row_major" else (c // ic) * boxes_r + r // ir_
    result = outer * (ir_ * ic) + inner
    result.flags.writeable = False
    return result


@lru_cache(maxsize=65536)
def _tile_accesses(ref: TileRef) -> tuple[Access, ...]:
    size = DTYPES[ref.dtype].bytes
    if ref.slayout == "none_box":
        if ref.blayout == "row_major":
            base, levels = ref.row * ref.cols + ref.col, [(ref.v_rows, ref.cols * size), (ref.v_cols, size)]
        else:
            base, levels = ref.col * ref.rows + ref.row, [(ref.v_cols, ref.rows * size), (ref.v_rows, size)]
        return (_joined(ref.memory, base * size, levels, size),)
    table = offsets(ref.dtype, ref.rows, ref.cols, ref.blayout, ref.slayout, ref.fractal)
    return _runs(ref.memory, table[ref.row : ref.row + ref.v_rows, ref.col : ref.col + ref.v_cols], size)


def _runs(memory: str, table: np.ndarray, size: int) -> tuple[Access, ...]:
    """Accesses that cover the elements of an offset table: maximal runs, equal runs at equal distances folded to levels."""
    flat = np.sort(table, axis=None)
    breaks = np.flatnonzero(np.diff(flat) != 1) + 1
    starts = flat[np.concatenate(([0], breaks))] * size
    lengths = np.diff(np.concatenate(([0], breaks, [flat.size]))) * size
    result, i = [], 0
    while i < len(starts):
        j = i + 1
        step = starts[j] - starts[i] if j < len(starts) else 0
        while j < len(starts) and lengths[j] == lengths[i] and starts[j] - starts[j - 1] == step:
            j += 1
        levels = ((j - i, int(step)),) if j - i > 1 else ()
        result.append(Access(memory, int(starts[i]), levels, int(lengths[i])))
        i = j
    return tuple(result)


def byte_indices(ref: Ref) -> np.ndarray:
    """Byte offset of the first byte of each element, in the ref's shape: int64."""
    size = DTYPES[ref.dtype].bytes
    if isinstance(ref, TileRef):
        table = offsets(ref.dtype, ref.rows, ref.cols, ref.blayout, ref.slayout, ref.fractal)
        part = table[ref.row : ref.row + ref.v_rows, ref.col : ref.col + ref.v_cols]
        return part * size + ref.address
    index = np.asarray(ref.offset)
    for extent, stride in zip(ref.shape, ref.strides):
        index = index[..., None] + np.arange(extent) * stride
    return index * size
