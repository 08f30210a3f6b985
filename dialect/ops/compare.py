"""Comparisons and selections.  A mask is bits: bit j % 8 of byte j // 8 of a row tells column j; each row begins at its own row of the mask tile."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Scalar, Vector, WorkItem

from ..families import S_TO_V, arch_of, in_memory, of_dtype, one_dtype, same_extent
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import FLOATS, ON_A5, Pointwise, apart, row_major, scratch_of

Operand = ir.Value

COMPARISONS = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
"""Comparison modes by their `.pto` spelling.  Source: pto-isa 3186c381, include/pto/common/type.hpp (CmpMode)."""

MOST_COMPARED = 240
"""Repeats of one comparison.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TCmp.hpp (TCMP_REPEAT_MAX)."""


def mode_of(attributes: dict[str, Any]) -> str:
    """The comparison; eq where none is written."""
    return str(attributes.get("cmpMode", "eq")).lower()


def packed(bits: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """Booleans [rows, cols] as mask bytes in an array like dst; bytes behind the last are 0."""
    rows = np.zeros((dst.shape[0], dst.shape[1] * dst.itemsize), np.uint8)
    data = np.packbits(bits, axis=1, bitorder="little")[:, : rows.shape[1]]
    rows[:, : data.shape[1]] = data
    return rows.view(dst.dtype)


def unpacked(mask: np.ndarray, cols: int) -> np.ndarray:
    """The first `cols` bits of every row of a mask."""
    return np.unpackbits(np.ascontiguousarray(mask).view(np.uint8), axis=1, bitorder="little")[:, :cols].astype(bool)


class Compare(Pointwise):
    """dst = bits of (src[i, j] ? other[i, j]); dst holds 8 columns in a byte."""

    instruction, sources = "", ()

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", *cls.sources, "dst")
        a5 = arch_of(record) == "a5"
        yield from of_dtype(record, ON_A5 if a5 else cls.dtypes, *cls.sources)
        yield from of_dtype(record, ("i8", "ui8", "i32", "ui32") if a5 else ("i8", "ui8"), "dst")
        yield from one_dtype(record, *cls.sources)
        yield from same_extent(record, 0, *cls.sources, "dst")
        yield from same_extent(record, 1, *cls.sources)
        mode = mode_of(record.attributes)
        if mode not in COMPARISONS:
            yield f"cmpMode must be one of {' '.join(COMPARISONS)}; got {mode}"
        elif not a5 and record.tile(cls.sources[0]).dtype.name == "i32" and mode not in ("eq", "ne"):
            yield f"i32 can only be compared with eq or ne on a3, the engine has no other; got {mode}: convert to f32 first"
        src, dst = record.tile(cls.sources[0]), record.tile("dst")
        if None not in (src.v_cols, dst.v_cols) and dst.v_cols * dst.dtype.bytes * 8 < src.v_cols:
            yield f"dst must have at least {-(-src.v_cols // 8)} valid bytes a row, one bit for each column of the source; got {dst.v_cols}x{dst.dtype}"

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs[cls.sources[0]], refs["dst"]
        whole, rest = divmod(issue.counted(src.v_cols, src.dtype), MOST_COMPARED)
        row = [MOST_COMPARED] * whole + [rest] * (rest > 0)
        bits = issue.items(cls.instruction, src.dtype, row * src.v_rows)
        if mode_of(attributes) != "ne":
            return bits
        return issue.sequence(bits, (Vector("vnot", "ui16", issue.counted(dst.v_rows * dst.cols, dst.dtype)),))


class TCmp(Compare, name="tcmp"):
    """dst = bits of src0[i, j] <cmpMode> src1[i, j].  Shapes: sources equal, dst [rows, cols / 8].  Dtypes: f32 f16 i32, dst bytes.  Source: pto-isa TCMP, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    reads = sources = ("src0", "src1")
    format = "`ins` `(` $src0 `,` $src1 attr-dict `:` type($src0) `,` type($src1) `)` `outs` `(` $dst `:` type($dst) `)`"
    enums = {"cmpMode": "cmp"}
    cpp = "TCMP({dst}, {src0}, {src1}, {cmpMode|CmpMode::EQ});"
    instruction, dtypes = "vcmpv", ("f32", "f16", "i32")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": packed(COMPARISONS[mode_of(attributes)](values["src0"], values["src1"]), values["dst"])}


class TCmpS(Compare, name="tcmps"):
    """dst = bits of src[i, j] <cmpMode> scalar.  Shapes: src [rows, cols], dst [rows, cols / 8].  Source: pto-isa TCMPS, A2/A3.

    Dtypes: f32 f16 i32, dst bytes; i16 and ui16 only for equality, since the engine compares their bits as f16.
    """

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    reads = sources = ("src",)
    format = "`ins` `(` $src `,` $scalar attr-dict `:` type($src) `,` type($scalar) `)` `outs` `(` $dst `:` type($dst) `)`"
    enums = {"cmpMode": "cmp"}
    cpp = "TCMPS({dst}, {src}, {scalar}, {cmpMode|CmpMode::EQ});"
    instruction, dtypes = "vcmpvs", ("f32", "f16", "i32", "i16", "ui16")

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        dtype, mode = record.tile("src").dtype.name, mode_of(record.attributes)
        if dtype in ("i16", "ui16") and mode not in ("eq", "ne") and arch_of(record) != "a5":
            yield f"{dtype} can only be compared with eq or ne on a3, which reads the bits as f16; got {mode}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src = values["src"]
        return {"dst": packed(COMPARISONS[mode_of(attributes)](src, np.asarray(values["scalar"]).astype(src.dtype)), values["dst"])}


