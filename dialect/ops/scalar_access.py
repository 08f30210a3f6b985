"""What the scalar unit does: single elements of tiles and of global memory, sizes, printing."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Scalar, WorkItem

from ..dtypes import DTYPES
from ..families import in_memory
from ..layout import Ref, TileRef, ViewRef
from ..mlir import ir
from ..op import PtoOp, Record
from ..types import Ptr, PtrType
from ..types import TileBufType as Tile
from .structure import Subview, TReshape

Operand, Result = ir.Value, ir.OpResult


class ScalarOp(PtoOp):
    """Ops of the scalar unit; `operations` is their price."""

    pipe = "S"
    operations = 1

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (Scalar(cls.operations),)


def element(tile: TileRef, offset: int) -> TileRef:
    """The one element at a flat index of a tile's storage."""
    row, col = divmod(offset, tile.cols) if tile.blayout == "row_major" else reversed(divmod(offset, tile.rows))
    return tile._replace(row=tile.row + row, col=tile.col + col, v_rows=1, v_cols=1)


def unboxed_vec(record: Record, name: str) -> Iterator[str]:
    """A flat index has a meaning in an unboxed tile of UB."""
    yield from in_memory(record, "vec", name)
    if record.tile(name).slayout != "none_box":
        yield f"{name} must be unboxed (slayout=none_box); got slayout={record.tile(name).slayout}"


