"""Remainders of division, row by row through scratch: composite ops with barriers inside.

Meaning: std::fmod in double precision, as in pto-isa's CPU build.  The engine computes a - trunc(a / b) * b (a floor for trem) in f32,
which differs where the quotient has more than 24 bits.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Vector, WorkItem

from ..families import ins_outs
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import Pointwise

Operand = ir.Value


def truncated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - trunc(a / b) * b, with the sign of a."""
    return np.fmod(a, b)


def floored(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - floor(a / b) * b, with the sign of b.  Source: pto-isa 3186c381, include/pto/cpu/ElementOp.h (OP_REM)."""
    rest = np.fmod(a, b)
    return np.where(((a >= 0) != (b >= 0)) & (rest != 0), rest + b, rest).astype(rest.dtype)


class RowByRow(Pointwise):
    """An op that runs a fixed sequence of instructions for every row; `steps` has those between
    two barriers as one text, by type; `single`: instructions that fill one repeat, whatever the row's length.
    """

    internals = {"drained": True}
    steps, single = {}, ()

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        steps = (tuple(cls.item(name, dst) for name in step.split()) for step in cls.steps[dst.dtype])
        return issue.per_row(dst.v_rows, issue.sequence(*steps))

    @classmethod
    def item(cls, name: str, dst: Ref) -> Vector:
        """One instruction over a row; of set_cmpmask only its barrier has a price."""
        if name == "set_cmpmask":
            return Vector("vsel", dst.dtype, 0)
        return Vector(name, dst.dtype, 1 if name in cls.single else issue.counted(dst.v_cols, dst.dtype))


class TFmod(RowByRow, name="tfmod"):
    """dst[i, j] = src0[i, j] - trunc(src0[i, j] / src1[i, j]) * src1[i, j].  Shapes: all equal.  Dtypes: f32.  Source: pto-isa TFMOD, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    reads, distinct, format = ("src0", "src1"), ("src0", "src1"), ins_outs("src0", "src1")
    cpp = "TFMOD({dst}, {src0}, {src1});"
    numpy, dtypes = staticmethod(truncated), ("f32",)
    steps = {"f32": ("vdiv", "vconv_f322f32", "vmul", "vsub")}


class TFmodS(RowByRow, name="tfmods"):
    """dst[i, j] = src[i, j] - trunc(src[i, j] / scalar) * scalar.  Shapes: equal.  Dtypes: f32.  Source: pto-isa TFMODS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    reads, numbers, distinct, format = ("src",), ("scalar",), ("src",), ins_outs("src", "scalar")
    cpp = "TFMODS({dst}, {src}, {scalar});"
    numpy, dtypes = staticmethod(truncated), ("f32",)
    steps = {"f32": ("vector_dup", "vdiv", "vconv_f322f32", "vmuls", "vsub")}


def through_f32(x: np.ndarray) -> np.ndarray:
    """Integers as they come back from f32: exact up to 24 bits."""
    return np.clip(np.rint(x.astype(np.float32).astype(np.float64)), -(2**31), 2**31 - 1).astype(x.dtype)


class TRem(RowByRow, name="trem"):
    """dst[i, j] = src0[i, j] - floor(src0[i, j] / src1[i, j]) * src1[i, j], with the sign of src1.

    Shapes: src0, src1, dst equal; tmp one row, at least dst's columns and 2 for each 64 of them.  Dtypes: f32 i32.  The library converts
    i32 sources to f32 where they lie: src0 comes back rounded to 24 bits, src1 is left as f32 bits.  Source: pto-isa TREM, A2/A3.
    """

    src0: Operand[Tile]
    src1: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    reads, writes, scratch = ("src0", "src1"), ("dst", "tmp", "src0", "src1"), ("tmp",)
    distinct, format = ("src0", "src1", "tmp"), ins_outs("src0", "src1", "tmp")
    cpp = "TREM({dst}, {src0}, {src1}, {tmp});"
    numpy, dtypes, single = staticmethod(floored), ("f32", "i32"), ("vector_dup",)
    steps = {
        "f32": ("vdiv", "vconv_f322f32", "vmul", "vsub", "vmul", "vector_dup", "set_cmpmask", "vcmpvs", "vadd", "vsel"),
        "i32": (
            *("vconv_s322f32 vconv_s322f32", "vdiv", "vconv_f322s32", "vconv_f322s32 vconv_f322s32", "vmul", "vsub"),
            *("vconv_s322f32 vconv_s322f32", "vmul", "vector_dup", "set_cmpmask", "vcmpvs", "vadd", "vsel", "vconv_f322s32"),
        ),
    }

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        dst, tmp = record.tile("dst"), record.tile("tmp")
        least = dst.cols + 2 * -(-dst.cols // 64)
        if tmp.v_cols is not None and tmp.v_cols < least:
            yield f"tmp must have at least {least} valid columns (a row of {dst.cols} and its comparison bits); got {tmp.v_cols}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src0, src1 = values["src0"], values["src1"]
        if src0.dtype == np.int32:
            src0, src1 = through_f32(src0), src1.astype(np.float32).view(np.int32)
        return super().evaluate(values, attributes) | {"src0": src0, "src1": src1}


class TRemS(RowByRow, name="trems"):
    """dst[i, j] = src[i, j] - floor(src[i, j] / scalar) * scalar, with the sign of the scalar.

    Shapes: src, dst equal; tmp one row with at least dst's valid columns.  Dtypes: f32 i32.  The library converts an i32 source to f32
    where it lies and back: it comes back rounded to 24 bits.  Source: pto-isa TREMS, A2/A3.
    """

    src: Operand[Tile]
    scalar: Operand[Any]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    reads, numbers, writes, scratch = ("src",), ("scalar",), ("dst", "tmp", "src"), ("tmp",)
    distinct, format = ("src", "tmp"), ins_outs("src", "scalar", "tmp")
    cpp = "TREMS({dst}, {src}, {scalar}, {tmp});"
    numpy, dtypes = staticmethod(floored), ("f32", "i32")
    steps = {
        "f32": ("vector_dup", "vdiv", "vconv_f322f32", "vmuls", "vsub", "vmuls", "vcmpvs", "set_cmpmask", "vadds", "vsel"),
        "i32": (
            *("vconv_s322f32 vector_dup", "vdiv", "vconv_f322s32 vconv_f322s32", "vmuls", "vsub", "vconv_s322f32 vconv_s322f32"),
            *("vmuls", "vcmpvs", "set_cmpmask", "vadds", "vsel", "vconv_f322s32"),
        ),
    }

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        dst, tmp = record.tile("dst"), record.tile("tmp")
        if None not in (dst.v_cols, tmp.v_cols) and tmp.v_cols < dst.v_cols:
            yield f"tmp must have at least dst's {dst.v_cols} valid columns; got {tmp.v_cols}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src = values["src"]
        return super().evaluate(values, attributes) | {"src": through_f32(src) if src.dtype == np.int32 else src}
