"""Arguments of files that come as text: extents from what the kernel reaches, integers from what their uses admit.

Without a definition a tensor is as large as the views of it reach, and an integer takes its `ptoc.default`, or the largest value that
all its uses as bound, offset or valid size admit; where they admit any, the least that lets the kernel do all that it can.
"""

import re
from typing import Any

import numpy as np

from ptoc.dialect.dtypes import DTYPES, DType
from ptoc.dialect.errors import ArgumentError
from ptoc.dialect.mlir import func, ir
from ptoc.simulator.reach import NotAdmittedError, Reach, Trials

from .arguments import Arguments, foreign_array, random_array, seeded
from .compiled import Compiled

MOST = 1 << 16
"""Largest value that is tried for an integer."""

ROUNDS = 8
"""Most rounds over all integers in which one may still grow because of another."""


def foreign_arguments(compiled: Compiled, definitions: dict[str, Any], blocks: int, inputs: dict[str, np.ndarray]) -> Arguments:
    """Arguments of a kernel that came as text.

    definitions: by argument name a number, `SHAPE:DTYPE`, or a `.npy` file.  inputs: contents of tensors.
    Raises: ArgumentError for an unknown name, a value of the wrong kind, or a tensor that is too small.
    """
    trials = Trials(compiled.simulator_ir, compiled.name)
    known = dict(trials.arguments)
    for name in (*definitions, *inputs):
        if name not in known:
            raise ArgumentError(f"{compiled.name} has no argument '{name}'; arguments: {', '.join(known) or 'none'}")
    kinds = _kinds(compiled)
    given = {n: _number(n, v, kinds[n]) for n, v in definitions.items() if known[n] is None}
    given = {n: v for n, v in _defaults(compiled).items() if n not in given} | given
    arrays = {n: _fitting(n, foreign_array(n, str(definitions[n]), 0), DTYPES[d]) for n, d in known.items() if d and n in definitions}
    arrays |= {n: _fitting(n, np.asarray(inputs[n]), DTYPES[known[n] or "i64"]) for n in inputs}
    numbers = _numbers(trials, {n: kinds[n] for n, dtype in known.items() if dtype is None}, given, blocks)
    reach = _add_arrays(trials, numbers, blocks, arrays, {n: DTYPES[d] for n, d in known.items() if d})
    _check_extents(arrays, reach)
    written = tuple(n for n, dtype in known.items() if dtype and n in reach.written)
    return Arguments(numbers, arrays, written, blocks, tuple(n for n in written if n in reach.read))


def _kinds(compiled: Compiled) -> dict[str, str]:
    """Argument name to its type as text (index, i32, f32)."""
    kernel = next(f for f in _functions(compiled.simulator_ir) if _text(f, "sim.kernel") == compiled.name)
    names = [a.value for a in kernel.attributes["sim.arg_names"]] if "sim.arg_names" in kernel.attributes else []
    return {names[i] if i < len(names) else f"arg{i}": str(type_) for i, type_ in enumerate(kernel.type.inputs)}


def _functions(module: ir.Module) -> list[func.FuncOp]:
    return [op for op in module.body.operations if isinstance(op, func.FuncOp)]


def _text(function: func.FuncOp, key: str) -> str:
    return ir.StringAttr(function.attributes[key]).value if key in function.attributes else ""


def _defaults(compiled: Compiled) -> dict[str, Any]:
    """Values of `ptoc.default` on the arguments of the pto function."""
    if compiled.module is None:
        return {}
    kernel = next(f for f in _functions(compiled.module) if f.name.value == compiled.name)
    defaults = {}
    for name, attributes in zip(_kinds(compiled), kernel.arg_attrs if "arg_attrs" in kernel.attributes else ()):
        if "ptoc.default" in attributes:
            defaults[name] = attributes["ptoc.default"].value
    return defaults


def _number(name: str, value: Any, kind: str) -> Any:
    """A number given as text or as it is, of an MLIR type."""
    floating = not re.fullmatch(r"index|[su]?i\d+", kind)
    if isinstance(value, str):
        text = {"true": "1", "false": "0"}.get(value.lower(), value)
        try:
            value = float(text) if floating else int(text, 0)
        except ValueError:
            what = "a number" if floating else "an integer"
            raise ArgumentError(f"-D {name}={value}: {what} is expected") from None
    if kind == "i1" and value not in (0, 1):
        raise ArgumentError(f"-D {name}={value}: true or false is expected")
    return float(value) if floating else int(value)


def _numbers(trials: Trials, kinds: dict[str, str], given: dict[str, Any], blocks: int) -> dict[str, Any]:
    """All numbers: those given, 1.0 and true for other floats and bits, and what the uses of other integers admit."""
    numbers = {n: given.get(n, 1 if kind == "i1" else 1.0) for n, kind in kinds.items() if n in given or not _is_integer(kind)}
    search = _Search(trials, numbers, [n for n, kind in kinds.items() if n not in numbers], blocks)
    found = search.run()
    return {n: numbers[n] if n in numbers else found[n] for n in kinds}


def _is_integer(kind: str) -> bool:
    return bool(re.fullmatch(r"index|[su]?i\d+", kind)) and kind != "i1"


