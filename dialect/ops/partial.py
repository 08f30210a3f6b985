"""Elementwise ops where one source may cover only a part of dst: f where both are valid, else the one that is."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Transfer, WorkItem

from ..dtypes import DTYPES
from ..families import BLOCK_BYTES, arch_of, elements_per_block, elements_per_repeat, in_memory, ins_outs, of_dtype, one_dtype
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import ON_A5, Pointwise, larger, row_major, smaller

Operand = ir.Value


class Partial(Pointwise):
    """dst[i, j] = f(src0[i, j], src1[i, j]) where both have the element, else the one that has it.

    Shapes: dst [rows, cols]; one source the same, the other at most that.  Dtypes: f32 f16 i32 i16.
    """

    reads, format = ("src0", "src1"), ins_outs("src0", "src1")

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        tiles = ("src0", "src1", "dst")
        yield from in_memory(record, "vec", *tiles)
        yield from of_dtype(record, cls.dtypes if arch_of(record) != "a5" else ON_A5, *tiles)
        yield from one_dtype(record, *tiles)
        yield from row_major(record, *tiles)
        dst, *srcs = (record.tile(n).valid for n in ("dst", "src0", "src1"))
        got = ", ".join(f"{n} {'x'.join('?' if s is None else str(s) for s in record.tile(n).valid)}" for n in tiles)
        if all(any(None not in pair and pair[0] != pair[1] for pair in zip(src, dst)) for src in srcs):
            yield f"one of src0 and src1 must have dst's valid shape; got {got}"
        if any(None not in pair and pair[0] > pair[1] for src in srcs for pair in zip(src, dst)):
            yield f"no source may have a larger valid part than dst; got {got}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        a, b, dst = values["src0"], values["src1"], values["dst"]
        result = np.zeros(dst.shape, dst.dtype)
        for src in sorted((a, b), key=np.size):
            result[: src.shape[0], : src.shape[1]] = src
        rows, cols = (min(sizes) for sizes in zip(a.shape, b.shape))
        with np.errstate(all="ignore"):
            result[:rows, :cols] = cls.numpy(a[:rows, :cols], b[:rows, :cols])
        return {"dst": result}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst, full, part = refs["dst"], refs["src0"], refs["src1"]
        if full.shape != dst.shape:
            full, part = part, full
        if part.shape == dst.shape:
            return cls.combined(dst, full, part, dst)
        if part.v_cols == dst.v_cols:
            combined = cls.combined(dst, full, part, part) if part.v_rows else ()
            return combined + copied(dst, full, dst.v_rows - part.v_rows)
        copies = copied(dst, full, dst.v_rows)
        return copies + issue.after_barrier(cls.combined(dst, part, dst, part)) if part.v_rows and part.v_cols else copies

    @classmethod
    def combined(cls, dst: Ref, a: Ref, b: Ref, region: Ref) -> tuple[WorkItem, ...]:
        """f on the valid part of `region`: row by row where rows are long or far apart, else a repeat of every row."""
        per, rows, cols = elements_per_repeat(dst.dtype), region.v_rows, region.v_cols
        far = max(ref.cols for ref in (dst, a, b)) // elements_per_block(dst.dtype) > issue.MOST_REPEATS
        wide = -(-cols // per)
        by_row = far or rows < wide * -(-rows // issue.MOST_REPEATS)
        return issue.items(cls.instruction, dst.dtype, [wide] * rows if by_row else issue.chunks(rows) * wide)


def copied(dst: Ref, src: Ref, rows: int) -> tuple[WorkItem, ...]:
    """Rows that only one source has, copied in blocks: at once where both tiles have one width."""
    size = DTYPES[dst.dtype].bytes
    once = dst.cols == src.cols
    blocks = -(-(dst.cols * rows if once else dst.v_cols) * size // BLOCK_BYTES)
    return (Transfer("ub_to_ub", 1, blocks * BLOCK_BYTES),) * (1 if once else rows)


class TPartAdd(Partial, name="tpartadd"):
    """dst[i, j] = src0[i, j] + src1[i, j] where both are valid, else the valid one.  Source: pto-isa TPARTADD, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TPARTADD({dst}, {src0}, {src1});"
    numpy, instruction = np.add, "vadd"


class TPartMul(Partial, name="tpartmul"):
    """dst[i, j] = src0[i, j] * src1[i, j] where both are valid, else the valid one.  Source: pto-isa TPARTMUL, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TPARTMUL({dst}, {src0}, {src1});"
    numpy, instruction = np.multiply, "vmul"


class TPartMax(Partial, name="tpartmax"):
    """dst[i, j] = max(src0[i, j], src1[i, j]) where both are valid, else the valid one.  Source: pto-isa TPARTMAX, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TPARTMAX({dst}, {src0}, {src1});"
    numpy, instruction = staticmethod(larger), "vmax"


class TPartMin(Partial, name="tpartmin"):
    """dst[i, j] = min(src0[i, j], src1[i, j]) where both are valid, else the valid one.  Source: pto-isa TPARTMIN, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TPARTMIN({dst}, {src0}, {src1});"
    numpy, instruction = staticmethod(smaller), "vmin"
