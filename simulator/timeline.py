"""When every command of a program ran: start, end and completion in femtoseconds, and what follows from them.

start: the command is at the head of its queue and its queue is free; end: the queue takes the next command (occupancy);
complete: flags, barriers and readers see the result (latency).  For a wait, start is when it began to hold its queue.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ptoc.machine.mesh import CORE_FLAGS, FLAGS, LINK_PIPES

from .program import Command, Core, Program, Site
from .signals import Peers

#: Queues of a core in the order in which ties are broken and tracks are drawn; S is the scalar unit itself.
PIPES = ("S", "MTE2", "MTE1", "M", "V", "FIX", "MTE3", "SDMA", *LINK_PIPES)


class Link(NamedTuple):
    """A raise and the wait that it released: commands as (stream number, index)."""

    source: tuple[int, int]
    target: tuple[int, int]


class Utilization(NamedTuple):
    """Busy fraction of the makespan of one pipe: of the busiest core, and averaged over the cores that use the pipe."""

    busiest: float
    average: float


def pipe_of(site: Site) -> str:
    """The pipe of a site."""
    return site.pipe


def queue_of(site: Site, arch: str) -> str:
    """The queue that a command sits in: its pipe, or S for a barrier of all pipes and, on a3, for a cross-core wait."""
    if site.pipe == "ALL" or (site.kind == "await" and arch == "a3"):
        return "S"
    return site.pipe


def pair_flags(commands: list[Command]) -> list[int]:
    """For each set_flag its wait_flag and the reverse, -1 for none: the k-th set of (pipe, peer, flag) pairs with the k-th wait.

    Exact, because the sets of one such key sit in one in-order queue, and so do its waits.
    """
    partner = [-1] * len(commands)
    sets: dict[tuple, list[int]] = {}
    waits: dict[tuple, list[int]] = {}
    for index, command in enumerate(commands):
        site = command.site
        if site.kind == "set":
            sets.setdefault((site.pipe, site.peer, command.flag), []).append(index)
        elif site.kind == "wait":
            waits.setdefault((site.peer, site.pipe, command.flag), []).append(index)
    for key, raised in sets.items():
        for set_index, wait_index in zip(raised, waits.get(key, ())):
            partner[set_index], partner[wait_index] = wait_index, set_index
    return partner


@dataclass
class Timeline:
    """Times of all commands of `program`, one array per stream, in femtoseconds from the launch of the kernel; alike cores share arrays.

    `counters`: cross-core signals that nobody awaited, (core, flag) -> number; a legal rest, shown in reports.
    """

    program: Program
    start: Sequence[np.ndarray]
    end: Sequence[np.ndarray]
    complete: Sequence[np.ndarray]
    counters: dict[tuple[Core, int], int] = field(default_factory=dict)
    plan: Any = field(default=None, repr=False)

    @cached_property
    def makespan(self) -> int:
        """Completion of the last command, in fs; 0 without commands."""
        alone = {id(times): times for times in self.complete}
        return max((int(times.max()) for times in alone.values() if len(times)), default=0)

    @cached_property
    def links(self) -> list[Link]:
        """Which set or signal released which wait: flags by stream and set, then cross-core signals in the order in which their waits ended."""
        return find_links(self)

    def busy(self) -> dict[tuple[Core, str], int]:
        """fs in which (core, pipe) was occupied by work; waits, flags and barriers do not count.

        A queue runs one command at a time, so the union of the occupancies is their sum.
        """
        result: dict[tuple[Core, str], int] = {}
        known: dict[int, dict[str, int]] = {}
        for number, stream in enumerate(self.program.streams):
            key = number if self.plan is None else self.plan.stands_for[number]
            if key not in known:
                known[key] = self.occupied(number)
            result |= {(stream.core, pipe): fs for pipe, fs in known[key].items()}
        return result

    def occupied(self, number: int, key: Callable[[Site], Any] = pipe_of) -> dict[Any, int]:
        """Key of a site (its pipe) to the time that one core's work with that key occupied its engines, in the order of first use."""
        sites, rows = self._sites(number)
        taken = self.end[number] - self.start[number]
        by_row = np.argsort(rows.astype(np.int16) if len(sites) < 2**15 else rows, kind="stable")
        begins = np.searchsorted(rows[by_row], np.arange(len(sites)))
        sums = np.add.reduceat(taken[by_row], begins).tolist() if len(sites) else []
        result: dict[Any, int] = {}
        for site, fs in zip(sites, sums):
            if site.kind == "work":
                result[key(site)] = result.get(key(site), 0) + fs
        return result

    def _sites(self, number: int) -> tuple[list[Site], np.ndarray]:
        """The sites of one stream in the order of first use, and for each command the number of its site in that list."""
        if self.plan is not None:
            codes = self.plan.tracks[self.plan.stands_for[number]].codes
            rows = self.plan.table.rows
            first = np.full(len(rows), -1, np.int64)
            first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
            used = np.flatnonzero(first >= 0)
            sites, at = [rows[code][0] for code in used.tolist()], first[used]
            inverse = (np.cumsum(first >= 0) - 1)[codes]
        else:
            commands = self.program.streams[number].commands
            numbers: dict[Site, int] = {}
            inverse = np.array([numbers.setdefault(command.site, len(numbers)) for command in commands], np.int64)
            sites, at = list(numbers), np.arange(len(numbers))
        by_use = np.argsort(at, kind="stable")
        rank = np.empty(len(sites), np.int64)
        rank[by_use] = np.arange(len(sites))
        return [sites[k] for k in by_use.tolist()], rank[inverse] if len(sites) else inverse

    def utilization(self) -> dict[str, Utilization]:
        """Pipe -> busy fraction of the makespan (busiest core, average over the cores with work on that pipe), in the order of PIPES."""
        span = self.makespan or 1
        times: dict[str, list[int]] = {pipe: [] for pipe in PIPES}
        for (_, pipe), busy in self.busy().items():
            times[pipe].append(busy)
        return {pipe: Utilization(max(fs) / span, sum(fs) / len(fs) / span) for pipe, fs in times.items() if fs}

    def order(self) -> list[tuple[int, int]]:
        """All commands as (stream number, index), sorted by (start, stream, pipe in the order of PIPES, index)."""
        keys = []
        for number, start in enumerate(self.start):
            sites, rows = self._sites(number)
            rank = [PIPES.index(queue_of(site, self.program.arch)) for site in sites]
            keys += [(begin, number, rank[row], index) for index, (begin, row) in enumerate(zip(start.tolist(), rows.tolist()))]
        keys.sort()
        return [(number, index) for _, number, _, index in keys]

    @staticmethod
    def of_plan(plan: Any, start: np.ndarray, end: np.ndarray, complete: np.ndarray) -> "Timeline":
        """The timeline of a plan's columns."""
        columns = [[], [], []]
        for column, times in zip(columns, (start, end, complete)):
            parts = [times[low:high] for low, high in zip(plan.first[:-1].tolist(), plan.first[1:].tolist())]
            column += [parts[simulated] for simulated in plan.stands_for]
        return Timeline(plan.program, *columns, unawaited(plan), plan)


