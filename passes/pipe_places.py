"""Where slots and consumer buffers of pipes lie: every pipe has its own bytes, and both its sides mean the same ones."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import VerifyError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record, record
from ptoc.dialect.ops.pipes import ReserveBuffer
from ptoc.dialect.ops.structure import AddPtr, MakeTensorView
from ptoc.dialect.pipe_facts import C2V, CONSUMER_LOCATIONS, DIRECTIONS, V2C

from .pipe_program import Pipe, Program, Side, Use, buffer_maker, buffer_name, function_of
from .symbolic import Poly, Symbols, add, constant, multiply, number


def consumer_buffer(pipe: Pipe, way: int, uses: list[Use]) -> None:
    """Popped tiles need a buffer on the consumer's side: in its memory, large enough, and the same for both sides."""
    if not any(use.role == "pop" and isinstance(use.kind, t.Tile) for use in uses):
        return
    facts, local = pipe.facts, pipe.through_gm
    count = facts["local_slot_num"] if local else facts["slot_num"]
    named: dict[str, Side] = {}
    for side in pipe.sides:
        value, maker = side.init.cls.buffer(side.init, way), buffer_maker(side, way)
        if value is None and any(use.role == "pop" for use in side.uses if use.direction == way):
            raise VerifyError(f"'{side.init.cls.spelling}': popped tiles need a consumer buffer of the direction {DIRECTIONS[way]}; got none", side.location)
        if maker is not None:
            named.setdefault(buffer_name(side, way), side)
        if maker is not None and issubclass(maker.cls, ReserveBuffer):
            _reserved(pipe, way, maker, count * facts["slot_size"], f"{count} {'local ' if local else ''}slots of {facts['slot_size']}")
    if len(named) > 1:
        (mine, first), (its, other) = list(named.items())[:2]
        raise VerifyError(
            f"{pipe.label}: the two sides must name one consumer buffer; got '{mine}' at {first.location} and '{its}' at {other.location}", other.location
        )


def _reserved(pipe: Pipe, way: int, maker: Record, needed: int, what: str) -> None:
    wanted, facts = CONSUMER_LOCATIONS[way], maker.attributes
    if facts["location"] != wanted:
        raise VerifyError(f"'{maker.cls.spelling}': the consumer of {pipe.label} ({DIRECTIONS[way]}) keeps its tiles in {wanted}; got {facts['location']}", maker.location)
    if facts["size"] < needed:
        raise VerifyError(
            f"'{maker.cls.spelling}': {pipe.label} needs {needed} bytes, {what} (declared at {pipe.sides[0].location}); got size {facts['size']}", maker.location
        )


def own_names(program: Program) -> None:
    """A name means one pipe."""
    for pipe, other in combinations(program.pipes, 2):
        if pipe.name == other.name:
            raise VerifyError(f"{other.label}: two pipes have the name '{pipe.name}'; the other is at {pipe.sides[0].location}", other.sides[0].location)


def own_places(program: Program) -> None:
    """No two pipes have slots in the same bytes, and both sides of one mean the same bytes."""
    symbols: dict[ir.Operation, Symbols] = {}

    def rings(pipe: Pipe) -> Iterator[tuple[Side, ir.Value, Poly]]:
        for side in pipe.sides:
            if side.init.cls.through_gm(side.init):
                known = symbols.setdefault(function_of(side.init.op), Symbols())
                yield (side, *_root_and_offset(gm_pointer(side.init), known))

    for pipe in program.pipes:
        found = list(rings(pipe))
        for side, root, offset in found[1:]:
            first, its_root, its_offset = found[0]
            if function_of(side.init.op) != function_of(first.init.op):
                continue
            if root != its_root or number(add(offset, its_offset, -1)) not in (0, None):
                raise VerifyError(f"{pipe.label}: the two sides must have the same slots; got other ones at {first.location} and {side.location}", side.location)
    for pipe, other in combinations(program.pipes, 2):
        for (mine, root, offset), (its, its_root, its_offset) in ((a, b) for a in rings(pipe) for b in rings(other)):
            distance = number(add(its_offset, offset, -1)) if root == its_root else None
            if distance is not None and -_ring_bytes(other) < distance < _ring_bytes(pipe):
                raise VerifyError(
                    f"{other.label}: its slots at {its.location} overlap those of {pipe.label} at {mine.location} ({_ring_bytes(pipe)} bytes): give each pipe its own",
                    its.location,
                )
    _own_buffers(program)


def _own_buffers(program: Program) -> None:
    """No two directions share a consumer buffer."""
    taken: dict[tuple[Any, int], tuple[Pipe, Side]] = {}
    for pipe in program.pipes:
        for way in (C2V, V2C):
            pops = [u for u in pipe.uses if u.direction == way and u.role == "pop" and isinstance(u.kind, t.Tile)]
            for side in pipe.sides if pops else ():
                value = side.init.cls.buffer(side.init, way)
                if value is None:
                    continue
                owner, before = taken.setdefault((value, way), (pipe, side))
                if owner is not pipe:
                    raise VerifyError(f"{pipe.label}: its consumer buffer is that of {owner.label} too, at {before.location}: reserve one for each", side.location)


def _ring_bytes(pipe: Pipe) -> int:
    return pipe.facts["slot_num"] * pipe.facts["slot_size"] * (2 if pipe.facts["dir_mask"] == C2V | V2C else 1)


def gm_pointer(init: Record) -> ir.Value:
    """The pointer to a pipe's slots: given, or the one that the given view was made from.  Raises VerifyError for another view."""
    for name in ("gm_addr", "gm_slot_buffer"):
        if name in init.operands:
            return init.operands[name]
    owner = init.operands["gm_slot_tensor"].owner
    if isinstance(owner, ir.Block) or owner.operation.name != MakeTensorView.OPERATION_NAME:
        raise VerifyError(f"'{init.cls.spelling}': gm_slot_tensor must come from pto.make_tensor_view, which says where the slots are; got another view", init.location)
    return record(owner.operation).operands["ptr"]


def _root_and_offset(pointer: ir.Value, symbols: Symbols) -> tuple[ir.Value, Poly]:
    """The pointer that a pointer is an offset from, and the offset in bytes."""
    offset: Poly = {}
    while not isinstance(pointer.owner, ir.Block) and pointer.owner.operation.name == AddPtr.OPERATION_NAME:
        rec = record(pointer.owner.operation)
        offset = add(offset, multiply(symbols.poly(rec.operands["offset"]), constant(t.of(pointer.type).dtype.bytes)))
        pointer = rec.operands["ptr"]
    return pointer, offset
