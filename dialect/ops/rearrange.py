"""Tiles rearranged: padded, transposed, joined."""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from ptoc.machine.work import Scalar, Transfer, Vector, WorkItem

from ..dtypes import DTYPES
from ..families import (
    BLOCK_BYTES,
    REPEAT_BYTES,
    S_TO_V,
    V_TO_S,
    VectorOp,
    elements_per_block,
    in_memory,
    ins_outs,
    one_dtype,
    plain,
    same_extent,
    scratch,
)
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import PADS
from ..types import TileBufType as Tile

Operand = ir.Value

BYTES_1_2_4 = tuple(name for name, d in DTYPES.items() if d.bytes in (1, 2, 4))
"""Element types of moves that look at sizes only."""


def pad_value(code: int, dtype: np.dtype) -> Any:
    """What a tile's `pad` fills with: 1 zero, 2 the largest value, 3 the smallest (infinities where the type has them)."""
    if PADS[code] == "zero":
        return dtype.type(0)
    if dtype.kind in "iu":
        return np.iinfo(dtype).max if PADS[code] == "max" else np.iinfo(dtype).min
    info = np.finfo(dtype) if dtype.kind == "f" else ml_dtypes.finfo(dtype)
    largest = dtype.type(np.inf)
    if not np.isinf(largest.astype(np.float32)):
        largest = info.max
    return largest if PADS[code] == "max" else -largest


