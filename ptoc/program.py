"""Programs: kernels with their sizes, one after the other on one chip; results go from kernel to kernel through tensors with names.

A program is a YAML file, read strictly, or `ptoc.Program(...)` in Python:

    name: two_products
    sizes: {M: 256, K: 512}
    steps:
      - kernel: gemm
        sizes: {M: M, N: 2 * K, K: K}
        tensors: {a: x, b: w1, c: h}
      - kernel: vector_add
        sizes: {N: M * 2 * K}
        times: 3

A text among `sizes`, `times`, `cores` and `when` is an expression (`expressions.py`) over the program's sizes, the numbers of its `model`
(`model.py`) and the facts of the chip that `chip_names` lists; for a parameter that is a text, a quoted text in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field

from ptoc.dialect.errors import ArgumentError, PtocError
from ptoc.frontend import Kernel
from ptoc.machine.chip import Chip
from ptoc.machine.strict_yaml import Strict, read_strictly

from .expressions import evaluate
from .loading import load_kernel
from .model import load_model
from .program_names import program_names, programs_folder

Number = bool | int | float | str


class Step(Strict):
    """One kernel of a program.

    kernel: a shipped name, `file.py[:function]`, or the kernel itself.  name: of the step, by default the kernel's.  when: whether the step
    takes part.  times: how often it runs; its time, flops and bytes count as often, its values are those of one run.  cores: blocks to
    launch.  sizes: the kernel's sizes and parameters.  tensors: its tensors to names in the program; one that is not named is the step's own.  parts: names
    of the kernel's parts to what they are called in the program's report, where that differs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    kernel: str | Kernel
    name: str = ""
    when: str = "1"
    times: int | str = 1
    cores: int | str | None = None
    sizes: dict[str, Number] = Field(default_factory=dict)
    tensors: dict[str, str] = Field(default_factory=dict)
    parts: dict[str, str] = Field(default_factory=dict)


class Program(Strict):
    """Steps in order.  sizes: numbers by name, each an expression over those before it; `-D` overrides them, one that is a text by the text itself.  model: a model file's name or path.
    require: what must hold of them, each a condition by the sentence that says it."""

    name: str = Field(min_length=1)
    description: str = ""
    model: str | None = None
    sizes: dict[str, Number] = Field(default_factory=dict)
    require: dict[str, str] = Field(default_factory=dict)
    steps: list[Step] = Field(min_length=1)
    file: str = ""


@dataclass(frozen=True)
class Arranged:
    """A step with its numbers.  `kernel`: what the program says; `loaded`: the kernel itself; `tensors`: of all its tensors."""

    name: str
    kernel: str | Kernel
    loaded: Kernel
    times: int
    cores: int | None
    sizes: dict[str, Any]
    tensors: dict[str, str]
    parts: dict[str, str]


def load_program(text: str) -> Program:
    """A shipped program by name, or one in a .yaml file.  Raises: ArgumentError with file and key."""
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        if text not in program_names():
            raise ArgumentError(f"no program is called '{text}'; there are {', '.join(program_names()) or 'none'}, or give the path of a .yaml file")
        path = programs_folder() / f"{text}.yaml"
    return read_strictly(path, Program, ArgumentError).model_copy(update={"file": str(path)})


def chip_names(chip: Chip) -> dict[str, Any]:
    """What expressions may ask of a chip: its name and architecture, its cores, 1 where it has an SDMA engine and where its cube multiplies 8-bit floats."""
    return {
        "chip": chip.name,
        "arch": chip.arch,
        "aic": chip.cores("aic"),
        "aiv": chip.cores("aiv"),
        "has_sdma": int(chip.data.sdma is not None),
        "has_f8": int("f8E4M3FN" in chip.data.cube.rates),
    }


