"""The types of the pto dialect: plain Python records, their `.pto` text, and the MLIR types that carry them.

An MLIR type holds the canonical short text as its one parameter (`!pto.tile_buf<"vec, 16x128xf32">`), so that equal types are one
object; `.pto` text shows it without the quotes.  `of(value.type)` gives the record, `to_mlir(record)` the type.
"""

import re
from dataclasses import dataclass, replace

from .dtypes import DTYPES, DType
from .errors import ParseError
from .mlir import ext, ir

MEMORIES = {"vec": "ub", "mat": "l1", "left": "l0a", "right": "l0b", "acc": "l0c", "bias": "bias", "scaling": "scaling"}
"""Tile location to the name of the memory that it lies in."""

LAYOUTS = ("row_major", "col_major")
FRACTALS = (16, 32, 512, 1024)
PADS = {0: "null", 1: "zero", 2: "max", 3: "min"}


class Pto(ext.Dialect, name="pto"):
    """The tile dialect."""


class PtrType(Pto.Type, name="ptr"):
    text: ir.StringAttr


class TensorViewType(Pto.Type, name="tensor_view"):
    text: ir.StringAttr


class PartitionViewType(Pto.Type, name="partition_tensor_view"):
    text: ir.StringAttr


class TileBufType(Pto.Type, name="tile_buf"):
    text: ir.StringAttr


class MultiTileBufType(Pto.Type, name="multi_tile_buf"):
    text: ir.StringAttr


class PipeType(Pto.Type, name="pipe"):
    text: ir.StringAttr


class EventIdArrayType(Pto.Type, name="eventid_array"):
    text: ir.StringAttr


class AsyncSessionType(Pto.Type, name="async_session"):
    text: ir.StringAttr


class AsyncEventType(Pto.Type, name="async_event"):
    text: ir.StringAttr


@dataclass(frozen=True)
class Opaque:
    """A type without facts of its own (async session, async event, pipe)."""

    mnemonic: str
    body: str = ""

    def __str__(self) -> str:
        return self.body


@dataclass(frozen=True)
class Ptr:
    """A pointer into global memory."""

    dtype: DType
    mnemonic = "ptr"

    def __str__(self) -> str:
        return self.dtype.name


@dataclass(frozen=True)
class View:
    """A view of global memory; None is a dynamic extent.  `mnemonic` tells a whole view from a slice of one."""

    shape: tuple[int | None, ...]
    dtype: DType
    mnemonic: str = "tensor_view"

    def __str__(self) -> str:
        return "x".join(["?" if n is None else str(n) for n in self.shape] + [self.dtype.name])


@dataclass(frozen=True)
class Tile:
    """A tile buffer: `rows` x `cols` elements of storage, `v_rows` x `v_cols` of them valid (None: known at run time)."""

    loc: str
    dtype: DType
    rows: int
    cols: int
    v_rows: int | None
    v_cols: int | None
    blayout: str = "row_major"
    slayout: str = "none_box"
    fractal: int = 512
    pad: int = 0
    compact: int = 0
    mnemonic = "tile_buf"

    @property
    def memory(self) -> str:
        """Name of the memory: ub, l1, l0a, l0b, l0c, bias, scaling."""
        return MEMORIES[self.loc]

    @property
    def bytes(self) -> int:
        """Bytes of storage."""
        return self.rows * self.cols * self.dtype.bytes

    @property
    def valid(self) -> tuple[int | None, int | None]:
        """Valid rows and columns."""
        return (self.v_rows, self.v_cols)

    def __str__(self) -> str:
        parts = [self.loc, f"{self.rows}x{self.cols}x{self.dtype}"]
        if self.valid != (self.rows, self.cols):
            parts.append("valid=" + "x".join("?" if n is None else str(n) for n in self.valid))
        for name, default in _TILE_DEFAULTS.items():
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)


@dataclass(frozen=True)
class MultiTile:
    """`count` slots of one tile type, at equal distances."""

    tile: Tile
    count: int
    mnemonic = "multi_tile_buf"

    def __str__(self) -> str:
        return f"{self.tile}, count={self.count}"


@dataclass(frozen=True)
class EventIdArray:
    """`size` event ids that are numbers at run time."""

    size: int
    mnemonic = "eventid_array"

    def __str__(self) -> str:
        return str(self.size)


