"""One run: arguments, elaboration, pricing, schedule, values, checks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ptoc.dialect.errors import ArgumentError, CheckError
from ptoc.dialect.layout import TileRef
from ptoc.machine.chip import Chip
from ptoc.machine.hazards import needs_barrier
from ptoc.machine.pricing import Price, apart, crowding_of, price, sync_costs, without_conflict
from ptoc.machine.work import Transfer, WorkItem
from ptoc.simulator.check import SyncReport, check
from ptoc.simulator.elaborate import elaborate, kernel_functions
from ptoc.simulator.engine import Costs, schedule
from ptoc.simulator.execute import execute, execute_adverse
from ptoc.simulator.memory import Memories
from ptoc.simulator.program import Command, Program
from ptoc.simulator.residency import hit_fractions
from ptoc.simulator.timeline import Timeline
from ptoc.simulator.work import meanings

from .arguments import Arguments, called, foreign_array, kernel_inputs, kernel_values, refuse_huge
from .compiled import Compiled, compile_source
from .foreign import foreign_arguments
from .loading import Source
from .redundancy import over_cases
from .result import Result

MEMORIES = ("ub", "l1", "l0a", "l0b", "l0c", "bias", "scaling")


@dataclass
class Prepared:
    """A compiled kernel with arguments, elaborated."""

    compiled: Compiled
    arguments: Arguments
    values: dict[str, Any]
    program: Program


def prepare(
    source: Source, chip: Chip, definitions: dict[str, Any], case: str | None, cores: int | None, inputs: dict[str, np.ndarray], sync: str
) -> Prepared:
    """Compiles a source for the values of a run, and elaborates it."""
    kernel = source.kernel
    if kernel is not None:
        given = {n: foreign_array(n, str(v), 0) for n, v in definitions.items() if n in kernel.tensors}
        definitions = {n: v for n, v in definitions.items() if n not in given}
        inputs = given | inputs
        values = kernel_values(kernel, case, definitions)
        blocks = _blocks(kernel, values, cores, chip)
        compiled = compile_source(source, chip, {k: values[k] for k in kernel.parameters}, sync)
        _refuse_more_than_chip(compiled, blocks)
        arguments = _kernel_arguments(compiled, values, inputs, blocks)
    else:
        if case is not None:
            raise ArgumentError(f"{source.file}: a file has no cases; give arguments as -D NAME=VALUE")
        blocks = 1 if cores is None else cores
        _refuse_blocks(blocks)
        compiled = compile_source(source, chip, {}, sync)
        _refuse_more_than_chip(compiled, blocks)
        arguments = foreign_arguments(compiled, definitions, blocks, inputs)
        values = dict(arguments.numbers)
    program = elaborate(compiled.simulator_ir, compiled.name, _extents(arguments), arguments.blocks, _integers(arguments))
    return Prepared(compiled, arguments, values, program)


def _blocks(kernel: Any, values: dict[str, Any], cores: int | None, chip: Chip) -> int:
    if cores is None:
        cores = values.get("cores")
    if cores is not None:
        _refuse_blocks(cores)
        return cores
    if kernel.cores_function is None:
        return 1
    cores = called(kernel, "cores", kernel.cores_function, **values, aic=chip.cores("aic"), aiv=chip.cores("aiv"))
    if not isinstance(cores, int) or cores < 1:
        given = ", ".join(f"{n}={v}" for n, v in values.items())
        raise ArgumentError(f"kernel {kernel.name}: its cores function must give at least 1 block; it gives {cores} for {given}")
    return cores


def _refuse_blocks(cores: int) -> None:
    if cores < 1:
        raise ArgumentError(f"--cores must be at least 1; got {cores}")


def _refuse_more_than_chip(compiled: Compiled, blocks: int) -> None:
    """Each block has its cores to itself: more blocks than the chip has cores would be timed as if it had them."""
    kinds = kernel_functions(compiled.simulator_ir)[compiled.name]
    kind = "aic" if "aic" in kinds else "aiv"
    if blocks > compiled.chip.cores(kind):
        raise ArgumentError(f"{compiled.name}: {blocks} blocks are more than the {compiled.chip.cores(kind)} {kind} cores of {compiled.chip.name}; give --cores")


def _kernel_arguments(compiled: Compiled, values: dict[str, Any], inputs: dict[str, np.ndarray], blocks: int) -> Arguments:
    kernel = compiled.kernel
    names = set(inputs) - set(kernel.tensors)
    if names:
        raise ArgumentError(f"kernel {kernel.name} has no tensor '{sorted(names)[0]}'; tensors: {', '.join(kernel.tensors)}")
    for name, spec in kernel.tensors.items():
        refuse_huge(name, kernel.shape(name, values), spec.dtype)
    wanted = {n for n, spec in kernel.tensors.items() if not spec.output}
    arrays = dict(inputs) if wanted <= set(inputs) else {**kernel_inputs(kernel, values), **inputs}
    for name, given in arrays.items():
        shape, array = kernel.shape(name, values), np.asarray(given)
        if tuple(array.shape) != shape:
            raise ArgumentError(f"kernel {kernel.name}: tensor '{name}' must have shape {shape}; got {tuple(array.shape)}")
        dtype = kernel.tensors[name].dtype
        if array.dtype.kind in "cOSUmM" or (array.dtype.kind == "f" and not dtype.is_float):
            raise ArgumentError(f"kernel {kernel.name}: tensor '{name}' is of {dtype}; got {array.dtype}; convert it first")
        if array.dtype.kind == "V" and array.dtype.itemsize == dtype.numpy.itemsize:
            array = array.view(dtype.numpy)  # numpy files keep the bytes of bf16 and the like, not their name
        arrays[name] = np.ascontiguousarray(array, dtype=dtype.numpy)
    outputs = tuple(n for n, spec in kernel.tensors.items() if spec.output)
    for name in outputs:
        arrays[name] = np.zeros(kernel.shape(name, values), kernel.tensors[name].dtype.numpy)
    numbers = {n: values[n] for n in kernel.sizes} | _workspace(compiled, blocks)
    return Arguments(numbers, arrays, outputs, blocks)


def _workspace(compiled: Compiled, blocks: int) -> dict[str, int]:
    """Bytes of the slot rings that the kernel takes as arguments after its sizes."""
    from ptoc.dialect.op import plain

    function = next(iter(kernel_functions(compiled.simulator_ir)[compiled.name].values()))
    if "sim.workspace_bytes_per_block" not in function.attributes:
        return {}
    sizes = plain(function.attributes["sim.workspace_bytes_per_block"])
    names = plain(function.attributes["sim.arg_names"])[-len(sizes) :]
    return {name: size * blocks for name, size in zip(names, sizes)}


def _extents(arguments: Arguments) -> dict[str, Any]:
    """Numbers by name, and bytes of the tensors."""
    return {**arguments.numbers, **{n: a.nbytes for n, a in arguments.arrays.items()}}


def time_program(program: Program, chip: Chip, warm: bool = True, bypass: tuple[str, ...] = ()) -> Timeline:
    """The schedule of a program on a chip.

    warm: a run like it has left the L2 what it could; bypass: names of tensors that are read past the L2.
    """
    hits = hit_fractions(program, chip.number("shared.l2_effective"), warm, bypass)
    crowding = _crowding(program, chip, hits)
    return schedule(program, _prices(program, chip, hits, crowding), Costs(**sync_costs(chip)._asdict()))


Hits = Callable[[int, int], float] | None


def _prices(program: Program, chip: Chip, hits: Hits, crowding: Fraction = Fraction(1)) -> list[list[Price | None]]:
    """The price of every command of work, by stream."""
    return [
        [price(chip, _work(c), hits(number, index) if hits else 1.0, crowding) if c.site.kind == "work" else None for index, c in enumerate(stream.commands)]
        for number, stream in enumerate(program.streams)
    ]


def _work(command: Command) -> tuple[WorkItem, ...]:
    """The work of a command, without bank conflicts where its two sources lie apart in UB."""
    if command.site.pipe != "V":
        return command.work
    read = [ref.address for name, ref in command.operands if name in command.reads and type(ref) is TileRef and ref.memory == "ub"]
    return without_conflict(command.work) if len(read) == 2 and apart(*read) else command.work


def _crowding(program: Program, chip: Chip, hits: Hits) -> Fraction:
    """See `pricing.crowding_of`: from the bytes that pass the L2 and the work of the busiest engine."""
    moved, busiest = 0, 0
    for stream, prices in zip(program.streams, _prices(program, chip, hits)):
        busy: dict[str, int] = {}
        for command, cost in zip(stream.commands, prices):
            if cost is not None:
                busy[command.site.pipe] = busy.get(command.site.pipe, 0) + cost.occupancy
                if cost.shared:
                    moved += sum(item.bytes for item in command.work if isinstance(item, Transfer))
        busiest = max(busiest, *busy.values(), 0)
    return crowding_of(chip, moved, busiest)


def memories_of(prepared: Prepared) -> Memories:
    """Fresh memories: inputs filled, all else unwritten."""
    chip, arguments = prepared.compiled.chip, prepared.arguments
    on_chip = {name: chip.capacity_bytes(name) for name in MEMORIES}
    given = {f"gm:{n}": a for n, a in arguments.arrays.items() if n not in arguments.outputs or n in arguments.updated}
    return Memories(on_chip, prepared.program.memories, given)


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
    sync: str,
) -> Result:
    """See api.run."""
    prepared = prepare(source, chip, definitions, case, cores, inputs, sync)
    program, kernel = prepared.program, source.kernel
    if checked:
        prove_order(program)
    timeline = time_program(program, chip)
    result = Result(prepared.compiled.name, chip, prepared.arguments.blocks, prepared.values, program, timeline)
    result.allow_unvalidated = allow_unvalidated
    result.sync = sync_counts(program, checked)
    if kernel is not None:
        result.tolerance = kernel.tolerance
        result.flops = called(kernel, "flops", kernel.flops_function, **prepared.values) if kernel.flops_function else None
    if values:
        result.outputs = run_values(prepared, timeline)
        _compare(result, prepared)
        if checked:
            compare_adverse(prepared, result.outputs)
    return result


def prove_order(program: Program) -> None:
    """Raises CheckError that lists every missing order, misused flag and deadlock of a program."""
    report = check(program, needs_barrier)
    if not report.ok:
        raise CheckError("\n".join(describe_faults(report)))


def prove(prepared: Prepared) -> None:
    """All that `ptoc run --check` proves: the order, and equal values in the most adverse order that the synchronisation allows.

    Raises: CheckError, or the error of the run that a missing order makes fail.
    """
    prove_order(prepared.program)
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
    """Runs the most adverse order that the synchronisation allows; any difference is a CheckError."""
    memories = memories_of(prepared)
    execute_adverse(prepared.program, memories, meanings(), needs_barrier)
    for name, array in _outputs(prepared, memories).items():
        if array.tobytes() != outputs[name].tobytes():
            raise CheckError(
                f"{prepared.compiled.name}: '{name}' differs in another order that the synchronisation allows: an order is missing"
            )


def expected_outputs(prepared: Prepared) -> dict[str, np.ndarray] | None:
    """What the kernel's numpy reference gives, None where there is no reference."""
    kernel = prepared.compiled.kernel
    if kernel is None or kernel.reference_function is None:
        return None
    inputs = {n: prepared.arguments.arrays[n] for n, spec in kernel.tensors.items() if not spec.output}
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
    tolerance = prepared.compiled.kernel.tolerance
    errors, passed = [], True
    for name, reference in expected.items():
        got, reference = result.outputs[name].astype(np.float64), np.asarray(reference, np.float64)
        difference = np.abs(got - reference)
        errors.append(float(difference.max(initial=0.0)) if not np.isnan(difference).any() else float("nan"))
        passed &= bool(np.all(difference <= tolerance + tolerance * np.abs(reference)))
    result.max_abs_error, result.passed = max(errors), passed


