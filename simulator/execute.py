"""Values: numpy meanings of commands over byte-addressed memories, in the scheduled order or the most adverse allowed one.

A command reads when it starts and its writes become readable when it completes; in between their bytes are poison.  Where a pipe's
earlier results are visible to its later commands without a barrier, an unfinished one is committed as soon as its pipe needs it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from .check_clocks import HAZARDS
from .check_regions import Regions, Touched
from .memory import Memories
from .program import Command, Program
from .replay import Queue, Replay
from .values import Meaning, Running

NeedsBarrier = Callable[[str, str, str], bool]
"""(arch, pipe, hazard): does a pipe need a barrier to order two of its own commands?  Hazard is RAW, WAR or WAW."""


IN_FLIGHT_MAX = 64
"""Unfinished commands of one queue in the adverse order; a bound on memory: past it the oldest is committed."""


class Times(Protocol):
    """What the executor needs of a timeline: per stream, the start and the completion of each command."""

    start: Sequence[Sequence[int]]
    complete: Sequence[Sequence[int]]


def execute(program: Program, timeline: Times, memories: Memories, meanings: Mapping[str, Meaning], needs_barrier: NeedsBarrier) -> None:
    """Runs all commands of kind work in their scheduled order on `memories`.

    At one time completions come before starts; a command of no duration does both when it starts.
    Raises: PoisonError (bytes that nobody had written, or in flight), BoundsError, SimulationError (an op without meaning, or one that
    returns a wrong shape or dtype).
    """
    in_order = {pipe: not needs_barrier(program.arch, pipe, "RAW") for pipe in _working_pipes(program)}
    running: dict[tuple[int, int], Running] = {}
    last: dict[tuple[int, str], Running] = {}
    for _, starts, number, index in _events(program, timeline):
        if not starts:
            running.pop((number, index)).commit()
            continue
        stream = program.streams[number]
        command = stream.commands[index]
        pipe = command.site.pipe
        if in_order[pipe] and (number, pipe) in last:
            last[number, pipe].commit()
        started = Running(stream.core, command, memories, meanings)
        last[number, pipe] = started
        if timeline.complete[number][index] > timeline.start[number][index]:
            running[number, index] = started
        else:
            started.commit()


def _working_pipes(program: Program) -> set[str]:
    return {site.pipe for site in program.sites if site.kind == "work"}


def _events(program: Program, timeline: Times) -> list[tuple[int, bool, int, int]]:
    """(time, is a start, stream, index) of the starts and completions of all work, sorted."""
    events = []
    for number, stream in enumerate(program.streams):
        start, complete = (np.asarray(column[number]).tolist() for column in (timeline.start, timeline.complete))
        for index, command in enumerate(stream.commands):
            if command.site.kind == "work":
                events.append((start[index], True, number, index))
                if complete[index] > start[index]:
                    events.append((complete[index], False, number, index))
    events.sort()
    return events


def execute_adverse(program: Program, memories: Memories, meanings: Mapping[str, Meaning], needs_barrier: NeedsBarrier) -> None:
    """Runs all commands on `memories` in an order that the synchronisation allows but that is bad for every missing one.

    Commands start as early as flags, barriers and the scalar unit let them; a write is committed only when a wait or a barrier cannot go
    on without it, or the same pipe needs it and has no barrier to ask for.  What was read must still be there at completion.
    Raises: PoisonError (an order is missing), BoundsError, DeadlockError, SimulationError.
    """
    run = _Adverse(program, memories, meanings, needs_barrier)
    run.require_end()
    run.commit_all()


class _Flight(NamedTuple):
    """A started command; `number` counts starts."""

    number: int
    index: int
    running: Running
    touched: Touched


class _Adverse(Replay):
    """A queue's `state` is the list of its commands in flight; a token is the queue and the index of its set."""

    def __init__(self, program: Program, memories: Memories, meanings: Mapping[str, Meaning], needs_barrier: NeedsBarrier) -> None:
        super().__init__(program)
        self._memories, self._meanings = memories, meanings
        self._regions = Regions(program)
        self._started = 0
        self._wanted: dict[Queue, tuple[list, list[Queue]]] = {}
        self._in_order = {
            pipe: {hazard for hazard in HAZARDS if not needs_barrier(program.arch, pipe, hazard)} for pipe in _working_pipes(program)
        }
        for queues in self.cores:
            for queue in queues.values():
                queue.state = []

    def work(self, queue: Queue, index: int, command: Command) -> None:
        touched = self._regions.touched[queue.stream][index]
        hazards = self._in_order[queue.pipe]
        if hazards:
            self._commit(queue, [flight for flight in queue.state if self._needs(flight.touched, touched, hazards)])
        running = Running(self.program.streams[queue.stream].core, command, self._memories, self._meanings)
        running.keep()
        self._started += 1
        queue.state.append(_Flight(self._started, index, running, touched))
        if command.site.attributes.get("drained"):
            self._commit(queue, queue.state)
        elif len(queue.state) > IN_FLIGHT_MAX:
            self._commit(queue, queue.state[:1])

    def raised(self, queue: Queue, index: int, command: Command) -> tuple[Queue, int]:
        return queue, index

    def may_go(self, queue: Queue, tokens: list, queues: list[Queue]) -> bool:
        self._wanted[queue] = tokens, queues
        return not self._blocking(queue)

    def force(self) -> Queue:
        best = min(self.held, key=lambda queue: (len(self._blocking(queue)), -queue.rank, queue.stream))
        self.held.remove(best)
        for queue, flight in self._blocking(best):
            self._commit(queue, [flight])
        return best

    def commit_all(self) -> None:
        """Commits what nothing waited for, the latest start first."""
        rest = [(flight.number, flight) for queues in self.cores for queue in queues.values() for flight in queue.state]
        for _, flight in sorted(rest, reverse=True, key=lambda item: item[0]):
            flight.running.commit(read_again=True)

    def _blocking(self, queue: Queue) -> list[tuple[Queue, _Flight]]:
        """What must be committed before a held queue goes on, the latest start first."""
        tokens, queues = self._wanted[queue]
        found = [(source, flight) for source, index in tokens for flight in source.state if flight.index < index]
        found += [(source, flight) for source in queues for flight in source.state]
        return sorted(found, key=lambda item: -item[1].number)

    def _commit(self, queue: Queue, flights: list[_Flight]) -> None:
        for flight in reversed(flights):
            flight.running.commit(read_again=True)
        queue.state = [flight for flight in queue.state if not flight.running.done]

    def _needs(self, earlier: Touched, later: Touched, hazards: set[str]) -> bool:
        """Does a later command of a queue touch what an earlier one does, so that the queue's own order makes it wait?"""
        pairs = (("RAW", earlier.writes, later.reads), ("WAR", earlier.reads, later.writes), ("WAW", earlier.writes, later.writes))
        return any(
            hazard in hazards and any(region in first for number in second for region in self._regions.neighbours[number])
            for hazard, first, second in pairs
            if first and second
        )