def named_numbers(program: Program, chip: Chip, definitions: dict[str, Any]) -> dict[str, Any]:
    """All numbers that the steps may name.

    Raises: ArgumentError for a definition of what the program has no size for, or a requirement that does not hold.
    """
    known = {*program.sizes, "model"} if program.model else set(program.sizes)
    for name in definitions:
        if name not in known:
            raise ArgumentError(f"program {program.name} has no size '{name}'; known: {', '.join(sorted(known)) or 'none'}", program.file)
    names = chip_names(chip)
    if program.model:
        model = load_model(str(definitions.get("model", program.model)), Path(program.file).parent if program.file and "model" not in definitions else None)
        names |= model.numbers | {"model": model.name}
    for name, value in program.sizes.items():
        where = f"{program.file or program.name}: size '{name}'"
        plain = evaluate(value, names, where) if isinstance(value, str) else value
        given = definitions.get(name, plain)
        names[name] = evaluate(given, names, where) if isinstance(given, str) and not isinstance(plain, str) else given
    for sentence, condition in program.require.items():
        if not evaluate(condition, names, f"{program.file or program.name}: require"):
            got = ", ".join(f"{name}={names[name]}" for name in program.sizes if name in names)
            raise ArgumentError(f"program {program.name}: {sentence}; got {got}", program.file)
    return names


def arrange_steps(program: Program, chip: Chip, definitions: dict[str, Any], loader: Callable[[str], Kernel] = load_kernel) -> tuple[dict[str, Any], list[Arranged]]:
    """The program's sizes, and the steps that take part, with numbers.  Raises: ArgumentError that names file, step and key."""
    names = named_numbers(program, chip, definitions)
    arranged: list[Arranged] = []
    for number, step in enumerate(program.steps):
        where = f"{program.file or program.name}: steps.{number}"
        try:
            kernel = loader(step.kernel) if isinstance(step.kernel, str) else step.kernel
        except PtocError as error:
            raise ArgumentError(f"{where}.kernel: {error}") from None
        if not evaluate(step.when, names, f"{where}.when"):
            continue
        name = step.name or kernel.name
        if name in (one.name for one in arranged):
            raise ArgumentError(f"{where}.name: two steps are called '{name}'; give one of them a name of its own")
        times, cores = (_whole(value, names, f"{where}.{key}") for key, value in (("times", step.times), ("cores", step.cores)))
        arranged.append(Arranged(name, step.kernel, kernel, times, cores, _sizes(step, kernel, names, where), _tensors(step, kernel, name, where), step.parts))
    if not arranged:
        raise ArgumentError(f"{program.file or program.name}: no step takes part; see 'when' of its steps")
    return {name: names[name] for name in ("model", *program.sizes) if name in names}, arranged


def _whole(value: int | str | None, names: dict[str, Any], where: str) -> int | None:
    number = evaluate(value, names, where) if isinstance(value, str) else value
    if number is not None and (not isinstance(number, int) or number < 1):
        raise ArgumentError(f"{where}: a whole number of at least 1 is expected; got {number!r}")
    return number


def _sizes(step: Step, kernel: Kernel, names: dict[str, Any], where: str) -> dict[str, Any]:
    for name in step.sizes:
        if name not in kernel.sizes and name not in kernel.parameters:
            raise ArgumentError(f"{where}.sizes: kernel {kernel.name} has no size or parameter '{name}'; known: {', '.join((*kernel.sizes, *kernel.parameters))}")
    return {name: evaluate(value, names, f"{where}.sizes.{name}") if isinstance(value, str) else value for name, value in step.sizes.items()}


def _tensors(step: Step, kernel: Kernel, name: str, where: str) -> dict[str, str]:
    for tensor in step.tensors:
        if tensor not in kernel.tensors:
            raise ArgumentError(f"{where}.tensors: kernel {kernel.name} has no tensor '{tensor}'; tensors: {', '.join(kernel.tensors)}")
    return {tensor: step.tensors.get(tensor, f"{name}.{tensor}") for tensor in kernel.tensors}
