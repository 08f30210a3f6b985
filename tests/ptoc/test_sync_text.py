"""What `ptoc check` prints: each line, and the same as JSON."""

import json
from dataclasses import replace

from click.testing import CliRunner

from ptoc.cli import main
from ptoc.simulator.check_report import Chain, ChainLink, End, MissingOrder, PairUse, SyncReport, Unit
from ptoc.sync_text import check_json, describe_check

LINK = ChainLink("flag MTE2 -> V", "MTE2", "/there/k.py:3", "V", "/there/k.py:5")
BACK = ChainLink("flag V -> MTE2", "V", "/there/k.py:6", "MTE2", "/there/other.py:3")
BARRIER = ChainLink("barrier V", "V", "/there/k.py:5", "V", "/there/k.py:6")
REPORT = SyncReport(
    "k", (), (), None, 3, 8, 2, 2, (PairUse("MTE2 -> V", 3, 2, 2, 4), PairUse("V -> MTE2", 1, 2, 1, 1)), {"ALL": 1, "V": 1}, 0, (), (), ()
)  # fmt: skip


def printed(**changes):
    return describe_check(replace(REPORT, **changes)).split("\n")


def test_flags_by_pipe_pair_and_barriers_by_pipe():
    assert printed() == [
        "k: 3 flag units (8 sets and waits), 2 barriers",
        "  flags      sets  waits  units  ids of 8",
        "  MTE2 -> V     3      2      2         4",
        "  V -> MTE2     1      2      1         1",
        "  barriers: ALL 1, V 1",
        "  0 missing, 0 redundant",
    ]


def test_cross_core_flags():
    assert "  cross-core flags of 16: 6" in printed(cross_core_ids=6)


def test_chains():
    chains = (Chain(41, 20, (LINK, BARRIER, BACK)), Chain(2, 1, (LINK, BACK)))
    lines = printed(chains=chains)
    assert lines[5] == "  longest chain: 41 syncs, 20 turns of 3: MTE2 k.py:3 -> V :5 -> :6 -> MTE2 other.py:3"
    assert lines[6] == "  longest chain across pipes: 2 syncs: MTE2 k.py:3 -> V :5 -> MTE2 other.py:3"
    assert printed(chains=(Chain(1, 1, (LINK,)),))[5] == "  longest chain: 1 sync: MTE2 k.py:3 -> V :5"
    assert printed(chains=(Chain(60, 6, (BARRIER,) * 10),))[5].endswith(":6 and 2 more")


def test_idle_units_are_shortened():
    units = tuple(Unit(n, "flag MTE2 -> V", (f"k.py:{n}",)) for n in range(7))
    lines = [line for line in printed(idle=units) if "idle" in line]
    assert lines == [*(f"  idle: flag MTE2 -> V at k.py:{n}" for n in range(4)), "  idle: and 3 more; --json lists all"]
    assert len([line for line in printed(idle=units[:4]) if "idle" in line]) == 4


def test_faults_and_what_to_do():
    end = End("aiv0.0", "V", "tadd", "k.py:5")
    missing = MissingOrder("RAW", "ub", 0, 64, end, end, "pipe_barrier(PIPE_V) here", 2)
    lines = printed(missing=(missing,), misuse=("left raised",), deadlock="waits\n  for ever", advice=("prime before it",), redundant=None, idle=None)
    assert lines[5:] == [
        f"  missing: {missing}",
        "  misuse: left raised",
        "  deadlock: waits",
        "  for ever",
        "  advice: prime before it",
        "  2 missing, redundancy not judged, DEADLOCK",
    ]
    assert printed(redundant=(Unit(1, "flag", ("k.py:1", "k.py:2")),))[5:] == ["  redundant: flag at k.py:1, k.py:2", "  0 missing, 1 redundant"]


def test_json_has_all_of_it():
    facts = json.loads(json.dumps(check_json(replace(REPORT, chains=(Chain(2, 1, (LINK,)),), advice=("prime",)))))
    assert facts["sync"]["pairs"][0] == {"pair": "MTE2 -> V", "sets": 3, "waits": 2, "units": 2, "ids": 4}
    assert facts["sync"]["barriers_by_pipe"] == {"ALL": 1, "V": 1}
    assert facts["sync"]["event_ids"] == {"MTE2 -> V": 4, "V -> MTE2": 1}
    assert facts["details"]["chains"][0]["turn"][0]["source_location"] == "/there/k.py:3"
    assert facts["details"]["advice"] == ["prime"]


def test_the_command_prints_a_chain_and_the_verdict():
    result = CliRunner().invoke(main, ["check", "vector_add", "--case", "one_core"])
    assert result.exit_code == 0
    lines = result.stdout.strip().split("\n")
    assert lines[1].split() == ["flags", "sets", "waits", "units", "ids", "of", "8"]
    assert any(line.startswith("  longest chain: ") and " MTE2 vector_add.py:" in line for line in lines)
    assert lines[-1] == "  0 missing, 0 redundant"
