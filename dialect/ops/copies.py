"""Moves between on-chip memories: whole tiles (tmov), a window out of one (textract), a window into one (tinsert)."""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import Scalar, Transfer, Vector, WorkItem

from .. import fixpipe
from ..dtypes import DTYPES
from ..families import BLOCK_BYTES, S_TO_V, V_TO_S, TransferOp, arch_of, in_memory, ins_outs, one_dtype
from ..layout import Ref, TileRef
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from .moves import fix_options, relu

Operand = ir.Value

ROUTES = {
    ("vec", "vec"): "V",
    ("mat", "left"): "MTE1",
    ("mat", "right"): "MTE1",
    ("mat", "bias"): "MTE1",
    ("mat", "scaling"): "MTE1",
    ("acc", "mat"): "FIX",
    ("acc", "vec"): "FIX",
    ("vec", "mat"): "MTE3",
}
"""(source, destination) to the engine that moves tiles between them.  Source: pto-isa 3186c381, include/pto/npu/{a2a3,a5}/TMov.hpp."""

A5_ONLY = frozenset({("acc", "vec"), ("vec", "mat")})
"""Routes that A2/A3 does not have: there the vector core shares no memory with the cube core."""

BURST_UNITS = {"bias": 64, "scaling": 128}
"""Bytes that a row for the bias table or the scaling table is a multiple of.  Source: the same, TMovToBt and TMovToFb."""


