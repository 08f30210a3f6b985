"""Numbers that are known at run time: affine forms over loop variables, sizes and ids, and conditions on them."""

from typing import Union

from ptoc.dialect.dtypes import DType, to_mlir
from ptoc.dialect.mlir import arith, ir

from .builder import constant, fail, location

Number = Union[int, "Index"]


class Index:
    """const + sum(coefficient * atom): an integer of the kernel; atoms are MLIR values of index type.

    Affine arithmetic is folded (so that `(i + 1) * 64 - i * 64` is the number 64); anything else becomes a new atom.
    """

    __slots__ = ("const", "terms")

    def __init__(self, terms: dict[ir.Value, int], const: int = 0) -> None:
        self.terms, self.const = terms, const

    @staticmethod
    def of(value: Number) -> "Index":
        """An Index of a Python integer or of an Index."""
        if isinstance(value, Index):
            return value
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise fail(f"an integer of the kernel is expected; got {value!r}")
        return Index({}, value.__index__())

    def simplified(self) -> Number:
        """The Python integer where nothing is left to be known at run time."""
        return self if self.terms else self.const

    def value(self) -> ir.Value:
        """The MLIR value: multiplies and adds as needed."""
        total: ir.Value | None = None
        for atom, factor in self.terms.items():
            part = atom if factor == 1 else arith.muli(atom, constant(factor), loc=location())
            total = part if total is None else arith.addi(total, part, loc=location())
        if total is None:
            return constant(self.const)
        return arith.addi(total, constant(self.const), loc=location()) if self.const else total

    def as_scalar(self, dtype: DType) -> ir.Value:
        """The number in an element type, for an op between a tile and a number."""
        wide = arith.index_cast(ir.IntegerType.get_signless(64), self.value(), loc=location())
        if dtype.is_float:
            return arith.sitofp(to_mlir(dtype), wide, loc=location())
        narrow = ir.IntegerType.get_signless(dtype.bytes * 8)
        return wide if dtype.bytes == 8 else arith.trunci(narrow, wide, loc=location())

    def _combine(self, other: Number, sign: int) -> Number:
        if not isinstance(other, int | Index):
            return NotImplemented
        other, terms = Index.of(other), dict(self.terms)
        for atom, factor in other.terms.items():
            terms[atom] = terms.get(atom, 0) + sign * factor
        return Index({a: f for a, f in terms.items() if f}, self.const + sign * other.const).simplified()

    def __add__(self, other: Number) -> Number:
        return self._combine(other, 1)

    __radd__ = __add__

    def __sub__(self, other: Number) -> Number:
        return self._combine(other, -1)

    def __rsub__(self, other: Number) -> Number:
        return Index.of(other) - self

    def __neg__(self) -> Number:
        return 0 - self

    def __mul__(self, other: Number) -> Number:
        other = Index.of(other)
        scale, form = (self, other) if not self.terms else (other, self)
        if not scale.terms:
            return Index({a: f * scale.const for a, f in form.terms.items() if scale.const}, form.const * scale.const).simplified()
        return _atom(arith.muli(self.value(), other.value(), loc=location()))

    __rmul__ = __mul__

    def __floordiv__(self, other: Number) -> Number:
        return _binary(arith.floordivsi, self, other, lambda a, b: a // b)

    def __rfloordiv__(self, other: Number) -> Number:
        return _binary(arith.floordivsi, other, self, lambda a, b: a // b)

    def __mod__(self, other: Number) -> Number:
        return _binary(arith.remsi, self, other, lambda a, b: a % b)

    def __rmod__(self, other: Number) -> Number:
        return _binary(arith.remsi, other, self, lambda a, b: a % b)

    def __lt__(self, other: Number) -> "Condition":
        return compare("slt", self, other)

    def __le__(self, other: Number) -> "Condition":
        return compare("sle", self, other)

    def __gt__(self, other: Number) -> "Condition":
        return compare("sgt", self, other)

    def __ge__(self, other: Number) -> "Condition":
        return compare("sge", self, other)

    def __eq__(self, other: object) -> "Condition":  # type: ignore[override]
        return compare("eq", self, other)

    def __ne__(self, other: object) -> "Condition":  # type: ignore[override]
        return compare("ne", self, other)

    def __repr__(self) -> str:
        return "<a number known at run time>"

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise fail("a number that is known at run time cannot decide a Python 'if'; use 'with ptoc.when(condition):'")

    def __index__(self) -> int:
        raise fail("a number that is known at run time cannot be a Python integer; for a loop use 'for i in ptoc.range(n):'")


class Condition:
    """A truth value that is known at run time."""

    __slots__ = ("value",)

    def __init__(self, value: ir.Value) -> None:
        self.value = value

    def __and__(self, other: "Condition") -> "Condition":
        return Condition(arith.andi(self.value, _truth(other), loc=location()))

    def __or__(self, other: "Condition") -> "Condition":
        return Condition(arith.ori(self.value, _truth(other), loc=location()))

    def __invert__(self) -> "Condition":
        return Condition(arith.xori(self.value, _truth(True), loc=location()))

    def __bool__(self) -> bool:
        raise fail("a condition that is known at run time cannot decide a Python 'if'; use 'with ptoc.when(condition):'")


PREDICATES = {"eq": 0, "ne": 1, "slt": 2, "sle": 3, "sgt": 4, "sge": 5}
"""Numbers of arith.cmpi's predicates.  Source: MLIR, Arith dialect."""


def compare(predicate: str, left: Number, right: Number) -> Condition:
    """left <predicate> right."""
    return Condition(arith.cmpi(PREDICATES[predicate], Index.of(left).value(), Index.of(right).value(), loc=location()))


def minimum(*values: Number) -> Number:
    """The smallest of some integers of the kernel."""
    return _fold(arith.minsi, values, min)


def maximum(*values: Number) -> Number:
    """The largest of some integers of the kernel."""
    return _fold(arith.maxsi, values, max)


def ceil_div(value: Number, divisor: Number) -> Number:
    """value / divisor, rounded up; both positive."""
    return (value + divisor - 1) // divisor


def _fold(op: object, values: tuple[Number, ...], python: object) -> Number:
    result = values[0]
    for value in values[1:]:
        result = _binary(op, result, value, python)
    return result


def _binary(op: object, left: Number, right: Number, python: object) -> Number:
    if isinstance(left, int) and isinstance(right, int):
        return python(left, right)
    left, right = Index.of(left), Index.of(right)
    return _atom(op(left.value(), right.value(), loc=location()))


def _atom(value: ir.Value) -> Index:
    return Index({value: 1})


def _truth(value: Union["Condition", bool]) -> ir.Value:
    if isinstance(value, Condition):
        return value.value
    return arith.constant(ir.IntegerType.get_signless(1), int(value), loc=location())
