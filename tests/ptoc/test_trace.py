"""The trace of flash attention, read back as a viewer would: tracks, slices, arrows, counters, and the four stages at work at once."""

import ast
import importlib
import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import ptoc
from ptoc.cli import main

STAGES = ("compute_qk", "compute_p", "compute_pv", "compute_gu")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The events of a run of two blocks."""
    file = tmp_path_factory.mktemp("trace") / "trace.json"
    arguments = ["run", "flash_attention", "--no-values", "-D", "S0=256", "-D", "S1=2048", "--cores", "2", "--trace", str(file)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text())["traceEvents"]


def test_every_event_has_what_its_phase_needs(trace: list[dict[str, Any]]) -> None:
    needed = {"M": {"pid", "args"}, "X": {"pid", "tid", "ts", "dur", "cat", "args"}, "s": {"pid", "tid", "ts", "id", "cat"}, "f": {"pid", "tid", "ts", "id", "cat", "bp"}, "C": {"pid", "ts", "args"}}
    assert {event["ph"] for event in trace} == set(needed)
    for event in trace:
        assert {"name", "ph", *needed[event["ph"]]} <= set(event)
        assert event["ph"] == "M" or event["ts"] >= 0
        assert event.get("dur", 0) >= 0


def test_there_is_a_track_for_each_engine_of_each_core(trace: list[dict[str, Any]]) -> None:
    names = {e["pid"]: e["args"]["name"] for e in trace if e["name"] == "process_name"}
    assert list(names.values()) == ["aic0", "aiv0.0", "aiv0.1", "aic1", "aiv1.0", "aiv1.1", "chip"]
    tracks = {(e["pid"], e["tid"]) for e in trace if e["name"] == "thread_name"}
    slices: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in trace:
        if event["ph"] == "X":
            slices.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    assert set(slices) == tracks
    for spans in slices.values():
        assert all(one[1] <= two[0] + 1e-6 for one, two in itertools.pairwise(spans))


def test_each_arrow_has_two_ends_inside_of_slices(trace: list[dict[str, Any]]) -> None:
    ends = {ph: {e["id"]: e for e in trace if e["ph"] == ph} for ph in "sf"}
    assert set(ends["s"]) == set(ends["f"])
    assert {e["cat"] for e in ends["s"].values()} == {"flag", "signal"}
    assert {e["name"] for e in ends["s"].values()} == {"flag", "qk", "p", "pv"}
    for start, end in ((ends["s"][number], ends["f"][number]) for number in ends["s"]):
        assert start["ts"] <= end["ts"]
        assert start["pid"] != end["pid"] or start["cat"] == "flag"


def test_counters_tell_bandwidth_and_what_waits_in_pipes(trace: list[dict[str, Any]]) -> None:
    counters: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for event in trace:
        if event["ph"] == "C":
            counters.setdefault((event["pid"], event["name"]), []).append((event["ts"], *event["args"].values()))
    assert {name for _, name in counters} >= {"l2_read GB/s", "l2_write GB/s", "qk ready", "p ready", "pv ready"}
    for (_, name), points in counters.items():
        assert [time for time, _ in points] == sorted(time for time, _ in points)
        assert points[-1][1] == 0
        assert all(value >= 0 for _, value in points)
        assert name.endswith("GB/s") or max(value for _, value in points) <= 8
    result = ptoc.run("flash_attention", values=False, S0=256, S1=2048, cores=2)
    points = next(points for (_, name), points in counters.items() if name == "l2_read GB/s")
    moved = sum((two[0] - one[0]) * one[1] * 1e3 for one, two in itertools.pairwise(points))
    assert moved == pytest.approx(result.explain().loads.total("l2_read"), rel=1e-3)


def test_the_four_stages_overlap(trace: list[dict[str, Any]]) -> None:
    stages = {"multiply_q": "compute_qk", "softmax": "compute_p"} | {stage: stage for stage in STAGES}
    lines: dict[str, str] = {}
    for name in ("_attention_cube", "_attention_vector"):
        tree = ast.parse(inspect.getsource(importlib.import_module(f"ptoc.kernels.{name}")))
        functions = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)]
        lines |= {f"{name}.py:{line}": f.name for f in functions for line in range(f.lineno, f.end_lineno + 1)}
    spans: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES}
    for event in trace:
        if event["ph"] == "X" and event["cat"] == "work":
            stage = stages.get(lines.get(event["args"]["location"], ""))
            if stage:
                spans[stage].append((event["ts"], event["ts"] + event["dur"]))
    assert all(spans.values())
    times = sorted({time for mine in spans.values() for span in mine for time in span})
    most = max(sum(any(begin <= time < end for begin, end in mine) for mine in spans.values()) for time in times)
    assert most == len(STAGES)


def test_the_file_is_found_where_it_was_asked_for(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "vector_add", "--no-values", "--trace", str(tmp_path / "none" / "t.json")])
    assert result.exit_code == 1
    assert "No such file or directory" in result.output