class ChipCopy(TransferOp):
    """dst[i, j] = src[i, j] between two on-chip memories, changed by FIXP on the way out of L0C."""

    @classmethod
    def route(cls, record: Record) -> tuple[str, str]:
        """Locations of source and destination."""
        return (record.tile("src").loc, record.tile("dst").loc)

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        return ROUTES.get(cls.route(record), "")

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        route = cls.route(record)
        if route not in ROUTES:
            yield f"no engine moves a {route[0]} tile to a {route[1]} tile; known: {', '.join(f'{a} to {b}' for a, b in ROUTES)}"
            return
        if route in A5_ONLY and arch_of(record) == "a3":
            yield f"a3 has no way from {route[0]} to {route[1]}: go through global memory"
        if route[0] == "acc":
            quantised = bool({"pre_quant_scalar", "fp"} & set(record.operands))
            acc, kept = record.tile("src").dtype.name, record.tile("dst").dtype.name
            yield from filter(None, (fixpipe.storable(acc, kept, quantised),))
            if not quantised and (acc, kept) not in (("f32", "f16"), ("f32", "bf16")) and arch_of(record) == "a3":
                yield f"a3 keeps an accumulator in L1 as f16 or bf16 from f32, or with a scale; got {kept} from {acc}"
        else:
            yield from (f"{what} needs an acc tile as src; got {route[0]}" for what in fix_options(record))
            if route[1] != "bias":
                yield from one_dtype(record, "src", "dst")
        yield from in_memory(record, "scaling", "fp")

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        """What the library does inside this instance."""
        return cls.internals

    @classmethod
    def moved(cls, values: dict[str, Any], attributes: dict[str, Any], src: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The values of src as they arrive."""
        return fixpipe.convert(src, dtype, values.get("fp", values.get("pre_quant_scalar")), relu(attributes))

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return chip_transfer(refs["src"], refs["dst"], refs["dst"])


def chip_transfer(src: TileRef, dst: TileRef, moved: TileRef) -> tuple[WorkItem, ...]:
    """One transfer of the moved window: in rows between unboxed tiles of UB, in whole fractals else."""
    path, size = f"{src.memory}_to_{dst.memory}", DTYPES[moved.dtype].bytes
    if src.memory == dst.memory == "ub" and moved.slayout == "none_box":
        return ub_copy(src, dst, moved)
    rows, cols = moved.v_rows, moved.v_cols
    if moved.slayout != "none_box":
        deep = max(1, BLOCK_BYTES // size)
        unit_rows, unit_cols = (deep, 16) if moved.memory == "l0b" else (16, deep)
        rows, cols = -(-rows // unit_rows) * unit_rows, -(-cols // unit_cols) * unit_cols
    return (Transfer(path, 1, rows * cols * size),)


def ub_copy(src: TileRef, dst: TileRef, moved: TileRef) -> tuple[WorkItem, ...]:
    """Copies of 32-byte blocks: one for all rows where both tiles are dense, else one a row (pto-isa, TMovToVecImpl)."""
    lines, line = (moved.v_cols, moved.v_rows) if moved.blayout == "col_major" else (moved.v_rows, moved.v_cols)
    pitches = {(t.rows if t.blayout == "col_major" else t.cols) for t in (src, dst)}
    blocks = -(-line * DTYPES[moved.dtype].bytes // BLOCK_BYTES) * BLOCK_BYTES
    if pitches == {line} or lines == 1:
        return (Transfer("ub_to_ub", 1, -(-lines * line * DTYPES[moved.dtype].bytes // BLOCK_BYTES) * BLOCK_BYTES),)
    return (Transfer("ub_to_ub", 1, blocks),) * lines


class Mov(ChipCopy):
    """dst[i, j] = src[i, j].  Shapes: equal, storage and valid parts; a bias or scaling row is one row of whole bursts."""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        src, dst = record.tile("src"), record.tile("dst")
        if (src.rows, src.cols) != (dst.rows, dst.cols):
            yield f"src and dst must have one shape; got {src.rows}x{src.cols} and {dst.rows}x{dst.cols}"
        unit = BURST_UNITS.get(dst.loc)
        if unit and (src.rows != 1 or src.cols * src.dtype.bytes % unit):
            yield f"a {dst.loc} tile takes one row of a multiple of {unit} bytes; got {src.rows}x{src.cols}x{src.dtype}"
        if dst.loc == "bias" and (src.dtype.name, dst.dtype.name) not in (("f32", "f32"), ("i32", "i32"), ("f16", "f32")):
            yield f"a bias is f32 from f32 or f16, or i32 from i32; got {dst.dtype} from {src.dtype}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"]
        rows, cols = min(src.shape[0], dst.shape[0]), min(src.shape[1], dst.shape[1])
        result = dst.copy()
        result[:rows, :cols] = cls.moved(values, attributes, src[:rows, :cols], dst.dtype)
        return {"dst": result}


class TMov(Mov, name="tmov"):
    """dst[i, j] = src[i, j]; from L0C converted, with `fp` per column or `pre_quant_scalar` for all, and rectified.

    Routes: vec to vec (V), mat to left, right, bias, scaling (MTE1), acc to mat (FIX); on a5 also acc to vec (FIX) and vec to mat (MTE3).
    Source: pto-isa TMOV, A2/A3.
    """

    src: Operand[Tile]
    dst: Operand[Tile]
    fp: Optional[Operand[Tile]] = None
    pre_quant_scalar: Optional[Operand[Any]] = None
    reads = ("src", "fp")
    scalars = {"pre_quant_scalar": DTYPES["i64"]}
    plain_copy = True
    format = (
        "`ins` `(` $src `:` type($src) (`,` $fp^ `:` type($fp))? (`,` $pre_quant_scalar^ `:` type($pre_quant_scalar))? `)` "
        "`outs` `(` $dst `:` type($dst) `)` attr-dict"
    )
    cpp = "TMOV[<{dst.type}, {src.type}, {accToVecMode}>][<{dst.type}, {src.type}, {reluPreMode}>]({dst}, {src}[, {fp}][, {pre_quant_scalar}]);"

    @classmethod
    def copied(cls, record: Record) -> str:
        alone = set(record.operands) == {"src", "dst"} and record.types["src"].dtype == record.types["dst"].dtype
        return "src" if alone and not fix_options(record) else ""


class TMovFp(Mov, name="tmov_fp"):
    """dst[i, j] = src[i, j] scaled by column j's control word fp[0, j]; L0C to L1.  Source: pto-isa TMOV_FP, A2/A3."""

    src: Operand[Tile]
    fp: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tmov.fp"
    reads = ("src", "fp")
    format = ins_outs("src", "fp")
    cpp = "TMOV_FP<{dst.type}, {src.type}, {fp.type}[, {reluPreMode}]>({dst}, {src}, {fp});"


class Windowed(ChipCopy):
    """A move of a window at (index_row, index_col) of the larger tile.  `larger` and `smaller` name the two."""

    larger, smaller = "src", "dst"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        large, small = record.tile(cls.larger), record.tile(cls.smaller)
        if (small.v_rows or 0) > large.rows or (small.v_cols or 0) > large.cols:
            yield f"{cls.smaller} must fit into {cls.larger}; got {small.v_rows}x{small.v_cols} and {large.rows}x{large.cols}"

    @classmethod
    def narrow(cls, operands: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
        """The same command on the window alone: its index is 0, so that only the bytes that are touched are named."""
        large, small = operands[cls.larger], operands[cls.smaller]
        row, col = operands["index_row"], operands["index_col"]
        window = large._replace(row=large.row + row, col=large.col + col, v_rows=small.v_rows, v_cols=small.v_cols)
        return operands | {cls.larger: window, "index_row": 0, "index_col": 0}


def window_format(*names: str) -> str:
    """ins(%src, .., %row, %col : type, .., index, index) outs(%dst : type)."""
    return ins_outs(*names, "index_row", "index_col")


class Extract(Windowed):
    """dst[i, j] = src[index_row + i, index_col + j].  On a3 windows begin at whole fractals, in UB at whole blocks of 32 bytes."""

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        one = record.tile("dst").valid == (1, 1) and cls.route(record) == ("vec", "vec")
        return {"event_ids": (V_TO_S, S_TO_V)} if one else {}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        (rows, cols), row, col = values["dst"].shape, int(values["index_row"]), int(values["index_col"])
        if "fp" in values:
            values = values | {"fp": values["fp"][:, col : col + cols]}
        return {"dst": cls.moved(values, attributes, values["src"][row : row + rows, col : col + cols], values["dst"].dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return window_work(refs["src"], refs["dst"], refs["dst"])


def window_work(src: TileRef, dst: TileRef, moved: TileRef) -> tuple[WorkItem, ...]:
    """A window between UB tiles is one strided copy of blocks and a masked copy of what is left of a row; one element goes by S."""
    if not src.memory == dst.memory == "ub":
        return chip_transfer(src, dst, moved)
    if moved.shape == (1, 1):
        return (Scalar(2),)
    if moved.slayout != "none_box":
        return chip_transfer(src, dst, moved)
    whole, rest = divmod(moved.v_cols * DTYPES[moved.dtype].bytes, BLOCK_BYTES)
    copy = [Transfer("ub_to_ub", moved.v_rows, whole * BLOCK_BYTES)] if whole else []
    parts = [255] * (moved.v_rows // 255) + [moved.v_rows % 255] * (moved.v_rows % 255 > 0)
    return (*copy, *(Vector("vcopy", "ui16", n) for n in parts if rest))


class TExtract(Extract, name="textract"):
    """dst[i, j] = src[index_row + i, index_col + j]: L1 to L0A or L0B (MTE1), UB to UB (V), L0C to L1 (FIX).  Source: pto-isa TEXTRACT."""

    src: Operand[Tile]
    index_row: Operand[Any]
    index_col: Operand[Any]
    dst: Operand[Tile]
    format = window_format("src")
    cpp = "TEXTRACT[<{dst.type}, {src.type}, {reluPreMode}>]({dst}, {src}, {index_row}, {index_col});"


class TExtractFp(Extract, name="textract_fp"):
    """textract out of L0C, scaled by column j's control word fp[0, index_col + j].  Source: pto-isa TEXTRACT_FP, A2/A3."""

    src: Operand[Tile]
    fp: Operand[Tile]
    index_row: Operand[Any]
    index_col: Operand[Any]
    dst: Operand[Tile]
    reads = ("src", "fp")
    format = window_format("src", "fp")
    cpp = "TEXTRACT_FP<{dst.type}, {src.type}, {fp.type}[, {reluPreMode}]>({dst}, {src}, {fp}, {index_row}, {index_col});"


class Insert(Windowed):
    """dst[index_row + i, index_col + j] = src[i, j]; the rest of dst stays.

    That is why dst is also among `reads`.  `partial` names it: once `narrow` has cut it down to the window, it is only written.
    """

    larger, smaller = "dst", "src"
    reads = ("src", "dst")
    partial = ("dst",)

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        one = record.tile("src").valid == (1, 1) and cls.route(record) == ("vec", "vec")
        return {"event_ids": (V_TO_S, S_TO_V)} if one else {}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"].copy()
        row, col = int(values["index_row"]), int(values["index_col"])
        dst[row : row + src.shape[0], col : col + src.shape[1]] = cls.moved(values, attributes, src, dst.dtype)
        return {"dst": dst}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        moved = refs["dst"]._replace(v_rows=refs["src"].v_rows, v_cols=refs["src"].v_cols)
        return window_work(refs["src"], refs["dst"], moved)


class TInsert(Insert, name="tinsert"):
    """dst[index_row + i, index_col + j] = src[i, j]: UB to UB (V), L0C to L1 (FIX), on a5 UB to L1 (MTE3).  Source: pto-isa TINSERT."""

    src: Operand[Tile]
    index_row: Operand[Any]
    index_col: Operand[Any]
    dst: Operand[Tile]
    format = window_format("src")
    cpp = "TINSERT[<{dst.type}, {src.type}, {reluPreMode}>]({dst}, {src}, {index_row}, {index_col});"


class TInsertFp(Insert, name="tinsert_fp"):
    """tinsert out of L0C, scaled by column j's control word fp[0, j].  Source: pto-isa TINSERT_FP, A2/A3."""

    src: Operand[Tile]
    fp: Operand[Tile]
    index_row: Operand[Any]
    index_col: Operand[Any]
    dst: Operand[Tile]
    reads = ("src", "fp", "dst")
    format = window_format("src", "fp")
    cpp = "TINSERT_FP<{dst.type}, {src.type}, {fp.type}[, {reluPreMode}]>({dst}, {src}, {fp}, {index_row}, {index_col});"
