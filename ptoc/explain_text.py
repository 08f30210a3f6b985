"""An explanation as readable lines, and as JSON-ready data that `ptoc diff` compares."""

from collections.abc import Callable, Iterable
from typing import Any

from .explain import Engine, Explanation, Wait
from .profiler_columns import summary

LINES = 19
"""Lines of an explanation: with the run's own it stays under 25."""

PATH_LINES, WAITS = 5, 3

TABLE = (("work", "work"), ("bandwidth", "bandwidth"), ("data", "data"), ("slot", "slot"), ("signal", "signal"), ("barrier", "barrier"), ("sync", "sync"), ("other", "scalar issue"), ("tail", "tail"))
"""Columns of the table of engines, and the causes that each sums."""


def describe_explanation(explanation: Explanation) -> str:
    """What bounds the run, by how much, and which lines to look at: at most LINES lines."""
    say = time_teller(explanation)
    engines, causes = ([f"{name} {part}" for ((name,), _), part in zip(by.items(), parts(by.values()))] for by in map(explanation.path_by, ("engine", "cause")))
    table = list(_table(explanation))
    ends = [*_waits(explanation), *_roofs(explanation, say), *_without(explanation)]
    lines = ["  bound by  " + ", ".join(engines) + " of the critical path", f"  path      {say(explanation.makespan)} = {' + '.join(causes)}{_launch(explanation, say)}"]
    room = max(1, min(PATH_LINES, LINES - len(lines) - len(table) - len(ends)))
    by_line = list(explanation.path_by("line", "op", "engine").items())[:room]
    lines += [f"            {_part(explanation, fs):>6}  {say(fs):>10}  {line}: {op} on {engine}" for (line, op, engine), fs in by_line]
    return "\n".join([*lines, *table, *ends])


def _launch(explanation: Explanation, say: Callable[[int], str]) -> str:
    """What lies before time 0."""
    return f"; {say(explanation.result.launch_fs)} of launch before it" if explanation.result.shown else ""


def time_teller(explanation: Explanation) -> Callable[[int], str]:
    """How a time is told: in microseconds, or as a part of the kernel's time where those are withheld."""
    if explanation.result.shown:
        return lambda fs: f"{fs / 1e9:.2f} us"
    return lambda fs: "kernel" if fs == explanation.makespan else f"{fs / explanation.makespan:.4f}"


def _part(explanation: Explanation, fs: int) -> str:
    """Rounded down, so that no part is printed as more than what `parts` tells of the whole that it belongs to."""
    tenth = 1000 * fs // explanation.makespan
    return f"{tenth // 10}.{tenth % 10}%"


