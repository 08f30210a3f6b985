"""A picture of a run: the engines of its first block over time, a box for each command, coloured by the source line that it comes from."""

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from ptoc.simulator.program import Site
from ptoc.simulator.timeline import PIPES, queue_of

from .result import Result

LEFT, RIGHT, TOP, ROW, BOX = 90, 20, 24, 26, 18
WIDTH = 960
"""Units of the picture: margins, height of a row and of a box in it, width of the whole."""

MOST = 240
"""Boxes that are drawn; a longer run is cut off where there would be more."""

COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#eeca3b", "#9d755d", "#ff9da6", "#bab0ac")


class Box(NamedTuple):
    """One command: start and end in fs, core, number of the engine in PIPES, site."""

    start: int
    end: int
    core: str
    pipe: int
    site: Site


def timeline_svg(result: Result) -> str:
    """The picture as SVG, the same for the same run.  Times are shares of the run where the chip's are withheld."""
    boxes = sorted(_boxes(result), key=lambda box: box[:4])
    shown, left = boxes[:MOST], boxes[MOST:]
    if not shown:
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{TOP}"/>\n'
    end = left[0].start if left else max(box.end for box in shown)
    rows = sorted({(box.core, box.pipe) for box in shown})
    lines = list(dict.fromkeys(box.site.location for box in shown))
    bottom = TOP + ROW * len(rows)
    height = bottom + 40 + 16 * -(-len(lines) // 3)
    body = [*_axis(result, end, bottom), *_names(rows)]
    for box in shown:
        x, y = _place(box.start, end), TOP + ROW * rows.index((box.core, box.pipe)) + (ROW - BOX) // 2
        width = max(_place(min(box.end, end), end) - x, 0.5)
        title = escape(f"{box.site.op} {box.site.location}")
        colour = COLOURS[lines.index(box.site.location) % len(COLOURS)]
        body.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BOX}" fill="{colour}" stroke="white" stroke-width="0.4"><title>{title}</title></rect>')
    body += _legend(lines, shown, bottom + 34)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *body, "</svg>", ""])


def _boxes(result: Result) -> Iterator[Box]:
    """The work of the first block."""
    program, timeline = result.program, result.timeline
    for number, stream in enumerate(program.streams):
        if stream.core.block == 0:
            times = zip(stream.commands, timeline.start[number].tolist(), timeline.end[number].tolist())
            yield from (Box(start, end, str(stream.core), PIPES.index(queue_of(c.site, program.arch)), c.site) for c, start, end in times if c.site.kind == "work")


def _place(time: int, end: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * time / end


def _axis(result: Result, end: int, bottom: int) -> Iterator[str]:
    """Ten ticks: microseconds, or percent of the run where times are withheld."""
    known = result.to_json()["kernel_us"] is not None
    for tick in range(11):
        time = end * tick // 10
        label = f"{time / 1e9:.2f}" if known else f"{100 * time / result.timeline.makespan:.1f}%"
        x = _place(time, end)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{label}</text>'
    whole = "the whole run" if end >= result.timeline.makespan * 99 // 100 else f"the first {100 * end / result.timeline.makespan:.1f} % of the run"
    arguments = f"{result.kernel} on {result.chip.name}, {'us' if known else 'share of the run'}: {whole}"
    yield f'<text x="{LEFT}" y="14">{escape(arguments)}</text>'


def _names(rows: list[tuple[str, int]]) -> Iterator[str]:
    for number, (core, pipe) in enumerate(rows):
        yield f'<text x="{LEFT - 8}" y="{TOP + ROW * number + ROW // 2 + 4}" text-anchor="end">{core} {PIPES[pipe]}</text>'


def _legend(lines: list[str], shown: list[Box], top: int) -> Iterator[str]:
    """Colour, op and line, three in a row."""
    ops = {box.site.location: box.site.op for box in reversed(shown)}
    for number, line in enumerate(lines):
        x, y = LEFT + (number % 3) * 285, top + 16 * (number // 3)
        yield f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>'
        yield f'<text x="{x + 14}" y="{y}">{escape(ops[line].removeprefix("pto."))} {escape(line)}</text>'
