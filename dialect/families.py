"""Families of ops: what the members of a unit have in common, so that a regular op is a few lines."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Cube, Transfer, Vector, WorkItem

from .dtypes import DTYPES
from .layout import Ref, TileRef, ViewRef
from .mlir import ir
from .op import PtoOp, Record

REPEAT_BYTES = 256
"""Bytes that one repeat of a vector instruction handles.  Source: pto-isa 3186c381, include/pto/npu/a2a3/common.hpp (REPEAT_BYTE)."""

BLOCK_BYTES = 32
"""Bytes of a block, the unit of strides and alignment in UB.  Source: pto-isa 3186c381, include/pto/common/constants.hpp."""

V_TO_S, S_TO_V = ("PIPE_V", "PIPE_S", 0), ("PIPE_S", "PIPE_V", 0)
"""The events that library code takes where its vector and scalar parts alternate: EVENT_ID0."""

DPS = "`ins` `(` {ins} `:` {types} `)` `outs` `(` $dst `:` type($dst) `)` attr-dict"


def ins_outs(*names: str) -> str:
    """The ordinary assembly format: ins(%a, %b : type, type) outs(%dst : type) {attributes}."""
    ins, types = " `,` ".join(f"${n}" for n in names), " `,` ".join(f"type(${n})" for n in names)
    return DPS.format(ins=ins, types=types)


def repeats_of(ref: TileRef) -> int:
    """Repeats that one pass over a region takes: rows are joined where the region is contiguous, else each row is rounded up."""
    size = DTYPES[ref.dtype].bytes
    if ref.v_cols == ref.cols or ref.v_rows == 1 or ref.blayout == "col_major":
        return max(1, -(-ref.v_rows * ref.v_cols * size // REPEAT_BYTES))
    return max(1, ref.v_rows * -(-ref.v_cols * size // REPEAT_BYTES))


def elements_per_repeat(dtype: str) -> int:
    """Elements that one repeat handles."""
    return REPEAT_BYTES // DTYPES[dtype].bytes


def elements_per_block(dtype: str) -> int:
    """Elements in a block of 32 bytes."""
    return BLOCK_BYTES // DTYPES[dtype].bytes


def plain(record: Record, blayouts: tuple[str, ...], *names: str) -> Iterator[str]:
    """Every named tile is unboxed (slayout none_box) and has one of the block layouts."""
    for n in names:
        tile = record.types.get(n)
        if tile is None or not hasattr(tile, "slayout"):
            continue
        if tile.slayout != "none_box":
            yield f"{n} must be unboxed (slayout=none_box); got slayout={tile.slayout}"
        elif tile.blayout not in blayouts:
            yield f"{n} must have blayout {' or '.join(blayouts)}; got {tile.blayout}"


def one_dtype(record: Record, *names: str) -> Iterator[str]:
    """All named tiles have one element type."""
    tiles = [n for n in names if n in record.types]
    if len({record.types[n].dtype for n in tiles}) > 1:
        yield "all tiles must have one element type; got " + ", ".join(f"{n} {record.types[n].dtype}" for n in tiles)


def same_extent(record: Record, axis: int, *names: str) -> Iterator[str]:
    """No two known valid sizes along an axis (0 rows, 1 columns) differ."""
    known = [(n, record.types[n].valid[axis]) for n in names if n in record.types and record.types[n].valid[axis] is not None]
    if len({size for _, size in known}) > 1:
        yield f"valid {('rows', 'columns')[axis]} must be equal; got " + ", ".join(f"{n} {size}" for n, size in known)


def arch_of(record: Record) -> str:
    """The module's target, "a3" or "a5"; "" where the module does not say."""
    op = record.op
    while op.parent is not None:
        op = op.parent
        op = getattr(op, "operation", op)
    return target_arch(op)


def target_arch(module: ir.Operation) -> str:
    """What `pto.target_arch` of a module says: "a3" (also written a2a3) or "a5"; "" where it is absent."""
    if "pto.target_arch" not in module.attributes:
        return ""
    text = ir.StringAttr(module.attributes["pto.target_arch"]).value
    return "a3" if text == "a2a3" else text


