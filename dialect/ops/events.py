"""Synchronisation in older and in special spellings: events between kinds of ops, cross-core signals, buffer tokens, event ids in arrays.

`record_event`, `wait_event` and `barrier_sync` name the op whose pipe they mean; `lower-events` turns them into flags and barriers.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Optional

from ..mlir import ir
from ..op import PtoOp, Record
from ..types import EventIdArrayType

Operand, Result = ir.Value, ir.OpResult

EVENT_PIPES = {
    "TLOAD": "MTE2", "TSTORE_ACC": "FIX", "TSTORE_VEC": "MTE3", "TMOV_M2L": "MTE1", "TMOV_M2S": "FIX", "TMOV_M2B": "MTE1",
    "TMOV_M2V": "V", "TMOV_V2M": "FIX", "TMATMUL": "M", "TVEC": "V", "TVECWAIT_EVENT": "V",
}  # fmt: skip
"""Pipe of each kind of op that an event names.  Source: PTOAS v0.27, lib/PTO/IR/PTOSyncUtils.cpp."""


def event_pipe(record: Record, name: str) -> Iterator[str]:
    """An endpoint is one of the kinds of `EVENT_PIPES`."""
    if record.attributes.get(name) not in EVENT_PIPES:
        yield f"{name} must be one of {', '.join(EVENT_PIPES)}; got {record.attributes.get(name)}"


class EventOp(PtoOp):
    """[src_op, dst_op, event_id]: a flag from the pipe of one kind of op to that of another."""

    format = "`[` $src_op `,` $dst_op `,` $event_id `]` attr-dict"
    enums = {"event_id": "event"}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from event_pipe(record, "src_op")
        yield from event_pipe(record, "dst_op")


class RecordEvent(EventOp, name="record_event"):
    """set_flag from the pipe of src_op to the pipe of dst_op."""


class WaitEvent(EventOp, name="wait_event"):
    """wait_flag of the pipe of dst_op on the pipe of src_op."""


class BarrierSync(PtoOp, name="barrier_sync"):
    """A barrier over the pipe of a kind of op."""

    format = "`[` $op_type `]` attr-dict"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from event_pipe(record, "op_type")


class CrossCoreOp(PtoOp):
    """A cross-core flag by number, constant or from run time."""

    format = ("$pipe `,` $event_id attr-dict", "$pipe `,` $event_id_dyn attr-dict")
    enums = {"pipe": "pipe"}

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        if ("event_id" in record.attributes) == ("event_id_dyn" in record.operands):
            yield "one flag must be given, as a number or as a value"


class SyncSet(CrossCoreOp, name="sync_set"):
    """Raises a cross-core flag for the other cores of the block when all earlier commands of `pipe` are complete; ffts_mode 2 unless given."""

    event_id_dyn: Optional[Operand[Any]] = None
    spelling = "pto.sync.set"
    cpp = "ffts_cross_core_sync({pipe}, getFFTSMsg({ffts_mode}, {event_id}));"


class SyncWait(CrossCoreOp, name="sync_wait"):
    """Waits for a cross-core flag: on a3 the scalar unit, on a5 `pipe`."""

    event_id_dyn: Optional[Operand[Any]] = None
    spelling = "pto.sync.wait"
    cpp = "wait_flag_dev({event_id});"


class BufferTokenOp(PtoOp):
    """[op_type, buf_id]: a token of a buffer, taken and given back by the pipe of a kind of op (a5)."""

    format = "`[` $op_type `,` $buf_id `]` attr-dict"

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        yield from event_pipe(record, "op_type")
        if not 0 <= record.attributes.get("buf_id", 0) < 32:
            yield f"buf_id must be 0 to 31; got {record.attributes['buf_id']}"


class GetBuf(BufferTokenOp, name="get_buf"):
    """Holds the pipe until the commands that other pipes issued between get and release of this buffer are complete."""

    cpp = "get_buf({op_type}, {buf_id}, {mode});"


class RlsBuf(BufferTokenOp, name="rls_buf"):
    """Gives the buffer's token back when the pipe's earlier commands are complete."""

    cpp = "rls_buf({op_type}, {buf_id}, {mode});"


class DeclareEventIdArray(PtoOp, name="declare_eventid_array"):
    """An array of event ids; nothing is in it before it is set."""

    array: Result[EventIdArrayType]
    format = "attr-dict `->` type($array)"


class EventIdArrayGet(PtoOp, name="eventid_array_get"):
    """array[index]."""

    array: Operand[EventIdArrayType]
    index: Operand[Any]
    result: Result[Any]
    format = "$array `[` $index `]` attr-dict `:` type($array)"


class EventIdArraySet(PtoOp, name="eventid_array_set"):
    """array[index] = value."""

    array: Operand[EventIdArrayType]
    index: Operand[Any]
    value: Operand[Any]
    format = "$array `[` $index `]` `,` $value attr-dict `:` type($array)"


class TSync(PtoOp, name="tsync"):
    """Waits for events that earlier library calls returned."""

    events: Sequence[Operand[Any]]
    format = "`ins` `(` $events `:` type($events) `)` attr-dict"