PtoType = Ptr | View | Tile | MultiTile | EventIdArray | Opaque

_TILE_DEFAULTS = {"blayout": "row_major", "slayout": "none_box", "fractal": 512, "pad": 0, "compact": 0}
_MLIR = {
    cls.type_name.removeprefix("pto."): cls
    for cls in (
        PtrType,
        TensorViewType,
        PartitionViewType,
        TileBufType,
        MultiTileBufType,
        PipeType,
        EventIdArrayType,
        AsyncSessionType,
        AsyncEventType,
    )
}


def parse(mnemonic: str, body: str) -> PtoType:
    """The record of `!pto.<mnemonic><body>`.  Raises ParseError that names the part which is wrong."""
    body = body.strip()
    if mnemonic == "ptr":
        return Ptr(_dtype(body.split(",")[0]))
    if mnemonic in ("tensor_view", "partition_tensor_view"):
        *extents, dtype = body.split("x")
        return View(tuple(_extent(n) for n in extents), _dtype(dtype), mnemonic)
    if mnemonic == "tile_buf":
        return _tile(body)
    if mnemonic == "multi_tile_buf":
        return _multi_tile(body)
    if mnemonic == "eventid_array":
        return EventIdArray(_number(body, "eventid_array"))
    if mnemonic in _MLIR:
        return Opaque(mnemonic, body)
    raise ParseError(f"unknown type '!pto.{mnemonic}'; known: {', '.join(sorted(_MLIR))}")


_RECORDS: dict[tuple[str, str], PtoType] = {}


def of(type_: ir.Type) -> PtoType | DType | None:
    """The record of an MLIR type; a DType for scalars that are element types; None for index and foreign types."""
    if isinstance(type_, ir.DynamicType):
        mnemonic, text = type_.type_name.removeprefix("pto."), ir.StringAttr(type_.params[0]).value
        key = (mnemonic, text)
        if key not in _RECORDS:
            _RECORDS[key] = parse(mnemonic, text)
        return _RECORDS[key]
    return DTYPES.get(str(type_))


def to_mlir(record: PtoType | DType) -> ir.Type:
    """The MLIR type of a record, in the current context."""
    if isinstance(record, DType):
        return ir.Type.parse(record.name)
    return _MLIR[record.mnemonic].get(ir.StringAttr.get(str(record)))


def with_valid(tile: Tile, v_rows: int | None, v_cols: int | None) -> Tile:
    """The same tile with other valid sizes."""
    return replace(tile, v_rows=v_rows, v_cols=v_cols)


def _dtype(text: str) -> DType:
    name = {"f8E4M3": "f8E4M3FN", "bfloat16": "bf16", "u8": "ui8", "u16": "ui16", "u32": "ui32", "si8": "i8", "si32": "i32"}.get(
        text.strip(), text.strip()
    )
    if name not in DTYPES:
        raise ParseError(f"unknown element type '{text.strip()}'; known: {', '.join(DTYPES)}")
    return DTYPES[name]


def _number(text: str, what: str) -> int:
    if not re.fullmatch(r"\s*\d+\s*", text):
        raise ParseError(f"{what}: a number is expected; got '{text.strip()}'")
    return int(text)


def _extent(text: str) -> int | None:
    return None if text.strip() in ("?", "-1") else _number(text, "extent")


def _tile(body: str) -> Tile:
    fields = [part.strip() for part in body.split(",")]
    if fields[0].startswith("loc"):
        return _long_tile(fields)
    if len(fields) < 2:
        raise ParseError(f"tile_buf: '<loc, ROWSxCOLSxTYPE, ...>' is expected; got '<{body}>'")
    shape = fields[1].split("x")
    if len(shape) != 3:
        raise ParseError(f"tile_buf: a shape of ROWSxCOLSxTYPE is expected; got '{fields[1]}'")
    rows, cols = _number(shape[0], "rows"), _number(shape[1], "cols")
    values = {"v_rows": rows, "v_cols": cols}
    for key, value in _pairs(fields[2:]):
        if key == "valid":
            extents = value.split("x")
            if len(extents) != 2:
                raise ParseError(f"tile_buf: valid=ROWSxCOLS is expected; got 'valid={value}'")
            values["v_rows"], values["v_cols"] = (_extent(n) for n in extents)
        else:
            values[key] = value
    return _checked(fields[0], shape[2], rows, cols, values)


