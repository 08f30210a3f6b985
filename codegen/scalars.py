"""Scalar types, constants and arithmetic of the arith dialect as C++ expressions."""

import math
import re

from ptoc.dialect import types as t
from ptoc.dialect.dtypes import DType
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir

from .writer import Writer, source_of

INTEGERS = {"index": "int64_t", "i64": "int64_t", "i32": "int32_t", "i16": "int16_t", "i8": "int8_t", "i1": "bool"}
"""C++ type of an integer by its MLIR type; offsets into global memory are 64-bit because `index` is."""

BINARY = {
    "addi": "{0} + {1}",
    "subi": "{0} - {1}",
    "muli": "{0} * {1}",
    "divsi": "{0} / {1}",
    "remsi": "{0} % {1}",
    "andi": "{0} & {1}",
    "ori": "{0} | {1}",
    "xori": "{0} ^ {1}",
    "shli": "{0} << {1}",
    "shrsi": "{0} >> {1}",
    "divui": "({u}){0} / ({u}){1}",
    "remui": "({u}){0} % ({u}){1}",
    "shrui": "({u}){0} >> {1}",
    "floordivsi": "floor_div<{t}>({0}, {1})",
    "ceildivsi": "ceil_div<{t}>({0}, {1})",
    "ceildivui": "ceil_div<{u}>({0}, {1})",
    "minsi": "{0} < {1} ? {0} : {1}",
    "maxsi": "{0} > {1} ? {0} : {1}",
    "minui": "({u}){0} < ({u}){1} ? {0} : {1}",
    "maxui": "({u}){0} > ({u}){1} ? {0} : {1}",
    "addf": "{0} + {1}",
    "subf": "{0} - {1}",
    "mulf": "{0} * {1}",
    "divf": "{0} / {1}",
    "negf": "-{0}",
    "maximumf": "{0} > {1} ? {0} : {1}",
    "minimumf": "{0} < {1} ? {0} : {1}",
    "maxnumf": "{0} > {1} ? {0} : {1}",
    "minnumf": "{0} < {1} ? {0} : {1}",
    "select": "{0} ? {1} : {2}",
    "index_cast": "{0}",
    "index_castui": "({u}){0}",
    "extsi": "{0}",
    "extui": "({u}){0}",
    "trunci": "{0}",
    "sitofp": "{0}",
    "uitofp": "({u}){0}",
    "fptosi": "{0}",
    "fptoui": "{0}",
    "extf": "{0}",
    "truncf": "{0}",
}
"""C++ expression by op of the arith dialect; {t} is the type of the first operand, {u} its unsigned counterpart."""

CASTS = frozenset({"index_cast", "index_castui", "extsi", "trunci"})
"""Conversions of integers; one that does not change the C++ type prints nothing."""

COMPARE = ("==", "!=", "<", "<=", ">", ">=", "<", "<=", ">", ">=")
"""Operator by number of an integer predicate; the last four compare as unsigned numbers.  Source: MLIR arith.cmpi."""

COMPARE_FLOAT = {1: "==", 2: ">", 3: ">=", 4: "<", 5: "<=", 8: "==", 9: ">", 10: ">=", 11: "<", 12: "<=", 13: "!=", 6: "!="}
"""Operator by number of a float predicate; ordered and unordered ones alike but for NaN.  Source: MLIR arith.cmpf."""

HELPERS = {
    "floor_div": "a / b - ((a % b != 0) && ((a < 0) != (b < 0)))",
    "ceil_div": "a / b + ((a % b != 0) && ((a < 0) == (b < 0)))",
}
"""Bodies of the division functions that C++ lacks: rounded down, rounded up."""


def cpp_type(type_: ir.Type) -> str:
    """C++ type of a scalar or pointer.  Raises NotSupportedError for other types."""
    record = t.of(type_)
    if isinstance(record, t.Ptr):
        return f"__gm__ {record.dtype.cpp}*"
    if str(type_) in INTEGERS:
        return INTEGERS[str(type_)]
    if isinstance(record, DType):
        return record.cpp
    if str(type_) == "vector<4xi16>":
        return "MrgSortExecutedNumList"
    if isinstance(type_, ir.MemRefType):
        return f"__gm__ {cpp_type(type_.element_type)}*"
    raise NotSupportedError(f"type {type_} has no C++ form as a value")


