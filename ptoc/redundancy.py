"""Redundancy over a kernel's declared cases: a unit that these arguments do not need, but another case does, is idle and not redundant."""

from dataclasses import replace
from typing import Any

from ptoc.machine.hazards import needs_barrier
from ptoc.simulator.check import spare_sites, without_sites
from ptoc.simulator.check_report import SyncReport, Unit
from ptoc.simulator.program import Program


def over_cases(report: SyncReport, program: Program, others: Any) -> SyncReport:
    """The report with each unit that one of `others` (programs of the same compiled kernel, made as they are asked for) needs moved to idle."""
    spare = {unit: frozenset(s.index for s in program.sites if s.unit == unit.unit) for unit in report.redundant or ()}
    needed: list[Unit] = []
    while spare:
        other = next(others, None)
        if other is None:
            break
        for unit, may_go in zip(list(spare), spare_sites(other, needs_barrier, list(spare.values()))):
            if not may_go:
                needed.append(unit)
                del spare[unit]
    idle = sorted([*(report.idle or ()), *needed], key=lambda u: u.unit)
    return replace(report, redundant=tuple(spare), idle=tuple(idle)) if needed else report


__all__ = ["over_cases", "without_sites"]
