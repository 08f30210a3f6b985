"""Trace events: tracks, slices in microseconds, arrows inside of the slices that they join, and whole files or none."""

import json

import pytest

from ptoc.simulator.engine import Costs, schedule
from ptoc.simulator.program import Command, Core, Program, Site, Stream
from ptoc.simulator.trace import trace_events, write_trace

US = 10**9


@pytest.fixture
def run():
    """A cube core that signals a vector core, which sets a flag: (timeline, program)."""
    sites = [
        Site(0, "work", "tmatmul", "M", "k.py:1"),
        Site(1, "signal", "tpush", "M", "k.py:2", channel="scores"),
        Site(2, "await", "tpop", "V", "k.py:3", channel="scores"),
        Site(3, "work", "tadd", "V", "k.py:4"),
        Site(4, "set", "set_flag", "V", "k.py:5", peer="MTE3", unit=7),
        Site(5, "wait", "wait_flag", "MTE3", "k.py:6", peer="V", unit=7),
    ]
    commands = [Command(site, flag=flag) for site, flag in zip(sites, (-1, 1, 1, -1, 0, 0))]
    program = Program("kernel", "a3", [Stream(Core("aic", 0), commands[:2]), Stream(Core("aiv", 0, 1), commands[2:])], sites)
    return schedule(program, lambda command: (2 * US, 3 * US, None), Costs(set_flag=US // 2, wait_flag=US, signal=US)), program


def test_tracks_are_cores_and_pipes(run):
    metadata = [event for event in trace_events(*run) if event["ph"] == "M"]
    assert [(event["pid"], event["args"]["name"]) for event in metadata if event["name"] == "process_name"] == [(0, "aic0"), (1, "aiv0.1")]
    names = [(event["pid"], event["tid"], event["args"]["name"]) for event in metadata if event["name"] == "thread_name"]
    assert names == [(0, 3, "M"), (1, 0, "S"), (1, 4, "V"), (1, 6, "MTE3")]


def test_slices_are_commands_in_microseconds(run):
    slices = [event for event in trace_events(*run) if event["ph"] == "X"]
    assert [(event["name"], event["pid"], event["tid"], event["ts"], event["dur"]) for event in slices] == [
        ("tmatmul", 0, 3, 0.0, 2.0),
        ("tpush", 0, 3, 2.0, 0.5),
        ("tpop", 1, 0, 0.0, 5.5),
        ("tadd", 1, 4, 5.5, 2.0),
        ("set_flag", 1, 4, 7.5, 0.5),
        ("wait_flag", 1, 6, 5.5, 4.5),
    ]
    assert slices[1]["args"] == {"location": "k.py:2", "complete_us": 3.5, "flag": 1, "channel": "scores"}
    assert slices[4]["args"] == {"location": "k.py:5", "complete_us": 9.0, "flag": 0, "peer": "MTE3", "unit": 7}
    assert [event["cat"] for event in slices] == ["work", "signal", "await", "work", "set", "wait"]


def test_arrows_lead_from_raise_to_wait(run):
    events = list(trace_events(*run))
    arrows = [(event["name"], event["id"], event["ph"], event["pid"], event["tid"], event["ts"]) for event in events if event["ph"] in "sf"]
    assert arrows == [
        ("flag", 0, "s", 1, 4, 7.5),
        ("flag", 0, "f", 1, 6, 9.0),
        ("scores", 1, "s", 0, 3, 2.0),
        ("scores", 1, "f", 1, 0, 3.5),
    ]
    for event in events:
        if event["ph"] in "sf":
            slices = [e for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) == (event["pid"], event["tid"])]
            assert any(e["ts"] <= event["ts"] <= e["ts"] + e["dur"] for e in slices)


def test_file_is_json_and_the_same_every_time(run, tmp_path):
    write_trace(*run, tmp_path / "a.json")
    write_trace(*run, str(tmp_path / "b.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text())["traceEvents"] == list(trace_events(*run))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_a_failed_write_leaves_the_old_file(run, tmp_path):
    timeline, program = run
    path = tmp_path / "a.json"
    path.write_text("old")
    timeline.end[1] = timeline.end[1][:-1]
    with pytest.raises(IndexError):
        write_trace(timeline, program, path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
