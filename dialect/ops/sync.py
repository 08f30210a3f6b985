"""Synchronisation within a core: flags between two pipes and barriers.  Pipes and events are dialect attributes."""

from typing import Any

from ..mlir import ir
from ..op import PtoOp

Operand = ir.Value

FLAG_ENUMS = {"src_pipe": "pipe", "dst_pipe": "pipe", "event_id": "event"}
"""Attributes of the flag ops that are written `<PIPE_MTE2>`."""


class SetFlag(PtoOp, name="set_flag"):
    """Raises event `event_id` of (src_pipe -> dst_pipe) when all earlier commands of src_pipe are complete."""

    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    enums = FLAG_ENUMS
    cpp = "set_flag({src_pipe}, {dst_pipe}, {event_id});"


class WaitFlag(PtoOp, name="wait_flag"):
    """Holds dst_pipe until event `event_id` of (src_pipe -> dst_pipe) is raised, and clears it."""

    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    enums = FLAG_ENUMS
    cpp = "wait_flag({src_pipe}, {dst_pipe}, {event_id});"


class SetFlagDyn(PtoOp, name="set_flag_dyn"):
    """set_flag with an event id that is a number at run time."""

    event_id: Operand[Any]
    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    enums = FLAG_ENUMS
    cpp = "set_flag({src_pipe}, {dst_pipe}, (event_t){event_id});"


class WaitFlagDyn(PtoOp, name="wait_flag_dyn"):
    """wait_flag with an event id that is a number at run time."""

    event_id: Operand[Any]
    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    enums = FLAG_ENUMS
    cpp = "wait_flag({src_pipe}, {dst_pipe}, (event_t){event_id});"


class Barrier(PtoOp, name="barrier"):
    """Holds `pipe` until its earlier commands are complete; PIPE_ALL holds the scalar unit until all pipes are drained."""

    format = "$pipe attr-dict"
    enums = {"pipe": "pipe"}
    cpp = "pipe_barrier({pipe});"
