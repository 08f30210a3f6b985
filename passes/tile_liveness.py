"""When is a tile alive: from its first to its last use in program order, loops through which its bytes live included.

A *position* is the number of an op in a walk of the function.  A tile that is used in a loop but made outside of it lives through the
whole loop, unless all its uses are in that loop and the first one in each iteration overwrites all that others read: then it is dead at the
back edge and lives from that first use to its last one.  The slots of a multi tile live through the loop that turns them, wherever they are
made: those of other iterations are in use.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, Record, location_of, record

NOT_LOOPS = ("scf.if", "pto.section_cube", "pto.section_vector", "func.func")
ALLOCS = ("pto.alloc_tile", "pto.alloc_multi_tile")
RESERVE = "pto.reserve_buffer"


@dataclass(frozen=True)
class Loop:
    """A loop: `position` of the loop op, `end` of the last op in it, and the loop around it."""

    op: ir.Operation
    position: int
    depth: int
    parent: "Loop | None"
    ends: list[int] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Position of the last op inside."""
        return self.ends[0]

    def chain(self) -> list["Loop"]:
        """This loop and all around it, outermost first."""
        return [*(self.parent.chain() if self.parent else ()), self]


@dataclass(frozen=True)
class Use:
    """An op that touches a tile.

    `value`: the operand, the tile or a view of it; `kills`: all valid elements of that are overwritten and none is read; `direct`: it is the
    tile itself; `pipe`: the engine that it runs on, "" where none is known.
    """

    position: int
    loop: Loop | None
    op: ir.Operation | None = None
    kills: bool = False
    direct: bool = False
    pipe: str = ""
    reads: bool = True
    writes: bool = True
    value: ir.Value | None = None


