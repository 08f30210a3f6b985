"""A timeline as Chrome trace events (opens in Perfetto): a process per core, a thread per pipe, a slice per command.

Arrows lead from each set_flag to the wait_flag, and from each cross-core signal to the wait, that it released.  Counters tell bandwidth and what waits in pipes between cores (`trace_counters.py`).
Source: "Trace Event Format" (Chrome project), phases M, X, s and f; times there are microseconds.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from ptoc.dialect.errors import ArgumentError

from .program import Command, Program
from .timeline import PIPES, Timeline, queue_of
from .trace_counters import counter_events

FS_PER_US = 10**9


def trace_events(timeline: Timeline, program: Program) -> Iterator[dict]:
    """Metadata, then the slices stream by stream in program order, then the arrows and the counters; the same events in the same order every time.

    A slice lasts from the command's start to its end (occupancy); `args.complete_us` says when its result was visible.
    """
    yield from _metadata(program)
    threads = {site: PIPES.index(queue_of(site, program.arch)) for site in program.sites}
    columns = [[times.tolist() for times in column] for column in (timeline.start, timeline.end, timeline.complete)]
    for number, stream in enumerate(program.streams):
        for index, command in enumerate(stream.commands):
            start, end, complete = (column[number][index] for column in columns)
            yield {
                "name": command.site.op,
                "cat": command.site.kind,
                "ph": "X",
                "ts": start / FS_PER_US,
                "dur": (end - start) / FS_PER_US,
                "pid": number,
                "tid": threads[command.site],
                "args": _arguments(command, complete),
            }
    for identity, (source, target) in enumerate(timeline.links):
        site = program.streams[source[0]].commands[source[1]].site
        raised = columns[2][source[0]][source[1]]
        held = columns[0][target[0]][target[1]]
        kind = "flag" if site.kind == "set" else "signal"
        common = {"name": site.channel or kind, "cat": kind, "id": identity}
        yield {**common, "ph": "s", "ts": columns[0][source[0]][source[1]] / FS_PER_US, "pid": source[0], "tid": threads[site]}
        waiter = program.streams[target[0]].commands[target[1]].site
        yield {**common, "ph": "f", "bp": "e", "ts": max(held, raised) / FS_PER_US, "pid": target[0], "tid": threads[waiter]}
    yield from counter_events(timeline)


def write_trace(timeline: Timeline, program: Program, path: str | Path) -> None:
    """Writes the events to `path` as JSON, one event a line; the file appears whole or not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit": "ns", "traceEvents": [')
            separator = "\n"
            for event in trace_events(timeline, program):
                file.write(separator + json.dumps(event))
                separator = ",\n"
            file.write("\n]}\n")
        os.replace(temporary, path)
    except OSError as trouble:
        temporary.unlink(missing_ok=True)
        raise ArgumentError(f"{path}: cannot be written: {trouble.strerror}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _metadata(program: Program) -> Iterator[dict]:
    """Names and order of the tracks that have commands."""
    for number, stream in enumerate(program.streams):
        yield {"name": "process_name", "ph": "M", "pid": number, "args": {"name": str(stream.core)}}
        yield {"name": "process_sort_index", "ph": "M", "pid": number, "args": {"sort_index": number}}
        used = {queue_of(site, program.arch) for site in {command.site for command in stream.commands}}
        for thread, pipe in enumerate(PIPES):
            if pipe in used:
                yield {"name": "thread_name", "ph": "M", "pid": number, "tid": thread, "args": {"name": pipe}}
                yield {"name": "thread_sort_index", "ph": "M", "pid": number, "tid": thread, "args": {"sort_index": thread}}


def _arguments(command: Command, complete: int) -> dict:
    """What a reader wants to know of a command."""
    site = command.site
    arguments: dict = {"location": site.location, "complete_us": complete / FS_PER_US}
    if command.flag >= 0:
        arguments["flag"] = command.flag
    if site.peer:
        arguments["peer"] = site.peer
    if site.channel:
        arguments["channel"] = site.channel
    if site.unit >= 0:
        arguments["unit"] = site.unit
    return arguments
