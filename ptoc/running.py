"""One run: arguments, elaboration, pricing, schedule, values, checks."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ptoc.dialect.errors import ArgumentError, CheckError
from ptoc.frontend import Kernel
from ptoc.machine.chip import Chip
from ptoc.machine.hazards import needs_barrier
from ptoc.machine.pricing import price, sync_costs
from ptoc.simulator.accesses import accesses_of
from ptoc.simulator.check import check
from ptoc.simulator.check_report import SyncReport
from ptoc.simulator.elaborate import elaborate, fill, kernel_functions
from ptoc.simulator.engine import Costs, schedule
from ptoc.simulator.execute import execute, execute_adverse
from ptoc.simulator.loop_lines import loop_lines
from ptoc.simulator.memory import Memories
from ptoc.simulator.program import Program
from ptoc.simulator.residency import MOST, all_hit, hit_fractions
from ptoc.simulator.timeline import Timeline
from ptoc.simulator.work import meanings

from .arguments import Arguments, called, foreign_array, kernel_inputs, kernel_values, refuse_huge
from .compiled import Compiled, compile_source
from .foreign import foreign_arguments
from .loading import Source
from .pricing import prices_of
from .redundancy import over_cases
from .result import Result, sync_counts
from .timed_kernel import TimedKernel

DEFAULT_TOLERANCE = (1e-3, 1e-3)
"""Absolute and relative tolerance of a kernel that came as text."""

MEMORIES = ("ub", "l1", "l0a", "l0b", "l0c", "bias", "scaling")


@dataclass
class Arranged:
    """A kernel with what it is to be run with.  `compile`: gives the compiled kernel, which time alone may do without.

    `extents`: numbers and, for tensors, bytes, by argument name.  `parameters`: constants that the kernel is compiled for.
    """

    source: Source
    chip: Chip
    compile: Callable[[], Compiled]
    timed: TimedKernel
    arguments: Arguments
    values: dict[str, Any]
    parameters: dict[str, Any]
    extents: dict[str, Any]

    def program(self) -> Program:
        """The streams of the run, with the operands of all commands."""
        return elaborate(self.compile().simulator_ir, self.timed.name, self.extents, self.arguments.blocks, integers(self.arguments))

    def fill(self, program: Program) -> None:
        """Makes the operands of a program that was elaborated for time alone."""
        fill(self.compile().simulator_ir, self.extents, self.arguments.blocks, integers(self.arguments), program)


@dataclass
class Prepared:
    """A compiled kernel with arguments, elaborated."""

    compiled: Compiled
    arguments: Arguments
    values: dict[str, Any]
    program: Program


def prepare(
    source: Source, chip: Chip, definitions: dict[str, Any], case: str | None, cores: int | None, inputs: dict[str, np.ndarray], sync: str | None, auto_stages: bool = False
) -> Prepared:
    """Compiles a source for the values of a run, and elaborates it with all operands."""
    arranged = arrange(source, chip, definitions, case, cores, inputs, sync, auto_stages)
    return Prepared(arranged.compile(), arranged.arguments, arranged.values, arranged.program())


def arrange(
    source: Source,
    chip: Chip,
    definitions: dict[str, Any],
    case: str | None,
    cores: int | None,
    inputs: dict[str, np.ndarray],
    sync: str | None,
    auto_stages: bool = False,
    values: bool = True,
    kept: Callable[[dict[str, Any]], TimedKernel | None] = lambda parameters: None,
) -> Arranged:
    """Arguments of a run, and the kernel compiled for them.

    values: without, tensors are made only where numbers in them decide control.  kept: gives the timed form of a kernel for parameters,
    where it is known without compiling.
    """
    if source.kernel is None:
        return _arrange_text(source, chip, definitions, case, cores, inputs, sync, auto_stages)
    kernel = source.kernel
    given = {n: foreign_array(n, str(v), 0) for n, v in definitions.items() if n in kernel.tensors}
    definitions = {n: v for n, v in definitions.items() if n not in given}
    numbers = kernel_values(kernel, case, definitions, chip)
    of_case = numbers.pop("cores", None)  # blocks to launch, no argument of the kernel
    blocks = _blocks(kernel, numbers, of_case if cores is None else cores, chip)
    parameters = {k: numbers[k] for k in kernel.parameters}
    compiled = partial(compile_source, source, chip, parameters, sync, auto_stages)
    timed = kept(parameters) or compiled().timed
    timed.refuse_more_than_chip(blocks)
    arguments = _kernel_arguments(timed, kernel, numbers, given | inputs, blocks, values)
    return Arranged(source, chip, compiled, timed, arguments, numbers, parameters, _kernel_extents(kernel, numbers, arguments))


def _arrange_text(
    source: Source, chip: Chip, definitions: dict[str, Any], case: str | None, cores: int | None, inputs: dict[str, np.ndarray], sync: str | None, auto_stages: bool
) -> Arranged:
    if case is not None:
        raise ArgumentError(f"{source.file}: a file has no cases; give arguments as -D NAME=VALUE")
    blocks = 1 if cores is None else cores
    _refuse_blocks(blocks)
    compiled = compile_source(source, chip, {}, sync, auto_stages)
    compiled.timed.refuse_more_than_chip(blocks)
    arguments = foreign_arguments(compiled, definitions, blocks, inputs)
    return Arranged(source, chip, lambda: compiled, compiled.timed, arguments, dict(arguments.numbers), {}, _extents(arguments))


def _kernel_extents(kernel: Kernel, values: dict[str, Any], arguments: Arguments) -> dict[str, Any]:
    """Numbers by name, and bytes of the tensors, made or not."""
    sizes = {n: math.prod(kernel.shape(n, values)) * spec.dtype.bytes for n, spec in kernel.bound(values).items()}
    return {**arguments.numbers, **sizes}


def _blocks(kernel: Kernel, values: dict[str, Any], cores: int | None, chip: Chip) -> int:
    if cores is not None:
        _refuse_blocks(cores)
        if not kernel.exact_cores:
            return cores
    if kernel.cores_function is None:
        return 1
    own = called(kernel, "cores", kernel.cores_function, **values, aic=chip.cores("aic"), aiv=chip.cores("aiv"))
    given = ", ".join(f"{n}={v}" for n, v in values.items())
    if not isinstance(own, int) or own < 1:
        raise ArgumentError(f"kernel {kernel.name}: its cores function must give at least 1 block; it gives {own} for {given}")
    if cores not in (None, own):
        raise ArgumentError(f"kernel {kernel.name} does its work on exactly {own} blocks for {given}; got {cores}")
    return own


def _refuse_blocks(cores: int) -> None:
    if cores < 1:
        raise ArgumentError(f"--cores must be at least 1; got {cores}")


def _kernel_arguments(
    timed: TimedKernel, kernel: Kernel, values: dict[str, Any], inputs: dict[str, np.ndarray], blocks: int, made: bool = True
) -> Arguments:
    """The arguments of a Python kernel; with `made` false its tensors only where they are given, or hold integers that the kernel reads."""
    tensors = kernel.bound(values)
    names = set(inputs) - set(tensors)
    if names:
        raise ArgumentError(f"kernel {kernel.name} has no tensor '{sorted(names)[0]}'; tensors: {', '.join(tensors)}")
    for name, spec in tensors.items():
        refuse_huge(name, kernel.shape(name, values), spec.dtype)
    wanted = {n for n, spec in tensors.items() if not spec.output}
    made = made or bool(inputs) or (timed.reads_numbers and not all(tensors[n].dtype.is_float for n in wanted))
    outputs = tuple(n for n, spec in tensors.items() if spec.output)
    numbers = {n: values[n] for n in kernel.sizes} | {n: size * blocks for n, size in timed.workspace.items()}
    if not made:
        return Arguments(numbers, {}, outputs, blocks)
    arrays = dict(inputs) if wanted <= set(inputs) else {**kernel_inputs(kernel, values), **inputs}
    for name, given in arrays.items():
        shape, array = kernel.shape(name, values), np.asarray(given)
        if tuple(array.shape) != shape:
            raise ArgumentError(f"kernel {kernel.name}: tensor '{name}' must have shape {shape}; got {tuple(array.shape)}")
        dtype = tensors[name].dtype
        if array.dtype.kind in "cOSUmM" or (array.dtype.kind == "f" and not dtype.is_float):
            raise ArgumentError(f"kernel {kernel.name}: tensor '{name}' is of {dtype}; got {array.dtype}; convert it first")
        if array.dtype.kind == "V" and array.dtype.itemsize == dtype.numpy.itemsize:
            array = array.view(dtype.numpy)  # numpy files keep the bytes of bf16 and the like, not their name
        arrays[name] = np.ascontiguousarray(array, dtype=dtype.numpy)
    for name in outputs:
        arrays[name] = np.zeros(kernel.shape(name, values), tensors[name].dtype.numpy)
    return Arguments(numbers, arrays, outputs, blocks)


def _extents(arguments: Arguments) -> dict[str, Any]:
    """Numbers by name, and bytes of the tensors."""
    return {**arguments.numbers, **{n: a.nbytes for n, a in arguments.arrays.items()}}


def time_program(program: Program, chip: Chip, warm: bool = True, bypass: tuple[str, ...] = (), hits: dict[int, float] | None = None) -> Timeline:
    """The schedule of a program on a chip.

    warm: a run like it has left the L2 what it could; bypass: names of tensors that are read past the L2.  hits: by site, what part the L2
    has, where that is known otherwise.
    """
    capacity = chip.number("shared.l2_effective")
    if hits is None:
        hits = {}
        if not all_hit(program.memories, capacity, warm, bypass):
            hits = hit_fractions(accesses_of(program, MOST), program.memories, capacity, warm, bypass)
    return schedule(program, prices_of(program, hits, partial(price, chip), chip), Costs(**sync_costs(chip)._asdict()))


def memories_of(prepared: Prepared) -> Memories:
    """Fresh memories: inputs filled, all else unwritten."""
    chip, arguments = prepared.compiled.chip, prepared.arguments
    on_chip = {name: chip.capacity_bytes(name) for name in MEMORIES}
    given = {f"gm:{n}": a for n, a in arguments.arrays.items() if n not in arguments.outputs or n in arguments.updated}
    if prepared.compiled.kernel is not None:
        given |= {name: arguments.arrays[name.removeprefix("gm:")] for name in added_to(prepared.program)}
    return Memories(on_chip, prepared.program.memories, given)


def added_to(program: Program) -> set[str]:
    """Memories that atomic additions go to: a Python kernel's tensors among them are zeros before the run."""
    sites = {site for site in program.sites if site.attributes.get("atomic")}
    commands = (c for stream in program.streams for c in stream.commands if c.site in sites) if sites else ()
    return {ref.memory for c in commands for ref in c.refs(c.writes)}


