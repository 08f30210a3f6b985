"""What a run would take on a chip that is faster or slower in something: the same program, priced again, nothing else."""

from dataclasses import replace

from ptoc.dialect.errors import ArgumentError
from ptoc.machine.chip import Chip
from ptoc.machine.pricing import sync_costs
from ptoc.machine.what_if import changed

from .result import Result
from .running import Arranged, integers
from .timed_kernel import ChipFacts


def what_if(result: Result, text: str) -> Result:
    """The run on its chip with the changes that `text` says, such as `hbm=2x,cube=inf` (`machine.what_if.changed`); time alone.

    The program stays as it was compiled for the run's own chip.
    Raises: ArgumentError for a text that makes no sense, ChipError for a number that no chip can have.
    """
    if result.arranged is None:
        raise ArgumentError(f"{result.kernel}: a result that was put together by hand cannot be priced again")
    arranged = result.arranged()
    chip = changed(arranged.chip, text)
    program, timeline = simulate_on(arranged, chip)
    return Result(result.kernel, chip, result.blocks, result.arguments, program, timeline, flops=result.flops, allow_unvalidated=result.allow_unvalidated, sync=result.sync)


def simulate_on(arranged: Arranged, chip: Chip) -> tuple:
    """(program, timeline) of an arranged run with the prices of another chip."""
    known = arranged.timed
    timed = replace(known, chip=ChipFacts.of(chip), costs=sync_costs(chip)._asdict(), make=lambda: known.forms, prices={}, hits={})
    return timed.simulate(arranged.extents, arranged.arguments.blocks, integers(arranged.arguments), lambda: chip, arranged.fill)
