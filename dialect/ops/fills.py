"""Ops that make a tile from numbers: one value, a sequence, a triangle."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Scalar, Transfer, Vector, WorkItem

from ..dtypes import DTYPES, DType
from ..families import VectorOp, in_memory, of_dtype
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import row_major

Operand = ir.Value

FILLED = ("f32", "f16", "bf16", "i32", "i16", "i8", "ui32", "ui16", "ui8")


class TExpandS(VectorOp, name="texpands"):
    """dst[i, j] = scalar; a mat tile (L1) is filled whole, on MTE2.  Dtypes: all of at most 32 bits.  Source: pto-isa TEXPANDS, A2/A3."""

    scalar: Operand[Any]
    dst: Operand[Tile]
    format = "`ins` `(` $scalar `:` type($scalar) `)` `outs` `(` $dst `:` type($dst) `)` attr-dict"
    cpp = "TEXPANDS({dst}, {scalar});"
    dtypes = FILLED

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        return "MTE2" if record.tile("dst").loc == "mat" else "V"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.tile("dst").loc not in ("vec", "mat"):
            yield f"dst must be a vec or mat tile; got {record.tile('dst').loc}"
        yield from of_dtype(record, cls.dtypes, "dst")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"]
        return {"dst": np.full(dst.shape, np.asarray(values["scalar"]).astype(dst.dtype), dst.dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        if dst.memory == "l1":  # the rate of a fill is not public: as a load of as many bytes
            return (Transfer("gm_to_l1", 1, dst.rows * dst.cols * DTYPES[dst.dtype].bytes),)
        return issue.items("vector_dup", dst.dtype, issue.fill(dst))


class TCi(VectorOp, name="tci"):
    """dst[0, j] = start + j, or start - j where `descending`.  Shapes: one row.  Dtypes: i32 i16 ui32 ui16, start the same.  Source: pto-isa TCI, A2/A3.

    The scalar unit writes it element by element, without waiting for V: pipe S.
    """

    start: Operand[Any]
    dst: Operand[Tile]
    format = "`ins` `(` $start attr-dict `:` type($start) `)` `outs` `(` $dst `:` type($dst) `)`"
    cpp = "TCI<{dst.type}, {dst.dtype}, {descending|false}>({dst}, {start});"
    pipe, dtypes = "S", ("i32", "i16", "ui32", "ui16")

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        dst, start = record.tile("dst"), record.types["start"]
        if dst.rows != 1:
            yield f"dst must have one row; got {dst.rows}x{dst.cols}"
        if isinstance(start, DType) and (start.bytes != dst.dtype.bytes or start.is_float):
            yield f"start must have dst's element type {dst.dtype}; got {start}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"]
        steps = np.broadcast_to(np.arange(dst.shape[1], dtype=np.int64), dst.shape)
        return {"dst": (int(values["start"]) + (-steps if attributes.get("descending", False) else steps)).astype(dst.dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (Scalar(2 * refs["dst"].v_cols),)  # add, store


class TTri(VectorOp, name="ttri"):
    """dst[i, j] = 1 where j <= i + diagonal, else 0; with upperOrLower = 1: 1 where j >= i + diagonal.

    Shapes: [rows, cols], row-major.  Dtypes: f32 f16 i32 i16 ui32 ui16.  Source: pto-isa TTRI, A2/A3.
    """

    diagonal: Operand[Any]
    dst: Operand[Tile]
    format = "`ins` `(` $diagonal attr-dict `:` type($diagonal) `)` `outs` `(` $dst `:` type($dst) `)`"
    cpp = "TTRI<{dst.type}, {upperOrLower|0}>({dst}, {diagonal});"
    dtypes, internals = ("f32", "f16", "i32", "i16", "ui32", "ui16"), {"drained": True}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "dst")
        yield from of_dtype(record, cls.dtypes, "dst")
        yield from row_major(record, "dst")
        if record.attributes.get("upperOrLower", 0) not in (0, 1):
            yield f"upperOrLower must be 0 (lower) or 1 (upper); got {record.attributes['upperOrLower']}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"]
        i, j = np.indices(dst.shape)
        edge = i + int(values["diagonal"])
        return {"dst": (j >= edge if attributes.get("upperOrLower", 0) else j <= edge).astype(dst.dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst, diagonal = refs["dst"], refs.get("diagonal") or 0  # a number that is not known here is taken as 0
        upper = attributes.get("upperOrLower", 0)
        rows = []
        for i in range(dst.v_rows):
            rows.append((Vector("vector_dup", dst.dtype, issue.counted(dst.v_cols, dst.dtype)),))
            if i + diagonal >= 0:
                ones = min(i + diagonal + (not upper), dst.v_cols)
                rows.append((Vector("vector_dup", dst.dtype, issue.counted(ones, dst.dtype)),))
        return issue.sequence(*rows, (Vector("vector_dup", dst.dtype, 0),))
