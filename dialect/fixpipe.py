"""What the FIXP unit does to values on their way out of L0C: scale, round, clamp, rectify, convert.

Source: pto-isa 3186c381, include/pto/cpu/common.hpp (quantize_element) and include/pto/npu/a2a3/TStore.hpp (CheckAcc2gm).
"""

import numpy as np

CASTS = {"f32": ("f32", "f16", "bf16"), "i32": ("i32", "f32", "f16", "bf16")}
"""Accumulator type to the types that it is stored as without a scale."""

SCALED = {"f32": ("i8", "ui8"), "i32": ("i8", "ui8", "f16")}
"""Accumulator type to the types that it is stored as with a scale."""

F16_MAX = 65504.0
VECTOR_SCALE_BITS = 0xFFFFE000
"""A per-column scale has 19 bits: sign, exponent and 10 bits of mantissa of an f32."""

def convert(acc: np.ndarray, dtype: np.dtype, scale: np.ndarray | int | None = None, relu: bool = False) -> np.ndarray:
    """Accumulator values as they are stored.

    scale: the unit's 64-bit control word, one for all or one per column [1, n]; its low half is an f32 factor, bits 37-45 the offset added
    after it, bit 46 tells signed bytes from unsigned ones.  Without it values are cast: floats to nearest even.
    """
    with np.errstate(all="ignore"):
        if scale is None:
            kept = np.maximum(acc, acc.dtype.type(0)) if relu else acc
            return kept.astype(dtype, copy=False)
        word = np.asarray(scale).astype(np.int64).view(np.uint64)
        factor = (word & np.uint64(0xFFFFFFFF if word.ndim == 0 else VECTOR_SCALE_BITS)).astype(np.uint32).view(np.float32)
        scaled = acc.astype(np.float32) * factor
        if dtype.kind in "iu":
            offset, signed = ((word >> np.uint64(37)) & np.uint64(0x1FF)).astype(np.float32), (word >> np.uint64(46)) & np.uint64(1)
            low, high = np.where(signed, -128.0, 0.0), np.where(signed, 127.0, 255.0)
            scaled = np.clip(np.rint(scaled + offset), low, high)
        elif dtype == np.float16:
            scaled = np.where(np.isfinite(scaled), np.clip(scaled, -F16_MAX, F16_MAX), scaled)
        if relu:
            scaled = np.maximum(scaled, 0)
        return scaled.astype(np.int16).astype(dtype) if dtype.kind in "iu" else scaled.astype(dtype)

def storable(src: str, dst: str, scaled: bool) -> str:
    """Why an accumulator of type src cannot be stored as dst; "" where it can."""
    allowed = (SCALED if scaled else CASTS).get(src, ())
    if dst in allowed:
        return ""
    how = "with a scale" if scaled else "without a scale"
    if src not in CASTS:
        return f"an accumulator must be f32 or i32; got {src}"
    return f"an {src} accumulator is stored {how} as {' or '.join(allowed)}; got {dst}"

def control_word(factor: float, offset: int = 0, signed: bool = True) -> int:
    """The control word of a scale, an offset (0 to 511) and the kind of bytes."""
    return int(np.float32(factor).view(np.uint32)) | (offset & 0x1FF) << 37 | int(signed) << 46

