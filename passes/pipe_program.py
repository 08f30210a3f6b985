"""The slot pipes of a module as plain records: which programs there are, the two sides of each pipe, and what is done on them.

A *program* is what runs together: a function with sections of both kinds of core, or the functions of one kind that name each other's
buffers, or the only one of each.  Nothing here changes the module.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError, VerifyError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, PtoOp, Record, plain, record
from ptoc.dialect.ops import pipe_values, pipes
from ptoc.dialect.pipe_facts import C2V, PRODUCING, V2C, core_of

SECTIONS = {"pto.section_cube": "cube", "pto.section_vector": "vector"}


@dataclass(eq=False)
class Use:
    """An op on a pipe.  `slot`: the view or tile that it names, None where it names none; `direction`: C2V or V2C."""

    rec: Record
    role: str
    core: str
    direction: int
    slot: ir.Value | None

    @property
    def split(self) -> int:
        """How the vector cores share the entry."""
        return self.rec.attributes.get("split", 0)

    @property
    def kind(self) -> t.View | t.Tile | None:
        """Type of the slot."""
        return t.of(self.slot.type) if self.slot is not None else None

    @property
    def location(self) -> str:
        """file:line."""
        return self.rec.location

    @property
    def spelling(self) -> str:
        """Name of the op in text."""
        return self.rec.cls.spelling


@dataclass(eq=False)
class Side:
    """A declaration of a pipe: `core` that it stands on ("" for one outside of sections), what is done with it, in program order."""

    init: Record
    core: str
    uses: list[Use] = field(default_factory=list)

    @property
    def location(self) -> str:
        """file:line."""
        return self.init.location

    @property
    def front(self) -> bool:
        """Whether it is in the form that programs are written in."""
        return issubclass(self.init.cls, pipes.InitializePipe)


@dataclass(eq=False)
class Pipe:
    """A pipe: its declarations, on either side one for each section; `number`: its id, or its place among those that have none."""

    number: int
    sides: list[Side]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name: as stated, else by number."""
        return next((s.init.attributes["name"] for s in self.sides if "name" in s.init.attributes), f"pipe{self.number}")

    @property
    def label(self) -> str:
        """What messages call it."""
        named = any("name" in side.init.attributes for side in self.sides)
        return f"pipe '{self.name}'" if named else f"pipe {self.number}"

    @property
    def through_gm(self) -> bool:
        """Whether its slots lie in global memory."""
        return self.sides[0].init.cls.through_gm(self.sides[0].init)

    @property
    def uses(self) -> list[Use]:
        """All ops on it."""
        return [use for side in self.sides for use in side.uses]


@dataclass
class Program:
    """Functions that run together, and their pipes in the order in which they get flags."""

    functions: list[ir.Operation]
    pipes: list[Pipe]


def pto_ops(root: ir.Operation) -> Iterator[Record]:
    """The dialect's ops below an op, in program order."""
    found: list[Record] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name in REGISTRY and isinstance(op.opview, PtoOp):
            found.append(record(op))
        return ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    return iter(found)


def pipe_id(rec: Record) -> int:
    """Number of the pipe that an op names (0 where it names none)."""
    return rec.attributes.get("id", 0)


def scope_of(op: ir.Operation) -> ir.Operation:
    """The section around an op, or its function: where a pipe's declaration is seen."""
    parent = op.parent
    while parent.name not in (*SECTIONS, "func.func"):
        parent = parent.parent
    return parent.operation


def function_of(op: ir.Operation) -> ir.Operation:
    """The function around an op."""
    scope = scope_of(op)
    return scope if scope.name == "func.func" else function_of(scope)


def core_at(op: ir.Operation) -> str:
    """The kind of core that runs an op, "" where neither a section nor its function says."""
    scope = scope_of(op)
    if scope.name in SECTIONS:
        return SECTIONS[scope.name]
    return plain(scope.attributes["pto.kernel_kind"]) if "pto.kernel_kind" in scope.attributes else ""


