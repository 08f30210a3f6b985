"""The C++ of an ordinary op: its class's `cpp` text with the holes filled.

    {x}          an operand's C++ expression, a result's new variable, or an attribute's C++ spelling; variadic operands with commas
    {x.type}     the C++ type of an operand or result
    {x.dtype}    its C++ element type
    {x.variable} a variable that holds the operand: for a parameter that the library takes by reference
    {x|text}     `text` where x is an optional operand or attribute that is absent
    [...]        left out when a hole inside, but one with a default, names something absent

Example: `TROWSUM({dst}, {src}[, {tmp}]);`.
"""

import re
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.dtypes import DType
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record, record

from .scalars import cpp_type, float_literal, literal
from .tiles import tile_type
from .writer import Writer, source_of

HOLE = re.compile(r"\{(\w+)(?:\.(\w+))?(?:\|([^{}]*))?\}")
GROUP = re.compile(r"\[([^\[\]]*\{[^\[\]]*)\]")

SPELLINGS = {
    "round_mode": "RoundMode::CAST_{}",
    "saturation_mode": "SaturationMode::{}",
    "cmp": "CmpMode::{}",
    "layout": "Layout::{}",
    "atomic_type": "AtomicType::{}",
    "relu_pre_mode": "ReluPreMode::{}",
    "st_phase": "STPhase::{}",
    "acc_to_vec_mode": "AccToVecMode::{}",
    "mask_pattern": "MaskPattern::{}",
    "quant_type": "QuantType::{}",
    "gather_oob": "GatherOOB::{}",
    "scatter_atomic_op": "ScatterAtomicOp::{}",
    "scatter_oob": "ScatterOOB::{}",
    "event": "{}",
    "pipe": "{}",
}
"""C++ spelling of an enum attribute by its kind; {} is the name of the value.  Source: pto-isa, include/pto/common/constants.hpp."""

UPPER = frozenset({"cmp", "layout"})
CAMEL = frozenset({"atomic_type", "relu_pre_mode", "st_phase", "acc_to_vec_mode", "gather_oob", "scatter_atomic_op", "scatter_oob"})
"""How the values of an enum are written in C++: all upper case, or the words of the `.pto` text joined."""


def emit_call(op: ir.OpView, w: Writer) -> None:
    """The line or lines of a leaf op.  Raises NotSupportedError for an op without C++ text."""
    rec = record(op.operation)
    if not rec.cls.cpp:
        raise NotSupportedError(f"'{rec.cls.spelling}' has no C++ form: no pass lowers it and the library has no call for it; --emit pto,sim writes what there is", source_of(op))
    for name, result in rec.results.items():
        kind = facet(rec, name, "type", w)
        w.name(result, rec.cls.__name__.lower() if name == "result" else name)
        if not re.search(rf"\{{{name}\.type\}} \{{{name}\}}", rec.cls.cpp):
            w.line(f"{kind} {w.of(result)};")
    pipe = rec.cls.pipe_of(rec)
    w.line(fill(rec, w), op, pipe)


def fill(rec: Record, w: Writer) -> str:
    """The op's C++ text with every hole filled."""
    present = {*rec.operands, *rec.attributes, *rec.results}

    def group(match: re.Match) -> str:
        names = [hole[1] for hole in HOLE.finditer(match[1]) if hole[3] is None]
        return match[1] if all(name in present for name in names) else ""

    def hole(match: re.Match) -> str:
        name, what, default = match.groups()
        if name in present:
            return facet(rec, name, what, w)
        if default is None:
            raise NotSupportedError(f"'{rec.cls.spelling}': C++ needs '{name}', which is not given", source_of(rec.op))
        return default

    return HOLE.sub(hole, GROUP.sub(group, rec.cls.cpp))


def facet(rec: Record, name: str, what: str | None, w: Writer) -> str:
    """What a hole stands for: expression, C++ type or element type of an operand; spelling of an attribute."""
    values = rec.operands.get(name, rec.results.get(name))
    if values is None:
        return spelled(rec.op.attributes[name])
    values = values if isinstance(values, list) else [values]
    if what == "variable":
        return _variable(name, values[0], w)
    if what is None:
        return ", ".join(w.of(value) for value in values)
    types = rec.types[name] if isinstance(rec.types[name], list) else [rec.types[name]]
    kind = _cpp_of_type if what == "type" else _dtype_of_type
    return ", ".join(kind(type_, value, w) for type_, value in zip(types, values))


def _variable(name: str, value: ir.Value, w: Writer) -> str:
    variable = w.fresh(name)
    w.line(f"{cpp_type(value.type)} {variable} = {w.of(value)};")
    return variable


def _cpp_of_type(type_: Any, value: ir.Value, w: Writer) -> str:
    if isinstance(type_, t.Tile):
        return w.types.get(value) or tile_type(type_, w)
    if isinstance(type_, t.View):
        return w.types[value]
    return cpp_type(value.type)


def _dtype_of_type(type_: Any, value: ir.Value, w: Writer) -> str:
    return type_.cpp if isinstance(type_, DType) else type_.dtype.cpp


def spelled(attr: ir.Attribute) -> str:
    """An attribute in C++: numbers and booleans as literals, enums with their C++ type, strings as they are."""
    if isinstance(attr, ir.BoolAttr | ir.IntegerAttr | ir.FloatAttr):
        return literal(attr)
    if isinstance(attr, ir.DynamicAttr):
        mnemonic, text = (ir.StringAttr(p).value for p in attr.params)
        return SPELLINGS.get(mnemonic, "{}").format(_enum(mnemonic, text))
    if isinstance(attr, ir.StringAttr):
        return attr.value
    if isinstance(attr, ir.UnitAttr):
        return "true"
    raise NotSupportedError(f"attribute {attr} has no C++ form")


def spelled_number(value: float | int | bool) -> str:
    """A Python number as a C++ literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return float_literal(value) if isinstance(value, float) else str(value)


def _enum(mnemonic: str, text: str) -> str:
    text = text.removeprefix("CAST_")
    if mnemonic in UPPER:
        return text.upper()
    if (mnemonic in CAMEL and "_" in text) or (text.islower() and mnemonic in CAMEL):
        return "".join(part.capitalize() for part in text.split("_"))
    return text
