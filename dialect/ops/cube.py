"""Matrix multiplication: tmatmul and tgemv, with accumulation, bias and block scales."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Cube, WorkItem

from ..families import CubeOp, arch_of, in_memory, ins_outs
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile

Operand = ir.Value

SUMS = {"f16": "f32", "bf16": "f32", "f32": "f32", "i8": "i32"}
"""Input type to the type that the cube accumulates and writes.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TMatmul.hpp (CheckStaticMad)."""

SUMS_A5 = {"f8E4M3FN": "f32", "f8E5M2": "f32"}
"""What a5 multiplies beside that.  Source: pto-isa 3186c381, include/pto/npu/a5/TMatmul.hpp (CheckStaticMad)."""

LONGEST = 4095
"""Largest m, k and n of one instruction.  Source: the same (CheckDynamicMad)."""

SCALED_GROUP = 32
"""Elements along k that share a block scale.  Source: pto-isa 3186c381, include/pto/cpu/TMatmul.hpp (TMatmulMX)."""


class MatMul(CubeOp):
    """dst[i, j] = start[i, j] + sum over k of lhs[i, k] * rhs[k, j].

    Shapes: lhs [m, k] (left), rhs [k, n] (right), dst [m, n] (acc).  Dtypes: f16 bf16 f32 into f32, i8 into i32.
    The sum over k is exact and rounded once to the sum's type; then comes one addition of what it starts from (acc_in or the bias).
    The device sums in its own order, the library's CPU build in the order of k: their last bits differ from this and from each other.
    `sides` names the two factors, `start` what is added.  Source: pto-isa TMATMUL, A2/A3.
    """

    sides = ("lhs", "rhs")
    start = ""
    gemv = False

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        lhs, rhs = cls.sides
        yield from in_memory(record, "left", lhs)
        yield from in_memory(record, "right", rhs)
        yield from in_memory(record, "acc", "dst", "acc_in", "c_in")
        yield from in_memory(record, "bias", "bias")
        yield from cls.type_rules(record)
        yield from size_rules(record, lhs, rhs, cls.gemv)

    @classmethod
    def type_rules(cls, record: Record) -> Iterator[str]:
        """Element types that the cube multiplies, and the sum's."""
        lhs, rhs, dst = (record.tile(n).dtype.name for n in (*cls.sides, "dst"))
        sums = SUMS | SUMS_A5 if arch_of(record) == "a5" else SUMS
        if lhs != rhs or sums.get(lhs) != dst:
            known = ", ".join(f"{a} x {a} -> {b}" for a, b in sums.items())
            yield f"element types must be one of {known}; got {lhs} x {rhs} -> {dst}"
        if cls.start and record.tile(cls.start).dtype.name != dst:
            yield f"{cls.start} must have dst's element type {dst}; got {record.tile(cls.start).dtype}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst = values["dst"].dtype
        total = product(values[cls.sides[0]], values[cls.sides[1]], dst)
        with np.errstate(all="ignore"):
            return {"dst": total + values[cls.start] if cls.start else total}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        lhs, rhs = (refs[n] for n in cls.sides)
        m = 1 if cls.gemv else 16 if lhs.v_rows == 1 else lhs.v_rows  # a3 takes m = 1 for a vector: the library widens it
        return (Cube(lhs.dtype, m, lhs.v_cols, rhs.v_cols),)


