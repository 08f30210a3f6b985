"""Addresses for blocks with lifetimes in one memory: no two that are alive together overlap.

Two blocks that are never alive together may share bytes, which makes the later one wait for the earlier one.  So bytes are shared as little
as the capacity allows, in this order: no two blocks share; blocks of one engine share; blocks share that no loop has in common; blocks share
in the outermost loops only, then further in.  At each step blocks are tried in program order (fresh bytes first, then
the smallest gap), largest first, longest alive first and largest in bytes times lifetime (smallest gap each); where one does not fit, it is tried
again as the first.  Each step is also tried with the addresses at which operands of instructions meet least in banks; the better one is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

RETRIES = 32
"""How often a block that does not fit is tried again as the first."""

GAPS = 6
"""Gaps in which an address is looked for that avoids banks."""


@dataclass
class Block:
    """`size` bytes alive from position `lo` to `hi`; `address` where it is given or found."""

    size: int
    lo: int
    hi: int
    address: int | None = None

    def lives_with(self, other: "Block") -> bool:
        """True where both are alive at some position."""
        return self.lo <= other.hi and other.lo <= self.hi

    def overlaps(self, other: "Block") -> bool:
        """True where the two, both placed, share bytes."""
        return self.address < other.end and other.address < self.end

    @property
    def end(self) -> int:
        """First byte after the block."""
        return self.address + self.size


class Packing(NamedTuple):
    """How blocks were placed; a smaller one is better.  `waits`: how far in engines may have to wait over shared bytes, see Relations."""

    shared: bool
    waits: int


class Relations(Protocol):
    """What blocks, by number, have to do with each other beside their lifetimes."""

    def waits(self, i: int, j: int) -> int:
        """How far in engines would wait for each other if blocks i and j shared bytes.

        0: nowhere, one engine uses both; 1: once; 1 + d: in each iteration of a loop of depth d.
        """
        ...

    def residues(self) -> list[tuple[int, int]]:
        """(modulus, remainder) of addresses that differ in what they meet."""
        ...

    def meetings(self, i: int, address: int, placed: dict[int, int]) -> int:
        """How often block i at an address would meet blocks that are placed, by number, at theirs."""
        ...


class Unrelated:
    """No engines and no banks."""

    def waits(self, i: int, j: int) -> int:
        """0."""
        return 0

    def residues(self) -> list[tuple[int, int]]:
        """None that differ."""
        return []

    def meetings(self, i: int, address: int, placed: dict[int, int]) -> int:
        """0."""
        return 0


def pack(blocks: list[Block], capacity: int, alignment: int, relations: Relations | None = None, any_order: bool = False) -> Packing | None:
    """Gives every block without an address one.  None, and no address is given, where no order of placing fits.

    any_order: what is found does not depend on the order of the blocks; the same blocks in another order then fit too, as well or better.
    """
    relations = relations or Unrelated()
    open_ = [i for i, b in enumerate(blocks) if b.address is None]
    if max(load(blocks).values(), default=0) > capacity and open_:
        return None
    total = sum(blocks[i].size for i in open_)
    for packing, apart in _steps(blocks, open_, relations):
        if not packing.shared and total > capacity:
            continue
        orders = _orders(blocks, open_)[int(any_order) :]
        ways = [_placed(blocks, orders, capacity, alignment, None, apart)]
        if relations.residues():
            ways.append(_placed(blocks, orders, capacity, alignment, relations, apart))
        fitting = [way for way in ways if way is not None]
        if fitting:
            best = min(fitting, key=lambda way: _meetings(relations, way)) if len(fitting) > 1 else fitting[0]
            for i in open_:
                blocks[i].address = best[i]
            return packing
    return None


def _placed(
    blocks: list[Block], orders: list[tuple[list[int], bool]], capacity: int, alignment: int, relations: Relations | None, apart: Callable[[int, int], bool]
) -> dict[int, int] | None:
    """The addresses of all blocks by number as the first order that fits gives them; the blocks stay as they are."""
    for order, fresh in orders:
        if _Attempt(blocks, capacity, alignment, relations, apart, fresh).place(order):
            found = {i: b.address for i, b in enumerate(blocks)}
            for i in order:
                blocks[i].address = None
            return found
    return None


def _meetings(relations: Relations, at: dict[int, int]) -> int:
    """How often blocks at these addresses meet in all (each pair counts twice)."""
    return sum(relations.meetings(i, address, at) for i, address in at.items())


def load(blocks: list[Block]) -> dict[int, int]:
    """Bytes alive at each position where a block begins; bytes that given addresses share count once."""
    result = {}
    for position in sorted({b.lo for b in blocks}):
        alive = [b for b in blocks if b.lo <= position <= b.hi]
        end = total = 0
        for block in sorted((b for b in alive if b.address is not None), key=lambda b: b.address):
            total += max(0, block.end - max(end, block.address))
            end = max(end, block.end)
        result[position] = total + sum(b.size for b in alive if b.address is None)
    return result


def _steps(blocks: list[Block], open_: list[int], relations: Relations) -> Iterator[tuple[Packing, Callable[[int, int], bool]]]:
    """What two blocks may not share, ever less of it."""
    yield Packing(False, 0), lambda i, j: True
    for most in sorted({relations.waits(i, j) for i in open_ for j in range(len(blocks)) if i != j} | {0}):
        yield Packing(True, most), lambda i, j, most=most: blocks[i].lives_with(blocks[j]) or relations.waits(i, j) > most


def _orders(blocks: list[Block], open_: list[int]) -> list[tuple[list[int], bool]]:
    """Orders of placing, and whether fresh bytes come first in them; the first one is the program's, the others do not depend on it."""
    length = {i: blocks[i].hi - blocks[i].lo + 1 for i in open_}
    keys = (lambda i: -blocks[i].size, lambda i: -length[i], lambda i: -blocks[i].size * length[i])
    return [(open_, True), *((sorted(open_, key=lambda i, k=key: (k(i), blocks[i].size, blocks[i].lo, blocks[i].hi, i)), False) for key in keys)]


