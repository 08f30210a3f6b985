"""Slot pipes between the cube core and the vector cores of a block: front-end forms, internal forms, reserved buffers.

A pipe is a ring of slots.  The producer takes a slot (talloc; on its own in the tile form), fills it and pushes it; the consumer pops
it, reads it and frees it.  On a3 slots lie in global memory; a push signals from FIX (cube) or MTE3 (vector) when the stores before it
are complete, a free from MTE2 when the loads before it are.  Source: pto-isa 3186c381, include/pto/npu/a2a3/{TPush,TPop,TFree,TAlloc}.hpp.
"""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from ..families import transfer
from ..layout import Ref, TileRef
from ..mlir import ir
from ..op import PtoOp, Record

Operand, Result = ir.Value, ir.OpResult

SPLITS = {0: "TILE_NO_SPLIT", 1: "TILE_UP_DOWN", 2: "TILE_LEFT_RIGHT"}


def library_period(slots: int) -> int:
    """Slots per acknowledgement as pto-isa derives it from the slot count.  Source: pto-isa 3186c381, TPush.hpp (SyncPeriod)."""
    return slots if slots <= 2 else slots // 2


def missing_or_wrong(facts: dict[str, Any], *needed: str) -> Iterator[str]:
    """Rules of a pipe's facts: the needed ones are there, the direction is one, counts are at least 1."""
    for key in needed:
        if key not in facts:
            yield f"'{key}' is missing"
            return
    if facts["dir_mask"] not in (1, 2, 3):
        yield f"dir_mask must be 1 (cube to vector), 2 (vector to cube) or 3 (both); got {facts['dir_mask']}"
    for key in ("slot_size", "slot_num", "local_slot_num", "sync_period"):
        if facts.get(key, 1) < 1:
            yield f"{key} must be at least 1; got {facts[key]}"
    if not 0 <= facts.get("flag_base", 0) < 16:
        yield f"flag_base must be 0 to 15; got {facts['flag_base']}"


class InitializePipe(PtoOp):
    """One side's declaration of a pipe: {id, dir_mask 1 (cube to vector) | 2 | 3, slot_size, slot_num, local_slot_num, sync_period}."""

    format = (
        "attr-dict `(` (`gm_slot_tensor` `=` $gm_slot_tensor^ `:` type($gm_slot_tensor))?"
        " (`gm_slot_buffer` `=` $gm_slot_buffer^ `:` type($gm_slot_buffer) `,`)?"
        " (`c2v_consumer_buf` `=` $c2v_consumer_buf^ `:` type($c2v_consumer_buf) `,`"
        " `v2c_consumer_buf` `=` $v2c_consumer_buf `:` type($v2c_consumer_buf))? `)`"
    )

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from missing_or_wrong(record.attributes, "dir_mask", "slot_size")


class AicInitializePipe(InitializePipe, name="aic_initialize_pipe"):
    """The cube side's declaration of a pipe."""

    gm_slot_tensor: Optional[Operand[Any]] = None
    gm_slot_buffer: Optional[Operand[Any]] = None
    c2v_consumer_buf: Optional[Operand[Any]] = None
    v2c_consumer_buf: Optional[Operand[Any]] = None


class AivInitializePipe(InitializePipe, name="aiv_initialize_pipe"):
    """The vector side's declaration of a pipe."""

    gm_slot_tensor: Optional[Operand[Any]] = None
    gm_slot_buffer: Optional[Operand[Any]] = None
    c2v_consumer_buf: Optional[Operand[Any]] = None
    v2c_consumer_buf: Optional[Operand[Any]] = None


class SplitOp(PtoOp):
    """An op on a pipe with {id, split}: split 0 none, 1 up_down (rows over the two vector cores), 2 left_right (columns)."""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.attributes.get("split", 0) not in SPLITS:
            yield f"split must be 0 (none), 1 (up_down) or 2 (left_right); got {record.attributes['split']}"


class TAllocToAiv(SplitOp, name="talloc_to_aiv"):
    """A free slot of a cube-to-vector pipe, as a view to store into."""

    entry: Result[Any]
    format = "attr-dict `->` type($entry)"


class TAllocToAic(SplitOp, name="talloc_to_aic"):
    """A free slot of a vector-to-cube pipe, as a view to store into."""

    entry: Result[Any]
    format = "attr-dict `->` type($entry)"


class TPushToAiv(SplitOp, name="tpush_to_aiv"):
    """Hands a tile (stored into the next slot) or a filled entry to the vector cores."""

    tile: Operand[Any]
    format = "`(` $tile `:` type($tile) `)` attr-dict"


class TPushToAic(SplitOp, name="tpush_to_aic"):
    """Hands a tile (stored into the next slot) or a filled entry to the cube core."""

    tile: Operand[Any]
    format = "`(` $tile `:` type($tile) `)` attr-dict"


