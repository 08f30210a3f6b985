"""Synchronisation by hand, for the expert level: flags between two pipes of a core, and barriers."""

from ptoc.dialect import types as t

from .builder import emit, fail
from .values import Index, Number

PIPES = ("S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX", "SDMA", "LINK_E", "LINK_W", "LINK_N", "LINK_S", "LINK_IN")
EVENT_IDS = 8


def set_flag(source: str, target: str, event_id: Number) -> None:
    """Raises event `event_id` of (source -> target) when all earlier commands of pipe `source` are complete."""
    _flag("set_flag", source, target, event_id)


def wait_flag(source: str, target: str, event_id: Number) -> None:
    """Holds pipe `target` until event `event_id` of (source -> target) is raised, and clears it."""
    _flag("wait_flag", source, target, event_id)


def barrier(pipe: str = "ALL") -> None:
    """Holds a pipe until its earlier commands are complete; "ALL": holds the scalar unit until every pipe is."""
    emit("barrier", {}, (), {"pipe": _pipe("barrier", pipe, (*PIPES, "ALL"))})


def _flag(op: str, source: str, target: str, event_id: Number) -> None:
    pipes = {"src_pipe": _pipe(op, source, PIPES), "dst_pipe": _pipe(op, target, PIPES)}
    if source == target:
        raise fail(f"{op}: the two pipes must differ; got {source} twice; within a pipe use barrier('{source}')")
    if isinstance(event_id, int):
        if not 0 <= event_id < EVENT_IDS:
            raise fail(f"{op}: the event id must be 0 to {EVENT_IDS - 1}; got {event_id}")
        emit(op, {}, (), {**pipes, "event_id": t.attribute("event", f"EVENT_ID{event_id}")})
    else:
        emit(f"{op}_dyn", {"event_id": Index.of(event_id).value()}, (), pipes)


def _pipe(op: str, name: str, known: tuple[str, ...]) -> object:
    if name not in known:
        raise fail(f"{op}: a pipe of {' '.join(known)} is expected; got {name!r}")
    return t.attribute("pipe", f"PIPE_{name}")