def read_programs(module: ir.Module) -> list[Program]:
    """The programs of a module that have pipes.

    Raises: VerifyError for a declaration or an op on the wrong kind of core, one of a pipe that nobody declared, and one declared twice.
    """
    records = list(pto_ops(module.operation))
    sides = _sides(records)
    _attach(records, sides)
    programs = []
    for functions in _groups(sides, records):
        mine = [side for side in sides if function_of(side.init.op) in functions]
        by_id = _by_id([side for side in mine if side.front])
        first = by_id[-1].number + 1 if by_id else 0
        programs.append(Program(functions, [*by_id, *_by_marks([side for side in mine if not side.front], first)]))
    return programs


def _sides(records: list[Record]) -> list[Side]:
    sides: list[Side] = []
    for rec in records:
        if issubclass(rec.cls, pipes.InitializePipe):
            _on_its_core(rec, rec.cls.core)
            _refuse_second(rec, sides)
            sides.append(Side(rec, rec.cls.core))
        elif issubclass(rec.cls, pipe_values.InternalPipe):
            sides.append(Side(rec, core_at(rec.op)))
    return sides


def _on_its_core(rec: Record, core: str) -> None:
    found = core_at(rec.op)
    if found not in ("", core):
        raise VerifyError(f"'{rec.cls.spelling}': it belongs to the {core} core; got the {found} one: move it into pto.section.{core}", rec.location)


def _refuse_second(rec: Record, sides: list[Side]) -> None:
    for other in sides:
        if other.front and pipe_id(other.init) == pipe_id(rec) and scope_of(other.init.op) == scope_of(rec.op) and other.core == rec.cls.core:
            raise VerifyError(
                f"'{rec.cls.spelling}': pipe {pipe_id(rec)} is declared twice on this side; the first is at {other.location}: give each an id of its own",
                rec.location,
            )


def _attach(records: list[Record], sides: list[Side]) -> None:
    """Gives each op on a pipe to the declaration that it means."""
    front = {(scope_of(s.init.op), pipe_id(s.init)): s for s in sides if s.front}
    internal = {s.init.op: s for s in sides if not s.front}
    for rec in records:
        if not issubclass(rec.cls, pipes.SplitOp):
            continue
        if issubclass(rec.cls, pipe_values.PipeValueOp):
            side = internal[rec.cls.maker(rec)]
            use = _value_use(rec, side)
        else:
            core = core_of(rec.cls.direction, rec.cls.role)
            _on_its_core(rec, core)
            side = front.get((scope_of(rec.op), pipe_id(rec)))
            if side is None:
                raise _undeclared(rec, core, [n for (scope, n) in front if scope == scope_of(rec.op)])
            use = Use(rec, rec.cls.role, core, rec.cls.direction, rec.cls.slot_of(rec))
        if not _dominates(side.init.op, rec.op):
            raise VerifyError(f"'{rec.cls.spelling}': the pipe is declared at {side.location}, which does not come before this op in its block", rec.location)
        side.uses.append(use)


def _undeclared(rec: Record, core: str, ids: list[int]) -> VerifyError:
    known = f"; it has {', '.join(map(str, ids))}" if ids else ""
    return VerifyError(
        f"'{rec.cls.spelling}': no pipe with id {pipe_id(rec)} is initialised in this section{known}:"
        f" add pto.{'aic' if core == 'cube' else 'aiv'}_initialize_pipe {{id = {pipe_id(rec)}}}",
        rec.location,
    )


def _value_use(rec: Record, side: Side) -> Use:
    """An op on a pipe value: its direction follows from the core that it runs on, or from the pipe where that has one direction."""
    role, mask = rec.cls.role, side.init.attributes["dir_mask"]
    core = core_at(rec.op) or (core_of(mask, role) if mask in (C2V, V2C) else "")
    if not core:
        raise NotSupportedError(f"'{rec.cls.spelling}': which way does a pipe of both directions go here? put the op into pto.section.cube or .vector", rec.location)
    direction = C2V if (core == "cube") == (role in PRODUCING) else V2C
    return Use(rec, role, core, direction, rec.cls.slot_of(rec))


