"""What each pipe knows to be complete, at every point of a tree of commands, loops and branches: one number per pipe and loop.

Commands of one pipe complete in order, so knowledge of a pipe is a prefix of its commands.  Measured within the current activation of a
loop, a prefix that ends just before position x, d iterations ago, is the *age* d * SPAN - x.  Position p of k iterations ago is known
complete iff k * SPAN - p > age.  There is one age per level: level 0 for the whole function, level n for the n-th enclosing loop, and one
more for each loop whose iterations are counted on through outer loops (a *running* level: not reset when the loop is entered anew).

    state[row, pipe, level]   rows: what each pipe knows before its next command, then what each raised flag carries

    command of P at x     every row: age = max(age, -x) on P's levels here          (it may be incomplete from now on)
    next iteration of L   age += SPAN on L's levels
    set on P              new row: what P knows, and all of P so far
    wait on Q             row Q = min(row Q, flag's row); on the scalar unit: every row
    barrier of P          row P: all of P so far; ALL: every row, everything so far
    join, loop head       max: sound for loops that run zero times and for both arms of a branch

"All so far" is NEVER.  Ages stop at UNKNOWN; loop heads are iterated until nothing changes.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ptoc.dialect.mlir import ir

from .sync_dependences import Dependence
from .sync_tree import Block, Branch, Leaf, Loop

SPAN = 1 << 40
NEVER = -(1 << 60)
UNKNOWN = 20 * SPAN
SCALAR = "S"
PATIENCE = 20
"""Rounds of a loop before ages that still grow are taken as unknown: more than the deepest ring."""

Arm = tuple[Loop | None, Block]
"""A level of the commands of one arm of a branch, or of one inner loop, alone, counted by a loop around it: what may run elsewhere, and
may be incomplete where this did not run, does not blur it."""

Flags = dict[object, list[int]]
"""By unit, the rows of its raised flags, oldest first."""


def arms_around(block: Block) -> list[Block]:
    """The arms and loop bodies that may be left out and that a block is in, or is, innermost first."""
    found = []
    while block is not None:
        if isinstance(block.owner, Branch) or (block.owner and not block.owner.runs):
            found.append(block)
        block = block.owner.block if block.owner else None
    return found


def arms_of(d: Dependence) -> list[Arm]:
    """The arm levels that may tell whether a dependence is in order: arms in its loop that p is in and q is not, within one iteration, or any."""
    if d.loop is not d.scope:
        return []
    outside = [] if d.distance else arms_around(d.q.block)
    inner = [arm for arm in arms_around(d.p.block) if arm.owner is not d.loop and (d.loop is None or d.loop in arm.loops)]
    return [(d.loop, arm) for arm in inner if all(arm is not other for other in outside)]


def runs_of(d: Dependence) -> list[tuple[Arm, int]]:
    """Levels of the runs of arms that p of a dependence is in, and how many runs ago that was at least."""
    if d.loop is not d.scope:
        return []
    later = arms_around(d.q.block)
    mine = [arm for arm in arms_around(d.p.block) if isinstance(arm.owner, Branch) and (d.loop is None or d.loop in arm.loops)]
    return [((d.loop, arm), int(bool(d.distance) and any(arm is other for other in later))) for arm in mine]


def _ages(rows: int, pipes: int, levels: int) -> np.ndarray:
    """Ages [rows, pipes, levels], all NEVER, in memory pipe by pipe: a command changes one pipe's in all rows."""
    return np.full((pipes, rows, levels), NEVER).transpose(1, 0, 2)


class Violated(Exception):
    """A dependence is not in order (only raised where the caller asked for a yes or no)."""


class State:
    """Ages and raised flags at one point."""

    __slots__ = ("ages", "flags", "free")

    def __init__(self, ages: np.ndarray, flags: Flags, free: list[int]) -> None:
        self.ages, self.flags, self.free = ages, flags, free

    def copy(self) -> "State":
        """An independent copy."""
        return State(self.ages.copy(order="K"), {unit: rows.copy() for unit, rows in self.flags.items()}, self.free.copy())

    def row(self) -> int:
        """A free row."""
        if not self.free:
            size = len(self.ages)
            self.ages, smaller = _ages(2 * size, *self.ages.shape[1:]), self.ages
            self.ages[:size] = smaller
            self.free = list(range(2 * size - 1, size - 1, -1))
        return self.free.pop()


