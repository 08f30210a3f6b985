"""Buffers that are filled again while another engine reads them: two names of one tile, or of one slot, where two were meant.

Each fill waits for the readers of the one before.  A remark says so where the memory has room for one more slot.
"""

from collections.abc import Iterator
from dataclasses import replace

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import location_of, record
from ptoc.dialect.ops.structure import MultiTileGet

from .address_packing import Block
from .memory_plan import Plan
from .slot_grants import Candidate, Room
from .symbolic import Symbols, number
from .tile_liveness import ALLOCS, Buffer, Use, interval


def refills(plans: list[Plan], rooms: dict[int, Room], granted: list[Candidate]) -> list[str]:
    """A remark for each tile that is filled more than once while it is read, and for each multi tile with slots that nobody uses."""
    symbols, remarks = Symbols(), []
    counts = {id(one.buffer): one.count for one in granted}
    for plan in plans:
        for i, buffer in enumerate(plan.buffers):
            if buffer.op.name not in ALLOCS:
                continue
            slots = _by_slot(buffer, symbols)
            remarks += _unused(buffer, slots)
            again = [found for uses in slots.values() if (found := _fills(uses))]
            if again:
                room = rooms.setdefault(id(plan), Room(plan))
                more = replace(buffer, slots=counts.get(id(buffer), buffer.slots) + 1, turned=_depth(buffer))
                if buffer.slots > 1 or not room.refuses(i, Block(more.size(plan.alignment), *interval(more, len(plan.live.ops)), buffer.address)):
                    remarks.append(_remark(buffer, again[0], more.slots, plan.memory))
    return remarks


def _depth(buffer: Buffer) -> int:
    return min((use.loop.depth if use.loop else 0 for use in buffer.uses), default=0)


def _by_slot(buffer: Buffer, symbols: Symbols) -> dict[object, list[Use]]:
    """Uses by slot: all of a tile under one key, those of slots that are always the same one under its number or its polynomial."""
    slots: dict[object, list[Use]] = {}
    for use in sorted(buffer.uses, key=lambda use: use.position):
        slots.setdefault(_slot(use.value, buffer.slots, symbols) if buffer.slots > 1 else 0, []).append(use)
    return slots


def _slot(value: ir.Value | None, slots: int, symbols: Symbols) -> object:
    """A number, or what is equal where the slot is; None where neither is known."""
    while value is not None and not isinstance(value.owner, ir.Block) and len(value.owner.operands):
        if value.owner.name == MultiTileGet.OPERATION_NAME:
            poly, modulus = symbols.modular(symbols.poly(value.owner.operands[1]))
            known = {monomial: c % modulus for monomial, c in poly.items() if c % modulus} if modulus else poly
            return number(known) if number(known) is not None else (modulus, frozenset(known.items()))
        if not isinstance(t.of(value.owner.operands[0].type), t.Tile):
            return None
        value = value.owner.operands[0]
    return None


def _unused(buffer: Buffer, slots: dict[object, list[Use]]) -> Iterator[str]:
    """Slots that no number names, where all that are used are numbers."""
    if buffer.slots > 1 and slots and all(isinstance(slot, int) for slot in slots):
        spare = [str(n) for n in range(buffer.slots) if n not in slots]
        if spare:
            used = ", ".join(str(n) for n in sorted(slots))
            yield f"{buffer.location}: {buffer.name}: never used: slot {', '.join(spare)}; its indices are {used}"


def _fills(uses: list[Use]) -> tuple[list[Use], list[Use]] | None:
    """(fills, readers between them) of one iteration, where an engine fills a buffer again that another one has read; None where none does."""
    fills: list[Use] = []
    readers: list[Use] = []
    between: list[Use] = []
    for use in uses:
        if use.writes and not use.reads and use.pipe:
            again = fills and fills[-1].pipe == use.pipe and _begin(fills[-1].value) == _begin(use.value)
            if again and any(_follow(u, use) for u in between) and _follow(fills[-1], use):
                fills.append(use)
                readers += between
                between = []
            elif not fills:
                fills = [use]
        elif use.reads and fills and use.pipe not in ("", fills[-1].pipe):
            between.append(use)
    return (fills, readers) if len(fills) > 1 else None


def _begin(value: ir.Value) -> tuple[ir.Value, ...]:
    """What tells where a part of a buffer begins."""
    owner = value.owner
    if isinstance(owner, ir.Block) or not len(owner.operands) or not isinstance(t.of(owner.operands[0].type), t.Tile):
        return ()
    offsets = tuple(record(owner.operation).operands.get("offsets", ()))
    return (*_begin(owner.operands[0]), *offsets)


def _follow(first: Use, second: Use) -> bool:
    """True where both run in one iteration of their loop, one after the other."""
    return first.loop is second.loop and not _exclusive(first.op, second.op)


def _exclusive(one: ir.Operation, other: ir.Operation) -> bool:
    """True where the two are in different arms of one branch."""
    mine = dict(_arms(one))
    return any(branch in mine and mine[branch] != arm for branch, arm in _arms(other))


def _arms(op: ir.Operation) -> Iterator[tuple[ir.Operation, int]]:
    """The branches around an op, and which arm of each it is in."""
    block = op.block
    while (parent := block.owner.operation if hasattr(block.owner, "operation") else block.owner).name != "func.func":
        if parent.name == "scf.if":
            yield parent, [block in list(region.blocks) for region in parent.regions].index(True)
        block = parent.block


def _remark(buffer: Buffer, again: tuple[list[Use], list[Use]], slots: int, memory: str) -> str:
    fills, readers = again
    lines, read = (", ".join(dict.fromkeys(location_of(use.op) for use in uses)) for uses in again)
    engines = ", ".join(sorted({use.pipe for use in readers}))
    if buffer.slots > 1:
        what, instead = "one slot of it is filled again", "indices of different slots"
    else:
        what, instead = "one tile under all its names is filled again", f"{memory} has room for {slots} slots, or for a tile of each name"
    return (
        f"{buffer.location}: {buffer.name}: {what} while it is in use: {fills[0].pipe} fills it {len(fills)} times ({lines}), {engines} reads it in between"
        f" ({read}), and each fill waits for the readers of the one before; {instead}"
    )