def _dominates(op: ir.Operation, user: ir.Operation) -> bool:
    """Whether `user` comes after `op` in op's block, or inside an op that does."""
    while user.block != op.block:
        if user.parent is None or user.parent.name == "builtin.module":
            return False
        user = user.parent.operation
    return op.is_before_in_block(user)


def _groups(sides: list[Side], records: list[Record]) -> list[list[ir.Operation]]:
    """Functions with pipes, those together that run together."""
    cores: dict[ir.Operation, set[str]] = {}
    for side in sides:
        cores.setdefault(function_of(side.init.op), set()).update({side.core} | {use.core for use in side.uses})
    names = {ir.StringAttr(f.attributes["sym_name"]).value: f for f in cores}
    groups = [[f] for f in cores if len(cores[f] - {""}) > 1]
    halves = [f for f in cores if len(cores[f] - {""}) <= 1]
    peers = {}
    for rec in records:
        if issubclass(rec.cls, pipes.ImportReservedBuffer) and function_of(rec.op) in halves:
            peer = names.get(rec.attributes["peer_func"])
            if peer in halves and peer != function_of(rec.op):
                peers[function_of(rec.op)] = peer
    linked: list[list[ir.Operation]] = []
    for a, b in peers.items():
        found = next((g for g in linked if a in g or b in g), None)
        if found is None:
            linked.append(found := [])
        found += [f for f in (a, b) if f not in found]
    rest = [f for f in halves if not any(f in g for g in linked)]
    pair = sorted(core for f in rest for core in cores[f] - {""}) == ["cube", "vector"]
    return [*groups, *linked, *([rest] if pair else [[f] for f in rest])]


def _by_id(sides: list[Side]) -> list[Pipe]:
    """Pipes of the form that programs are written in: one for each id."""
    found: dict[int, list[Side]] = {}
    for side in sides:
        found.setdefault(pipe_id(side.init), []).append(side)
    return [Pipe(number, found[number]) for number in sorted(found)]


def _by_marks(sides: list[Side], first: int) -> list[Pipe]:
    """Pipes that are values, numbered from `first` on: those belong together that have a name, a buffer or flags in common, the rest of each core by their order."""
    found: list[Pipe] = []
    for side in sides:
        mate = next((p for p in found if _fits(side, p) and any(_marks(side) & _marks(other) for other in p.sides)), None)
        if mate is None:
            found.append(Pipe(0, [side]))
        else:
            mate.sides.append(side)
    alone = [p for p in found if {s.core for s in p.sides} == {"vector"}]
    for pipe in alone:
        mate = next((p for p in found if {s.core for s in p.sides} == {"cube"}), None)
        if mate is not None:
            mate.sides += pipe.sides
            found.remove(pipe)
    return [Pipe(number, pipe.sides) for number, pipe in enumerate(found, first)]


def _fits(side: Side, pipe: Pipe) -> bool:
    """Whether a declaration can be of a pipe: no other one of it is in the same section."""
    return all(scope_of(other.init.op) != scope_of(side.init.op) for other in pipe.sides)


def _marks(side: Side) -> set[tuple]:
    """What a declaration has in common with its other side."""
    facts, marks = side.init.attributes, set()
    marks |= {(key, facts[key]) for key in ("name", "flag_base") if key in facts}
    for way in (C2V, V2C):
        if facts["dir_mask"] & way and (name := buffer_name(side, way)):
            marks.add(("buffer", way, name))
    return marks


def buffer_name(side: Side, direction: int) -> str | None:
    """Name of the reserved buffer that a side gives for a direction; None where it is given as an address, or not at all."""
    maker = buffer_maker(side, direction)
    return maker.attributes["name"] if maker is not None else None


def buffer_maker(side: Side, direction: int) -> Record | None:
    """The reserve_buffer or import_reserved_buffer that a side gives for a direction."""
    value = side.init.cls.buffer(side.init, direction)
    owner = value.owner if value is not None else None
    if owner is None or isinstance(owner, ir.Block) or owner.operation.name not in REGISTRY:
        return None
    rec = record(owner.operation)
    return rec if issubclass(rec.cls, pipes.ReserveBuffer | pipes.ImportReservedBuffer) else None
