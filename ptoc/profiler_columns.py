"""Busy times of the engines under the names that the vendor's profiler gives them, so that a run can stand beside a measured one.

Names: `summary` as in op_summary_*.csv of `msprof --aic-metrics=PipeUtilization`, means over the cores; `rows` as in PipeUtilization.csv of
`msprof op`, a row for each core.  Source: hiascend.com, CANN 8.0 commercial, msprof op: PipeUtilization (Percentages of Time Taken by
Compute Units and MTEs).  What the simulator has no notion of, such as instruction caches, is empty.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

from .result import FS_PER_US, Result

SUMMARY = {
    "aic": ("aicore", (("mac", "M"), ("scalar", "S"), ("mte1", "MTE1"), ("mte2", "MTE2"), ("fixpipe", "FIX"))),
    "aiv": ("aiv", (("vec", "V"), ("scalar", "S"), ("mte2", "MTE2"), ("mte3", "MTE3"))),
}
"""Kind of core to the profiler's name of its time and of its engines."""

ROWS = (
    ("aiv", "vec", "V"), ("aic", "cube", "M"), ("aic", "scalar", "S"), ("aiv", "scalar", "S"), ("aic", "fixpipe", "FIX"), ("aic", "mte1", "MTE1"),
    ("aic", "mte2", "MTE2"), ("aiv", "mte2", "MTE2"), ("aic", "mte3", "MTE3"), ("aiv", "mte3", "MTE3"),
)  # fmt: skip
"""Engines in the order of the columns of PipeUtilization.csv."""


def summary(result: Result) -> dict[str, Any]:
    """One row: microseconds and ratios by column name, means over the cores of a kind; times are None where the chip's are withheld."""
    found: dict[str, Any] = {}
    for kind, (name, engines) in SUMMARY.items():
        cores = list(_cores(result, kind))
        whole = sum(end for _, end, _ in cores)
        found[f"{name}_time(us)"] = _us(result, whole, len(cores))
        found[f"{kind}_total_cycles"] = _cycles(result, whole) if cores else None
        for column, pipe in engines:
            busy = sum(taken.get(pipe, 0) for _, _, taken in cores)
            found[f"{kind}_{column}_time(us)"] = _us(result, busy, len(cores))
            found[f"{kind}_{column}_ratio"] = round(busy / whole, 6) if whole else None
    return found


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """A row for each core: its block, its name, its times and ratios."""
    for kind, name in (("aic", "cube"), ("aiv", "vector")):
        for core, end, taken in _cores(result, kind):
            row: dict[str, Any] = {"block_id": core.block, "sub_block_id": f"{name}{core.sub}"}
            for other in ("aic", "aiv"):
                row |= {f"{other}_time(us)": _us(result, end, other == kind), f"{other}_total_cycles": _cycles(result, end) if other == kind else None}
            for other, column, pipe in ROWS:
                busy = taken.get(pipe, 0)
                row[f"{other}_{column}_time(us)"] = _us(result, busy, other == kind)
                row[f"{other}_{column}_ratio"] = round(busy / end, 6) if other == kind and end else None
            yield row


def to_csv(result: Result) -> str:
    """The rows as a file; what is withheld or does not apply is NA, as in the profiler's."""
    text, found = io.StringIO(), list(rows(result))
    writer = csv.DictWriter(text, list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "NA" if value is None else value for name, value in row.items()} for row in found)
    return text.getvalue()


def _cores(result: Result, kind: str) -> Iterator[tuple[Any, int, dict[str, int]]]:
    """(core, when its last command was complete, fs by pipe) of each core of a kind.

    The scalar unit is busy for its own work and for what it issues.
    """
    timeline, known = result.timeline, {}
    issue = timeline.plan.costs.issue
    for number, stream in enumerate(result.program.streams):
        if stream.core.kind != kind:
            continue
        simulated = timeline.plan.stands_for[number]
        if simulated not in known:
            taken = timeline.occupied(number)
            taken["S"] = taken.get("S", 0) + issue * len(stream)
            known[simulated] = int(timeline.complete[number].max(initial=0)), taken
        yield stream.core, *known[simulated]


def _us(result: Result, fs: int, cores: int) -> float | None:
    return round(fs / cores / FS_PER_US, 6) if cores and result.shown else None


def _cycles(result: Result, fs: int) -> int | None:
    return round(fs / FS_PER_US * result.chip.number("clocks.core") * 1000) if result.shown else None
