"""Why a run takes as long as it does: critical path by source line, where each engine's time goes, slack, roofs, what would help.

Everything is exact: the parts of the path sum to the kernel's time, and so do the parts of every engine's time.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from ptoc.dialect.errors import ArgumentError
from ptoc.simulator.critical_path import Segment, critical_path
from ptoc.simulator.history import History
from ptoc.simulator.idle import BANDWIDTH, CAUSES, DATA, SIGNALLED, SLOT, Intervals, engine_time
from ptoc.simulator.loads import Loads
from ptoc.simulator.program import Core, Site
from ptoc.simulator.slack import slack
from ptoc.simulator.table import QUEUES
from ptoc.simulator.timeline import PIPES

from .result import Result
from .roofline import Roof, roofs_of
from .what_if import what_if

SIGNALS = "signals"
"""What stands for an engine where a part of the path is the way of a cross-core signal."""

PART_OF = {"M": "cube", "V": "vector", "MTE1": "mte1", "MTE2": "mte2", "MTE3": "mte3", "FIX": "fix", "S": "scalar", "SDMA": "sdma"}
"""Engine to what `what-if` calls what takes its time."""

TRIED = 3
"""Parts of the chip, those with most of the path, of which it is said what the run would be if they took no time."""

TRIED_MOST = 100_000
"""Simulated commands up to which that is tried: each is a run of its own."""


class Step(NamedTuple):
    """Where a part of the path is: cause, engine, line ("file:number"), op, and for shared bandwidth the resource."""

    cause: str
    engine: str
    line: str
    op: str
    resource: str = ""


class Wait(NamedTuple):
    """What an engine waited for: cause, the command to blame (line, op, engine, core), and the flag or pipe between them."""

    cause: str
    line: str
    op: str
    engine: str
    core: str
    through: str


@dataclass
class Engine:
    """One engine of a core that is simulated for `stands_for` alike cores; `spent`: fs by cause, their sum is the kernel's time.

    slack, median_slack: of its work, in fs, how much later it could be; None where it was not looked for.
    """

    core: Core
    name: str
    stands_for: int
    intervals: Intervals
    slack: int | None
    median_slack: int | None

    @cached_property
    def spent(self) -> dict[str, int]:
        """fs by cause, in the order of CAUSES."""
        return dict(zip(CAUSES, self.intervals.total().tolist()))

    @property
    def busy(self) -> int:
        """fs in which it works, shared bandwidth included."""
        return self.spent["work"] + self.spent["bandwidth"]


class Explanation:
    """The explanation of a run; `makespan` in fs, as all times here.

    Raises: NotSupportedError for a run with more simulated commands than can be looked at (`history.MOST`).
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.history = History(result.timeline)
        self.makespan = self.history.makespan

    def __str__(self) -> str:
        """The lines that `--explain` prints."""
        from .explain_text import describe_explanation

        return describe_explanation(self)

    @cached_property
    def path(self) -> list[Segment]:
        """The critical path."""
        return critical_path(self.history)

    @cached_property
    def loads(self) -> Loads:
        """What transfers ask of shared bandwidth."""
        return Loads(self.history)

    @cached_property
    def steps(self) -> Counter[Step]:
        """fs by what the path consists of; they sum to the makespan."""
        found: Counter[Step] = Counter()
        shared = np.array([segment.command for segment in self.path if segment.cause == "bandwidth"], np.int64)
        resources = iter(self.loads.binding(shared).tolist() if shared.size else ())
        for segment, site in self.segments():
            engine = SIGNALS if segment.cause == "signal" else self.history.pipe(segment.command)
            resource = next(resources) if segment.cause == "bandwidth" else ""
            found[Step(segment.cause, engine, line_of(site), op_of(site), resource)] += segment.end - segment.begin
        return found

    def path_by(self, *fields: str) -> dict[tuple[str, ...], int]:
        """fs of the path by some fields of Step, the longest first."""
        found: Counter[tuple[str, ...]] = Counter()
        for step, fs in self.steps.items():
            found[tuple(getattr(step, field) for field in fields)] += fs
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @cached_property
    def last_block(self) -> int:
        """The block in which the run ends."""
        return self._block(self.path[-1].command) if self.path else 0

    def _block(self, command: int) -> int:
        return self.history.core(int(self.history.queue[command]) // QUEUES).block

    @cached_property
    def engines(self) -> list[Engine]:
        """All engines with commands of the cores that were simulated, by core and pipe."""
        history, found = self.history, []
        spare = slack(history)
        for simulated, copies in enumerate(history.plan.copies.tolist()):
            scalar = engine_time(history, simulated * QUEUES)
            for pipe, name in enumerate(PIPES):
                mine = history.commands_of(simulated * QUEUES + pipe)
                if not mine.size:
                    continue
                intervals = scalar if pipe == 0 else engine_time(history, simulated * QUEUES + pipe, scalar)
                works = mine[history.works[mine]]
                known = spare is not None and works.size > 0
                least = int(spare[works].min()) if known else None
                found.append(Engine(history.core(simulated), name, copies, intervals, least, int(np.median(spare[works])) if known else None))
        return found

    def block_engines(self) -> list[Engine]:
        """The engines, without the scalar unit, of one core of each kind of the block in which the run ends."""
        mine = [engine for engine in self.engines if engine.core.block == self.last_block and engine.name != "S"]
        first = {kind: min((e.core for e in mine if e.core.kind == kind), default=None) for kind in ("aic", "aiv")}
        return [engine for engine in mine if engine.core == first[engine.core.kind]]

    def waits(self, engine: Engine) -> dict[Wait, int]:
        """fs that an engine waited, by what for, the longest first: data, slots and signals with their producers, and shared bandwidth."""
        found: Counter[Wait] = Counter()
        for cause in (DATA, SLOT, SIGNALLED):
            for culprit, waiter, fs in self._alike(engine.intervals, cause):
                found[self._wait(cause, culprit, waiter)] += fs
        mine = engine.intervals.cause == BANDWIDTH
        commands, taken = engine.intervals.command[mine], (engine.intervals.end - engine.intervals.begin)[mine]
        resources = self.loads.binding(commands) if commands.size else np.zeros(0, str)
        codes = self.history.plan.code[commands]
        for resource in np.unique(resources).tolist():
            for code in np.unique(codes[resources == resource]).tolist():
                site = self.history.plan.table.rows[code][0]
                found[Wait("bandwidth", line_of(site), op_of(site), engine.name, "", resource)] += int(taken[(resources == resource) & (codes == code)].sum())
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def _alike(self, intervals: Intervals, cause: int) -> Iterator[tuple[int, int, int]]:
        """(command to blame or -1, command that waited, fs) of intervals of one cause, those of alike commands taken together."""
        mine = intervals.cause == cause
        culprit, waiter, taken = intervals.culprit[mine], intervals.waiter[mine], (intervals.end - intervals.begin)[mine]
        plan = self.history.plan
        size = len(plan.table.rows)
        blamed = np.where(culprit >= 0, plan.code[culprit] + size * plan.stream[culprit].astype(np.int64), -1)
        _, first, at = np.unique(blamed * size + plan.code[waiter], return_index=True, return_inverse=True)
        times = np.zeros(first.size, np.int64)
        np.add.at(times, at, taken)
        yield from zip(culprit[first].tolist(), waiter[first].tolist(), times.tolist())

    def _wait(self, cause: int, culprit: int, waiter: int) -> Wait:
        history = self.history
        mine = history.site(waiter)
        through = f"pipe {mine.channel}" if mine.channel else f"flag {mine.peer} -> {mine.pipe}" if mine.peer else "the scalar unit"
        if culprit < 0:
            return Wait(CAUSES[cause], "", "", "", "", through)
        site = history.site(culprit)
        return Wait(CAUSES[cause], line_of(site), op_of(site), history.pipe(culprit), str(history.core(int(history.queue[culprit]) // QUEUES)), through)

    @cached_property
    def roofs(self) -> list[Roof]:
        """What the run could not be faster than, the tightest first."""
        return roofs_of(self.result, self.loads)

    @cached_property
    def without(self) -> dict[str, float]:
        """What-if to the part of this run's time that is left, for the parts of the chip with most of the path; empty for very long runs."""
        if self.result.arranged is None or self.history.start.size > TRIED_MOST:
            return {}
        found: Counter[str] = Counter()
        for step, fs in self.steps.items():
            found[part_of(step)] += fs
        most = sorted(found, key=lambda part: (-found[part], part))[:TRIED]
        return {f"{part}=inf": what_if(self.result, f"{part}=inf").relative_to(self.result) for part in most}

    def segments(self) -> Iterator[tuple[Segment, Site]]:
        """The path with the sites of its commands."""
        return ((segment, self.history.site(segment.command)) for segment in self.path)


def part_of(step: Step) -> str:
    """The part of the chip, as `what-if` calls it, that a step of the path takes its time from."""
    if step.cause == "bandwidth":
        return step.resource.partition("_")[0].partition(".")[0]
    return step.cause if step.cause in ("sync", "signal", "issue") else PART_OF[step.engine]


def line_of(site: Site) -> str:
    """File name and line of a site: "fa.py:12"."""
    return PurePath(site.location).name


def op_of(site: Site) -> str:
    """The op of a site, without the dialect's name."""
    return site.op.removeprefix("pto.")


def explain(result: Result) -> Explanation:
    """Why a run takes as long as it does.  Raises: ArgumentError for a run without commands, NotSupportedError for one that is too long."""
    if not result.timeline.makespan:
        raise ArgumentError(f"{result.kernel}: the run takes no time, so there is nothing to explain")
    return Explanation(result)


