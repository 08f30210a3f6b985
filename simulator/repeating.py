"""Timelines of which periods were left out: columns are made when they are asked for, sums without them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .periods import WINDOWS, Jump
from .plan import Plan
from .program import Site
from .table import QUEUES
from .timeline import Timeline, pipe_of, unawaited


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

    def occupied(self, number: int, key: Callable[[Site], Any] = pipe_of) -> dict[Any, int]:
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
        result: dict[Any, int] = {}
        codes = short.code[low:high]
        for code in dict.fromkeys(codes.tolist()) if codes.size < 10_000 else np.unique(codes).tolist():
            site = rows[code][0]
            if site.kind == "work":
                result[key(site)] = result.get(key(site), 0) + int(taken[codes == code].sum())
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
