"""Links of a mesh: a tile is sent to the neighbour in a direction, and received from one.

A send waits until the neighbour's buffer for the direction has a free slot, moves the tile there and counts; a receive waits for the next
message of its direction, takes it out and gives the slot back.  `axis`: 0 between the elements of a cube, 1 between cubes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ptoc.machine.mesh import AXES, DIRECTIONS, RECEIVE_PIPE, SEND_PIPES, link_pipe
from ptoc.machine.work import Link, Taken, WorkItem

from ..dtypes import DTYPES
from ..layout import TileRef
from ..mlir import ext, ir
from ..op import PtoOp, Record
from ..types import TileBufType as Tile

Operand, Result = ir.Value, ir.OpResult


class LinkOp(PtoOp):
    """An op on a link: {dir, axis}.  `tile`: the operand that travels; `role`: "send" or "recv"."""

    tile, role = "", ""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.attributes.get("dir") not in DIRECTIONS:
            yield f"dir must be one of {' '.join(DIRECTIONS)}; got {record.attributes.get('dir')}"
        if record.attributes.get("axis", 0) not in AXES:
            yield f"axis must be 0 (elements of a cube) or 1 (cubes); got {record.attributes['axis']}"
        tile = record.tile(cls.tile)
        if tile.loc not in ("vec", "mat"):
            yield f"{cls.tile} must be a vec or mat tile; got {tile.loc}"


def message_bytes(ref: TileRef) -> int:
    """Bytes of a message: the valid part of its tile."""
    return ref.v_rows * ref.v_cols * DTYPES[ref.dtype].bytes


class TSend(LinkOp, name="tsend"):
    """Sends src's valid part to the neighbour in direction `dir` along `axis`; waits while the neighbour's buffer is full.

    Shapes: any.  A message is the elements row by row: the neighbour receives into a tile of one shape and type with src, in any layout.
    """

    tile, role = "src", "send"
    src: Operand[Tile]
    format = "`ins` `(` $src `:` type($src) `)` attr-dict"
    reads = ("src",)

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        direction = record.attributes.get("dir")
        return link_pipe(direction) if direction in DIRECTIONS else SEND_PIPES[0]

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"slot": values["src"]}

    @classmethod
    def work(cls, refs: dict[str, TileRef], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (Link(attributes.get("axis", 0), 1, message_bytes(refs["src"])),)


class TRecv(LinkOp, name="trecv"):
    """dst = the next message from the neighbour in direction `dir` along `axis`; waits for it.

    Shapes: any.  dst is of one shape and type with the tile that was sent.
    """

    tile, role = "dst", "recv"
    dst: Operand[Tile]
    format = "`outs` `(` $dst `:` type($dst) `)` attr-dict"
    writes = ("dst",)
    pipe = RECEIVE_PIPE

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"dst": values["slot"]}

    @classmethod
    def work(cls, refs: dict[str, TileRef], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        return (Taken(message_bytes(refs["dst"])),)


class GetMeshIdx(PtoOp, name="get_mesh_idx", traits=[ext.Pure]):
    """This block's number along an axis of the mesh: {axis} 0 its place in its cube, 1 the number of its cube."""

    result: Result[Any]
    format = "attr-dict"
    result_types = {"result": "i64"}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.attributes.get("axis") not in AXES:
            yield f"axis must be 0 (place in the cube) or 1 (number of the cube); got {record.attributes.get('axis')}"
