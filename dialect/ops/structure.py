"""Structure: tiles, views, program ids, sections.  They issue no command of their own."""

from collections.abc import Iterator, Sequence
from typing import Any, Optional

from ..layout import box_of
from ..mlir import ext, ir
from ..op import PtoOp, Record
from ..types import MultiTileBufType, PtrType, TensorViewType, Tile, TileBufType

Operand, Result, Region = ir.Value, ir.OpResult, ir.Region


def whole_boxes(tile: Tile) -> Iterator[str]:
    """The rule that a boxed tile consists of whole boxes; rows of one in UB, of one row, or of boxes of 32 bytes may be fewer.

    Source: pto-isa, include/pto/common/pto_tile.hpp (static_asserts on Rows and Cols); PTOAS, whose verifier exempts a single row too.
    """
    rows, cols = box_of(tile.slayout, tile.fractal, tile.dtype.name)
    loose = tile.loc == "vec" or tile.fractal == 32 or tile.rows == 1
    if tile.cols % cols or (tile.rows % rows and not loose):
        yield (
            f"a tile in {tile.memory} consists of whole boxes of {rows}x{cols} {tile.dtype}; got {tile.rows}x{tile.cols};"
            " take a larger tile, of which valid sizes say what is used"
        )


class AllocTile(PtoOp, name="alloc_tile"):
    """A tile buffer; `addr` is its byte address in its memory (given at level 3, else planned), valid sizes where the type has '?'.

    A boxed tile (nz, zn, zz, nn) consists of whole boxes: of 32 bytes by 16, in l0c of 16 by 16 elements.
    """

    result: Result[TileBufType]
    addr: Optional[Operand[Any]] = None
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = "(`addr` `=` $addr^)? (`valid_row` `=` $valid_row^)? (`valid_col` `=` $valid_col^)? attr-dict `:` type($result)"
    operand_types = {"addr": "i64"}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        return whole_boxes(record.types["result"])


class AllocMultiTile(PtoOp, name="alloc_multi_tile"):
    """`count` slots of one tile type; slot k lies at addr + k * bytes of one slot (rounded up to the memory's alignment)."""

    result: Result[MultiTileBufType]
    addr: Optional[Operand[Any]] = None
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = "(`addr` `=` $addr^)? (`valid_row` `=` $valid_row^)? (`valid_col` `=` $valid_col^)? attr-dict `:` type($result)"
    operand_types = {"addr": "i64"}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        return whole_boxes(record.types["result"].tile)


class MultiTileGet(PtoOp, name="multi_tile_get", traits=[ext.Pure]):
    """The tile in slot `index` (0 <= index < count) of a multi-buffered tile."""

    source: Operand[MultiTileBufType]
    index: Operand[Any]
    result: Result[TileBufType]
    format = "$source `[` $index `]` attr-dict `:` type($source) `->` type($result)"


class Subview(PtoOp, name="subview", traits=[ext.Pure]):
    """The part of a tile at (row, column) offsets with the given sizes; it shares the tile's storage.

    valid_row, valid_col: valid sizes where the result's type has '?'.
    """

    source: Operand[TileBufType]
    offsets: Sequence[Operand[Any]]
    result: Result[TileBufType]
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = (
        "$source `[` $offsets `]` `sizes` $sizes (`valid_row` `=` $valid_row^)? (`valid_col` `=` $valid_col^)?"
        " attr-dict `:` type($source) `->` type($result)"
    )


class TReshape(PtoOp, name="treshape", traits=[ext.Pure]):
    """The same bytes under another shape or element type; no command."""

    src: Operand[TileBufType]
    result: Result[TileBufType]
    format = "$src attr-dict `:` type($src) `->` type($result)"


class MakeTensorView(PtoOp, name="make_tensor_view", traits=[ext.Pure]):
    """A view of global memory at a pointer: extents and strides in elements."""

    ptr: Operand[Any]
    shape: Sequence[Operand[Any]]
    strides: Sequence[Operand[Any]]
    result: Result[TensorViewType]
    format = "$ptr `,` `shape` `=` `[` $shape `]` `,` `strides` `=` `[` $strides `]` attr-dict `:` type($result)"
    operand_types = {"ptr": lambda types: f"!pto.ptr<{types['result'].dtype}>"}


class PartitionView(PtoOp, name="partition_view", traits=[ext.Pure]):
    """A slice of a view: offsets and sizes per dimension, in elements."""

    source: Operand[Any]
    offsets: Sequence[Operand[Any]]
    sizes: Sequence[Operand[Any]]
    result: Result[Any]
    format = "$source `,` `offsets` `=` `[` $offsets `]` `,` `sizes` `=` `[` $sizes `]` attr-dict `:` type($source) `->` type($result)"


class AddPtr(PtoOp, name="addptr", traits=[ext.Pure]):
    """A pointer `offset` elements further on."""

    ptr: Operand[PtrType]
    offset: Operand[Any]
    result: Result[PtrType]
    format = "$ptr `,` $offset attr-dict `:` type($ptr) `->` type($result)"


class GetBlockIdx(PtoOp, name="get_block_idx", traits=[ext.Pure]):
    """Number of this core's block (cluster): 0 <= index < block_num."""

    result: Result[Any]
    format = "attr-dict"
    result_types = {"result": "i64"}


class GetBlockNum(PtoOp, name="get_block_num", traits=[ext.Pure]):
    """Number of blocks that the kernel was launched with."""

    result: Result[Any]
    format = "attr-dict"
    result_types = {"result": "i64"}


class GetSubblockIdx(PtoOp, name="get_subblock_idx", traits=[ext.Pure]):
    """Number of this vector core in its block: 0 or 1."""

    result: Result[Any]
    format = "attr-dict"
    result_types = {"result": "i64"}


class GetSubblockNum(PtoOp, name="get_subblock_num", traits=[ext.Pure]):
    """Number of vector cores in a block."""

    result: Result[Any]
    format = "attr-dict"
    result_types = {"result": "i64"}


class SectionCube(PtoOp, name="section_cube", traits=[ir.NoTerminatorTrait]):
    """A region that only cube cores run."""

    body: Region
    spelling = "pto.section.cube"
    format = "$body attr-dict"


class SectionVector(PtoOp, name="section_vector", traits=[ir.NoTerminatorTrait]):
    """A region that only vector cores run."""

    body: Region
    spelling = "pto.section.vector"
    format = "$body attr-dict"


ALIGNMENTS = {"ub": 32, "l1": 32, "l0a": 512, "l0b": 512, "l0c": 512, "bias": 64, "scaling": 128}
"""Bytes that a tile's address is a multiple of, by memory.  Source: CANN data-movement rules (32 B blocks; L0 by fractals of 512 B)."""


def slot_stride(tile: Tile) -> int:
    """Bytes from one slot of a multi-buffered tile to the next: its size, rounded up to its memory's alignment."""
    unit = ALIGNMENTS[tile.memory]
    return -(-tile.bytes // unit) * unit
