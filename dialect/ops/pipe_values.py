"""Slot pipes as values: what `lower-pipes` leaves, and what `.pto` files of a lower level hold.

Source: pto-isa 3186c381, include/pto/npu/{a2a3,a5}/{TPush,TPop,TFree,TAlloc}.hpp.
"""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from .. import types as t
from ..families import transfer
from ..layout import Ref, TileRef
from ..mlir import ir
from ..op import REGISTRY, PtoOp, Record
from ..pipe_facts import C2V, V2C, missing_or_wrong
from .pipes import SplitOp, unfitting_sizes

Operand, Result = ir.Value, ir.OpResult


class InternalPipe(PtoOp):
    """A pipe as a value.  local_addr: the consumer's buffer; with dir_mask 3 the vector cores' one, and peer_local_addr the cube core's.

    `on_chip`: the slots lie in the consumer's own memory.
    """

    on_chip = False

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from missing_or_wrong(record.attributes, "dir_mask", "slot_size", "slot_num")
        both = record.attributes.get("dir_mask") == C2V | V2C
        if "peer_local_addr" in record.operands and not both:
            yield "peer_local_addr is for dir_mask = 3; a one-way pipe has one consumer buffer, local_addr"
        if both and "local_addr" in record.operands and "peer_local_addr" not in record.operands:
            yield "dir_mask = 3 needs local_addr (vector cores) and peer_local_addr (cube core); got local_addr alone"

    @classmethod
    def through_gm(cls, record: Record) -> bool:
        """Whether the slots lie in global memory."""
        return not cls.on_chip

    @classmethod
    def buffer(cls, record: Record, direction: int) -> ir.Value | None:
        """The consumer's local buffer of a direction, None where none is given."""
        two = record.attributes["dir_mask"] == C2V | V2C
        return record.operands.get("peer_local_addr" if two and direction == V2C else "local_addr")


class InitializeL2g2lPipe(InternalPipe, name="initialize_l2g2l_pipe"):
    """A pipe whose slots lie in global memory (a3): {dir_mask, slot_size, slot_num, local_slot_num, flag_base, sync_period}."""

    gm_addr: Operand[Any]
    pipe_handle: Result[Any]
    local_addr: Optional[Operand[Any]] = None
    peer_local_addr: Optional[Operand[Any]] = None
    format = (
        "attr-dict `(` $gm_addr `:` type($gm_addr) (`,` $local_addr^ `:` type($local_addr))?"
        " (`,` $peer_local_addr^ `:` type($peer_local_addr))? `)` `->` type($pipe_handle)"
    )

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        if not isinstance(record.types["gm_addr"], t.Ptr):
            yield f"gm_addr must be a !pto.ptr; got {record.operands['gm_addr'].type}"


class InitializeL2lPipe(InternalPipe, name="initialize_l2l_pipe"):
    """A pipe whose slots lie in the consumer's on-chip memory (a5): {dir_mask, slot_size, slot_num, flag_base}."""

    on_chip = True
    local_addr: Operand[Any]
    pipe_handle: Result[Any]
    peer_local_addr: Optional[Operand[Any]] = None
    format = (
        "attr-dict `(` $local_addr `:` type($local_addr) (`,` $peer_local_addr^ `:` type($peer_local_addr))? `)` `->` type($pipe_handle)"
    )


class DeclareGlobal(PtoOp, name="declare_global"):
    """A view that a pipe op fills in."""

    entry: Result[Any]
    format = "attr-dict `->` type($entry)"


class DeclareTile(PtoOp, name="declare_tile"):
    """A tile whose address a pipe op fills in."""

    tile: Result[Any]
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = "(`(` $valid_row^ `,` $valid_col `)`)? attr-dict `->` type($tile)"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from unfitting_sizes(record, "tile")


