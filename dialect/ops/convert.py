"""Conversions between element types, and quantisation."""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ptoc.machine.work import Scalar, Vector, WorkItem

from ..dtypes import DTYPES
from ..families import S_TO_V, V_TO_S, arch_of, in_memory, ins_outs, of_dtype, one_dtype, same_shapes
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from . import issue
from .elementwise import Pointwise, row_major, scratch_of
from .expand import TRowExpandAdd, TRowExpandMul
from .rounding import MODES, to_double, to_float, to_integer, to_integral

Operand = ir.Value

CONVERSIONS = {
    "f32": ("f32", "f16", "bf16", "i64", "i32", "i16"),
    "f16": ("f32", "i32", "i16", "i8", "ui8"),
    "bf16": ("f32", "i32"),
    "i64": ("f32", "i32"),
    "i32": ("f32", "f16", "i64", "i16"),
    "i16": ("f32", "f16"),
    "i8": ("f16",),
    "ui8": ("f16",),
}
"""Result types of a conversion by source type on a3.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TCvt.hpp (GenCastCall)."""

NARROWING = {("f16", "ui8"), ("f16", "i8"), ("f32", "i16"), ("f16", "i16"), ("i64", "i32"), ("i32", "i16")}
"""Conversions that do not saturate unless told to; all others to integers always do.  Source: the same (kIsNarrowingCvt)."""

TWO_STEPS = {("f32", "i16"), ("f16", "i16"), ("f16", "i8")}
"""Conversions that, unsaturated and with tmp, go through a saturated i32.  Source: the same (GenCastCall with tmpPtr)."""

LOSSLESS = {("f16", "f32"), ("bf16", "f32"), ("i16", "f32"), ("i8", "f16"), ("ui8", "f16"), ("i32", "i64")}
"""Conversions to a type that holds every value of the source's."""

SHORT = {"f32": "f32", "f16": "f16", "bf16": "bf16", "i64": "s64", "i32": "s32", "i16": "s16", "i8": "s8", "ui8": "u8"}


def vconv(src: str, dst: str) -> str:
    """The conversion instruction between two element types; a5 alone has those of 8-bit floats, whose names are not public."""
    if not {src, dst} <= set(SHORT):
        return "vconv"
    return "vconv_deq" if (src, dst) == ("i32", "f16") else f"vconv_{SHORT[src]}2{SHORT[dst]}"


def rounding_of(attributes: dict[str, Any], pair: tuple[str, str]) -> str:
    """The rounding mode; NONE is TRUNC to integers, else RINT; i32 to f16 is RINT whatever is written, the engine has no other."""
    mode = str(attributes.get("rmode", "RINT")).upper().removeprefix("CAST_")
    if mode == "NONE":
        return "RINT" if DTYPES[pair[1]].is_float else "TRUNC"
    return "RINT" if pair == ("i32", "f16") else mode


def saturates(pair: tuple[str, str], attributes: dict[str, Any], with_tmp: bool) -> bool:
    """Does a conversion clamp?  To integers: as told where it narrows or has tmp, else always; to floats: only where told."""
    told = attributes.get("sat_mode")
    if DTYPES[pair[1]].is_float:
        return told == "ON"
    return (told or "OFF") == "ON" if pair in NARROWING else (told or "ON") == "ON" or not with_tmp


def name_of(dtype: np.dtype) -> str:
    """The `.pto` name of a numpy type."""
    return next(d.name for d in DTYPES.values() if d.numpy == dtype)


