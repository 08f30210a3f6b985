"""Redundancy over a kernel's declared cases: a unit that these arguments do not need, but another case does, is idle and not redundant."""

from dataclasses import replace
from typing import Any

from ptoc.machine.hazards import needs_barrier
from ptoc.simulator.check import SyncReport, Unit, check
from ptoc.simulator.program import Program, Stream


def over_cases(report: SyncReport, program: Program, others: Any) -> SyncReport:
    """The report with each unit that one of `others` (programs of the same compiled kernel, made as they are asked for) needs moved to idle."""
    spare = {unit: {s.index for s in program.sites if s.unit == unit.unit} for unit in report.redundant or ()}
    needed: list[Unit] = []
    while spare:
        other = next(others, None)
        if other is None:
            break
        for unit, sites in list(spare.items()):
            if not check(without_sites(other, sites), needs_barrier).ok:
                needed.append(unit)
                del spare[unit]
    idle = sorted([*(report.idle or ()), *needed], key=lambda u: u.unit)
    return replace(report, redundant=tuple(spare), idle=tuple(idle)) if needed else report


def without_sites(program: Program, sites: set[int]) -> Program:
    """The program without the commands of some sites."""
    streams = [Stream(s.core, [c for c in s.commands if c.site.index not in sites]) for s in program.streams]
    return replace(program, streams=streams)


__all__ = ["over_cases", "without_sites"]