class TPopFromAic(SplitOp, name="tpop_from_aic"):
    """The next filled slot from the cube core: loaded into a tile, or as a view."""

    tile: Result[Any]
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = "(`(` $valid_row^ `,` $valid_col `)`)? attr-dict `->` type($tile)"


class TPopFromAiv(SplitOp, name="tpop_from_aiv"):
    """The next filled slot from the vector cores: loaded into a tile, or as a view."""

    tile: Result[Any]
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = "(`(` $valid_row^ `,` $valid_col `)`)? attr-dict `->` type($tile)"


class TFreeFromAic(SplitOp, name="tfree_from_aic"):
    """Gives a slot back to the cube core.  Without its entry the library reports nothing (TFREE of a tile is empty)."""

    entry: Optional[Operand[Any]] = None
    format = "(`(` $entry^ `:` type($entry) `)`)? attr-dict"


class TFreeFromAiv(SplitOp, name="tfree_from_aiv"):
    """Gives a slot back to the vector cores.  Without its entry the library reports nothing (TFREE of a tile is empty)."""

    entry: Optional[Operand[Any]] = None
    format = "(`(` $entry^ `:` type($entry) `)`)? attr-dict"


class ReserveBuffer(PtoOp, name="reserve_buffer"):
    """Bytes reserved for the local slots of a pipe's consumer: {name, size, location, auto [, base]}."""

    addr: Result[Any]
    format = "attr-dict `->` type($addr)"
    enums = {"location": "address_space"}


class ImportReservedBuffer(PtoOp, name="import_reserved_buffer"):
    """The address of a buffer that the other side reserved: {name, peer_func}."""

    addr: Result[Any]
    format = "attr-dict `->` type($addr)"


class InternalPipe(PtoOp):
    """A pipe as a value."""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from missing_or_wrong(record.attributes, "dir_mask", "slot_size", "slot_num")


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


class InitializeL2lPipe(InternalPipe, name="initialize_l2l_pipe"):
    """A pipe whose slots lie in the consumer's on-chip memory (a5): {dir_mask, slot_size, slot_num, flag_base}.

    local_addr: the vector cores' buffer; peer_local_addr: the cube core's.
    """

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


class TAlloc(SplitOp, name="talloc"):
    """Takes the next free slot: `entry` becomes the view of it.  Waits where all slots are in flight."""

    entry: Operand[Any]
    pipe_handle: Operand[Any]
    format = "`(` $entry `,` $pipe_handle `:` type($entry) `,` type($pipe_handle) `)` attr-dict"
    cpp = "TALLOC<{pipe_handle.type}, {entry.type}, TileSplitAxis::{split}>({pipe_handle}, {entry});"


class TPush(SplitOp, name="tpush"):
    """Hands a slot to the consumer: an entry as it is, a tile after storing it into the next slot."""

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


class TPop(SplitOp, name="tpop"):
    """The next filled slot: `tile` is loaded from it, or, if it is a view, becomes the view of it."""

    tile: Operand[Any]
    pipe_handle: Operand[Any]
    format = "`(` $tile `,` $pipe_handle `:` type($tile) `,` type($pipe_handle) `)` attr-dict"
    writes = ("tile",)
    cpp = "TPOP<{pipe_handle.type}, {tile.type}, TileSplitAxis::{split}>({pipe_handle}, {tile});"

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        """The engine that loads the slot; on chip nothing is loaded, and the engine that waits is the one that reads first."""
        loc = getattr(record.types["tile"], "loc", "")
        maker = record.operands["pipe_handle"].owner
        if loc and isinstance(maker, ir.Operation | ir.OpView) and maker.name == "pto.initialize_l2l_pipe":
            return "V" if loc == "vec" else "MTE1"
        return "MTE2" if loc else ""

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        return {"tile": values["slot"].reshape(values["tile"].shape)}

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple:
        return (transfer("gm_to_ub" if refs["tile"].memory == "ub" else "gm_to_l1", refs.get("slot", refs["tile"])),)


class TFree(SplitOp, name="tfree"):
    """Gives a slot back: reported to the producer only if the entry is named, every sync_period slots."""

    pipe_handle: Operand[Any]
    entry: Optional[Operand[Any]] = None
    format = "`(` ($entry^ `,`)? $pipe_handle `:` (type($entry)^ `,`)? type($pipe_handle) `)` attr-dict"
    cpp = "TFREE<{pipe_handle.type}, {entry.type}, TileSplitAxis::{split}>({pipe_handle}, {entry});"


class SetFfts(PtoOp, name="set_ffts"):
    """Tells the core where the cross-core synchronisation unit's control words lie."""

    ffts: Operand[Any]
    format = "$ffts attr-dict `:` type($ffts)"
    cpp = "set_ffts_base_addr((uint64_t){ffts});"
