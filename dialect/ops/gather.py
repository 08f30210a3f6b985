"""Gathers and scatters: within UB by index, by bytes and by pattern, and between UB and global memory."""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import Scalar, Transfer, Vector, WorkItem

from ..dtypes import DTYPES
from ..families import (
    BLOCK_BYTES,
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
    scratch,
)
from ..layout import Ref
from ..mlir import ir
from ..op import PtoOp, Record
from ..types import TileBufType as Tile
from ..types import View
from .rearrange import BYTES_1_2_4

Operand = ir.Value

PATTERNS = {"P0101": (2, 0), "P1010": (2, 1), "P0001": (4, 0), "P0010": (4, 1), "P0100": (4, 2), "P1000": (4, 3), "P1111": (1, 0)}
"""Mask pattern to (period, offset): the columns offset, offset + period, ..  Source: pto-isa 3186c381, include/pto/cpu/TGather.hpp."""

INDICES = ("i32", "ui32")


class TGather(VectorOp, name="tgather"):
    """By index: dst[i, j] = src at flat index indices[i, j].  By pattern: every second or fourth column of src, packed.  By comparison:
    dst[i, :] = offset + flat indices of the elements of row i that are equal to (or greater than) k_value, cdst[i] their number.

    Flat indices count src's storage row by row; one outside of it gives 0 on the CPU build, anything on the device.
    Source: pto-isa TGATHER, A2/A3.
    """

    src: Operand[Tile]
    dst: Operand[Tile]
    cdst: Optional[Operand[Tile]] = None
    indices: Optional[Operand[Tile]] = None
    tmp: Optional[Operand[Tile]] = None
    k_value: Optional[Operand[Any]] = None
    reads = ("src", "indices")
    writes = ("dst", "cdst", "tmp")
    enums = {"maskPattern": "mask_pattern", "cmpMode": "cmp"}
    format = (
        "`ins` `(` $src `,` `{` `maskPattern` `=` $maskPattern `}` `:` type($src) `)` `outs` `(` $dst `:` type($dst) `)` attr-dict",
        "`ins` `(` $src `,` $k_value (`,` $tmp^)? `:` type($src) `,` type($k_value) (`,` type($tmp)^)? `)` "
        "`outs` `(` $dst `,` $cdst `:` type($dst) `,` type($cdst) `)` attr-dict",
        "`ins` `(` $src `,` $indices (`,` $tmp^)? `:` type($src) `,` type($indices) (`,` type($tmp)^)? `)` "
        "`outs` `(` $dst `:` type($dst) `)` attr-dict",
    )
    cpp = (
        "[TGATHER({dst}, {src}, {indices}, {tmp});][TGATHER<{dst.type}, {src.type}, {maskPattern}>({dst}, {src});]"
        "[TGATHER<{dst.type}, {src.type}, {k_value.type}, {cdst.type}, {tmp.type}, {cmpMode}>({dst}, {src}, {k_value}, {cdst}, {tmp}, {offset});]"
    )

    @classmethod
    def attributes_of(cls, record: Record) -> dict[str, Any]:
        """What the meaning needs of the types."""
        return {"src_cols": record.tile("src").cols}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "dst", "cdst", "indices", "tmp")
        yield from plain(record, ("row_major",), "src", "dst", "indices")
        forms = {"maskPattern" in record.attributes, "indices" in record.operands, "k_value" in record.operands}
        if sum((k in record.attributes) for k in ("maskPattern",)) + sum(k in record.operands for k in ("indices", "k_value")) != 1 or not any(forms):
            yield "give one of maskPattern, indices and k_value"
        src, dst = record.tile("src"), record.tile("dst")
        if "indices" in record.operands:
            yield from of_dtype(record, INDICES, "indices")
            yield from one_dtype(record, "src", "dst")
            if src.dtype.bytes not in (2, 4):
                yield f"elements must have 2 or 4 bytes; got {src.dtype}"
        elif "k_value" in record.operands:
            yield from of_dtype(record, INDICES, "dst")
            if "cdst" not in record.operands:
                yield "a gather by comparison needs cdst for the counts"
            if record.attributes.get("cmpMode", "eq") not in ("eq", "gt"):
                yield f"a gather by comparison knows eq and gt; got {record.attributes['cmpMode']}"
        else:
            if src.dtype.bytes != dst.dtype.bytes:
                yield f"src and dst must have elements of one size; got {src.dtype} and {dst.dtype}"
            if dst.v_cols != dst.cols:
                yield f"what a pattern chooses is packed: all columns of dst must be valid; got {dst}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"]
        if "indices" in values:
            return {"dst": by_index(src, values["indices"], attributes.get("src_cols", src.shape[1]))} | scratch(values)
        if "k_value" in values:
            return cls.by_comparison(values, attributes)
        period, offset = PATTERNS[attributes["maskPattern"]]
        chosen = np.ascontiguousarray(src[:, offset::period]).view(dst.dtype).ravel()
        result = dst.copy()
        result.flat[: chosen.size] = chosen
        return {"dst": result}

    @classmethod
    def by_comparison(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        """Indices and counts of the elements that pass."""
        src, dst, counts = values["src"], values["dst"].copy(), values["cdst"].copy()
        for i, row in enumerate(src):
            passed = np.flatnonzero(row > values["k_value"] if attributes.get("cmpMode", "eq") == "gt" else row == values["k_value"])
            dst[i, : passed.size] = attributes.get("offset", 0) + i * attributes.get("src_cols", src.shape[1]) + passed
            counts.flat[i] = passed.size
        return {"dst": dst, "cdst": counts} | scratch(values)

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        if "indices" in refs:
            words, values = (-(-dst.v_cols * size // REPEAT_BYTES) for size in (4, DTYPES[dst.dtype].bytes))
            return (Vector("vmuls", "i32", words), Vector("vgather", dst.dtype, values, True)) * dst.v_rows
        line = -(-src.v_cols // elements_per_repeat(src.dtype))
        if "cdst" in refs:
            compares = (Scalar(1), Vector("vcmpvs", src.dtype, line)) * src.v_rows
            return (Scalar(src.rows * src.cols), *compares, *(Vector("vreducev2", "ui32", line, i == 0) for i in range(src.v_rows)))
        return (Vector("vreducev2", src.dtype, src.v_rows * line),)


def by_index(src: np.ndarray, indices: np.ndarray, src_cols: int) -> np.ndarray:
    """Elements at flat storage indices; 0 for one outside of src's valid part."""
    rows, cols = np.divmod(indices.astype(np.int64), src_cols)
    inside = (indices.astype(np.int64) >= 0) & (rows < src.shape[0]) & (cols < src.shape[1])
    return np.where(inside, src[np.where(inside, rows, 0), np.where(inside, cols, 0)], src.dtype.type(0)).astype(src.dtype)


class TGatherB(VectorOp, name="tgatherb"):
    """Block (i, b) of dst, 32 bytes, = the 32 bytes of src that begin at byte offsets[i, b].

    Shapes: dst [rows, cols], offsets [rows, cols / elements of a block] of ui32, each a multiple of 32.  Source: pto-isa TGATHERB, A2/A3.
    """

    src: Operand[Tile]
    offsets: Operand[Tile]
    dst: Operand[Tile]
    reads = ("src", "offsets")
    format = ins_outs("src", "offsets")
    cpp = "TGATHERB({dst}, {src}, {offsets});"
    dtypes = BYTES_1_2_4

    @classmethod
    def attributes_of(cls, record: Record) -> dict[str, Any]:
        """What the meaning needs of the types."""
        return {"src_cols": record.tile("src").cols}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "offsets", "dst")
        yield from one_dtype(record, "src", "dst")
        yield from of_dtype(record, cls.dtypes, "dst")
        yield from of_dtype(record, ("ui32", "i32"), "offsets")
        yield from plain(record, ("row_major",), "src", "offsets", "dst")
        dst, block = record.tile("dst"), elements_per_block(record.tile("dst").dtype.name)
        if dst.v_cols is not None and dst.v_cols % block:
            yield f"dst's valid columns must be whole blocks of {block} (32 bytes); got {dst.v_cols}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"]
        block = BLOCK_BYTES // dst.dtype.itemsize
        first = values["offsets"][:, : dst.shape[1] // block].astype(np.int64) // dst.dtype.itemsize
        flat = (first[..., None] + np.arange(block)).reshape(dst.shape)
        return {"dst": by_index(src, flat, attributes.get("src_cols", src.shape[1]))}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        whole, rest = divmod(dst.v_cols, elements_per_repeat(dst.dtype))
        lines = [Vector("vgatherb", dst.dtype, whole)] * dst.v_rows if whole else []
        return (*lines, *([Vector("vgatherb", dst.dtype, dst.v_rows)] if rest else []))


class TScatter(VectorOp, name="tscatter"):
    """dst = 0 everywhere, then dst at flat index indexes[i, j] = src[i, j], the last of equals staying.

    Indices count dst's storage row by row.  The library clears dst with the vector engine and moves the elements with the scalar unit.
    The CPU build does not clear.  Source: pto-isa TSCATTER, A2/A3.
    """

    src: Operand[Tile]
    indexes: Operand[Tile]
    dst: Operand[Tile]
    reads = ("src", "indexes")
    format = ins_outs("src", "indexes")
    cpp = "TSCATTER({dst}, {src}, {indexes});"
    dtypes = BYTES_1_2_4
    internals = {"drained": True, "event_ids": (V_TO_S, S_TO_V)}

    @classmethod
    def attributes_of(cls, record: Record) -> dict[str, Any]:
        """What the meaning needs of the types."""
        return {"dst_cols": record.tile("dst").cols}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "indexes", "dst")
        yield from one_dtype(record, "src", "dst")
        yield from plain(record, ("row_major",), "src", "indexes", "dst")
        wanted = {4: ("i32", "ui32"), 2: ("i16", "ui16"), 1: ("i16", "ui16")}.get(record.tile("dst").dtype.bytes, ())
        yield from of_dtype(record, wanted, "indexes")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        result = np.zeros_like(values["dst"])
        indexes = values["indexes"].astype(np.int64)
        src = values["src"][: indexes.shape[0], : indexes.shape[1]]
        rows, cols = np.divmod(indexes, attributes.get("dst_cols", result.shape[1]))
        inside = (indexes >= 0) & (rows < result.shape[0]) & (cols < result.shape[1])
        for i, j, value in zip(rows[inside], cols[inside], src[inside]):  # in order: numpy leaves open which of equals stays
            result[i, j] = value
        return {"dst": result}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst, count = refs["dst"], refs["indexes"].v_rows * refs["indexes"].v_cols
        return (Vector("vector_dup", dst.dtype, -(-dst.rows * dst.cols * DTYPES[dst.dtype].bytes // REPEAT_BYTES)), Scalar(3 * count))


class GlobalIndexed(PtoOp):
    """Elements or rows of global memory by index.

    coalesce = elem: idx has an entry per element, `mem` is dense and indices are flat.  coalesce = row: idx has one entry per row (as a row
    or a column), whole rows of mem's last two dimensions are moved.  Always spelled in C++: the device's default is Row, the CPU build's Elem.
    """

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        tile = "dst" if "dst" in record.types else "src"
        yield from in_memory(record, "vec", "idx", tile)
        if not isinstance(record.types["mem"], View):
            yield f"mem must be a view of global memory; got {record.types['mem']}"
            return
        if record.types["mem"].dtype.bytes != record.tile(tile).dtype.bytes:
            yield f"mem and {tile} must have elements of one size; got {record.types['mem'].dtype} and {record.tile(tile).dtype}"
        yield from of_dtype(record, INDICES, "idx")
        moved, idx = record.tile(tile).valid, record.tile("idx").valid
        rows = record.attributes.get("coalesce", "elem") == "row"
        if None not in (*moved, *idx) and idx not in (((1, moved[0]), (moved[0], 1)) if rows else (moved,)):
            wanted = f"row (coalesce = row) of {tile}" if rows else f"element of {tile}, or the op coalesce = #pto.coalesce<row>"
            yield f"idx must have an entry for each {wanted}; got {idx[0]}x{idx[1]} for {moved[0]}x{moved[1]}"

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        """What the library does inside this instance."""
        return cls.internals


def by_row(attributes: dict[str, Any]) -> bool:
    """True where whole rows are moved."""
    return attributes.get("coalesce", "elem") == "row"


def bounded(indices: np.ndarray, capacity: int, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices after the out-of-bounds mode (clamp, wrap, zero, skip, undefined), and which of them are inside."""
    flat = indices.astype(np.int64)
    if mode == "clamp":
        flat = np.clip(flat, 0, capacity - 1)
    elif mode == "wrap":
        flat = flat % capacity
    return flat, (flat >= 0) & (flat < capacity)


class MGather(GlobalIndexed, name="mgather"):
    """dst[i, j] = mem at flat index idx[i, j], or dst[i, :] = row idx[i] of mem.

    gatherOob: undefined, clamp, wrap, zero.  The scalar unit reads each index and issues one load for it.  Source: pto-isa MGATHER, A2/A3.
    """

    mem: Operand[Any]
    idx: Operand[Tile]
    dst: Operand[Tile]
    pipe = "MTE2"
    reads = ("mem", "idx")
    writes = ("dst",)
    format = ins_outs("mem", "idx")
    cpp = "MGATHER<{coalesce|Coalesce::Elem}[, {gatherOob}]>({dst}, {mem}, {idx});"
    internals = {
        "drained": True,
        "event_ids": tuple(
            (f"PIPE_{a}", f"PIPE_{b}", 0)
            for a, b in (("V", "S"), ("MTE3", "S"), ("S", "MTE2"), ("MTE2", "V"), ("MTE2", "MTE3"), ("S", "V"), ("S", "MTE3"))
        ),
    }

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        mem, idx, dst = values["mem"], values["idx"], values["dst"]
        table = mem.reshape(-1, mem.shape[-1])[:, : dst.shape[1]] if by_row(attributes) else mem.reshape(-1, 1)
        indices, inside = bounded(idx.reshape(-1), len(table), attributes.get("gatherOob", "undefined"))
        taken = np.where(inside[:, None], table[np.where(inside, indices, 0)], table.dtype.type(0))
        return {"dst": np.ascontiguousarray(taken.reshape(dst.shape)).view(dst.dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return indexed_work("gm_to_ub", refs["idx"], refs["dst"])


def indexed_work(path: str, idx: Ref, tile: Ref) -> tuple[WorkItem, ...]:
    """Per index: the scalar unit reads it, one transfer moves what it names."""
    count, size = idx.v_rows * idx.v_cols, DTYPES[tile.dtype].bytes
    return (Scalar(2 * count), *[Transfer(path, 1, tile.v_rows * tile.v_cols * size // count)] * count)


class MScatter(GlobalIndexed, name="mscatter"):
    """mem at flat index idx[i, j] = src[i, j], or row idx[i] of mem = src[i, :], the last of equals staying; other elements stay.

    scatterAtomicOp: none, add, max, min with what is there.  scatterOob: undefined, skip, clamp, wrap.  Source: pto-isa MSCATTER, A2/A3.
    """

    src: Operand[Tile]
    idx: Operand[Tile]
    mem: Operand[Any]
    pipe = "MTE3"
    reads = ("src", "idx", "mem")
    writes = ("mem",)
    format = "`ins` `(` $src `,` $idx `:` type($src) `,` type($idx) `)` `outs` `(` $mem `:` type($mem) `)` attr-dict"
    cpp = "MSCATTER<{coalesce|Coalesce::Elem}, {scatterAtomicOp|ScatterAtomicOp::None}[, {scatterOob}]>({mem}, {src}, {idx});"
    internals = {"drained": True, "event_ids": tuple((f"PIPE_{a}", f"PIPE_{b}", 0) for a, b in (("V", "S"), ("MTE2", "S"), ("S", "MTE3")))}

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, idx, mem = values["src"], values["idx"], values["mem"].copy()
        rows = by_row(attributes)
        table = mem.reshape(-1, mem.shape[-1])[:, : src.shape[1]] if rows else mem.reshape(-1, 1)
        data = np.ascontiguousarray(src).view(mem.dtype).reshape(-1, table.shape[1])
        combine = {"add": np.add, "max": np.maximum, "min": np.minimum}.get(attributes.get("scatterAtomicOp", "none"))
        indices, inside = bounded(idx.reshape(-1), len(table), attributes.get("scatterOob", "undefined"))
        for at, line in zip(indices[inside], data[inside]):
            table[at] = line if combine is None else combine(table[at], line)
        return {"mem": mem}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return indexed_work("ub_to_gm", refs["idx"], refs["src"])
