"""What goes from one section of a function to another: cross tiles, the sections at their ends, and everything that is refused."""

from collections.abc import Iterator
from dataclasses import dataclass

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, location_of, plain, record
from ptoc.dialect.ops.pipe_values import DeclareGlobal
from ptoc.dialect.ops.pipes import InitializePipe, SplitOp
from ptoc.dialect.ops.structure import AddPtr, AllocMultiTile, AllocTile, MakeTensorView, MultiTileGet, PartitionView, Subview, TReshape

CUBE, VECTOR = "pto.section_cube", "pto.section_vector"
KIND = {CUBE: "cube", VECTOR: "vector"}
VIEWS = (AddPtr, MakeTensorView, MultiTileGet, PartitionView, Subview, TReshape)
"""Ops whose result stands for the same bytes as their first operand."""


@dataclass(frozen=True)
class Cross:
    """A cross tile: the op that declares it, the section that stores it, the one that loads it, and the preload of the loop around."""

    op: ir.Operation
    producer: ir.Operation
    consumer: ir.Operation
    preload: int


class Program:
    """The sections of a function, in order, and what they share.  Raises NotSupportedError where a cross tile is no one-way value."""

    def __init__(self, function: ir.Operation) -> None:
        self.function = function
        self.ops = [op for op in walk(function) if op != function]
        self.sections = [op for op in self.ops if op.name in KIND]
        self.outside = [op for op in self.ops if op.name not in KIND and section_of(op) is None]
        self.crosses = [self._cross(op) for op in self.outside if self.sections and _is(op, DeclareGlobal) and not _filled_by_pipe(op)]

    def check(self) -> None:
        """Refuses what cannot be split: commands outside of sections, pipes of the user's, and values that are no cross tiles."""
        for op in self.ops:
            if _is(op, InitializePipe):
                raise _refused("pipes of the program's own do not go together with cross tiles; make them cross tiles too", op)
        for op in self.outside:
            if op.name in REGISTRY and record(op).cls.pipe_of(record(op)):
                raise _refused(f"'{record(op).cls.spelling}': a command between sections runs on both kinds of core; put it into a section", op)
            if op.name == "scf.for" and op.results and any(_inside(s, op) for s in self.sections):
                raise _refused("a loop around sections carries a value from one iteration to the next; keep it in a tile of one section", op)
            if _is(op, AllocTile, AllocMultiTile):
                self._one_kind(op, op.results[0], "tile")
        for argument in self.function.regions[0].blocks[0].arguments:
            self._one_kind(None, argument, "tensor")

    def _cross(self, op: ir.Operation) -> Cross:
        """The two ends of a cross tile."""
        stored, loaded = (self._ends(op, written) for written in (True, False))
        if len(stored) != 1 or len(loaded) != 1 or stored[0].name == loaded[0].name:
            got = f"stored in {_listed(stored)}, loaded in {_listed(loaded)}"
            raise _refused(f"a cross tile is stored in one section and loaded in one section of the other kind; got {got}", op)
        if not op.block == stored[0].block == loaded[0].block:
            raise _refused("a cross tile belongs to one iteration: declare it in the block that its two sections stand in", op)
        if self.sections.index(loaded[0]) < self.sections.index(stored[0]):
            lines = f"loaded at {location_of(loaded[0])}, before it is stored at {location_of(stored[0])}"
            raise _refused(f"a cross tile cannot carry a value to the next iteration; {lines}", op)
        return Cross(op, stored[0], loaded[0], preload_of(op))

    def _ends(self, op: ir.Operation, written: bool) -> list[ir.Operation]:
        return unique(section_of(user) for user, writes in touches(op.results[0]) if writes is written and section_of(user) is not None)

    def _one_kind(self, op: ir.Operation | None, value: ir.Value, what: str) -> None:
        """Refuses a tile that both kinds use, or a tensor that a section writes and another touches which does not stay in step."""
        found = [(section_of(user), writes, user) for user, writes in touches(value) if section_of(user) is not None]
        for section, writes, user in found:
            for other, _, late in found:
                kinds_differ = section.name != other.name and (writes or what == "tile")
                apart = what == "tensor" and writes and section != other and section.block == other.block and preload_of(section)
                if kinds_differ or apart:
                    lines = f"used in the {KIND[section.name]} section at {location_of(user)} and the {KIND[other.name]} section at {location_of(late)}"
                    raise _refused(f"a {what} cannot carry a value between sections; {lines}: use ptoc.cross in the loop", op or user)

    def lags(self) -> dict[ir.Operation, int]:
        """Sections in loops with preload, and how many round trips of cross tiles lead to each; never less than an earlier one of its kind."""
        levels: dict[ir.Operation, int] = {}
        for section in self.sections:
            feeding = [levels[c.producer] + 1 for c in self.crosses if c.consumer == section]
            before = [levels[s] for s in levels if s.name == section.name and s.block == section.block]
            levels[section] = max([0, *feeding, *before])
        return {section: level // 2 for section, level in levels.items() if preload_of(section)}


def touches(value: ir.Value) -> Iterator[tuple[ir.Operation, bool]]:
    """Ops that read or write a value's bytes, through views; with whether they write."""
    for use in value.uses:
        op = use.owner.operation
        if op.name not in REGISTRY:
            continue
        rec = record(op)
        if issubclass(rec.cls, VIEWS):
            yield from touches(op.results[0]) if use.operand_number == 0 else ()
        else:
            names = [name for name, operand in rec.operands.items() if operand == value]
            yield op, any(name in rec.cls.writes for name in names)


def users_of(value: ir.Value) -> list[ir.Operation]:
    """All users of a value, views of it and their users included."""
    found = []
    for use in value.uses:
        op = use.owner.operation
        found.append(op)
        if _is(op, *VIEWS):
            found += users_of(op.results[0])
    return found


def parent_in(op: ir.Operation, root: ir.Operation) -> ir.Operation | None:
    """The op directly in `root` that an op is or lies in."""
    while op is not None and op.name != "builtin.module":
        parent = op.parent.operation
        if parent == root:
            return op
        op = parent
    return None


def section_of(op: ir.Operation) -> ir.Operation | None:
    """The section around an op."""
    while op.name not in ("func.func", "builtin.module"):
        op = op.parent.operation
        if op.name in KIND:
            return op
    return None


def preload_of(op: ir.Operation) -> int:
    """The preload of the loop in whose body an op stands; 0 without one."""
    parent = op.parent.operation
    return plain(parent.attributes["pto.preload"]) if parent.name == "scf.for" and "pto.preload" in parent.attributes else 0


def is_pure(op: ir.Operation) -> bool:
    """Whether an op only computes a number or a view."""
    return op.name.startswith("arith.") or op.name in ("pto.get_block_idx", "pto.get_mesh_idx", "pto.get_block_num", "pto.get_subblock_idx") or _is(op, *VIEWS)


def walk(root: ir.Operation) -> list[ir.Operation]:
    """An op and all below it, in program order."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        found.append(op)
        return ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def unique(ops: Iterator[ir.Operation]) -> list[ir.Operation]:
    """Ops without repetition, in order."""
    found: list[ir.Operation] = []
    for op in ops:
        if op not in found:
            found.append(op)
    return found


def _inside(op: ir.Operation, root: ir.Operation) -> bool:
    return parent_in(op, root) is not None


def _is(op: ir.Operation, *classes: type) -> bool:
    return op.name in REGISTRY and issubclass(REGISTRY[op.name], classes)


def _filled_by_pipe(op: ir.Operation) -> bool:
    """Whether a declared view is an entry of a pipe in its internal form."""
    return any(_is(user, SplitOp) for user in users_of(op.results[0]))


def _listed(sections: list[ir.Operation]) -> str:
    return ", ".join(f"{KIND[s.name]} ({location_of(s)})" for s in sections) or "none"


def _refused(message: str, op: ir.Operation) -> NotSupportedError:
    return NotSupportedError(message, location_of(op))
