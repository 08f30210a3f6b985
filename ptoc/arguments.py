"""Arguments of a run: sizes and parameters from cases and -D, seeded inputs, extents of foreign files' tensors."""

import inspect
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptoc.dialect.dtypes import DTYPES, DType
from ptoc.dialect.errors import ArgumentError, PtocError

if TYPE_CHECKING:
    from ptoc.frontend import Kernel
    from ptoc.machine.chip import Chip


@dataclass
class Arguments:
    """What a kernel is run with: numbers by name, arrays by tensor name (inputs and, zeroed, outputs), and the blocks to launch.

    `updated`: outputs whose contents before the run matter, since the kernel reads them too.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    blocks: int = 1
    updated: tuple[str, ...] = ()


def parse_definitions(texts: tuple[str, ...]) -> dict[str, str]:
    """`-D name=value` texts by name.  Raises ArgumentError for one without '='."""
    result = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise ArgumentError(f"-D {text}: NAME=VALUE is expected")
        result[name] = value
    return result


def number(name: str, text: str, like: Any = 0) -> Any:
    """A value given as text, of the kind of `like`.  Raises ArgumentError."""
    if isinstance(like, str):
        return text
    try:
        if isinstance(like, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return float(text) if isinstance(like, float) else int(text)
    except (ValueError, KeyError):
        kind = "true or false" if isinstance(like, bool) else "a number" if isinstance(like, float) else "an integer"
        raise ArgumentError(f"-D {name}={text}: {kind} is expected") from None


NO_CASE = ""
"""Instead of a case's name: a run to which no case gives anything."""


def kernel_values(kernel: "Kernel", case: str | None, definitions: dict[str, Any], chip: "Chip") -> dict[str, Any]:
    """Sizes and parameters of a run of a Python kernel: the case's (the first one's where none is named, nobody's for NO_CASE), overridden by definitions.

    The kernel's specialize function gets them, and by the names `aic`, `aiv` and `given`, where it asks for them, the chip's cores and
    the names that case and definitions give.

    Raises: ArgumentError for an unknown case or name, a missing size, or one that is no positive whole number.
    """
    if case not in (None, NO_CASE) and case not in kernel.cases:
        raise ArgumentError(f"kernel {kernel.name} has no case '{case}'; cases: {', '.join(kernel.cases) or 'none'}")
    chosen = {} if case == NO_CASE else kernel.cases[case] if case is not None else next(iter(kernel.cases.values()), {})
    values = {**kernel.parameters, **chosen}
    for name, value in definitions.items():
        if name not in kernel.sizes and name not in kernel.parameters:
            known = ", ".join((*kernel.sizes, *kernel.parameters))
            raise ArgumentError(f"kernel {kernel.name} has no size or parameter '{name}'; known: {known}")
        values[name] = number(name, value, kernel.parameters.get(name, 0)) if isinstance(value, str) else value
    for name in kernel.sizes:
        if name not in values:
            raise ArgumentError(f"kernel {kernel.name}: size '{name}' is missing; give it as -D {name}=VALUE")
        if not isinstance(values[name], int | np.integer):
            raise ArgumentError(f"kernel {kernel.name}: size '{name}' must be a whole number; got {values[name]!r}")
        values[name] = int(values[name])
        if values[name] < 1:
            raise ArgumentError(f"kernel {kernel.name}: size '{name}' must be at least 1; got {values[name]}")
    if kernel.specialize_function is not None:
        given = {*definitions, *chosen}
        more = {"aic": chip.cores("aic"), "aiv": chip.cores("aiv"), "given": given}
        asked = inspect.signature(kernel.specialize_function).parameters
        derived = called(kernel, "specialize", kernel.specialize_function, **values, **{n: v for n, v in more.items() if n in asked})
        values |= {n: v for n, v in derived.items() if n not in given}
    return values


def called(kernel: "Kernel", role: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a kernel's own function (its reference, cores, flops, inputs, specialize) returns; its errors become an ArgumentError."""
    try:
        return function(*args, **kwargs)
    except (PtocError, MemoryError):
        raise
    except Exception as error:
        place, trace = "", error.__traceback__
        if code := getattr(function, "__code__", None):
            line = code.co_firstlineno
            while trace:
                line = trace.tb_lineno if trace.tb_frame.f_code is code else line
                trace = trace.tb_next
            place = f"{Path(code.co_filename).name}:{line}"
        given = ", ".join(f"{n}={v}" for n, v in kwargs.items() if isinstance(v, int | float | str))
        message = f"kernel {kernel.name}: its {role} function fails for {given or 'these inputs'}: {type(error).__name__}: {error}"
        raise ArgumentError(message, place) from error


def kernel_inputs(kernel: "Kernel", values: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded inputs of a kernel, by tensor name: normal data for floats, small integers else."""
    rng = np.random.default_rng(seed)
    tensors = kernel.bound(values)
    shapes = {n: kernel.shape(n, values) for n, spec in tensors.items() if not spec.output}
    if kernel.inputs_function is not None:
        given = called(kernel, "inputs", kernel.inputs_function, rng, **values)
        return {n: np.ascontiguousarray(given[n], dtype=tensors[n].dtype.numpy) for n in shapes}
    return {n: random_array(rng, shape, tensors[n].dtype) for n, shape in shapes.items()}


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    """Normal data for floats, integers of 0 to 15 else."""
    if dtype.is_float:
        return rng.standard_normal(shape, dtype=np.float32).astype(dtype.numpy)
    return rng.integers(0, 16, shape).astype(dtype.numpy)


def foreign_array(name: str, text: str, seed: int) -> np.ndarray:
    """A tensor given as `-D name=shape:dtype` (seeded random) or `-D name=FILE.npy`.  Raises ArgumentError."""
    if text.endswith(".npy"):
        path = Path(text)
        if not path.is_file():
            raise ArgumentError(f"-D {name}={text}: no such file")
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ArgumentError(f"-D {name}={text}: not a numpy file: {error}") from None
        if not isinstance(array, np.ndarray):
            array.close()
            raise ArgumentError(f"-D {name}={text}: not a numpy file of one array, but an archive of several")
        return array
    shape, _, dtype = text.partition(":")
    if dtype not in DTYPES or not all(n.isdigit() and int(n) for n in shape.split("x")):
        raise ArgumentError(f"-D {name}={text}: SHAPE:DTYPE such as 128x64:f16, or a .npy file, is expected")
    extents = tuple(int(n) for n in shape.split("x"))
    refuse_huge(name, extents, DTYPES[dtype])
    return random_array(seeded(name, seed), extents, DTYPES[dtype])


LARGEST_TENSOR_BYTES = 1 << 34
"""Most that one tensor of a simulated run may take: runs keep tensors in the memory of this machine."""


def refuse_huge(name: str, shape: tuple[int, ...], dtype: DType) -> None:
    """Raises ArgumentError for a tensor that no run here could hold."""
    size = math.prod(shape) * dtype.bytes
    if size > LARGEST_TENSOR_BYTES:
        raise ArgumentError(f"tensor '{name}' of {'x'.join(map(str, shape))} would take {size} bytes; a run takes at most {LARGEST_TENSOR_BYTES} for one tensor")


def seeded(name: str, seed: int) -> np.random.Generator:
    """A generator that depends on the tensor's name and the seed alone."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
