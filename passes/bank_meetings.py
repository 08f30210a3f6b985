"""Which tiles of UB the vector engine reads and writes together, and how often they meet in banks at given addresses.

Counted are instructions that read two tiles of one size: they need both at full rate, and their result in banks that neither is read from.
Instructions with one such source were measured at full rate wherever it lies.
"""

from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, Record, plain, record
from ptoc.dialect.ops import structure
from ptoc.machine.banks import BLOCKS, Banks, Stream, conflicts

from .tile_liveness import Buffer, Liveness

SAMPLES = 16
"""Repeats of an instruction that are looked at: operands keep their distance in all of them."""

LOOP_RUNS, MOST_LOOPS = 4, 4
"""A loop counts as this many runs of its body, and no more than so many loops count."""


class Meeting(NamedTuple):
    """Two tiles, by number, `first` and `second` bytes behind their begin, that `size` bytes of instructions touch together; `read`: both are read."""

    i: int
    first: int
    j: int
    second: int
    size: int
    weight: int
    read: bool


@dataclass
class Meetings:
    """The meetings of the tiles of one memory, by tile."""

    banks: Banks
    of: dict[int, list[Meeting]] = field(default_factory=dict)

    def add(self, meeting: Meeting) -> None:
        """Notes a meeting for both tiles."""
        for i in (meeting.i, meeting.j):
            self.of.setdefault(i, []).append(meeting)

    def residues(self) -> list[tuple[int, int]]:
        """Addresses where an operand's groups, or its banks, are others."""
        half = BLOCKS * self.banks.row
        turns = [2 * half, self.banks.stride] if self.banks.stride > 2 * half else [2 * half]
        return [(turn, rest) for turn in turns for rest in (0, half)] if self.of else []

    def count(self, i: int, address: int, placed: dict[int, int]) -> int:
        """Weighted repeats in which tile i at an address meets tiles that are placed."""
        at = placed | {i: address}
        return sum(self.cost(m, at[m.i], at[m.j]) for m in self.of.get(i, ()) if m.i in at and m.j in at)

    def cost(self, meeting: Meeting, one: int, other: int) -> int:
        """Weighted repeats in which the two of a meeting meet."""
        blocks = min(BLOCKS, -(-meeting.size // self.banks.row))
        repeats = -(-meeting.size // (BLOCKS * self.banks.row))
        skip = -(-repeats // SAMPLES)
        step, samples = skip * BLOCKS * self.banks.row, -(-repeats // skip)
        first, second = Stream(one + meeting.first, step), Stream(other + meeting.second, step)
        if meeting.read:
            return 2 * meeting.weight * skip * conflicts(self.banks, (first, second), (), samples, blocks).read_read
        return meeting.weight * skip * conflicts(self.banks, (first,), (second,), samples, blocks).read_write


def meetings(live: Liveness, buffers: list[Buffer], banks: Banks) -> Meetings:
    """The meetings of a function's tiles in UB."""
    result = Meetings(banks)
    number = {b.op.results[0]: i for i, b in enumerate(buffers)}
    for use in {id(use.op): use for b in buffers for use in b.uses if use.pipe == "V"}.values():
        rec = record(use.op)
        weight = LOOP_RUNS ** min(MOST_LOOPS, use.loop.depth if use.loop else 0)
        read, written = ([x for n in names if (x := _operand(rec, n, number))] for names in (rec.cls.reads_of(rec), rec.cls.writes))
        for (i, first, size), (j, second, other) in combinations(read, 2):
            if size == other and i != j:
                result.add(Meeting(i, first, j, second, size, weight, True))
                for k, offset, result_size in written:
                    for source, begin in ((i, first), (j, second)):
                        if result_size == size and k not in (i, j):
                            result.add(Meeting(source, begin, k, offset, size, weight, False))
    return result


def _operand(rec: Record, name: str, number: dict[ir.Value, int]) -> tuple[int, int, int] | None:
    """Number of the tile that an operand is a part of, the part's begin in it, and its bytes; None for what is no tile of UB."""
    tile = rec.types.get(name)
    if not isinstance(tile, t.Tile) or tile.memory != "ub":
        return None
    rows, cols = (limit if n is None else n for n, limit in zip(tile.valid, (tile.rows, tile.cols)))
    value, offset = rec.operands[name], 0
    while value not in number:
        owner = value.owner
        if isinstance(owner, ir.Block) or owner.name not in REGISTRY or not len(owner.operands):
            return None
        offset += _offset(record(owner.operation if hasattr(owner, "operation") else owner))
        value = owner.operands[0]
    return number[value], offset, rows * cols * tile.dtype.bytes


def _offset(rec: Record) -> int:
    """Bytes from a tile's begin to a view's; 0 where it is known at run time only."""
    if issubclass(rec.cls, structure.Subview):
        tile = rec.tile("source")
        steps = (tile.cols, 1) if tile.blayout == "row_major" else (1, tile.rows)
        return sum(step * _number(v) * tile.dtype.bytes for step, v in zip(steps, rec.operands["offsets"]))
    if issubclass(rec.cls, structure.MultiTileGet):
        return structure.slot_stride(rec.types["source"].tile) * _number(rec.operands["index"])
    return 0


def _number(value: ir.Value) -> int:
    owner = value.owner
    return plain(owner.attributes["value"]) if not isinstance(owner, ir.Block) and owner.name == "arith.constant" else 0
