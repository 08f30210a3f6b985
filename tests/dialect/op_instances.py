"""An op built from a case: inside a verified module, and as regions of memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ptoc.dialect import new_context
from ptoc.dialect import types as t
from ptoc.dialect.errors import VerifyError
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, Record, record

from .op_cases import Case


def class_of(case: Case) -> type:
    """The op class of a case."""
    return next(cls for cls in REGISTRY.values() if cls.spelling == case.op)


@contextmanager
def built(case: Case, arch: str = "") -> Iterator[Record]:
    """The record of the case's op in a module; raises VerifyError with the diagnostics where the op breaks a rule."""
    with new_context() as context, ir.Location.file("case.pto", 1, 1):
        context.allow_unregistered_dialects = True
        module = ir.Module.create()
        if arch:
            module.operation.attributes["pto.target_arch"] = ir.StringAttr.get(arch)
        with ir.InsertionPoint(module.body):
            op = create(case)
        try:
            module.operation.verify()
        except ir.MLIRError as error:
            raise VerifyError("; ".join(d.message for d in error.error_diagnostics)) from None
        yield record(op)


def create(case: Case) -> ir.Operation:
    """The op of a case at the insertion point; its operands are results of unregistered ops."""
    cls = class_of(case)
    types = {name: t.to_mlir(type_) for name, type_ in case.types().items()}
    types |= {name: ir.F32Type.get() if isinstance(value, float) else ir.IndexType.get() for name, value in case.scalars.items()}
    operands, sizes = [], []
    for name, segment in zip(cls.operand_names(), cls.segments()):
        mine = [n for n in types if n == name or (segment == "variadic" and n.rstrip("0123456789") == name)]
        sizes.append(len(mine))
        operands += [ir.Operation.create("test.value", results=[types[n]]).result for n in mine]
    attributes = {name: attribute(value) for name, value in case.attributes.items()}
    if set(cls.segments()) - {"single"}:
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(sizes)
    results = [types[name] for name in cls.result_names()]
    name = next(name for name, other in REGISTRY.items() if other is cls)
    return ir.Operation.create(name, results=results, operands=operands, attributes=attributes)


def attribute(value: Any) -> ir.Attribute:
    """The MLIR attribute of a plain value; text such as "cmp LT" is an attribute of the dialect."""
    if isinstance(value, bool):
        return ir.BoolAttr.get(value)
    if isinstance(value, int):
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(32), value)
    mnemonic, _, text = value.partition(" ")
    return t.attribute(mnemonic, text) if text else ir.StringAttr.get(value)


def refs(case: Case) -> dict[str, TileRef | ViewRef]:
    """The regions of a case's tiles, each at an address of its own; views are dense."""
    result, address = {}, 0
    for name, x in case.types().items():
        if isinstance(x, t.View):
            strides = [1]
            for extent in reversed(x.shape[1:]):
                strides.insert(0, strides[0] * extent)
            result[name] = ViewRef(f"gm:{name}", 0, x.dtype.name, x.shape, tuple(strides))
        else:
            result[name] = TileRef(x.memory, address, x.dtype.name, x.rows, x.cols, x.blayout, x.slayout, x.fractal, 0, 0, x.v_rows, x.v_cols)
            address += x.bytes
    return result


__all__ = ["Record", "built", "class_of", "create", "refs"]
