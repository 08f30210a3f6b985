"""Addresses for blocks with lifetimes in one memory: no two that are alive together overlap.

Tried in this order, the first that fits wins: (1) no two blocks share bytes, in program order; (2) program order, fresh bytes as long as
there are any, then the smallest gap that fits; (3) largest first, smallest gap that fits.  Reuse makes new dependences between engines,
so it comes last.
"""

from dataclasses import dataclass


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

    @property
    def end(self) -> int:
        """First byte after the block."""
        return self.address + self.size


def pack(blocks: list[Block], capacity: int, alignment: int) -> bool:
    """Gives every block without an address one.  False, and no address is given, where no order of placing fits."""
    open_blocks = [b for b in blocks if b.address is None]
    by_size = sorted(open_blocks, key=lambda b: (-b.size, b.lo))
    for order, place in ((open_blocks, _fresh), (open_blocks, _fresh_then_reuse), (by_size, _reuse)):
        placed = [b for b in blocks if b not in open_blocks]
        if all(_put(block, placed, place, capacity, alignment) for block in order):
            return True
        for block in open_blocks:
            block.address = None
    return False


def _put(block: Block, placed: list[Block], place, capacity: int, alignment: int) -> bool:
    block.address = place(block, placed, capacity, alignment)
    placed.append(block)
    return block.address is not None


def _gaps(taken: list[Block], capacity: int, alignment: int) -> list[tuple[int, int]]:
    """Free (begin, size) between taken blocks, begins aligned, by begin."""
    gaps, at = [], 0
    for block in sorted(taken, key=lambda b: b.address):
        if block.address > at:
            gaps.append((at, block.address - at))
        at = max(at, -(-block.end // alignment) * alignment)
    return [*gaps, (at, capacity - at)]


def _fresh(block: Block, placed: list[Block], capacity: int, alignment: int) -> int | None:
    return next((at for at, size in _gaps(placed, capacity, alignment) if size >= block.size), None)


def _reuse(block: Block, placed: list[Block], capacity: int, alignment: int) -> int | None:
    gaps = _gaps([b for b in placed if b.lives_with(block)], capacity, alignment)
    fitting = [(size, at) for at, size in gaps if size >= block.size]
    return min(fitting)[1] if fitting else None


def _fresh_then_reuse(block: Block, placed: list[Block], capacity: int, alignment: int) -> int | None:
    fresh = _fresh(block, placed, capacity, alignment)
    return _reuse(block, placed, capacity, alignment) if fresh is None else fresh
