"""Numbers that are known at run time only: what the scalar unit reads from tiles and from global memory, and what is computed from it.

A number of an integer tensor that the kernel does not write is known when the program is elaborated; any other is a `Register`, which may
be an operand of a command, but no address, size, flag or condition.
"""

import operator
from collections.abc import Callable
from typing import Any

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.layout import ViewRef

from .program import Site
from .regions import Memory


class Register:
    """A number that a command gives when it runs; `op` and `location` of the command that reads it."""

    __slots__ = ("_compute", "_value", "location", "op")

    def __init__(self, op: str, location: str, compute: Callable[[], Any] | None = None) -> None:
        self.op, self.location = op, location
        self._compute, self._value = compute, None

    def set(self, value: Any) -> None:
        """Takes the number that the command gave."""
        self._value = value.item() if hasattr(value, "item") else value

    def get(self) -> Any:
        """The number, once the command has run."""
        return self._value if self._compute is None else self._compute()

    def __bool__(self) -> bool:
        raise NotSupportedError(f"a condition depends on what '{self.op}' reads at run time", self.location)

    __index__ = __int__ = __float__ = __bool__


def _number(value: Any) -> Any:
    return value.get() if isinstance(value, Register) else value


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Register]:
    def forward(self: Register, other: Any) -> Register:
        return Register(self.op, self.location, lambda: function(_number(self), _number(other)))

    return forward


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Register]:
    return _binary(lambda a, b: function(b, a))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "lshift", "rshift", "and", "or", "xor"):
    setattr(Register, f"__{_name}__", _binary(getattr(operator, f"__{_name}__")))
    setattr(Register, f"__r{_name}__", _reflected(getattr(operator, f"__{_name}__")))
Register.__neg__ = lambda self: Register(self.op, self.location, lambda: -self.get())


def lazily(function: Callable[..., Any], *values: Any) -> Any:
    """function(*values) now, or a register for it where one of the values is known at run time only."""
    unknown = next((value for value in values if isinstance(value, Register)), None)
    if unknown is None:
        return function(*values)
    return Register(unknown.op, unknown.location, lambda: function(*map(_number, values)))


def chosen(condition: Any, yes: Any, no: Any) -> Any:
    """arith.select."""
    return yes if condition else no


COMPARED = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
"""Comparisons by their sign: done when both numbers are known."""

LAZY = {
    **{name: "lazily(min, {0}, {1})" for name in ("minsi", "minui", "minimumf")},
    **{name: "lazily(max, {0}, {1})" for name in ("maxsi", "maxui", "maximumf")},
    "divsi": "lazily(quotient, {0}, {1})", "remsi": "lazily(remainder, {0}, {1})", "select": "lazily(chosen, {0}, {1}, {2})",
    "sitofp": "lazily(float, {0})", "uitofp": "lazily(float, {0})", "fptosi": "lazily(int, {0})",
}  # fmt: skip
"""Arithmetic whose ordinary text cannot take a register; `write_stream` uses it in kernels that fetch numbers."""


def fetched(operands: tuple[tuple[str, Any], ...], reads: tuple[str, ...], written: frozenset[str], load: Callable[..., Any], site: Site) -> Any:
    """What a command gives to the scalar unit: a number of an input of integers, else a register."""
    for name, ref in operands:
        if name in reads and isinstance(ref, ViewRef) and ref.memory not in written and DTYPES[ref.dtype].numpy.kind in "iu":
            return load(Memory(ref.memory, 0), ref.offset, ref.dtype, site)
    return Register(site.op, site.location)


def settled(value: Any, location: str) -> Any:
    """A number for an address, a size, a flag or a condition.  Raises NotSupportedError for a register."""
    if isinstance(value, Register):
        raise NotSupportedError(f"control or an address depends on what '{value.op}' ({value.location}) reads at run time", location)
    return value
