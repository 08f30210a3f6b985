"""The buffers of one function in one memory: where they lie, what they share, and what is said where they do not fit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

from ptoc.dialect.errors import CapacityError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, record

from .address_packing import Block, Packing, pack
from .bank_meetings import Meetings, meetings
from .memory_overflow import overflow, table
from .sync_tree import internals_of
from .tile_liveness import Buffer, Liveness, liveness

MEMORIES = ("l1", "l0a", "l0b", "l0c", "bias", "scaling", "ub")


@dataclass
class Plan:
    """The buffers of one function in one memory, in program order, and their blocks.

    `banks`: what meets in banks, None where nothing can; `packing`: how the blocks were placed, None before.
    """

    func: str
    memory: str
    capacity: int
    alignment: int
    live: Liveness
    buffers: list[Buffer]
    blocks: list[Block]
    banks: Meetings | None = None
    packing: Packing | None = None
    _waits: dict[tuple[int, int], int] = field(default_factory=dict)

    def place(self) -> None:
        """Finds all addresses.  Raises: CapacityError."""
        for buffer, block in zip(self.buffers, self.blocks):
            if block.address is not None and (block.address < 0 or block.address % self.alignment):
                text = f"'{buffer.op.name}': {buffer.name} at {block.address}: an address in {self.memory} is a multiple of {self.alignment} bytes from 0 on"
                raise CapacityError(text, buffer.location)
            if block.address is not None and block.end > self.capacity:
                text = f"'{buffer.op.name}': {buffer.name} at {block.address} ends at {block.end}, {self.memory} has {self.capacity} bytes"
                raise CapacityError(text, buffer.location)
        self.packing = pack(self.blocks, self.capacity, self.alignment, self)
        if self.packing is None:
            raise overflow(self)

    def waits(self, i: int, j: int) -> int:
        """See address_packing.Relations."""
        key = (min(i, j), max(i, j))
        if key not in self._waits:
            one, other = self.buffers[i], self.buffers[j]
            mine = {id(loop): loop.depth for loop in self._loops[i]}
            common = [mine[id(loop)] for loop in self._loops[j] if id(loop) in mine]
            self._waits[key] = 1 + max(common, default=0) if len(one.pipes | other.pipes) > 1 else 0
        return self._waits[key]

    @cached_property
    def _loops(self) -> list[list]:
        return [buffer.loops() for buffer in self.buffers]

    def residues(self) -> list[tuple[int, int]]:
        """See address_packing.Relations."""
        return self.banks.residues() if self.banks else []

    def meetings(self, i: int, address: int, placed: dict[int, int]) -> int:
        """See address_packing.Relations."""
        return self.banks.count(i, address, placed)

    def remarks(self) -> list[str]:
        """Where tiles share bytes: how much, and the pair that makes engines wait for each other in the deepest loop."""
        total, used = sum(b.size for b in self.blocks), max((b.end for b in self.blocks), default=0)
        if not used or not (self.packing.shared or total > self.capacity):
            return []
        return [f"{self.func}: {self.memory}: {total} bytes of tiles share {used} of {self.capacity} bytes", *self._named()]

    def _named(self) -> list[str]:
        pairs = [(i, j) for i, j in combinations(range(len(self.blocks)), 2) if self.waits(i, j) > 1 and self.blocks[i].overlaps(self.blocks[j])]
        if not pairs:
            return []
        i, j = min(pairs, key=lambda pair: (-self.waits(*pair), pair))
        one, other = self.buffers[i], self.buffers[j]
        more = f" (and {len(pairs) - 1} more pairs of tiles)" if len(pairs) > 1 else ""
        pipes = [", ".join(sorted(buffer.pipes)) for buffer in (one, other)]
        return [
            f"{other.location}: {other.name} ({pipes[1]}) shares bytes of {self.memory} with {one.name} of {one.location} ({pipes[0]}): in their loop"
            f" these engines wait for each other{more}"
        ]

    def map(self) -> list[str]:
        """The memory map: a line for the memory, then address, bytes, tile and line of each buffer."""
        used = max((b.end for b in self.blocks if b.address is not None), default=0)
        return [f"{self.func}: {self.memory}: {used} of {self.capacity} bytes", *table(self.buffers, self.blocks)]


def plans_of(func: ir.Operation, chip, given: Callable[[Buffer], int | None]) -> list[Plan]:
    """The plans of a function's memories; `given` tells a buffer's address, where it has one."""
    live = liveness(func)
    for buffer in live.buffers:
        buffer.address = given(buffer)
    name = ir.StringAttr(func.attributes["sym_name"]).value
    plans = []
    for memory in MEMORIES:
        buffers = [b for b in live.buffers if b.memory == memory]
        if buffers:
            alignment = chip.alignment_bytes(memory)
            blocks = [Block(b.size(alignment), b.lo, b.hi, b.address) for b in buffers]
            banks = meetings(live, buffers, chip.ub_banks()) if memory == "ub" else None
            plans.append(Plan(name, memory, _capacity(memory, live, chip), alignment, live, buffers, blocks, banks))
    return plans


def _capacity(memory: str, live: Liveness, chip) -> int:
    """Bytes to plan in; UB ends at the library's scratch where an op of the function uses that."""
    scratch = memory == "ub" and any(internals_of(record(op)).get("ub_scratch") for op in live.ops if op.name in REGISTRY)
    return int(chip.number("memories.ub_reserved_from")) if scratch else chip.capacity_bytes(memory)