def run_compiled(
    source: Source,
    chip: Chip,
    definitions: dict[str, Any],
    case: str | None,
    cores: int | None,
    inputs: dict[str, np.ndarray],
    values: bool,
    checked: bool,
    allow_unvalidated: bool,
    sync: str | None,
    auto_stages: bool = False,
) -> Result:
    """See api.run."""
    arranged = arrange(source, chip, definitions, case, cores, inputs, sync, auto_stages, values=values or checked)
    if not values and not checked:
        return run_arranged(arranged, allow_unvalidated)
    prepared = Prepared(arranged.compile(), arranged.arguments, arranged.values, arranged.program())
    if checked:
        prove_order(prepared)
    timeline = time_program(prepared.program, chip)
    result = _result(arranged, prepared.program, timeline, checked, allow_unvalidated)
    if values:
        result.outputs = run_values(prepared, timeline)
        _compare(result, prepared)
        if checked:
            compare_adverse(prepared, result.outputs)
    return result


def run_arranged(arranged: Arranged, allow_unvalidated: bool) -> Result:
    """Time alone."""
    arguments = arranged.arguments
    program, timeline = arranged.timed.simulate(arranged.extents, arguments.blocks, integers(arguments), lambda: arranged.chip, arranged.fill)
    return _result(arranged, program, timeline, False, allow_unvalidated)


