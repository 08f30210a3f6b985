"""What a run gives: outputs, times, correctness, synchronisation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptoc.dialect.errors import ArgumentError
from ptoc.machine.chip import Chip
from ptoc.simulator.program import Program
from ptoc.simulator.timeline import Timeline

FS_PER_US = 10**9


@dataclass
class Result:
    """One simulated run.

    Times in microseconds: `latency_us` is the window that a host's events see (launch to end), `kernel_us` from the first command to the
    end of the last.  They are withheld (None in JSON, an error here) on a chip that was never compared with a device, unless asked for.
    """

    kernel: str
    chip: Chip
    blocks: int
    arguments: dict[str, Any]
    program: Program
    timeline: Timeline
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    flops: int | None = None
    max_abs_error: float | None = None
    tolerance: float | None = None
    passed: bool | None = None
    sync: dict[str, Any] = field(default_factory=dict)
    allow_unvalidated: bool = False

    @property
    def _shown(self) -> bool:
        return bool(self.chip.validated) or self.allow_unvalidated

    def _time(self, value: Any) -> Any:
        if not self._shown:
            raise ArgumentError(
                f"chip {self.chip.name} was never compared with a device: only ratios between runs are given (relative_to);"
                " pass allow_unvalidated=True (--allow-unvalidated) for its microseconds"
            )
        return value

    @property
    def kernel_us(self) -> float:
        """From the first to the end of the last command."""
        return self._time(self.timeline.makespan / FS_PER_US)

    @property
    def latency_us(self) -> float:
        """From launch to end, as a host's event window sees it."""
        return self._time((self.timeline.makespan + self.chip.launch_fs("host_events", self.blocks)) / FS_PER_US)

    @property
    def cycles(self) -> int:
        """kernel_us in cycles of the chip's cores."""
        return self._time(round(self.timeline.makespan / FS_PER_US * self.chip.number("clocks.core") * 1000))

    @property
    def tflops(self) -> float | None:
        """Floating-point operations per second of latency, in 1e12; None where the kernel states none."""
        return None if self.flops is None else self.flops / self.latency_us / 1e6

    def relative_to(self, other: "Result") -> float:
        """This run's kernel time over the other's; the one figure that an unvalidated chip gives."""
        return self.timeline.makespan / other.timeline.makespan

    @property
    def utilization(self) -> dict[str, float]:
        """Engine to the fraction of the kernel's time that its busiest core works."""
        return {pipe: round(use.busiest, 4) for pipe, use in self.timeline.utilization().items()}

    @property
    def commands(self) -> int:
        """Commands simulated, over all cores."""
        return sum(len(s.commands) for s in self.program.streams)

    def to_json(self) -> dict[str, Any]:
        """The run as JSON-ready data."""
        shown = self._shown
        return {
            "kernel": self.kernel,
            "chip": self.chip.name,
            "cores": self.blocks,
            "arguments": {k: v for k, v in self.arguments.items() if isinstance(v, int | float | str | bool)},
            "latency_us": round(self.latency_us, 6) if shown else None,
            "kernel_us": round(self.kernel_us, 6) if shown else None,
            "cycles": self.cycles if shown else None,
            "tflops": round(self.tflops, 6) if shown and self.flops is not None else None,
            "max_abs_error": self.max_abs_error,
            "tolerance": self.tolerance,
            "passed": self.passed,
            "validated": self.chip.validated,
            "utilization": self.utilization,
            "commands": self.commands,
            "sync": self.sync,
        }