class TGetVal(ScalarOp, name="tgetval"):
    """dst = the element at flat index `offset` of src's storage.  Source: pto-isa, Tile::GetValue."""

    src: Operand[Tile]
    offset: Operand[Any]
    dst: Result[Any]
    reads = ("src",)
    format = "`ins` `(` $src `,` $offset `:` type($src) `,` type($offset) `)` `outs` `:` type($dst) attr-dict"
    cpp = "{dst.type} {dst} = {src}.GetValue({offset});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from unboxed_vec(record, "src")
        if record.types["dst"] != record.tile("src").dtype:
            yield f"the result must have src's element type {record.tile('src').dtype}; got {record.results['dst'].type}"

    @classmethod
    def narrow(cls, operands: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
        """The same command on the one element."""
        return operands | {"src": element(operands["src"], operands["offset"]), "offset": 0}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": values["src"].reshape(-1)[int(values["offset"])]}


class TSetVal(ScalarOp, name="tsetval"):
    """The element at flat index `offset` of dst's storage = val; the others stay.  Source: pto-isa, Tile::SetValue."""

    dst: Operand[Tile]
    offset: Operand[Any]
    val: Operand[Any]
    reads = ("dst",)
    writes = ("dst",)
    partial = ("dst",)
    format = "`ins` `(` $offset `,` $val `:` type($offset) `,` type($val) `)` `outs` `(` $dst `:` type($dst) `)` attr-dict"
    cpp = "{dst}.SetValue({offset}, {val});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from unboxed_vec(record, "dst")
        if record.types["val"] not in (None, record.tile("dst").dtype):
            yield f"val must have dst's element type {record.tile('dst').dtype}; got {record.types['val']}"

    @classmethod
    def narrow(cls, operands: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
        """The same command on the one element."""
        return operands | {"dst": element(operands["dst"], operands["offset"]), "offset": 0}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        result = values["dst"].copy()
        result.reshape(-1)[int(values["offset"])] = values["val"]
        return {"dst": result}


class GlobalScalar(ScalarOp):
    """One element of global memory, `offset` elements behind a pointer."""

    operations = 2

    @classmethod
    def attributes_of(cls, record: Record) -> dict[str, Any]:
        """What the meaning needs of the types."""
        return {"dtype": record.types["ptr"].dtype.name}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        ptr, value = record.types["ptr"], record.types["value"]
        if not isinstance(ptr, Ptr):
            yield f"ptr must be a pointer into global memory; got {ptr}"
        elif value != ptr.dtype:
            yield f"value must have the pointer's element type {ptr.dtype}; got {value}"

    @classmethod
    def narrow(cls, operands: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
        """The pointer as the one element that it names."""
        size, pointer = DTYPES[attributes["dtype"]].bytes, operands["ptr"]
        at = pointer.offset // size + operands["offset"]
        return operands | {"ptr": ViewRef(pointer.name, at, attributes["dtype"], (1,), (1,)), "offset": 0}


class LoadScalar(GlobalScalar, name="load_scalar"):
    """value = ptr[offset].  The scalar unit reads through its data cache.  Source: PTOAS, load_scalar."""

    ptr: Operand[PtrType]
    offset: Operand[Any]
    value: Result[Any]
    reads = ("ptr",)
    format = "$ptr `[` $offset `]` attr-dict `:` type($ptr) `->` type($value)"
    cpp = "{value.type} {value} = *({ptr} + {offset});"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"value": values["ptr"].reshape(-1)[int(values["offset"])]}


class StoreScalar(GlobalScalar, name="store_scalar"):
    """ptr[offset] = value.  Source: PTOAS, store_scalar."""

    ptr: Operand[PtrType]
    offset: Operand[Any]
    value: Operand[Any]
    reads = ("ptr",)
    writes = ("ptr",)
    partial = ("ptr",)
    format = "$value `,` $ptr `[` $offset `]` attr-dict `:` type($ptr) `,` type($value)"
    cpp = "*({ptr} + {offset}) = {value};"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        result = values["ptr"].copy()
        result.reshape(-1)[int(values["offset"])] = values["value"]
        return {"ptr": result}


class SetValidShape(PtoOp, name="set_validshape"):
    """From here on the tile has valid_row x valid_col valid elements.  Its type must have '?' for both.  No command."""

    source: Operand[Tile]
    valid_row: Operand[Any]
    valid_col: Operand[Any]
    format = "$source `,` $valid_row `,` $valid_col attr-dict `:` type($source)"
    cpp = "{source}.RowMaskInternal = {valid_row}; {source}.ColMaskInternal = {valid_col};"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.tile("source").valid != (None, None):
            yield f"the tile must have valid=?x?; got {record.tile('source')}"


class GetTensorViewDim(PtoOp, name="get_tensor_view_dim"):
    """The extent of a view along a dimension, counted from 0.  No command."""

    tensor_view: Operand[Any]
    dim_index: Operand[Any]
    result: Result[Any]
    format = "$tensor_view `,` $dim_index `:` type($tensor_view) `->` type($result) attr-dict"
    cpp = "{result.type} {result} = {tensor_view}.GetShape({dim_index});"


class Bitcast(TReshape, name="bitcast"):
    """The same bytes under another element type of the same size.  No command."""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        src, result = record.tile("src"), record.tile("result")
        if (src.rows, src.cols, src.loc, src.dtype.bytes) != (result.rows, result.cols, result.loc, result.dtype.bytes):
            yield f"only the element type may change, to one of the same size; got {src} and {result}"


class Subset(Subview, name="subset"):
    """The older spelling of subview: the part of a tile at (row, column) offsets with the given sizes; it shares the tile's storage."""


class TAssign(PtoOp, name="tassign"):
    """The tile at byte address `addr` of its memory (level 3 only).  No command.  Source: pto-isa TASSIGN."""

    tile: Operand[Tile]
    addr: Operand[Any]
    result: Result[Tile]
    operand_types = {"addr": "i64"}
    format = "$tile `,` $addr attr-dict `:` type($tile) `->` type($result)"
    cpp = "{result.type} {result}; TASSIGN({result}, {addr});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.tile("tile") != record.tile("result"):
            yield f"the result must have the tile's type; got {record.tile('tile')} and {record.tile('result')}"


class TPrint(ScalarOp, name="tprint"):
    """Prints a tile of UB on the device; no effect on the program.  Source: pto-isa TPRINT."""

    src: Operand[Tile]
    reads = ("src",)
    format = "`ins` `(` $src `:` type($src) `)` attr-dict"
    cpp = "TPRINT({src});"


class Print(ScalarOp, name="print"):
    """Prints a number on the device by a printf `format`; no effect on the program."""

    scalar: Operand[Any]
    format = "`ins` `(` $format `,` $scalar `:` type($scalar) `)` attr-dict"
    cpp = 'cce::printf("{format}", {scalar});'


class Trap(ScalarOp, name="trap"):
    """Stops the core.  A run that reaches it fails on the device; the simulator goes on."""

    format = "attr-dict"
    cpp = "trap();"
