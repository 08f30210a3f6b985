"""Bitwise vector ops and shifts: integers; and, or, not work on 16-bit lanes whatever the type."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Scalar, WorkItem

from ..families import S_TO_V, V_TO_S, ins_outs
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import Binary, Pointwise, Unary, WithScalar, apart

Operand = ir.Value

INTEGERS = ("i8", "ui8", "i16", "ui16", "i32", "ui32")


def ands(dst: Ref, a: Ref, b: Ref, instruction: str = "vand") -> tuple[WorkItem, ...]:
    """One and (or) of two tiles."""
    return issue.items(instruction, "ui16", issue.binary(dst, a, b, width=2))


def nots(dst: Ref, src: Ref) -> tuple[WorkItem, ...]:
    """One not of a tile."""
    return issue.items("vnot", "ui16", issue.unary(dst, src, width=2))


def with_filled(dst: Ref, src: Ref, instruction: str) -> tuple[WorkItem, ...]:
    """An and (or) with a scalar: dst is filled with the scalar, then combined with src."""
    return issue.sequence(issue.items("vector_dup", dst.dtype, issue.fill(dst)), ands(dst, src, dst, instruction))


def exclusive(dst: Ref, either: tuple[WorkItem, ...], both: tuple[WorkItem, ...], tmp: Ref) -> tuple[WorkItem, ...]:
    """a xor b = (a or b) and not (a and b).  Source: pto-isa 3186c381, include/pto/npu/a2a3/TXor.hpp."""
    return issue.sequence(either, both, nots(dst, dst), ands(dst, dst, tmp))


class TAnd(Binary, name="tand"):
    """dst[i, j] = src0[i, j] & src1[i, j].  Shapes: all equal.  Dtypes: integers.  Source: pto-isa TAND, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TAND({dst}, {src0}, {src1});"
    numpy, dtypes = np.bitwise_and, INTEGERS

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return ands(refs["dst"], refs["src0"], refs["src1"])


class TOr(Binary, name="tor"):
    """dst[i, j] = src0[i, j] | src1[i, j].  Shapes: all equal.  Dtypes: integers.  Source: pto-isa TOR, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TOR({dst}, {src0}, {src1});"
    numpy, dtypes = np.bitwise_or, INTEGERS

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return ands(refs["dst"], refs["src0"], refs["src1"], "vor")


class TNot(Unary, name="tnot"):
    """dst[i, j] = ~src[i, j].  Shapes: equal.  Dtypes: integers.  Source: pto-isa TNOT, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TNOT({dst}, {src});"
    numpy, dtypes = np.bitwise_not, INTEGERS

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return nots(refs["dst"], refs["src"])


class TXor(Pointwise, name="txor"):
    """dst[i, j] = src0[i, j] ^ src1[i, j]; tmp is scratch of dst's shape and type.  Dtypes: integers.  Source: pto-isa TXOR, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    reads, writes, scratch = ("src0", "src1"), ("dst", "tmp"), ("tmp",)
    distinct, format = ("src0", "src1", "tmp"), ins_outs("src0", "src1", "tmp")
    cpp = "TXOR({dst}, {src0}, {src1}, {tmp});"
    numpy, dtypes = np.bitwise_xor, INTEGERS

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from same_kind(record, "src0", "src1")

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src0, src1, tmp, dst = (refs[n] for n in ("src0", "src1", "tmp", "dst"))
        return exclusive(dst, ands(tmp, src0, src1, "vor"), ands(dst, src0, src1), tmp)


def same_kind(record: Record, *srcs: str) -> Iterator[str]:
    """tmp has dst's valid shape and type, and is no source."""
    tmp, dst = record.tile("tmp"), record.tile("dst")
    if tmp.dtype != dst.dtype or any(None not in pair and pair[0] != pair[1] for pair in zip(tmp.valid, dst.valid)):
        yield f"tmp must have dst's valid shape and type; got tmp <{tmp}>, dst <{dst}>"
    yield from apart(record, "tmp", *srcs)


class TAndS(WithScalar, name="tands"):
    """dst[i, j] = src[i, j] & scalar.  Shapes: equal.  Dtypes: integers.  Source: pto-isa TANDS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TANDS({dst}, {src}, {scalar});"
    numpy, dtypes, distinct, any_layout = np.bitwise_and, INTEGERS, ("src",), False

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return with_filled(refs["dst"], refs["src"], "vand")


class TOrS(WithScalar, name="tors"):
    """dst[i, j] = src[i, j] | scalar.  Shapes: equal.  Dtypes: integers.  Source: pto-isa TORS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TORS({dst}, {src}, {scalar});"
    numpy, dtypes, distinct, any_layout = np.bitwise_or, INTEGERS, ("src",), False

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return with_filled(refs["dst"], refs["src"], "vor")


class TXorS(WithScalar, name="txors"):
    """dst[i, j] = src[i, j] ^ scalar; tmp is scratch of dst's shape and type.  Dtypes: integers.  Source: pto-isa TXORS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    tmp: Operand[Tile]
    dst: Operand[Tile]
    writes, scratch, distinct = ("dst", "tmp"), ("tmp",), ("src", "tmp")
    format = ins_outs("src", "scalar", "tmp")
    cpp = "TXORS({dst}, {src}, {scalar}, {tmp});"
    numpy, dtypes, any_layout = np.bitwise_xor, INTEGERS, False

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from same_kind(record, "src")

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, tmp, dst = refs["src"], refs["tmp"], refs["dst"]
        return exclusive(dst, with_filled(tmp, src, "vor"), with_filled(dst, src, "vand"), tmp)


class ShiftTiles(Binary):
    """A shift by a tile of counts: the library runs it element by element on the scalar unit, between two waits of V and S."""

    dtypes = INTEGERS
    internals = {"event_ids": (V_TO_S, S_TO_V)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (Scalar(4 * refs["dst"].v_rows * refs["dst"].v_cols),)  # two loads, shift, store


class TShl(ShiftTiles, name="tshl"):
    """dst[i, j] = src0[i, j] << src1[i, j].  Shapes: all equal.  Dtypes: integers.  Source: pto-isa TSHL, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TSHL({dst}, {src0}, {src1});"
    numpy = np.left_shift


class TShr(ShiftTiles, name="tshr"):
    """dst[i, j] = src0[i, j] >> src1[i, j], signed types keep the sign.  Shapes: all equal.  Dtypes: integers.  Source: pto-isa TSHR, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TSHR({dst}, {src0}, {src1});"
    numpy = np.right_shift


class TShlS(WithScalar, name="tshls"):
    """dst[i, j] = src[i, j] << scalar, scalar >= 0.  Shapes: equal.  Dtypes: 16 and 32 bit integers.  Source: pto-isa TSHLS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TSHLS({dst}, {src}, {scalar});"
    numpy, instruction, dtypes = np.left_shift, "vshl", ("i32", "i16", "ui32", "ui16")


class TShrS(WithScalar, name="tshrs"):
    """dst[i, j] = src[i, j] >> scalar, scalar >= 0, signed types keep the sign.  Shapes: equal.  Source: pto-isa TSHRS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TSHRS({dst}, {src}, {scalar});"
    numpy, instruction, dtypes = np.right_shift, "vshr", ("i32", "i16", "ui32", "ui16")
