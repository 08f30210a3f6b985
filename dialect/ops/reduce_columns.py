"""Column reductions: dst[0, j] = reduce over i of src[i, j], and the index of a column's largest or smallest element."""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import Transfer, Vector, WorkItem

from ..dtypes import DTYPES
from ..families import VectorOp, elements_per_repeat, in_memory, ins_outs, of_dtype, one_dtype, plain, same_extent, scratch
from ..layout import Ref, TileRef
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from .reduce import drain

Operand = ir.Value


class ColReduce(VectorOp):
    """dst[0, j] = f(.. f(f(src[0, j], src[1, j]), src[2, j]) ..), rounded to the tile's type after every row.

    Shapes: src [rows, cols], dst [1, cols], both row major.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TColReduceOps.hpp.
    """

    reads = ("src",)
    format = ins_outs("src")
    fold = None
    internals = {"drained": True}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from one_dtype(record, "src", "dst")
        yield from plain(record, ("row_major",), "src", "tmp", "dst")
        yield from one_row(record)

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"].copy()
        with np.errstate(all="ignore"):
            dst[0] = cls.fold.accumulate(src, axis=0, dtype=src.dtype)[-1]
        return {"dst": dst} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src = refs["src"]
        whole, rest = divmod(src.v_cols, elements_per_repeat(src.dtype))
        folds = (Vector(cls.instruction, src.dtype, whole, True),) * (src.v_rows - 1) if whole else ()
        masked = (Vector(cls.instruction, src.dtype, 1, True),) * (src.v_rows - 1) if rest else ()
        return (row_copy(src), *folds, *masked, drain(cls.instruction, src.dtype))


def one_row(record: Record) -> Iterator[str]:
    """dst has one valid row and src's columns; src is not empty."""
    if record.tile("dst").v_rows not in (None, 1):
        yield f"dst must have 1 valid row; got {record.tile('dst').v_rows}"
    if 0 in record.tile("src").valid:
        yield "src must have valid rows and columns; got an empty valid part"
    yield from same_extent(record, 1, "src", "dst")


def row_copy(src: TileRef) -> Transfer:
    """The copy of the first row that a column reduction begins with."""
    return Transfer("ub_to_ub", 1, src.v_cols * DTYPES[src.dtype].bytes)


class TColMax(ColReduce, name="tcolmax"):
    """dst[0, j] = max over i of src[i, j].  Source: pto-isa TCOLMAX, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TCOLMAX({dst}, {src});"
    fold, instruction = np.maximum, "vmax"


class TColMin(ColReduce, name="tcolmin"):
    """dst[0, j] = min over i of src[i, j].  Source: pto-isa TCOLMIN, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TCOLMIN({dst}, {src});"
    fold, instruction = np.minimum, "vmin"


