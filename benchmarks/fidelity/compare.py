"""compare(rows) = each row predicted by its frozen bench kernel, with its error, and the mean absolute error of each group."""

from collections.abc import Callable
from dataclasses import dataclass

from ptoc.dialect.errors import ChipError, PtocError
from ptoc.machine.chip import Chip, load_chip

from .metrics import Refused, predicted
from .programs import Program, program_of
from .rows import Row, averaged, chip_of
from .simulation import Run, simulate
from .single import measured_alone


@dataclass(frozen=True)
class Outcome:
    """A row with its prediction, None where it is refused for `reason`."""

    row: Row
    predicted: float | None
    reason: str = ""

    @property
    def error_pct(self) -> float | None:
        """(predicted - measured) / measured, in percent."""
        return None if self.predicted is None else 100 * (self.predicted / self.row.value - 1)

    @property
    def group(self) -> str:
        """Rows of one kind: family of kernels and whether they time the whole or a part."""
        return group_of(self.row)


GROUPS = (
    ("flash att", "flash attention"), ("flash_att", "flash attention"), ("gemm", "GEMM"), ("matmul", "GEMM"), ("vector add", "vector add"),
    ("datacopy", "copies"), ("gm ", "streams"), ("stream", "streams"), ("syncall", "synchronisation"), ("instruction", "instructions"),
)  # fmt: skip
WHOLE = ("time", "time (avg of 200)", "kernel time", "task_duration", "bandwidth", "latency")


def group_of(row: Row) -> str:
    """The group of a row: "flash attention", "GEMM parts" (busy times of engines), ..."""
    name = next((group for word, group in GROUPS if word in row.kernel.lower()), "other")
    parts = name not in ("instructions", "other") and row.metric.lower() not in WHOLE and not row.metric.lower().startswith("time")
    return f"{name} parts" if parts else name


def compare(rows: list[Row], chip: str | None = None, progress: Callable[[str], None] = lambda text: None) -> list[Outcome]:
    """Every row (repeated measurements averaged) with its prediction.  chip: simulate all on this one.  Equal programs run once.

    Raises: ChipError where `chip` names no chip.
    """
    given = load_chip(chip) if chip else None
    runs: dict[tuple[str, Program], Run] = {}
    return [_outcome(row, given, runs, progress) for row in averaged(rows)]


def _outcome(row: Row, given: Chip | None, runs: dict[tuple[str, Program], Run], progress: Callable[[str], None]) -> Outcome:
    try:
        if not row.value:
            raise Refused("measured as 0: an error in per cent of it says nothing")
        chip = given or _chip(row)
        alone = measured_alone(row, chip)
        if alone is not None:
            return Outcome(row, alone)
        program = program_of(row, chip)
        key = (chip.name, program)
        if key not in runs:
            progress(f"{row.kernel}, {row.shape}, {program.cores} cores of {chip.name}")
            runs[key] = simulate(program.kernel, chip, program.cores, dict(program.definitions), program.warm, program.bypass, program.before, **dict(program.facts))
        return Outcome(row, predicted(runs[key], row))
    except Refused as reason:
        return Outcome(row, None, str(reason))
    except PtocError as error:
        return Outcome(row, None, str(error).splitlines()[0])


def _chip(row: Row) -> Chip:
    name = chip_of(row.soc)
    if not name:
        raise Refused(f"no chip is known as '{row.soc}'")
    try:
        return load_chip(name)
    except ChipError as error:
        raise Refused(str(error)) from None


@dataclass(frozen=True)
class Group:
    """Errors of a group's rows: mean of their absolute values, the largest that nine in ten keep, how many rows, how many refused."""

    name: str
    rows: int
    refused: int
    mean_abs_error_pct: float | None
    nine_in_ten_pct: float | None
    bias_pct: float | None


def grouped(outcomes: list[Outcome]) -> list[Group]:
    """One `Group` for each kind of row, in the order of the file."""
    result = []
    for name in dict.fromkeys(o.group for o in outcomes):
        errors = [o.error_pct for o in outcomes if o.group == name and o.error_pct is not None]
        rows = sum(o.group == name for o in outcomes)
        sizes = sorted(map(abs, errors))
        nine = sizes[-(-9 * len(sizes) // 10) - 1] if sizes else None
        mean, bias = (sum(sizes) / len(sizes), sum(errors) / len(errors)) if sizes else (None, None)
        result.append(Group(name, rows, rows - len(errors), mean, nine, bias))
    return result
