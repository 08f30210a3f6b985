"""Cross-core flags by number, as signals and awaits of the simulator IR; arrays of event ids."""

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record
from ptoc.dialect.ops import events
from ptoc.dialect.sim import sim_type

from .to_sim import Stream, lower_op, pipe_name


def _flag(stream: Stream, rec: Record) -> ir.Value:
    dynamic = rec.operands.get("event_id_dyn")
    return stream.index(rec.attributes["event_id"] if dynamic is None else dynamic)


@lower_op.register
def _signal(op: events.SyncSet, stream: Stream, rec: Record) -> None:
    stream.emit("signal", [_flag(stream, rec)], pipe=pipe_name(rec.attributes["pipe"]))


@lower_op.register
def _await(op: events.SyncWait, stream: Stream, rec: Record) -> None:
    pipe = "S" if stream.arch == "a3" else pipe_name(rec.attributes["pipe"])
    stream.emit("await", [_flag(stream, rec)], pipe=pipe)


@lower_op.register
def _ids(op: events.DeclareEventIdArray, stream: Stream, rec: Record) -> None:
    stream.values[op.array] = stream.emit("ids", [], (sim_type("ring"),), size=rec.types["array"].size).result


@lower_op.register
def _put(op: events.EventIdArraySet, stream: Stream, rec: Record) -> None:
    stream.emit("put", [stream.value(rec.operands["array"]), *(stream.index(rec.operands[k]) for k in ("index", "value"))])


@lower_op.register
def _get(op: events.EventIdArrayGet, stream: Stream, rec: Record) -> None:
    operands = [stream.value(rec.operands["array"]), stream.index(rec.operands["index"])]
    stream.values[op.result] = stream.emit("get", operands, (ir.IndexType.get(),)).result
