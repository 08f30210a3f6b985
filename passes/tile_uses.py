"""Who reads and who writes each tile and each piece of global memory of a function, through all views; and building ops of the dialect."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, PtoOp, Record, record
from ptoc.dialect.ops.scalar_access import SetValidShape
from ptoc.dialect.ops.structure import AllocMultiTile, AllocTile

from .cross_values import VIEWS, walk


@dataclass
class Users:
    """Records that read, that write, and that set the valid size of a tile (or view, or pointer); `others`: ops of which nothing is known."""

    readers: list[Record] = field(default_factory=list)
    writers: list[Record] = field(default_factory=list)
    sizers: list[Record] = field(default_factory=list)
    others: list[ir.Operation] = field(default_factory=list)


class TileUses:
    """The uses in one function.  A tile or pointer counts by what its views come from: an alloc, an argument, or the op that made it."""

    def __init__(self, function: ir.Operation) -> None:
        self.function = function
        self.records: list[Record] = []
        self.views: dict[ir.Value, list[ir.Operation]] = {}
        self.users: dict[ir.Value, Users] = {}
        self._roots: dict[ir.Value, ir.Value] = {}
        for op in walk(function):
            if op != function:
                self._read(op)

    def root(self, value: ir.Value) -> ir.Value:
        """What a value is a view of: itself where it is no view."""
        if value not in self._roots:
            owner = value.owner
            made = None if isinstance(owner, ir.Block) else owner.operation
            is_view = made is not None and issubclass(REGISTRY.get(made.name, PtoOp), VIEWS)
            self._roots[value] = self.root(made.operands[0]) if is_view else value
        return self._roots[value]

    def of(self, value: ir.Value) -> Users:
        """The users of what a value is a view of."""
        return self.users.get(self.root(value), Users())

    def around(self, rec: Record) -> set[ir.Value]:
        """Roots of all tiles and global memory that an op touches."""
        return {self.root(value) for value in rec.op.operands if _is_memory(value)}

    def touched(self, rec: Record, names: tuple[str, ...]) -> Iterator[ir.Value]:
        """Roots of some operands of an op."""
        for name in names:
            for value in _each(rec.operands.get(name, ())):
                yield self.root(value)

    def _read(self, op: ir.Operation) -> None:
        cls = REGISTRY.get(op.name)
        if cls is not None and issubclass(cls, VIEWS):
            self.views.setdefault(self.root(op.results[0]), []).append(op)
            return
        if cls is None:
            for value in op.operands:
                if _is_memory(value):
                    self.users.setdefault(self.root(value), Users()).others.append(op)
            return
        rec = record(op)
        self.records.append(rec)
        reads, writes = set(self.touched(rec, cls.reads_of(rec))), set(self.touched(rec, cls.writes))
        for value in dict.fromkeys(self.root(v) for v in op.operands if _is_memory(v)):
            users = self.users.setdefault(value, Users())
            known = [kept for kept, found in ((users.readers, reads), (users.writers, writes)) if value in found]
            if issubclass(cls, SetValidShape):
                known = [users.sizers]
            for kept in known:
                kept.append(rec)
            if not known:
                users.others.append(op)


def is_own(value: ir.Value) -> bool:
    """Whether a root is a tile (or the slots of one) whose place is not given: no other tile means its bytes."""
    owner = value.owner
    if isinstance(owner, ir.Block) or not issubclass(REGISTRY.get(owner.operation.name, PtoOp), AllocTile | AllocMultiTile):
        return False
    return "addr" not in record(owner.operation).operands


def build(cls: type[PtoOp], operands: dict[str, ir.Value], place: ir.Operation) -> Record | None:
    """An op of the dialect before another one, at its location; None, and nothing built, where it would break one of the op's rules."""
    names = [name for name in cls.operand_names() if name in operands]
    segments = {}
    if set(cls.segments()) != {"single"}:
        present = [int(name in operands) for name in cls.operand_names()]
        segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get(present, place.context)}
    with place.context, ir.InsertionPoint(place), place.location:
        op = ir.Operation.create(cls.OPERATION_NAME, operands=[operands[name] for name in names], attributes=segments)
    rec = record(op)
    if list(cls.rules(rec)):
        op.erase()
        return None
    return rec


def _is_memory(value: ir.Value) -> bool:
    return isinstance(value.type, ir.DynamicType) and isinstance(t.of(value.type), t.Tile | t.MultiTile | t.View | t.Ptr)


def _each(value: Any) -> list[ir.Value]:
    return list(value) if isinstance(value, list | tuple) else [value]
