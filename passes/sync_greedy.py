"""Which units a tree needs: greedily where a dependence is not in order yet, inner loops first; then what turned out redundant goes.

In a block: dependences within one iteration in program order (of one command the latest producer first), then those that a loop carries, by
distance.  A flag that may be raised while it is raised gets more ids, or a unit back that acknowledges it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator

import numpy as np

from .sync_clocks import NEVER, SCALAR, SPAN, UNKNOWN, Clocks, State, Violated, arms_around, arms_of, runs_of
from .sync_dependences import Dependence
from .sync_tree import Block, Branch, Function, Leaf, Loop, ancestor, blocks_of, common_block
from .sync_units import Placement, Unit

MOST_IDS = 8
ACKNOWLEDGED = 4
"""Rounds of acknowledgements (which need some themselves) before a local barrier stands in."""

MOST_ARMS = 64
"""Levels of arms and inner loops: each makes every step a little slower, and left out ones cost at most a redundant unit."""

PEELED = 20_000
"""Up to so many commands, loops counted threefold, units are tested with their loops' first iterations peeled."""


def solve(function: Function, found: list[Dependence], free_ids: Callable[[tuple[str, str]], list[int]]) -> Placement:
    """Puts the units that the dependences need into the function's tree; `free_ids`: the event ids that they may have, by pair of pipes."""
    solver = _Solver(function, found)
    solver.settle(function.root, None)
    solver.free_ids()
    solver.prune()
    solver.stretch(free_ids)
    return solver.placed


