"""Elementwise vector ops on one tile."""

from collections.abc import Callable, Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import WorkItem

from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import FLOATS, Unary

Operand = ir.Value


def through_double(f: Callable[[np.ndarray], np.ndarray]) -> staticmethod:
    """f in double precision, rounded once to the tile's type.  Source: pto-isa 3186c381, include/pto/cpu/ElementOp.h."""
    return staticmethod(lambda x: f(x.astype(np.float64)).astype(x.dtype))


class TExp(Unary, name="texp"):
    """dst[i, j] = exp(src[i, j]).  Shapes: [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TEXP, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TEXP({dst}, {src});"
    numpy, instruction, dtypes = through_double(np.exp), "vexp", FLOATS


class TLog(Unary, name="tlog"):
    """dst[i, j] = ln(src[i, j]).  Shapes: [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TLOG, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TLOG({dst}, {src});"
    numpy, instruction, dtypes = through_double(np.log), "vln", FLOATS


class TSqrt(Unary, name="tsqrt"):
    """dst[i, j] = sqrt(src[i, j]).  Shapes: [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TSQRT, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TSQRT({dst}, {src});"
    numpy, instruction, dtypes = through_double(np.sqrt), "vsqrt", FLOATS


class TRsqrt(Unary, name="trsqrt"):
    """dst[i, j] = 1 / sqrt(src[i, j]); with tmp (at least 32 bytes) by square root and division, which is more precise.

    Shapes: [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TRSQRT, A2/A3.
    """

    src: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    writes, scratch = ("dst", "tmp"), ("tmp",)
    format = "`ins` `(` $src (`,` $tmp^)? `:` type($src) (`,` type($tmp)^)? `)` `outs` `(` $dst `:` type($dst) `)` attr-dict"
    cpp = "TRSQRT({dst}, {src}[, {tmp}]);"
    numpy, instruction, dtypes = through_double(lambda x: 1 / np.sqrt(x)), "vrsqrt", FLOATS

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        tmp = record.types.get("tmp")
        if tmp is not None and tmp.bytes < 32:
            yield f"tmp must have at least 32 bytes; got {tmp.bytes}"

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        if "tmp" not in refs:
            return super().work(refs, attributes)
        dst = refs["dst"]
        row = [issue.counted(dst.v_cols, dst.dtype)] * dst.v_rows
        ones, roots = issue.items("vector_dup", dst.dtype, [1]), issue.items("vsqrt", dst.dtype, row)
        return issue.sequence(ones + roots, issue.items("vdiv", dst.dtype, row))


class TRecip(Unary, name="trecip"):
    """dst[i, j] = 1 / src[i, j], as TDIVS with 1 on the left.  Shapes: [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TRECIP, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TRECIP({dst}, {src});"
    numpy, dtypes, distinct = staticmethod(lambda x: np.divide(x.dtype.type(1), x)), FLOATS, ("src",)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return divisions(refs["dst"], refs["src"])


def divisions(dst: Ref, src: Ref) -> tuple[WorkItem, ...]:
    """A float scalar over a tile or a tile over it: each instruction fills dst with the scalar, then divides.

    Source: pto-isa 3186c381, include/pto/npu/a2a3/TDivS.hpp.
    """
    pairs = ((issue.items("vector_dup", dst.dtype, [n]), issue.items("vdiv", dst.dtype, [n])) for n in issue.scalar(dst, src))
    return tuple(item for dup, div in pairs for item in issue.sequence(dup, div))


class TAbs(Unary, name="tabs"):
    """dst[i, j] = |src[i, j]|.  Shapes: [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TABS, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TABS({dst}, {src});"
    numpy, instruction, dtypes = np.abs, "vabs", FLOATS


class TNeg(Unary, name="tneg"):
    """dst[i, j] = -src[i, j], as TMULS by -1.  Shapes: [rows, cols], equal.  Source: pto-isa TNEG, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TNEG({dst}, {src});"
    numpy, any_layout = np.negative, True

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return issue.items("vmuls", refs["dst"].dtype, issue.scalar(refs["dst"], refs["src"]))


class TRelu(Unary, name="trelu"):
    """dst[i, j] = max(src[i, j], 0).  Shapes: [rows, cols], equal.  Dtypes: f16 f32 i32.  Source: pto-isa TRELU, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TRELU({dst}, {src});"
    numpy, instruction, dtypes = staticmethod(lambda x: np.where(x < 0, x.dtype.type(0), x)), "vrelu", ("f32", "f16", "i32")