def unawaited(plan: Any) -> dict[tuple[Core, int], int]:
    """Cross-core signals that nobody awaited."""
    result = {}
    for number, stream in enumerate(plan.program.streams):
        receiver = plan.stands_for[number]
        awaits = np.bincount(plan.table.flag[plan.code[plan.awaits_of(receiver)]], minlength=FLAGS)
        for flag in range(CORE_FLAGS):  # what links count: misuse.check_messages
            signals = [len(plan.signals_of(s, flag)) for s in plan.peers.senders(receiver, flag)]
            if signals and max(signals) > awaits[flag]:
                result[stream.core, flag] = max(signals) - int(awaits[flag])
    return result


def find_links(timeline: Timeline) -> list[Link]:
    """See Timeline.links."""
    streams = timeline.program.streams
    links: list[Link] = []
    for number, stream in enumerate(streams):
        commands = stream.commands
        links += [
            Link((number, index), (number, wait))
            for index, wait in enumerate(pair_flags(commands))
            if wait >= 0 and commands[index].site.kind == "set"
        ]
    taken: list[tuple[int, int, int, list[Link]]] = []
    peers = Peers([stream.core for stream in streams], timeline.program.mesh)
    for receiver in range(len(streams)):
        for flag in range(FLAGS):
            senders = peers.senders(receiver, flag)
            if not senders:
                continue
            awaits = _crossing(timeline, receiver, "await", flag, timeline.end)
            for sender, signals in zip(senders, [_crossing(timeline, sender, "signal", flag, timeline.complete) for sender in senders]):
                taken += [(time, receiver, index, sender, raised) for (time, index), (_, raised) in zip(awaits, signals)]
    taken.sort()
    return links + [Link((sender, raised), (receiver, index)) for _, receiver, index, sender, raised in taken]


def _crossing(timeline: Timeline, number: int, kind: str, flag: int, times: list[np.ndarray]) -> list[tuple[int, int]]:
    """(time, index) of one core's signals or awaits of a flag, in the order of time."""
    commands = timeline.program.streams[number].commands
    return sorted((int(times[number][i]), i) for i, c in enumerate(commands) if c.flag == flag and c.site.kind == kind)