class Clocks:
    """The analysis of one tree.  `peel`: first iterations that are gone through one by one, which tells more and takes longer.

    `check(leaf, state)` is called before each command while `checking` (not while a head settles), `leave()` where a walk
    goes on in another block."""

    def __init__(self, pipes: Iterable[str], depth: int, running: list[tuple[Loop, Loop]], arms: Sequence[Arm] = (), runs: Sequence[Arm] = ()) -> None:
        self.pipes = {pipe: i for i, pipe in enumerate(pipes)}
        self.depth, self.running = depth, running
        self.arms = {arm: 1 + depth + len(running) + number for number, arm in enumerate(arms)}
        self.runs = {arm: 1 + depth + len(running) + len(arms) + number for number, arm in enumerate(runs)}
        self.levels = 1 + depth + len(running) + len(arms) + len(runs)
        for number, (loop, _) in enumerate(running):
            loop.running.append(1 + depth + number)
        self.peel = 0
        self.first: frozenset[ir.Operation] = frozenset()  # loops whose first iteration is gone through
        self.drains: dict[Loop, list[Leaf]] = {}
        self._masks: dict[int, np.ndarray] = {}
        self.check: Callable[[Leaf, State], None] = lambda leaf, state: None
        self.leave: Callable[[], None] = lambda: None
        self.checking = False
        self.heads: list[Loop] = []  # loops that are settling, outermost first
        self.rounds: dict[Loop, State] = {}  # what the loops in them came to in their last round

    def level(self, loop: Loop | None, scope: Loop | None) -> int:
        """The level of a loop's own activation, or the running one counted through `scope`."""
        if loop is scope:
            return loop.info.depth if loop else 0
        return 1 + self.depth + next(i for i, (a, b) in enumerate(self.running) if a is loop and b is scope)

    def fresh(self, complete_from: int = 0, lost: frozenset[int] = frozenset()) -> State:
        """A state in which nothing has run yet since levels from `complete_from` on were entered; lower ones and `lost` are unknown."""
        count = len(self.pipes)
        ages = _ages(2 * count + 8, count, self.levels)
        ages[:count, :, :complete_from] = UNKNOWN
        for level in lost:
            ages[:count, :, level] = UNKNOWN
        return State(ages, {}, list(range(2 * count + 7, count - 1, -1)))

    def mask(self, block: Block) -> np.ndarray:
        """0 at the levels of a block, NEVER elsewhere: ages of a command there."""
        key = id(block)
        if key not in self._masks:
            mask = np.full(self.levels, NEVER)
            mask[: len(block.loops) + 1] = 0
            for loop in block.loops:
                mask[loop.running] = 0
            for (_, arm), level in self.arms.items():
                if arm in arms_around(block):
                    mask[level] = 0
            for (_, arm), level in self.runs.items():
                if arm in arms_around(block):
                    mask[level] = 0
            self._masks[key] = mask
        return self._masks[key]

    def ordered(self, state: State, dependence: Dependence) -> bool:
        """True where a dependence is in order at its q, `state` being what holds before q."""
        return self.told(state.ages[self.pipes[dependence.q.pipe]], dependence)

    def told(self, row: np.ndarray, d: Dependence) -> bool:
        """True where a dependence is in order for a q that knows `row`."""
        ages, limit = row[self.pipes[d.p.pipe]], d.distance * SPAN - d.p.pos
        return bool(
            ages[self.level(d.loop, d.scope)] < limit
            or any(ages[self.arms[arm]] < limit for arm in arms_of(d) if arm in self.arms)
            or any(ages[self.runs[arm]] < ago * SPAN - d.p.pos for arm, ago in runs_of(d) if arm in self.runs)
        )

    def block(self, block: Block, state: State) -> State:
        """The state after a block."""
        for item in block.items:
            state = self.item(item, state)
        self.leave()
        return state

    def item(self, item: Leaf | Loop | Branch, state: State) -> State:
        """The state after one node."""
        if isinstance(item, Leaf):
            if self.checking:
                self.check(item, state)
            self.leaf(item, state)
            return state
        self.leave()
        if isinstance(item, Branch):
            ends = [self.block(arm, self.run(arm, state.copy())) for arm in item.arms_in(self.first)]
            return self.join(ends) if ends else state
        return self.loop(item, state)

    def run(self, arm: Block, state: State) -> State:
        """Begins a run of an arm: what its earlier runs did is one run older."""
        for (_, other), level in self.runs.items():
            if other is arm:
                ages = state.ages[:, :, level]
                ages[ages > NEVER // 2] += SPAN
                np.minimum(ages, UNKNOWN, out=ages)
        return state

    def leaf(self, leaf: Leaf, state: State) -> None:
        """Runs one command."""
        kind = leaf.kind
        if kind == "work":
            self.executed(leaf, state)
            if leaf.drained:
                self.barrier(leaf.pipe, state)
        elif kind == "barrier":
            self.barrier(leaf.pipe, state)
        elif kind == "unknown":
            pass
        elif kind in ("set", "prime"):
            for _ in range(leaf.unit.depth if kind == "prime" else 1):
                self.raise_flag(leaf, state)
        else:
            for _ in range(leaf.unit.depth if kind == "drain" else 1):
                self.take_flag(leaf, state)

    def executed(self, leaf: Leaf, state: State) -> None:
        """A command may be incomplete from now on."""
        ages = state.ages[:, self.pipes[leaf.pipe]]
        np.maximum(ages, self.mask(leaf.block) - leaf.pos, out=ages)

    def barrier(self, pipe: str, state: State) -> None:
        """What a barrier of a pipe, or of ALL, proves."""
        if pipe == "ALL":
            state.ages[: len(self.pipes)] = NEVER
        elif pipe in self.pipes:
            state.ages[self.pipes[pipe], self.pipes[pipe]] = NEVER

    def raise_flag(self, leaf: Leaf, state: State) -> None:
        """A flag takes along what its pipe knows, and all of its pipe so far."""
        row, pipe = state.row(), self.pipes[leaf.pipe]
        state.ages[row] = state.ages[pipe]
        state.ages[row, pipe] = NEVER
        state.flags.setdefault(leaf.unit, []).append(row)

    def take_flag(self, leaf: Leaf, state: State) -> None:
        """A wait learns what the oldest raised flag says."""
        rows = state.flags.get(leaf.unit)
        if rows:
            row = rows.pop(0)
            self.learn(leaf.pipe, state.ages[row].copy(), state)
            state.free.append(row)
        self.executed(leaf, state)

    def learn(self, pipe: str, ages: np.ndarray, state: State) -> None:
        """Pipe `pipe` gets to know what `ages` says; what the scalar unit knows holds for every later command."""
        mine = state.ages[self.pipes[pipe]]
        np.minimum(mine, ages, out=mine)
        if pipe == SCALAR:
            rows = state.ages[: len(self.pipes)]
            np.minimum(rows, mine[None], out=rows)

    def loop(self, loop: Loop, state: State) -> State:
        """The state after a loop: its head is joined with the end of its body until nothing changes."""
        ways = [] if loop.runs else [state.copy()]
        self.enter(loop, state)
        for turn in range(self.peel):
            if loop.trips == turn:
                break
            first, self.first = self.first, self.first | {loop.op} if turn == 0 else self.first - {loop.op}
            state = self.block(loop.body, self.next_iteration(loop, state))
            self.first = first
            if loop.trips is None or loop.trips == turn + 1:
                ways.append(state.copy())
        if loop.trips is None or loop.trips > self.peel:
            head = self.settled(loop, state)
            ways.append(self.block(loop.body, self.next_iteration(loop, head)))
        for way in ways:
            self.drain(loop, way)
        return self.join(ways)

    def drain(self, loop: Loop, state: State) -> None:
        """What the drains right after a loop will tell, noted before ways of leaving it are joined: each way knows its part from elsewhere."""
        for leaf in self.drains.get(loop, ()):
            for row in state.flags.get(leaf.unit, ())[: leaf.unit.depth]:
                self.learn(leaf.pipe, state.ages[row], state)

    def enter(self, loop: Loop, state: State) -> None:
        """Begins an activation: nothing of it has run."""
        state.ages[:, :, loop.info.depth] = NEVER
        for number, (_, scope) in enumerate(self.running):
            if scope is loop:
                state.ages[:, :, 1 + self.depth + number] = NEVER
        for (scope, _), level in self.arms.items():
            if scope is loop:
                state.ages[:, :, level] = NEVER
        for (scope, _), level in self.runs.items():
            if scope is loop:
                state.ages[:, :, level] = NEVER

    def settled(self, loop: Loop, state: State) -> State:
        """What holds at the end of any iteration and on entry."""
        checking, self.checking = self.checking, False
        if not self.heads:
            self.rounds.clear()
        # While a loop around settles, its rounds only ever know less: what this loop came to in the round before is a sound start.
        head = self.join([state, self.rounds[loop]]) if loop in self.rounds else state
        self.heads.append(loop)
        for turn in range(1, 1000):
            end = self.block(loop.body, self.next_iteration(loop, head.copy()))
            joined = self.join([head, end])
            if self.same(joined, head):
                self.checking = checking
                self.heads.pop()
                if self.heads:
                    self.rounds[loop] = head.copy()
                return head
            if turn > PATIENCE:
                joined.ages[joined.ages > head.ages[: len(joined.ages)]] = UNKNOWN
            head = joined
        raise AssertionError("ages of a loop do not settle")

    def next_iteration(self, loop: Loop, state: State) -> State:
        """Everything of a loop is one iteration older."""
        for level in (loop.info.depth, *loop.running, *(level for (scope, _), level in self.arms.items() if scope is loop)):
            ages = state.ages[:, :, level]
            ages[ages > NEVER // 2] += SPAN
            np.minimum(ages, UNKNOWN, out=ages)
        return state

    def join(self, states: list[State]) -> State:
        """What holds whichever way was taken."""
        first, count = states[0], len(self.pipes)
        result = first.copy()
        for other in states[1:]:
            np.maximum(result.ages[:count], other.ages[:count], out=result.ages[:count])
            for unit in {**result.flags, **other.flags}:
                mine, others = result.flags.get(unit, []), other.flags.get(unit, [])
                result.free += mine[len(others) :]
                del mine[len(others) :]
                for a, b in zip(mine, others):
                    np.maximum(result.ages[a], other.ages[b], out=result.ages[a])
        return result

    def same(self, a: State, b: State) -> bool:
        """True where two states say the same; the first was made from the second by a join."""
        count = len(self.pipes)
        if not np.array_equal(a.ages[:count], b.ages[:count]):
            return False
        for unit in {**a.flags, **b.flags}:
            mine, others = a.flags.get(unit, []), b.flags.get(unit, [])
            if len(mine) != len(others) or not all(np.array_equal(a.ages[x], b.ages[y]) for x, y in zip(mine, others)):
                return False
        return True