def _result(arranged: Arranged, program: Program, timeline: Timeline, checked: bool, allow_unvalidated: bool) -> Result:
    """A result without values."""
    result = Result(arranged.timed.name, arranged.chip, arranged.arguments.blocks, arranged.values, program, timeline)
    result.allow_unvalidated = allow_unvalidated
    result.arranged = lambda: arranged
    result.sync = sync_counts(program, checked)
    kernel = arranged.source.kernel
    if kernel is not None:
        result.tolerance = kernel.largest_tolerance(arranged.values)[1]
        result.flops = called(kernel, "flops", kernel.flops_function, **arranged.values) if kernel.flops_function else None
    return result


def check_prepared(prepared: Prepared, redundancy: bool = False, chains: bool = False) -> SyncReport:
    """The check of a prepared run; its advice names the lines of loops."""

    def loops() -> dict[int, tuple[str, ...]]:
        parts = kernel_functions(prepared.compiled.simulator_ir)[prepared.compiled.name]
        return loop_lines(list(parts.values()), prepared.program)

    return check(prepared.program, needs_barrier, redundancy, chains, loops)


def prove_order(prepared: Prepared) -> None:
    """Raises CheckError that lists every missing order, misused flag and deadlock of a run, and what to prime and to drain."""
    report = check_prepared(prepared)
    if not report.ok:
        raise CheckError("\n".join(describe_faults(report)))


