"""Happens-before over the streams of one block, by vector clocks; no times.

A clock has one entry per queue: n says that all commands of that queue with a number below n (in program order) are complete.  A command
starts knowing what its queue knows: what the scalar unit knew when it issued it, what waits took, what barriers proved.  A set or signal
passes on its queue's clock with its own queue complete up to itself.  Two conflicting accesses are in order if the clock of the later one
covers the earlier; accesses of one queue also where the pipe needs no barrier between them.  Work of the scalar unit is posted like any
other; one more entry says which waits it has passed, which everything issued later knows.

Many programs are walked at once that differ in deleted units only: a clock is a matrix with a row for each.  One order serves all: what is
left of it when flags whose sets and waits pair with each other are taken out is an order of the smaller program.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ptoc.machine.mesh import CORE_FLAGS

from .check_flags import FlagRules, Raise
from .check_loops import Skipper
from .check_pattern import Pattern, bodies_of, leader_of
from .check_regions import ATOMICS, READS, WRITES, Regions
from .program import Command, Program
from .replay import Queue, Replay

HAZARDS = ("RAW", "WAR", "WAW")
RAW, WAR, WAW = range(3)

Place = tuple[int, int]  # stream, index
Needs = dict[str, tuple[bool, bool, bool]]  # pipe -> needs a barrier for RAW, WAR, WAW
Entry = list[int]  # index of an access, and the queues (bits) that were asked whether they know it
Table = dict[int, tuple[dict[Queue, Entry], dict[Queue, Entry], dict[Queue, Entry]]]  # region -> latest write, atomic write, read by queue


class Unordered(NamedTuple):
    """Two conflicting accesses in no order: the first (in program order, where they share a core) and the second."""

    hazard: int
    first: Place
    first_region: int
    second: Place
    second_region: int


class AllFail(Exception):
    """None of the smaller programs is in order."""


class Clocks(Replay):
    """One walk.  `missing`: by pair of sites, the first unordered pair and their number; `misuse`: texts by sites.

    without: units to delete, one set for each row; nothing is reported then, but `alive` says which rows have no fault.  Each set must
    hold all sets and waits that pair with one another.  The walk ends with AllFail when no row is left.  pattern: what repeats, to be
    skipped; the order is the same without it.
    """

    patient = True

    def __init__(
        self, program: Program, regions: Regions, needs: Needs, without: Sequence[frozenset[int]] = (), pattern: Pattern | None = None
    ) -> None:
        super().__init__(program)
        self.regions = regions
        self.missing: dict[tuple[int, int], list] = {}
        self.misuse: dict[tuple, str] = {}
        self.alive = np.ones(len(without) or 1, bool)
        self.judging = bool(without)
        self.deleted = {unit: np.array([unit in units for units in without]) for unit in frozenset().union(*without)}
        self.tables: list[Table] = [{} for _ in program.streams]
        self.shared: Table = {}
        self.rules = FlagRules(program, self.deleted, self._fault)
        self._free = {pipe: tuple(not need for need in hazards) for pipe, hazards in needs.items()}
        self.queues = [queue for queues in self.cores for queue in queues.values()]
        for number, queue in enumerate(self.queues):
            queue.local = queue.passed = number
        for number, queues in enumerate(self.cores):
            queues["S"].passed = len(self.queues) + number
        start = np.zeros((self.alive.size, len(self.queues) + len(self.cores)), np.int64)
        for queue in self.queues:
            queue.state = queue.seen = start
        self.leader = leader_of(program)
        self._bodies = bodies_of(program.streams[self.leader])
        self.skipper = Skipper(self, pattern) if pattern is not None else None
        self._set_stop()

    def stopped(self, number: int) -> None:
        """The leading stream is at the beginning of a loop's body; the others have come as far as they can."""
        if self.skipper is not None:
            self.skipper.look()
        self._set_stop()

    def _set_stop(self) -> None:
        after = int(np.searchsorted(self._bodies, self.next[self.leader], side="right"))
        self.stops[self.leader] = int(self._bodies[after]) if after < self._bodies.size else len(self.program.streams[self.leader].commands)

    def work(self, queue: Queue, index: int, command: Command) -> None:
        """A command starts: what it conflicts with must be known."""
        reads, writes, atomic = self.regions.touched[queue.stream][index]
        if reads or writes:
            asked: list[tuple] = []
            for number in reads:
                self._ask(queue, number, RAW, (WRITES, ATOMICS), asked)
            for number in writes:
                self._ask(queue, number, WAW, (WRITES,) if atomic else (WRITES, ATOMICS), asked)
                self._ask(queue, number, WAR, (READS,), asked)
            if asked:
                self._judge(queue, index, asked)
            for number in reads:
                self.table(queue.stream, number).setdefault(number, ({}, {}, {}))[READS][queue] = [index, 0]
            for number in writes:
                self.table(queue.stream, number).setdefault(number, ({}, {}, {}))[ATOMICS if atomic else WRITES][queue] = [index, 0]
        if command.site.attributes.get("drained"):
            queue.state = self._clock(queue).copy()
            queue.state[:, queue.local] = index + 1

    def raised(self, queue: Queue, index: int, command: Command) -> tuple[np.ndarray, Raise | None]:
        """The token that a set or signal carries."""
        clock = self._clock(queue)
        made = None
        if command.site.kind == "set":
            made = self.rules.set(queue, index, command, clock)
        else:
            counts = {to: len(self.flags.get((to, queue.stream, command.flag), ())) for to in self.peers.receivers(queue.stream, command.flag)}
            self.rules.signal(queue, index, command, clock, counts, self.alive)
        token = clock.copy()
        token[:, queue.local] = index + 1
        return token, made

    def taken(self, queue: Queue, index: int, command: Command, tokens: list[tuple[np.ndarray, Raise | None]]) -> None:
        """Merges what tokens carry into the queue that waited."""
        clock = self._clock(queue)
        if command.site.kind == "await":
            self.rules.awaited(queue, index, command, clock, self.peers.senders(queue.stream, command.flag))
        merged = clock.copy()
        for token, made in tokens:
            np.maximum(merged, token, out=merged)
            if made is not None:
                made.taken = index
        self._learn(queue, index, command, clock, merged)

    def drained(self, queue: Queue, index: int, command: Command, queues: list[Queue]) -> None:
        """A barrier: what its queues did is known."""
        clock = self._clock(queue)
        merged = clock.copy()
        for other in queues:
            np.maximum(merged, other.state, out=merged)
        for other in queues:
            merged[:, other.local] = index + 1
        self._learn(queue, index, command, clock, merged)

    def check_end(self) -> None:
        """Notes flags that are left raised, and messages over links that are left."""
        for key, tokens in self.flags.items():
            if tokens and len(key) == 4:
                self.rules.left(*key, tokens[-1][1])
            elif tokens and key[2] >= CORE_FLAGS and key[2] % 2 == 0:
                self.rules.unreceived(*key, len(tokens))

    def never_asked(self, queue: Queue) -> tuple[int, int, int]:
        """For accesses of `queue` of each kind: its own bit if its pipe keeps them in order without being asked, else 0."""
        raw, war, waw = self._free[queue.pipe] if queue.pipe in self._free else (True, True, True)
        bit = 1 << queue.local
        return (bit if raw and waw else 0,) * 2 + (bit if war else 0,)

    def queue_numbers(self) -> list[list[int]]:
        """Per stream and command the number of its queue."""
        numbers = [{site: queues[pipe].local for site, pipe in self._site_queue.items() if pipe in queues} for queues in self.cores]
        return [[known[command.site] for command in stream.commands] for known, stream in zip(numbers, self.program.streams)]

    def table(self, stream: int, number: int) -> Table:
        """The table that a region stands in: the stream's own, or that of the memory that cores share."""
        return self.shared if self.regions.shared[number] else self.tables[stream]

    def _clock(self, queue: Queue) -> np.ndarray:
        """What the queue knows when its next command starts."""
        if queue.waiting:
            issued = queue.waiting[0][1]
            if issued is not queue.seen:
                queue.seen = issued
                queue.state = np.maximum(queue.state, issued)
        return queue.state

    def _learn(self, queue: Queue, index: int, command: Command, before: np.ndarray, after: np.ndarray) -> None:
        """The queue's clock is `after` behind a wait or barrier; rows that lack it stay as they were."""
        deleted = self.deleted.get(command.site.unit)
        if deleted is not None:
            after[deleted] = before[deleted]
        if queue.pipe == "S":
            after[:, queue.passed] = index + 1
        queue.state = after

    def _ask(self, queue: Queue, number: int, hazard: int, kinds: tuple[int, ...], asked: list[tuple]) -> None:
        """Adds to `asked` every queue's latest access that must be complete when this one to region `number` starts.

        Each access is asked of each queue once: what a queue knew once it knows for good.
        """
        table = self.table(queue.stream, number)
        bit = 1 << queue.local
        free = self._free[queue.pipe][hazard]
        for other in self.regions.neighbours[number]:
            entries = table.get(other)
            if entries is None:
                continue
            for kind in kinds:
                for source, entry in entries[kind].items():
                    if not entry[1] & bit and not (free and source is queue):
                        entry[1] |= bit
                        asked.append((source, entry[0], hazard, other, number))

    def _judge(self, queue: Queue, index: int, asked: list[tuple]) -> None:
        clock = self._clock(queue)
        if self.judging:
            columns, places = [item[0].local for item in asked], [item[1] for item in asked]
            self._drop((clock[:, columns] <= places).any(axis=1))
            return
        known = clock[0]
        unknown = [item for item in asked if item[1] >= known[item[0].local]]
        for source, at, hazard, other, number in sorted(unknown, key=lambda item: item[0].local):  # tables have no order of their own
            self._unordered(hazard, (source.stream, at), other, (queue.stream, index), number)

    def _drop(self, bad: np.ndarray | bool) -> None:
        """Rows with a fault: nothing more need be known of them."""
        self.alive &= np.logical_not(bad)
        if not self.alive.any():
            raise AllFail

    def _unordered(self, hazard: int, first: Place, first_region: int, second: Place, second_region: int) -> None:
        if first[0] == second[0] and first[1] > second[1]:
            first, first_region, second, second_region = second, second_region, first, first_region
            hazard = (WAR, RAW, WAW)[hazard]
        key = (self._at(first).site.index, self._at(second).site.index)
        if key in self.missing:
            self.missing[key][1] += 1
        else:
            self.missing[key] = [Unordered(hazard, first, first_region, second, second_region), 1]

    def _fault(self, bad: np.ndarray | bool, key: tuple, text: str) -> None:
        if self.judging:
            self._drop(bad)
        else:
            self.misuse.setdefault(key, text)

    def _at(self, place: Place) -> Command:
        return self.program.streams[place[0]].commands[place[1]]


def survivors(
    program: Program, regions: Regions, needs: Needs, without: Sequence[frozenset[int]], pattern: Pattern | None = None
) -> list[bool] | None:
    """For each set of units: is the program in order without it?  None where something waits for ever.

    A set must hold all that pairs with one another.
    """
    if not without:
        return []
    clocks = Clocks(program, regions, needs, without, pattern)
    try:
        if not clocks.run():
            return None
        clocks.check_end()
    except AllFail:
        return [False] * len(without)
    return clocks.alive.tolist()