class _Search:
    """The largest integers that a kernel admits, one after the other; `free`: those that it admits any value of so far."""

    def __init__(self, trials: Trials, fixed: dict[str, Any], names: list[str], blocks: int) -> None:
        self.trials, self.fixed, self.names, self.blocks = trials, fixed, names, blocks
        self.free: set[str] = set()
        self.seen: dict[tuple[int, ...], int | None] = {}

    def run(self) -> dict[str, int]:
        """Value by name."""
        if not self.names:
            return {}
        sizes = [n for n in self.names if n in self.trials.sizes]
        starts = [dict.fromkeys(self.names, 0) | dict.fromkeys(sizes, 1)]
        starts += [dict.fromkeys(self.names, n) for n in (0, 1, *(1 << k for k in range(1, 17)))]
        now = max((start for start in starts if self.amount(start) is not None), key=self.amount, default=starts[-1])
        for _ in range(ROUNDS):
            before = dict(now)
            for name in (*sizes, *(n for n in self.names if n not in sizes)):
                now = self.largest(name, now)
            if now == before:
                break
        for name in sorted(self.free):
            most = now | dict.fromkeys(self.free - {name}, MOST)
            now[name] = self.least(name, most if self.does_more(most, now) else now)
        return now

    def amount(self, numbers: dict[str, int]) -> int | None:
        """How much the kernel does with these integers; None where one of them is not admitted."""
        key = tuple(numbers[n] for n in self.names)
        if key not in self.seen:
            try:
                reach = self.trials.reach({**self.fixed, **numbers}, self.blocks)
                self.seen[key] = reach.commands * 64 + reach.elements
            except (NotAdmittedError, AssertionError, ArithmeticError, ValueError):
                self.seen[key] = None
        return self.seen[key]

    def does_more(self, wanted: dict[str, int], now: dict[str, int]) -> bool:
        """Are integers admitted, and does the kernel do at least what it does now?"""
        amount = self.amount(wanted)
        return amount is not None and amount >= (self.amount(now) or 0)

    def admitted(self, name: str, value: int, now: dict[str, int]) -> dict[str, int] | None:
        """The integers with one at `value`, the free ones at their most if need be; None where that is not admitted or does less."""
        wanted = now | {name: value}
        most = wanted | dict.fromkeys(self.free - {name}, MOST)
        return next((numbers for numbers in (wanted, most) if self.does_more(numbers, now)), None)

    def largest(self, name: str, now: dict[str, int]) -> dict[str, int]:
        """The integers with one at the largest value that is admitted; where any is, at the least that does as much."""
        if self.admitted(name, MOST, now) is not None:
            self.free.add(name)
            return now | {name: self.least(name, now)}
        self.free.discard(name)
        found, low, high = now, now[name], MOST
        while high - low > 1:
            middle = (low + high) // 2
            numbers = self.admitted(name, middle, now)
            low, high, found = (low, middle, found) if numbers is None else (middle, high, numbers)
        return found

    def least(self, name: str, now: dict[str, int]) -> int:
        """The least value with which the kernel does as much as with the most."""
        most = self.amount(now | {name: MOST})
        low, high = -1, MOST
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.amount(now | {name: middle}) == most else (middle, high)
        return high


def _reach(trials: Trials, numbers: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray]) -> Reach:
    def load(pointer: Any, offset: int, dtype: str, site: Any) -> Any:
        array = arrays.get(pointer.name.removeprefix("gm:"))
        at = pointer.offset + offset * DTYPES[dtype].bytes
        data = b"" if array is None else array.tobytes()[at : at + DTYPES[dtype].bytes]
        return np.frombuffer(data, DTYPES[dtype].numpy)[0].item() if data else 0

    try:
        return trials.reach(numbers, blocks, load)
    except NotAdmittedError as error:
        shown = ", ".join(f"{n}={v}" for n, v in numbers.items())
        raise ArgumentError(f"with {shown or 'its constants'} the kernel takes {error}; give other numbers as -D NAME=VALUE") from None


def _add_arrays(trials: Trials, numbers: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray], dtypes: dict[str, DType]) -> Reach:
    """Seeded arrays for the tensors that were not given; those of integers first, since what is reached may depend on them.

    Integers that lead out of a view are replaced by zeros.
    """
    reach = _reach(trials, numbers, blocks, arrays)
    integers = {n: d for n, d in dtypes.items() if n not in arrays and not d.is_float and n in reach.read}
    for name, dtype in integers.items():
        arrays[name] = _seeded(name, dtype, reach)
    try:
        reach = _reach(trials, numbers, blocks, arrays)
    except ArgumentError:
        for name in integers:
            arrays[name] = np.zeros_like(arrays[name])
        reach = _reach(trials, numbers, blocks, arrays)
    for name, dtype in dtypes.items():
        if name not in arrays or (name in integers and arrays[name].nbytes < reach.extents.get(name, 0)):
            arrays[name] = _seeded(name, dtype, reach)
    return _reach(trials, numbers, blocks, arrays) if integers else reach


def _fitting(name: str, array: np.ndarray, dtype: DType) -> np.ndarray:
    """A given array with the tensor's element type.  Raises: ArgumentError where that would lose its meaning."""
    if array.dtype.kind == "V" and array.dtype.itemsize == dtype.numpy.itemsize:
        array = array.view(dtype.numpy)  # numpy files keep the bytes of bf16 and the like, not their name
    elif array.dtype.kind in "cOSUmMV" or (array.dtype.kind == "f" and not dtype.is_float):
        raise ArgumentError(f"-D {name}: the tensor has elements of {dtype}; got {array.dtype}; convert it first")
    return np.ascontiguousarray(array, dtype=dtype.numpy)


def _seeded(name: str, dtype: DType, reach: Reach) -> np.ndarray:
    count = max(1, -(-reach.extents.get(name, 0) // dtype.bytes))
    return random_array(seeded(name, 0), (count,), dtype)


def _check_extents(arrays: dict[str, np.ndarray], reach: Reach) -> None:
    for name, array in arrays.items():
        if array.nbytes < reach.extents.get(name, 0):
            raise ArgumentError(f"'{name}' has {array.nbytes} bytes, the kernel reaches {reach.extents[name]}")