def _long_tile(fields: list[str]) -> Tile:
    values = dict(_pairs(fields))
    missing = [key for key in ("loc", "dtype", "rows", "cols") if key not in values]
    if missing:
        raise ParseError(f"tile_buf: '{missing[0]}=' is missing; got '<{', '.join(fields)}>'")
    rows, cols = _number(values.pop("rows"), "rows"), _number(values.pop("cols"), "cols")
    values["v_rows"], values["v_cols"] = _extent(values.pop("v_row", str(rows))), _extent(values.pop("v_col", str(cols)))
    return _checked(values.pop("loc"), values.pop("dtype"), rows, cols, values)


def _pairs(fields: list[str]) -> list[tuple[str, str]]:
    for field in fields:
        if "=" not in field:
            raise ParseError(f"tile_buf: 'key=value' is expected; got '{field}'")
    return [tuple(part.strip() for part in field.split("=", 1)) for field in fields]


def _checked(loc: str, dtype: str, rows: int, cols: int, values: dict) -> Tile:
    if loc not in MEMORIES:
        raise ParseError(f"tile_buf: unknown location '{loc}'; known: {', '.join(MEMORIES)}")
    for key in values:
        if key not in (*_TILE_DEFAULTS, "v_rows", "v_cols"):
            raise ParseError(f"tile_buf: unknown key '{key}'; known: valid, {', '.join(_TILE_DEFAULTS)}")
    blayout, slayout = values.get("blayout", "row_major"), values.get("slayout", "none_box")
    if blayout not in LAYOUTS:
        raise ParseError(f"tile_buf: blayout must be one of {', '.join(LAYOUTS)}; got '{blayout}'")
    if slayout not in ("none_box", *LAYOUTS):
        raise ParseError(f"tile_buf: slayout must be one of none_box, {', '.join(LAYOUTS)}; got '{slayout}'")
    fractal = _number(str(values.get("fractal", 512)), "fractal")
    if fractal not in FRACTALS:
        raise ParseError(f"tile_buf: fractal must be one of {', '.join(map(str, FRACTALS))}; got {fractal}")
    pad, compact = _number(str(values.get("pad", 0)), "pad"), _number(str(values.get("compact", 0)), "compact")
    if pad not in PADS:
        raise ParseError(f"tile_buf: pad must be 0 (null), 1 (zero), 2 (max) or 3 (min); got {pad}")
    v_rows, v_cols = values["v_rows"], values["v_cols"]
    if not rows or not cols:
        raise ParseError(f"tile_buf: rows and cols must be at least 1; got {rows}x{cols}")
    if (v_rows is not None and v_rows > rows) or (v_cols is not None and v_cols > cols):
        raise ParseError(f"tile_buf: the valid part {v_rows}x{v_cols} is larger than the tile {rows}x{cols}")
    return Tile(loc, _dtype(dtype), rows, cols, v_rows, v_cols, blayout, slayout, fractal, pad, compact)


def _multi_tile(body: str) -> MultiTile:
    match = re.fullmatch(r"(?:!pto\.tile_buf<(?P<long>.*)>|(?P<short>.*?))\s*,\s*count\s*=\s*(?P<count>\d+)", body, re.S)
    if not match:
        raise ParseError(f"multi_tile_buf: '<tile, count=N>' is expected; got '<{body}>'")
    count = int(match["count"])
    if count < 1:
        raise ParseError("multi_tile_buf: count must be at least 1; got 0")
    return MultiTile(_tile(match["long"] or match["short"]), count)


class NamedAttr(Pto.Attribute, name="attr"):
    """`#pto.NAME<TEXT>` and `#pto<NAME TEXT>` of the text: an address space, a pipe, a layout, a rounding mode and so on."""

    mnemonic: ir.StringAttr
    text: ir.StringAttr


def attribute(mnemonic: str, text: str) -> ir.Attribute:
    """`#pto.<mnemonic><text>` in the current context."""
    return NamedAttr.get(ir.StringAttr.get(mnemonic), ir.StringAttr.get(text))
