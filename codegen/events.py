"""Arrays of event ids in C++: plain arrays of integers; set_flag and wait_flag with an id from them cast it."""

from ptoc.dialect.op import record
from ptoc.dialect.ops import events as e

from .scalars import cpp_type
from .structure import emit_op
from .writer import Writer


@emit_op.register
def _(op: e.DeclareEventIdArray, w: Writer) -> None:
    rec = record(op.operation)
    w.line(f"int32_t {w.name(rec.results['array'], 'event_ids')}[{rec.types['array'].size}];", op)


@emit_op.register
def _(op: e.EventIdArrayGet, w: Writer) -> None:
    rec = record(op.operation)
    result = rec.results["result"]
    array, index = (w.of(rec.operands[k]) for k in ("array", "index"))
    w.line(f"const {cpp_type(result.type)} {w.name(result, 'event_id')} = {array}[{index}];", op)


@emit_op.register
def _(op: e.EventIdArraySet, w: Writer) -> None:
    rec = record(op.operation)
    array, index, value = (w.of(rec.operands[k]) for k in ("array", "index", "value"))
    w.line(f"{array}[{index}] = {value};", op)
