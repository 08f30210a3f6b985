"""run_program(program, chip) = what a program's kernels give and cost: values from step to step, or time alone."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ptoc.dialect.errors import ArgumentError, PtocError
from ptoc.machine.chip import Chip
from ptoc.simulator.account import Account, accounts, bound

from .arguments import NO_CASE, called, kernel_values, random_array, seeded
from .loading import Source
from .program import Arranged, Program, arrange_steps
from .result import FS_PER_US, Result
from .running import run_compiled
from .timed_run import run_timed


@dataclass
class StepResult:
    """One step's run.  `result`: of one run of its kernel, which counts `times` times."""

    step: Arranged
    result: Result

    @cached_property
    def parts(self) -> dict[str, Account]:
        """The account of each part of one run of the kernel; what is in no part counts to one called as the step.  Tensors are the program's."""
        found = accounts(self.result.program, self.result.timeline)
        tensors = {"": ""} | self.step.tensors
        parts: dict[str, Account] = {}
        for name, account in found.items():
            account.bytes = {(way, tensors.get(tensor, f"{self.step.name}.{tensor}")): count for (way, tensor), count in account.bytes.items()}
            key = self.step.parts.get(name, name) or self.step.name
            parts[key] = parts[key].plus(account) if key in parts else account
        return parts

    @cached_property
    def account(self) -> Account:
        """All parts together."""
        total = Account()
        for account in self.parts.values():
            total = total.plus(account)
        return total

    @cached_property
    def bound(self) -> tuple[str, float]:
        """What bounds it, and the part of the time for which that is used."""
        return bound(self.result.timeline)

    @property
    def fs(self) -> int:
        """Time of all its runs, from first to last command of each."""
        return self.result.timeline.makespan * self.step.times


@dataclass
class ProgramResult:
    """A program's run.  `tensors`: by name, what the steps made or were given; empty for time alone."""

    program: Program
    chip: Chip
    sizes: dict[str, Any]
    steps: list[StepResult]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def step(self, name: str) -> StepResult:
        """A step by its name.  Raises: ArgumentError."""
        found = next((one for one in self.steps if one.step.name == name), None)
        if found is None:
            raise ArgumentError(f"program {self.program.name} ran no step '{name}'; steps: {', '.join(one.step.name for one in self.steps)}")
        return found

    @property
    def fs(self) -> int:
        """Time of all steps."""
        return sum(one.fs for one in self.steps)

    def share(self, *names: str) -> float:
        """The part of the time that some steps take; what an unvalidated chip gives too."""
        return sum(self.step(name).fs for name in names) / (self.fs or 1)

    @property
    def kernel_us(self) -> float:
        """Microseconds of all steps without their launches.  Raises: ArgumentError on a chip that was never compared with a device."""
        return sum(one.result.kernel_us * one.step.times for one in self.steps)

    @property
    def latency_us(self) -> float:
        """With a launch for each run of a kernel."""
        return sum(one.result.latency_us * one.step.times for one in self.steps)

    @cached_property
    def parts(self) -> dict[str, Account]:
        """The account of each part over all steps and their times."""
        total: dict[str, Account] = {}
        for one in self.steps:
            for name, account in one.parts.items():
                total[name] = total.get(name, Account()).plus(account, one.step.times)
        return total

    @property
    def passed(self) -> bool | None:
        """Whether every step's values are as its reference says; None for time alone."""
        told = [one.result.passed for one in self.steps if one.result.passed is not None]
        return all(told) if told else None


def run_program(
    program: Program,
    chip: Chip,
    definitions: dict[str, Any] | None = None,
    inputs: dict[str, np.ndarray] | None = None,
    values: bool = True,
    checked: bool = False,
    allow_unvalidated: bool = False,
) -> ProgramResult:
    """Runs the steps in order.

    definitions: the program's sizes, and `model`.  inputs: tensors by name; missing ones are seeded by their names.  values=False: time alone.
    checked: also proves each step's synchronisation.  Raises: ArgumentError where a tensor is taken in another shape or type than it has,
    and what a step raises, with the step's name.
    """
    sizes, steps = arrange_steps(program, chip, definitions or {})
    tensors = dict(inputs or {})
    _refuse_unknown(tensors, steps, program)
    forms: dict[str, tuple[tuple[int, ...], str, str]] = {}
    results = []
    for step in steps:
        try:
            numbers = kernel_values(step.loaded, NO_CASE, step.sizes, chip)
            _hand_over(step, numbers, forms)
            result = _run(step, numbers, chip, tensors, values, checked, allow_unvalidated)
            _refuse_unknown_parts(step, result)
            results.append(StepResult(step, result))
        except PtocError as error:
            raise type(error)(f"program {program.name}, step {step.name}: {error}") from error
    return ProgramResult(program, chip, sizes, results, tensors if values else {})


