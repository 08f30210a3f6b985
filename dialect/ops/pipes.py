"""Slot pipes between the cube core and the vector cores of a block: the forms that a program is written in, and reserved buffers.

A pipe is a ring of slots.  The producer takes a slot (talloc; on its own in the tile form), fills it and pushes it; the consumer pops
it, reads it and frees it.  On a3 slots lie in global memory; a push signals from FIX (cube) or MTE3 (vector) when the stores before it
are complete, a free from MTE2 when the loads before it are.  Source: pto-isa 3186c381, include/pto/npu/a2a3/{TPush,TPop,TFree,TAlloc}.hpp.
"""

from collections.abc import Iterator
from typing import Any, Optional

from .. import types as t
from ..mlir import ir
from ..op import PtoOp, Record
from ..pipe_facts import C2V, CONSUMER_LOCATIONS, SPLITS, V2C, missing_or_wrong

Operand, Result = ir.Value, ir.OpResult

PRODUCER_LOCATIONS = {C2V: "acc", V2C: "vec"}
"""Direction to where a pushed tile lies."""


class InitializePipe(PtoOp):
    """One side's declaration of a pipe: {id, dir_mask 1 (cube to vector) | 2 | 3, slot_size, slot_num, local_slot_num, sync_period, flag_base}.

    `core`: the kind of core that it stands on.
    """

    core = ""
    format = (
        "attr-dict `(` (`gm_slot_tensor` `=` $gm_slot_tensor^ `:` type($gm_slot_tensor))?"
        " (`gm_slot_buffer` `=` $gm_slot_buffer^ `:` type($gm_slot_buffer) `,`)?"
        " (`c2v_consumer_buf` `=` $c2v_consumer_buf^ `:` type($c2v_consumer_buf) `,`"
        " `v2c_consumer_buf` `=` $v2c_consumer_buf `:` type($v2c_consumer_buf))? `)`"
    )

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from missing_or_wrong(record.attributes, "dir_mask", "slot_size")
        slots = [name for name in ("gm_slot_tensor", "gm_slot_buffer") if name in record.operands]
        if len(slots) > 1:
            yield "the slots are given as gm_slot_tensor or as gm_slot_buffer; got both"
        for name, kind, what in (("gm_slot_tensor", t.View, "tensor_view"), ("gm_slot_buffer", t.Ptr, "ptr")):
            if name in slots and not isinstance(record.types[name], kind):
                yield f"{name} must be a !pto.{what}; got {record.operands[name].type}"

    @classmethod
    def through_gm(cls, record: Record) -> bool:
        """Whether the slots are given in global memory."""
        return bool({"gm_slot_tensor", "gm_slot_buffer"} & set(record.operands))

    @classmethod
    def buffer(cls, record: Record, direction: int) -> ir.Value | None:
        """The consumer's local buffer of a direction, None where none is given."""
        return record.operands.get("c2v_consumer_buf" if direction == C2V else "v2c_consumer_buf")


class AicInitializePipe(InitializePipe, name="aic_initialize_pipe"):
    """The cube side's declaration of a pipe."""

    core = "cube"
    gm_slot_tensor: Optional[Operand[Any]] = None
    gm_slot_buffer: Optional[Operand[Any]] = None
    c2v_consumer_buf: Optional[Operand[Any]] = None
    v2c_consumer_buf: Optional[Operand[Any]] = None


class AivInitializePipe(InitializePipe, name="aiv_initialize_pipe"):
    """The vector side's declaration of a pipe."""

    core = "vector"
    gm_slot_tensor: Optional[Operand[Any]] = None
    gm_slot_buffer: Optional[Operand[Any]] = None
    c2v_consumer_buf: Optional[Operand[Any]] = None
    v2c_consumer_buf: Optional[Operand[Any]] = None


class SplitOp(PtoOp):
    """An op on a pipe with {id, split}: split 0 none, 1 up_down (rows over the two vector cores), 2 left_right (columns).

    `role`: "alloc", "push", "pop" or "free"; `direction`: C2V or V2C, 0 where the pipe and the core say it; `slot`: the operand or
    result that is the slot, as a view (an entry) or as a tile.
    """

    role, direction, slot = "", 0, ""

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if record.attributes.get("split", 0) not in SPLITS:
            yield f"split must be 0 (none), 1 (up_down) or 2 (left_right); got {record.attributes['split']}"
        kind = record.types.get(cls.slot)
        locations = PRODUCER_LOCATIONS if cls.role == "push" else CONSUMER_LOCATIONS
        allowed = [loc for way, loc in locations.items() if cls.direction in (0, way)] if cls.role != "alloc" else []
        if kind is None:
            return
        if not isinstance(kind, t.View | t.Tile) or (isinstance(kind, t.Tile) and kind.loc not in allowed):
            tiles = f" or {'an' if allowed[0] == 'acc' else 'a'} {' or '.join(allowed)} tile" if allowed else ""
            yield f"{cls.slot} must be a view of a slot{tiles}; got {cls.slot_of(record).type}"
        yield from unfitting_sizes(record, cls.slot)

    @classmethod
    def slot_of(cls, record: Record) -> ir.Value | None:
        """The slot as a value; None for a free that does not name its entry."""
        return record.operands.get(cls.slot, record.results.get(cls.slot))


