"""In which order a pipe's entries may be taken, filled, handed over, read and given back, and when that would deadlock.

The library counts: slots are handed over, and given back, in the order in which they were taken, whatever entry a push or a free names.
The consumer tells the producer of free slots once every `sync_period` pops, with a free that comes before the next pop.  So a free while
a later entry is held is left to the free of that one where the period is more than 1 (`deferred`).  Each side is followed through its
loops and branches with the counts that the library keeps.  Source: pto-isa 3186c381, include/pto/npu/a2a3/{TPush,TPop,TFree,TAlloc}.hpp.
"""

from dataclasses import dataclass, field, replace
from math import lcm
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import VerifyError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import location_of
from ptoc.dialect.pipe_facts import C2V, PRODUCING, V2C

from .pipe_program import SECTIONS, Pipe, Side, Use, scope_of
from .pipe_walk import LOOPS, Loop, Step, follow, tree_of

LONGEST_TURN = 240
"""Entries beyond which the two sides are not held against each other place by place."""

Entry = tuple[ir.Value, Use, int]
"""The value that names an entry, the op that took it, and how many were taken since."""


@dataclass(frozen=True)
class State:
    """One side at one point.

    count: slots taken so far, up to slot_num; residue: the same modulo the turn (see `_turn`); debt: whole periods popped and not
    reported, up to slot_num; held: entries taken and not given on, oldest first; closed: values of entries that were, with the op that did it; assumed:
    conditions known here.
    """

    count: int = 0
    residue: int = 0
    debt: int = 0
    held: tuple[Entry, ...] = ()
    closed: tuple[tuple[ir.Value, Use], ...] = ()
    assumed: frozenset = frozenset()


@dataclass
class Order:
    """What following the pipes of a program gave: frees that another one reports, and remarks."""

    deferred: list[Use] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check_order(pipes: list[Pipe], arch: str) -> Order:
    """Follows both sides of each pipe.  Raises VerifyError where an order is not one of the library's, or would deadlock."""
    order = Order()
    for pipe in pipes:
        for way in (C2V, V2C):
            turn, waits = _turn(pipe, way), None
            for side in pipe.sides:
                if uses := [u for u in side.uses if u.direction == way and u.role in PRODUCING]:
                    producer = _Producer(pipe, side, uses, turn)
                    producer.run()
                    waits = {*(waits or ()), *producer.waits}
            for side in pipe.sides:
                if uses := [u for u in side.uses if u.direction == way and u.role not in PRODUCING]:
                    _Consumer(pipe, side, uses, turn, arch, waits, order).run()
    return order


def _turn(pipe: Pipe, way: int) -> int:
    """Entries after which both sides are where they were: a multiple of the period and of what each loop's body takes, where that is not too long."""
    turn = period = pipe.facts["sync_period"]
    bodies: dict[ir.Operation, int] = {}
    for use in pipe.uses:
        if use.direction == way and (use.role in ("alloc", "pop") or (use.role == "push" and isinstance(use.kind, t.Tile))):
            parent = use.rec.op.parent.operation
            while parent.name not in ("func.func", *SECTIONS):
                if parent.name in LOOPS:
                    bodies[parent] = bodies.get(parent, 0) + 1
                parent = parent.parent.operation
    for count in bodies.values():
        turn = lcm(turn, count)
    return turn if turn <= LONGEST_TURN else period


