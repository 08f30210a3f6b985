"""Loads, stores and moves between memories."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..families import TransferOp, in_memory, ins_outs, transfer
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile

Operand = ir.Value


class TLoad(TransferOp, name="tload"):
    """dst[i, j] = src[i, j]: global memory to UB or L1.  Shapes: src the valid shape of dst.  Source: pto-isa TLOAD, A2/A3."""

    src: Operand[Any]
    dst: Operand[Tile]
    format = ins_outs("src")
    pipe = "MTE2"
    cpp = "TLOAD({dst}, {src});"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.tile("dst").loc not in ("vec", "mat"):
            yield f"dst must be a vec or mat tile; got {record.tile('dst').loc}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": values["src"].reshape(values["dst"].shape)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple:
        path = "gm_to_ub" if refs["dst"].memory == "ub" else "gm_to_l1"
        return (transfer(path, refs["src"]),)


class TStore(TransferOp, name="tstore"):
    """dst[i, j] = src[i, j]: UB or L0C to global memory, converted to dst's type.  Source: pto-isa TSTORE, A2/A3."""

    src: Operand[Tile]
    dst: Operand[Any]
    format = ins_outs("src")
    cpp = "TSTORE({dst}, {src});"

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        return "FIX" if record.tile("src").loc == "acc" else "MTE3"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.tile("src").loc not in ("vec", "acc", "mat"):
            yield f"src must be a vec, acc or mat tile; got {record.tile('src').loc}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": values["src"].reshape(values["dst"].shape).astype(values["dst"].dtype, copy=False)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple:
        path = "l0c_to_gm" if refs["src"].memory == "l0c" else "ub_to_gm"
        return (transfer(path, refs["dst"]),)


__all__ = ["TLoad", "TStore", "in_memory"]