class _Solver:
    def __init__(self, function: Function, found: list[Dependence]) -> None:
        self.root = function.root
        self.choices = [item.pos for item in function.root.items if not isinstance(item, Leaf)]
        pipes = sorted({leaf.pipe for leaf in function.root.leaves() if leaf.kind != "barrier"})
        depth = max((len(block.loops) for block in _blocks(function.root)), default=0)
        running = list(dict.fromkeys((d.loop, d.scope) for d in found if d.loop is not d.scope))
        arms = list(dict.fromkeys(arm for d in found for arm in arms_of(d)))
        runs = list(dict.fromkeys(arm for d in found for arm, _ in runs_of(d)))
        self.clocks = Clocks(pipes, depth, running, arms[:MOST_ARMS], runs[:MOST_ARMS])
        self.placed = Placement(function.root, self.clocks)
        self.knew: dict[Leaf, np.ndarray] = {}  # what a command's pipe knew before it when it was last walked by
        for dependence in sorted(found, key=lambda d: (d.q.pos, -d.p.pos, d.distance)):
            dependence.q.deps.append(dependence)

    # -- one loop, or the function ------------------------------------------------------------------------------------------------

    def settle(self, block: Block, scope: Loop | None) -> None:
        """Everything that one loop (or the function: None) needs, its inner loops first."""
        for item in _loops(block):
            self.settle(item.body, item)
        state = self.entry(scope)
        if scope is None:
            self.forward(block, state, scope)
            return
        self.clocks.enter(scope, state)
        head = self.clocks.settled(scope, state)
        self.forward(block, self.clocks.next_iteration(scope, head), scope)
        for distance in sorted({d.distance for leaf in block.leaves() for d in leaf.deps if d.distance and d.scope is scope}):
            while self.carry(scope, distance):
                pass

    def carry(self, scope: Loop, distance: int) -> bool:
        """Units for the dependences of one distance that are not in order, found in one walk of a loop; False where all are.

        What a new unit tells is worked into the walk at once (`token`), so that those behind it that it orders too get none; the next walk
        counts its real flags.
        """
        needed: list[Dependence] = []

        def check(leaf: Leaf, now: State) -> None:
            if leaf.kind != "work":
                return
            for d in leaf.deps:
                if d.distance == distance and d.scope is scope and not self.clocks.ordered(now, d):
                    needed.append(d)
                    self.clocks.learn(d.q.pipe, self.token(d, scope), now)
            self.knew[leaf] = now.ages[self.clocks.pipes[leaf.pipe]].copy()

        self.clocks.check, self.clocks.checking = check, True
        self.clocks.item(scope, self.entry(scope))
        self.clocks.checking = False
        for d in self.widest(needed):
            self.placed.order(d.p, d.q, d.loop, d.distance, d.scope)
        return bool(needed)

    def widest(self, found: list[Dependence]) -> list[Dependence]:
        """Dependences of one distance whose flags or barriers do not lie around those of one before: two arms of a branch may need the same."""
        kept: dict[tuple, list[tuple[int, int]]] = {}
        widest = []
        for d in found:
            block = self.placed.turning_in(d.p, d.q, d.loop) if d.distance == 1 else d.loop.body
            after, before = ancestor(d.p, block).pos, ancestor(d.q, block).pos
            others = kept.setdefault((d.p.pipe, d.q.pipe, d.loop, d.scope, id(block)), [])
            if not any(others_after >= after and others_before <= before for others_after, others_before in others):
                others.append((after, before))
                widest.append(d)
        return widest

    def token(self, d: Dependence, scope: Loop) -> np.ndarray:
        """What a flag raised after d.p tells at d.q, as far as that is known from the walk before: less than the flag will tell, never more."""
        clocks, own = self.clocks, self.clocks.pipes[d.p.pipe]
        token = np.full((len(clocks.pipes), clocks.levels), UNKNOWN)
        level = clocks.level(d.loop, d.scope)
        if d.loop is scope and d.p in self.knew:
            for pipe, row in clocks.pipes.items():
                positions = self.placed.positions[pipe]
                first = bisect_right(positions, scope.pos)
                if first == len(positions) or positions[first] > scope.end:
                    token[row] = self.knew[d.p][row]
                    token[row, level:] = UNKNOWN
                    continue
                again = bisect_right(positions, d.p.pos)
                inside = again < len(positions) and positions[again] < scope.end
                since = d.distance * SPAN - positions[again] if inside else (d.distance - 1) * SPAN - positions[first]
                token[row, :level] = np.maximum(self.knew[d.p][row, :level], -positions[first])
                known = self.knew[d.p][row, level]
                token[row, level] = max(known + d.distance * SPAN if known > NEVER // 2 else known, since)
        token[own, level] = min(token[own, level], d.distance * SPAN - d.p.pos - 1)
        return np.minimum(token, UNKNOWN)

    def entry(self, scope: Loop | None) -> State:
        """What is known where a loop begins if nothing is known of what ran before it."""
        level = scope.info.depth if scope else 0
        state = self.clocks.fresh(level)
        for unit in self.placed.units:
            if unit.depth and scope is not None and unit.scope in scope.body.loops:
                for _ in range(unit.depth):
                    row = state.row()
                    state.ages[row] = state.ages[0]
                    state.flags.setdefault(unit, []).append(row)
        return state

    def violations(self, node: Loop | Branch, state: State, wanted) -> list[Dependence]:
        """The wanted dependences into a node that are not in order."""
        found: list[Dependence] = []

        def check(leaf: Leaf, now: State) -> None:
            found.extend(d for d in leaf.deps if wanted(d) and not self.clocks.ordered(now, d))

        self.clocks.check, self.clocks.checking = check, True
        self.clocks.item(node, state)
        self.clocks.checking = False
        return found

    def forward(self, block: Block, state: State, scope: Loop | None) -> State:
        """Units for dependences within one iteration whose innermost common block is `block` or an arm of a branch in it."""
        past: list[tuple[int, np.ndarray]] = []  # end of each node so far, and what the pipes knew then
        at = 0

        def wanted(d: Dependence) -> bool:
            return not d.distance and d.scope is scope and common_block(d.p, d.q) is block

        while at < len(block.items):
            item = block.items[at]
            if isinstance(item, Leaf):
                for dependence in item.deps:
                    if wanted(dependence) and not self.clocks.ordered(state, dependence):
                        at += self.order_now(dependence, block, state, past)
                if item.kind == "work" and scope is not None:
                    self.knew[item] = state.ages[self.clocks.pipes[item.pipe]].copy()
                self.clocks.leaf(item, state)
            else:
                while violated := self.violations(item, state.copy(), wanted):
                    first = min(violated, key=lambda d: (d.q.pos, -d.p.pos))
                    at += self.order_now(first, block, state, past)
                if isinstance(item, Branch):
                    state = self.clocks.join([self.forward(arm, state.copy(), scope) for arm in item.arms])
                else:
                    state = self.clocks.item(item, state)
            past.append((item.end, state.ages[: len(self.clocks.pipes)].copy()))
            at += 1
        return state

    def order_now(self, d: Dependence, block: Block, state: State, past: list) -> int:
        """Adds the unit of a dependence whose q is about to run, as if it had been there; the number of nodes that it put before q."""
        unit = self.placed.order(d.p, d.q, None, 0, None)
        between = bisect_right(self.choices, d.p.pos), bisect_right(self.choices, d.q.pos)
        unit.straight = d.p.block is d.q.block is self.root and between[0] == between[1]
        if unit.barrier:
            self.clocks.barrier(unit.src, state)
            return 1
        producer = ancestor(d.p, block)
        known = past[bisect_right(past, producer.end, key=lambda entry: entry[0]) - 1][1]
        token = known[self.clocks.pipes[unit.src]].copy()
        token[self.clocks.pipes[unit.src]] = NEVER
        self.age(token, unit.leaf("set").pos, unit.leaf("wait").pos, block)
        self.clocks.learn(unit.dst, token, state)
        self.clocks.executed(unit.leaf("wait"), state)
        return 2

    def age(self, token: np.ndarray, since: int, now: int, block: Block) -> None:
        """What a flag raised at `since` says at `now`, both in one run of a block."""
        mask = self.clocks.mask(block)
        for pipe, row in self.clocks.pipes.items():
            positions = self.placed.positions[pipe]
            first = bisect_right(positions, since)
            if first < len(positions) and positions[first] < now:
                np.maximum(token[row], mask - positions[first], out=token[row])
        for number, (loop, _) in enumerate(self.clocks.running):
            if since < loop.pos < now:
                token[:, 1 + self.clocks.depth + number] = UNKNOWN
        for (_, arm), level in self.clocks.arms.items():
            if since < arm.owner.pos < now:
                token[:, level] = UNKNOWN

    # -- event ids ----------------------------------------------------------------------------------------------------------------

    def free_ids(self) -> None:
        """Gives every flag the ids that keep it from being raised while it is raised, or adds units that acknowledge it."""
        turn = 0
        while stuck := self.count_ids():
            turn += 1
            if turn <= ACKNOWLEDGED:
                for unit, leaf, waited, loop in stuck:
                    self.acknowledge(unit, leaf, waited, loop)
            else:
                for unit in {id(entry[0]): entry[0] for entry in stuck}.values():
                    unit.stuck = f"a flag {unit.src} -> {unit.dst} may be raised twice, whatever acknowledges it"

    def acknowledge(self, unit: Unit, raised: Leaf, waited: Leaf, loop: Loop | None) -> None:
        """A unit back: the wait before the next set."""
        if loop is None:
            back = self.placed.forward(waited, raised)
        else:
            back = self.placed.carried(waited, raised, loop, 1, loop)
        back.acknowledges = True
        back.cause = unit.cause

    def count_ids(self) -> list[tuple[Unit, Leaf, Leaf, Loop | None]]:
        """Sets `ids` and the guards of each set; what cannot be: (unit, set, its wait, the loop that must carry an acknowledgement)."""
        seen: dict[Leaf, np.ndarray] = {}
        pipes = self.clocks.pipes

        def check(leaf: Leaf, state: State) -> None:
            if leaf.kind in ("set", "prime") and isinstance(leaf.unit, Unit):
                seen[leaf] = state.ages[pipes[leaf.unit.src], pipes[leaf.unit.dst]].copy()

        self.run(check)
        stuck = []
        for unit in self.placed.units:
            if not unit.barrier and not unit.stuck:
                stuck += self.count(unit, seen)
        return stuck

    def count(self, unit: Unit, seen: dict[Leaf, np.ndarray]) -> Iterator:
        raised, waited = unit.leaf("set"), unit.leaf("wait")
        raised.guards, unit.ids = [], max(1, unit.depth)
        if unit.depth:
            yield from self.guard_outer(unit, unit.leaf("prime"), unit.leaf("drain"), unit.scope.block.loops, seen)
        if unit.loop is None:
            return
        least = int(waited.pos > raised.pos)
        running = [1 + self.clocks.depth + n for n, (loop, scope) in enumerate(self.clocks.running) if loop is unit.loop and (not unit.depth or scope is unit.scope)]
        most = MOST_IDS - unit.depth if unit.loop.op.name == "scf.for" else least
        for level in () if unit.depth else self.run_levels(raised, waited, unit.loop):
            if seen[raised][level] < SPAN - waited.pos and not list(self.guard_outer(unit, raised, waited, unit.loop.body.loops[:-1], seen)):
                raised.guards.append((level, 1, waited.pos))
                unit.counts_from = unit.loop
                return
        for level in (unit.loop.info.depth, *running):
            for back in range(least, most + 1):
                if seen[raised][level] < back * SPAN - waited.pos:
                    outer = self.outer_loops(unit, level)
                    failed = list(self.guard_outer(unit, raised, waited, outer, seen)) if not unit.depth else []
                    if failed and level == (unit.loop.info.depth, *running)[-1]:
                        yield from failed
                        return
                    if failed:
                        break
                    if back and unit.depth and unit.scope is not unit.loop and level == unit.loop.info.depth:
                        break  # numbers of flags in flight must run on through the loops around
                    raised.guards.append((level, back, waited.pos))
                    unit.ids = unit.depth + back if unit.depth else back
                    unit.counts_from = self.counts_from(unit, level)
                    return
        yield (unit, raised, waited, None if unit.depth and waited.pos < raised.pos else unit.loop)

    def counts_from(self, unit: Unit, level: int) -> Loop:
        """The outermost loop whose iterations number a unit's flags."""
        if level > self.clocks.depth:
            return self.clocks.running[level - 1 - self.clocks.depth][1]
        return unit.scope if unit.depth and unit.depth > 1 else unit.loop

    def outer_loops(self, unit: Unit, level: int) -> tuple[Loop, ...]:
        loops = unit.loop.body.loops[:-1]
        if level > self.clocks.depth:
            scope = self.clocks.running[level - 1 - self.clocks.depth][1]
            loops = loops[: scope.info.depth - 1]
        return loops

    def guard_outer(self, unit: Unit, raised: Leaf, waited: Leaf, loops: tuple[Loop, ...], seen: dict[Leaf, np.ndarray]) -> Iterator:
        """In each loop around, the last wait of the iteration before must be known where the first set is."""
        raised.guards = []
        for loop in loops:
            levels = (loop.info.depth, *self.run_levels(raised, waited, loop))
            known = next((level for level in levels if seen[raised][level] < SPAN - waited.pos), None)
            if known is None:
                yield (unit, raised, waited, loop)
                return
            raised.guards.append((known, 1, waited.pos))

    def run_levels(self, a: Leaf, b: Leaf, loop: Loop) -> list[int]:
        """The levels of the runs of arms in a loop that two commands are both in."""
        mine = arms_around(a.block)
        return [self.clocks.runs[loop, arm] for arm in arms_around(b.block) if (loop, arm) in self.clocks.runs and any(arm is other for other in mine)]

    # -- whole tree ---------------------------------------------------------------------------------------------------------------

    def run(self, check, leave=lambda: None) -> None:
        self.clocks.check, self.clocks.leave, self.clocks.checking = check, leave, True
        try:
            self.clocks.block(self.root, self.clocks.fresh())
        finally:
            self.clocks.checking = False
            self.clocks.leave = lambda: None

    def prune(self) -> None:
        """Takes out each unit without which everything is still in order."""
        leaves = sum(3 ** len(leaf.block.loops) for leaf in self.root.leaves())
        self.clocks.peel = 2 if leaves <= PEELED else 0
        needed = self.surely_needed()
        for unit in [*(u for u in self.placed.units if not u.acknowledges), *(u for u in self.placed.units if u.acknowledges)]:
            if unit.straight or unit in needed:
                continue  # straight: it was needed, what is known between its ends is exact, and later units are later waits
            self.placed.take_out(unit)
            if self.holds():
                self.placed.units.remove(unit)
            else:
                for leaf in unit.leaves:
                    self.placed.restore(leaf)
        self.clocks.peel = 0

    def stretch(self, free_ids: Callable[[tuple[str, str]], list[int]]) -> None:
        """Primes at the begin of the function and drains at its end the flags of loops, where nothing needs it otherwise and ids suffice.

        Right beside its loop a prime waits for what its pipe did before, and a drain holds up what its pipe does next: loops that need not
        wait for each other would.
        """
        nodes = [item for item in self.root.items if not (isinstance(item, Leaf) and item.anchor)]
        ids: dict[tuple[str, str], int] = {}
        for unit in self.placed.units:
            ids[unit.src, unit.dst] = ids.get((unit.src, unit.dst), 0) + unit.ids
        moved = [
            (unit, unit.scope) for unit in self.placed.units
            if unit.depth and unit.scope.block is self.root and ids[unit.src, unit.dst] <= len(free_ids((unit.src, unit.dst)))
            and any(isinstance(node, Loop) and node is not unit.scope for node in nodes)
        ]  # fmt: skip
        for unit, _ in moved:
            self.placed.stretch(unit, nodes[0], nodes[-1], True)
        if moved and not self.holds():
            for unit, loop in moved:
                self.placed.stretch(unit, loop, loop, False)
            for unit, loop in moved:
                self.placed.stretch(unit, nodes[0], nodes[-1], True)
                if not self.holds():
                    self.placed.stretch(unit, loop, loop, False)

    def surely_needed(self) -> set[Unit]:
        """Units whose next command would not be in order without them, found in one walk.

        Between a unit's wait and the next command of its pipe stand only waits and barriers of that pipe.  Their flags were raised before, so
        none of them can have learned anything from it: what the pipe would know without the unit is what it knew before it and what those tell.
        """
        clocks, needed = self.clocks, set()
        without: dict[str, dict[Unit, np.ndarray]] = {}

        def check(leaf: Leaf, state: State) -> None:
            others = without.get(leaf.pipe, {})
            if leaf.kind in ("wait", "barrier") and isinstance(leaf.unit, Unit) and leaf.pipe in clocks.pipes and leaf.pipe != SCALAR:
                own, flags = state.ages[clocks.pipes[leaf.pipe]], state.flags.get(leaf.unit)
                for row in others.values():
                    if leaf.kind == "barrier":
                        row[clocks.pipes[leaf.pipe]] = NEVER
                    elif flags:
                        np.minimum(row, state.ages[flags[0]], out=row)
                without.setdefault(leaf.pipe, {})[leaf.unit] = own.copy()
                return
            if others:
                needed.update(unit for unit, row in others.items() if not self.in_order(leaf, row))
            if leaf.kind == "barrier":
                without.clear()
            without.pop(leaf.pipe, None)

        self.run(check, without.clear)
        return needed

    def in_order(self, leaf: Leaf, row: np.ndarray) -> bool:
        """True where a command that knows `row` has everything in order that it needs, and a flag may be raised."""
        return all(self.clocks.told(row, d) for d in leaf.deps) and all(
            row[self.clocks.pipes[leaf.unit.dst], level] < back * SPAN - pos for level, back, pos in leaf.guards
        )

    def holds(self) -> bool:
        """True where all dependences are in order and no flag is raised twice."""
        clocks = self.clocks

        def check(leaf: Leaf, state: State) -> None:
            if (leaf.deps or leaf.guards) and not self.in_order(leaf, state.ages[clocks.pipes[leaf.pipe]]):
                raise Violated

        try:
            self.run(check)
        except Violated:
            return False
        return True


def _loops(block: Block) -> Iterator[Loop]:
    """Loops in a block that are in no other loop of it, in order."""
    for item in list(block.items):
        if isinstance(item, Loop):
            yield item
        elif isinstance(item, Branch):
            for arm in item.arms:
                yield from _loops(arm)


def _blocks(block: Block) -> Iterator[Block]:
    yield block
    for item in block.items:
        for inner in blocks_of(item):
            yield from _blocks(inner)
