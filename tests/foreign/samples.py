"""One foreign `.pto` file through everything: read, verified, round trip, C++, simulator, values against numpy, check.

Used by `survey.py` over a checkout and by the tests over our own files.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ptoc.compiled import Compiled, compile_source
from ptoc.dialect import assembly
from ptoc.dialect.errors import PtocError
from ptoc.dialect.mlir import ir
from ptoc.loading import Source
from ptoc.machine.chip import Chip, load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.running import Prepared, meanings, memories_of, prepare, time_program
from ptoc.simulator.check import check
from ptoc.simulator.elaborate import kernel_functions, vector_cores
from ptoc.simulator.execute import execute, execute_adverse

from .formulas import FORMULAS, MORE
from .interpret import Interpreter

STAGES = ("read", "round trip", "C++", "simulated", "values", "check")
CHIPS = {"a3": "ascend910b1", "a5": "ascend950pr"}

TOLERANCE = {"f32": 2e-4, "f16": 4e-3, "bf16": 2e-2}
"""Largest error of a result relative to the largest of its tensor, by element type; integers must be equal."""


@dataclass
class Outcome:
    """What became of a file: the stages that it passed, and why it went no further."""

    name: str
    arch: str = "a3"
    passed: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)
    error: float | None = None

    @property
    def complete(self) -> bool:
        """True where all stages were passed."""
        return self.passed == set(STAGES)


def arch_of(name: str, text: str) -> str:
    """The architecture that a file is for: as its module says, else the `--pto-arch` of its RUN line, else its name."""
    found = re.search(r'pto\.target_arch\s*=\s*"(\w+)"', text) or re.search(r"--pto-arch[= ](\w+)", text)
    said = found[1] if found else "a5" if "_a5" in name else "a3"
    return "a5" if said == "a5" else "a3"


def examine(name: str, text: str, definitions: dict[str, str] | None = None, seed: int = 0) -> Outcome:
    """Takes one file through all stages; a stage that fails leaves the later ones out, but for C++."""
    outcome = Outcome(name, arch_of(name, text))
    source, chip = Source(Path(name).stem, None, text, "pto", name), load_chip(CHIPS[outcome.arch])
    try:
        module = assembly.parse(text, name)
        outcome.passed.add("read")
        _round_trip(module, outcome)
        compiled = compile_source(source, chip)
    except PtocError as error:
        outcome.reasons.append(_short(error))
        return outcome
    try:
        assert compiled.cpp()
        outcome.passed.add("C++")
    except PtocError as error:
        outcome.reasons.append(f"C++: {_short(error)}")
    for number, more in enumerate([definitions or {}, *MORE.get(compiled.name, ())]):
        one = Outcome(name, outcome.arch)
        try:
            _simulate(source, chip, compiled, text, more, seed, one)
        except PtocError as error:
            one.reasons.append(_short(error))
        _join(outcome, one, more if number else {})
    return outcome


def _join(outcome: Outcome, one: Outcome, definitions: dict[str, str]) -> None:
    """Adds what one run found; a stage counts where every run passed it."""
    prefix = "".join(f"{n}={v} " for n, v in definitions.items())
    outcome.reasons += [prefix + reason for reason in one.reasons]
    if definitions:
        outcome.passed -= {stage for stage in STAGES[3:] if stage not in one.passed}
        outcome.error = one.error if outcome.error is None else max(outcome.error, one.error or 0.0)
    else:
        outcome.passed |= one.passed
        outcome.numbers, outcome.error = one.numbers, one.error


def _short(error: Exception) -> str:
    return str(error).split("\n")[0]


def _round_trip(module: ir.Module, outcome: Outcome) -> None:
    text = assembly.to_text(module)
    if assembly.to_text(assembly.parse(text, "again")) == text:
        outcome.passed.add("round trip")
    else:
        outcome.reasons.append("the text of the module does not read back as the same module")


def _simulate(source: Source, chip: Chip, compiled: Compiled, text: str, definitions: dict[str, str], seed: int, outcome: Outcome) -> None:
    if compiled.name not in kernel_functions(compiled.simulator_ir):
        outcome.reasons.append("the kernel issues no command")
        return
    first = prepare(source, chip, definitions, None, None, {}, "insert")
    outcome.numbers = first.arguments.numbers
    arrays = inputs(first, seed)
    numbers = {n: str(v) for n, v in first.arguments.numbers.items()}
    prepared = prepare(source, chip, definitions | numbers, None, None, {n: a.copy() for n, a in arrays.items()}, "insert")
    report = check(prepared.program, needs_barrier)
    if report.ok:
        outcome.passed.add("check")
    else:
        outcome.reasons += [str(m) for m in report.missing[:1]] + list(report.misuse[:1]) + ([report.deadlock] if report.deadlock else [])
    timeline, memories = time_program(prepared.program, chip), memories_of(prepared)
    execute(prepared.program, timeline, memories, meanings(), needs_barrier)
    outcome.passed.add("simulated")
    got = _outputs(prepared, memories)
    if report.ok:
        again = memories_of(prepared)
        execute_adverse(prepared.program, again, meanings(), needs_barrier)
        if any(got[n].tobytes() != a.tobytes() for n, a in _outputs(prepared, again).items()):
            outcome.reasons.append("results differ in another order that the synchronisation allows")
            return
    _compare(source, compiled, text, prepared, arrays, got, outcome)


def inputs(prepared: Prepared, seed: int) -> dict[str, np.ndarray]:
    """Positive data of size about one for floats, so that roots and quotients are defined; small integers else."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, array in sorted(prepared.arguments.arrays.items()):
        if array.dtype.kind in "iub":
            arrays[name] = rng.integers(0, 4, array.shape).astype(array.dtype)
        else:
            arrays[name] = rng.uniform(0.1, 1.0, array.shape).astype(np.float32).astype(array.dtype)
    return arrays