class Select(Pointwise):
    """dst[i, j] = one of two by bit j of row i of the mask."""

    writes, scratch = ("dst", "tmp"), ("tmp",)
    dtypes, chosen = ("f32", "f16", "bf16", "i32", "i16", "ui32", "ui16"), ()

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        tiles = (*cls.chosen, "dst")
        yield from in_memory(record, "vec", *tiles, "mask", "tmp")
        yield from of_dtype(record, cls.dtypes if arch_of(record) != "a5" else ON_A5, *tiles)
        yield from one_dtype(record, *tiles)
        yield from row_major(record, *tiles)
        for axis in (0, 1):
            yield from same_extent(record, axis, *tiles)
        mask, dst = record.tile("mask"), record.tile("dst")
        if None not in (mask.v_cols, dst.v_cols) and mask.v_cols * mask.dtype.bytes * 8 < dst.v_cols:
            yield f"mask must have one bit for each of dst's {dst.v_cols} columns; got {mask.v_cols}x{mask.dtype}"


class TSel(Select, name="tsel"):
    """dst[i, j] = src0[i, j] where bit j of mask's row i is 1, else src1[i, j].

    Shapes: src0, src1, dst equal; mask [rows, cols / 8] bytes; tmp 32 bytes.  Dtypes: 16 and 32 bit.  Source: pto-isa TSEL, A2/A3.
    """

    mask: Operand[Tile]
    src0: Operand[Tile]
    src1: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    reads, chosen = ("mask", "src0", "src1"), ("src0", "src1")
    format = (
        "`ins` `(` $mask `,` $src0 `,` $src1 `,` $tmp `:` type($mask) `,` type($src0) `,` type($src1) `,` type($tmp) `)`"
        " `outs` `(` $dst `:` type($dst) `)` attr-dict"
    )
    cpp = "TSEL({dst}, {mask}, {src0}, {src1}, {tmp});"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src0, src1 = values["src0"], values["src1"]
        return scratch_of(cls, values) | {"dst": np.where(unpacked(values["mask"], src0.shape[1]), src0, src1)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return selection(refs["dst"])


def selection(dst: Ref) -> tuple[WorkItem, ...]:
    """Per row: the mask's address to scratch, set_cmpmask (only its barriers have a price), select."""
    lane = "f32" if issue.DTYPES[dst.dtype].bytes == 4 else "f16"
    row = issue.sequence((Vector("vector_dup", "ui32", 1),), (Vector("vsel", lane, 0),), (Vector("vsel", lane, issue.counted(dst.v_cols, dst.dtype)),))
    return row * dst.v_rows


class TSelS(Select, name="tsels"):
    """dst[i, j] = src[i, j] where bit j of mask's row i is 1, else scalar.

    Shapes: src, dst equal; mask [rows, cols / 8] bytes; tmp 32 bytes.  Dtypes: 16 and 32 bit.  Source: pto-isa TSELS, A2/A3.
    """

    mask: Operand[Tile]
    src: Operand[Tile]
    tmp: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    reads, chosen = ("mask", "src"), ("src",)
    format = (
        "`ins` `(` $mask `,` $src `,` $tmp `,` $scalar `:` type($mask) `,` type($src) `,` type($tmp) `,` type($scalar) `)`"
        " `outs` `(` $dst `:` type($dst) `)` attr-dict"
    )
    cpp = "TSELS({dst}, {mask}, {src}, {tmp}, {scalar});"
    internals = {"event_ids": (S_TO_V,)}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src = values["src"]
        chosen = np.where(unpacked(values["mask"], src.shape[1]), src, np.asarray(values["scalar"]).astype(src.dtype))
        return scratch_of(cls, values) | {"dst": chosen}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        lane = "f32" if issue.DTYPES[dst.dtype].bytes == 4 else "f16"
        rows = issue.items("vsel", lane, [issue.counted(dst.v_cols, dst.dtype)] * dst.v_rows)
        return (Scalar(1), *issue.after_barrier(rows))


class TPRelu(Pointwise, name="tprelu"):
    """dst[i, j] = src0[i, j] where that is positive, else src0[i, j] * src1[i, j].

    Shapes: src0, src1, dst equal; tmp bytes, with more rows than dst, for the comparison bits.  Dtypes: f16 f32.  Source: pto-isa TPRELU, A2/A3.
    """

    src0: Operand[Tile]
    src1: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    reads, writes, scratch, distinct = ("src0", "src1"), ("dst", "tmp"), ("tmp",), ("src0", "src1", "tmp")
    format = (
        "`ins` `(` $src0 `,` $src1 `,` $tmp `:` type($src0) `,` type($src1) `,` type($tmp) `)` `outs` `(` $dst `:` type($dst) `)` attr-dict"
    )
    cpp = "TPRELU({dst}, {src0}, {src1}, {tmp});"
    numpy, dtypes = staticmethod(lambda a, b: np.where(a > 0, a, a * b)), FLOATS

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from of_dtype(record, ("ui8", "i8"), "tmp")
        yield from apart(record, "tmp", "src0", "src1")
        tmp, dst = record.tile("tmp"), record.tile("dst")
        if None not in (tmp.v_rows, dst.v_rows) and tmp.v_rows <= dst.v_rows and arch_of(record) != "a5":
            yield f"tmp must have more valid rows than dst's {dst.v_rows}: the last one is the selection's scratch; got {tmp.v_rows}"

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst, src0 = refs["dst"], refs["src0"]
        products = issue.items("vmul", dst.dtype, issue.binary(dst, src0, refs["src1"]))
        positive = issue.items("vcmpvs", dst.dtype, [issue.counted(dst.v_cols, dst.dtype)] * dst.v_rows)
        return issue.sequence(products, positive, selection(dst))
