"""One simulated run of a bench kernel, and what the counters of a device would show of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptoc.frontend import Kernel
from ptoc.loading import Source
from ptoc.machine.chip import RUNS, Chip
from ptoc.running import prepare, time_program
from ptoc.simulator.program import Command

FS_PER_US = 10**9


@dataclass(frozen=True)
class Run:
    """kernel_us: first to last command.  busy_us: engine to its busy time, averaged over the cores that have it, by kind of core ("aic", "MTE2").

    active_us: a core of a kind from its first to its last command, averaged; `counts`: cores of a kind.  `facts`: bytes moved and the like.
    `before`: blocks of an empty kernel that is launched before it.
    """

    chip: Chip
    blocks: int
    kernel_us: float
    busy_us: Mapping[tuple[str, str], float]
    active_us: Mapping[str, float]
    counts: Mapping[str, int]
    facts: Mapping[str, float] = field(default_factory=dict)
    before: int = 0

    def window_us(self, window: str, runs: int | None = None) -> float:
        """What a timing window of so many runs shows of one."""
        if not window:
            return self.kernel_us
        launch = self.chip.launch_fs(window, self.blocks, runs or RUNS)
        if self.before and window == "host_events":
            launch += self.chip.launch_fs("msprof_task", self.before)
        return self.kernel_us + launch / FS_PER_US


def simulate(
    kernel: Kernel, chip: Chip, cores: int, definitions: Mapping[str, Any], warm: bool, bypass: tuple[str, ...] = (), before: int = 0,
    **facts: float,
) -> Run:  # fmt: skip
    """Compiles and times a bench kernel.  warm: the L2 holds what a run before this one left; bypass: tensors that are read past the L2."""
    values = {**kernel.parameters, **definitions}
    inputs = {name: np.zeros(kernel.shape(name, values), spec.dtype.numpy) for name, spec in kernel.tensors.items() if not spec.output}
    prepared = prepare(Source(kernel.name, kernel), chip, dict(definitions), None, cores, inputs, "insert")
    timeline = time_program(prepared.program, chip, warm=warm, bypass=bypass)
    streams = prepared.program.streams
    counts: dict[str, int] = {}
    active: dict[str, float] = {}
    for stream, complete in zip(streams, timeline.complete):
        kind = stream.core.kind
        counts[kind] = counts.get(kind, 0) + 1
        active[kind] = active.get(kind, 0.0) + max(complete, default=0) / FS_PER_US
    busy: dict[tuple[str, str], float] = {}
    for stream, *times in zip(streams, timeline.start, timeline.end, timeline.complete):
        for pipe, fs in _busy(stream.commands, *times).items():
            key = (stream.core.kind, pipe)
            busy[key] = busy.get(key, 0.0) + fs / FS_PER_US
    return Run(
        chip,
        cores,
        timeline.makespan / FS_PER_US,
        {(kind, pipe): total / counts[kind] for (kind, pipe), total in busy.items()},
        {kind: total / counts[kind] for kind, total in active.items()},
        counts,
        facts,
        before,
    )


def _busy(commands: list[Command], starts: list[int], ends: list[int], completes: list[int]) -> dict[str, int]:
    """fs in which each engine of a core has work in flight, as its counter sees it: until results are there; the cube only while it multiplies.

    Source: vector time of a vector add: 64 + 22 and 256 + 22 cycles for 32 and 128 repeats of 2 (asc-devkit, add); cube time of a matrix
    product: its multiplies without their start-up (pto-isa, gemm_performance).
    """
    busy: dict[str, int] = {}
    until: dict[str, int] = {}
    for command, start, end, complete in zip(commands, starts, ends, completes):
        if command.site.kind != "work":
            continue
        pipe = command.site.pipe
        end = end if pipe == "M" else complete
        before = until.get(pipe, 0)
        if end > before:
            busy[pipe] = busy.get(pipe, 0) + end - max(start, before)
            until[pipe] = end
    return busy
