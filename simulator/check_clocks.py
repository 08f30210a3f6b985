"""Happens-before over a program's streams, by vector clocks; no times.

A clock has one entry per queue of a block: n says that all commands of that queue with a number below n (in program order) are
complete.  A command starts knowing what its queue knows: what the scalar unit knew when it issued it, what waits took, what barriers
proved.  A set or signal passes on its queue's clock with its own queue complete up to itself.  Two conflicting accesses are in order if
the clock of the later one covers the earlier; accesses of one queue also where the pipe needs no barrier between them.
"""

from typing import NamedTuple

from .check_regions import Regions
from .program import Command, Program
from .replay import Queue, Replay

EVENT_IDS = 8
CROSS_CORE_IDS = 16
COUNTER_MAX = 15
"""Source: docs/semantics.md, Execution."""

HAZARDS = ("RAW", "WAR", "WAW")
RAW, WAR, WAW = range(3)
ALWAYS = 1 << 62

Place = tuple[int, int]  # stream, index


class Unordered(NamedTuple):
    """Two conflicting accesses in no order: the first (in program order, where they share a core) and the second."""

    hazard: int
    first: Place
    first_region: int
    second: Place
    second_region: int


class FirstFault(Exception):
    """Something is wrong and the caller only wants to know that."""


class Clocks(Replay):
    """One run of the check.  `missing`: by pair of sites, the first unordered pair and their number; `misuse`: texts by sites."""

    def __init__(self, program: Program, regions: Regions, needs: dict[str, tuple[bool, bool, bool]], first_only: bool = False) -> None:
        super().__init__(program)
        self.regions, self.first_only = regions, first_only
        self.missing: dict[tuple[int, int], list] = {}
        self.misuse: dict[tuple, str] = {}
        self._bounds = {pipe: tuple(ALWAYS if not need else 0 for need in hazards) for pipe, hazards in needs.items()}
        self._tables: list[dict[int, tuple[dict, dict, dict]]] = [{} for _ in program.streams]
        self._shared: dict[int, tuple[dict, dict, dict]] = {}
        self._sets: dict[tuple, list[int]] = {}
        self._takes: dict[tuple, list[int]] = {}
        self._signals: dict[tuple[int, int], list[tuple[Queue, int]]] = {}
        self._awaits: dict[tuple[int, int], list[tuple[Queue, int]]] = {}
        sizes: dict[int, int] = {}
        for number, queues in enumerate(self.cores):
            block = program.streams[number].core.block
            for queue in queues.values():
                queue.block, queue.local = block, sizes.get(block, 0)
                sizes[block] = queue.local + 1
        for queues in self.cores:
            for queue in queues.values():
                queue.state = queue.seen = [0] * sizes[queue.block]

    def work(self, queue: Queue, index: int, command: Command) -> None:
        """Clocks of a command: what it conflicts with must be known."""
        clock = self._clock(queue)
        reads, writes, atomic = self.regions.touched[queue.stream][index]
        bounds = self._bounds[queue.pipe]
        for number in reads:
            table = self._table(queue, number)
            for other in self.regions.neighbours[number]:
                if other in table:
                    before = table[other]
                    self._compare(queue, index, clock, number, other, before[0], RAW, bounds[RAW])
                    self._compare(queue, index, clock, number, other, before[1], RAW, bounds[RAW])
        for number in writes:
            table = self._table(queue, number)
            for other in self.regions.neighbours[number]:
                if other in table:
                    before = table[other]
                    self._compare(queue, index, clock, number, other, before[0], WAW, bounds[WAW])
                    if not atomic:
                        self._compare(queue, index, clock, number, other, before[1], WAW, bounds[WAW])
                    self._compare(queue, index, clock, number, other, before[2], WAR, bounds[WAR])
        for number in reads:
            self._table(queue, number).setdefault(number, ({}, {}, {}))[2][queue] = index
        for number in writes:
            self._table(queue, number).setdefault(number, ({}, {}, {}))[1 if atomic else 0][queue] = index
        if queue.pipe == "S" or command.site.attributes.get("drained"):
            self._complete(queue, index)

    def raised(self, queue: Queue, index: int, command: Command) -> list[int]:
        """The token that a set or signal carries."""
        clock = self._clock(queue)
        if command.site.kind == "set":
            self._check_set(queue, index, command, clock)
        else:
            self._check_signal(queue, index, command, clock)
        token = clock.copy()
        token[queue.local] = index + 1
        if queue.pipe == "S":
            self._complete(queue, index)
        return token

    def taken(self, queue: Queue, index: int, command: Command, tokens: list) -> None:
        """Merges what tokens carry into the queue that waited."""
        clock = self._clock(queue)
        if command.site.kind == "wait":
            self._takes.setdefault((queue.stream, command.site.peer, command.site.pipe, command.flag), []).append(index)
        else:
            self._check_alone(queue, index, command, clock, self._awaits.setdefault((queue.stream, command.flag), []), "awaited on")
        for token in tokens:
            clock = _merge(clock, token)
        queue.state = clock
        if queue.pipe == "S":
            self._complete(queue, index)

    def drained(self, queue: Queue, index: int, command: Command, queues: list[Queue]) -> None:
        """A barrier: what its queues did is known."""
        clock = self._clock(queue)
        for other in queues:
            clock = _merge(clock, other.state)
        for other in queues:
            clock[other.local] = index + 1
        queue.state = clock

    def check_end(self) -> None:
        """Notes flags that are left raised."""
        for key, tokens in self.flags.items():
            if tokens and len(key) == 4:
                stream, pipe, peer, flag = key
                command = self._at((stream, self._sets[key][-1]))
                self._misused(
                    ("left", command.site.index),
                    f"{command.site.location}: flag {pipe} -> {peer} id {flag} of {self.program.streams[stream].core} is left raised at the end: "
                    f"add wait_flag({pipe} -> {peer}, {flag}) after it, or drop this set",
                )

    def _clock(self, queue: Queue) -> list[int]:
        """What the queue knows when its next command starts."""
        if queue.waiting:
            issued = queue.waiting[0][1]
            if issued is not queue.seen:
                queue.seen = issued
                queue.state = _merge(queue.state, issued)
        return queue.state

    def _complete(self, queue: Queue, index: int) -> None:
        queue.state = queue.state.copy()
        queue.state[queue.local] = index + 1

    def _table(self, queue: Queue, number: int) -> dict[int, tuple[dict, dict, dict]]:
        return self._shared if self.regions.shared[number] else self._tables[queue.stream]

    def _compare(
        self, queue: Queue, index: int, clock: list[int], number: int, other: int, earlier: dict[Queue, int], hazard: int, same_queue: int
    ) -> None:
        """Every queue's latest access to region `other` must be complete when this access to region `number` starts."""
        for source, at in earlier.items():
            if source.block != queue.block:
                known = 0
            else:
                known = clock[source.local]
                if source is queue and same_queue > known:
                    known = same_queue
            if at >= known:
                self._unordered(hazard, (source.stream, at), other, (queue.stream, index), number)

    def _unordered(self, hazard: int, first: Place, first_region: int, second: Place, second_region: int) -> None:
        if self.first_only:
            raise FirstFault
        if first[0] == second[0] and first[1] > second[1]:
            first, first_region, second, second_region = second, second_region, first, first_region
            hazard = (WAR, RAW, WAW)[hazard]
        key = (self._at(first).site.index, self._at(second).site.index)
        if key in self.missing:
            self.missing[key][1] += 1
        else:
            self.missing[key] = [Unordered(hazard, first, first_region, second, second_region), 1]

    def _misused(self, key: tuple, text: str) -> None:
        if self.first_only:
            raise FirstFault
        self.misuse.setdefault(key, text)

    def _check_set(self, queue: Queue, index: int, command: Command, clock: list[int]) -> None:
        site, flag = command.site, command.flag
        key = (queue.stream, site.pipe, site.peer, flag)
        sets, takes = self._sets.setdefault(key, []), self._takes.get(key, ())
        if not 0 <= flag < EVENT_IDS:
            self._misused(
                ("id", site.index),
                f"{site.location}: '{site.op}' uses event id {flag}; a pipe pair has {EVENT_IDS} of them, 0 to {EVENT_IDS - 1}",
            )
        if sets:
            taker = queue.core_queues.get(site.peer)
            cleared = len(takes) == len(sets) and (taker is queue or clock[taker.local] > takes[-1])
            if not cleared:
                before = self._at((queue.stream, sets[-1])).site
                self._misused(
                    ("set", before.index, site.index),
                    f"{site.location}: flag {site.pipe} -> {site.peer} id {flag} of {self.program.streams[queue.stream].core} is set while it may still be "
                    f"raised by the set at {before.location}: order its wait on {site.peer} before this set (a flag {site.peer} -> {site.pipe}), or take another id",
                )
        sets.append(index)

    def _check_signal(self, queue: Queue, index: int, command: Command, clock: list[int]) -> None:
        site, flag = command.site, command.flag
        signals = self._signals.setdefault((queue.stream, flag), [])
        self._check_alone(queue, index, command, clock, signals, "signalled from")
        if not 0 <= flag < CROSS_CORE_IDS:
            self._misused(
                ("id", site.index),
                f"{site.location}: '{site.op}' uses cross-core flag {flag}; a core has {CROSS_CORE_IDS} of them, 0 to {CROSS_CORE_IDS - 1}",
            )
        taken = len(signals) - COUNTER_MAX  # awaits that must be over
        if taken <= 0:
            return
        for receiver in self.peers[queue.stream]:
            awaits = self._awaits.get((receiver, flag), ())
            if len(awaits) < taken or clock[awaits[taken - 1][0].local] <= awaits[taken - 1][1]:
                self._misused(
                    ("overflow", site.index),
                    f"{site.location}: cross-core flag {flag} of {self.program.streams[receiver].core} may count past {COUNTER_MAX}: nothing orders its "
                    f"await number {taken} before signal number {len(signals)} of {self.program.streams[queue.stream].core}; let the receiver signal back more often",
                )

    def _check_alone(
        self, queue: Queue, index: int, command: Command, clock: list[int], events: list[tuple[Queue, int]], what: str
    ) -> None:
        """Signals (or awaits) of one cross-core flag must be in one order, else nobody knows which raise a wait takes."""
        if events:
            other, at = events[-1]
            if other is not queue and clock[other.local] <= at:
                before, site = self._at((other.stream, at)).site, command.site
                self._misused(
                    ("alone", before.index, site.index),
                    f"{site.location}: cross-core flag {command.flag} of {self.program.streams[queue.stream].core} is {what} {other.pipe} ({before.location}) and "
                    f"{queue.pipe} in no order: use one pipe, or two flags",
                )
        events.append((queue, index))

    def _at(self, place: Place) -> Command:
        return self.program.streams[place[0]].commands[place[1]]


def _merge(mine: list[int], other: list[int]) -> list[int]:
    return [a if a > b else b for a, b in zip(mine, other)]
