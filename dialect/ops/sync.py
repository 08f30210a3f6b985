"""Synchronisation within a core: flags between two pipes and barriers.  Pipes and events are dialect attributes."""

from typing import Any

from ..mlir import ir
from ..op import PtoOp

Operand = ir.Value


class SetFlag(PtoOp, name="set_flag"):
    """Raises event `event_id` of (src_pipe -> dst_pipe) when all earlier commands of src_pipe are complete."""

    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    cpp = "set_flag({src_pipe}, {dst_pipe}, {event_id});"


class WaitFlag(PtoOp, name="wait_flag"):
    """Holds dst_pipe until event `event_id` of (src_pipe -> dst_pipe) is raised, and clears it."""

    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    cpp = "wait_flag({src_pipe}, {dst_pipe}, {event_id});"


class SetFlagDyn(PtoOp, name="set_flag_dyn"):
    """set_flag with an event id that is a number at run time."""

    event_id: Operand[Any]
    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    cpp = "set_flag({src_pipe}, {dst_pipe}, (event_t){event_id});"


class WaitFlagDyn(PtoOp, name="wait_flag_dyn"):
    """wait_flag with an event id that is a number at run time."""

    event_id: Operand[Any]
    format = "`[` $src_pipe `,` $dst_pipe `,` $event_id `]` attr-dict"
    cpp = "wait_flag({src_pipe}, {dst_pipe}, (event_t){event_id});"


class Barrier(PtoOp, name="barrier"):
    """Holds `pipe` until its earlier commands are complete; PIPE_ALL holds the scalar unit until all pipes are drained."""

    format = "$pipe attr-dict"
    cpp = "pipe_barrier({pipe});"
