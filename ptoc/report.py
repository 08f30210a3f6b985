"""`ptoc run --report`: an explanation as one HTML file that needs nothing else: figures, tables, and a timeline of the block in which the run ends."""

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from ptoc.dialect.errors import ArgumentError
from ptoc.simulator.idle import BANDWIDTH, CAUSES, WORK, Intervals

from .explain import Engine, Explanation, line_of, op_of
from .explain_text import describe_wait, parts, time_teller
from .profiler_columns import summary
from .result import Result, describe_result

WIDTH = 1200
"""Units of the timeline's drawing from its left to its right end."""

SLICES = 1500
"""Intervals of an engine that are drawn one by one; more are drawn as so many columns of equal time."""

COLOURS = {
    "work": "#8296a8", "bandwidth": "#d9822b", "data": "#e4e4e4", "slot": "#c9b8e0", "signal": "#f3d36b", "barrier": "#e8a0a0", "sync": "#7a7a7a",
    "scalar": "#8fbf8f", "issue": "#b5d0c0", "tail": "#ffffff", "latency": "#c3d0db",
}  # fmt: skip

LINES = ("#3b76b5", "#2b9348", "#b5533b", "#7b5ea7", "#0e8a8a", "#a0741b", "#8a2b5b", "#5a7d2b", "#345995", "#b03a6f")
"""Colours of work by the source lines with most of the engines' time; the rest has that of `work`."""


