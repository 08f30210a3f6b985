"""Elementwise vector ops on tiles: the families of the unit, and the arithmetic of two and three tiles."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import WorkItem

from ..families import Elementwise, arch_of, in_memory, ins_outs, of_dtype, one_dtype, same_shapes
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue

Operand = ir.Value

FLOATS = ("f32", "f16")
ON_A5 = ("f32", "f16", "bf16", "i64", "i32", "i16", "i8", "ui32", "ui16", "ui8")
"""Element types that the a5 library takes beyond those of a3.  Source: pto-isa 3186c381, docs/isa (checks of A5)."""


class Pointwise(Elementwise):
    """dst[i, j] = f(operands[i, j]): what all ops of this unit have in common.

    `scratch`: written operands that carry no result, of any type; `distinct`: operands that may not be dst itself, because the library
    writes dst before it has read them; `any_layout`: the library does not ask for row-major tiles; `numbers`: operands that are numbers,
    which `numpy` takes after the tiles, in dst's type.
    """

    scratch = ()
    distinct = ()
    any_layout = False
    numbers = ()

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        tiles = tiles_of(record)
        typed = cls.typed(record)
        yield from in_memory(record, "vec", *tiles)
        yield from of_dtype(record, cls.dtypes if arch_of(record) != "a5" else ON_A5, *typed)
        yield from joined(record, *tiles) if cls.any_layout else row_major(record, *tiles)
        yield from same_shapes(record, *(n for n in tiles if n not in cls.scratch))
        yield from one_dtype(record, *typed)
        yield from apart(record, "dst", *cls.distinct)

    @classmethod
    def typed(cls, record: Record) -> tuple[str, ...]:
        return tuple(n for n in tiles_of(record) if n not in cls.scratch)

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dtype = values["dst"].dtype
        with np.errstate(all="ignore"):
            result = cls.numpy(*(values[n] for n in cls.reads), *(np.asarray(values[n]).astype(dtype) for n in cls.numbers))
        return scratch_of(cls, values) | {"dst": np.asarray(result).astype(dtype, copy=False)}


def tiles_of(record: Record) -> tuple[str, ...]:
    """Names of the operands that are tiles and are there."""
    return tuple(n for n, x in record.types.items() if hasattr(x, "loc"))


def scratch_of(cls: type[Pointwise], values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Scratch operands as they came: their contents mean nothing."""
    return {n: values[n] for n in cls.scratch if n in values}


def row_major(record: Record, *names: str) -> Iterator[str]:
    """Every named tile is row-major."""
    for n in names:
        if record.types[n].blayout != "row_major":
            yield f"{n} must have blayout row_major; got {record.types[n].blayout}"


def joined(record: Record, *names: str) -> Iterator[str]:
    """Every named tile is row-major, or a single column, or wholly valid: the library goes through it as one run, whatever its layout."""
    for n in names:
        tile = record.types[n]
        whole = all(valid in (None, size) for valid, size in zip(tile.valid, (tile.rows, tile.cols)))
        if tile.blayout != "row_major" and tile.cols != 1 and not whole:
            yield f"{n} is col_major: it must have one column or be wholly valid; got <{tile}>"


def apart(record: Record, dst: str, *names: str) -> Iterator[str]:
    """None of the named operands is dst itself."""
    for n in names:
        if n in record.operands and record.operands[n] == record.operands[dst]:
            yield f"{n} and {dst} must be two tiles: the library writes {dst} before it has read {n}; got one tile for both"


class Binary(Pointwise):
    """dst[i, j] = f(src0[i, j], src1[i, j])."""

    reads = ("src0", "src1")
    format = ins_outs("src0", "src1")

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        return issue.items(cls.instruction, dst.dtype, issue.binary(dst, refs["src0"], refs["src1"]))


class Unary(Pointwise):
    """dst[i, j] = f(src[i, j])."""

    reads = ("src",)
    format = ins_outs("src")

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return issue.items(cls.instruction, refs["dst"].dtype, issue.unary(refs["dst"], refs["src"]))