class FillPad(VectorOp):
    """dst[i, j] = src[i, j] in src's valid part, dst's pad value elsewhere in dst's valid part.

    The pad value comes with dst's type (pad=1 zero, 2 max, 3 min); the simulator gets it as attribute `pad`.
    Source: pto-isa 3186c381, include/pto/npu/a2a3/TFillPad.hpp.
    """

    reads = ("src",)
    format = ins_outs("src")
    dtypes = BYTES_1_2_4
    copies = True

    @classmethod
    def attributes_of(cls, record: Record) -> dict[str, Any]:
        """What the meaning needs of the types."""
        return {"pad": record.tile("dst").pad}

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        src, dst = record.tile("src"), record.tile("dst")
        return {"event_ids": (V_TO_S,)} if dst.dtype.bytes == 1 and src.pad != dst.pad else {}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "dst")
        yield from plain(record, ("row_major",), "src", "dst")
        src, dst = record.tile("src"), record.tile("dst")
        if src.dtype.bytes != dst.dtype.bytes or dst.dtype.bytes > 4:
            yield f"src and dst must have elements of one size, 1, 2 or 4 bytes; got {src.dtype} and {dst.dtype}"
        if PADS[dst.pad] == "null":
            yield "dst's type must say what to fill with: pad=1 (zero), 2 (max) or 3 (min); got pad=0"
        if not cls.fits(src.rows, dst.rows) or not cls.fits(src.cols, dst.cols):
            how = "have one shape" if cls.fits(1, 1) and not cls.fits(1, 2) else "not be larger than dst"
            yield f"src must {how}; got {src.rows}x{src.cols} into {dst.rows}x{dst.cols}"
        for mine, other, what in zip(src.valid, dst.valid, ("rows", "columns")):
            if mine is not None and other is not None and mine > other:
                yield f"dst must have at least src's valid {what} {mine}; got {other}"

    @staticmethod
    def fits(src: int, dst: int) -> bool:
        """Whether a size of src goes with a size of dst."""
        return src == dst

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"]
        result = np.full(dst.shape, pad_value(attributes["pad"], dst.dtype), dst.dtype)
        result[: src.shape[0], : src.shape[1]] = src if src.dtype == dst.dtype else np.ascontiguousarray(src).view(dst.dtype)
        return {"dst": result}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        size, block = DTYPES[dst.dtype].bytes, elements_per_block(dst.dtype)
        line = -(-dst.cols * size // REPEAT_BYTES)
        whole = -(-src.v_cols // block) * block
        right = -(-(dst.cols - whole) * size // REPEAT_BYTES)
        below = -(-(dst.v_rows - src.v_rows) * dst.cols * size // REPEAT_BYTES)
        items = [Vector("vcopy", dst.dtype, src.v_rows * -(-src.cols * size // REPEAT_BYTES))] if cls.copies else []
        if whole != src.v_cols:
            items.append(Vector("vector_dup", dst.dtype, src.v_rows) if size > 1 else Scalar(src.v_rows * (whole - src.v_cols)))
        if right:
            items += [Vector("vector_dup", dst.dtype, right, bool(items)), Vector("vcopy", dst.dtype, (src.v_rows - 1) * right, True)]
        if below:
            items.append(Vector("vector_dup", dst.dtype, below))
        return tuple(items) or (Vector("vector_dup", dst.dtype, line),)


class TFillPad(FillPad, name="tfillpad"):
    """src copied into dst and padded.  Shapes: storage equal.  Source: pto-isa TFILLPAD, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TFILLPAD({dst}, {src});"


class TFillPadInplace(FillPad, name="tfillpad_inplace"):
    """src padded where it lies: dst is the same storage under a larger valid part.  Source: pto-isa TFILLPAD_INPLACE, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TFILLPAD_INPLACE({dst}, {src});"
    copies = False


class TFillPadExpand(FillPad, name="tfillpad_expand"):
    """src copied into a dst of larger storage and padded.  Source: pto-isa TFILLPAD_EXPAND, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TFILLPAD_EXPAND({dst}, {src});"

    @staticmethod
    def fits(src: int, dst: int) -> bool:
        return src <= dst


class TTrans(VectorOp, name="ttrans"):
    """dst[j, i] = src[i, j].  Shapes: src [rows, cols] row major, dst [cols, rows], tmp scratch of [cols, rows] up to whole subtiles.

    Subtiles of 16x16 (2 bytes), 16x8 (4 bytes) or 32x32 (1 byte) are turned by scatter_vnchwconv into tmp, then copied to dst; where a
    row stride is no multiple of a subtile the scalar unit moves every element.  Source: pto-isa TTRANS, A2/A3.
    """

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    reads = ("src",)
    writes = ("dst", "tmp")
    format = ins_outs("src", "tmp")
    cpp = "TTRANS({dst}, {src}, {tmp});"
    dtypes = BYTES_1_2_4
    internals = {"event_ids": (V_TO_S, S_TO_V)}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from one_dtype(record, "src", "dst")
        yield from plain(record, ("row_major",), "src", "dst")
        (rows, cols), (dst_rows, dst_cols) = record.tile("src").valid, record.tile("dst").valid
        if (None not in (rows, dst_cols) and rows != dst_cols) or (None not in (cols, dst_rows) and cols != dst_rows):
            yield f"dst must have src's columns as rows and its rows as columns; got src {rows}x{cols}, dst {dst_rows}x{dst_cols}"

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        src, dst = record.tile("src"), record.tile("dst")
        return {} if turns(src.dtype.name, src.cols, dst.cols) else cls.internals

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": np.ascontiguousarray(values["src"].T)} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        size = DTYPES[src.dtype].bytes
        if not turns(src.dtype, src.cols, dst.cols):
            return (Scalar(2 * src.v_rows * src.v_cols),)
        high = 32 if size == 1 else 16
        across, (down, rest) = -(-src.v_cols // elements_per_block(src.dtype)), divmod(src.v_rows, high)
        turn = [Vector(f"scatter_vnchwconv_b{8 * size}", src.dtype, down)] * across if down else []
        turn += [Vector(f"scatter_vnchwconv_b{8 * size}", src.dtype, across)] if rest else []
        copy = Transfer("ub_to_ub", src.v_cols, -(-src.v_rows * size // BLOCK_BYTES) * BLOCK_BYTES)
        return (*turn * (4 if size == 1 else 1), Vector(turn[0].instruction, src.dtype, 0, True), copy)


def turns(dtype: str, src_cols: int, dst_cols: int) -> bool:
    """Whether the vector engine can transpose: both row strides are whole subtiles."""
    return dst_cols % (32 if DTYPES[dtype].bytes == 1 else 16) == 0 and src_cols % elements_per_block(dtype) == 0


class TConcat(VectorOp, name="tconcat"):
    """dst[i, :] = src0[i, :] followed by src1[i, :].  Source: pto-isa TCONCAT, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    reads = ("src0", "src1")
    format = ins_outs("src0", "src1")
    cpp = "TCONCAT({dst}, {src0}, {src1});"
    dtypes = BYTES_1_2_4
    internals = {"event_ids": (V_TO_S, ("PIPE_MTE2", "PIPE_S", 0))}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from one_dtype(record, "src0", "src1", "dst")
        yield from plain(record, ("row_major",), "src0", "src1", "dst")
        yield from same_extent(record, 0, "src0", "src1", "dst")
        cols = [record.tile(n).v_cols for n in ("src0", "src1", "dst")]
        if None not in cols and cols[0] + cols[1] != cols[2]:
            yield f"dst must have as many valid columns as src0 and src1 together; got {cols[0]} + {cols[1]} and {cols[2]}"

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        first = record.tile("src0")
        aligned = first.v_cols is not None and first.v_cols % elements_per_block(first.dtype.name) == 0
        return {} if aligned else cls.internals

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": np.concatenate([values["src0"], values["src1"]], axis=1)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src0, src1 = refs["src0"], refs["src1"]
        size = DTYPES[src0.dtype].bytes
        lines = [Transfer("ub_to_ub", 1, -(-s.v_cols * size // BLOCK_BYTES) * BLOCK_BYTES) for s in (src0, src1)]
        if src0.v_cols * size % BLOCK_BYTES:
            return (*[lines[0]] * src0.v_rows, Scalar(2 * src1.v_rows * src1.v_cols))
        return (*[lines[0]] * src0.v_rows, *[lines[1]] * src1.v_rows)