def _wanted(function: Any) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def sync_counts(program: Program, checked: bool) -> dict[str, Any]:
    """Flags (sets and waits) and barriers of the simulator IR; nothing is missing where a check was made; redundancy only in `ptoc check`."""
    flags = sum(site.kind in ("set", "wait") for site in program.sites)
    barriers = sum(site.kind == "barrier" for site in program.sites)
    return {"flags": flags, "barriers": barriers, "missing": 0 if checked else None, "redundant": None}


def describe_faults(report: SyncReport) -> list[str]:
    """One line for each missing order, misuse and deadlock."""
    lines = [str(m) for m in report.missing] + list(report.misuse)
    return lines + ([report.deadlock] if report.deadlock else [])


def check_compiled(
    source: Source, chip: Chip, definitions: dict[str, Any], case: str | None, cores: int | None, inputs: dict[str, np.ndarray], sync: str
) -> SyncReport:
    """See api.check.  A unit is redundant only if no declared case of the same compiled kernel needs it."""
    prepared = prepare(source, chip, definitions, case, cores, inputs, sync)
    report = check(prepared.program, needs_barrier, redundancy=True)
    return over_cases(report, prepared.program, other_cases(prepared)) if source.kernel is not None else report


def other_cases(prepared: Prepared) -> Iterator[Program]:
    """Programs of the kernel's declared cases that the same compilation serves, smallest first."""
    kernel, chip = prepared.compiled.kernel, prepared.compiled.chip
    found = []
    for name in kernel.cases:
        values = kernel_values(kernel, name, {})
        if all(values[k] == prepared.values[k] for k in kernel.parameters) and values != prepared.values:
            found.append(values)
    for values in sorted(found, key=lambda v: [v[n] for n in kernel.sizes]):
        blocks = _blocks(kernel, values, None, chip)
        arguments = _kernel_arguments(prepared.compiled, values, {}, blocks)
        yield elaborate(prepared.compiled.simulator_ir, prepared.compiled.name, _extents(arguments), blocks, _integers(arguments))


def _integers(arguments: Arguments) -> dict[str, np.ndarray]:
    """Input tensors of integers: what control and addresses may depend on."""
    return {n: a for n, a in arguments.arrays.items() if a.dtype.kind in "iu" and n not in arguments.outputs}