def prove(prepared: Prepared) -> None:
    """All that `ptoc run --check` proves: the order, and equal values in the most adverse order that the synchronisation allows.

    Raises: CheckError, or the error of the run that a missing order makes fail.
    """
    prove_order(prepared)
    compare_adverse(prepared, run_values(prepared, time_program(prepared.program, prepared.compiled.chip)))


def run_values(prepared: Prepared, timeline: Timeline) -> dict[str, np.ndarray]:
    """The outputs of a run in its scheduled order."""
    memories = memories_of(prepared)
    execute(prepared.program, timeline, memories, meanings(), needs_barrier)
    return _outputs(prepared, memories)


def _outputs(prepared: Prepared, memories: Memories) -> dict[str, np.ndarray]:
    arrays = prepared.arguments.arrays
    return {n: memories.array(f"gm:{n}", arrays[n].dtype, arrays[n].shape) for n in prepared.arguments.outputs}


def compare_adverse(prepared: Prepared, outputs: dict[str, np.ndarray]) -> None:
    """Runs the most adverse order that the synchronisation allows; any difference is a CheckError.

    Where cores add floating-point numbers atomically, their order is nobody's, and the sums are compared within the kernel's tolerance.
    """
    memories = memories_of(prepared)
    execute_adverse(prepared.program, memories, meanings(), needs_barrier)
    summed = added_to(prepared.program)
    kernel = prepared.compiled.kernel
    for name, array in _outputs(prepared, memories).items():
        rounded = f"gm:{name}" in summed and array.dtype.kind not in "iu"
        if array.tobytes() != outputs[name].tobytes() and not (rounded and _close(array, outputs[name], *(kernel.tolerance_of(name, prepared.values) if kernel else DEFAULT_TOLERANCE))):
            raise CheckError(
                f"{prepared.compiled.name}: '{name}' differs in another order that the synchronisation allows: an order is missing"
            )


def _close(got: np.ndarray, other: np.ndarray, absolute: float, relative: float) -> bool:
    """Within the tolerances; the same infinities and NaNs."""
    return bool(np.allclose(got.astype(np.float64), other.astype(np.float64), relative, absolute, equal_nan=True))


