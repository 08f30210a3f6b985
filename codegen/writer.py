"""The state of one C++ file while it is written: lines, names of values, type aliases, helper functions."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import location_of

_RESERVED = frozenset(
    "alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do double else enum "
    "explicit extern false float for friend goto half if inline int long mutable namespace new not operator or private protected public "
    "register return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using "
    "virtual void volatile while xor block_idx".split()
)
"""Words that no variable may have: keywords of C++, `half`, and a built-in of the NPU compiler."""


@dataclass(frozen=True)
class GmView:
    """A view of global memory before it is a C++ object: pointer expression, extents and strides as numbers or expressions."""

    pointer: str
    dtype: Any
    shape: tuple[int | str, ...]
    strides: tuple[int | str, ...]
    layout: str | None


@dataclass
class Writer:
    """Text of the kernels of one module.

    `expressions`: C++ expression of a value; `addresses`: byte address of a tile; `slots`: address of slot 0 of a multi tile;
    `views`: views of global memory; `types`: C++ type of a view object or pipe; `aliases`: C++ type to its name, in the order of first use; `helpers`: names of helper functions used;
    `kind`: the kind of core whose part is being written, "cube", "vector" or "" for both; `vector_cores`: how many run a vector part.
    """

    chip: Any
    notes: dict[ir.Operation, str]
    lines: list[str] = field(default_factory=list)
    depth: int = 0
    expressions: dict[ir.Value, str] = field(default_factory=dict)
    addresses: dict[ir.Value, int | str] = field(default_factory=dict)
    slots: dict[ir.Value, tuple[int | str, str, str]] = field(default_factory=dict)
    views: dict[ir.Value, GmView] = field(default_factory=dict)
    types: dict[ir.Value, str] = field(default_factory=dict)
    aliases: dict[str, tuple[str, str]] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    kind: str = ""
    vector_cores: int = 2
    numbers: int = 0

    def line(self, text: str, op: Any = None, pipe: str = "", comment: str = "") -> None:
        """One line; with `op` its source line, pipe and note follow as a comment."""
        parts = [comment] if comment else []
        if op is not None:
            parts += [source_of(op).rsplit("/", 1)[-1], pipe, self.notes.get(op.operation, "")]
        remark = ", ".join(part for part in parts if part)
        self.lines.append("    " * self.depth + text + (f"  // {remark}" if remark else ""))

    @contextmanager
    def indented(self) -> Iterator[None]:
        """Lines one level deeper."""
        self.depth += 1
        yield
        self.depth -= 1

    def fresh(self, hint: str) -> str:
        """A variable name that is not taken yet in this function."""
        base = re.sub(r"\W+", "_", hint).strip("_") or "value"
        base = f"v{base}" if base[0].isdigit() else base
        name, number = base, 1
        while name in self.taken or name in _RESERVED:
            number += 1
            name = f"{base}_{number}"
        self.taken.add(name)
        return name

    def name(self, value: ir.Value, hint: str) -> str:
        """Names a value: its name in the source where it has one, else the hint; later uses print this name."""
        name = self.fresh(source_name(value) or hint)
        self.expressions[value] = name
        return name

    def number(self, value: ir.Value) -> str:
        """Names a number: v1, v2, ..., where the source has no name for it."""
        self.numbers += 1
        return self.name(value, f"v{self.numbers}")

    def of(self, value: ir.Value) -> str:
        """The C++ expression of a value."""
        if value not in self.expressions:
            owner = value.owner
            where = source_of(owner) if isinstance(owner, ir.OpView | ir.Operation) else ""
            raise NotSupportedError(f"a value of type {value.type} has no C++ form here", where)
        return self.expressions[value]

    def alias(self, text: str, name: str, comment: str = "") -> str:
        """The name of a C++ type; a second type that asks for the same name gets a number."""
        if text not in self.aliases:
            names = {taken for taken, _ in self.aliases.values()}
            unique, number = name, 1
            while unique in names:
                number += 1
                unique = f"{name}_{number}"
            self.aliases[text] = (unique, comment)
        return self.aliases[text][0]


def origin_of(value: ir.Value, w: Writer) -> str:
    """Name of the argument or pipe that a view or pointer comes from; "" where none is found."""
    owner = value.owner
    if not isinstance(owner, ir.OpView | ir.Operation):
        return w.expressions.get(value, "")
    if owner.operation.name == "pto.declare_global":
        pipes = [use.owner.operation.operands[1] for use in value.uses if use.owner.operation.name in ("pto.talloc", "pto.tpop")]
        return w.expressions.get(pipes[0], "") if pipes else ""
    if owner.operation.name in ("pto.partition_view", "pto.make_tensor_view", "pto.addptr"):
        return origin_of(owner.operation.operands[0], w)
    return ""


def tile_origin(tile: ir.Value, w: Writer) -> str:
    """Name of the argument or pipe that a tile is loaded from or stored to, itself or through its parts; "" where there is none."""
    for use in sorted(tile.uses, key=lambda use: use.owner.operation.name):
        user = use.owner.operation
        views = [v for v in user.operands if isinstance(v.type, ir.DynamicType) and v.type.type_name.endswith("tensor_view")]
        found = next(filter(None, (origin_of(v, w) for v in views)), "")
        if not found and user.name in ("pto.subview", "pto.multi_tile_get"):
            found = tile_origin(user.results[0], w)
        if found:
            return found
    return ""


def constant_of(value: ir.Value) -> int | None:
    """The number behind an integer value that is a constant, through casts; None where it is none."""
    owner = value.owner
    if not isinstance(owner, ir.OpView | ir.Operation):
        return None
    if owner.operation.name == "arith.constant":
        attr = owner.operation.attributes["value"]
        return int(attr.value) if isinstance(attr, ir.IntegerAttr | ir.BoolAttr) else None
    if owner.operation.name in ("arith.index_cast", "arith.extsi"):
        return constant_of(owner.operation.operands[0])
    return None


def source_of(op: Any) -> str:
    """file:line of an op; "" where it has none."""
    return location_of(op.operation)


def source_name(value: ir.Value) -> str:
    """The name that the user gave to a value, kept as a named location; "" where there is none."""
    owner = value.owner
    if not isinstance(owner, ir.OpView | ir.Operation):
        return ""
    location = owner.operation.location
    return location.name_str if isinstance(location, ir.NameLoc) else ""
