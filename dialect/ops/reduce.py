"""Row reductions: dst[i, 0] = reduce over j of src[i, j], and the index of a row's largest or smallest element."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Scalar, Transfer, Vector, WorkItem

from ..families import (
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
    same_extent,
    scratch,
)
from ..layout import Ref, TileRef
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile

Operand = ir.Value

MOST_REPEATS = 255
"""Repeats of one instruction.  Source: pto-isa 3186c381, include/pto/common/constants.hpp (REPEAT_MAX)."""


class RowReduce(VectorOp):
    """dst[i, 0] = f(.. f(f(src[i, 0], src[i, 1]), src[i, 2]) ..).

    Shapes: src [rows, cols], dst [rows, 1], tmp scratch of src's type with at least one repeat (256 bytes) a row.  `fold` is f, `wide`
    the type that f16 is folded in.  The engine folds columns that lie a repeat apart first, so float sums differ in their last bits.
    """

    reads = ("src",)
    writes = ("dst", "tmp")
    format = ins_outs("src", "tmp")
    fold = None
    wide = np.float16
    binary, reduce, group = "", "", ""
    internals = {"drained": True}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from row_reduce_rules(cls, record, "src", "dst")
        yield from one_dtype(record, "src", "tmp", "dst")
        src, tmp = record.tile("src"), record.tile("tmp")
        per_repeat = elements_per_repeat(src.dtype.name)
        if src.dtype.is_float and src.v_cols is not None and src.v_cols > per_repeat > tmp.cols:
            yield f"tmp must have at least {per_repeat} columns (one repeat) for rows of {src.v_cols}; got {tmp.rows}x{tmp.cols}"

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        return cls.internals if record.tile("src").dtype.is_float else by_blocks_internals

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"].copy()
        with np.errstate(all="ignore"):
            wide = cls.wide if src.dtype == np.float16 else src.dtype
            dst[:, 0] = cls.fold.accumulate(src, axis=1, dtype=wide)[:, -1].astype(src.dtype)
        return {"dst": dst} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        if src.dtype not in ("f32", "f16"):
            return fold_by_blocks(cls.binary, src)
        return (*behind_barriers(cls.special(src, dst) or cls.steps(src, refs["tmp"])), drain(cls.reduce, src.dtype))

    @classmethod
    def special(cls, src: TileRef, dst: TileRef) -> list[list[WorkItem]]:
        """The four full f32 shapes that the library folds by 8-element groups; [] for any other."""
        rows, full = src.v_rows, (src.rows, src.cols) == src.shape
        if src.dtype != "f32" or not full or dst.blayout != "col_major" or dst.v_cols != 1:
            return []
        group, pair = (lambda n: [Vector(cls.group, "f32", n)]), (lambda n: [Vector(cls.binary, "f32", n)])
        shapes = {
            (64, 128): [group(rows * 2), pair(rows // 8), group(rows // 8)],
            (32, 256): [group(rows * 4), pair(rows // 4), pair(rows // 8), group(rows // 8)],
            (16, 512): [group(rows * 8), group(rows), group(rows // 8)],
            (8, 1024): [group(rows * 16), group(rows * 2), pair(rows // 8), group(rows // 8)],
        }
        return shapes.get(src.shape, [])

    @classmethod
    def steps(cls, src: TileRef, tmp: TileRef) -> list[list[WorkItem]]:
        """The general sequence: fold the repeats of a row into tmp, the rest under a mask, then reduce tmp across."""
        rows, per_repeat = src.v_rows, elements_per_repeat(src.dtype)
        whole, rest = divmod(src.v_cols, per_repeat)
        last = [Vector(cls.reduce, src.dtype, rows)]
        if src.v_cols <= per_repeat:
            return [[Vector(cls.reduce, src.dtype, n)] for n in chunks(rows)] if rest else [last]
        far = max(src.cols, tmp.cols) // elements_per_block(src.dtype) > MOST_REPEATS  # the stride field has 8 bits: row by row then
        pair = [Vector(cls.binary, src.dtype, n) for n in ([1] * rows if far else [rows])]
        masked = [Vector(cls.binary, src.dtype, n) for n in ([1] * rows if far else chunks(rows))]
        first = [[Transfer("ub_to_ub", rows, REPEAT_BYTES)]] if whole == 1 else []
        return first + [pair] * cls.pairs(whole) + ([masked] if rest else []) + [last]

    @classmethod
    def pairs(cls, whole: int) -> int:
        """Two-operand instructions that fold `whole` repeats of a row into one."""
        return whole - 1


def behind_barriers(steps: list[list[WorkItem]]) -> tuple[WorkItem, ...]:
    """The items of all steps in order; a PIPE_V barrier stands before the first of every step but the first."""
    return tuple(
        item._replace(barrier=True) if i and not j and isinstance(item, Vector) else item for i, step in enumerate(steps) for j, item in enumerate(step)
    )


def drain(instruction: str, dtype: str) -> Vector:
    """The PIPE_V barrier that an op ends with: no repeats of its last instruction."""
    return Vector(instruction, dtype, 0, True)


def row_reduce_rules(cls: type[VectorOp], record: Record, src: str, dst: str) -> Iterator[str]:
    """What TRowReduceCheck asserts.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TRowReduceOps.hpp."""
    yield from in_memory(record, "vec", src, "tmp", dst)
    yield from of_dtype(record, cls.dtypes, src)
    yield from plain(record, ("row_major",), src)
    yield from plain(record, ("row_major", "col_major"), dst)
    tile = record.tile(dst)
    if tile.blayout == "col_major" and tile.cols != 1:
        yield f"a col_major {dst} must have 1 column; got {tile.rows}x{tile.cols}"
    if tile.v_cols not in (None, 1):
        yield f"{dst} must have 1 valid column; got {tile.v_cols}"
    if 0 in record.tile(src).valid:
        yield f"{src} must have valid rows and columns; got an empty valid part"
    yield from same_extent(record, 0, src, dst)


by_blocks_internals = {"drained": True, "event_ids": (V_TO_S, S_TO_V)}
"""A fold by blocks alternates vector and scalar parts, and ends with both waited for."""


def fold_by_blocks(binary: str, src: TileRef) -> tuple[WorkItem, ...]:
    """Per row: a block set to the neutral element, the row's blocks folded into it one by one, its elements folded by the scalar unit."""
    block = elements_per_block(src.dtype)
    folds = (Vector(binary, src.dtype, 1, True),) * -(-src.v_cols // block)
    return (Vector("vector_dup", src.dtype, 1), *folds, Scalar(block)) * src.v_rows


def chunks(rows: int) -> list[int]:
    """Rows of the instructions that a column of more than 255 rows takes."""
    return [MOST_REPEATS] * (rows // MOST_REPEATS) + ([rows % MOST_REPEATS] if rows % MOST_REPEATS else [])


class TRowMax(RowReduce, name="trowmax"):
    """dst[i, 0] = max over j of src[i, j].  Source: pto-isa TROWMAX, A2/A3."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TROWMAX({dst}, {src}, {tmp});"
    fold, binary, reduce, group = np.maximum, "vmax", "vcmax", "vcgmax"


class TRowMin(RowReduce, name="trowmin"):
    """dst[i, 0] = min over j of src[i, j].  Source: pto-isa TROWMIN, A2/A3."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TROWMIN({dst}, {src}, {tmp});"
    fold, binary, reduce, group = np.minimum, "vmin", "vcmin", "vcgmin"


class TRowSum(RowReduce, name="trowsum"):
    """dst[i, 0] = sum over j of src[i, j], f16 summed in f32.  Source: pto-isa TROWSUM, A2/A3 and its CPU build."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TROWSUM({dst}, {src}, {tmp});"
    fold, binary, reduce, group, wide = np.add, "vadd", "vcadd", "vcgadd", np.float32

    @classmethod
    def pairs(cls, whole: int) -> int:
        """A binary tree over tmp: whole // 2 pairs, an odd repeat each time one is left, then tmp again."""
        count, width = (whole // 2 + whole % 2 if whole > 1 else 0), whole // 2
        while width > 1:
            count, width = count + width // 2 + width % 2, width // 2
        return count


class TRowProd(RowReduce, name="trowprod"):
    """dst[i, 0] = product over j of src[i, j], rounded after every factor.  Source: pto-isa TROWPROD, A2/A3 and its CPU build."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TROWPROD({dst}, {src}, {tmp});"
    fold, binary = np.multiply, "vmul"
    internals = by_blocks_internals

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return fold_by_blocks("vmul", refs["src"])


class RowArg(VectorOp):
    """dst[i, 0] = the first j at which src[i, j] is a row's `pick`.  Shapes: src [rows, cols], dst [rows, 1] of i32 or ui32, tmp scratch."""

    reads = ("src",)
    writes = ("dst", "tmp")
    format = ins_outs("src", "tmp")
    pick, reduce = None, ""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from row_reduce_rules(cls, record, "src", "dst")
        yield from of_dtype(record, ("i32", "ui32"), "dst")

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        src = record.tile("src")
        one = src.v_cols is not None and src.v_cols <= elements_per_repeat(src.dtype.name)
        return {"drained": True} if one else by_blocks_internals

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"].copy()
        dst[:, 0] = cls.pick(values["src"], axis=1)
        return {"dst": dst} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src = refs["src"]
        rows, per_repeat = src.v_rows, elements_per_repeat(src.dtype)
        if src.v_cols <= per_repeat:
            parts = [rows] if src.v_cols == per_repeat else chunks(rows)
            return (*(Vector(cls.reduce, src.dtype, n, i > 0) for i, n in enumerate(parts)), drain(cls.reduce, src.dtype))
        stages, cols = [], src.v_cols
        while cols > per_repeat and len(stages) < 6:  # the library has one or two stages of reduce, gather values, gather indices
            repeats = -(-cols // per_repeat)
            split = max(1, -(-repeats * 2 // per_repeat))
            stages += [Vector(cls.reduce, src.dtype, repeats, True), *[Vector("vreducev2", src.dtype, split, True)] * 2]
            cols = repeats
        row = (*stages, Vector(cls.reduce, src.dtype, 1, True))
        return (row[0]._replace(barrier=False), *(row * rows)[1:], Scalar(4 * rows))


class TRowArgMax(RowArg, name="trowargmax"):
    """dst[i, 0] = the first column that holds the largest element of row i.  Source: pto-isa TROWARGMAX, A2/A3."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TROWARGMAX({dst}, {src}, {tmp});"
    pick, reduce = np.argmax, "vcmax"


class TRowArgMin(RowArg, name="trowargmin"):
    """dst[i, 0] = the first column that holds the smallest element of row i.  Source: pto-isa TROWARGMIN, A2/A3."""

    src: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TROWARGMIN({dst}, {src}, {tmp});"
    pick, reduce = np.argmin, "vcmin"