class TCvt(Pointwise, name="tcvt"):
    """dst[i, j] = src[i, j] in dst's type, rounded as `rmode` (RINT) says; f32 to f32 rounds to whole numbers.

    Shapes: equal.  Out of an integer type's range: clamped where `sat_mode` is ON, its low bits where OFF (the default of narrowing
    conversions); NaN becomes 0.  tmp is scratch of unsaturated f32 to i16, f16 to i16 and f16 to i8.  Source: pto-isa TCVT, A2/A3.
    """

    src: Operand[Tile]
    dst: Operand[Tile]
    tmp: Optional[Operand[Tile]] = None
    reads, writes, scratch = ("src",), ("dst", "tmp"), ("tmp",)
    enums = {"rmode": "round_mode", "sat_mode": "saturation_mode"}
    format = "`ins` `(` $src (`,` $tmp^)? attr-dict `:` type($src) (`,` type($tmp)^)? `)` `outs` `(` $dst `:` type($dst) `)`"
    cpp = "TCVT({dst}, {src}[, {tmp}], {rmode|RoundMode::CAST_RINT}[, {sat_mode}]);"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "dst", "tmp")
        yield from same_shapes(record, "src", "dst")
        src, dst = record.tile("src").dtype.name, record.tile("dst").dtype.name
        a5 = arch_of(record) == "a5"
        if not a5 and dst not in CONVERSIONS.get(src, ()):
            possible = " ".join(CONVERSIONS.get(src, ())) or "nothing"
            yield f"{src} converts to {possible} on a3; got {dst}: go through a type between"
        mode = str(record.attributes.get("rmode", "RINT")).upper().removeprefix("CAST_")
        if mode not in MODES:
            yield f"rmode must be one of {' '.join(MODES)}; got {mode}"
        elif mode == "ODD" and (src, dst) != ("f32", "f16"):
            yield f"rmode ODD is for f32 to f16; got {src} to {dst}"
        if record.attributes.get("sat_mode", "ON") not in ("ON", "OFF"):
            yield f"sat_mode must be ON or OFF; got {record.attributes['sat_mode']}"

    @classmethod
    def copied(cls, record: Record) -> str:
        """A conversion to the same type is a copy, but for f32, which it rounds to whole numbers."""
        src, dst = record.types["src"].dtype, record.types["dst"].dtype
        return "src" if src == dst and src.name != "f32" and not _clamps_floats(record) else ""

    @classmethod
    def undoes(cls, first: Record, second: Record) -> bool:
        """From a type to one that holds all its values, and back: every rounding gives the value again."""
        there, back = (tuple(r.types[n].dtype.name for n in ("src", "dst")) for r in (first, second))
        return issubclass(first.cls, TCvt) and there in LOSSLESS and back == there[::-1] and not (_clamps_floats(first) or _clamps_floats(second))

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dtype = values["src"], values["dst"].dtype
        pair = (name_of(src.dtype), name_of(dtype))
        mode, clamp = rounding_of(attributes, pair), saturates(pair, attributes, "tmp" in values)
        with np.errstate(all="ignore"):
            if pair == ("f32", "f32"):
                result = to_integral(src.astype(np.float64), mode).astype(dtype)
            elif DTYPES[pair[1]].is_float:
                result = to_float(to_double(src), dtype, mode, clamp)
            else:
                through = np.int32 if pair in TWO_STEPS and "tmp" in values else np.int64
                result = to_integer(src if src.dtype.kind in "iu" else to_double(src), dtype, mode, clamp, through)
        return scratch_of(cls, values) | {"dst": result}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        pair = (src.dtype, dst.dtype)
        repeats = issue.convert(dst, src)
        if "tmp" in refs and pair in TWO_STEPS and not saturates(pair, attributes, True):
            return two_steps(pair, repeats, dst)
        work = issue.items(vconv(*pair), max(pair, key=lambda d: DTYPES[d].bytes), repeats)
        return tuple(item._replace(barrier=True) for item in work) if pair == ("i32", "f16") else work  # each sets the scale first


def _clamps_floats(record: Record) -> bool:
    """Whether an infinity becomes the largest number."""
    return record.types["dst"].dtype.is_float and record.attributes.get("sat_mode") == "ON"