def scratch(values: dict[str, Any]) -> dict[str, np.ndarray]:
    """What an op leaves in its scratch operand, where it has one: anything."""
    return {"tmp": values["tmp"]} if "tmp" in values else {}


def same_shapes(record: Record, *names: str) -> Iterator[str]:
    """All named tiles have one storage shape and no two known valid sizes differ."""
    tiles = [(n, record.types[n]) for n in names if n in record.types]
    first = tiles[0][1]
    for _, tile in tiles[1:]:
        for mine, other, what in zip(tile.valid, first.valid, ("rows", "columns")):
            if mine is not None and other is not None and mine != other:
                shapes = ", ".join(f"{name} {_shape(x)}" for name, x in tiles)
                yield f"all tiles must have the same valid {what}; got {shapes}"
                return


def in_memory(record: Record, loc: str, *names: str) -> Iterator[str]:
    """Every named tile lies in one location."""
    for n in names:
        tile = record.types.get(n)
        if tile is not None and getattr(tile, "loc", loc) != loc:
            yield f"{n} must be {'an' if loc == 'acc' else 'a'} {loc} tile; got {tile.loc}"


def of_dtype(record: Record, allowed: tuple[str, ...], *names: str) -> Iterator[str]:
    """Every named tile has one of the allowed element types."""
    for n in names:
        tile = record.types.get(n)
        if tile is not None and tile.dtype.name not in allowed:
            yield f"{n} must have one of the types {' '.join(allowed)}; got {tile.dtype}"


def _shape(tile: Any) -> str:
    rows, cols = ("?" if n is None else n for n in tile.valid)
    return f"{rows}x{cols}x{tile.dtype}"


class VectorOp(PtoOp):
    """Ops of the vector engine: tiles in UB, one result `dst`."""

    pipe = "V"
    writes = ("dst",)
    only_writes = True
    dtypes = ("f32", "f16", "i32", "i16")
    instruction = ""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        tiles = [n for n, x in record.types.items() if hasattr(x, "loc")]
        yield from in_memory(record, "vec", *tiles)
        yield from of_dtype(record, cls.dtypes, *cls.typed(record))

    @classmethod
    def typed(cls, record: Record) -> tuple[str, ...]:
        """Operands whose element type must be one of `dtypes`."""
        return tuple(n for n in record.types if n in (*cls.reads, *cls.writes))

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (Vector(cls.instruction, refs["dst"].dtype, repeats_of(refs["dst"])),)


class Elementwise(VectorOp):
    """dst[i, j] = f(src...[i, j]): equal shapes and types; `numpy` is f."""

    numpy = None

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        yield from same_shapes(record, *cls.reads, "dst")
        tiles = [n for n in (*cls.reads, "dst") if hasattr(record.types.get(n), "loc")]
        if len({record.types[n].dtype for n in tiles}) > 1:
            yield "all tiles must have one element type; got " + ", ".join(f"{n} {record.types[n].dtype}" for n in tiles)

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dtype = values["dst"].dtype
        return {"dst": np.asarray(cls.numpy(*(values[n] for n in cls.reads))).astype(dtype, copy=False)}


class CubeOp(PtoOp):
    """Ops of the cube engine."""

    pipe = "M"
    writes = ("dst",)
    only_writes = True

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        lhs, rhs = refs["lhs"], refs["rhs"]
        return (Cube(lhs.dtype, lhs.v_rows, lhs.v_cols, rhs.v_cols),)


class TransferOp(PtoOp):
    """Moves between memories; the path decides engine and price."""

    writes = ("dst",)
    only_writes = True
    reads = ("src",)


def transfer(path: str, ref: Ref) -> Transfer:
    """The transfer of a region along a path, in the runs that lie in memory."""
    accesses = ref.accesses()
    bursts = 0
    total = 0
    unaligned = False
    for access in accesses:
        runs = 1
        for count, stride in access.levels:
            runs *= count
            unaligned |= stride % BLOCK_BYTES > 0
        bursts += runs
        total += runs * access.run
    return Transfer(path, bursts, total // bursts, unaligned) if bursts else Transfer(path, 1, 0)


__all__ = ["CubeOp", "Elementwise", "TileRef", "TransferOp", "VectorOp", "ViewRef", "in_memory", "ins_outs", "of_dtype", "repeats_of", "same_shapes", "transfer"]