@dataclass
class Buffer:
    """Memory that needs an address: a tile, the slots of a multi tile, or a reserved buffer.

    `slot_bytes` is the size of one of its `slots` before rounding; `turned`: the least depth of a loop in which one of its slots is chosen;
    `lo`, `hi`: first and last position where it is alive.
    """

    op: ir.Operation
    memory: str
    slots: int
    slot_bytes: int
    type: t.Tile | None
    loop: Loop | None
    address: int | None = None
    uses: list[Use] = field(default_factory=list)
    lo: int = 0
    hi: int = 0
    turned: int | None = None

    @property
    def pipes(self) -> frozenset[str]:
        """The engines whose ops touch it."""
        return frozenset(use.pipe for use in self.uses if use.pipe)

    def loops(self) -> list["Loop"]:
        """The loops in which it is used, outermost first."""
        found = {id(loop): loop for use in self.uses if use.loop for loop in use.loop.chain()}
        return sorted(found.values(), key=lambda loop: (loop.depth, loop.position))

    @property
    def location(self) -> str:
        """file:line of the op that makes it."""
        return location_of(self.op)

    @property
    def name(self) -> str:
        """Its name where the source gives one, and its type."""
        given = self.op.attributes["name"] if "name" in self.op.attributes else None
        name = given.value if isinstance(given, ir.StringAttr) else getattr(self.op.location, "name_str", "")
        what = f"{self.type}" if self.type else "reserved"
        return " ".join(filter(None, (name, f"<{what}>", f"x{self.slots}" if self.slots > 1 else "")))

    def size(self, alignment: int) -> int:
        """Bytes that it takes: each slot rounded up to the memory's alignment."""
        return self.slots * -(-self.slot_bytes // alignment) * alignment


@dataclass
class Liveness:
    """The buffers of a function in program order, its ops by position, its loops."""

    buffers: list[Buffer]
    ops: list[ir.Operation]
    loops: list[Loop]


def liveness(func: ir.Operation) -> Liveness:
    """Buffers of a function with the positions where they are alive."""
    steps: list[Step] = []
    _number(func, None, steps)
    buffers = {op.results[0]: _buffer(op, loop) for op, loop, _ in steps if op.name in (*ALLOCS, RESERVE)}
    aliases = {value: (buffer,) for value, buffer in buffers.items()}
    while any([_follow(step, aliases) for step in steps]):  # a list: one whole round
        pass
    for position, step in enumerate(steps):
        _note_uses(position, step, aliases)
    for buffer in buffers.values():
        buffer.lo, buffer.hi = interval(buffer, len(steps))
    return Liveness(list(buffers.values()), [op for op, _, _ in steps], [step.own for step in steps if step.own])


class Step(NamedTuple):
    """An op at its position, the loop around it, and the loop that it is."""

    op: ir.Operation
    loop: Loop | None
    own: Loop | None


Aliases = dict[ir.Value, tuple[Buffer, ...]]


def _number(op: ir.Operation, loop: Loop | None, steps: list[Step]) -> None:
    for region in op.regions:
        for block in region.blocks:
            for view in block.operations:
                inner = view.operation
                own = None
                if len(inner.regions) and inner.name not in NOT_LOOPS:
                    own = Loop(inner, len(steps), loop.depth + 1 if loop else 1, loop)
                steps.append(Step(inner, loop, own))
                _number(inner, own or loop, steps)
                if own:
                    own.ends.append(len(steps) - 1)


def _follow(step: Step, aliases: Aliases) -> bool:
    """Passes aliases on through a view, a branch or a loop.  True where something was added."""
    op = step.op
    if len(op.regions):
        yielded = _yields(op)
        if step.own and len(op.results):
            yielded.append(list(op.operands)[-len(op.results) :])
        targets = [op.results, *(block.arguments for region in op.regions for block in region.blocks)] if step.own else [op.results]
        return any([_join(aliases, values, list(target)[-len(values) :]) for values in yielded if values for target in targets])
    if _is_view(op):
        return _join(aliases, [v for v in op.operands], [op.results[0]] * len(op.operands))
    return False


def _join(aliases: Aliases, values: list[ir.Value], targets: list[ir.Value]) -> bool:
    changed = False
    for value, target in zip(values, targets):
        known = aliases.get(target, ())
        more = [b for b in aliases.get(value, ()) if all(b is not k for k in known)]
        if more:
            aliases[target] = (*known, *more)
            changed = True
    return changed


def _note_uses(position: int, step: Step, aliases: Aliases) -> None:
    op = step.op
    if step.own:  # what a loop carries lives through all of it
        for buffer in {id(b): b for v in op.results for b in aliases.get(v, ())}.values():
            buffer.uses += [Use(position, step.loop), Use(step.own.end, step.loop)]
    elif _is_view(op):
        chosen = len(op.operands) and isinstance(t.of(op.operands[0].type), t.MultiTile)
        for buffer in aliases.get(op.operands[0], ()) if chosen else ():
            depth = step.loop.depth if step.loop else 0
            buffer.turned = depth if buffer.turned is None else min(depth, buffer.turned)
    elif not len(op.regions) and op.name not in ("scf.yield", "scf.condition"):
        rec = record(op) if op.name in REGISTRY and any(v in aliases for v in op.operands) else None
        for value in op.operands:
            for buffer in aliases.get(value, ()):
                buffer.uses.append(_use(position, step, rec, value, buffer))


def _use(position: int, step: Step, rec: Record | None, value: ir.Value, buffer: Buffer) -> Use:
    """What an op does with a buffer that one of its operands is."""
    direct = value == buffer.op.results[0]
    if rec is None:
        return Use(position, step.loop, step.op, direct=direct, value=value)
    names = [n for n, v in rec.operands.items() if any(x == value for x in (v if isinstance(v, list) else [v]))]
    reads, writes = (any(n in touched for n in names) for touched in (rec.cls.reads_of(rec), rec.cls.writes))
    kills = buffer.slots == 1 and buffer.type is not None and writes and not any(n in rec.cls.reads for n in names)
    return Use(position, step.loop, step.op, kills, direct, rec.cls.pipe_of(rec).removeprefix("PIPE_"), reads, writes, value)


def _is_view(op: ir.Operation) -> bool:
    """True for an op that issues nothing and gives (part of) the tile in its operands another name."""
    cls = REGISTRY.get(op.name)
    return bool(cls) and not cls.reads and not cls.writes and len(op.results) == 1 and isinstance(t.of(op.results[0].type), t.Tile | t.MultiTile)


def _yields(op: ir.Operation) -> list[list[ir.Value]]:
    ends = [block.operations[len(block.operations) - 1].operation for region in op.regions for block in region.blocks if len(block.operations)]
    return [list(end.operands)[1 if end.name == "scf.condition" else 0 :] for end in ends if end.name in ("scf.yield", "scf.condition")]


def _buffer(op: ir.Operation, loop: Loop | None) -> Buffer:
    if op.name == RESERVE:
        values = {name: op.attributes[name] for name in ("size", "location", "base") if name in op.attributes}
        loc = getattr(values["location"], "params", None)
        memory = t.MEMORIES[ir.StringAttr(loc[1]).value.lower() if loc else ir.StringAttr(values["location"]).value]
        address = ir.IntegerAttr(values["base"]).value if "base" in values else None
        return Buffer(op, memory, 1, ir.IntegerAttr(values["size"]).value, None, loop, address)
    type_ = t.of(op.results[0].type)
    tile, slots = (type_.tile, type_.count) if isinstance(type_, t.MultiTile) else (type_, 1)
    return Buffer(op, tile.memory, slots, tile.bytes, tile, loop)


def interval(buffer: Buffer, end: int) -> tuple[int, int]:
    """First and last position where the buffer is alive; a reserved buffer is alive throughout (another core writes it)."""
    if buffer.op.name == RESERVE:
        return 0, end
    if not buffer.uses:
        return -1, -1
    positions = [use.position for use in buffer.uses]
    lo, hi = min(positions), max(positions)
    made_at = buffer.loop.depth if buffer.loop else 0
    if buffer.slots > 1:
        made_at = min(made_at, (buffer.turned or 1) - 1)
    elif (private := overwritten_in(buffer)) is not None:
        made_at = max(made_at, private.depth)
    for use in buffer.uses:
        for loop in use.loop.chain() if use.loop else ():
            if loop.depth > made_at:
                lo, hi = min(lo, loop.position), max(hi, loop.end)
    return lo, hi


def overwritten_in(buffer: Buffer) -> Loop | None:
    """The loop that has all uses of a tile and whose every iteration begins them by overwriting all that the others read; None if there is none."""
    uses = sorted(buffer.uses, key=lambda use: use.position)
    common = _common_loop(uses)
    if common is None or not uses[0].kills or uses[0].loop is not common or not _directly_in(uses[0].op, common.op):
        return None
    whole = uses[0].direct and buffer.type.valid == (buffer.type.rows, buffer.type.cols)
    same = all(use.value == uses[0].value and (use.reads or use.writes) for use in uses)  # one view, whose valid sizes no op changes
    return common if whole or same else None


def _common_loop(uses: list[Use]) -> Loop | None:
    chains = [use.loop.chain() if use.loop else [] for use in uses]
    common = None
    for level in zip(*chains):
        if any(loop is not level[0] for loop in level):
            break
        common = level[0]
    return common


def _directly_in(op: ir.Operation, loop: ir.Operation) -> bool:
    """True where an op runs in every iteration of a loop (sections of a core kind count as the loop's own body)."""
    parent = op.parent.operation if hasattr(op.parent, "operation") else op.parent
    return parent == loop or (parent.name in NOT_LOOPS[1:3] and _directly_in(parent, loop))
