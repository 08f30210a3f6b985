"""Blocks of a program: which are alike, and which touch the same bytes of global memory.

Nothing but a link orders two blocks within a kernel, and they share no flag: each is checked on its own, those that use links as if they
were one.  Blocks whose commands are the same but
for places in global memory, such that in both the same regions overlap, have the same verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from ptoc.dialect.layout import Ref, TileRef, ViewRef

from .check_regions import is_global, neighbours_of, written_memories
from .overlap import hull, sharing_pairs
from .program import Command, Program
from .signals import clusters, linked_blocks

Spot = tuple[int, int, int]  # stream of its block, index, number of the operand


class Touch(NamedTuple):
    """An access to global memory that some block writes.  kind: "read", "write" or "atomic"."""

    spot: Spot
    kind: str


@dataclass
class Group:
    """Alike blocks: the first of them as a program of its own, the streams of all (numbers in the whole program), and their regions.

    touches: accesses of the first to global memory, by number of region, one for each site and kind; regions[b]: the regions of block b.
    """

    program: Program
    blocks: list[list[int]]
    touches: list[list[Touch]]
    regions: list[list[Ref]]


class Region(NamedTuple):
    """A region of one block: the number of the block, its streams, the region, and what touches it."""

    block: int
    streams: list[int]
    ref: Ref
    touches: list[Touch]


class Meeting(NamedTuple):
    """Accesses of two blocks to one byte, one of them a write: (stream, index) and region of both, and the number of such pairs of regions."""

    first: tuple[int, int]
    first_region: Ref
    first_kind: str
    second: tuple[int, int]
    second_region: Ref
    second_kind: str
    count: int


def groups_of(program: Program, alone: bool = False) -> list[Group]:
    """The blocks of a program in groups of alike ones; `alone`: each in a group of its own."""
    streams: dict[int, list[int]] = {}
    cluster = clusters((stream.core.block for stream in program.streams), linked_blocks(program))
    for number, stream in enumerate(program.streams):
        streams.setdefault(cluster[stream.core.block], []).append(number)
    written = {memory for memory in written_memories(program) if is_global(memory)}
    groups: list[Group] = []
    spots: list[list[Spot]] = []  # per group: where the first block touches global memory that somebody writes
    for numbers in streams.values():
        block = replace(program, streams=[program.streams[n] for n in numbers])
        for group, places in zip(groups, spots) if not alone else ():
            if _same_commands(group.program, block, written):
                regions = _carried_over(group, block, places)
                if regions is not None:
                    group.blocks.append(numbers)
                    group.regions.append(regions)
                    break
        else:
            places = _global_spots(block, written)
            groups.append(_group(block, numbers, places))
            spots.append(places)
    return groups


def meetings(program: Program, groups: Sequence[Group]) -> list[Meeting]:
    """Conflicting accesses of different blocks; for each pair of sites and kinds the first, with the number of all."""
    by_memory: dict[str, list[Region]] = {}
    members = sorted((numbers, g, b) for g, group in enumerate(groups) for b, numbers in enumerate(group.blocks))
    for block, (numbers, g, b) in enumerate(members):
        for ref, touches in zip(groups[g].regions[b], groups[g].touches):
            by_memory.setdefault(ref.memory, []).append(Region(block, numbers, ref, touches))
    found: dict[tuple, Meeting] = {}
    for regions in by_memory.values():
        for one, two in _meeting_pairs(regions):
            _add(found, program, one, two)
    return list(found.values())


def _group(block: Program, numbers: list[int], spots: list[Spot]) -> Group:
    index: dict[Ref, int] = {}
    touches: list[dict[tuple, Touch]] = []
    for spot in spots:
        command, name, ref = _operand(block, spot)
        number = index.setdefault(ref, len(index))
        if number == len(touches):
            touches.append({})
        for kind in _kinds(command, name):
            touches[number].setdefault((command.site.index, kind), Touch(spot, kind))
    return Group(block, [numbers], [list(found.values()) for found in touches], [list(index)])


def _kinds(command: Command, name: str) -> list[str]:
    atomic = bool(command.site.attributes.get("atomic"))
    kinds = ["atomic" if atomic else "write"] if name in command.writes else []
    if name in command.reads and not (atomic and kinds):
        kinds.append("read")
    return kinds


def _operand(block: Program, spot: Spot) -> tuple[Command, str, Ref]:
    stream, index, number = spot
    command = block.streams[stream].commands[index]
    return command, *command.operands[number]


def _global_spots(block: Program, written: set[str]) -> list[Spot]:
    """Operands in global memory that some block writes, of commands that read or write them."""
    known: dict[int, tuple[int, ...]] = {}
    spots: list[Spot] = []
    for number, stream in enumerate(block.streams):
        for index, command in enumerate(stream.commands):
            operands = known.get(id(command))
            if operands is None:
                operands = known[id(command)] = _global_operands(command, written)
            spots.extend((number, index, k) for k in operands)
    return spots


def _global_operands(command: Command, written: set[str]) -> tuple[int, ...]:
    return tuple(
        k
        for k, (name, ref) in enumerate(command.operands)
        if isinstance(ref, TileRef | ViewRef) and ref.memory in written and (name in command.reads or name in command.writes)
    )


def _same_commands(one: Program, two: Program, written: set[str]) -> bool:
    """True if two blocks have the same commands but for places in global memory."""
    if len(one.streams) != len(two.streams):
        return False
    for a, b in zip(one.streams, two.streams):
        if a.core._replace(block=0) != b.core._replace(block=0) or len(a.commands) != len(b.commands):
            return False
        if not all(_same(first, second, written) for first, second in zip(a.commands, b.commands) if first is not second):
            return False
    return True


def _same(one: Command, two: Command, written: set[str]) -> bool:
    if one.site is not two.site or one.flag != two.flag or one.reads != two.reads or one.writes != two.writes:
        return False
    if one.operands == two.operands:
        return True
    return len(one.operands) == len(two.operands) and all(
        _same_place(first, second, written) for (_, first), (_, second) in zip(one.operands, two.operands) if first is not second
    )


def _same_place(one: object, two: object, written: set[str]) -> bool:
    """Operands that touch the same on-chip bytes, or both global memory that somebody (or nobody) writes."""
    regions = isinstance(one, TileRef | ViewRef), isinstance(two, TileRef | ViewRef)
    if not all(regions):
        return not any(regions)
    if is_global(one.memory) and is_global(two.memory):
        return (one.memory in written) == (two.memory in written)
    return one == two


def _carried_over(group: Group, block: Program, spots: list[Spot]) -> list[Ref] | None:
    """The block's regions in the order of those of the group's first block, None if other ones are equal or overlap."""
    there: dict[Ref, Ref] = {}
    back: dict[Ref, Ref] = {}
    for spot in spots:
        mine, other = _operand(group.program, spot)[2], _operand(block, spot)[2]
        if there.setdefault(mine, other) != other or back.setdefault(other, mine) != mine:
            return None
    regions = [there[ref] for ref in group.regions[0]]
    if _moved(group.regions[0], regions):
        return regions
    writable = [any(touch.kind != "read" for touch in touches) for touches in group.touches]
    return regions if neighbours_of(regions, writable) == neighbours_of(group.regions[0], writable) else None


def _moved(regions: list[Ref], others: list[Ref]) -> bool:
    """True if each memory is moved as a whole, by the same distance everywhere: what overlaps stays the same."""
    shifts: dict[str, tuple] = {}
    targets: dict[str, str] = {}
    for mine, other in zip(regions, others):
        place, moved = (r.offset if isinstance(r, ViewRef) else r.address for r in (mine, other))
        plain = mine._replace(memory=other.memory, **{"offset" if isinstance(mine, ViewRef) else "address": moved})
        shift = (other.memory, moved - place, type(mine), mine[2] if isinstance(mine, ViewRef) else "")
        if plain != other or shifts.setdefault(mine.memory, shift) != shift or targets.setdefault(other.memory, mine.memory) != mine.memory:
            return False
    return True


def _meeting_pairs(regions: list[Region]) -> list[tuple[Region, Region]]:
    """Pairs of regions of different blocks that share a byte, in order of blocks and regions."""
    accesses = [region.ref.accesses() for region in regions]
    hulls: dict[int, tuple[int, int]] = {}
    for region, part in zip(regions, accesses):
        if part:
            low, high = hull(part)
            first, last = hulls.get(region.block, (low, high))
            hulls[region.block] = min(first, low), max(last, high)
    if all(high <= low for (_, high), (low, _) in pairwise(sorted(hulls.values()))):
        return []
    return [(regions[i], regions[j]) for i, j in sharing_pairs(accesses) if regions[i].block != regions[j].block]


def _conflicting(one: str, two: str) -> bool:
    return not (one == two and one in ("read", "atomic"))


def _add(found: dict[tuple, Meeting], program: Program, one: Region, two: Region) -> None:
    """Notes the conflicting pairs of sites of two regions."""
    sides = [
        [((region.streams[touch.spot[0]], touch.spot[1]), region.ref, touch.kind) for touch in region.touches] for region in (one, two)
    ]
    for first in sides[0]:
        for second in sides[1]:
            if not _conflicting(first[2], second[2]):
                continue
            key = (*(program.streams[s].commands[i].site.index for (s, i), _, _ in (first, second)), first[2], second[2])
            known = found.get(key)
            found[key] = Meeting(*first, *second, 1) if known is None else known._replace(count=known.count + 1)
