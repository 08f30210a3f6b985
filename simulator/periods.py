"""The last periods of every queue of a walk, and whether all that follows goes on like them; the argument stands in `extrapolate.py`."""

from dataclasses import dataclass, field

import numpy as np

from .costs import Costs
from .plan import Plan
from .state import State
from .table import AWAIT, BARRIER, BARRIER_ALL, QUEUES, SET, SIGNAL, WAIT
from .walk import COMING, FLYING

WINDOWS = 3
"""Periods that are compared."""


@dataclass
class Jump:
    """Over what was left out.  By queue that has a part in it: `at`, its position; `windows`, commands of its last periods, the latest
    first; `before`, their start, end and complete before the jump; `later`, by how much these are later from one period to the next.
    """

    at: dict[int, int] = field(default_factory=dict)
    windows: dict[int, list[np.ndarray]] = field(default_factory=dict)
    before: dict[int, list[np.ndarray]] = field(default_factory=dict)
    later: dict[int, np.ndarray] = field(default_factory=dict)


class Periods:
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
        for mine, other, peers in ((SIGNAL, AWAIT, plan.peers.receivers), (AWAIT, SIGNAL, plan.peers.senders)):
            for flag, count in zip(*np.unique(plan.table.flag[codes[kind == mine]], return_counts=True)):
                for peer in peers(s, int(flag)):
                    if plan.cuts[peer] is None:
                        return False
                    theirs = self._of_period(peer)[0]
                    if ((plan.table.kind[theirs] == other) & (plan.table.flag[theirs] == flag)).sum() != count:
                        return False
        return True

    def _of_period(self, s: int) -> tuple[np.ndarray, np.ndarray]:
        """Codes and flag keys of one period of a stream."""
        cut, low = self.plan.cuts[s], self.plan.first[s]
        part = slice(low + cut.low, low + cut.low + cut.period)
        return self.plan.code[part], self.plan.flag_key(part)

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
        x, *_ = self.result.windows[q]
        if not m.any():
            return True
        flags = plan.table.flag[plan.code[x]]
        return all(self._awaited(q, m & (flags == flag), int(flag), begun, costs) for flag in np.unique(flags[m]))

    def _awaited(self, q: int, m: np.ndarray, flag: int, begun: tuple[np.ndarray, np.ndarray], costs: Costs) -> bool:
        """The same for the awaits of one flag."""
        plan = self.plan
        x, y, _ = self.result.windows[q]
        inputs = [_at(begun, m)]
        for peer in plan.peers.senders(q // QUEUES, flag):
            signals = plan.signals_of(peer, flag)
            taken, before = signals[plan.partner[x[m]]], signals[plan.partner[y[m]]]
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
