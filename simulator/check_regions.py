"""The distinct regions of a program and which of them share bytes, found once, so that a check needs no byte arithmetic."""

from copy import copy
from typing import NamedTuple

from ptoc.dialect.layout import Access, Ref, TileRef, ViewRef

from .overlap import any_overlap, span
from .program import Command, Program


class Touched(NamedTuple):
    """Region numbers that one command reads and writes.  `atomic`: its writes do not conflict with other atomic writes."""

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    atomic: bool


NOTHING = Touched((), (), False)


class Regions:
    """All regions of memories that somebody writes; the others cannot conflict.

    refs: the regions by number; shared[n]: n lies in global memory; neighbours[n]: regions that share a byte with n and conflict with
    it if either is written; touched: per stream and command.
    """

    def __init__(self, program: Program) -> None:
        written = {
            ref.memory
            for stream in program.streams
            for command in stream.commands
            if command.writes
            for ref in command.refs(command.writes)
        }
        self.refs: list[Ref] = []
        self._numbers: dict[Ref, int] = {}
        self._writable: list[bool] = []
        self.touched = [[self._touched(command, written) for command in stream.commands] for stream in program.streams]
        self.shared = [ref.memory.startswith("gm:") for ref in self.refs]
        self.neighbours: list[tuple[int, ...]] = self._neighbours()

    def with_touched(self, touched: list[list[Touched]]) -> "Regions":
        """The same regions for a program with fewer commands."""
        other = copy(self)
        other.touched = touched
        return other

    def _touched(self, command: Command, written: set[str]) -> Touched:
        if command.site.kind != "work":
            return NOTHING
        atomic = bool(command.site.attributes.get("atomic"))
        reads, writes = [], []
        for name, ref in command.operands:
            if not isinstance(ref, TileRef | ViewRef) or ref.memory not in written:
                continue
            number = self._numbers.get(ref)
            if number is None:
                number = self._numbers[ref] = len(self.refs)
                self.refs.append(ref)
                self._writable.append(False)
            if name in command.writes:
                self._writable[number] = True
                writes.append(number)
            if name in command.reads and not (atomic and name in command.writes):
                reads.append(number)
        return Touched(tuple(reads), tuple(writes), atomic)

    def _neighbours(self) -> list[tuple[int, ...]]:
        accesses = [ref.accesses() for ref in self.refs]
        found: list[list[int]] = [[] for _ in self.refs]
        by_memory: dict[str, list[tuple[int, int, int]]] = {}
        for number, part in enumerate(accesses):
            if part:
                low, high = _hull(part)
                by_memory.setdefault(part[0].memory, []).append((low, high, number))
        for regions in by_memory.values():
            regions.sort()
            active: list[tuple[int, int, int]] = []
            for region in regions:
                low, _, number = region
                active = [other for other in active if other[1] > low]
                for _, _, other in active:
                    if (self._writable[number] or self._writable[other]) and any_overlap(accesses[number], accesses[other]):
                        found[number].append(other)
                        found[other].append(number)
                active.append(region)
                if self._writable[number]:
                    found[number].append(number)
        return [tuple(numbers) for numbers in found]


def _hull(accesses: tuple[Access, ...]) -> tuple[int, int]:
    spans = [span(access) for access in accesses]
    return min(low for low, _ in spans), max(high for _, high in spans)