class TColProd(ColReduce, name="tcolprod"):
    """dst[0, j] = product over i of src[i, j].  Source: pto-isa TCOLPROD, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TCOLPROD({dst}, {src});"
    fold, instruction = np.multiply, "vmul"


class TColSum(ColReduce, name="tcolsum"):
    """dst[0, j] = sum over i of src[i, j], from row 0 on; with `tmp` and isBinary the rows are summed in a binary tree.

    Shapes: tmp at least [rows / 2, cols].  Source: pto-isa 3186c381, include/pto/npu/a2a3/TColSum.hpp.
    """

    src: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    writes = ("dst", "tmp")
    format = ("`ins` `(` $src `,` $tmp attr-dict `:` type($src) `,` type($tmp) `)` `outs` `(` $dst `:` type($dst) `)`", ins_outs("src"))
    cpp = "TCOLSUM({dst}, {src}[, {tmp}, {isBinary|false}]);"
    fold, instruction = np.add, "vadd"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        tmp, src = record.types.get("tmp"), record.tile("src")
        if tmp is None and record.attributes.get("isBinary"):
            yield "isBinary needs a tmp tile; got none"
        if tmp is not None and record.attributes.get("isBinary"):
            if src.v_cols is not None and src.v_cols * src.dtype.bytes > tmp.cols * tmp.dtype.bytes:
                yield f"rows of tmp must hold src's {src.v_cols} columns; got {tmp.rows}x{tmp.cols}x{tmp.dtype}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        if not attributes.get("isBinary"):
            return super().evaluate(values, attributes)
        rows, dst = values["src"], values["dst"].copy()
        with np.errstate(all="ignore"):
            while len(rows) > 1:
                pairs = rows[0 : len(rows) // 2 * 2 : 2] + rows[1::2]
                if len(rows) % 2:
                    pairs[0] += rows[-1]
                rows = pairs
        dst[0] = rows[0]
        return {"dst": dst} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src = refs["src"]
        along, left = -(-src.v_cols // elements_per_repeat(src.dtype)), src.v_rows
        if not attributes.get("isBinary"):
            return (row_copy(src), *(Vector("vadd", src.dtype, along, True),) * (left - 1), drain("vadd", src.dtype))
        result: list[WorkItem] = []
        while left > 1:
            pairs = [Vector("vadd", src.dtype, along)] * (left // 2) + [Vector("vadd", src.dtype, along, True)] * (left % 2)
            result += [pairs[0]._replace(barrier=bool(result)), *pairs[1:]]
            left //= 2
        return (*result, drain("vadd", src.dtype), row_copy(src), drain("vadd", src.dtype))


class ColArg(VectorOp):
    """dst[0, j] = the first i at which src[i, j] is a column's `pick`.  Shapes: src [rows, cols], dst [1, cols] of i32 or ui32, tmp scratch.

    Source: pto-isa 3186c381, include/pto/npu/a2a3/TColReduceIdx.hpp.
    """

    reads = ("src",)
    writes = ("dst", "tmp")
    format = ins_outs("src", "tmp")
    dtypes = ("f32", "f16", "ui32", "ui16")
    pick, keep = None, ""
    internals = {"drained": True}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "tmp", "dst")
        yield from of_dtype(record, cls.dtypes, "src")
        yield from of_dtype(record, ("i32", "ui32"), "dst")
        yield from one_dtype(record, "src", "tmp")
        yield from plain(record, ("row_major", "col_major"), "src")
        yield from plain(record, ("row_major",), "dst")
        yield from one_row(record)

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"].copy()
        dst[0] = cls.pick(values["src"], axis=0)
        return {"dst": dst} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src = refs["src"]
        dtype, per_repeat = src.dtype, elements_per_repeat(src.dtype)
        row = (Vector("vadds", dtype, 1, True), Vector("vcmpv", dtype, 1), Vector("vsel", dtype, 1, True), Vector(cls.keep, dtype, 1))
        widen = (Vector("vconv", dtype, 1, True), Vector("vconv", dtype, 2, True)) if DTYPES[dtype].bytes == 2 else ()
        result: list[WorkItem] = []
        for first in range(0, src.v_cols, per_repeat):
            part = min(per_repeat, src.v_cols - first)
            copy = Transfer("ub_to_ub", 1, 256) if part == per_repeat else Vector("vcopy", dtype, 1)
            result += [Vector("vector_dup", dtype, 1, bool(result)), Vector("vector_dup", dtype, 1), copy, *row * (src.v_rows - 1), *widen]
        return (*result, drain(cls.keep, dtype))


class TColArgMax(ColArg, name="tcolargmax"):
    """dst[0, j] = the first row that holds the largest element of column j.  Source: pto-isa TCOLARGMAX, A2/A3."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TCOLARGMAX({dst}, {src}, {tmp});"
    pick, keep = np.argmax, "vmax"


class TColArgMin(ColArg, name="tcolargmin"):
    """dst[0, j] = the first row that holds the smallest element of column j.  Source: pto-isa TCOLARGMIN, A2/A3."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TCOLARGMIN({dst}, {src}, {tmp});"
    pick, keep = np.argmin, "vmin"