def parts(times: Iterable[int]) -> list[str]:
    """Parts of a sum in tenths of a per cent that sum to 100.0 % as they are printed: rounded down, the largest remainders up."""
    times = list(times)
    whole = sum(times)
    tenths = [1000 * fs // whole for fs in times]
    by_rest = sorted(range(len(times)), key=lambda k: (-(1000 * times[k] % whole), k))
    for k in by_rest[: 1000 - sum(tenths)]:
        tenths[k] += 1
    return [f"{tenth // 10}.{tenth % 10}%" for tenth in tenths]


def _table(explanation: Explanation) -> Iterable[str]:
    """Where the time of the engines goes, of the block in which the run ends; each row sums to 100 %."""
    yield "  engine       " + "".join(f"{name:>10}" for name, _ in TABLE) + "     slack"
    for engine in explanation.block_engines():
        spent = [sum(engine.spent[cause] for cause in causes.split()) for _, causes in TABLE]
        slack = "" if engine.median_slack is None else _part(explanation, engine.median_slack)
        yield f"  {engine.core!s:7} {engine.name:5}" + "".join(f"{part:>10}" for part in parts(spent)) + f"{slack:>10}"


def _waits(explanation: Explanation) -> Iterable[str]:
    """The longest wait of each of the engines with most of the path."""
    engines = {engine.name: engine for engine in reversed(explanation.block_engines())}
    chosen = [engines[name] for (name,) in explanation.path_by("engine") if name in engines]
    found = [(engine, *next(iter(waits.items()))) for engine in chosen if (waits := explanation.waits(engine))]
    for engine, wait, fs in found[:WAITS]:
        yield f"  waits     {engine.core} {engine.name} {_part(explanation, fs)} for {describe_wait(wait, engine)}"


def describe_wait(wait: Wait, engine: Engine) -> str:
    """"data of tload on MTE2, fa.py:12 (flag MTE2 -> V)"."""
    if wait.cause == "bandwidth":
        return f"bandwidth of {wait.through}, {wait.line}: {wait.op}"
    core = f" of {wait.core}" if wait.core not in ("", str(engine.core)) else ""
    by = f"{wait.op} on {wait.engine}{core}, {wait.line} ({wait.through})" if wait.line else wait.through
    return f"{'room behind' if wait.cause == 'slot' else 'a signal of' if wait.cause == 'signal' else 'data of'} {by}"


def _roofs(explanation: Explanation, say: Callable[[int], str]) -> Iterable[str]:
    if explanation.roofs:
        first = explanation.roofs[0]
        rest = ", ".join(f"{roof.name} {_part(explanation, roof.fs)}" for roof in explanation.roofs[1:])
        dense = next((f"; {roof.intensity:.3g} flops a byte of {roof.name}" for roof in explanation.roofs if roof.intensity), "")
        yield f"  roof      {first.name} alone takes {say(first.fs)}, {_part(explanation, first.fs)} of the run" + (f"; {rest}" if rest else "") + dense


def _without(explanation: Explanation) -> Iterable[str]:
    if explanation.without:
        yield "  what if   " + ", ".join(f"{change}: {100 * ratio:.1f}%" for change, ratio in explanation.without.items()) + " of this time"


# data


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """JSON-ready data.  Times are femtoseconds, or parts of the kernel's time where a chip's times are withheld; `unit` says which.

    The parts of `critical_path.by_line` sum to `makespan`, and so do the parts of every engine's `spent`.
    """
    shown, whole = explanation.result.shown, explanation.makespan

    def time(fs: int | None) -> int | float | None:
        return fs if shown or fs is None else fs / whole

    by_line = [
        {"line": line, "op": op, "engine": engine, "cause": cause, "resource": resource, "time": time(fs)}
        for (line, op, engine, cause, resource), fs in explanation.path_by("line", "op", "engine", "cause", "resource").items()
    ]
    return {
        "unit": "fs" if shown else "kernel",
        "makespan": time(whole),
        "launch": explanation.result.launch_fs if shown else None,
        "critical_path": {
            "segments": len(explanation.path),
            "by_cause": {name: time(fs) for (name,), fs in explanation.path_by("cause").items()},
            "by_engine": {name: time(fs) for (name,), fs in explanation.path_by("engine").items()},
            "by_line": by_line,
        },
        "engines": [_engine_json(explanation, engine, time) for engine in explanation.engines],
        "roofs": [{"name": r.name, "amount": r.amount, "time": time(r.fs), "part": round(r.fs / whole, 6), "intensity": r.intensity} for r in explanation.roofs],
        "without": {change: round(ratio, 6) for change, ratio in explanation.without.items()},
        "pipe_utilization": summary(explanation.result),
    }


def _engine_json(explanation: Explanation, engine: Engine, time: Callable[[int | None], Any]) -> dict[str, Any]:
    waits = list(explanation.waits(engine).items())[: 2 * WAITS]
    return {
        "core": str(engine.core), "engine": engine.name, "stands_for": engine.stands_for, "busy": time(engine.busy),
        "spent": {cause: time(fs) for cause, fs in engine.spent.items()},
        "slack": time(engine.slack), "median_slack": time(engine.median_slack),
        "waits": [wait._asdict() | {"time": time(fs)} for wait, fs in waits],
    }  # fmt: skip
