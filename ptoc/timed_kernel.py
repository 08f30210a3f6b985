"""A compiled kernel as time sees it: plain data that can be kept on disk, with what its commands cost on one chip."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ptoc.dialect.errors import ArgumentError
from ptoc.machine.work import WorkItem
from ptoc.simulator.engine import Costs, schedule
from ptoc.simulator.program import Program
from ptoc.simulator.residency import MOST, all_hit, hit_fractions
from ptoc.simulator.streams import Forms, moves_of_forms, program_of_forms
from ptoc.simulator.timeline import Timeline

from .pricing import prices_of

if TYPE_CHECKING:
    from ptoc.machine.chip import Chip

NUMBERS = ("clocks.core", "shared.l2_effective", "shared.l2_mixed", "shared.crowding")
WINDOWS = ("host_events",)


@dataclass(frozen=True)
class ChipFacts:
    """What a result and prices ask of a chip; the same names as on `Chip`.  `launches`: fs once and for each block, by timing window."""

    name: str
    validated: bool | str
    numbers: dict[str, int | float]
    launches: dict[str, tuple[int, int]]

    def number(self, key: str) -> int | float:
        """See Chip.number."""
        return self.numbers[key]

    def launch_fs(self, window: str, blocks: int) -> int:
        """See Chip.launch_fs."""
        once, block = self.launches[window]
        return once + blocks * block

    @staticmethod
    def of(chip: "Chip") -> "ChipFacts":
        """The facts of a chip."""
        numbers = {key: chip.number(key) for key in NUMBERS}
        launches = {w: (once := chip.launch_fs(w, 0), chip.launch_fs(w, 1) - once) for w in WINDOWS}
        return ChipFacts(chip.name, chip.validated, numbers, launches)


@dataclass
class TimedKernel:
    """`kinds`: of core that it runs on; `cores`: kind of core to their number on the chip; `workspace`: bytes per block of each slot ring
    that is an argument; `costs`: of synchronisation and bandwidth; `prices`: what works cost, as far as they have come up, and `hits`:
    what sites find in the L2, by run; `reads_numbers`: whether its scalar unit reads any, which may decide control; `make`: writes the forms when they are asked for.
    """

    name: str
    kinds: tuple[str, ...]
    chip: ChipFacts
    cores: dict[str, int]
    workspace: dict[str, int]
    costs: dict[str, Any]
    make: Callable[[], Forms] | None
    reads_numbers: bool = True
    prices: dict[tuple, tuple] = field(default_factory=dict)
    hits: dict[tuple, dict[int, float]] = field(default_factory=dict)

    @cached_property
    def forms(self) -> Forms:
        """What gives the streams."""
        return self.make()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"forms": self.forms, "make": None}

    def learned(self) -> int:
        """Commands and prices that were looked up so far; what is on disk is behind if it has fewer."""
        return self.forms.learned() + len(self.prices) + len(self.hits)

    def refuse_more_than_chip(self, blocks: int) -> None:
        """Each block has its cores to itself: more blocks than the chip has cores would be timed as if it had them."""
        kind = "aic" if "aic" in self.kinds else "aiv"
        refuse_blocks(self.name, blocks, kind, self.cores[kind], self.chip.name)

    def simulate(
        self, extents: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray], chip: Callable[[], "Chip"], fill: Callable[[Program], None]
    ) -> tuple[Program, Timeline]:
        """The program of a run, and when each of its commands ran.  `chip` is asked for a work that has no price yet.  Raises: PtocError."""
        program = program_of_forms(self.forms, extents, blocks, arrays, fill)

        def priced(work: tuple[WorkItem, ...], hit: float, crowding: Fraction) -> tuple:
            key = (work, hit, crowding)
            if key not in self.prices:
                from ptoc.machine.pricing import price

                self.prices[key] = tuple(price(chip(), work, hit, crowding))
            return self.prices[key]

        hits = self._hits(program, extents, blocks, arrays)
        return program, schedule(program, prices_of(program, hits, priced, self.chip), Costs(**self.costs))

    def _hits(self, program: Program, extents: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray]) -> dict[int, float]:
        """What sites find in the L2 in a warm run."""
        capacity = self.chip.number("shared.l2_effective")
        if all_hit(program.memories, capacity, True):
            return {}
        key = (blocks, *sorted(extents.items()))
        if arrays or key not in self.hits:
            found = hit_fractions(moves_of_forms(self.forms, program, extents, MOST), program.memories, capacity, True)
            if arrays:
                return found
            self.hits[key] = found
        return self.hits[key]


def refuse_blocks(name: str, blocks: int, kind: str, most: int, chip: str) -> None:
    """Raises ArgumentError where a chip has fewer cores than blocks."""
    if blocks > most:
        raise ArgumentError(f"{name}: {blocks} blocks are more than the {most} {kind} cores of {chip}; give at most {most} as --cores")


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
    reads_numbers = any("sim.fetch" in str(part) for part in parts.values())
    return TimedKernel(name, tuple(parts), ChipFacts.of(chip), cores, workspace, sync_costs(chip)._asdict(), make, reads_numbers)
