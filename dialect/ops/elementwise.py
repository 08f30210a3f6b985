"""Elementwise vector ops: tile with tile, tile with scalar, one tile."""

from typing import Any

import numpy as np

from ..families import Elementwise, ins_outs
from ..mlir import ir
from ..types import TileBufType as Tile

Operand = ir.Value


class Binary(Elementwise):
    """dst[i, j] = f(src0[i, j], src1[i, j])."""

    reads = ("src0", "src1")
    format = ins_outs("src0", "src1")


class TAdd(Binary, name="tadd"):
    """dst[i, j] = src0[i, j] + src1[i, j].  Shapes: all [rows, cols], equal.  Source: pto-isa TADD, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TADD({dst}, {src0}, {src1});"
    numpy = np.add
    instruction = "vadd"


class TMul(Binary, name="tmul"):
    """dst[i, j] = src0[i, j] * src1[i, j].  Shapes: all [rows, cols], equal.  Source: pto-isa TMUL, A2/A3."""

    src0: Operand[Tile]
    src1: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TMUL({dst}, {src0}, {src1});"
    numpy = np.multiply
    instruction = "vmul"


class WithScalar(Elementwise):
    """dst[i, j] = f(src[i, j], scalar)."""

    reads = ("src",)
    format = ins_outs("src", "scalar")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        src = values["src"]
        return {"dst": cls.numpy(src, np.asarray(values["scalar"]).astype(src.dtype)).astype(values["dst"].dtype, copy=False)}


class TMuls(WithScalar, name="tmuls"):
    """dst[i, j] = src[i, j] * scalar.  Shapes: [rows, cols], equal.  Source: pto-isa TMULS, A2/A3."""

    src: Operand[Tile]
    scalar: Operand[Any]
    dst: Operand[Tile]
    cpp = "TMULS({dst}, {src}, {scalar});"
    numpy = np.multiply
    instruction = "vmuls"


class Unary(Elementwise):
    """dst[i, j] = f(src[i, j])."""

    reads = ("src",)
    format = ins_outs("src")


class TExp(Unary, name="texp"):
    """dst[i, j] = exp(src[i, j]).  Shapes: [rows, cols], equal.  Dtypes: f16 f32.  Source: pto-isa TEXP, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Tile]
    cpp = "TEXP({dst}, {src});"
    numpy = np.exp
    instruction = "vexp"
    dtypes = ("f32", "f16")
