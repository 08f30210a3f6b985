"""The SDMA engine, which moves from memory to memory beside the cores' own engines, drawing on a named bandwidth domain of the chip."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Sdma, WorkItem

from ..dtypes import DTYPES
from ..errors import BoundsError
from ..families import ins_outs
from ..layout import Ref
from ..mlir import ir
from ..op import PtoOp, Record
from ..types import View

Operand = ir.Value


class TSdmaGather(PtoOp, name="tsdma_gather"):
    """dst[i, :] = rows[index[i], :], all three in global memory.

    Shapes: rows [n, width], index of k entries, dst [k, width], each with leading extents of 1 as it may be.  Dtypes: rows and dst one
    type, index i32 or ui32, 0 <= index[i] < n.  `domain`: the chip's bandwidth domain that it draws on (`sdma.domains` of a chip file).
    The engine finds the rows by itself: k * width elements at its rate, no price for random access.  It has no call in the library, so
    that a kernel with it has no C++.  Source: the proposal for DeepSeek sparse attention (gather by SDMA, domains by phase).
    """

    rows: Operand[Any]
    index: Operand[Any]
    dst: Operand[Any]
    format = ins_outs("rows", "index")
    enums = {"domain": "sdma_domain"}
    pipe = "SDMA"
    reads = ("rows", "index")
    writes = ("dst",)
    sampled = ("rows",)

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        for name in (*cls.reads, "dst"):
            if not isinstance(record.types[name], View):
                yield f"{name} must be a view of global memory; got {record.types[name]}"
                return
        rows, index, dst = (record.types[name] for name in (*cls.reads, "dst"))
        if rows.dtype != dst.dtype:
            yield f"rows and dst must have one element type; got {rows.dtype} and {dst.dtype}"
        if index.dtype.name not in ("i32", "ui32"):
            yield f"index must be i32 or ui32; got {index.dtype}"
        if None not in (rows.shape[-1], dst.shape[-1]) and rows.shape[-1] != dst.shape[-1]:
            yield f"rows and dst must be equally wide; got {rows.shape[-1]} and {dst.shape[-1]}"
        if None not in (*index.shape, *dst.shape) and int(np.prod(index.shape)) != int(np.prod(dst.shape[:-1])):
            yield f"index must have an entry for each row of dst; got {int(np.prod(index.shape))} for {int(np.prod(dst.shape[:-1]))}"
        if "domain" not in record.attributes:
            yield "a bandwidth domain is needed: domain = hbm"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        rows, dst = values["rows"].reshape(-1, values["rows"].shape[-1]), values["dst"]
        index = values["index"].reshape(-1).astype(np.int64)
        outside = index[(index < 0) | (index >= len(rows))]
        if outside.size:
            raise BoundsError(f"'{cls.spelling}': an index must lie in 0 to {len(rows) - 1}, the rows that there are; got {outside[0]}")
        return {"dst": rows[index].reshape(dst.shape)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        dst = refs["dst"]
        return (Sdma(attributes["domain"], int(np.prod(dst.shape)) * DTYPES[dst.dtype].bytes),)
