"""Loops whose iterations come to repeat each other in time are not walked to their end: exactly, or not at all.

A plan is shortened: every stream keeps some periods of its repeat, the same number is left out of all that have to do with each other.
Walked up to there, the last three periods of every queue are compared, command by command.  Let the k-th period's times be
t + k * d, with a d of its own for each command.  They go on like that for ever if

- d was the same twice;
- every time is the largest of what it follows from (issue, queue, flags, what is complete before a barrier), and what it equals
  has the same d, the others no larger ones: then the same one stays the largest;
- what it follows from lies in these periods, or never changes: each flag is set as often as it is waited for, each signal sent as often as
  it is taken;
- where transfers share bandwidth, d is one number for all commands of all cores that have not come to their end: then all that is in
  flight, and its rates, repeat.

So the clocks after the periods that were left out are those before plus their number times d, and the walk goes on from there.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .plan import AWAIT, BARRIER, BARRIER_ALL, QUEUES, SET, SIGNAL, WAIT, Plan
from .repeats import Repeat, cut_out, find_repeat
from .state import State
from .timeline import Timeline, unawaited
from .walk import COMING, FLYING

WORTH = 20_000
"""Commands that must be saved for it to be tried."""

KEPT = (6, 2_000)
"""Periods and commands of a stream that stay at least in the first try; a further one keeps MORE times as many."""

MORE = 3

WINDOWS = 3


def groups(plan: Plan) -> list[list[int]]:
    """Simulated streams whose times have to do with each other: all, where transfers share bandwidth, else those of a block."""
    if plan.contended:
        return [list(range(len(plan.streams)))]
    blocks: dict[int, list[int]] = {}
    for simulated, number in enumerate(plan.streams):
        blocks.setdefault(plan.program.streams[number].core.block, []).append(simulated)
    return list(blocks.values())


def shortened(plan: Plan) -> Iterator[Plan]:
    """The plan with most of its repeats left out, then with less and less left out, as long as that saves anything."""
    known: dict[int, Repeat | None] = {}
    for track in plan.tracks:
        if id(track) not in known:
            known[id(track)] = find_repeat(track, KEPT[0])
    kept, commands = KEPT
    while True:
        cuts, saved = [None] * len(plan.tracks), 0
        for group in groups(plan):
            repeats = {s: known[id(plan.tracks[s])] for s in group if known[id(plan.tracks[s])] is not None}
            step = math.lcm(*(r.step for r in repeats.values())) if repeats else 1
            repeats = {s: r.again(step // r.step) for s, r in repeats.items()}
            periods = max([kept, *(-(-commands // max(1, _period(plan, s, r))) for s, r in repeats.items())])
            left_out = min((r.times - periods for r in repeats.values()), default=0)
            if 4 * left_out > max((r.times for r in repeats.values()), default=0):
                for s, repeat in repeats.items():
                    cuts[s] = cut_out(plan.tracks[s], repeat, left_out)
                    saved += left_out * cuts[s].period
        if saved < WORTH:
            return
        yield plan.shortened(cuts)
        kept, commands = kept * MORE, commands * MORE


def _period(plan: Plan, simulated: int, repeat: Repeat) -> int:
    """Commands of one period."""
    offsets = plan.tracks[simulated].offsets
    return int(offsets[repeat.bound(1)] - offsets[repeat.bound(0)])


@dataclass
class Jump:
    """Over what was left out.  By queue that has a part in it: `at`, its position; `windows`, commands of its last periods, the latest
    first; `before`, their start, end and complete before the jump; `later`, by how much these are later from one period to the next.
    """

    at: dict[int, int] = field(default_factory=dict)
    windows: dict[int, list[np.ndarray]] = field(default_factory=dict)
    before: dict[int, list[np.ndarray]] = field(default_factory=dict)
    later: dict[int, np.ndarray] = field(default_factory=dict)


def cross(plan: Plan, state: State) -> Jump | None:
    """Walks a shortened plan to its end, across what was left out.  None where it is not certain that the periods go on alike."""
    limit = plan.qstart[1:].copy()
    inside: dict[int, tuple[int, int]] = {}  # queue -> first position in the repeat, commands of a period
    for s, cut in enumerate(plan.cuts):
        for q in range(s * QUEUES, (s + 1) * QUEUES) if cut else ():
            mine = plan.order[plan.qstart[q] : plan.qstart[q + 1]] - plan.first[s]
            first, last = (int(plan.qstart[q] + np.searchsorted(mine, n)) for n in (cut.low, cut.high))
            count = (last - first) * cut.period // (cut.high - cut.low)
            if count:
                inside[q], limit[q] = (first, count), last
    state.walk(limit, pause=plan.contended)
    jump = _Periods(plan, state, inside).jump()
    if jump is not None:
        _shift(plan, state, jump, limit)
        state.walk(plan.qstart[1:])
    return jump


class _Periods:
    """The last periods of every queue, and whether they go on alike."""

    def __init__(self, plan: Plan, state: State, inside: dict[int, tuple[int, int]]) -> None:
        self.plan, self.state, self.inside = plan, state, inside
        self.position, self.waits = np.asarray(state.queues[0]), np.asarray(state.queues[3])
        self.start, self.end, self.complete = state.columns()
        self.result = Jump()
        self.recent = np.zeros(plan.code.size, bool)
        self.done: dict[int, np.ndarray] = {}  # by queue: what was complete after each of its commands that ran

    def jump(self) -> Jump | None:
        """See `cross`."""
        if not all(self._balanced(s) for s, cut in enumerate(self.plan.cuts) if cut):
            return None
        if not all(map(self._compare, self.inside)) or (self.plan.contended and not self._in_step()):
            return None
        return self.result if all(map(self._goes_on, self.inside)) else None

    def _balanced(self, s: int) -> bool:
        """Does a period set each flag as often as it waits for it, and send each signal as often as the others take it?"""
        plan = self.plan
        codes, keys = self._of_period(s)
        kind = plan.table.kind[codes]
        sets, waits = (np.sort(keys[kind == k]) for k in (SET, WAIT))
        if not np.array_equal(sets, waits):
            return False
        for peer in plan.peers[s]:
            if plan.cuts[peer] is None:
                if ((kind == SIGNAL) | (kind == AWAIT)).any():
                    return False
                continue
            theirs = self._of_period(peer)[0]
            for mine, other in ((SIGNAL, AWAIT), (AWAIT, SIGNAL)):
                ours = np.sort(plan.table.flag[codes[kind == mine]])
                if not np.array_equal(ours, np.sort(plan.table.flag[theirs[plan.table.kind[theirs] == other]])):
                    return False
        return True

    def _of_period(self, s: int) -> tuple[np.ndarray, np.ndarray]:
        """Codes and flag keys of one period of a stream."""
        cut, low = self.plan.cuts[s], self.plan.first[s]
        part = slice(low + cut.low, low + cut.low + cut.period)
        return self.plan.code[part], self.plan.flag_key[part]

    def _compare(self, q: int) -> bool:
        """Takes a queue's last periods and by how much each is later than the one before; False where that is not the same twice."""
        first, count = self.inside[q]
        at = int(self.position[q])
        if at - (WINDOWS + 1) * count < first:
            return False
        windows = [self.plan.order[at - (k + 1) * count : at - k * count] for k in range(WINDOWS)]
        x, y, z = windows
        later = np.array([column[x] - column[y] for column in (self.start, self.end, self.complete)])
        if not all(np.array_equal(d, column[y] - column[z]) for d, column in zip(later, (self.start, self.end, self.complete))):
            return False
        self.result.at[q], self.result.windows[q], self.result.later[q] = at, windows, later
        for window in windows:
            self.recent[window] = True
        return True

    def _in_step(self) -> bool:
        """With shared bandwidth: is all that is under way later by one and the same time?"""
        plan, later = self.plan, self.result.later
        if not later:
            return False
        time = int(next(iter(later.values()))[0, 0])
        if time <= 0 or not all((d == time).all() for d in later.values()):
            return False
        for q in range(len(self.position)):
            finished = self.position[q] == plan.qstart[q + 1]
            if plan.cuts[q // QUEUES] is None and not finished:
                return False
            if self.waits[q] in (COMING, FLYING):
                if q not in later:
                    return False
                head, before = (plan.order[self.position[q] - n] for n in (0, self.inside[q][1]))
                if self.start[head] - self.start[before] != time:
                    return False
        return True

    # does every time stay the largest of what it follows from?

    def _goes_on(self, q: int) -> bool:
        plan, costs = self.plan, self.plan.costs
        x, y, _ = self.result.windows[q]
        start_later, _end_later, complete_later = self.result.later[q]
        at, count = self.result.at[q], self.inside[q][1]
        previous = [self.end[plan.order[at - k * count - 1 : at - (k - 1) * count - 1]] for k in (1, 2)]
        issue = self._issue(x), self._issue(y)
        if not self._lasting(plan.hold[x], plan.hold[y]) or not _largest(self.start[x], start_later, [_pair(*previous), _pair(*issue)]):
            return False
        kind = plan.kind[x]
        if not set(np.unique(kind).tolist()) <= set(range(AWAIT + 1)):
            return False
        after = self._done(q)
        local = at - int(plan.qstart[q])
        done = _pair(*(after[local - k * count - 1 : local - (k - 1) * count - 1] for k in (1, 2)))
        begun = (self.start[x], start_later)
        for which, cost in ((SET, costs.set_flag), (SIGNAL, costs.set_flag), (BARRIER, costs.barrier)):
            m = kind == which
            if not _largest(self.complete[x][m] - cost, complete_later[m], [_at(begun, m), _at(done, m)]):
                return False
        m = kind == WAIT
        if m.any():
            raised, before = plan.partner[x[m]], plan.partner[y[m]]
            if (raised < 0).any() or (before < 0).any() or not self._lasting(raised, before, constant=False):
                return False
            flags = _pair(self.complete[raised], self.complete[before])
            if not _largest(self.complete[x][m] - costs.wait_flag, complete_later[m], [_at(begun, m), flags]):
                return False
        return self._awaits(q, kind == AWAIT, begun) and self._drains(q, kind == BARRIER_ALL, begun)

    def _issue(self, commands: np.ndarray) -> np.ndarray:
        """When the scalar unit issued commands."""
        plan, step = self.plan, self.plan.costs.issue
        held = plan.hold[commands]
        return np.where(held >= 0, self.end[held] + step * (plan.index[commands] - plan.index[held]), step * (plan.index[commands] + 1))

    def _lasting(self, commands: np.ndarray, before: np.ndarray, constant: bool = True) -> bool:
        """Do commands lie in the last periods, or (with `constant`) stay the same from period to period?"""
        inside = self.recent[commands] & (commands >= 0)
        return bool((inside | ((commands == before) & constant)).all())

    def _done(self, q: int) -> np.ndarray:
        if q not in self.done:
            ran = self.plan.order[self.plan.qstart[q] : self.position[q]]
            self.done[q] = np.maximum.accumulate(self.complete[ran]) if ran.size else np.zeros(0, np.int64)
        return self.done[q]

    def _awaits(self, q: int, m: np.ndarray, begun: tuple[np.ndarray, np.ndarray]) -> bool:
        plan, costs = self.plan, self.plan.costs
        x, y, _ = self.result.windows[q]
        if not m.any():
            return True
        inputs = [_at(begun, m)]
        for peer in plan.peers[q // QUEUES]:
            slot = plan.signal_start[peer * 16 + plan.table.flag[plan.code[x[m]]]]
            taken, before = plan.signals[slot + plan.partner[x[m]]], plan.signals[slot + plan.partner[y[m]]]
            if not self._lasting(taken, before, constant=False):
                return False
            inputs.append(_pair(self.complete[taken] + costs.signal, self.complete[before] + costs.signal))
        return _largest(self.complete[x][m] - costs.wait_flag, self.result.later[q][2][m], inputs)

    def _drains(self, q: int, m: np.ndarray, begun: tuple[np.ndarray, np.ndarray]) -> bool:
        plan = self.plan
        x, y, _ = self.result.windows[q]
        if not m.any():
            return True
        inputs = [_at(begun, m)]
        for other in range(q - q % QUEUES, q - q % QUEUES + QUEUES):
            mine = plan.order[plan.qstart[other] : self.position[other]]
            done = np.concatenate(([0], self._done(other)))
            inputs.append(_pair(*(done[np.searchsorted(mine, commands[m])] for commands in (x, y))))
        return _largest(self.complete[x][m] - plan.costs.barrier, self.result.later[q][2][m], inputs)


def _pair(now: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(times, by how much they are later than those before)."""
    return now, now - before


def _at(pair: tuple[np.ndarray, np.ndarray], mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pair[0][mask], pair[1][mask]


def _largest(time: np.ndarray, later: np.ndarray, inputs: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Will `time`, now the largest of the inputs, stay that if each goes on to be later as it was last?"""
    equals = np.zeros(time.shape, bool)
    for value, growth in inputs:
        if (value > time).any() or (growth > later).any():
            return False
        equals |= (value == time) & (growth == later)
    return bool(equals.all())


def _shift(plan: Plan, state: State, jump: Jump, limit: np.ndarray) -> None:
    """Makes the state before what was left out the one after it."""
    position, free, done, waits, _ = state.queues
    index = np.asarray(state.commands[2])
    columns = state.columns()
    time = 0
    for q, windows in jump.windows.items():
        cut, later = plan.cuts[q // QUEUES], jump.later[q]
        jump.before[q] = [column[windows[0]].copy() for column in columns]
        for window in windows:
            for column, d in zip(columns, later):
                column[window] += cut.left_out * d
            index[window] += cut.left_out * cut.period
        at = int(position[q])
        rest = plan.order[at : limit[q]]
        index[rest] += cut.left_out * cut.period
        if waits[q] in (COMING, FLYING):
            time = cut.left_out * int(later[0, 0])
            columns[0][plan.order[at]] += time
        free[q] = int(columns[1][plan.order[at - 1]])
        done[q] = max(int(done[q]), int(columns[2][windows[0]].max()))
    if plan.contended:
        first = next(iter(jump.later))
        state.now += plan.cuts[first // QUEUES].left_out * int(jump.later[first][0, 0])
    state.take(index, columns)


def timeline_of(whole: Plan, short: Plan, state: State, jump: Jump) -> Timeline:
    """The timeline of the whole plan; its columns are made when they are asked for."""
    return RepeatingTimeline(whole, short, state.columns(), jump)


class _Column:
    """Start, end or completion of every command of each stream, made when it is asked for; alike cores share one array."""

    def __init__(self, timeline: "RepeatingTimeline", which: int) -> None:
        self._timeline, self._which = timeline, which
        self._made: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._timeline.plan.stands_for)

    def __getitem__(self, number: int) -> np.ndarray:
        simulated = self._timeline.plan.stands_for[number]
        if simulated not in self._made:
            self._made[simulated] = self._timeline.expanded(simulated, self._which)
        return self._made[simulated]


class RepeatingTimeline(Timeline):
    """A timeline of which the periods that were left out are known by one of them and by how much each is later."""

    def __init__(self, whole: Plan, short: Plan, columns: tuple[np.ndarray, ...], jump: Jump) -> None:
        super().__init__(whole.program, *(_Column(self, k) for k in range(3)), unawaited(short), whole)
        self._short, self._columns, self._jump = short, columns, jump

    @property
    def makespan(self) -> int:
        """Completion of the last command, in fs; what was left out came before it."""
        return int(self._columns[2].max(initial=0))

    def occupied(self, number: int) -> dict[str, int]:
        """See Timeline.occupied."""
        simulated = self.plan.stands_for[number]
        short, first, rows = self._short, self._short.first, self._short.table.rows
        low, high = int(first[simulated]), int(first[simulated + 1])
        taken = self._columns[1][low:high] - self._columns[0][low:high]
        for q, windows in self._jump.windows.items():
            if q // QUEUES == simulated:
                growth = self._jump.later[q][1] - self._jump.later[q][0]
                times = short.cuts[simulated].left_out
                for k, window in enumerate(windows):
                    # In the walk's columns the last periods stand as they are after the jump: take them back, then add what was left out.
                    taken[window - low] -= times * growth
                    if k == 0:
                        taken[window - low] += times * taken[window - low] + growth * (times * (times + 1) // 2)
        result: dict[str, int] = {}
        codes = short.code[low:high]
        for code in dict.fromkeys(codes.tolist()) if codes.size < 10_000 else np.unique(codes).tolist():
            site = rows[code][0]
            if site.kind == "work":
                result[site.pipe] = result.get(site.pipe, 0) + int(taken[codes == code].sum())
        return result

    def expanded(self, simulated: int, which: int) -> np.ndarray:
        """A column of one stream, with what was left out."""
        whole, short, column = self.plan, self._short, self._columns[which]
        low, high = int(short.first[simulated]), int(short.first[simulated + 1])
        cut = short.cuts[simulated]
        if cut is None:
            return column[low:high]
        queues = whole.table.queue[whole.tracks[simulated].codes]
        result = np.empty(queues.size, np.int64)
        for pipe in range(QUEUES):
            q = simulated * QUEUES + pipe
            times = column[short.order[short.qstart[q] : short.qstart[q + 1]]]
            if q in self._jump.at:
                at = self._jump.at[q] - int(short.qstart[q])
                last, later = self._jump.before[q][which], self._jump.later[q][which]
                head = times[:at].copy()
                for k in range(WINDOWS):
                    head[at - (k + 1) * last.size : at - k * last.size] -= cut.left_out * later
                middle = (last + np.arange(1, cut.left_out + 1)[:, None] * later).reshape(-1)
                times = np.concatenate((head, middle, times[at:]))
            result[queues == pipe] = times
        return result