class _Follower:
    """Follows one side of a pipe; `how` entries are given on: "pushed" or "freed"."""

    how = ""

    def __init__(self, pipe: Pipe, side: Side, uses: list[Use], turn: int) -> None:
        self.pipe, self.uses, self.turn = pipe, uses, turn
        self.scope = scope_of(side.init.op)
        self.slots, self.period = pipe.facts["slot_num"], pipe.facts["sync_period"]

    def run(self) -> None:
        """Follows the section; at its end nothing is held."""
        for state in follow([State()], tree_of(self.scope, self.uses), self.step, self.turned):
            if state.held:
                self.left(state.held[0][1], f"by the end of the section, on some way through it ({location_of(self.scope)})")

    def step(self, state: State, node: Step) -> State:
        """The state after an op."""
        for value in node.touched if node.use is None else ():
            self.refuse_closed(state, value, node)
        return state if node.use is None else self.use(state, node.use)

    def use(self, state: State, use: Use) -> State:
        raise AssertionError("a side says what its ops do")

    def turned(self, before: State, after: State, loop: Loop) -> State:
        """The state for the next iteration: it holds what the last one held."""
        mine = [entry for entry in after.held if entry not in before.held]
        gone = [entry for entry in before.held if entry not in after.held]
        if mine:
            self.left(mine[0][1], f"by the end of the body of the loop at {location_of(loop.op)}")
        if gone:
            use = next(use for value, use in after.closed if value == gone[0][0])
            raise VerifyError(
                f"'{use.spelling}': an entry taken at {gone[0][1].location}, outside of the loop at {location_of(loop.op)}, is {self.how} in it, once in each iteration", use.location
            )
        inside = {value for value, _ in after.closed if _defined_in(value, loop.op)}
        kept = tuple(pair for pair in after.closed if pair[0] not in inside)
        assumed = frozenset(pair for pair in after.assumed if not _defined_in(pair[0], loop.op))
        return replace(after, closed=kept, assumed=assumed)

    def left(self, use: Use, where: str) -> None:
        verb, missing = ("allocated", "pushed: its consumer would wait for ever") if self.how == "pushed" else ("popped", "freed: the producer would never get its slot back")
        raise VerifyError(f"'{use.spelling}': the entry of {self.pipe.label} that is {verb} here is not {self.how} {where}; it must be {missing}", use.location)

    def refuse_closed(self, state: State, value: ir.Value, node: Step) -> None:
        """An entry is not touched any more once it was given on."""
        closer = dict(state.closed).get(value)
        if closer is not None:
            whose = "the consumer may be reading it" if self.how == "pushed" else "the producer may be filling it again"
            raise VerifyError(f"'{node.op.opview.spelling}': an entry of {self.pipe.label} is used after it was {self.how} at {closer.location}: {whose}", location_of(node.op))

    def take(self, state: State, use: Use) -> State:
        """One more slot taken; an op that fills in a value that still names a held entry loses that one."""
        again = next((entry for entry in state.held if entry[0] == use.slot), None)
        if again is not None and self.holds(use):
            raise VerifyError(f"'{use.spelling}': its entry is still the one that was taken at {again[1].location}, which is not {self.how} yet", use.location)
        residue = (state.residue + 1) % self.turn
        closed = tuple(pair for pair in state.closed if pair[0] != use.slot)
        return replace(state, count=min(self.slots, state.count + 1), residue=residue, closed=closed)

    def holds(self, use: Use) -> bool:
        """Whether what an op takes is held until something gives it on."""
        return True

    def give(self, state: State, use: Use, verb: str) -> State:
        """The oldest entry given on, which must be the one that the op names."""
        at = next((n for n, (value, _, _) in enumerate(state.held) if value == use.slot), None) if use.slot is not None else 0
        if at is None:
            closer = dict(state.closed).get(use.slot)
            before = f"it was {self.how} at {closer.location} before" if closer is not None else f"no {'alloc' if self.how == 'pushed' else 'pop'} of this pipe gave it here"
            raise VerifyError(f"'{use.spelling}': the entry is not one of {self.pipe.label} that can be {self.how}: {before}", use.location)
        if at:
            first = state.held[0][1]
            raise VerifyError(
                f"'{use.spelling}': the entries of {self.pipe.label} are {self.how} in the order in which they were taken, the library only counts;"
                f" got that of {state.held[at][1].location} before that of {first.location}: {verb} that one first",
                use.location,
            )
        if not state.held:
            raise VerifyError(f"'{use.spelling}': nothing of {self.pipe.label} is popped here that could be freed: each pop is freed once", use.location)
        return replace(state, held=state.held[1:], closed=(*state.closed, (state.held[0][0], use)))


class _Producer(_Follower):
    """`waits`: where it waits for a free slot (every `period`th, once the ring has gone round), modulo the turn, with how many it then holds."""

    how = "pushed"

    def __init__(self, pipe: Pipe, side: Side, uses: list[Use], turn: int) -> None:
        super().__init__(pipe, side, uses, turn)
        self.waits: set[tuple[int, int]] = set()

    def use(self, state: State, use: Use) -> State:
        if use.role == "push" and isinstance(use.kind, t.View):
            return self.give(state, use, "push")
        if use.role == "push" and state.held:
            raise VerifyError(
                f"'{use.spelling}': a tile is pushed while the entry allocated at {state.held[0][1].location} is not: the consumer takes slots in their order; push that one first",
                use.location,
            )
        ahead = len(state.held)
        if state.count >= self.slots and state.residue % self.period == 0:
            self.waits.add((state.residue, ahead))
            if ahead > self.slots - self.period:
                raise VerifyError(
                    f"'{use.spelling}': {self.pipe.label} would deadlock: it waits for a free slot while {ahead} before it are not pushed, the first from"
                    f" {state.held[0][1].location}; of {self.slots} slots that are reported free {self.period} at a time at most {self.slots - self.period} may be:"
                    " push earlier, or raise slot_num",
                    use.location,
                )
        after = self.take(state, use)
        return after if use.role == "push" else replace(after, held=(*state.held, (use.slot, use, 0)))