def _outputs(prepared: Prepared, memories: object) -> dict[str, np.ndarray]:
    arrays = prepared.arguments.arrays
    return {n: memories.array(f"gm:{n}", arrays[n].dtype, arrays[n].shape) for n in prepared.arguments.outputs}


def _compare(source: Source, compiled: Compiled, text: str, prepared: Prepared, arrays: dict, got: dict, outcome: Outcome) -> None:
    """Compares what was stored with our numpy reading of the unscheduled module, and with a formula where there is one."""
    module = assembly.parse(text, source.file)
    names = [*prepared.arguments.arrays, *prepared.arguments.numbers]
    order = _argument_names(compiled)
    outputs = prepared.arguments.outputs
    expected = {n: a.copy() for n, a in arrays.items()}
    for name in outputs:
        if name not in prepared.arguments.updated:
            expected[name][...] = 0
    values = [expected.get(n, prepared.arguments.numbers.get(n)) for n in order]
    assert set(order) == set(names)
    functions = kernel_functions(compiled.simulator_ir)[compiled.name]
    Interpreter(module, expected).run(compiled.name, values, tuple(functions), vector_cores(functions))
    if not outputs:
        outcome.reasons.append("the kernel stores nothing: there is no value to compare")
        return
    outcome.error = max(_error(got[n], expected[n], n, outcome) for n in outputs)
    formula = FORMULAS.get(compiled.name)
    if formula is not None:
        exact = formula({n: np.asarray(a, np.float64) for n, a in arrays.items()}, prepared.arguments.numbers)
        for name, reference in exact.items():
            shown = got[name].reshape(-1)[: reference.size].reshape(reference.shape)
            outcome.error = max(outcome.error, _error(shown, reference, f"{name} (formula)", outcome))
    if not any(reason.startswith("value") for reason in outcome.reasons):
        outcome.passed.add("values")


def _argument_names(compiled: Compiled) -> list[str]:
    function = next(iter(kernel_functions(compiled.simulator_ir)[compiled.name].values()))
    return [a.value for a in function.attributes["sim.arg_names"]] if "sim.arg_names" in function.attributes else []


def _error(got: np.ndarray, expected: np.ndarray, name: str, outcome: Outcome) -> float:
    """Largest difference relative to the largest expected value; a reason where it is too large, or a value is not finite."""
    kind = {2: "f16", 4: "f32"}.get(got.dtype.itemsize, "f32") if got.dtype.name in ("float16", "float32") else got.dtype.name.replace("bfloat16", "bf16")
    a, b = got.astype(np.float64), np.asarray(expected, np.float64)
    if name.endswith("(formula)"):  # NaN where it says nothing
        a, b = a[~np.isnan(b)], b[~np.isnan(b)]
    if not np.isfinite(b).all():
        outcome.reasons.append(f"values of '{name}' are not finite")
        return float("nan")
    error = float(np.max(np.abs(a - b), initial=0.0) / max(np.max(np.abs(b), initial=0.0), 1e-30))
    if not error <= TOLERANCE.get(kind, 0.0):
        outcome.reasons.append(f"values of '{name}' differ by {error:.2g} of the largest")
    return error
