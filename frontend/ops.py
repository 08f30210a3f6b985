"""One function per op of the dialect, destination first: `ptoc.add(dst, a, b)` builds `pto.tadd`.

The functions are derived from the op classes, so an op that is declared is an op that can be written.
"""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from ptoc.dialect import types as t
from ptoc.dialect.dtypes import DType
from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.op import REGISTRY, PtoOp

from .builder import emit, fail, location
from .tile import Tile, View, tile
from .values import Index


def function_names() -> dict[str, str]:
    """Function name to op name: `add` to `pto.tadd`, `matmul_acc` to `pto.tmatmul_acc`."""
    return {name.removeprefix("pto.t"): name for name, cls in REGISTRY.items() if name.startswith("pto.t") and cls.writes}


def op_function(name: str) -> Callable[..., None] | None:
    """The function of that name, None where no op has it."""
    full = function_names().get(name)
    if full is None:
        return None
    cls = REGISTRY[full]

    def build(*args: Any, **kwargs: Any) -> None:
        _build(name, cls, args, kwargs)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = cls.__doc__
    return build


def signature(cls: type[PtoOp]) -> tuple[str, ...]:
    """Operands in the order of the call: written ones first, scratch last."""
    names = cls.operand_names()
    outputs = [n for n in names if n in cls.writes and n != "tmp"]
    return (*outputs, *[n for n in names if n not in outputs and n != "tmp"], *[n for n in names if n == "tmp"])


def _build(name: str, cls: type[PtoOp], args: tuple, kwargs: dict[str, Any]) -> None:
    order = signature(cls)
    if len(args) > len(order):
        raise fail(f"{name}: {len(order)} operands are expected ({', '.join(order)}); got {len(args)}")
    given = dict(zip(order, args))
    attributes = {}
    for key, value in kwargs.items():
        if key in order:
            given[key] = value
        else:
            attributes[key] = _attribute(cls, key, value)
    optional = {n for n, kind in zip(cls.operand_names(), cls.segments()) if kind != "single"}
    if "tmp" in order and given.get("tmp") is None and "tmp" not in optional:
        given["tmp"] = _scratch(given, order)
    missing = [n for n in order if n not in optional and given.get(n) is None]
    if missing:
        raise fail(f"{name}: operand '{missing[0]}' is missing; the call is {name}({', '.join(order)})")
    dtype = next((x.dtype for x in given.values() if isinstance(x, Tile)), None)
    short = full_name(cls)
    emit(short, {key: _operand(cls, name, key, value, dtype) for key, value in given.items()}, (), attributes)


def full_name(cls: type[PtoOp]) -> str:
    """The op's inner name without the dialect's prefix."""
    return next(name for name, c in REGISTRY.items() if c is cls).removeprefix("pto.")


def _scratch(given: dict[str, Any], order: tuple[str, ...]) -> Tile:
    """A scratch tile like the first source."""
    model = next(given[n] for n in order[1:] if isinstance(given.get(n), Tile))
    return tile((model.type.rows, model.type.cols), model.dtype, model.type.loc)


def _operand(cls: type[PtoOp], name: str, key: str, value: Any, dtype: DType | None) -> Any:
    if isinstance(value, numbers.Number) and not isinstance(value, bool) and key in (*cls.reads, *cls.writes):
        other = f"; with a number: {name}s" if f"{name}s" in function_names() else ""
        raise fail(f"{name}: {key} must be a tile or a view; got {value!r}{other}")
    if isinstance(value, np.floating | np.integer):
        value = value.item()
    if isinstance(value, Tile | View) and key in getattr(cls, "numbers", ()):
        other = f"; with a tile: {name[:-1]}" if name[:-1] in function_names() else ""
        raise fail(f"{name}: {key} must be a number; got {value!r}{other}")
    if isinstance(value, Tile | View):
        return value.value
    if isinstance(value, Index):
        return value.as_scalar(dtype) if key == "scalar" and dtype is not None else value.value()
    if isinstance(value, ir.Value):
        return value
    if isinstance(value, list | tuple):
        return [_operand(cls, name, key, v, dtype) for v in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if key in getattr(cls, "scalars", {}):
            return scalar(value, cls.scalars[key])
        if key.lower().startswith(("index", "offset")) or dtype is None:
            return Index.of(value).value()
        return scalar(value, dtype)
    if value is None:
        return None
    raise fail(f"{name}: {key} must be a tile, a view or a number; got {value!r}")


def scalar(value: int | float, dtype: DType) -> ir.Value:
    """A constant of an element type."""
    type_ = t.to_mlir(dtype)
    if not dtype.is_float:
        bits = dtype.bytes * 8
        if int(value) != value or not -(1 << (bits - 1)) <= value < 1 << bits:
            raise fail(f"{value} is no number of {dtype}: an integer of {bits} bits is expected")
        type_ = ir.IntegerType.get_signless(bits)
        return arith.constant(type_, int(value), loc=location())
    return arith.constant(type_, float(value), loc=location())


def _attribute(cls: type[PtoOp], key: str, value: Any) -> ir.Attribute:
    if isinstance(value, bool):
        return ir.BoolAttr.get(value)
    if isinstance(value, int):
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(32), value)
    if isinstance(value, str):
        kinds = getattr(cls, "enums", {})
        if key not in kinds:
            known = ", ".join(kinds) or "none"
            raise fail(f"{cls.spelling} has no attribute '{key}'; known: {known}")
        return t.attribute(kinds[key], value)
    raise fail(f"attribute '{key}' must be a bool, an integer or a string; got {value!r}")
