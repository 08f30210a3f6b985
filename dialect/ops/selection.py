"""Selection by a limit: columns that pass are appended to a list, whose length is kept beside it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.work import Scalar, Vector, WorkItem

from ..families import S_TO_V, V_TO_S, VectorOp, in_memory, of_dtype, plain, repeats_of
from ..layout import Ref
from ..mlir import ir
from ..op import Record
from ..types import TileBufType as Tile
from .compare import COMPARISONS, mode_of

Operand = ir.Value


class TCompress(VectorOp, name="tcompress"):
    """dst[0, count + r] = payload[0, j] for the r-th column j with src[0, j] <cmpMode> limit[0, 0], while dst has room; count grows by as many.

    Shapes: src, payload [1, n], limit, count [1, 1], dst [1, k]: columns behind the list stay.  Dtypes: src and limit f32, payload, count
    and dst i32.  A comparison gives bits, a compaction by bits (vreducev2) writes behind the list, the scalar unit reads how many they were.  The
    library has no such call, so that a kernel with it has no C++; TGATHER by comparison begins at the front of its tile.
    """

    src: Operand[Tile]
    limit: Operand[Tile]
    payload: Operand[Tile]
    count: Operand[Tile]
    dst: Operand[Tile]
    reads = ("src", "limit", "payload", "count", "dst")
    writes = ("count", "dst")
    format = (
        "`ins` `(` $src `,` $limit `,` $payload `:` type($src) `,` type($limit) `,` type($payload) `)` "
        "`outs` `(` $count `,` $dst `:` type($count) `,` type($dst) `)` attr-dict"
    )
    enums = {"cmpMode": "cmp"}
    internals = {"drained": True, "event_ids": (V_TO_S, S_TO_V)}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from in_memory(record, "vec", *cls.reads)
        yield from plain(record, ("row_major",), *cls.reads)
        yield from of_dtype(record, ("f32",), "src", "limit")
        yield from of_dtype(record, ("i32",), "payload", "count", "dst")
        src, payload = record.tile("src").valid, record.tile("payload").valid
        if None not in (*src, *payload) and src != payload:
            yield f"payload must have an entry for each column of src; got {payload[0]}x{payload[1]} for {src[0]}x{src[1]}"
        for name in cls.reads:
            rows, cols = record.tile(name).valid
            if rows not in (1, None) or (name in ("limit", "count") and cols not in (1, None)):
                yield f"{name} must be {'one number' if name in ('limit', 'count') else 'one row'}; got {rows}x{cols}"
        if mode_of(record.attributes) not in COMPARISONS:
            yield f"cmpMode must be one of {' '.join(COMPARISONS)}; got {mode_of(record.attributes)}"

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        dst, count = values["dst"].copy(), values["count"].copy()
        found = values["payload"][0, COMPARISONS[mode_of(attributes)](values["src"][0], values["limit"][0, 0])]
        first = int(count[0, 0])
        found = found[: max(0, dst.shape[1] - first)]
        dst[0, first : first + found.size] = found
        count[0, 0] = first + found.size
        return {"count": count, "dst": dst}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        repeats = repeats_of(refs["src"])
        return (Scalar(2), Vector("vcmpvs", "f32", repeats), Vector("vreducev2", "i32", repeats, True), Scalar(2), Vector("vreducev2", "i32", 0, True))
