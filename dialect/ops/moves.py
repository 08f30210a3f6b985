"""Loads from and stores to global memory."""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import WorkItem

from .. import fixpipe
from ..dtypes import DTYPES
from ..families import TransferOp, in_memory, ins_outs, transfer
from ..layout import Ref, ViewRef
from ..mlir import ir
from ..op import PtoOp, Record
from ..types import Tile as TileType
from ..types import TileBufType as Tile
from ..types import View

Operand = ir.Value

ADDS = ("f32", "f16", "bf16", "i32", "i16", "i8")
"""Element types of an atomic addition.  Source: pto-isa 3186c381, include/pto/npu/a2a3/common.hpp (SetAtomicAdd)."""


def as_tile(view: np.ndarray, rows: int, cols: int, layout: str = "") -> np.ndarray:
    """A view of 1 to 5 dimensions as [rows, cols].

    nd: the last dimension is the columns, all others are rows; dn: the last but one is the rows, all others are columns; nz: of
    [c1, c0, r1, r0, c] rows are (r1, r0), columns (c1, c0, c).  Without a layout: the first of nd, nz, dn whose sizes are the tile's.
    Source: pto-isa 3186c381, include/pto/cpu/TLoad.hpp (CheckTileData).
    """
    d = (1,) * (5 - view.ndim) + view.shape
    view = view.reshape(d)
    sizes = {
        "nd": (d[0] * d[1] * d[2] * d[3], d[4]),
        "nz": (d[2] * d[3], d[0] * d[1] * d[4]),
        "dn": (d[3], d[0] * d[1] * d[2] * d[4]),
    }
    order = {"nd": (0, 1, 2, 3, 4), "nz": (2, 3, 0, 1, 4), "dn": (3, 0, 1, 2, 4)}
    chosen = next((name for name in ((layout,) if layout else sizes) if sizes[name] == (rows, cols)), None)
    assert chosen, f"a view of {d} is no tile of {rows}x{cols}"
    return view.transpose(order[chosen]).reshape(rows, cols)


def as_view(tile: np.ndarray, shape: tuple[int, ...], layout: str = "") -> np.ndarray:
    """A tile as a view of the given shape: the inverse of `as_tile`."""
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    result = np.empty(numbers.size, tile.dtype)
    result[as_tile(numbers, *tile.shape, layout)] = tile
    return result.reshape(shape)


def size_rules(view: View, tile: TileType, names: tuple[str, str]) -> Iterator[str]:
    """A view and a tile hold equally many elements, where both are known."""
    if None in view.shape or None in tile.valid:
        return
    if int(np.prod(view.shape)) != tile.v_rows * tile.v_cols:
        yield f"{names[0]} and {names[1]} must hold equally many elements; got {view} and {tile.v_rows}x{tile.v_cols}x{tile.dtype}"
    elif len(view.shape) <= 2 and (1,) * (2 - len(view.shape)) + view.shape != tile.valid:
        yield f"{names[0]} and the valid part of {names[1]} must have one shape; got {view} and {tile.v_rows}x{tile.v_cols}x{tile.dtype}"


def given(record: Record, name: str) -> str:
    """What stands where a view should."""
    type_ = record.types[name]
    return f"a {type_.loc} tile" if isinstance(type_, TileType) else str(record.operands[name].type)


def is_transposed(view: ViewRef) -> bool:
    """True where columns, not rows, lie in one piece (layout dn)."""
    if len(view.shape) < 2 or 1 in view.shape[-2:]:
        return False
    return view.strides[-2] == 1 and view.strides[-1] != 1