class WithScalar(Pointwise):
    """dst[i, j] = f(src[i, j], scalar); the scalar is converted to the tile's type."""

    reads, numbers = ("src",), ("scalar",)
    format = ins_outs("src", "scalar")
    any_layout = True

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return issue.items(cls.instruction, refs["dst"].dtype, issue.scalar(refs["dst"], refs["src"]))


def larger(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """b where a < b, else a: the first where one is NaN.  Source: pto-isa 3186c381, include/pto/cpu/TMax.hpp (std::max)."""
    return np.where(a < b, b, a)


def smaller(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """b where b < a, else a: the first where one is NaN.  Source: pto-isa 3186c381, include/pto/cpu/ElementOp.h (std::min)."""
    return np.where(b < a, b, a)


def quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b; integers towards zero."""
    if a.dtype.kind not in "iu":
        return np.divide(a, b)
    down = np.floor_divide(a, b)
    return down + ((down * b != a) & ((a < 0) != (b < 0))).astype(down.dtype)


class TAdd(Binary, name="tadd"):
    """dst[i, j] = src0[i, j] + src1[i, j].  Shapes: all [rows, cols], equal.  Source: pto-isa TADD, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TADD({dst}, {src0}, {src1});"
    numpy, instruction = np.add, "vadd"


class TSub(Binary, name="tsub"):
    """dst[i, j] = src0[i, j] - src1[i, j].  Shapes: all [rows, cols], equal.  Source: pto-isa TSUB, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TSUB({dst}, {src0}, {src1});"
    numpy, instruction = np.subtract, "vsub"


class TMul(Binary, name="tmul"):
    """dst[i, j] = src0[i, j] * src1[i, j].  Shapes: all [rows, cols], equal.  Source: pto-isa TMUL, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TMUL({dst}, {src0}, {src1});"
    numpy, instruction = np.multiply, "vmul"


class TDiv(Binary, name="tdiv"):
    """dst[i, j] = src0[i, j] / src1[i, j].  Shapes: all [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TDIV, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TDIV({dst}, {src0}, {src1});"
    numpy, instruction, dtypes = staticmethod(quotient), "vdiv", FLOATS


class TMax(Binary, name="tmax"):
    """dst[i, j] = max(src0[i, j], src1[i, j]).  Shapes: all [rows, cols], equal.  Source: pto-isa TMAX, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TMAX({dst}, {src0}, {src1});"
    numpy, instruction = staticmethod(larger), "vmax"


class TMin(Binary, name="tmin"):
    """dst[i, j] = min(src0[i, j], src1[i, j]).  Shapes: all [rows, cols], equal.  Source: pto-isa TMIN, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TMIN({dst}, {src0}, {src1});"
    numpy, instruction = staticmethod(smaller), "vmin"


class Ternary(Pointwise):
    """dst[i, j] = f(src0[i, j], src1[i, j]) + src2[i, j], rounded after each step; a3 has no such op: two instructions with a barrier."""

    reads = ("src0", "src1", "src2")
    distinct = ("src2",)
    format = ins_outs("src0", "src1", "src2")

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        first = issue.items(cls.instruction, dst.dtype, issue.binary(dst, refs["src0"], refs["src1"]))
        return issue.sequence(first, issue.items("vadd", dst.dtype, issue.binary(dst, dst, refs["src2"])))


class TAddC(Ternary, name="taddc"):
    """dst[i, j] = src0[i, j] + src1[i, j] + src2[i, j].  Shapes: all equal.  Source: pto-isa docs/isa/TADDC.md; on a3 TADD twice."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    src2: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TADD({dst}, {src0}, {src1}); pipe_barrier(PIPE_V); TADD({dst}, {dst}, {src2});"
    numpy, instruction = staticmethod(lambda a, b, c: a + b + c), "vadd"


class TSubC(Ternary, name="tsubc"):
    """dst[i, j] = src0[i, j] - src1[i, j] + src2[i, j].  Shapes: all equal.  Source: pto-isa docs/isa/TSUBC.md; on a3 TSUB and TADD."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    src2: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TSUB({dst}, {src0}, {src1}); pipe_barrier(PIPE_V); TADD({dst}, {dst}, {src2});"
    numpy, instruction = staticmethod(lambda a, b, c: a - b + c), "vsub"