def write_report(result: Result, path: Path) -> None:
    """Writes the report; the file appears whole or not at all."""
    text = to_html(result.explain())
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as trouble:
        temporary.unlink(missing_ok=True)
        raise ArgumentError(f"{path}: cannot be written: {trouble.strerror}") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def to_html(explanation: Explanation) -> str:
    """The report as text: the same for the same run."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ptoc", "templates"), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=True
    )
    return environment.get_template("report.html.j2").render(facts(explanation))


def facts(explanation: Explanation) -> dict[str, Any]:
    """What the template shows."""
    say, whole = time_teller(explanation), explanation.makespan
    causes, engines = explanation.path_by("cause"), explanation.path_by("engine")
    by_line = explanation.path_by("line", "op", "engine", "cause")
    colours = line_colours(explanation)
    shown = explanation.block_engines()
    return {
        "title": f"{explanation.result.kernel} on {explanation.result.chip.name}",
        "run": describe_result(explanation.result).splitlines(),
        "whole": say(whole),
        "segments": len(explanation.path),
        "causes": [(name, say(fs), part, COLOURS[name]) for ((name,), fs), part in zip(causes.items(), parts(causes.values()))],
        "path_engines": [(name, say(fs), part) for ((name,), fs), part in zip(engines.items(), parts(engines.values()))],
        "lines": [(*key, say(fs), part, colours.get(key[0], COLOURS["work"])) for (key, fs), part in zip(by_line.items(), parts(by_line.values()))],
        "names": CAUSES,
        "engines": [(str(e.core), e.name, e.stands_for, parts(e.spent.values()), None if e.median_slack is None else say(e.median_slack)) for e in shown],
        "waits": [
            (str(engine.core), engine.name, wait.cause, describe_wait(wait, engine), say(fs), f"{100 * fs / whole:.1f}%")
            for engine in shown for wait, fs in list(explanation.waits(engine).items())[:5]
        ],
        "roofs": [(r.name, f"{r.amount:,}", "flops" if r.name == "cube" else "bytes", say(r.fs), f"{100 * r.fs / whole:.1f}%", f"{r.intensity:.3g}" if r.intensity else "") for r in explanation.roofs],
        "without": [(change, f"{100 * ratio:.1f}%") for change, ratio in explanation.without.items()],
        "utilization": [(name, "withheld" if value is None else value) for name, value in summary(explanation.result).items()],
        "timeline": [("critical path", [*_path_boxes(explanation, colours)]), *((f"{e.core} {e.name}", [*_boxes(explanation, e, colours)]) for e in shown)],
        "column": say(-(-whole // SLICES)) if any(engine.intervals.begin.size > SLICES for engine in shown) else None,
        "width": WIDTH,
        "colours": {name: COLOURS[name] for name in CAUSES},
    }  # fmt: skip


def line_colours(explanation: Explanation) -> dict[str, str]:
    """The lines with most work on the engines that are shown, each with its colour."""
    found: dict[str, int] = {}
    for engine in explanation.block_engines():
        columns = engine.intervals
        works = (columns.cause == WORK) | (columns.cause == BANDWIDTH)
        commands, taken = columns.command[works], (columns.end - columns.begin)[works]
        codes, at = np.unique(explanation.history.plan.code[commands], return_inverse=True)
        times = np.zeros(codes.size, np.int64)
        np.add.at(times, at, taken)
        for code, fs in zip(codes.tolist(), times.tolist()):
            line = line_of(explanation.history.plan.table.rows[code][0])
            found[line] = found.get(line, 0) + fs
    return dict(zip(sorted(found, key=lambda line: (-found[line], line)), LINES))


Box = tuple[float, float, str, str]
"""Left end and width in the drawing, colour, what is said of it."""


def _box(explanation: Explanation, begin: int, end: int, colour: str, text: str) -> Box:
    scale = WIDTH / explanation.makespan
    return round(begin * scale, 3), round((end - begin) * scale, 3), colour, text


def _path_boxes(explanation: Explanation, colours: dict[str, str]) -> Iterator[Box]:
    """Segments of the path; those of a longer path that follow each other with one cause and engine are one."""
    say, one_by_one = time_teller(explanation), len(explanation.path) <= SLICES
    runs = groupby(explanation.segments(), lambda pair: (pair[0].begin if one_by_one else 0, pair[0].cause, explanation.history.pipe(pair[0].command)))
    for (_, cause, engine), run in runs:
        (first, site), *more = run
        last = more[-1][0] if more else first
        line = line_of(site)
        colour = colours.get(line, COLOURS["work"]) if one_by_one and cause == "work" else COLOURS[cause]
        text = f"{cause} on {engine}{f' {line}: {op_of(site)}' if one_by_one else ''}, {say(last.end - first.begin)}"
        yield _box(explanation, first.begin, last.end, colour, text)


def _boxes(explanation: Explanation, engine: Engine, colours: dict[str, str]) -> Iterator[Box]:
    """What an engine does, over time."""
    intervals, history, say = engine.intervals, explanation.history, time_teller(explanation)
    if intervals.begin.size > SLICES:
        for begin, end, cause in _columns(intervals, explanation.makespan):
            yield _box(explanation, begin, end, COLOURS[cause], f"mostly {cause}")
        return
    for begin, end, cause, command, *_ in zip(*(column.tolist() for column in intervals.columns())):
        site = history.site(command) if command >= 0 else None
        colour = colours.get(line_of(site), COLOURS["work"]) if cause == WORK else COLOURS[CAUSES[cause]]
        yield _box(explanation, begin, end, colour, f"{CAUSES[cause]}{f' {line_of(site)}: {op_of(site)}' if site else ''}, {say(end - begin)}")


def _columns(intervals: Intervals, whole: int) -> Iterator[tuple[int, int, str]]:
    """Columns of equal time with what takes most of each; alike ones that follow each other are one."""
    edges = np.linspace(0, whole, SLICES + 1).astype(np.int64)
    spent = np.stack([_within(intervals, cause, edges) for cause in range(len(CAUSES))])
    most = spent.argmax(axis=0)
    begins = np.flatnonzero(np.concatenate(([True], most[1:] != most[:-1])))
    for first, last in zip(begins.tolist(), [*begins[1:].tolist(), SLICES]):
        yield int(edges[first]), int(edges[last]), CAUSES[most[first]]


def _within(intervals: Intervals, cause: int, edges: np.ndarray) -> np.ndarray:
    """Time of a cause between the edges."""
    mine = intervals.cause == cause
    begin, end = intervals.begin[mine], intervals.end[mine]
    before = np.concatenate(([0], np.cumsum(end - begin)))
    at = np.searchsorted(begin, edges, side="right")
    inside = np.where(at > 0, np.minimum(edges, end[np.maximum(at - 1, 0)]) - begin[np.maximum(at - 1, 0)], 0) if begin.size else 0
    return np.diff(before[np.maximum(at - 1, 0)] + inside)
