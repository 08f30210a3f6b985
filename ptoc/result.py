"""What a run gives: outputs, times, correctness, synchronisation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from ptoc.dialect.errors import ArgumentError
from ptoc.simulator.program import Program
from ptoc.simulator.timeline import Timeline

if TYPE_CHECKING:
    from ptoc.machine.chip import Chip

    from .explain import Explanation
    from .running import Arranged
    from .timed_kernel import ChipFacts

FS_PER_US = 10**9


@dataclass(repr=False)
class Result:
    """One simulated run.

    Times in microseconds: `latency_us` is the window that a host's events see (launch to end), `kernel_us` from the first command to the
    end of the last.  `arranged` gives the compiled kernel with its arguments, for simulating it again.  They are withheld (None in JSON, an error here) on a chip that was never compared with a device, unless asked for.
    """

    kernel: str
    chip: Union["Chip", "ChipFacts"]
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
    arranged: Callable[[], "Arranged"] | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        """The lines that `ptoc run` prints, which hold no time that is withheld."""
        return describe_result(self)

    @property
    def shown(self) -> bool:
        """Whether times may be shown."""
        return bool(self.chip.validated) or self.allow_unvalidated

    def _time(self, value: Any) -> Any:
        if not self.shown:
            raise ArgumentError(
                f"chip {self.chip.name} was never compared with a device: only ratios between runs are given (relative_to);"
                " pass allow_unvalidated=True (--allow-unvalidated) for its microseconds"
            )
        return value

    def refuse_withheld(self) -> None:
        """Raises ArgumentError where times may not be shown, so that nothing is written that holds them."""
        self._time(None)

    @property
    def kernel_us(self) -> float:
        """From the first to the end of the last command."""
        return self._time(self.timeline.makespan / FS_PER_US)

    @property
    def latency_us(self) -> float:
        """From launch to end, as a host's event window sees it."""
        return self._time((self.timeline.makespan + self.launch_fs) / FS_PER_US)

    @property
    def launch_fs(self) -> int:
        """What launching adds to the kernel's time, as a host's event window sees it."""
        return self.chip.launch_fs("host_events", self.blocks)

    @property
    def cycles(self) -> int:
        """kernel_us in cycles of the chip's cores."""
        return self._time(round(self.timeline.makespan / FS_PER_US * self.chip.number("clocks.core") * 1000))

    @property
    def tflops(self) -> float | None:
        """Floating-point operations per second of latency, in 1e12; None where the kernel states none."""
        return None if self.flops is None else self.flops / self.latency_us / 1e6

    def relative_to(self, other: "Result") -> float:
        """This run's kernel time over the other's; the one figure that an unvalidated chip gives.  Raises: ArgumentError where the other takes none."""
        if not other.timeline.makespan:
            raise ArgumentError(f"{other.kernel}: the run takes no time, so there is no ratio to it")
        return self.timeline.makespan / other.timeline.makespan

    def explain(self) -> "Explanation":
        """Why the run takes as long as it does: see docs/explain.md.  Raises: NotSupportedError for a run of very many commands."""
        from .explain import explain

        return explain(self)

    def what_if(self, changes: str) -> "Result":
        """The same program with other prices, as in `what_if("hbm=2x,cube=inf")`: time alone.  Raises: ArgumentError, ChipError."""
        from .what_if import what_if

        return what_if(self, changes)

    def full_chip(self) -> "Chip":
        """The chip with all its numbers."""
        from ptoc.machine.chip import Chip

        return self.chip if isinstance(self.chip, Chip) else self.arranged().chip

    @property
    def utilization(self) -> dict[str, float]:
        """Engine to the fraction of the kernel's time that its busiest core works."""
        return {pipe: round(use.busiest, 4) for pipe, use in self.timeline.utilization().items()}

    @property
    def commands(self) -> int:
        """Commands simulated, over all cores."""
        return sum(len(s) for s in self.program.streams)

    def to_json(self) -> dict[str, Any]:
        """The run as JSON-ready data."""
        shown = self.shown
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


def sync_counts(program: Program, checked: bool) -> dict[str, Any]:
    """Flags (sets and waits) and barriers of the simulator IR; nothing is missing where a check was made; redundancy only in `ptoc check`."""
    flags = sum(site.kind in ("set", "wait") for site in program.sites)
    barriers = sum(site.kind == "barrier" for site in program.sites)
    return {"flags": flags, "barriers": barriers, "missing": 0 if checked else None, "redundant": None}


def describe_result(result: Result) -> str:
    """A run as readable lines."""
    facts = result.to_json()
    arguments = ", ".join(f"{k}={v}" for k, v in facts["arguments"].items())
    lines = [f"{result.kernel} on {result.chip.name}, {result.blocks} block{'s' if result.blocks != 1 else ''}: {arguments}"]
    if facts["latency_us"] is None:
        lines.append("  time      withheld: this chip was never compared with a device (--allow-unvalidated shows it)")
    else:
        standing = "" if facts["validated"] is True else f" ({'provisional' if facts['validated'] else 'not validated'})"
        rate = f", {facts['tflops']:.2f} TFLOP/s" if facts["tflops"] is not None else ""
        lines.append(f"  latency   {facts['latency_us']:.2f} us{standing}, kernel {facts['kernel_us']:.2f} us, {facts['cycles']} cycles{rate}")
    lines.append("  engines   " + ", ".join(f"{k} {v:.0%}" for k, v in facts["utilization"].items()))
    sync = facts["sync"]
    lines.append(f"  commands  {facts['commands']}; sync: {sync['flags']} sets and waits, {sync['barriers']} barriers" + (f", {sync['missing']} missing" if sync["missing"] is not None else ""))
    if facts["passed"] is not None:
        lines.append(f"  values    {'right' if facts['passed'] else 'WRONG'}: largest error {facts['max_abs_error']:.3g}, tolerance {facts['tolerance']:g}")
    elif result.outputs:
        lines.append("  values    computed; no reference to compare with: " + ", ".join(f"{n} {list(a.shape)} {a.dtype}" for n, a in result.outputs.items()))
    return "\n".join(lines)