class _Consumer(_Follower):
    """`waits`: those of the producer, None where it is not there; `itself`: whether a pop gives its slot back at once, as a tile loaded from GM does."""

    how = "freed"

    def __init__(self, pipe: Pipe, side: Side, uses: list[Use], turn: int, arch: str, waits: set[tuple[int, int]] | None, order: Order) -> None:
        super().__init__(pipe, side, uses, turn)
        self.waits, self.order = waits, order
        tiles = any(u.role == "pop" and isinstance(u.kind, t.Tile) for u in uses)
        self.itself = tiles and pipe.through_gm
        self.unreported = arch == "a3" and not self.itself
        self.local = pipe.facts["local_slot_num"]
        self.later: dict[Use, set[bool]] = {}

    def run(self) -> None:
        super().run()
        for use, later in self.later.items():
            if later == {True, False}:
                raise VerifyError(
                    f"'{use.spelling}': whether a later entry of {self.pipe.label} is held at this free depends on the way to it, and with it whether the library may"
                    " report it: free before the next pop",
                    use.location,
                )
        self.order.deferred += [use for use, later in self.later.items() if later == {True}]
        if self.unreported:
            self.order.remarks += [
                f"{use.location}: '{use.spelling}': this free of {self.pipe.label} does not name its entry, and on a3 the library then reports nothing:"
                f" the producer waits for ever once all {self.slots} slots were used; name the entry"
                for use in self.uses
                if use.role == "free" and use.slot is None
            ]

    def use(self, state: State, use: Use) -> State:
        if use.role == "pop":
            return self.pop(state, use)
        if self.itself:
            return state
        given = self.give(state, use, "free")
        if self.period > 1:
            self.later.setdefault(use, set()).add(bool(given.held))
            if given.held:
                return given
        return replace(given, debt=max(0, given.debt - 1)) if given.residue % self.period == 0 else given

    def pop(self, state: State, use: Use) -> State:
        out = state.debt * self.period + state.residue % self.period
        ahead = self.ahead(state)
        if ahead is not None and out >= self.slots - ahead:
            raise VerifyError(self.deadlock(state, use, out, ahead), use.location)
        after = self.take(state, use)
        if self.itself:
            return self.refilled(after, use)
        return replace(after, held=(*state.held, (use.slot, use, 0)), debt=min(self.slots, state.debt + (after.residue % self.period == 0)))

    def ahead(self, state: State) -> int | None:
        """Most slots that the producer holds where it waits with the next entry to pop not pushed yet; None where it never waits there."""
        if self.waits is None:
            return 0
        return max((ahead for index, ahead in self.waits if (index - ahead - state.residue) % self.turn == 0), default=None)

    def refilled(self, state: State, use: Use) -> State:
        """A popped tile is lost when as many others were popped as there are local slots."""
        older = [(value, op, age + 1) for value, op, age in state.held if value != use.slot]
        lost = tuple((value, use) for value, _, age in older if age >= self.local)
        return replace(state, held=(*(e for e in older if e[2] < self.local), (use.slot, use, 0)), closed=(*state.closed, *lost))

    def holds(self, use: Use) -> bool:
        return not self.itself

    def left(self, use: Use, where: str) -> None:
        if not self.itself:
            super().left(use, where)

    def turned(self, before: State, after: State, loop: Loop) -> State:
        if not self.itself:
            return super().turned(before, after, loop)
        return replace(after, closed=tuple(pair for pair in after.closed if not _defined_in(pair[0], loop.op)), assumed=before.assumed)

    def refuse_closed(self, state: State, value: ir.Value, node: Step) -> None:
        if not self.itself:
            super().refuse_closed(state, value, node)
            return
        filler = dict(state.closed).get(value)
        if filler is not None:
            raise VerifyError(
                f"'{node.op.opview.spelling}': the tile popped from {self.pipe.label} is lost: its local slot, one of {self.local}, was filled again by the pop at"
                f" {filler.location}: use it before, or raise local_slot_num",
                location_of(node.op),
            )

    def deadlock(self, state: State, use: Use, out: int, before: int) -> str:
        held = f", {len(state.held)} of them held since {state.held[0][1].location}" if state.held else ""
        ahead = f", and the producer allocates {before} more before it pushes" if before else ""
        return (
            f"'{use.spelling}': {self.pipe.label} would deadlock: {out} of {self.slots} slots are popped and not reported free{held}{ahead}, so that the producer"
            f" has none for the entry that this pop waits for; a report comes every {self.period} pops, with a free that no later pop precedes:"
            " free each entry before the next pop"
        )


def _defined_in(value: Any, op: ir.Operation) -> bool:
    """Whether a value is made inside an op."""
    owner = value.owner
    at = owner.owner.operation if isinstance(owner, ir.Block) else owner.operation.parent.operation
    while at.name != "builtin.module":
        if at == op:
            return True
        at = at.parent.operation
    return False
