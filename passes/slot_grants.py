"""Which tiles could use several slots, and how many their memories have room for.

A tile *crosses engines* if one engine writes it and another one touches it.  Its slots turn with the loop it is made in, or with the one that
has all its uses and overwrites it at the begin of each iteration.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import plain

from .address_packing import Block, Packing, pack
from .memory_plan import Plan
from .tile_liveness import NOT_LOOPS, Buffer, Loop, interval, overwritten_in

STAGES = "pto.stages"

ALLOC = "pto.alloc_tile"


@dataclass
class Candidate:
    """Tile number `number` of a memory's plan, the loop that its slots turn with, how many it is to have and how many it gets.

    `outside`: it is made outside of that loop; `why`: what refused it a further slot.
    """

    plan: Plan
    number: int
    loop: Loop
    stages: int
    outside: bool
    count: int = 1
    why: str = ""

    @property
    def buffer(self) -> Buffer:
        """The tile as it is now."""
        return self.plan.buffers[self.number]


def crosses(buffer: Buffer) -> bool:
    """True where one engine writes a tile and another one touches it."""
    writers = {use.pipe for use in buffer.uses if use.pipe and use.writes}
    return any(use.pipe not in ("", writer) for writer in writers for use in buffer.uses)


def candidates(plans: list[Plan], stages_of: Callable[[Loop], int]) -> Iterator[Candidate]:
    """The tiles whose loop has more than one stage, in program order."""
    for plan in plans:
        for number, buffer in enumerate(plan.buffers):
            if buffer.op.name != ALLOC or buffer.address is not None or not crosses(buffer) or any(use.op is None for use in buffer.uses):
                continue
            private = overwritten_in(buffer)
            if private is not None and _all_inside(buffer.op.results[0], private.op) and stages_of(private) > 1:
                outside = buffer.loop is not private
                yield Candidate(plan, number, private, stages_of(private), outside)
            elif buffer.loop is not None and stages_of(buffer.loop) > 1 and (stages_by_hand(buffer.loop) or _begins_anew(buffer)):
                yield Candidate(plan, number, buffer.loop, stages_of(buffer.loop), False)


def _begins_anew(buffer: Buffer) -> bool:
    """False where a tile that is made in a loop may hold what an earlier iteration wrote: it is read first, or overwritten on a condition."""
    first = min(buffer.uses, key=lambda use: use.position)
    conditional, parent = False, first.op.parent.operation
    while parent != buffer.loop.op:
        conditional = parent.name == "scf.if" or (conditional and parent.name in NOT_LOOPS)
        parent = parent.parent.operation
    return first.kills and not conditional


def _all_inside(value: ir.Value, loop: ir.Operation) -> bool:
    return all(inside(use.owner.operation if hasattr(use.owner, "operation") else use.owner, loop) for use in value.uses)


def inside(op: ir.Operation, loop: ir.Operation) -> bool:
    """True where an op stands in a loop."""
    parent = op.parent
    while parent is not None:
        parent = parent.operation if hasattr(parent, "operation") else parent
        if parent == loop:
            return True
        parent = parent.parent
    return False


@dataclass
class Room:
    """What a memory has room for; every slot that is granted is one that the planner has placed."""

    plan: Plan
    blocks: list[Block] = field(default_factory=list)
    packing: Packing | None = None

    def __post_init__(self) -> None:
        self.plan = replace(self.plan, banks=None)
        self.blocks = [replace(b) for b in self.plan.blocks]
        self.packing = self._pack(self.blocks)

    def _pack(self, blocks: list[Block]) -> Packing | None:
        return pack([replace(b) for b in blocks], self.plan.capacity, self.plan.alignment, self.plan, any_order=True)

    def refuses(self, number: int, block: Block) -> str:
        """Why a tile cannot become this block, "" where it can: no room, or engines would wait in a loop for bytes that they share."""
        blocks = [block if i == number else b for i, b in enumerate(self.blocks)]
        packing = self._pack(blocks)
        if packing is None or self.packing is None:
            return f"{self.plan.memory} has no room for more"
        if packing.waits > max(1, self.packing.waits):
            return f"in {self.plan.memory} more would share bytes, over which engines wait for each other in the loop"
        return ""

    def take(self, number: int, block: Block) -> None:
        """Makes a tile this block."""
        self.blocks[number] = block


def grant(found: list[Candidate], around: Callable[[Candidate], Loop | None]) -> dict[int, Room]:
    """Sets `count` of every candidate; the rooms that are left, by id of the plan.

    Slots are given one at a time, so that no tile gets a third one before all that can have two; tiles of inner loops come first, then smaller
    ones, then program order.  `around`: the loop around the place where a candidate's slots will be made.
    """
    rooms = {id(c.plan): Room(c.plan) for c in found}
    order = sorted(range(len(found)), key=lambda i: (-found[i].loop.depth, found[i].buffer.size(found[i].plan.alignment), i))
    for count in range(2, max((c.stages for c in found), default=1) + 1):
        for candidate in (found[i] for i in order):
            if candidate.count != count - 1 or candidate.stages < count:
                continue
            room, block = rooms[id(candidate.plan)], slots_block(candidate, count, around(candidate))
            candidate.why = room.refuses(candidate.number, block)
            if not candidate.why:
                candidate.count = count
                room.take(candidate.number, block)
    return rooms


def slots_block(candidate: Candidate, count: int, around: Loop | None) -> Block:
    """The block of a candidate with `count` slots that are made in the loop `around`."""
    ring = replace(candidate.buffer, slots=count, loop=around, turned=candidate.loop.depth)
    return Block(ring.size(candidate.plan.alignment), *interval(ring, len(candidate.plan.live.ops)))


def stages_by_hand(loop: Loop) -> int | None:
    """What the author wrote on a loop, None where nothing."""
    return plain(loop.op.attributes[STAGES]) if STAGES in loop.op.attributes else None
