"""Sorting: blocks of 32 with their indices, merges of sorted lists, histograms of bytes.

A sorted list is a row of pairs of 8 bytes: f32 value and index, or f16 value, an unused f16, and the index's two halves.
"""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import Scalar, Transfer, Vector, WorkItem

from ..dtypes import DTYPES
from ..families import BLOCK_BYTES, VectorOp, arch_of, in_memory, ins_outs, of_dtype, one_dtype, plain, same_extent, scratch
from ..layout import Ref
from ..mlir import ir
from ..op import PtoOp, Record
from ..types import TileBufType as Tile

Operand = ir.Value

SORTED = 32
"""Values that one vbitsort repeat sorts.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TSort32.hpp."""

PAIR_BYTES = 8
"""Bytes of a value with its index.  Source: the same, TMrgSort.hpp (STRUCT_SIZE_SHIFT)."""

MERGED_LISTS = 4
"""Lists that one merge joins.  Source: the same."""

SOURCES = ("src0", "src1", "src2", "src3")

MOST_REPEATS = 255
"""Repeats of one instruction.  Source: pto-isa 3186c381, include/pto/common/constants.hpp (REPEAT_MAX)."""


class TSort32(VectorOp, name="tsort32"):
    """Every 32 columns of src sorted, largest first (of equals the one with the smaller index), each value followed by its index.

    Shapes: src, idx [rows, cols], dst [rows, 2 cols] of f32 or [rows, 4 cols] of f16; tmp holds a row of src, needed where cols is no
    multiple of 32.  Dtypes: src f32 or f16, idx ui32.  Source: pto-isa TSORT32, A2/A3.
    """

    src: Operand[Tile]
    idx: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    reads = ("src", "idx")
    writes = ("dst", "tmp")
    format = "`ins` `(` $src `,` $idx (`,` $tmp^)? `:` type($src) `,` type($idx) (`,` type($tmp)^)? `)` `outs` `(` $dst `:` type($dst) `)` attr-dict"
    cpp = "TSORT32({dst}, {src}, {idx}[, {tmp}]);"
    internals = {"drained": True}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "idx", "tmp", "dst")
        yield from of_dtype(record, ("f32", "f16"), "src", "dst")
        yield from of_dtype(record, ("ui32", "i32"), "idx")
        yield from one_dtype(record, "src", "dst")
        yield from plain(record, ("row_major",), "src", "idx", "dst")
        yield from same_extent(record, 0, "src", "dst")
        yield from same_extent(record, 1, "src", "idx")
        src, dst = record.tile("src"), record.tile("dst")
        if src.v_cols is not None and src.v_cols % SORTED and "tmp" not in record.operands:
            yield f"columns that are no multiple of {SORTED} need a tmp tile; got {src.v_cols} columns and none"
        pair = PAIR_BYTES // src.dtype.bytes
        if None not in (src.v_cols, dst.v_cols) and dst.v_cols != src.v_cols * pair:
            yield f"dst must have {pair} columns for each of src's {src.v_cols}; got {dst.v_cols}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, idx = values["src"], np.broadcast_to(values["idx"], values["src"].shape).astype(np.uint32)
        pairs = np.empty(src.shape, [("value", src.dtype), ("index", np.uint32)])
        for first in range(0, src.shape[1], SORTED):
            block = slice(first, first + SORTED)
            order = np.lexsort((idx[:, block], -src[:, block].astype(np.float32)), axis=1)
            pairs["value"][:, block] = np.take_along_axis(src[:, block], order, axis=1)
            pairs["index"][:, block] = np.take_along_axis(idx[:, block], order, axis=1)
        return {"dst": packed(pairs)} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src = refs["src"]
        whole, rest = divmod(src.v_cols, SORTED)
        if rest:
            copy = Transfer("ub_to_ub", 1, -(-src.v_cols * DTYPES[src.dtype].bytes // BLOCK_BYTES) * BLOCK_BYTES)
            row: tuple[WorkItem, ...] = (copy, Vector("vector_dup", src.dtype, 1, True), Vector("vbitsort", src.dtype, whole + 1, True))
        else:
            parts = [MOST_REPEATS] * (whole // MOST_REPEATS) + [whole % MOST_REPEATS] * (whole % MOST_REPEATS > 0)
            row = tuple(Vector("vbitsort", src.dtype, n, True) for n in parts)
        first, *others = row * src.v_rows
        first = first._replace(barrier=False) if isinstance(first, Vector) else first
        return (first, *others, Vector("vbitsort", src.dtype, 0, True))


def packed(pairs: np.ndarray) -> np.ndarray:
    """Records of value and index as the row of numbers that lies in memory."""
    value, index = pairs["value"], pairs["index"]
    if value.dtype.itemsize == 4:
        return np.stack([value, index.view(value.dtype)], axis=-1).reshape(len(value), -1)
    halves = np.ascontiguousarray(index).view(np.uint16).view(value.dtype).reshape(*value.shape, 2)
    return np.concatenate([value[..., None], np.zeros_like(value)[..., None], halves], axis=-1).reshape(len(value), -1)


def merge(lists: list[np.ndarray], stop_early: bool = False) -> tuple[np.ndarray, list[int]]:
    """Sorted lists of pairs [n, elements of a pair] merged, and how many of each were taken.

    The largest first value goes next, of equals that of the earlier list; `stop_early`: until one list is empty.
    """
    taken = [0] * len(lists)
    merged = []
    while any(taken[k] < len(pairs) for k, pairs in enumerate(lists)):
        best = -1
        for k, pairs in enumerate(lists):
            if taken[k] < len(pairs) and (best < 0 or pairs[taken[k], 0] > lists[best][taken[best], 0]):
                best = k
        merged.append(lists[best][taken[best]])
        taken[best] += 1
        if stop_early and any(taken[k] == len(pairs) for k, pairs in enumerate(lists)):
            break
    width = lists[0].shape[1]
    return np.array(merged, lists[0].dtype).reshape(-1, width), taken


def merge_formats() -> tuple[str, ...]:
    """One source with a block length; or four, three or two sources, scratch, and the counts as a second result."""
    several = []
    for count in range(MERGED_LISTS, 1, -1):
        names = [*(f"src{k}" for k in range(count)), "tmp"]
        ins, types = " `,` ".join(f"${n}" for n in names), " `,` ".join(f"type(${n})" for n in names)
        early = "(`{` `exhausted` `=` $exhausted^ `}`)?"
        several.append(f"`ins` `(` {ins} {early} `:` {types} `)` `outs` `(` $dst `,` $excuted `:` type($dst) `,` type($excuted) `)` attr-dict")
    return (ins_outs("src0", "block_len"), *several)


class TMrgSort(VectorOp, name="tmrgsort"):
    """Sorted lists merged into one, largest first.

    With block_len: each four neighbouring sorted blocks of block_len elements of the one source become one.  Without: 2 to 4 sources
    become one list through tmp; `excuted` tells how many pairs of each were taken, `exhausted` stops when a source is used up.
    Shapes: one row of pairs of 8 bytes each.  Dtypes: f32 f16.  Source: pto-isa TMRGSORT, A2/A3.
    """

    src0: Operand[Tile]
    dst: Operand[Tile]
    src1: Optional[Operand[Tile]] = None
    src2: Optional[Operand[Tile]] = None
    src3: Optional[Operand[Tile]] = None
    block_len: Optional[Operand[Any]] = None
    tmp: Optional[Operand[Tile]] = None
    excuted: Optional[Operand[Any]] = None
    reads = SOURCES
    writes = ("dst", "tmp")
    scalars = {"block_len": DTYPES["i32"]}
    format = merge_formats()
    cpp = (
        "[TMRGSORT({dst}, {src0}, {block_len}][TMRGSORT<{dst.type}, {tmp.type}, {src0.type}, {src1.type}][, {src2.type}][, {src3.type}]"
        "[, {exhausted}>({dst}, {excuted}, {tmp}, {src0}, {src1}][, {src2}][, {src3}]);"
    )

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        given = [n for n in SOURCES if n in record.operands]
        one = "block_len" in record.operands
        if (one and len(given) != 1) or (not one and given not in [list(SOURCES[:n]) for n in range(2, MERGED_LISTS + 1)]):
            yield f"with block_len there is one source, without it 2 to {MERGED_LISTS}; got {', '.join(given)}"
        if not one and "tmp" not in record.operands:
            yield "a merge of several sources needs a tmp tile"
        for name in (*given, "tmp", "dst"):
            tile = record.types.get(name)
            if tile is not None and ((tile.loc, tile.rows, tile.blayout) != ("vec", 1, "row_major") or tile.dtype.name not in ("f32", "f16")):
                yield f"{name} must be a vec tile of one row of f32 or f16; got {tile}"
        yield from one_dtype(record, *given, "tmp", "dst")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        result = values["dst"].copy()
        pair = PAIR_BYTES // result.dtype.itemsize
        if "block_len" in values:
            block = int(values["block_len"])
            row = values["src0"][0]
            for first in range(0, row.size - MERGED_LISTS * block + 1, MERGED_LISTS * block):
                lists = [row[first + k * block : first + (k + 1) * block].reshape(-1, pair) for k in range(MERGED_LISTS)]
                result[0, first : first + MERGED_LISTS * block] = merge(lists)[0].ravel()
            return {"dst": result}
        lists = [values[n].reshape(-1, pair) for n in SOURCES if n in values]
        merged = merge(lists, bool(attributes.get("exhausted")))[0].ravel()[: result.size]
        result[0, : merged.size] = merged
        return {"dst": result} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        size = DTYPES[dst.dtype].bytes
        pairs = sum(refs[n].v_cols for n in SOURCES if n in refs) * size // PAIR_BYTES
        merged = Vector("vmrgsort4", dst.dtype, max(1, -(-pairs // SORTED)))  # a repeat of the table is 32 pairs
        if "tmp" not in refs:
            return (merged,)
        copy = Transfer("ub_to_ub", 1, -(-dst.v_cols * size // BLOCK_BYTES) * BLOCK_BYTES)
        return (merged, Vector("vmrgsort4", dst.dtype, 0, True), copy)


class THistogram(PtoOp, name="thistogram"):
    """dst[i, b] = how many elements of row i have a byte of at most b.

    isMSB: the high byte of each ui16; else the low byte of those whose high byte is idx[i, 0].  Shapes: src [rows, cols] ui16, idx
    [rows, 1] ui8, dst [rows, 256] ui32.  Ascend 950 (a5) only.  Source: pto-isa THISTOGRAM, A5 and its CPU build.
    """

    src: Operand[Tile]
    idx: Operand[Tile]
    dst: Operand[Tile]
    pipe = "V"
    reads = ("src", "idx")
    writes = ("dst",)
    format = ins_outs("src", "idx")
    cpp = "THISTOGRAM<{isMSB|true} ? HistByte::BYTE_1 : HistByte::BYTE_0>({dst}, {src}, {idx});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if arch_of(record) == "a3":
            yield "a3 has no histogram instruction; use an a5 target"
        yield from in_memory(record, "vec", "src", "idx", "dst")
        yield from of_dtype(record, ("ui16",), "src")
        yield from of_dtype(record, ("ui8",), "idx")
        yield from of_dtype(record, ("ui32",), "dst")
        yield from same_extent(record, 0, "src", "dst")
        if record.tile("dst").v_cols not in (None, 256):
            yield f"dst must have 256 valid columns, one for each byte; got {record.tile('dst').v_cols}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, result = values["src"], np.empty(values["dst"].shape, np.uint32)
        for i, row in enumerate(src):
            high, low = row >> 8, row & 0xFF
            counted = high if attributes.get("isMSB", True) else low[high == values["idx"][i, 0]]
            result[i] = np.cumsum(np.bincount(counted, minlength=256))
        return {"dst": result}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (Scalar(2 * refs["src"].v_rows * refs["src"].v_cols),)