def _refuse_unknown(tensors: dict[str, np.ndarray], steps: list[Arranged], program: Program) -> None:
    known = {name for step in steps for name in step.tensors.values()}
    for name in tensors:
        if name not in known:
            raise ArgumentError(f"program {program.name} has no tensor '{name}'; tensors: {', '.join(sorted(known))}")


def _refuse_unknown_parts(step: Arranged, result: Result) -> None:
    known = {site.part for site in result.program.sites} - {""}
    for name in step.parts:
        if name not in known:
            raise ArgumentError(f"kernel {step.loaded.name} has no part '{name}'; parts: {', '.join(sorted(known)) or 'none'}")


def _hand_over(step: Arranged, numbers: dict[str, Any], forms: dict[str, tuple[tuple[int, ...], str, str]]) -> None:
    """Remembers shape and type of the step's tensors.  Raises: ArgumentError where a step before it has another type, or another number of elements."""
    for tensor, spec in step.loaded.bound(numbers).items():
        name, shape, dtype = step.tensors[tensor], step.loaded.shape(tensor, numbers), spec.dtype.name
        known = forms.setdefault(name, (shape, dtype, step.name))
        if (math.prod(known[0]), known[1]) != (math.prod(shape), dtype):
            raise ArgumentError(f"tensor '{name}' is {list(known[0])} {known[1]} in step {known[2]}; '{tensor}' of kernel {step.loaded.name} is {list(shape)} {dtype}")


def _run(step: Arranged, numbers: dict[str, Any], chip: Chip, tensors: dict[str, np.ndarray], values: bool, checked: bool, allow_unvalidated: bool) -> Result:
    if not values and not checked and isinstance(step.kernel, str):
        texts = {name: str(value) for name, value in step.sizes.items()}
        return run_timed(step.kernel, chip.file if chip.file.endswith(".yaml") else chip.name, texts, NO_CASE, step.cores, None, False, allow_unvalidated)
    source = Source(step.loaded.name, step.loaded)
    given = _inputs(step, numbers, tensors) if values else {}
    result = run_compiled(source, chip, step.sizes, NO_CASE, step.cores, given, values, checked, allow_unvalidated, None)
    tensors.update((step.tensors[name], array) for name, array in result.outputs.items())
    return result


def _inputs(step: Arranged, numbers: dict[str, Any], tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The step's inputs: tensors that there are, others seeded by their names and kept."""
    kernel, tensors_of = step.loaded, step.loaded.bound(numbers)
    wanted = [name for name, spec in tensors_of.items() if not spec.output]
    missing = [name for name in wanted if step.tensors[name] not in tensors]
    made: dict[str, Any] = {}
    if missing and kernel.inputs_function is not None:
        made = called(kernel, "inputs", kernel.inputs_function, seeded(step.name, 0), **numbers)
    for name in missing:
        dtype = tensors_of[name].dtype
        array = made[name] if name in made else random_array(seeded(step.tensors[name], 0), kernel.shape(name, numbers), dtype)
        tensors[step.tensors[name]] = np.ascontiguousarray(array, dtype=dtype.numpy)
    return {name: _as(tensors[step.tensors[name]], kernel.shape(name, numbers)) for name in wanted}


def _as(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The same elements row by row in the shape that a kernel takes; of another number of them the kernel's own error tells."""
    return array.reshape(shape) if array.size == math.prod(shape) else array


def us(fs: int) -> float:
    """Femtoseconds in microseconds."""
    return fs / FS_PER_US
