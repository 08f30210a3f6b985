"""What a metric column means, as a number of a simulated run: `predicted(run, row)` in the row's unit."""

import re

from .rows import WINDOWS, Row
from .simulation import Run

ENGINES = {
    "mac": "M", "cube": "M", "tmatmul": "M", "mte1": "MTE1", "textract": "MTE1", "mte2": "MTE2", "tload": "MTE2", "mte3": "MTE3",
    "fixpipe": "FIX", "fixp": "FIX", "tstore": "FIX", "vec": "V",
}  # fmt: skip
"""Words of metric columns for engines."""

TIME = {"us": 1.0, "ms": 1e-3, "ns": 1e3, "s": 1e-6}
RATE = {"GB/s": 1.0, "TB/s": 1e-3, "MB/s": 1e3}


class Refused(Exception):
    """A row that no bench kernel, or no number of a run, expresses; its text is the reason."""


def predicted(run: Run, row: Row) -> float:
    """The number that `row` measures, of `run`.  Raises Refused where the metric is none that a run has."""
    metric, window = row.metric.lower(), row.window
    if window and window not in WINDOWS:
        raise Refused(f"window '{window}' is none of {', '.join(WINDOWS)}")
    if "theoretical" in metric:
        raise Refused("a number that was computed, not measured")
    if "scalar" in metric:
        raise Refused("busy time of the scalar unit: its counter also counts what it waits for; no command of a run stands for it")
    if row.unit == "%":
        return 100 * _busy(run, metric) / run.window_us(window, row.runs)
    if row.unit == "cycles" and "total_cycles" in metric:
        kind = metric[:3]
        if kind not in run.counts:
            raise Refused(f"metric '{metric}' names no kind of core of the run")
        return run.active_us[kind] * run.counts[kind] * float(run.chip.number("clocks.core")) * 1e3
    if row.unit in RATE:
        return _bandwidth(run, metric, run.window_us(window, row.runs)) * RATE[row.unit]
    if row.unit not in TIME:
        raise Refused(f"unit '{row.unit}' of metric '{row.metric}' is not known")
    if re.fullmatch(r"(aic|aiv)_?time|aicore_time", metric):
        kind = metric[:3] if metric[3:4] != "o" else next(iter(run.active_us))
        if kind not in run.active_us:
            raise Refused(f"the bench kernel runs on no {kind} core")
        return run.active_us[kind] * TIME[row.unit]
    if _engine(metric):
        return _busy(run, metric) * TIME[row.unit]
    return run.window_us(window, row.runs) * TIME[row.unit]


def _engine(metric: str) -> str | None:
    words = re.split(r"[\s_:]+", metric)
    return next((ENGINES[word] for word in words if word in ENGINES), None)


def _busy(run: Run, metric: str) -> float:
    """Busy time of the engine that a metric names, in us."""
    engine = _engine(metric)
    kinds = [metric[:3]] if metric[:4] in ("aic_", "aiv_") else list(run.counts)
    found = [us for (kind, pipe), us in run.busy_us.items() if pipe == engine and kind in kinds]
    if not found:
        raise Refused(f"metric '{metric}' names no engine of the run")
    return found[0]


def _bandwidth(run: Run, metric: str, window_us: float) -> float:
    """GB/s: while loads are in flight for read and mixed bandwidth, in the window else.  Raises Refused where no bytes are counted."""
    if not run.facts:
        raise Refused("the bench kernel does not count the bytes that it moves")
    if "mixed" in metric or metric.startswith("read"):
        moved = run.facts.get("read_bytes", 0) + (run.facts.get("written_bytes", 0) if "mixed" in metric else 0)
        return moved / _busy(run, "mte2") / 1e3
    return (run.facts.get("read_bytes", 0) + run.facts.get("written_bytes", 0)) / window_us / 1e3
