"""Elementwise vector ops of a tile and a scalar."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Scalar, WorkItem

from ..families import S_TO_V, V_TO_S, arch_of, in_memory, ins_outs, of_dtype, one_dtype, same_shapes
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import FLOATS, ON_A5, Pointwise, WithScalar, apart, joined, larger, quotient, smaller, tiles_of
from .unary import divisions

Operand = ir.Value


class TAddS(WithScalar, name="tadds"):
    """dst[i, j] = src[i, j] + scalar.  Shapes: [rows, cols], equal.  Source: pto-isa TADDS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TADDS({dst}, {src}, {scalar});"
    neutral = {"float": -0.0, "int": 0}  # -0.0 + 0.0 is +0.0, but x + -0.0 is x for every x
    numpy, instruction = np.add, "vadds"


class TSubS(WithScalar, name="tsubs"):
    """dst[i, j] = src[i, j] - scalar.  Shapes: [rows, cols], equal.  Source: pto-isa TSUBS, A2/A3 (vadds of -scalar)."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TSUBS({dst}, {src}, {scalar});"
    neutral = {"float": 0.0, "int": 0}
    numpy, instruction = np.subtract, "vadds"


class TMulS(WithScalar, name="tmuls"):
    """dst[i, j] = src[i, j] * scalar.  Shapes: [rows, cols], equal.  Source: pto-isa TMULS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TMULS({dst}, {src}, {scalar});"
    neutral = {"float": 1, "int": 1}
    numpy, instruction = np.multiply, "vmuls"


class TMaxS(WithScalar, name="tmaxs"):
    """dst[i, j] = max(src[i, j], scalar).  Shapes: [rows, cols], equal.  Source: pto-isa TMAXS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TMAXS({dst}, {src}, {scalar});"
    numpy, instruction = staticmethod(larger), "vmaxs"


class TMinS(WithScalar, name="tmins"):
    """dst[i, j] = min(src[i, j], scalar).  Shapes: [rows, cols], equal.  Source: pto-isa TMINS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TMINS({dst}, {src}, {scalar});"
    numpy, instruction = staticmethod(smaller), "vmins"


class TLRelu(WithScalar, name="tlrelu"):
    """dst[i, j] = src[i, j] where that is positive, else src[i, j] * slope.  Shapes: equal.  Dtypes: f16 f32.  Source: pto-isa TLRELU, A2/A3."""

    src: Operand[Tile]
    slope: Operand[Any]
    dst: Operand[Tile]
    numbers, format = ("slope",), ins_outs("src", "slope")
    cpp = "TLRELU({dst}, {src}, {slope});"
    numpy, instruction, dtypes = staticmethod(lambda x, slope: np.where(x > 0, x, x * slope)), "vlrelu", FLOATS