def literal(attr: ir.Attribute) -> str:
    """A constant as C++ text.  Raises NotSupportedError for dense constants."""
    if isinstance(attr, ir.BoolAttr) or (isinstance(attr, ir.IntegerAttr) and str(attr.type) == "i1"):
        return "true" if attr.value else "false"
    if isinstance(attr, ir.IntegerAttr):
        text = f"{attr.value}" if -(2**31) < attr.value < 2**31 else f"{attr.value}LL"
        return text if attr.value >= 0 else f"({text})"
    if isinstance(attr, ir.FloatAttr):
        text = float_literal(attr.value)
        return text if str(attr.type) == "f32" else f"({cpp_type(attr.type)}){text}"
    if isinstance(attr, ir.DenseIntElementsAttr) and str(attr.type) == "vector<4xi16>":
        return f"MrgSortExecutedNumList{{{', '.join(str(n) for n in attr)}}}"
    raise NotSupportedError(f"constant {attr} has no C++ form")


def float_literal(value: float) -> str:
    """A number as a C++ `float` literal."""
    if math.isinf(value):
        return "__builtin_inff()" if value > 0 else "(-__builtin_inff())"
    if math.isnan(value):
        return '__builtin_nanf("")'
    text = f"{value!r}f"
    return text if value >= 0 else f"({text})"


def emit_arith(op: ir.OpView, w: Writer) -> None:
    """One arith op: a constant becomes a literal where it is used, any other op a `const` variable."""
    name = op.operation.name.removeprefix("arith.")
    result = op.operation.results[0]
    if name == "constant":
        w.expressions[result] = literal(op.operation.attributes["value"])
        return
    if name in CASTS and _same_type(op):
        w.expressions[result] = w.of(op.operation.operands[0])
        return
    text = _expression(name, op, w)
    for helper in HELPERS:
        if text.startswith(helper):
            w.helpers.add(helper)
    # Declared with its type, so that the value wraps and rounds as in the IR.
    kind = cpp_type(result.type)
    w.line(f"const {kind} {w.number(result)} = {text};", op)


def _same_type(op: ir.OpView) -> bool:
    return cpp_type(op.operation.operands[0].type) == cpp_type(op.operation.results[0].type)


def _expression(name: str, op: ir.OpView, w: Writer) -> str:
    operands = list(op.operation.operands)
    values = [w.of(v) for v in operands]
    if name in ("cmpi", "cmpf"):
        return _comparison(name, op, operands, values)
    if name not in BINARY:
        raise NotSupportedError(f"'arith.{name}' has no C++ form", source_of(op))
    kind = cpp_type(operands[0].type)
    if all(re.fullmatch(r"\(?-?\d+\)?", value) for value in values):
        values[0] = f"({kind}){values[0]}"  # two plain literals would be computed in 32 bits
    return BINARY[name].format(*values, t=kind, u=_unsigned(operands[0].type))


def _comparison(name: str, op: ir.OpView, operands: list[ir.Value], values: list[str]) -> str:
    predicate = int(ir.IntegerAttr(op.operation.attributes["predicate"]).value)
    if name == "cmpf":
        if predicate not in COMPARE_FLOAT:
            raise NotSupportedError(f"'arith.cmpf' with predicate {predicate} has no C++ form", source_of(op))
        return f"{values[0]} {COMPARE_FLOAT[predicate]} {values[1]}"
    cast = f"({_unsigned(operands[0].type)})" if predicate > 5 else ""
    return f"{cast}{values[0]} {COMPARE[predicate]} {cast}{values[1]}"


def _unsigned(type_: ir.Type) -> str:
    kind = INTEGERS.get(str(type_), "uint64_t")
    return kind if kind == "bool" else "u" + kind.removeprefix("u")
