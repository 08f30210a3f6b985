"""A compiled kernel as time sees it: plain data that can be kept on disk, with what its commands cost on one chip."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ptoc.dialect.errors import ArgumentError
from ptoc.simulator.engine import Costs, schedule
from ptoc.simulator.program import Command, Program
from ptoc.simulator.streams import Forms, program_of_forms
from ptoc.simulator.timeline import Timeline

if TYPE_CHECKING:
    from ptoc.machine.chip import Chip

NUMBERS = ("clocks.core",)
WINDOWS = ("host_events",)


@dataclass(frozen=True)
class ChipFacts:
    """What a result says of its chip; the same names as on `Chip`."""

    name: str
    validated: bool | str
    numbers: dict[str, int | float]
    launches: dict[str, int]

    def number(self, key: str) -> int | float:
        """See Chip.number."""
        return self.numbers[key]

    def launch_fs(self, window: str) -> int:
        """See Chip.launch_fs."""
        return self.launches[window]

    @staticmethod
    def of(chip: "Chip") -> "ChipFacts":
        """The facts of a chip."""
        numbers = {key: chip.number(key) for key in NUMBERS}
        return ChipFacts(chip.name, chip.validated, numbers, {window: chip.launch_fs(window) for window in WINDOWS})


@dataclass
class TimedKernel:
    """`kinds`: of core that it runs on; `cores`: kind of core to their number on the chip; `workspace`: bytes per block of each slot ring
    that is an argument; `costs`: of synchronisation and bandwidth; `prices`: what works cost, as far as they have come up; `make`: writes
    the forms when they are asked for.
    """

    name: str
    kinds: tuple[str, ...]
    chip: ChipFacts
    cores: dict[str, int]
    workspace: dict[str, int]
    costs: dict[str, Any]
    make: Callable[[], Forms] | None
    prices: dict[tuple, tuple] = field(default_factory=dict)

    @cached_property
    def forms(self) -> Forms:
        """What gives the streams."""
        return self.make()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"forms": self.forms, "make": None}

    def learned(self) -> int:
        """Commands and prices that were looked up so far; what is on disk is behind if it has fewer."""
        return self.forms.learned() + len(self.prices)

    def refuse_more_than_chip(self, blocks: int) -> None:
        """Each block has its cores to itself: more blocks than the chip has cores would be timed as if it had them."""
        kind = "aic" if "aic" in self.kinds else "aiv"
        refuse_blocks(self.name, blocks, kind, self.cores[kind], self.chip.name)

    def simulate(
        self, extents: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray], chip: Callable[[], "Chip"], fill: Callable[[Program], None]
    ) -> tuple[Program, Timeline]:
        """The program of a run, and when each of its commands ran.  `chip` is asked for a work that has no price yet.  Raises: PtocError."""
        program = program_of_forms(self.forms, extents, blocks, arrays, fill)

        def priced(command: Command) -> tuple:
            if command.work not in self.prices:
                from ptoc.machine.pricing import price

                self.prices[command.work] = tuple(price(chip(), command.work))
            return self.prices[command.work]

        return program, schedule(program, priced, Costs(**self.costs))


def refuse_blocks(name: str, blocks: int, kind: str, most: int, chip: str) -> None:
    """Raises ArgumentError where a chip has fewer cores than blocks."""
    if blocks > most:
        raise ArgumentError(f"{name}: {blocks} blocks are more than the {most} {kind} cores of {chip}; give --cores")


def timed_kernel(module: Any, name: str, chip: "Chip") -> TimedKernel:
    """The timed form of a kernel of a simulator IR module on a chip."""
    from ptoc.dialect.op import plain
    from ptoc.machine.pricing import sync_costs
    from ptoc.simulator.elaborate import kernel_functions, time_forms

    parts = kernel_functions(module)[name]
    function = next(iter(parts.values()))
    workspace: dict[str, int] = {}
    if "sim.workspace_bytes_per_block" in function.attributes:
        sizes = plain(function.attributes["sim.workspace_bytes_per_block"])
        workspace = dict(zip(plain(function.attributes["sim.arg_names"])[-len(sizes) :], sizes))
    cores = {kind: chip.cores(kind) for kind in ("aic", "aiv")}
    make = partial(time_forms, module, name)
    return TimedKernel(name, tuple(parts), ChipFacts.of(chip), cores, workspace, sync_costs(chip)._asdict(), make)