def two_steps(pair: tuple[str, str], repeats: list[int], dst: Ref) -> tuple[WorkItem, ...]:
    """Unsaturated narrowing through i32 in tmp; f16 sources in pieces of 64 elements of one row."""
    if pair[0] == "f32":
        steps = (issue.sequence((Vector("vconv_f322s32", "f32", n),), (Vector("vconv_s322s16", "i32", n),)) for n in repeats)
        return tuple(item for step in steps for item in step)
    whole, rest = divmod(dst.v_cols, 128)
    pieces = dst.v_rows * (2 * whole + -(-rest // 64))
    names = ["vconv_f162s32", "vconv_s322s16"]
    if pair[1] == "i8":
        names += ["vector_dup", "vand", "vconv_s162f16", "vconv_f162s8"]
    return issue.per_row(pieces, issue.sequence(*((Vector(name, "i32" if "s32" in name else "f16", 1),) for name in names)))


class TQuant(Pointwise, name="tquant"):
    """dst[i, j] = round(src[i, j] * fp[i, 0] (+ offset[i, 0])), ties to even, clamped to i8 (INT8_SYM) or, with offset, ui8 (INT8_ASYM).

    Shapes: src, dst [rows, cols], fp and offset [rows, 1]; tmp scratch of src's shape and 4 bytes an element.  The form with tmp, the
    one that the a3 library has, destroys src.  Source: pto-isa TQUANT, A2/A3.
    """

    src: Operand[Tile]
    fp: Operand[Tile]
    dst: Operand[Tile]
    offset: Optional[Operand[Tile]] = None
    tmp: Optional[Operand[Tile]] = None
    reads, writes, scratch = ("src", "fp", "offset"), ("dst", "src", "tmp"), ("tmp",)
    format = (
        "`ins` `(` $src `,` $fp (`,` $offset^)? `:` type($src) `,` type($fp) (`,` type($offset)^)? `)` `outs` `(` $dst `:` type($dst) `)`"
        " (`tmp` `(` $tmp^ `:` type($tmp) `)`)? attr-dict"
    )
    cpp = "TQUANT<{quant_type}>({dst}, {src}, {fp}[, {tmp}][, &{offset}]);"
    internals = {"drained": True}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "fp", "offset", "tmp", "dst")
        yield from of_dtype(record, ("f32",), "src", "fp", "offset")
        yield from row_major(record, "src", "dst")
        yield from same_shapes(record, "src", "dst")
        kind, signed = record.attributes.get("quant_type"), {"INT8_SYM": "i8", "INT8_ASYM": "ui8"}
        if kind not in signed:
            yield f"quant_type must be INT8_SYM or INT8_ASYM; got {kind or 'none'}"
            return
        yield from of_dtype(record, (signed[kind],), "dst")
        if ("offset" in record.types) != (kind == "INT8_ASYM"):
            yield f"INT8_ASYM needs offset and INT8_SYM has none; got {kind} {'with' if 'offset' in record.types else 'without'} offset"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dtype = values["src"], values["dst"].dtype
        with np.errstate(all="ignore"):
            scaled = src * values["fp"][:, :1]
            if "offset" in values:
                scaled = scaled + values["offset"][:, :1]
            dst = to_integer(scaled.astype(np.float64), dtype, "RINT", True)
        return scratch_of(cls, values) | {"dst": dst, "src": np.full_like(src, np.nan) if "tmp" in values else src}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        scratch = {"tmp": refs["tmp"]} if "tmp" in refs else {}
        affine = [TRowExpandMul.work({"src0": src, "src1": refs["fp"], "dst": src, **scratch}, {})]
        if "offset" in refs:
            affine.append(TRowExpandAdd.work({"src0": src, "src1": refs["offset"], "dst": src, **scratch}, {}))
        whole, half = src._replace(dtype="i32"), src._replace(dtype="f16")
        casts = [TCvt.work({"src": a, "dst": b}, {"sat_mode": "ON"}) for a, b in ((src, whole), (whole, half), (half, dst))]
        return issue.sequence(*affine, *casts, (Vector("vconv_f162s8", "f16", 0),))


class TDequant(Pointwise, name="tdequant"):
    """dst[i, j] = (src[i, j] - offset[i, 0]) * scale[i, 0], rounded to f32 after each step.

    Shapes: src, dst [rows, cols], scale and offset [rows, 1].  Dtypes: src i8 i16, the others f32.  Source: pto-isa TDEQUANT, A2/A3.
    """

    src: Operand[Tile]
    scale: Operand[Tile]
    offset: Operand[Tile]
    dst: Operand[Tile]
    reads, format = ("src", "scale", "offset"), ins_outs("src", "scale", "offset")
    cpp = "TDEQUANT({dst}, {src}, {scale}, {offset});"
    internals = {"drained": True, "event_ids": (V_TO_S, S_TO_V)}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "scale", "offset", "dst")
        yield from of_dtype(record, ("i8", "i16"), "src")
        yield from of_dtype(record, ("f32",), "scale", "offset", "dst")
        yield from one_dtype(record, "scale", "offset")
        yield from row_major(record, "src", "dst")
        yield from same_shapes(record, "src", "dst")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        with np.errstate(all="ignore"):
            return {"dst": (values["src"].astype(np.float32) - values["offset"][:, :1]) * values["scale"][:, :1]}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        src, dst = refs["src"], refs["dst"]
        n = issue.counted(dst.v_cols, "f32")
        names = ("vconv_s82f16", "vconv_f162f32") if src.dtype == "i8" else ("vconv_s162f32",)
        converted = issue.per_row(dst.v_rows, issue.sequence(*((Vector(name, "f32", n),) for name in names)))
        affine = (Scalar(2), Vector("vadds", "f32", n, True), Vector("vmuls", "f32", n, True))  # the row's scale and offset are loaded first
        return converted + affine * dst.v_rows + (Vector("vmuls", "f32", 0, True),)


class TPack(Pointwise, name="tpack"):
    """dst[i, j] = the low bits of src[i, j]: 4 bytes to 2 or 1, or 2 to 1; a5 only.

    Shapes: equal.  Dtypes: integers.  Source: PTOAS docs/PTO_IR_manual.md (pto.tpack).
    """

    src: Operand[Tile]
    dst: Operand[Tile]
    reads, format = ("src",), ins_outs("src")
    cpp = "TPACK({dst}, {src});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", "src", "dst")
        yield from same_shapes(record, "src", "dst")
        src, dst = record.tile("src").dtype.bytes, record.tile("dst").dtype.bytes
        if (src, dst) not in ((4, 2), (4, 1), (2, 1)):
            yield f"elements must go from 4 bytes to 2 or 1, or from 2 to 1; got {src} to {dst}"
        if arch_of(record) == "a3":
            yield 'only a5 has it; got a3: convert with tcvt, or set pto.target_arch = "a5"'

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src, dst = values["src"], values["dst"]
        bits = np.ascontiguousarray(src).view(f"u{src.itemsize}").astype(f"u{dst.dtype.itemsize}")
        return {"dst": bits.view(dst.dtype)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return issue.items("vconv", refs["src"].dtype, issue.convert(refs["dst"], refs["src"]))
