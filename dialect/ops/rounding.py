"""Conversion of numbers between element types with every rounding mode, exact in double precision.

Modes: RINT to nearest, ties to even; ROUND to nearest, ties away from zero; FLOOR, CEIL, TRUNC towards minus infinity, plus infinity,
zero; ODD: inexact values to the neighbour with an odd last bit (Von Neumann).  Source: pto-isa 3186c381, include/pto/common/type.hpp
(RoundMode), include/pto/npu/a2a3/TCvt.hpp.
"""

import numpy as np

MODES = ("NONE", "RINT", "ROUND", "FLOOR", "CEIL", "TRUNC", "ODD")

FLOATS = {"float32": (24, -126, 3.4028234663852886e38), "float16": (11, -14, 65504.0), "bfloat16": (8, -126, 3.3895313892515355e38), "float8_e4m3fn": (4, -6, 448.0), "float8_e5m2": (3, -14, 57344.0)}
"""Significand bits, exponent of the smallest normal number and largest number, by numpy name.  Source: IEEE 754, bfloat16, OCP 8-bit floats."""


def to_integral(x: np.ndarray, mode: str) -> np.ndarray:
    """Doubles rounded to whole numbers."""
    if mode == "RINT":
        return np.rint(x)
    if mode == "FLOOR":
        return np.floor(x)
    if mode == "CEIL":
        return np.ceil(x)
    whole = np.trunc(x)
    if mode == "ROUND":
        return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1, x), whole)
    if mode == "ODD":
        return np.where((whole != x) & (np.fmod(whole, 2) == 0), whole + np.copysign(1, x), whole)
    return whole


def to_float(x: np.ndarray, dtype: np.dtype, mode: str, saturate: bool) -> np.ndarray:
    """Doubles rounded to a narrower float type.

    What is too large becomes infinite, or the largest number where the mode rounds towards zero there; with `saturate` infinities do too.
    """
    bits, smallest, largest = FLOATS[dtype.name]
    finite = np.where(np.isfinite(x), x, 0.0)
    unit = np.maximum(np.frexp(finite)[1] - 1, smallest) - (bits - 1)
    result = np.ldexp(to_integral(np.ldexp(finite, -unit), mode), unit)
    inwards = {"FLOOR": result > 0, "CEIL": result < 0, "TRUNC": True, "ODD": True}.get(mode, False)
    result = np.where(np.abs(result) > largest, np.copysign(np.where(inwards, largest, np.inf), result), result)
    result = np.where(np.isfinite(x), result, x)
    if saturate:
        result = np.clip(result, -largest, largest)
    return result.astype(np.float32).astype(dtype)


def to_integer(x: np.ndarray, dtype: np.dtype, mode: str, saturate: bool, through: type = np.int64) -> np.ndarray:
    """Numbers rounded to an integer type: clamped to its range with `saturate`, else clamped to that of `through` and cut to its low bits.

    NaN becomes 0.
    """
    if x.dtype.kind == "f":
        x = whole_numbers(to_integral(np.where(np.isnan(x), 0.0, x), mode))
    limits = np.iinfo(dtype if saturate else through)
    return np.clip(x.astype(np.int64), limits.min, limits.max).astype(dtype)


def whole_numbers(x: np.ndarray) -> np.ndarray:
    """Whole doubles as int64, clamped to its range."""
    inside = np.abs(x) < 2.0**63
    return np.where(inside, np.where(inside, x, 0).astype(np.int64), np.where(x > 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min))


def to_double(x: np.ndarray) -> np.ndarray:
    """Numbers as doubles; integers beyond 53 bits are cut with a sticky last bit, so that a later rounding to f32 is that of the integer."""
    if x.dtype != np.int64:
        return x.astype(np.float64)
    size = np.where(x < 0, ~x + 1, x).astype(np.uint64)
    cut = (size & np.uint64(0xFFFFFFFFFFFFFC00)) | np.where(size & np.uint64(0x3FF), np.uint64(0x400), np.uint64(0))
    return np.copysign(np.where(size < np.uint64(2**53), size, cut).astype(np.float64), x)
