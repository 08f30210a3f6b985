"""The distinct regions of a program and which of them share bytes, found once, so that a check needs no byte arithmetic."""

from collections.abc import Sequence
from typing import NamedTuple

from ptoc.dialect.layout import Ref, TileRef, ViewRef

from .overlap import sharing_pairs
from .program import Command, Program

WRITES, ATOMICS, READS = range(3)
"""Kinds of access."""


class Touched(NamedTuple):
    """Region numbers that one command reads and writes.  `atomic`: its writes do not conflict with other atomic writes."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    atomic: bool


NOTHING = Touched((), (), False)


class Regions:
    """All regions of memories that somebody writes; the others cannot conflict.

    refs: the regions by number; shared[n]: n lies in global memory; neighbours[n]: regions that share a byte with n and conflict with
    it if either is written; touched: per stream and command, without regions that nothing else conflicts with.
    """

    def __init__(self, program: Program) -> None:
        self._written = written_memories(program)
        self.refs: list[Ref] = []
        self._numbers: dict[Ref, int] = {}
        self._writable: list[bool] = []
        self._commands: list[int] = []
        touched = [[self._touched(command) for command in stream.commands] for stream in program.streams]
        self.shared = [is_global(ref.memory) for ref in self.refs]
        self.neighbours = neighbours_of(self.refs, self._writable)
        lonely = {n for n, count in enumerate(self._commands) if count == 1 and self.neighbours[n] in ((), (n,))}
        self.touched = [[_without(lonely, part) for part in parts] for parts in touched] if lonely else touched

    def number(self, ref: Ref) -> int | None:
        """The number of a region, None if nothing in the program can conflict with it."""
        return self._numbers.get(ref)

    def _touched(self, command: Command) -> Touched:
        if command.site.kind != "work":
            return NOTHING
        atomic = bool(command.site.attributes.get("atomic"))
        reads, writes = [], []
        for name, ref in command.operands:
            if not isinstance(ref, TileRef | ViewRef) or ref.memory not in self._written:
                continue
            number = self._numbers.get(ref)
            if number is None:
                number = self._numbers[ref] = len(self.refs)
                self.refs.append(ref)
                self._writable.append(False)
                self._commands.append(0)
            self._commands[number] += 1
            if name in command.writes:
                self._writable[number] = True
                writes.append(number)
            if name in command.reads and not (atomic and name in command.writes):
                reads.append(number)
        return Touched(tuple(reads), tuple(writes), atomic)


def is_global(memory: str) -> bool:
    """True for memory that more than one core reaches: global memory, and slots of on-chip rings."""
    return memory.startswith("gm:")


def written_memories(program: Program) -> set[str]:
    """Memories that some command writes."""
    distinct = {id(command): command for stream in program.streams for command in stream.commands}
    return {
        ref.memory
        for command in distinct.values()
        if command.writes
        for name, ref in command.operands
        if name in command.writes and isinstance(ref, TileRef | ViewRef)
    }


def neighbours_of(refs: Sequence[Ref], writable: Sequence[bool]) -> list[tuple[int, ...]]:
    """For each region those, itself included, that share a byte with it where one of the two is written; ascending."""
    accesses = [ref.accesses() for ref in refs]
    found: list[list[int]] = [[number] if may_write and accesses[number] else [] for number, may_write in enumerate(writable)]
    by_memory: dict[str, list[int]] = {}
    for number, ref in enumerate(refs):
        by_memory.setdefault(ref.memory, []).append(number)
    for numbers in by_memory.values():
        for i, j in sharing_pairs([accesses[number] for number in numbers]):
            one, two = numbers[i], numbers[j]
            if writable[one] or writable[two]:
                found[one].append(two)
                found[two].append(one)
    return [tuple(sorted(numbers)) for numbers in found]


def _without(lonely: set[int], part: Touched) -> Touched:
    if not any(number in lonely for number in (*part.reads, *part.writes)):
        return part
    return Touched(tuple(n for n in part.reads if n not in lonely), tuple(n for n in part.writes if n not in lonely), part.atomic)
