"""Row expansion: a column spread over a tile, alone or as one side of an elementwise operation."""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import Scalar, Vector, WorkItem

from ..dtypes import DTYPES
from ..families import (
    BLOCK_BYTES,
    REPEAT_BYTES,
    S_TO_V,
    V_TO_S,
    VectorOp,
    elements_per_block,
    elements_per_repeat,
    in_memory,
    ins_outs,
    of_dtype,
    one_dtype,
    plain,
    repeats_of,
    same_extent,
    scratch,
)
from ..layout import Ref, TileRef
from ..mlir import ir
from ..op import Record
from ..types import Tile as TileType
from ..types import TileBufType as Tile
from .elementwise import TAdd, TDiv, TMax, TMin, TMul, TSub, larger, smaller

Operand = ir.Value

WITH_TMP = "`ins` `(` $src0 `,` $src1 (`,` $tmp^)? `:` type($src0) `,` type($src1) (`,` type($tmp)^)? `)` `outs` `(` $dst `:` type($dst) `)` attr-dict"
FLOATS = ("f32", "f16")


class RowExpandBinary(VectorOp):
    """dst[i, j] = f(src0[i, j], src1[i, j mod w]): one source has dst's shape, the other is a column.

    Shapes: dst [rows, cols] row major; the column is col_major [rows, 1], or row_major [rows, 32 bytes] (w = its width) where every row
    holds the value 8 or 16 times.  Without `tmp` a col_major column is spread through library scratch at 184 KiB of UB.
    Source: pto-isa 3186c381, include/pto/npu/a2a3/TRowExpandBinOp.hpp.
    """

    reads = ("src0", "src1")
    writes = ("dst", "tmp")
    format = WITH_TMP
    numpy = None
    internals = {"ub_scratch": True}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src0", "src1", "tmp", "dst")
        yield from of_dtype(record, cls.dtypes, "dst")
        yield from one_dtype(record, "src0", "src1", "dst")
        yield from same_extent(record, 0, "src0", "src1", "dst")
        wide, column = cls.sides(record.tile("src0"), record.tile("src1"), record.tile("dst"))
        yield from plain(record, ("row_major",), "dst", wide)
        yield from same_extent(record, 1, wide, "dst")
        yield from column_rules(record, column, "tmp" in record.operands)

    @staticmethod
    def sides(src0: TileType | TileRef, src1: TileType | TileRef, dst: TileType | TileRef) -> tuple[str, str]:
        """Names of the source that has dst's shape and of the column."""
        first, second = ((t.v_rows, t.v_cols) == (dst.v_rows, dst.v_cols) and t.blayout == "row_major" for t in (src0, src1))
        swapped = second and (not first or src0.cols < src1.cols)
        return ("src1", "src0") if swapped else ("src0", "src1")

    @classmethod
    def expanded(cls, record: Record) -> str:
        return cls.sides(*(record.tile(n) for n in ("src0", "src1", "dst")))[1]

    @classmethod
    def scratch_bytes(cls, record: Record) -> int:
        """A block for each row, in groups of 8 rows, of at most 240."""
        return min(240, -(-record.tile("dst").rows // 8) * 8) * BLOCK_BYTES

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        _, column = cls.sides(record.tile("src0"), record.tile("src1"), record.tile("dst"))
        return {"ub_scratch": True} if "tmp" not in record.operands and record.tile(column).blayout == "col_major" else {}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"]
        sources = (values[n][:, np.arange(dst.shape[1]) % values[n].shape[1]] for n in cls.reads)
        with np.errstate(all="ignore"):
            return {"dst": cls.numpy(*sources).astype(dst.dtype, copy=False)} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        wide, column = cls.sides(refs["src0"], refs["src1"], refs["dst"])
        dst = refs["dst"]
        if refs[column].blayout == "row_major":
            return expand_rows(cls.instruction, refs[wide], dst, dst.v_rows)
        if dst.v_rows < 256:
            return (Vector("vbrcb", dst.dtype, -(-dst.v_rows // 8)), *behind_barrier(expand_rows(cls.instruction, refs[wide], dst, dst.v_rows)))
        result = []
        for rows in [240] * (dst.v_rows // 240) + [dst.v_rows % 240] * (dst.v_rows % 240 > 0):  # scratch holds 240 rows
            result += [Vector("vbrcb", dst.dtype, -(-rows // 8), bool(result)), *behind_barrier(expand_rows(cls.instruction, refs[wide], dst, rows))]
        return tuple(result)


def column_rules(record: Record, name: str, has_tmp: bool) -> Iterator[str]:
    """The column is col_major with 1 valid column, or (without tmp) row_major with 32 bytes of them."""
    tile = record.tile(name)
    block = elements_per_block(tile.dtype.name)
    if tile.slayout != "none_box":
        yield f"{name} must be unboxed (slayout=none_box); got slayout={tile.slayout}"
    elif tile.blayout == "col_major" and tile.v_cols not in (None, 1):
        yield f"{name}, a col_major column, must have 1 valid column; got {tile.v_cols}"
    elif tile.blayout == "row_major" and has_tmp:
        yield f"{name} must be col_major with 1 column where tmp is given; got row_major"
    elif tile.blayout == "row_major" and tile.v_cols not in (None, block):
        yield f"{name} must have the shape of dst, or be a column: col_major with 1 valid column or row_major with {block} (32 bytes); got {tile.v_cols}"


def expand_rows(instruction: str, wide: TileRef, dst: TileRef, rows: int) -> tuple[WorkItem, ...]:
    """Per row in count mode; else one instruction for each repeat along the columns, over all rows.  The column is one block: no bank conflict."""
    per_repeat, block = elements_per_repeat(dst.dtype), elements_per_block(dst.dtype)
    whole, rest = divmod(dst.v_cols, per_repeat)
    far = max(dst.cols, wide.cols) // block > 255
    if dst.v_rows < 256 and (far or whole > dst.v_rows):
        return (Vector(instruction, dst.dtype, whole + (rest > 0), conflict=False),) * rows
    if min(dst.cols, wide.cols) < per_repeat:
        return (Vector(instruction, dst.dtype, rows, conflict=False),)
    parts = [255] * (rows // 255) + [rows % 255] * (rows % 255 > 0)
    return tuple(Vector(instruction, dst.dtype, n, conflict=False) for n in parts) * (whole + (rest > 0))


def behind_barrier(items: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
    """The items with a PIPE_V barrier before the first."""
    return (items[0]._replace(barrier=True), *items[1:])


def expdif(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """exp(a - b), the difference rounded to the tile's type as the engine writes it."""
    return np.exp((a - b).astype(np.float64))


class TRowExpandSub(RowExpandBinary, name="trowexpandsub"):
    """dst[i, j] = src0[i, j] - src1[i, 0].  Source: pto-isa TROWEXPANDSUB, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    fused = ("row", TSub)
    cpp = "TROWEXPANDSUB({dst}, {src0}, {src1}[, {tmp}]);"
    numpy, instruction = np.subtract, "vsub"


class TRowExpandMul(RowExpandBinary, name="trowexpandmul"):
    """dst[i, j] = src0[i, j] * src1[i, 0].  Source: pto-isa TROWEXPANDMUL, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    fused = ("row", TMul)
    cpp = "TROWEXPANDMUL({dst}, {src0}, {src1}[, {tmp}]);"
    numpy, instruction = np.multiply, "vmul"


class TRowExpandDiv(RowExpandBinary, name="trowexpanddiv"):
    """dst[i, j] = src0[i, j] / src1[i, 0].  Source: pto-isa TROWEXPANDDIV, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    fused = ("row", TDiv)
    cpp = "TROWEXPANDDIV({dst}, {src0}, {src1}[, {tmp}]);"
    numpy, instruction, dtypes = np.divide, "vdiv", FLOATS


class TRowExpandAdd(RowExpandBinary, name="trowexpandadd"):
    """dst[i, j] = src0[i, j] + src1[i, 0].  Source: pto-isa TROWEXPANDADD, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    fused = ("row", TAdd)
    cpp = "TROWEXPANDADD({dst}, {src0}, {src1}[, {tmp}]);"
    numpy, instruction = np.add, "vadd"


class TRowExpandMax(RowExpandBinary, name="trowexpandmax"):
    """dst[i, j] = max(src0[i, j], src1[i, 0]).  Source: pto-isa TROWEXPANDMAX, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    fused = ("row", TMax)
    cpp = "TROWEXPANDMAX({dst}, {src0}, {src1}[, {tmp}]);"
    numpy, instruction = staticmethod(larger), "vmax"


class TRowExpandMin(RowExpandBinary, name="trowexpandmin"):
    """dst[i, j] = min(src0[i, j], src1[i, 0]).  Source: pto-isa TROWEXPANDMIN, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    fused = ("row", TMin)
    cpp = "TROWEXPANDMIN({dst}, {src0}, {src1}[, {tmp}]);"
    numpy, instruction = staticmethod(smaller), "vmin"


class TRowExpandExpdif(RowExpandBinary, name="trowexpandexpdif"):
    """dst[i, j] = exp(src0[i, j] - src1[i, 0]): a difference into dst, a barrier, dst's exponential.  Source: pto-isa TROWEXPANDEXPDIF, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    cpp = "TROWEXPANDEXPDIF({dst}, {src0}, {src1}[, {tmp}]);"
    numpy, instruction, dtypes = expdif, "vsub", FLOATS

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (*super().work(refs, attributes), Vector("vexp", refs["dst"].dtype, repeats_of(refs["dst"]), True))


class TRowExpand(VectorOp, name="trowexpand"):
    """dst[i, j] = src[i, 0].  Shapes: src [rows, any], dst [rows, cols] row major.  Source: pto-isa TROWEXPAND, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    reads, spread = ("src",), "row"
    format = ins_outs("src")
    cpp = "TROWEXPAND({dst}, {src});"
    dtypes = tuple(name for name, d in DTYPES.items() if d.bytes in (1, 2, 4))
    internals = {"event_ids": (V_TO_S, S_TO_V)}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from one_dtype(record, "src", "dst")
        yield from plain(record, ("row_major", "col_major"), "src")
        yield from plain(record, ("row_major",), "dst")
        yield from same_extent(record, 0, "src", "dst")

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        return {} if broadcasts(record.tile("src"), record.tile("dst"), record.tile("dst").dtype.name) else cls.internals

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": np.repeat(values["src"][:, :1], values["dst"].shape[1], axis=1)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        if broadcasts(src, dst, dst.dtype):
            repeats = src.rows // 8
            return tuple(Vector("vbrcb", dst.dtype, n) for n in [254] * (repeats // 254) + [repeats % 254] * (repeats % 254 > 0))
        return (Scalar(1), Vector("vector_dup", dst.dtype, -(-dst.v_cols * DTYPES[dst.dtype].bytes // REPEAT_BYTES))) * dst.v_rows


def broadcasts(src: TileType | TileRef, dst: TileType | TileRef, dtype: str) -> bool:
    """A full column spread over blocks of 32 bytes: one vbrcb, no scalar part."""
    full = all((t.v_rows, t.v_cols) == (t.rows, t.cols) for t in (src, dst))
    return full and src.blayout == "col_major" and src.cols == 1 and DTYPES[dtype].bytes > 1 and dst.cols == elements_per_block(dtype)
