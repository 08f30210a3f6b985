"""lower-events: events between kinds of ops become flags between pipes."""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record
from ptoc.dialect.ops import events

from .lower_pipes import pto_ops

FLAGS = {events.RecordEvent: "pto.set_flag", events.WaitEvent: "pto.wait_flag"}


@dataclass(frozen=True)
class LowerEvents:
    """Replaces record_event, wait_event and barrier_sync by the flags and barriers that they mean.

    Before:
        pto.record_event[#pto.sync_op_type<TLOAD>, #pto.sync_op_type<TMOV_M2L>, <EVENT_ID0>]
        pto.barrier_sync[#pto.sync_op_type<TVEC>]
    After:
        pto.set_flag[<PIPE_MTE2>, <PIPE_MTE1>, <EVENT_ID0>]
        pto.barrier <PIPE_V>

    Needs: nothing.  Leaves: no event between kinds of ops.  Raises: nothing.
    """

    name = "lower-events"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Lowers all events of a module in place."""
        for rec in pto_ops(module.operation):
            if rec.cls in FLAGS:
                self._replace(rec, FLAGS[rec.cls], src_pipe="src_op", dst_pipe="dst_op")
            elif rec.cls is events.BarrierSync:
                self._replace(rec, "pto.barrier", pipe="op_type")
        return []

    @staticmethod
    def _replace(rec: Record, name: str, **pipes: str) -> None:
        with rec.op.context, ir.InsertionPoint(rec.op), rec.op.location:
            attributes = {key: t.attribute("pipe", f"PIPE_{events.EVENT_PIPES[rec.attributes[kind]]}") for key, kind in pipes.items()}
            if "event_id" in rec.attributes:
                attributes["event_id"] = rec.op.attributes["event_id"]
            ir.Operation.create(name, attributes=attributes)
        rec.op.erase()
