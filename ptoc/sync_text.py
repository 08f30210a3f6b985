"""What `ptoc check` prints: the use of flags and barriers, faults, what to do about them, units that do nothing, longest chains."""

from pathlib import PurePath
from typing import Any

from ptoc.simulator.check_report import Chain, SyncReport, Unit

IDLE_SHOWN = 4
LINKS_SHOWN = 8


def check_json(report: SyncReport) -> dict[str, Any]:
    """A check as JSON-ready data."""
    facts = report.to_json()
    return {
        "sync": {
            "flags": report.flag_sites,
            "barriers": report.barrier_sites,
            "missing": len(report.missing) + len(report.misuse),
            "redundant": None if report.redundant is None else len(report.redundant),
            "deadlock": report.deadlock,
            "event_ids": report.event_ids,
            "cross_core_ids": report.cross_core_ids,
            "pairs": facts["pairs"],
            "barriers_by_pipe": report.barriers,
        },
        "details": {key: facts[key] for key in ("missing", "misuse", "advice", "redundant", "idle", "chains")},
    }


def describe_check(report: SyncReport) -> str:
    """A check as readable lines."""
    lines = [f"{report.program}: {report.flag_units} flag units ({report.flag_sites} sets and waits), {report.barrier_units} barriers"]
    if report.pairs:
        width = max(len(use.pair) for use in report.pairs)
        lines.append(f"  {'flags':{width}}  sets  waits  units  ids of 8")
        lines += [f"  {use.pair:{width}}  {use.sets:4}  {use.waits:5}  {use.units:5}  {use.ids:8}" for use in report.pairs]
    if report.barriers:
        lines.append("  barriers: " + ", ".join(f"{pipe} {count}" for pipe, count in report.barriers.items()))
    if report.cross_core_ids:
        lines.append(f"  cross-core flags of 16: {report.cross_core_ids}")
    for chain, what in zip(report.chains, ("longest chain", "longest chain across pipes")):
        lines.append(f"  {what}: {_chain(chain)}")
    lines += [f"  missing: {m}" for m in report.missing]
    lines += [f"  misuse: {m}" for m in report.misuse]
    if report.deadlock:
        lines.append(f"  deadlock: {report.deadlock}")
    lines += [f"  advice: {line}" for line in report.advice]
    lines += [f"  redundant: {unit}" for unit in report.redundant or ()]
    lines += _idle(report.idle or ())
    redundant = "redundancy not judged" if report.redundant is None else f"{len(report.redundant)} redundant"
    lines.append(f"  {len(report.missing) + len(report.misuse)} missing, {redundant}" + (", DEADLOCK" if report.deadlock else ""))
    return "\n".join(lines)


def _idle(units: tuple[Unit, ...]) -> list[str]:
    """The first idle units; the rest as a number."""
    lines = [f"  idle: {unit}" for unit in units[:IDLE_SHOWN]]
    rest = len(units) - IDLE_SHOWN
    return [*lines, f"  idle: and {rest} more; --json lists all"] if rest > 0 else lines


def _chain(chain: Chain) -> str:
    """A chain in a line: how long it is, and the pipes and lines that one turn of it goes through."""
    count = f"{chain.syncs} sync{'s' if chain.syncs != 1 else ''}"
    turns = f", {chain.turns} turns of {len(chain.turn)}" if chain.turns > 1 else ""
    shown = chain.turn[:LINKS_SHOWN]
    steps = [(shown[0].source, shown[0].source_location), *((link.target, link.target_location) for link in shown)]
    words: list[str] = []
    for number, (pipe, location) in enumerate(steps):
        file, _, line = location.rpartition(":")
        before = steps[number - 1] if number else ("", "")
        name = "" if before[1].rpartition(":")[0] == file else PurePath(file).name
        words.append(f"{name}:{line}" if before[0] == pipe else f"{pipe} {name}:{line}")
    rest = len(chain.turn) - len(shown)
    return f"{count}{turns}: {' -> '.join(words)}" + (f" and {rest} more" if rest else "")