def unfitting_sizes(record: Record, name: str) -> Iterator[str]:
    """Valid sizes are given as operands where the tile's type has '?', and there only."""
    kind = record.types[name]
    for axis in ("row", "col"):
        if f"valid_{axis}" in record.operands and getattr(kind, f"v_{axis}s", 0) is not None:
            yield f"valid_{axis} is for a tile whose type has valid=?x?; got {record.results[name].type}"


class TAllocToAiv(SplitOp, name="talloc_to_aiv"):
    """A free slot of a cube-to-vector pipe, as a view to store into."""

    role, direction, slot = "alloc", C2V, "entry"
    entry: Result[Any]
    format = "attr-dict `->` type($entry)"


class TAllocToAic(SplitOp, name="talloc_to_aic"):
    """A free slot of a vector-to-cube pipe, as a view to store into."""

    role, direction, slot = "alloc", V2C, "entry"
    entry: Result[Any]
    format = "attr-dict `->` type($entry)"


class TPushToAiv(SplitOp, name="tpush_to_aiv"):
    """Hands a tile (stored into the next slot) or a filled entry to the vector cores."""

    role, direction, slot = "push", C2V, "tile"
    tile: Operand[Any]
    format = "`(` $tile `:` type($tile) `)` attr-dict"


class TPushToAic(SplitOp, name="tpush_to_aic"):
    """Hands a tile (stored into the next slot) or a filled entry to the cube core."""

    role, direction, slot = "push", V2C, "tile"
    tile: Operand[Any]
    format = "`(` $tile `:` type($tile) `)` attr-dict"


class TPopFromAic(SplitOp, name="tpop_from_aic"):
    """The next filled slot from the cube core: loaded into a tile, or as a view."""

    role, direction, slot = "pop", C2V, "tile"
    tile: Result[Any]
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = "(`(` $valid_row^ `,` $valid_col `)`)? attr-dict `->` type($tile)"


class TPopFromAiv(SplitOp, name="tpop_from_aiv"):
    """The next filled slot from the vector cores: loaded into a tile, or as a view."""

    role, direction, slot = "pop", V2C, "tile"
    tile: Result[Any]
    valid_row: Optional[Operand[Any]] = None
    valid_col: Optional[Operand[Any]] = None
    format = "(`(` $valid_row^ `,` $valid_col `)`)? attr-dict `->` type($tile)"


class TFreeFromAic(SplitOp, name="tfree_from_aic"):
    """Gives a slot back to the cube core.  Without its entry the library reports nothing (TFREE of a tile is empty)."""

    role, direction, slot = "free", C2V, "entry"
    entry: Optional[Operand[Any]] = None
    format = "(`(` $entry^ `:` type($entry) `)`)? attr-dict"


class TFreeFromAiv(SplitOp, name="tfree_from_aiv"):
    """Gives a slot back to the vector cores.  Without its entry the library reports nothing (TFREE of a tile is empty)."""

    role, direction, slot = "free", V2C, "entry"
    entry: Optional[Operand[Any]] = None
    format = "(`(` $entry^ `:` type($entry) `)`)? attr-dict"


class ReserveBuffer(PtoOp, name="reserve_buffer"):
    """Bytes reserved for the local slots of a pipe's consumer: {name, size, location, auto [, base]}."""

    addr: Result[Any]
    format = "attr-dict `->` type($addr)"
    enums = {"location": "address_space"}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        facts = record.attributes
        missing = [key for key in ("name", "size", "location") if key not in facts]
        if missing:
            yield f"'{missing[0]}' is missing"
            return
        if facts["size"] < 1:
            yield f"size must be at least 1; got {facts['size']}"
        if facts["location"] not in CONSUMER_LOCATIONS.values():
            yield f"location must be vec (a consumer on a vector core) or mat (on the cube core); got {facts['location']}"
        if facts.get("base", 0) < 0:
            yield f"base must be at least 0; got {facts['base']}"
        if not facts.get("auto", True) and "base" not in facts:
            yield "base is missing: auto = false says that the address is given"


class ImportReservedBuffer(PtoOp, name="import_reserved_buffer"):
    """The address of a buffer that the other side reserved: {name, peer_func}."""

    addr: Result[Any]
    format = "attr-dict `->` type($addr)"


class SetFfts(PtoOp, name="set_ffts"):
    """Tells the core where the cross-core synchronisation unit's control words lie."""

    ffts: Operand[Any]
    format = "$ffts attr-dict `:` type($ffts)"
    cpp = "set_ffts_base_addr((uint64_t){ffts});"
