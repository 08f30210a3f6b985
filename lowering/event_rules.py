"""Cross-core flags by number, as signals and awaits of the simulator IR."""

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record
from ptoc.dialect.ops import events

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
