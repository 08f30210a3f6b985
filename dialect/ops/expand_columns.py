"""Column expansion: a row spread over a tile, alone or as one side of an elementwise operation."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Transfer, Vector, WorkItem

from ..dtypes import DTYPES
from ..families import VectorOp, elements_per_repeat, ins_outs, one_dtype, plain, same_extent
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from .elementwise import TAdd, TDiv, TMax, TMin, TMul, TSub, larger, smaller
from .expand import FLOATS, expdif

Operand = ir.Value


class ColExpandBinary(VectorOp):
    """dst[i, j] = f(src0[i, j], src1[0, j]): one source has dst's shape, of the other the first row counts.

    Shapes: dst [rows, cols], all row major.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TColExpandBinOp.hpp.
    """

    reads = ("src0", "src1")
    format = ins_outs("src0", "src1")
    numpy = None

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from one_dtype(record, "src0", "src1", "dst")
        yield from plain(record, ("row_major",), "src0", "src1", "dst")
        yield from same_extent(record, 1, "src0", "src1", "dst")
        rows = [record.tile(n).v_rows for n in ("src0", "src1", "dst")]
        if None not in rows and rows[2] not in rows[:2]:
            yield f"src0 or src1 must have dst's {rows[2]} valid rows; got {rows[0]} and {rows[1]}"

    @classmethod
    def expanded(cls, record: Record) -> str:
        return "src1" if record.tile("src0").valid == record.tile("dst").valid else "src0"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src0, src1, dst = values["src0"], values["src1"], values["dst"]
        pair = (src0, src1[:1]) if src0.shape == dst.shape else (src0[:1], src1)
        with np.errstate(all="ignore"):
            return {"dst": cls.numpy(*pair).astype(dst.dtype, copy=False)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        wide = refs["src0"] if refs["src0"].shape == dst.shape else refs["src1"]
        per_repeat = elements_per_repeat(dst.dtype)
        along = -(-dst.v_cols // per_repeat)
        if dst.cols != dst.v_cols and dst.rows != 1:
            return cls.instructions(dst.dtype, along) * dst.v_rows
        return cls.instructions(dst.dtype, dst.v_rows) * (1 if max(dst.cols, wide.cols) < per_repeat else along)

    @classmethod
    def instructions(cls, dtype: str, repeats: int) -> tuple[WorkItem, ...]:
        """What the library issues for one stretch of rows or columns."""
        return (Vector(cls.instruction, dtype, repeats),)


class TColExpandAdd(ColExpandBinary, name="tcolexpandadd"):
    """dst[i, j] = src0[i, j] + src1[0, j].  Source: pto-isa TCOLEXPANDADD, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    fused = ("column", TAdd)
    cpp = "TCOLEXPANDADD({dst}, {src0}, {src1});"
    numpy, instruction = np.add, "vadd"


class TColExpandSub(ColExpandBinary, name="tcolexpandsub"):
    """dst[i, j] = src0[i, j] - src1[0, j].  Source: pto-isa TCOLEXPANDSUB, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    fused = ("column", TSub)
    cpp = "TCOLEXPANDSUB({dst}, {src0}, {src1});"
    numpy, instruction = np.subtract, "vsub"


class TColExpandMul(ColExpandBinary, name="tcolexpandmul"):
    """dst[i, j] = src0[i, j] * src1[0, j].  Source: pto-isa TCOLEXPANDMUL, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    fused = ("column", TMul)
    cpp = "TCOLEXPANDMUL({dst}, {src0}, {src1});"
    numpy, instruction = np.multiply, "vmul"


class TColExpandDiv(ColExpandBinary, name="tcolexpanddiv"):
    """dst[i, j] = src0[i, j] / src1[0, j].  Source: pto-isa TCOLEXPANDDIV, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    fused = ("column", TDiv)
    cpp = "TCOLEXPANDDIV({dst}, {src0}, {src1});"
    numpy, instruction, dtypes = np.divide, "vdiv", FLOATS


class TColExpandMax(ColExpandBinary, name="tcolexpandmax"):
    """dst[i, j] = max(src0[i, j], src1[0, j]).  Source: pto-isa TCOLEXPANDMAX, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    fused = ("column", TMax)
    cpp = "TCOLEXPANDMAX({dst}, {src0}, {src1});"
    numpy, instruction = staticmethod(larger), "vmax"


class TColExpandMin(ColExpandBinary, name="tcolexpandmin"):
    """dst[i, j] = min(src0[i, j], src1[0, j]).  Source: pto-isa TCOLEXPANDMIN, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    fused = ("column", TMin)
    cpp = "TCOLEXPANDMIN({dst}, {src0}, {src1});"
    numpy, instruction = staticmethod(smaller), "vmin"


class TColExpandExpdif(ColExpandBinary, name="tcolexpandexpdif"):
    """dst[i, j] = exp(src0[i, j] - src1[0, j]).  Source: pto-isa TCOLEXPANDEXPDIF, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TCOLEXPANDEXPDIF({dst}, {src0}, {src1});"
    numpy, instruction, dtypes = expdif, "vsub", FLOATS

    @classmethod
    def instructions(cls, dtype: str, repeats: int) -> tuple[WorkItem, ...]:
        return (Vector("vsub", dtype, repeats), Vector("vexp", dtype, repeats, True))


class TColExpand(VectorOp, name="tcolexpand"):
    """dst[i, j] = src[0, j]: a copy of src's first row into every row.  Source: pto-isa TCOLEXPAND, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    reads, spread = ("src",), "column"
    format = ins_outs("src")
    cpp = "TCOLEXPAND({dst}, {src});"
    dtypes = tuple(name for name, d in DTYPES.items() if d.bytes in (1, 2, 4))

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from one_dtype(record, "src", "dst")
        yield from plain(record, ("row_major",), "src", "dst")
        yield from same_extent(record, 1, "src", "dst")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": np.repeat(values["src"][:1], values["dst"].shape[0], axis=0)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        return (Transfer("ub_to_ub", 1, dst.v_cols * DTYPES[dst.dtype].bytes),) * dst.v_rows
