"""Element types: their names in `.pto` text, MLIR, numpy and C++, in one table."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np

if TYPE_CHECKING:
    from .mlir import ir


@dataclass(frozen=True)
class DType:
    """One element type.  `name` is the `.pto` spelling, `bytes` its size, `cpp` what pto-isa calls it."""

    name: str
    numpy: np.dtype
    cpp: str

    @property
    def bytes(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        """True for floating-point types, the 8-bit and bfloat ones included."""
        return self.name.startswith(("f", "b"))

    def __str__(self) -> str:
        return self.name


def _dtype(name: str, numpy: object, cpp: str) -> DType:
    return DType(name, np.dtype(numpy), cpp)


f32 = _dtype("f32", np.float32, "float")
f16 = _dtype("f16", np.float16, "half")
bf16 = _dtype("bf16", ml_dtypes.bfloat16, "bfloat16_t")
i8 = _dtype("i8", np.int8, "int8_t")
i16 = _dtype("i16", np.int16, "int16_t")
i32 = _dtype("i32", np.int32, "int32_t")
i64 = _dtype("i64", np.int64, "int64_t")
ui8 = _dtype("ui8", np.uint8, "uint8_t")
ui16 = _dtype("ui16", np.uint16, "uint16_t")
ui32 = _dtype("ui32", np.uint32, "uint32_t")
f8E4M3FN = _dtype("f8E4M3FN", ml_dtypes.float8_e4m3fn, "float8_e4m3_t")
f8E5M2 = _dtype("f8E5M2", ml_dtypes.float8_e5m2, "float8_e5m2_t")

DTYPES = {d.name: d for d in (f32, f16, bf16, i8, i16, i32, i64, ui8, ui16, ui32, f8E4M3FN, f8E5M2)}


def of_mlir(element: "ir.Type") -> DType:
    """The element type that an MLIR type stands for.  Raises KeyError where it is none of ours."""
    return DTYPES[str(element)]


def to_mlir(dtype: DType) -> "ir.Type":
    """The MLIR type of an element type, in the current context."""
    from .mlir import ir

    return ir.Type.parse(dtype.name)