class PipeValueOp(SplitOp):
    """An op on a pipe value."""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from super().rules(record)
        if not isinstance(record.types["pipe_handle"], t.Opaque) or record.types["pipe_handle"].mnemonic != "pipe":
            yield f"the last operand must be a !pto.pipe; got {record.operands['pipe_handle'].type}"
        elif cls.maker(record) is None:
            yield "the pipe must come from pto.initialize_l2g2l_pipe or pto.initialize_l2l_pipe of this function; got another value"

    @staticmethod
    def maker(record: Record) -> ir.Operation | None:
        """The op that made the pipe value; None where it is no pipe that this function made."""
        owner = record.operands["pipe_handle"].owner
        made = not isinstance(owner, ir.Block) and issubclass(REGISTRY.get(owner.operation.name, PtoOp), InternalPipe)
        return owner.operation if made else None


class TAlloc(PipeValueOp, name="talloc"):
    """Takes the next free slot: `entry` becomes the view of it.  Waits where all slots are in flight."""

    role, slot = "alloc", "entry"
    entry: Operand[Any]
    pipe_handle: Operand[Any]
    format = "`(` $entry `,` $pipe_handle `:` type($entry) `,` type($pipe_handle) `)` attr-dict"
    cpp = "TALLOC<{pipe_handle.type}, {entry.type}, TileSplitAxis::{split}>({pipe_handle}, {entry});"


class TPush(PipeValueOp, name="tpush"):
    """Hands a slot to the consumer: an entry as it is, a tile after storing it into the next slot."""

    role, slot = "push", "tile"
    tile: Operand[Any]
    pipe_handle: Operand[Any]
    format = "`(` $tile `,` $pipe_handle `:` type($tile) `,` type($pipe_handle) `)` attr-dict"
    reads = ("tile",)
    cpp = "TPUSH<{pipe_handle.type}, {tile.type}, TileSplitAxis::{split}>({pipe_handle}, {tile});"

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        loc = getattr(record.types["tile"], "loc", "")
        return {"acc": "FIX", "vec": "MTE3"}.get(loc, "")

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        """The tile into its slot; into the slots of both vector cores where it is split on chip."""
        if "slot" in values:
            return {"slot": values["tile"].reshape(values["slot"].shape)}
        halves = np.split(values["tile"], 2, axis=attributes["split"] - 1)
        return {f"slot{sub}": half for sub, half in enumerate(halves)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple:
        slot = refs.get("slot", refs["tile"])
        return (transfer(f"{refs['tile'].memory}_to_{_slot_memory(slot)}", refs["tile"] if "slot0" in refs else slot),)


def _slot_memory(ref: Ref) -> str:
    return ref.memory if isinstance(ref, TileRef) and ref.memory in ("ub", "l1") else "gm"


class TPop(PipeValueOp, name="tpop"):
    """The next filled slot: `tile` is loaded from it, or, if it is a view, becomes the view of it."""

    role, slot = "pop", "tile"
    tile: Operand[Any]
    pipe_handle: Operand[Any]
    format = "`(` $tile `,` $pipe_handle `:` type($tile) `,` type($pipe_handle) `)` attr-dict"
    writes = ("tile",)
    cpp = "TPOP<{pipe_handle.type}, {tile.type}, TileSplitAxis::{split}>({pipe_handle}, {tile});"

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        """The engine that loads the slot; on chip nothing is loaded, and the engine that waits is the one that reads first."""
        loc = getattr(record.types["tile"], "loc", "")
        maker = cls.maker(record)
        if loc and maker is not None and REGISTRY[maker.name].on_chip:
            return "V" if loc == "vec" else "MTE1"
        return "MTE2" if loc else ""

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"tile": values["slot"].reshape(values["tile"].shape)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple:
        return (transfer("gm_to_ub" if refs["tile"].memory == "ub" else "gm_to_l1", refs.get("slot", refs["tile"])),)


class TFree(PipeValueOp, name="tfree"):
    """Gives a slot back: reported to the producer only if the entry is named, every sync_period slots."""

    role, slot = "free", "entry"
    pipe_handle: Operand[Any]
    entry: Optional[Operand[Any]] = None
    format = "`(` ($entry^ `,`)? $pipe_handle `:` (type($entry)^ `,`)? type($pipe_handle) `)` attr-dict"
    cpp = "TFREE<{pipe_handle.type}, {entry.type}, TileSplitAxis::{split}>({pipe_handle}, {entry});"
