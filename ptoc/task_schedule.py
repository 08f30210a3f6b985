"""When the tasks of an orchestration run: one dispatcher, a ring of tasks in flight, cores that each run one task at a time.

- The dispatcher hands tasks out in their order, and takes `dispatch` for each block of a task.
- At most `ring` tasks are in flight: a place is free again when its task and all before it have ended.
- A dispatched task starts when the tasks that it depends on have ended and as many cores of its kind as it has blocks are free; of several
  that could start the one with the lowest number does.

Times are integers, femtoseconds; ties go by task number, ends before starts.
"""

import heapq
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """What the schedule needs of a task: kind of core ("aic" or "aiv"), cores, time, and the numbers of the tasks that it waits for."""

    kind: str
    blocks: int
    fs: int
    after: tuple[int, ...]


@dataclass
class Schedule:
    """When each task was dispatched, started and ended, and on which cores (numbers within their kind)."""

    dispatched: list[int]
    start: list[int]
    end: list[int]
    cores: list[tuple[int, ...]]
    stalled: int = 0
    """For how long the dispatcher waited for a place in the ring."""

    @property
    def makespan(self) -> int:
        """From the first dispatch to the last end."""
        return max(self.end, default=0)


def schedule(tasks: list[Work], cores: dict[str, int], ring: int, dispatch: int) -> Schedule:
    """The times of all tasks.  cores: of each kind.  Each task has at most as many blocks as there are cores, and waits for earlier ones only."""
    return _Walk(tasks, cores, ring, dispatch).run()


class _Walk:
    """The state of the walk: what the dispatcher does, what is ready by kind of core, what runs, free cores by kind."""

    def __init__(self, tasks: list[Work], cores: dict[str, int], ring: int, dispatch: int) -> None:
        self.tasks, self.ring, self.dispatch = tasks, ring, dispatch
        count = len(tasks)
        self.result = Schedule([0] * count, [0] * count, [0] * count, [()] * count)
        self.free = {kind: list(range(number)) for kind, number in cores.items()}
        self.ready: dict[str, list[int]] = {kind: [] for kind in cores}
        self.running: list[tuple[int, int]] = []
        self.ended = [False] * count
        self.missing: dict[int, int] = {}
        self.followers: dict[int, list[int]] = {}
        self.oldest = self.following = 0
        self.idle_since = 0
        """From when on the dispatcher has had nothing to do, or waited for a place."""

    def run(self) -> Schedule:
        """All tasks, event by event."""
        while self.following < len(self.tasks) or self.running:
            handed_over = self._handed_over()
            if self.running and (handed_over is None or self.running[0][0] <= handed_over):
                now = self._end()
                while self.running and self.running[0][0] == now:
                    self._end()
            else:
                now = self._hand_over(handed_over)
            for kind in self.ready:
                self._start(kind, now)
        return self.result

    def _handed_over(self) -> int | None:
        """When the next task is dispatched; None where there is none, or no place for it."""
        if self.following == len(self.tasks) or self.following - self.oldest == self.ring:
            return None
        return self.idle_since + self.dispatch * self.tasks[self.following].blocks

    def _hand_over(self, now: int) -> int:
        number, task = self.following, self.tasks[self.following]
        self.result.dispatched[number] = self.idle_since = now
        self.following += 1
        waits = [other for other in task.after if not self.ended[other]]
        for other in waits:
            self.followers.setdefault(other, []).append(number)
        self.missing[number] = len(waits)
        if not waits:
            heapq.heappush(self.ready[task.kind], number)
        return now

    def _end(self) -> int:
        """The next task ends; with it, in order, places of the ring are free again."""
        now, number = heapq.heappop(self.running)
        full = self.following < len(self.tasks) and self.following - self.oldest == self.ring
        self.ended[number] = True
        for core in self.result.cores[number]:
            heapq.heappush(self.free[self.tasks[number].kind], core)
        for other in self.followers.pop(number, ()):
            self.missing[other] -= 1
            if not self.missing[other]:
                heapq.heappush(self.ready[self.tasks[other].kind], other)
        while self.oldest < len(self.tasks) and self.ended[self.oldest]:
            self.oldest += 1
        if full and self.following - self.oldest < self.ring:
            self.result.stalled += now - self.idle_since
            self.idle_since = now
        return now

    def _start(self, kind: str, now: int) -> None:
        """Starts what can start, lowest number first."""
        ready, free, kept = self.ready[kind], self.free[kind], []
        while ready and free:
            number = heapq.heappop(ready)
            task = self.tasks[number]
            if task.blocks > len(free):
                kept.append(number)
                continue
            self.result.cores[number] = tuple(heapq.heappop(free) for _ in range(task.blocks))
            self.result.start[number], self.result.end[number] = now, now + task.fs
            heapq.heappush(self.running, (now + task.fs, number))
        for number in kept:
            heapq.heappush(ready, number)