class TAxpy(WithScalar, name="taxpy"):
    """dst[i, j] += src[i, j] * scalar, the product rounded to src's type; dst may be f32 where src is f16.

    Shapes: equal.  Dtypes: f16 f32.  Source: pto-isa TAXPY, A2/A3 and its CPU build.
    """

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    reads = ("src", "dst")
    cpp = "TAXPY({dst}, {src}, {scalar});"
    dtypes = FLOATS

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "dst")
        yield from of_dtype(record, cls.dtypes, "src", "dst")
        yield from joined(record, "src", "dst")
        yield from same_shapes(record, "src", "dst")
        if (record.tile("src").dtype.name, record.tile("dst").dtype.name) == ("f32", "f16"):
            yield "dst must have src's type, or f32 where src is f16; got dst f16, src f32"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"]
        scalar = np.asarray(values["scalar"]).astype(src.dtype)
        with np.errstate(all="ignore"):
            return {"dst": dst + (src * scalar).astype(dst.dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        return issue.items("vaxpy", dst.dtype, issue.scalar(dst, src) if src.dtype == dst.dtype else widening(dst, src))


def widening(dst: Ref, src: Ref) -> list[int]:
    """f16 into f32: row by row with a lane count where rows are long, else a repeat of every row.  Source: pto-isa 3186c381, a2a3/TAxpy.hpp."""
    per = 64
    far = max(dst.cols // 8, src.cols // 16) > issue.MOST_REPEATS
    if far or dst.v_cols // per > dst.v_rows:
        return [-(-dst.v_cols // per)] * dst.v_rows
    return [n for n in issue.chunks(dst.v_rows) for _ in range(-(-dst.v_cols // per))]


class TDivS(Pointwise, name="tdivs"):
    """dst[i, j] = src[i, j] / scalar, or src / scalar[i, j] where `scalar` is the tile and `src` the number; integers towards zero.

    Shapes: dst and the tile [rows, cols], equal.  Source: pto-isa TDIVS, A2/A3; a float tile that is divided in place is multiplied by
    1 / scalar there, which differs in the last bit and is one instruction: meaning and work are those of two tiles.
    """

    src: Operand[Any]
    scalar: Operand[Any]
    dst: Operand[Tile]
    reads, format = ("src", "scalar"), ins_outs("src", "scalar")
    cpp = "TDIVS({dst}, {src}, {scalar});"
    neutral = {"float": 1, "int": 1}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        tiles = tiles_of(record)
        if len(tiles) != 2:
            yield f"one of src and scalar must be a tile and the other a number; got {len(tiles) - 1} tiles"
            return
        yield from in_memory(record, "vec", *tiles)
        yield from of_dtype(record, cls.dtypes if arch_of(record) != "a5" else ON_A5, *tiles)
        yield from joined(record, *tiles)
        yield from same_shapes(record, *tiles)
        yield from one_dtype(record, *tiles)
        if record.tile("dst").dtype.is_float:
            yield from apart(record, "dst", *(n for n in tiles if n == "scalar"))

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        return {} if record.tile("dst").dtype.is_float else {"event_ids": (V_TO_S, S_TO_V)}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dtype = values["dst"].dtype
        with np.errstate(all="ignore"):
            return {"dst": quotient(*(np.asarray(values[n]).astype(dtype, copy=False) for n in cls.reads)).astype(dtype, copy=False)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst, tile = refs["dst"], next(refs[n] for n in cls.reads if isinstance(refs.get(n), tuple))
        if dst.dtype not in FLOATS:
            return (Scalar(3 * dst.v_rows * dst.v_cols),)  # load, divide, store
        return divisions(dst, tile)


class TernaryScalar(Pointwise):
    """dst[i, j] = f(src0[i, j], scalar) + src1[i, j], rounded after each step; a3 has no such op: two instructions with a barrier."""

    reads, numbers, distinct = ("src0", "src1"), ("scalar",), ("src1",)
    format = ins_outs("src0", "scalar", "src1")
    instruction = "vadds"

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        first = issue.items(cls.instruction, dst.dtype, issue.scalar(dst, refs["src0"]))
        return issue.sequence(first, issue.items("vadd", dst.dtype, issue.binary(dst, dst, refs["src1"])))


class TAddSC(TernaryScalar, name="taddsc"):
    """dst[i, j] = src0[i, j] + scalar + src1[i, j].  Shapes: all equal.  Source: pto-isa docs/isa/TADDSC.md; on a3 TADDS and TADD."""

    src0: Operand[Tile]
    scalar: Operand[Any]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TADDS({dst}, {src0}, {scalar}); pipe_barrier(PIPE_V); TADD({dst}, {dst}, {src1});"
    numpy = staticmethod(lambda a, b, scalar: a + scalar + b)


class TSubSC(TernaryScalar, name="tsubsc"):
    """dst[i, j] = src0[i, j] - scalar + src1[i, j].  Shapes: all equal.  Source: pto-isa docs/isa/TSUBSC.md; on a3 TSUBS and TADD."""

    src0: Operand[Tile]
    scalar: Operand[Any]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TSUBS({dst}, {src0}, {scalar}); pipe_barrier(PIPE_V); TADD({dst}, {dst}, {src1});"
    numpy = staticmethod(lambda a, b, scalar: a - scalar + b)