class _Attempt:
    """One way to place blocks.  `apart`: which pairs share no bytes; `relations`: None where banks do not count."""

    def __init__(
        self, blocks: list[Block], capacity: int, alignment: int, relations: Relations | None, apart: Callable[[int, int], bool], fresh: bool
    ) -> None:
        self.blocks, self.capacity, self.alignment, self.relations, self.apart, self.fresh = blocks, capacity, alignment, relations, apart, fresh
        self.given = [i for i, b in enumerate(blocks) if b.address is not None]

    def place(self, order: list[int]) -> bool:
        """Gives all blocks of the order addresses, or none of them."""
        for _ in range(RETRIES):
            failed = self.once(order)
            if failed is None:
                return True
            for i in order:
                self.blocks[i].address = None
            if order[0] == failed:
                return False
            order = [failed, *(i for i in order if i != failed)]
        return False

    def once(self, order: list[int]) -> int | None:
        """Places blocks one after the other; the first that does not fit, None where all do."""
        placed = list(self.given)
        for i in order:
            address = self.address(i, placed)
            if address is None:
                return i
            self.blocks[i].address = address
            placed.append(i)
        return None

    def address(self, i: int, placed: list[int]) -> int | None:
        size = self.blocks[i].size
        fitting = [gap for gap in self.gaps(placed) if gap[1] >= size] if self.fresh else []
        if not fitting:
            fitting = [gap for gap in self.gaps([j for j in placed if self.apart(i, j)]) if gap[1] >= size]
            fitting.sort(key=lambda gap: (gap[1], gap[0]))
        if not fitting:
            return None
        return self.best(i, fitting, placed) if self.relations else fitting[0][0]

    def best(self, i: int, gaps: list[tuple[int, int]], placed: list[int]) -> int:
        """The address in the gaps at which the block meets others least; the first one of equals."""
        at = {j: self.blocks[j].address for j in placed}
        first = gaps[0][0]
        least, best = self.relations.meetings(i, first, at), first
        for begin, room in gaps[:GAPS] if least else ():
            for address in sorted({begin, *(begin + (rest - begin) % modulus for modulus, rest in self.relations.residues())}):
                if address + self.blocks[i].size <= begin + room and address % self.alignment == 0:
                    count = self.relations.meetings(i, address, at)
                    if count < least:
                        least, best = count, address
        return best

    def gaps(self, taken: list[int]) -> list[tuple[int, int]]:
        """Free (begin, size) between taken blocks, begins aligned, by begin."""
        gaps, at = [], 0
        for block in sorted((self.blocks[j] for j in taken), key=lambda b: b.address):
            if block.address > at:
                gaps.append((at, block.address - at))
            at = max(at, -(-block.end // self.alignment) * self.alignment)
        return [*gaps, (at, self.capacity - at)]