def product(lhs: np.ndarray, rhs: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The exact matrix product, rounded once.

    In f64 the products of f16, bf16 and i8 are exact, and so are i8 sums; f32 factors and long sums keep 29 bits beyond f32's.
    """
    with np.errstate(all="ignore"):
        return (lhs.astype(np.float64) @ rhs.astype(np.float64)).astype(dtype)


def size_rules(record: Record, lhs: str, rhs: str, gemv: bool) -> Iterator[str]:
    """m, k and n agree and are 1 to 4095; a tgemv has one row."""
    (m, k), (rhs_k, n), (dst_m, dst_n) = (record.tile(name).valid for name in (lhs, rhs, "dst"))
    for what, a, b in ((f"k: {lhs} columns and {rhs} rows", k, rhs_k), (f"m: {lhs} rows and dst rows", m, dst_m), (f"n: {rhs} columns and dst columns", n, dst_n)):
        if a is not None and b is not None and a != b:
            yield f"{what} must be equal; got {a} and {b}"
    for what, size in (("m", m), ("k", k), ("n", n)):
        if size is not None and not 1 <= size <= LONGEST:
            yield f"{what} must be 1 to {LONGEST}; got {size}"
    if gemv and m not in (None, 1):
        yield f"{lhs} must have 1 valid row; got {m}"


class TMatmul(MatMul, name="tmatmul"):
    """dst = lhs @ rhs.  Source: pto-isa TMATMUL, A2/A3."""

    lhs: Operand[Tile]
    rhs: Operand[Tile]
    dst: Operand[Tile]
    reads = ("lhs", "rhs")
    format = ins_outs("lhs", "rhs")
    cpp = "TMATMUL({dst}, {lhs}, {rhs});"


class TMatmulAcc(MatMul, name="tmatmul_acc"):
    """dst = acc_in + lhs @ rhs.  On A2/A3 the cube adds to dst itself: acc_in must be dst's storage.  Source: pto-isa TMATMUL_ACC."""

    acc_in: Operand[Tile]
    lhs: Operand[Tile]
    rhs: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tmatmul.acc"
    reads = ("acc_in", "lhs", "rhs")
    format = ins_outs("acc_in", "lhs", "rhs")
    cpp = "TMATMUL_ACC({dst}, {acc_in}, {lhs}, {rhs});"
    start = "acc_in"


class TMatmulBias(MatMul, name="tmatmul_bias"):
    """dst = bias + a @ b; the bias [1, n] is added to every row.  Source: pto-isa TMATMUL_BIAS, A2/A3."""

    a: Operand[Tile]
    b: Operand[Tile]
    bias: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tmatmul.bias"
    reads = ("a", "b", "bias")
    format = ins_outs("a", "b", "bias")
    cpp = "TMATMUL_BIAS({dst}, {a}, {b}, {bias});"
    sides, start = ("a", "b"), "bias"


class TGemv(MatMul, name="tgemv"):
    """dst = lhs @ rhs for one row: lhs [1, k].  Source: pto-isa TGEMV, A2/A3."""

    lhs: Operand[Tile]
    rhs: Operand[Tile]
    dst: Operand[Tile]
    reads = ("lhs", "rhs")
    format = ins_outs("lhs", "rhs")
    cpp = "TGEMV({dst}, {lhs}, {rhs});"
    gemv = True


class TGemvAcc(MatMul, name="tgemv_acc"):
    """dst = acc_in + lhs @ rhs for one row.  Source: pto-isa TGEMV_ACC, A2/A3."""

    acc_in: Operand[Tile]
    lhs: Operand[Tile]
    rhs: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tgemv.acc"
    reads = ("acc_in", "lhs", "rhs")
    format = ins_outs("acc_in", "lhs", "rhs")
    cpp = "TGEMV_ACC({dst}, {acc_in}, {lhs}, {rhs});"
    start, gemv = "acc_in", True


class TGemvBias(MatMul, name="tgemv_bias"):
    """dst = bias + a @ b for one row.  Source: pto-isa TGEMV_BIAS, A2/A3."""

    a: Operand[Tile]
    b: Operand[Tile]
    bias: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tgemv.bias"
    reads = ("a", "b", "bias")
    format = ins_outs("a", "b", "bias")
    cpp = "TGEMV_BIAS({dst}, {a}, {b}, {bias});"
    sides, start, gemv = ("a", "b"), "bias", True


class ScaledMatMul(MatMul):
    """dst[i, j] = start[i, j] + sum over k of a[i, k] * b[k, j] * a_scale[i, k / 32] * b_scale[k / 32, j].

    Dtypes: 8-bit floats into f32.  Scales: one for 32 elements along k, stored as powers of two (ui8 with a bias of 127) or as floats.
    Ascend 950 (a5) only.  Source: pto-isa TMATMUL_MX and its CPU build.
    """

    sides = ("a", "b")
    dtypes = ("f8E4M3FN", "f8E5M2")

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if arch_of(record) == "a3":
            yield "a3 has no matrix multiplication with block scales; use pto.tmatmul, or an a5 target"
        yield from super().rules(record)
        yield from in_memory(record, "scaling", "a_scale", "b_scale")

    @classmethod
    def type_rules(cls, record: Record) -> Iterator[str]:
        for name in cls.sides:
            if record.tile(name).dtype.name not in cls.dtypes:
                yield f"{name} must have one of the types {' '.join(cls.dtypes)}; got {record.tile(name).dtype}"
        if record.tile("dst").dtype.name != "f32":
            yield f"dst must be f32; got {record.tile('dst').dtype}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        groups = np.arange(values["a"].shape[1]) // SCALED_GROUP
        a = values["a"].astype(np.float64) * scales(values["a_scale"])[:, groups]
        b = values["b"].astype(np.float64) * scales(values["b_scale"])[groups, :]
        total = product(a, b, values["dst"].dtype)
        return {"dst": total + values[cls.start] if cls.start else total}


def scales(stored: np.ndarray) -> np.ndarray:
    """Block scales as f64: bytes are exponents of two with a bias of 127, anything else is a number."""
    return np.exp2(stored.astype(np.float64) - 127) if stored.dtype == np.uint8 else stored.astype(np.float64)


SCALED = ("a", "a_scale", "b", "b_scale")


class TMatmulMx(ScaledMatMul, name="tmatmul_mx"):
    """dst = scaled a @ scaled b.  Source: pto-isa TMATMUL_MX, A5."""

    a: Operand[Tile]
    a_scale: Operand[Tile]
    b: Operand[Tile]
    b_scale: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tmatmul.mx"
    reads = SCALED
    format = ins_outs(*SCALED)
    cpp = "TMATMUL_MX({dst}, {a}, {a_scale}, {b}, {b_scale});"


class TMatmulMxAcc(ScaledMatMul, name="tmatmul_mx_acc"):
    """dst = c_in + scaled a @ scaled b.  Source: pto-isa TMATMUL_MX, A5."""

    c_in: Operand[Tile]
    a: Operand[Tile]
    a_scale: Operand[Tile]
    b: Operand[Tile]
    b_scale: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tmatmul.mx.acc"
    reads = ("c_in", *SCALED)
    format = ins_outs("c_in", *SCALED)
    cpp = "TMATMUL_MX({dst}, {c_in}, {a}, {a_scale}, {b}, {b_scale});"
    start = "c_in"


class TMatmulMxBias(ScaledMatMul, name="tmatmul_mx_bias"):
    """dst = bias + scaled a @ scaled b.  Source: pto-isa TMATMUL_MX, A5."""

    a: Operand[Tile]
    a_scale: Operand[Tile]
    b: Operand[Tile]
    b_scale: Operand[Tile]
    bias: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tmatmul.mx.bias"
    reads = (*SCALED, "bias")
    format = ins_outs(*SCALED, "bias")
    cpp = "TMATMUL_MX({dst}, {a}, {a_scale}, {b}, {b_scale}, {bias});"
    start = "bias"


class TGemvMx(ScaledMatMul, name="tgemv_mx"):
    """dst = scaled a @ scaled b for one row.  Source: pto-isa TGEMV_MX, A5."""

    a: Operand[Tile]
    a_scale: Operand[Tile]
    b: Operand[Tile]
    b_scale: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tgemv.mx"
    reads = SCALED
    format = ins_outs(*SCALED)
    cpp = "TGEMV_MX({dst}, {a}, {a_scale}, {b}, {b_scale});"
    gemv = True


class TGemvMxAcc(ScaledMatMul, name="tgemv_mx_acc"):
    """dst = c_in + scaled a @ scaled b for one row.  Source: pto-isa TGEMV_MX, A5."""

    c_in: Operand[Tile]
    a: Operand[Tile]
    a_scale: Operand[Tile]
    b: Operand[Tile]
    b_scale: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tgemv.mx.acc"
    reads = ("c_in", *SCALED)
    format = ins_outs("c_in", *SCALED)
    cpp = "TGEMV_MX({dst}, {c_in}, {a}, {a_scale}, {b}, {b_scale});"
    start, gemv = "c_in", True


class TGemvMxBias(ScaledMatMul, name="tgemv_mx_bias"):
    """dst = bias + scaled a @ scaled b for one row.  Source: pto-isa TGEMV_MX, A5."""

    a: Operand[Tile]
    a_scale: Operand[Tile]
    b: Operand[Tile]
    b_scale: Operand[Tile]
    bias: Operand[Tile]
    dst: Operand[Tile]
    spelling = "pto.tgemv.mx.bias"
    reads = (*SCALED, "bias")
    format = ins_outs(*SCALED, "bias")
    cpp = "TGEMV_MX({dst}, {a}, {a_scale}, {b}, {b_scale}, {bias});"
    start, gemv = "bias", True
