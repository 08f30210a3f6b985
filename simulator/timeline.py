"""When every command of a program ran: start, end and completion in femtoseconds, and what follows from them.

start: the command is at the head of its queue and its queue is free; end: the queue takes the next command (occupancy);
complete: flags, barriers and readers see the result (latency).  For a wait, start is when it began to hold its queue.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from .program import Command, Core, Program, Site

#: Queues of a core in the order in which ties are broken and tracks are drawn; S is the scalar unit itself.
PIPES = ("S", "MTE2", "MTE1", "M", "V", "FIX", "MTE3")


class Link(NamedTuple):
    """A raise and the wait that it released: commands as (stream number, index)."""

    source: tuple[int, int]
    target: tuple[int, int]


class Utilization(NamedTuple):
    """Busy fraction of the makespan of one pipe: of the busiest core, and averaged over the cores that use the pipe."""

    busiest: float
    average: float


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


@dataclass(slots=True)
class Timeline:
    """Times of all commands of `program`, one list per stream, in femtoseconds from the launch of the kernel.

    `links`: flags first (by stream, by set), then cross-core signals in the order in which their waits ended.
    `counters`: cross-core signals that nobody awaited, (core, flag) -> number; a legal rest, shown in reports.
    """

    program: Program
    start: list[list[int]]
    end: list[list[int]]
    complete: list[list[int]]
    links: list[Link] = field(default_factory=list)
    counters: dict[tuple[Core, int], int] = field(default_factory=dict)

    @property
    def makespan(self) -> int:
        """Completion of the last command, in fs; 0 without commands."""
        return max((max(times) for times in self.complete if times), default=0)

    def busy(self) -> dict[tuple[Core, str], int]:
        """fs in which (core, pipe) was occupied by work; waits, flags and barriers do not count.

        A queue runs one command at a time, so the union of the occupancies is their sum.
        """
        result: dict[tuple[Core, str], int] = {}
        for stream, start, end in zip(self.program.streams, self.start, self.end):
            for command, begin, finish in zip(stream.commands, start, end):
                if command.site.kind == "work":
                    key = (stream.core, command.site.pipe)
                    result[key] = result.get(key, 0) + finish - begin
        return result

    def utilization(self) -> dict[str, Utilization]:
        """Pipe -> busy fraction of the makespan (busiest core, average over the cores with work on that pipe), in the order of PIPES."""
        span = self.makespan or 1
        times: dict[str, list[int]] = {pipe: [] for pipe in PIPES}
        for (_, pipe), busy in self.busy().items():
            times[pipe].append(busy)
        return {pipe: Utilization(max(fs) / span, sum(fs) / len(fs) / span) for pipe, fs in times.items() if fs}

    def order(self) -> list[tuple[int, int]]:
        """All commands as (stream number, index), sorted by (start, stream, pipe in the order of PIPES, index)."""
        rank = {site: PIPES.index(queue_of(site, self.program.arch)) for site in self.program.sites}
        keys = [
            (begin, number, rank[command.site], index)
            for number, (stream, start) in enumerate(zip(self.program.streams, self.start))
            for index, (command, begin) in enumerate(zip(stream.commands, start))
        ]
        keys.sort()
        return [(number, index) for _, number, _, index in keys]
