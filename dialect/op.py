"""What every op of the pto dialect states about itself, and the registry of all of them.

An op is one class; its operands are annotated fields (optional ones last), its facts plain class attributes.  Consumers read an
instance once with `record(op)` into plain Python and ask its class for facts; they never name ops.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ptoc.machine.work import WorkItem

from . import types as t
from .layout import Ref
from .mlir import ir

REGISTRY: dict[str, type["PtoOp"]] = {}
"""Op classes by full inner name (`pto.tmatmul_acc`)."""


@dataclass(frozen=True)
class Record:
    """An op instance as plain Python.

    `operands`: name to Value (a list for variadic ones, absent optional ones left out); `types`: name to type record, results included;
    `attributes`: name to Python value.
    """

    op: ir.Operation
    cls: type["PtoOp"]
    operands: dict[str, Any]
    results: dict[str, ir.Value]
    types: dict[str, Any]
    attributes: dict[str, Any]

    @property
    def location(self) -> str:
        """file:line of the user's source."""
        return location_of(self.op)

    def tile(self, name: str) -> t.Tile:
        """The tile type of an operand or result."""
        return self.types[name]


class PtoOp(t.Pto.Operation):
    """Base of all ops.  Facts with their defaults; a family or an op overrides what differs.

    spelling   name in text, where it has dots (`pto.tmatmul.acc`)
    format     assembly format in MLIR's declarative mini-language, or a tuple of them: the first that fits is taken
    operand_types, result_types   types that the format does not spell, by name: text, or a function of the spelled types' records (else index)
    enums      attributes that may be written as `<VALUE>` alone: name to the attribute's mnemonic ({"src_pipe": "pipe"})
    pipe       the engine: V M MTE1 MTE2 MTE3 FIX S SDMA, a link, or "" for ops that issue no command; `pipe_of` where it depends on the operands
    reads      names of operands whose data is read;  writes: names of those written (an accumulator is in both)
    sampled    operands of which only some elements are touched, which ones is known at run time only: they count whole for order, not for the L2
    only_writes  whether its writes are all that it does, so that it may go where nobody reads them, and run once where nothing changes
    neutral    the `scalar` that makes dst a copy of src, bit for bit but for signalling NaNs, by kind of element: {"float": -0.0, "int": 0}
    plain_copy whether it is the op that copies a tile, and does nothing else where its operands are src and dst alone
    spread     "row": dst holds src's first column in every column; "column": src's first row in every row
    fused      (spread, op class): it is that op with one source spread first, which `expanded` names
    cpp        C++ call: {name} operand, {name.type} its C++ type, {name.dtype} element type, {name.variable} a variable that holds it,
               {attribute} its C++ spelling, {name|text} text where absent, [...] left out where a hole in it is absent (codegen/calls.py)
    internals  what the library does inside: scratch bytes from 184 KiB ("ub_scratch"), event ids it uses ("event_ids": (pipe, pipe, id)), "drained" if it ends with PIPE_V
    """

    spelling = ""
    format = ""
    operand_types = {}
    result_types = {}
    enums = {}
    pipe = ""
    reads = ()
    writes = ()
    partial = ()
    sampled = ()
    only_writes = False
    neutral = {}
    plain_copy = False
    spread = ""
    fused = None
    cpp = ""
    internals = {}

    def __init_subclass__(cls, *, name: str | None = None, **kwargs: Any) -> None:
        if name is not None:
            super().__init_subclass__(name=name, **kwargs)
            cls.spelling = cls.__dict__.get("spelling") or f"pto.{name}"
            REGISTRY[f"pto.{name}"] = cls
        else:
            super().__init_subclass__(**kwargs)

    @classmethod
    def operand_names(cls) -> tuple[str, ...]:
        """Operands in storage order."""
        return tuple(f.name for f in cls._fields if type(f).__name__ == "OperandDef")

    @classmethod
    def result_names(cls) -> tuple[str, ...]:
        """Results in order."""
        return tuple(f.name for f in cls._fields if type(f).__name__ == "ResultDef")

    @classmethod
    def segments(cls) -> tuple[str, ...]:
        """Per operand: "single", "optional" or "variadic"."""
        return tuple(f.variadicity.name for f in cls._fields if type(f).__name__ == "OperandDef")

    @classmethod
    def pipe_of(cls, record: Record) -> str:
        """The engine that this instance runs on."""
        return cls.pipe

    @classmethod
    def internals_of(cls, record: Record) -> dict[str, Any]:
        """What the library does inside this instance."""
        return cls.internals

    @classmethod
    def reads_of(cls, record: Record) -> tuple[str, ...]:
        """Operands whose data this instance reads."""
        return cls.reads

    @classmethod
    def attributes_of(cls, record: Record) -> dict[str, Any]:
        """What the meaning needs of this instance's types, beside its attributes."""
        return {}

    @classmethod
    def copied(cls, record: Record) -> str:
        """The operand that dst becomes a copy of, bit for bit; "" where it does not."""
        return ""

    @classmethod
    def undoes(cls, first: Record, second: Record) -> bool:
        """Whether this instance, `second`, makes of what `first` made of a tile that tile again, bit for bit but for signalling NaNs."""
        return False

    @classmethod
    def expanded(cls, record: Record) -> str:
        """The source that is spread, of an op that is `fused`."""
        return ""

    @classmethod
    def scratch_bytes(cls, record: Record) -> int:
        """Bytes that the library needs in `tmp`."""
        return 0

    @classmethod
    def narrow(cls, operands: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
        """The operands with each region cut to what is touched, once offsets are numbers; operands in `partial` are then only written."""
        return operands

    @classmethod
    def rules(cls, record: Record) -> Iterator[str]:
        """Every broken rule, as the text after 'pto.name': what the rule is and what was got."""
        return iter(())

    @staticmethod
    def verify_invariants(op: Any) -> bool:
        """MLIR's hook: reports each broken rule at the op's location.

        A rule may take for granted that operands are there and of the right kinds; where that fails, this is what is reported.
        """
        operation = op.operation if hasattr(op, "operation") else op
        cls = REGISTRY[operation.name]
        try:
            broken = list(cls.rules(record(operation)))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            got = ", ".join(str(value.type) for value in operation.operands)
            broken = [f"operands or attributes are missing or of a wrong kind; got operands ({got})"]
        for message in broken:
            operation.location.emit_error(f"'{cls.spelling}': {message}")
        return not broken

    @classmethod
    def evaluate(cls, values: dict[str, Any], attributes: dict[str, Any]) -> dict[str, np.ndarray]:
        """The op's meaning: arrays of the valid regions by operand name to arrays of the written operands.

        A written operand that is not read comes as an array of the right shape and dtype whose contents mean nothing.
        """
        raise AssertionError(f"{cls.spelling} states no meaning")

    @classmethod
    def work(cls, refs: dict[str, Ref], attributes: dict[str, Any]) -> tuple[WorkItem, ...]:
        """What the op asks of its engine for these regions."""
        raise AssertionError(f"{cls.spelling} states no work")


def record(op: ir.Operation) -> Record:
    """Reads an op of the dialect once into plain Python."""
    cls = REGISTRY[op.name]
    values, segments = list(op.operands), cls.segments()
    attributes = {name: plain(attr) for name, attr in op.attributes.items()}
    sizes = attributes.pop("operandSegmentSizes", None) or [1] * len(segments)
    operands: dict[str, Any] = {}
    types: dict[str, Any] = {}
    at = 0
    for name, segment, size in zip(cls.operand_names(), segments, sizes):
        part = values[at : at + size]
        at += size
        if segment == "variadic":
            operands[name], types[name] = part, [t.of(v.type) for v in part]
        elif part:
            operands[name], types[name] = part[0], t.of(part[0].type)
    results = dict(zip(cls.result_names(), op.results))
    types.update((name, t.of(value.type)) for name, value in results.items())
    return Record(op, cls, operands, results, types, attributes)


def plain(attr: ir.Attribute) -> Any:
    """An attribute as a Python value: number, bool, string, list; dialect attributes as their text."""
    if isinstance(attr, ir.DynamicAttr):
        return ir.StringAttr(attr.params[1]).value
    if isinstance(attr, ir.BoolAttr | ir.IntegerAttr | ir.FloatAttr | ir.StringAttr | ir.FlatSymbolRefAttr):
        return attr.value
    if isinstance(attr, ir.TypeAttr):
        return str(attr.value)
    if isinstance(attr, ir.UnitAttr):
        return True
    if isinstance(attr, ir.DenseI32ArrayAttr | ir.DenseI64ArrayAttr | ir.DenseBoolArrayAttr):
        return list(attr)
    if isinstance(attr, ir.ArrayAttr):
        return [plain(a) for a in attr]
    return str(attr)


def location_of(op: ir.Operation) -> str:
    """file:line of an op; the innermost file location of fused and named ones, "" where there is none."""
    return location_text(op.location)


def location_text(location: ir.Location) -> str:
    """file:line of a location."""
    # Diagnostics hand out locations without their kind.
    location = ir.Location.from_attr(location.attr, location.context)
    if isinstance(location, ir.FileLineColLoc):
        return f"{location.filename}:{location.start_line}"
    if isinstance(location, ir.NameLoc):
        return location_text(location.child_loc)
    if isinstance(location, ir.CallSiteLoc):
        return location_text(location.callee)
    if isinstance(location, ir.FusedLoc):
        texts = [location_text(child) for child in location.locations]
        return next((text for text in texts if text), "")
    return ""
