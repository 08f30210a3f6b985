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

import numpy as np

from .periods import Jump, Periods
from .plan import Plan
from .repeats import Repeat, cut_out, find_repeat
from .signals import clusters
from .state import State
from .table import QUEUES
from .walk import COMING, FLYING

WORTH = 20_000
"""Commands that must be saved for it to be tried."""

KEPT = (6, 2_000)
"""Periods and commands of a stream that stay at least in the first try; a further one keeps MORE times as many."""

MORE = 3


def groups(plan: Plan) -> list[list[int]]:
    """Simulated streams whose times have to do with each other: all, where transfers share bandwidth, else those of a block or of linked blocks."""
    if plan.contended:
        return [list(range(len(plan.streams)))]
    blocks = [plan.program.streams[number].core.block for number in plan.streams]
    cluster = clusters(blocks, plan.linked)
    found: dict[int, list[int]] = {}
    for simulated, block in enumerate(blocks):
        found.setdefault(cluster[block], []).append(simulated)
    return list(found.values())


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
    jump = Periods(plan, state, inside).jump()
    if jump is not None:
        _shift(plan, state, jump, limit)
        state.walk(plan.qstart[1:])
    return jump


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
