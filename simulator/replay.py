"""A program run through its in-order queues without times: which command may follow which, and nothing else.

The scalar unit of each core issues in program order; what sits in its own queue (work and flags of pipe S, barriers of ALL and, on a3,
cross-core waits) holds it.  Commands already issued go on meanwhile.  The k-th wait takes the k-th raise.  The checker and the adverse
executor subclass `Replay` and say what a command does.
"""

from collections import deque
from typing import Any

from ptoc.dialect.errors import DeadlockError

from .deadlock import explain
from .program import Command, Program
from .signals import Peers
from .timeline import PIPES, pair_flags, queue_of


class Queue:
    """One in-order queue of a core.

    `waiting`: commands that were issued and have not run, each with the scalar unit's `state` at issue; `state`, `seen`, `local` and
    `passed` are the subclass's.
    """

    __slots__ = ("core_queues", "local", "passed", "pipe", "rank", "seen", "state", "stream", "waiting")

    def __init__(self, stream: int, pipe: str, core_queues: dict[str, "Queue"]) -> None:
        self.stream, self.pipe, self.core_queues = stream, pipe, core_queues
        self.rank = PIPES.index(pipe)
        self.waiting: deque[tuple[int, Any]] = deque()
        self.state: Any = None
        self.seen: Any = None
        self.local = self.passed = 0

    @property
    def scalar(self) -> "Queue":
        """The queue of the core's scalar unit; its `state` is what the scalar unit knows."""
        return self.core_queues["S"]