class TLoad(TransferOp, name="tload"):
    """dst[i, j] = src[i, j]: global memory to UB or L1, into dst's layout.

    Shapes: src of 1 to 5 dimensions with as many elements as dst's valid part (see `as_tile`).  A column-major view into a row-major
    boxed L1 tile is transposed on the way (path gm_to_l1_dn).  `pad` of dst's type fills the rest of a 32-byte block behind each row.
    Source: pto-isa TLOAD, A2/A3.
    """

    src: Operand[Any]
    dst: Operand[Tile]
    pad_value: Optional[Operand[Any]] = None
    left_padding_num: Optional[Operand[Any]] = None
    right_padding_num: Optional[Operand[Any]] = None
    init_condition: Optional[Operand[Any]] = None
    format = (
        "`ins` `(` $src `:` type($src) `)` `outs` `(` $dst `:` type($dst) `)` attr-dict (`pad_mode` `=` $pad_mode^)? "
        "(`pad_value` `=` $pad_value^ `:` type($pad_value))? (`left_padding_num` `=` $left_padding_num^ `:` type($left_padding_num))? "
        "(`init_out_buffer` `=` $init_out_buffer^)? (`right_padding_num` `=` $right_padding_num^ `:` type($right_padding_num))? "
        "(`init_condition` `=` $init_condition^ `:` type($init_condition))?"
    )
    pipe = "MTE2"
    cpp = "TLOAD({dst}, {src});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        src, dst = record.types["src"], record.tile("dst")
        if not isinstance(src, View):
            yield f"src must be a view of global memory; got {given(record, 'src')}"
            return
        if dst.loc not in ("vec", "mat"):
            yield f"dst must be a vec or mat tile; got {dst.loc}"
        if src.dtype.bytes != dst.dtype.bytes:
            yield f"src and dst must have elements of one size; got {src.dtype} and {dst.dtype}"
        yield from size_rules(src, dst, ("src", "dst"))

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"]
        loaded = as_tile(values["src"], *dst.shape, attributes.get("layout", ""))
        return {"dst": loaded if loaded.dtype == dst.dtype else np.ascontiguousarray(loaded).view(dst.dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        turned = is_transposed(src) and dst.memory == "l1" and dst.slayout != "none_box"
        return (transfer("gm_to_ub" if dst.memory == "ub" else "gm_to_l1_dn" if turned else "gm_to_l1", src),)


class StoreOp(TransferOp):
    """dst[i, j] = src[i, j], converted to dst's type by FIXP where src is an accumulator; atomicType adds to what is there.

    Elements of another type but the same size are stored as their bits, but for accumulators (attribute `converted` of the simulator IR).
    reluPreMode (from L0C): negative values become 0, before the scale where there is none, else after it.
    """

    enums = {"atomicType": "atomic_type", "reluPreMode": "relu_pre_mode"}
    scalars = {"pre_quant_scalar": DTYPES["i64"]}

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        return "FIX" if record.tile("src").loc == "acc" else "MTE3"

    @classmethod
    def reads_of(cls, record: Record) -> tuple[str, ...]:
        """An atomic store also reads what it adds to."""
        return (*cls.reads, "dst") if is_atomic(record.attributes) else cls.reads

    @classmethod
    def attributes_of(cls, record: Record) -> dict[str, Any]:
        src, dst = record.tile("src"), record.types["dst"]
        turned = src.loc == "acc" and src.dtype != dst.dtype and src.dtype.bytes == dst.dtype.bytes
        return ({"atomic": True} if is_atomic(record.attributes) else {}) | ({"converted": True} if turned else {})

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        src, dst = record.tile("src"), record.types["dst"]
        if not isinstance(dst, View):
            yield f"dst must be a view of global memory; got {given(record, 'dst')}"
            return
        if src.loc not in ("vec", "acc", "mat"):
            yield f"src must be a vec, acc or mat tile; got {src.loc}"
        yield from size_rules(dst, src, ("dst", "src"))
        if src.loc == "acc":
            yield from filter(None, (fixpipe.storable(src.dtype.name, dst.dtype.name, bool({"pre_quant_scalar", "fp"} & set(record.operands))),))
        else:
            if src.dtype.bytes != dst.dtype.bytes:
                yield f"src and dst must have elements of one size; got {src.dtype} and {dst.dtype}"
            yield from (f"{what} needs an acc tile as src; got {src.loc}" for what in fix_options(record))
        if is_atomic(record.attributes) and dst.dtype.name not in ADDS:
            yield f"an atomic addition needs one of the types {' '.join(ADDS)}; got {dst.dtype}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"]
        as_bits = src.dtype.itemsize == dst.dtype.itemsize and not attributes.get("converted")
        if as_bits and not {"pre_quant_scalar", "fp"} & set(values) and not relu(attributes):
            stored = src if src.dtype == dst.dtype else np.ascontiguousarray(src).view(dst.dtype)
        else:
            stored = fixpipe.convert(src, dst.dtype, values.get("fp", values.get("pre_quant_scalar")), relu(attributes))
        stored = as_view(stored, dst.shape, attributes.get("layout", ""))
        with np.errstate(all="ignore"):
            return {"dst": dst + stored if is_atomic(attributes) else stored}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (transfer({"l0c": "l0c_to_gm", "ub": "ub_to_gm", "l1": "l1_to_gm"}[refs["src"].memory], refs["dst"]),)


def fix_options(record: Record) -> list[str]:
    """Names of what only FIXP does, where an op asks for it."""
    return [n for n in ("pre_quant_scalar", "fp") if n in record.operands] + ["reluPreMode"] * relu(record.attributes)


def is_atomic(attributes: dict[str, Any]) -> bool:
    """True where a store adds (attribute `atomicType`, or `atomic` in the simulator IR)."""
    return bool(attributes.get("atomic")) or attributes.get("atomicType", "atomic_none") not in ("atomic_none", "AtomicNone", 0)


def relu(attributes: dict[str, Any]) -> bool:
    """True where FIXP rectifies."""
    return attributes.get("reluPreMode", "no_relu") not in ("no_relu", "NoRelu", 0)


class TStore(StoreOp, name="tstore"):
    """dst[i, j] = src[i, j]: UB or L0C to global memory; see StoreOp.

    `pre_quant_scalar`: FIXP's control word for all elements (see `fixpipe.convert`).  Source: pto-isa TSTORE, A2/A3.
    """

    src: Operand[Tile]
    dst: Operand[Any]
    pre_quant_scalar: Optional[Operand[Any]] = None
    format = (
        "`ins` `(` $src `:` type($src) (`,` $pre_quant_scalar^ `:` type($pre_quant_scalar))? `)` "
        "`outs` `(` $dst `:` type($dst) `)` attr-dict"
    )
    cpp = "TSTORE<[{stPhase}, ]{src.type}, {dst.type}, {atomicType|AtomicType::AtomicNone}[, {reluPreMode}]>({dst}, {src}[, {pre_quant_scalar}]);"


class TStoreFp(StoreOp, name="tstore_fp"):
    """dst[i, j] = src[i, j] scaled by column j's control word fp[0, j]; L0C to global memory.  Source: pto-isa TSTORE_FP, A2/A3."""

    src: Operand[Tile]
    fp: Operand[Tile]
    dst: Operand[Any]
    reads = ("src", "fp")
    format = ins_outs("src", "fp")
    cpp = "TSTORE_FP<{src.type}, {dst.type}, {fp.type}, {atomicType|AtomicType::AtomicNone}[, {reluPreMode}]>({dst}, {src}, {fp});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "acc", "src")
        yield from in_memory(record, "scaling", "fp")
        yield from super().rules(record)


class TPrefetch(PtoOp, name="tprefetch"):
    """Brings src's bytes into the L2; dst is room that the library may use and holds nothing afterwards.  Source: pto-isa TPREFETCH."""

    src: Operand[Any]
    dst: Operand[Tile]
    reads = ("src",)
    writes = ("dst",)
    format = ins_outs("src")
    pipe = "MTE2"
    cpp = "TPREFETCH({dst}, {src});"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": values["dst"]}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (transfer("gm_to_ub" if refs["dst"].memory == "ub" else "gm_to_l1", refs["src"]),)


__all__ = ["StoreOp", "TLoad", "TPrefetch", "TStore", "TStoreFp", "as_tile", "as_view"]
