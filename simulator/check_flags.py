"""Is any flag set while it may still be raised, any counter run over, any cross-core flag raised or awaited from two pipes at once?"""

from collections import deque
from collections.abc import Callable

import numpy as np

from .misuse import unreceived
from .program import Command, Program
from .replay import Queue

EVENT_IDS = 8
CROSS_CORE_IDS = 16
COUNTER_MAX = 15
"""Source: docs/semantics.md, Execution."""

Fault = Callable[[np.ndarray | bool, tuple, str], None]
"""(rows that have it, what makes it one and the same, what to tell)."""


class Raise:
    """A set of a flag: its index and unit, and the index of the wait that took it (-1: none yet)."""

    __slots__ = ("index", "taken", "unit")

    def __init__(self, index: int, unit: int) -> None:
        self.index, self.unit, self.taken = index, unit, -1


class FlagRules:
    """What the rules remember during a walk.  A clock is a matrix, its rows as in `Clocks`; `deleted`: the rows that lack a unit.

    raises: (stream, pipe, peer, flag) -> the latest set of each unit, the latest first.  awaits: (receiver, sender, flag) -> those of the
    last COUNTER_MAX that the sender may not know of.  latest: (kind, stream, flag) -> the latest signal or await.
    """

    def __init__(self, program: Program, deleted: dict[int, np.ndarray], fault: Fault) -> None:
        self.program, self._deleted, self._fault = program, deleted, fault
        self.raises: dict[tuple, list[Raise]] = {}
        self.awaits: dict[tuple[int, int, int], deque[tuple[Queue, int]]] = {}
        self.latest: dict[tuple[str, int, int], tuple[Queue, int]] = {}

    def set(self, queue: Queue, index: int, command: Command, clock: np.ndarray) -> Raise:
        """A set is about to raise its flag."""
        site, flag = command.site, command.flag
        if not 0 <= flag < EVENT_IDS:
            self._fault(
                True,
                ("id", site.index),
                f"{site.location}: '{site.op}' uses event id {flag}; a pipe pair has {EVENT_IDS} of them, 0 to {EVENT_IDS - 1}",
            )
        made = Raise(index, site.unit)
        earlier = self.raises.setdefault((queue.stream, site.pipe, site.peer, flag), [])
        rows = ~self._deleted[site.unit] if site.unit in self._deleted else True
        for before in earlier:
            lacking = self._deleted.get(before.unit)
            bad = self._may_be_up(before, queue, index, command, clock) & rows
            if np.any(bad if lacking is None else bad & ~lacking):
                self._set_twice(bad if lacking is None else bad & ~lacking, queue, command, before)
            if lacking is None:
                break
            rows = rows & lacking
        earlier[:] = [made, *(before for before in earlier if before.unit != made.unit)]
        return made

    def signal(self, queue: Queue, index: int, command: Command, clock: np.ndarray, counts: dict[int, int], alive: np.ndarray) -> None:
        """A signal is about to count up; `counts`: where the counter of each receiver stands."""
        site, flag = command.site, command.flag
        self._alone(queue, index, command, clock)
        if not site.link and not 0 <= flag < CROSS_CORE_IDS:
            self._fault(
                True,
                ("id", site.index),
                f"{site.location}: '{site.op}' uses cross-core flag {flag}; a core has {CROSS_CORE_IDS} of them, 0 to {CROSS_CORE_IDS - 1}",
            )
        for receiver, count in counts.items():
            awaits = self.awaits.setdefault((receiver, queue.stream, flag), deque(maxlen=COUNTER_MAX))
            back = COUNTER_MAX - count  # the await that must be over, counted from the latest
            if back <= 0 or (back <= len(awaits) and _not_passed(clock, *awaits[-back]).any()):
                bad = back <= 0 or _not_passed(clock, *awaits[-back])
                core, sender = self.program.streams[receiver].core, self.program.streams[queue.stream].core
                self._fault(
                    bad,
                    ("overflow", site.index),
                    f"{site.location}: cross-core flag {flag} of {core} may count past {COUNTER_MAX}: this signal of {sender} does not wait until the "
                    f"one {COUNTER_MAX} before it was awaited; let the receiver signal back more often",
                )
            while awaits and not _not_passed(clock, *awaits[0])[alive].any():
                awaits.popleft()

    def awaited(self, queue: Queue, index: int, command: Command, clock: np.ndarray, senders: list[int]) -> None:
        """An await took its counts."""
        self._alone(queue, index, command, clock)
        for sender in senders:
            self.awaits.setdefault((queue.stream, sender, command.flag), deque(maxlen=COUNTER_MAX)).append((queue, index))

    def left(self, stream: int, pipe: str, peer: str, flag: int, made: Raise) -> None:
        """A flag is up at the end."""
        site, core = self.program.streams[stream].commands[made.index].site, self.program.streams[stream].core
        self._fault(
            True,
            ("left", site.index),
            f"{site.location}: flag {pipe} -> {peer} id {flag} of {core} is left raised at the end: "
            f"add wait_flag({pipe} -> {peer}, {flag}) after it, or drop this set",
        )

    def unreceived(self, receiver: int, sender: int, flag: int, count: int) -> None:
        """Messages of a link are left in the receiver's buffer at the end."""
        commands = self.program.streams[sender].commands
        sent = [command.site for command in commands if command.site.kind == "signal" and command.flag == flag]
        site = sent[-count]
        text, location = unreceived(site, *(self.program.streams[n].core for n in (sender, receiver)), count)
        self._fault(True, ("unreceived", site.index), f"{location}: {text}")

    def _may_be_up(self, before: Raise, queue: Queue, index: int, command: Command, clock: np.ndarray) -> np.ndarray | bool:
        """Rows in which an earlier set's flag may be up when this one starts.  A wait of S is over before anything later is issued."""
        if before.taken < 0:
            return True
        taker = queue.core_queues[command.site.peer]
        if taker is queue or (taker.pipe == "S" and before.taken < index):
            return False
        return _not_passed(clock, taker, before.taken)

    def _set_twice(self, bad: np.ndarray | bool, queue: Queue, command: Command, before: Raise) -> None:
        site, earlier = command.site, self.program.streams[queue.stream].commands[before.index].site
        self._fault(
            bad,
            ("set", earlier.index, site.index),
            f"{site.location}: flag {site.pipe} -> {site.peer} id {command.flag} of {self.program.streams[queue.stream].core} is set while it may still "
            f"be raised by the set at {earlier.location}: order its wait on {site.peer} before this set (a flag {site.peer} -> {site.pipe}), or take "
            "another id",
        )

    def _alone(self, queue: Queue, index: int, command: Command, clock: np.ndarray) -> None:
        """Signals (or awaits) of one cross-core flag must be in one order, else nobody knows which raise a wait takes."""
        site = command.site
        key = (site.kind, queue.stream, command.flag)
        other, at = self.latest.get(key, (queue, -1))
        self.latest[key] = (queue, index)
        if other is queue:
            return
        bad = clock[:, other.local] <= at if site.kind == "signal" else _not_passed(clock, other, at)
        if bad.any():
            before = self.program.streams[other.stream].commands[at].site
            self._fault(
                bad,
                ("alone", before.index, site.index),
                f"{site.location}: cross-core flag {command.flag} of {self.program.streams[queue.stream].core} is "
                f"{'signalled from' if site.kind == 'signal' else 'awaited on'} {other.pipe} ({before.location}) and {queue.pipe} in no order: "
                "use one pipe, or two flags",
            )


def _not_passed(clock: np.ndarray, queue: Queue, index: int) -> np.ndarray:
    """Rows in which the clock does not cover that `queue` has passed the wait at `index`."""
    return clock[:, queue.passed] <= index