class Replay:
    """Runs a program; subclasses override `work`, `raised`, `taken`, `drained`, and `may_go`, `force` to choose among allowed orders.

    `patient`: a scalar unit does not issue behind a command that waits while any other queue can go on, so that it never runs far ahead.
    """

    patient = False

    def __init__(self, program: Program) -> None:
        self.program = program
        self.cores: list[dict[str, Queue]] = []
        self.next: list[int] = [0] * len(program.streams)
        self.stops = [len(stream.commands) for stream in program.streams]
        self.flags: dict[tuple, deque] = {}  # (stream, pipe, peer, flag) or (receiver, sender, flag) -> tokens raised and not taken
        self.held: list[Queue] = []  # could go on if `force` is called
        self._waiters: dict[tuple, list[Queue]] = {}
        self._ready: deque[Queue] = deque()
        self._halted: list[Queue] = []  # scalar units that are at a stop
        self._parked: list[Queue] = []  # scalar units that would issue behind a command that waits
        self._site_queue = {site: queue_of(site, program.arch) for site in program.sites}
        for number, stream in enumerate(program.streams):
            queues: dict[str, Queue] = {}
            for pipe in ("S", *sorted({self._site_queue[c.site] for c in stream.commands} - {"S"}, key=PIPES.index)):
                queues[pipe] = Queue(number, pipe, queues)
            self.cores.append(queues)
        self.peers = Peers([stream.core for stream in program.streams], program.mesh)

    def work(self, queue: Queue, index: int, command: Command) -> None:
        """A command starts (on pipe S: runs to its end)."""

    def raised(self, queue: Queue, index: int, command: Command) -> Any:
        """A set or signal was reached; returns the token that its wait takes."""

    def taken(self, queue: Queue, index: int, command: Command, tokens: list) -> None:
        """A wait took its token, an await one of each peer."""

    def drained(self, queue: Queue, index: int, command: Command, queues: list[Queue]) -> None:
        """A barrier on `queues` is over."""

    def may_go(self, queue: Queue, tokens: list, queues: list[Queue]) -> bool:
        """May `queue`, at a wait for these tokens or a barrier on these queues, go on now?  Else it does once `force` chose it."""
        return True

    def force(self) -> Queue:
        """Takes one queue out of `held` and makes `may_go` true for it; called when nothing else can go on."""
        raise AssertionError("nothing is held unless may_go says so")

    def stopped(self, number: int) -> None:
        """Stream `number` is about to issue the command at `stops[number]`, and the others have gone as far as they can.

        Must put the stop further on (past the last command: never again).
        """
        raise AssertionError("nothing stops unless stops says so")

    def run(self) -> bool:
        """Runs everything that can run; False if something is left (see `deadlock`)."""
        self._ready.extend(queues["S"] for queues in self.cores)
        while self._ready or self._halted or self._parked or self.held:
            if self._ready:
                queue = self._ready.popleft()
            elif self._halted:
                queue = self._halted.pop()
            elif self._parked:
                queue = min(self._parked, key=_ahead)
                self._parked.remove(queue)
            else:
                queue = self.force()
            if queue.pipe == "S":
                self._issue(queue)
            else:
                self._advance(queue)
        return all(at == len(stream.commands) for at, stream in zip(self.next, self.program.streams)) and not any(
            queue.waiting for queues in self.cores for queue in queues.values()
        )

    def deadlock(self) -> str:
        """Why nothing goes on: each waiting queue, what it waits for, the cycle."""
        heads = {}
        for number, (queues, stream) in enumerate(zip(self.cores, self.program.streams)):
            unissued: dict[str, int] = {}
            for index in range(len(stream.commands) - 1, self.next[number] - 1, -1):
                unissued[self._site_queue[stream.commands[index].site]] = index
            for pipe, queue in queues.items():
                if queue.waiting or pipe in unissued:
                    heads[number, pipe] = queue.waiting[0][0] if queue.waiting else unissued[pipe]
        counts = [self.peers.counts(n, lambda sender, flag, n=n: len(self.flags.get((n, sender, flag), ()))) for n in range(len(self.program.streams))]
        return explain(self.program, heads, counts, [pair_flags(stream.commands) for stream in self.program.streams])

    def require_end(self) -> None:
        """Runs; raises DeadlockError if something is left."""
        if not self.run():
            raise DeadlockError(self.deadlock())

    def _issue(self, scalar: Queue) -> None:
        number, queues = scalar.stream, scalar.core_queues
        commands = self.program.streams[number].commands
        while self.next[number] < len(commands):
            index = self.next[number]
            if index >= self.stops[number]:
                if self._ready:
                    self._halted.append(scalar)
                    return
                self.stopped(number)
                continue
            command = commands[index]
            queue = queues[self._site_queue[command.site]]
            if queue is scalar:
                if not self._run(scalar, index, command):
                    return
                self.next[number] = index + 1
                continue
            self.next[number] = index + 1
            queue.waiting.append((index, scalar.state))
            if len(queue.waiting) == 1:
                self._advance(queue)
            if self.patient and queue.waiting:
                self._parked.append(scalar)
                return

    def _advance(self, queue: Queue) -> None:
        commands = self.program.streams[queue.stream].commands
        waiting = queue.waiting
        while waiting:
            index = waiting[0][0]
            if not self._run(queue, index, commands[index]):
                return
            waiting.popleft()
        if ("drain", queue.stream) in self._waiters:
            self._wake(("drain", queue.stream))

    def _run(self, queue: Queue, index: int, command: Command) -> bool:
        site = command.site
        kind = site.kind
        if kind == "work":
            self.work(queue, index, command)
        elif kind == "set":
            self._raise((queue.stream, site.pipe, site.peer, command.flag), self.raised(queue, index, command))
        elif kind == "wait":
            return self._take(queue, index, command, [(queue.stream, site.peer, site.pipe, command.flag)])
        elif kind == "signal":
            token = self.raised(queue, index, command)
            for receiver in self.peers.receivers(queue.stream, command.flag):
                self._raise((receiver, queue.stream, command.flag), token)
        elif kind == "await":
            peers = self.peers.senders(queue.stream, command.flag)
            keys = [(queue.stream, sender, command.flag) for sender in peers] or [(queue.stream, -1, command.flag)]
            return self._take(queue, index, command, keys)
        else:
            return self._drain(queue, index, command)
        return True

    def _raise(self, key: tuple, token: Any) -> None:
        self.flags.setdefault(key, deque()).append(token)
        if key in self._waiters:
            self._wake(key)

    def _wake(self, key: tuple) -> None:
        self._ready.extend(self._waiters.pop(key))

    def _take(self, queue: Queue, index: int, command: Command, keys: list[tuple]) -> bool:
        fifos = []
        for key in keys:
            fifo = self.flags.get(key)
            if not fifo:
                self._waiters.setdefault(key, []).append(queue)
                return False
            fifos.append(fifo)
        tokens = [fifo[0] for fifo in fifos]
        if not self.may_go(queue, tokens, []):
            self.held.append(queue)
            return False
        for fifo in fifos:
            fifo.popleft()
        self.taken(queue, index, command, tokens)
        return True

    def _drain(self, queue: Queue, index: int, command: Command) -> bool:
        queues = [queue]
        if command.site.pipe == "ALL":
            queues = list(queue.core_queues.values())
            if any(other.waiting for other in queues):
                self._waiters.setdefault(("drain", queue.stream), []).append(queue)
                return False
        if not self.may_go(queue, [], queues):
            self.held.append(queue)
            return False
        self.drained(queue, index, command, queues)
        return True


def _ahead(scalar: Queue) -> tuple[int, int]:
    """How far a scalar unit is ahead of its queues: commands that were issued and wait; ties by stream."""
    return sum(len(queue.waiting) for queue in scalar.core_queues.values()), scalar.stream