def expected_outputs(prepared: Prepared) -> dict[str, np.ndarray] | None:
    """What the kernel's numpy reference gives, None where there is no reference."""
    kernel = prepared.compiled.kernel
    if kernel is None or kernel.reference_function is None:
        return None
    inputs = {n: prepared.arguments.arrays[n] for n, spec in kernel.bound(prepared.values).items() if not spec.output}
    wide = {n: a.astype(np.float32) if a.dtype.kind not in "iu" and a.dtype != np.float64 else a for n, a in inputs.items()}
    extra = {n: prepared.values[n] for n in _wanted(kernel.reference_function) if n in prepared.values and n not in wide}
    expected = called(kernel, "reference", kernel.reference_function, **wide, **extra)
    expected = expected if isinstance(expected, tuple) else (expected,)
    names = prepared.arguments.outputs
    for i, name in enumerate(names):
        want, got = prepared.arguments.arrays[name].shape, np.shape(expected[i]) if i < len(expected) else None
        if len(expected) != len(names) or want != got:
            given = ", ".join(str(np.shape(e)) for e in expected)
            raise ArgumentError(f"kernel {kernel.name}: its reference must give {len(names)} arrays, '{name}' of shape {want}; it gives {given}")
    return dict(zip(names, expected))


def _compare(result: Result, prepared: Prepared) -> None:
    """Compares the outputs with the kernel's numpy reference."""
    expected = expected_outputs(prepared)
    if expected is None:
        return
    kernel = prepared.compiled.kernel
    errors, passed = [], True
    for name, reference in expected.items():
        absolute, relative = kernel.tolerance_of(name, prepared.values)
        got, reference = result.outputs[name].astype(np.float64), np.asarray(reference, np.float64)
        same = (got == reference) | (np.isnan(got) & np.isnan(reference))  # equal infinities, and no number where none is expected
        with np.errstate(invalid="ignore"):
            difference = np.where(same, 0.0, np.abs(got - reference))
            allowed = np.where(np.isfinite(reference), absolute + relative * np.abs(reference), 0.0)
        errors.append(float(difference.max(initial=0.0)) if not np.isnan(difference).any() else float("nan"))
        passed &= bool(np.all(difference <= allowed))
    result.max_abs_error, result.passed = max(errors), passed


def _wanted(function: Any) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def describe_faults(report: SyncReport) -> list[str]:
    """One line for each missing order, misuse and deadlock, and what to do about flags that a loop carries."""
    lines = [str(m) for m in report.missing] + list(report.misuse)
    return lines + ([report.deadlock] if report.deadlock else []) + [f"advice: {line}" for line in report.advice]


def check_compiled(
    source: Source, chip: Chip, definitions: dict[str, Any], case: str | None, cores: int | None, inputs: dict[str, np.ndarray], sync: str | None, auto_stages: bool = False
) -> SyncReport:
    """See api.check.  A unit is redundant only if no declared case of the same compiled kernel needs it."""
    prepared = prepare(source, chip, definitions, case, cores, inputs, sync, auto_stages)
    report = check_prepared(prepared, redundancy=True, chains=True)
    return over_cases(report, prepared.program, other_cases(prepared)) if source.kernel is not None else report


def other_cases(prepared: Prepared) -> Iterator[Program]:
    """Programs of the kernel's declared cases that the same compilation serves, smallest first."""
    kernel, chip = prepared.compiled.kernel, prepared.compiled.chip
    launched = 1 + max((stream.core.block for stream in prepared.program.streams), default=0)
    found = []
    for name in kernel.cases:
        values = kernel_values(kernel, name, {}, chip)
        blocks = _blocks(kernel, values, values.pop("cores", None), chip)
        if all(values[k] == prepared.values[k] for k in kernel.parameters) and (values, blocks) != (prepared.values, launched):
            found.append((values, blocks))
    for values, blocks in sorted(found, key=lambda case: [case[0][n] for n in kernel.sizes]):
        arguments = _kernel_arguments(prepared.compiled.timed, kernel, values, {}, blocks)
        yield elaborate(prepared.compiled.simulator_ir, prepared.compiled.name, _extents(arguments), blocks, integers(arguments))


def integers(arguments: Arguments) -> dict[str, np.ndarray]:
    """Input tensors of integers: what control and addresses may depend on."""
    return {n: a for n, a in arguments.arrays.items() if a.dtype.kind in "iu" and n not in arguments.outputs}
