"""The timing engine: start and completion of every command, from in-order queues, flags and shared bandwidth.

Rules, all in int64 femtoseconds:

- The scalar unit S hands a core's commands to their queues in program order, `issue` apart.  What sits in its own queue (work,
  flags and barriers of pipe S, barriers of ALL, on a3 every cross-core wait) holds it: nothing later is issued before its end.
  Commands already queued go on meanwhile; queues have no depth limit.
- start = max(issued, end of the queue's previous command).
- work: end = start + occupancy, complete = start + latency.
- set, signal: end = start + set_flag; complete = max(start, completion of all earlier commands of the queue) + set_flag.
- wait: end = max(start, completion of its set) + wait_flag.  The k-th set of a flag releases the k-th wait.
- barrier: end = max(start, completion of all earlier commands of the queue; ALL: of the core) + barrier.
- A signal arrives `signal` after its completion: one count at every other-kind core of its block (mode 2).  `await` takes one count
  from every other-kind core: an aic goes on when all aivs of its block have signalled.
- Transfers in flight share a named resource max-min fairly (`Sharing`); one that is alone takes its priced time.

Method: a queue runs ahead on its own for as long as nothing outside can change its times.  Only what depends on the order in time
between queues (starts of shared transfers, cross-core signals and waits) goes through one heap, by (time, stream, pipe, index); an
event is taken when no queue can run ahead any more, so nothing earlier can appear.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from ptoc.dialect.errors import DeadlockError, SimulationError, SyncError

from .deadlock import explain
from .program import Command, Program
from .sharing import WEIGHT, Sharing
from .timeline import PIPES, Link, Timeline, pair_flags, queue_of

#: A cross-core flag counts to 15 and a core has 16 of them.  Source: docs/semantics.md, Execution.
COUNTER_MAX = 15
CROSS_CORE_FLAGS = 16

WORK, SHARED, SET, WAIT, BARRIER, BARRIER_ALL, SIGNAL, AWAIT = range(8)
_KINDS = {"work": WORK, "set": SET, "wait": WAIT, "barrier": BARRIER, "signal": SIGNAL, "await": AWAIT}
READY, STARVED, BLOCKED, HELD = range(4)  # may run; next command not issued; waits for a flag, counter or transfer; barrier of ALL


@dataclass(frozen=True, slots=True)
class Costs:
    """What synchronisation costs, in fs, and the shared resources: name -> bytes per second."""

    issue: int = 0
    set_flag: int = 0
    wait_flag: int = 0
    barrier: int = 0
    signal: int = 0
    rates: dict[str, int] = field(default_factory=dict)


class _Queue:
    """One in-order queue: `indices` of its commands in program order, the next one to run, and when it is free and all complete."""

    __slots__ = ("core", "done", "free", "indices", "pipe", "position", "state")

    def __init__(self, core: "_CoreState", pipe: int) -> None:
        self.core, self.pipe = core, pipe
        self.indices: list[int] = []
        self.position = self.free = self.done = 0
        self.state = READY


class _CoreState:
    """The columns of one stream, all by command index, and its queues.  Commands below `issued` have left the scalar unit."""

    __slots__ = ("complete", "end", "issue", "issued", "kind", "latency", "number", "occupancy", "partner", "queues", "scalar", "start", "waiters")

    def __init__(self, number: int, size: int) -> None:
        self.number, self.issued = number, 0
        self.kind, self.occupancy, self.latency = [WORK] * size, [0] * size, [0] * size
        self.issue, self.start, self.end, self.complete = [0] * size, [-1] * size, [-1] * size, [-1] * size
        self.partner: list = [-1] * size  # set: its wait; wait: its set; shared transfer: its demand
        self.queues = [_Queue(self, pipe) for pipe in range(len(PIPES))]
        self.scalar = self.queues[0]
        self.waiters: dict[int, _Queue] = {}  # set -> the queue that its wait holds


Prices = Callable[[Command], tuple] | Sequence[Sequence[tuple | None]]


def schedule(program: Program, prices: Prices, costs: Costs) -> Timeline:
    """Runs `program` and returns when each command started, ended and was complete.

    prices: a function of a work command, or one list per stream with an entry per command (read at work commands only).  A price is
    (occupancy fs, latency fs, shared), shared None or ((resource, bytes), ...); resources without a rate in `costs` are unlimited.

    Raises: SyncError (flag set while raised, left raised; cross-core counter over 15), DeadlockError (engines wait for ever),
    SimulationError (a command or price that makes no sense).
    """
    run = _Run(program, prices, costs)
    run.loop()
    run.check_flags()
    if any(queue.position < len(queue.indices) for core in run.cores for queue in core.queues):
        raise DeadlockError(run.deadlock())
    return run.timeline()


class _Run:
    """State of one call of `schedule`."""

    def __init__(self, program: Program, prices: Prices, costs: Costs) -> None:
        self.program, self.costs = program, costs
        self.sharing = Sharing(costs.rates)
        self.heap: list[tuple] = []  # (time, stream, pipe number, index)
        self.links: list[Link] = []
        self.cores = [self._columns(number, prices) for number in range(len(program.streams))]
        self._drop_idle_limits()
        # per core, the other-kind cores of its block; per receiver {sender: 16 fifos of signal indices}; and the queues that an await holds
        kinds: dict[tuple[int, bool], list[int]] = {}
        for number, stream in enumerate(program.streams):
            kinds.setdefault((stream.core.block, stream.core.kind == "aic"), []).append(number)
        self.peers = [kinds.get((stream.core.block, stream.core.kind != "aic"), []) for stream in program.streams]
        self.counters = [{sender: [deque() for _ in range(CROSS_CORE_FLAGS)] for sender in senders} for senders in self.peers]
        self.awaiting: dict[tuple[int, int], deque[_Queue]] = {}
        self.ready: list[_Queue] = []

    def _columns(self, number: int, prices: Prices) -> _CoreState:
        commands = self.program.streams[number].commands
        priced = None if callable(prices) else prices[number]
        core = _CoreState(number, len(commands))
        core.partner = pair_flags(commands)
        kinds, occupancy, latency = core.kind, core.occupancy, core.latency
        facts: dict = {}
        demands: dict = {}
        for index, command in enumerate(commands):
            site = command[0]
            fact = facts.get(site)
            if fact is None:
                fact = facts[site] = self._fact(core, site)
            kind, append = fact
            append(index)
            if kind:
                kinds[index] = kind
                if kind >= SIGNAL and not 0 <= command.flag < CROSS_CORE_FLAGS:
                    raise SyncError(f"'{site.op}': a cross-core flag is 0 to {CROSS_CORE_FLAGS - 1}, got {command.flag}", site.location)
                continue
            price = prices(command) if priced is None else priced[index]
            if price[0] < 0 or price[1] < price[0]:
                raise SimulationError(f"'{site.op}': a price needs 0 <= occupancy <= latency, got {price[0]} fs and {price[1]} fs", site.location)
            occupancy[index], latency[index], shared = price
            if shared:
                key = (price[0], shared)
                if key not in demands:
                    demands[key] = self.sharing.demand_of(*key)
                if demands[key] is not None:
                    kinds[index], core.partner[index] = SHARED, demands[key]
        return core

    def _fact(self, core: _CoreState, site) -> tuple:
        """(kind, append of its queue) of a site."""
        everything = site.pipe == "ALL" and site.kind == "barrier"
        if site.pipe not in PIPES and not everything:
            raise SimulationError(f"'{site.op}': a {site.kind} has no pipe '{site.pipe}'; pipes are {', '.join(PIPES)}", site.location)
        pipe = queue_of(site, self.program.arch)
        kind = BARRIER_ALL if everything else _KINDS[site.kind]
        return kind, core.queues[PIPES.index(pipe)].indices.append

    def _drop_idle_limits(self) -> None:
        """Transfers whose resources cannot bind, even with every queue at its largest demand, become plain work."""
        most: dict[str, int] = dict.fromkeys(self.sharing.capacity, 0)
        for core in self.cores:
            for queue in core.queues:
                peak: dict[str, int] = {}
                for demand, uses, _ in {core.partner[index] for index in queue.indices if core.kind[index] == SHARED}:
                    for name, weight in uses:
                        peak[name] = max(peak.get(name, 0), -(-demand * weight >> WEIGHT))
                for name, rate in peak.items():
                    most[name] += rate
        idle = {name for name, capacity in self.sharing.capacity.items() if most[name] <= capacity}
        for core in self.cores if idle else ():
            for index, kind in enumerate(core.kind):
                if kind == SHARED and all(name in idle for name, _ in core.partner[index][1]):
                    core.kind[index] = WORK

    def loop(self) -> None:
        """Runs everything that can run."""
        heap, sharing, ready = self.heap, self.sharing, self.ready
        for core in self.cores:
            self._issue(core, 0, 0)
            ready.extend(queue for queue in core.queues if queue.indices)
        while True:
            while ready:
                self._advance(ready.pop())
            event = heap[0][0] if heap else None
            if event != sharing.now or not heap:
                end = sharing.next_end()
                if end is not None and (event is None or end <= event):
                    for queue in sharing.take(end):
                        self._end_transfer(queue, end)
                    continue
            if event is None:
                return
            time, number, pipe, index = heappop(heap)
            core = self.cores[number]
            kind = core.kind[index]
            if kind == SHARED:
                sharing.add(time, core.partner[index], number, pipe, core.queues[pipe])
            elif kind == SIGNAL:
                self._arrive(number, index, time)
            else:
                flag = self._flag(number, index)
                self.awaiting.setdefault((number, flag), deque()).append(core.queues[pipe])
                self._release(number, flag, time)

    def _flag(self, number: int, index: int) -> int:
        return self.program.streams[number].commands[index].flag

    def _issue(self, core: _CoreState, first: int, time: int) -> None:
        """The scalar unit, free at `time`, issues commands from `first` up to and with the next one that holds it."""
        scalar, step = core.scalar, self.costs.issue
        last = scalar.indices[scalar.position] + 1 if scalar.position < len(scalar.indices) else len(core.kind)
        count = last - first
        core.issue[first:last] = range(time + step, time + step * (count + 1), step) if step else [time] * count
        core.issued = last
        for queue in core.queues:
            if queue.state == STARVED and queue.indices[queue.position] < last:
                queue.state = READY
                self.ready.append(queue)

    def _advance(self, queue: _Queue) -> None:
        """Runs a queue until its next command is not issued, waits for another queue, or needs the order in time.

        The hot loop: one long function with everything in local variables.
        """
        core = queue.core
        indices, position, free, done = queue.indices, queue.position, queue.free, queue.done
        kinds, issue, partner = core.kind, core.issue, core.partner
        starts, ends, completes = core.start, core.end, core.complete
        occupancy, latency, waiters = core.occupancy, core.latency, core.waiters
        is_scalar = queue is core.scalar
        issued, size = core.issued, len(indices)
        set_flag, wait_flag = self.costs.set_flag, self.costs.wait_flag
        queue.state = READY
        while position < size:
            index = indices[position]
            if index >= issued:
                queue.state = STARVED
                break
            start = issue[index]
            if free > start:
                start = free
            starts[index] = start
            kind = kinds[index]
            if kind == WORK:
                free = start + occupancy[index]
                complete = start + latency[index]
            elif kind == SET:
                free = start + set_flag
                complete = (start if start > done else done) + set_flag
                if index in waiters:
                    waiter = waiters.pop(index)
                    waiter.state = READY
                    self.ready.append(waiter)
            elif kind == WAIT:
                raised = completes[partner[index]] if partner[index] >= 0 else -1
                if raised < 0:
                    waiters[partner[index]] = queue
                    queue.state = BLOCKED
                    break
                complete = free = (start if start > raised else raised) + wait_flag
            elif kind == BARRIER:
                complete = free = (start if start > done else done) + self.costs.barrier
            elif kind == BARRIER_ALL:
                queue.done = done
                drained = self._drained(core, index)
                if drained is None:
                    queue.state = HELD
                    break
                complete = free = max(start, drained) + self.costs.barrier
            elif kind == SIGNAL:
                free = start + set_flag
                complete = (start if start > done else done) + set_flag
                heappush(self.heap, (complete + self.costs.signal, core.number, queue.pipe, index))
            else:
                heappush(self.heap, (start, core.number, queue.pipe, index))
                queue.state = BLOCKED
                break
            ends[index] = free
            completes[index] = complete
            if complete > done:
                done = complete
            position += 1
            if is_scalar:
                queue.position = position
                self._issue(core, index + 1, free)
                issued = core.issued
        queue.position, queue.free, queue.done = position, free, done
        if core.scalar.state == HELD and not is_scalar:
            core.scalar.state = READY
            self.ready.append(core.scalar)

    def _drained(self, core: _CoreState, index: int) -> int | None:
        """When all commands of the core before `index` are complete, None if one has not run yet."""
        for queue in core.queues[1:]:
            if queue.position < len(queue.indices) and queue.indices[queue.position] < index:
                return None
        return max(queue.done for queue in core.queues)

    def _finish(self, queue: _Queue, end: int, complete: int) -> None:
        """Ends the command at the head of a queue that an event held."""
        core, index = queue.core, queue.indices[queue.position]
        core.end[index] = queue.free = end
        core.complete[index] = complete
        queue.done = max(queue.done, complete)
        queue.position += 1
        queue.state = READY
        self.ready.append(queue)
        if queue is core.scalar:
            self._issue(core, index + 1, end)

    def _end_transfer(self, queue: _Queue, now: int) -> None:
        """A shared transfer has been served: it ends now or, if demands were rounded up, at its priced end."""
        core, index = queue.core, queue.indices[queue.position]
        end = max(now, core.start[index] + core.occupancy[index])
        self._finish(queue, end, end + core.latency[index] - core.occupancy[index])

    def _arrive(self, sender: int, index: int, time: int) -> None:
        """A signal reaches every other-kind core of its block."""
        flag = self._flag(sender, index)
        for receiver in self.peers[sender]:
            fifo = self.counters[receiver][sender][flag]
            fifo.append(index)
            self._release(receiver, flag, time)
            if len(fifo) > COUNTER_MAX:
                raise SyncError(*self._overflow(sender, index, receiver, flag))

    def _overflow(self, sender: int, index: int, receiver: int, flag: int) -> tuple[str, str]:
        streams = self.program.streams
        site = streams[sender].commands[index].site
        lines = dict.fromkeys(c.site.location for c in streams[receiver].commands if c.site.kind == "await" and c.flag == flag)
        channel = f" ('{site.channel}')" if site.channel else ""
        return (
            f"'{site.op}' on {streams[sender].core}: cross-core flag {flag}{channel} of {streams[receiver].core} counts at most {COUNTER_MAX}, this "
            f"signal is one more; {'it is awaited at ' + ', '.join(lines) if lines else 'nobody awaits it'}: await earlier or signal less often"
        ), site.location

    def _release(self, receiver: int, flag: int, time: int) -> None:
        """Ends the oldest await of a counter if every sender has signalled."""
        waiting, fifos = self.awaiting.get((receiver, flag)), self.counters[receiver]
        if not waiting or not fifos or not all(fifo[flag] for fifo in fifos.values()):
            return
        queue = waiting.popleft()
        index = queue.indices[queue.position]
        self.links.extend(Link((sender, fifo[flag].popleft()), (receiver, index)) for sender, fifo in fifos.items())
        end = max(time, queue.core.start[index]) + self.costs.wait_flag
        self._finish(queue, end, end)

    def check_flags(self) -> None:
        """Raises SyncError for the earliest set of a raised flag, and, if all has run, for flags that are left raised."""
        misuses = []
        finished = all(queue.position == len(queue.indices) for core in self.cores for queue in core.queues)
        for core in self.cores:
            commands = self.program.streams[core.number].commands
            before: dict[tuple, int] = {}
            for index, kind in enumerate(core.kind):
                if kind != SET or core.complete[index] < 0:
                    continue
                key = (commands[index].site.pipe, commands[index].site.peer, commands[index].flag)
                earlier = before.get(key)
                before[key] = index
                if earlier is None:
                    continue
                wait = core.partner[earlier]
                if wait < 0 or core.end[wait] < 0 or core.complete[index] < core.end[wait] - self.costs.wait_flag:
                    misuses.append((False, core.complete[index], core.number, index, earlier))
            for index in before.values() if finished else ():
                if core.partner[index] < 0:
                    misuses.append((True, core.complete[index], core.number, index, -1))
        if misuses:
            raise SyncError(*self._misuse(*min(misuses)[2:]))

    def _misuse(self, number: int, index: int, earlier: int) -> tuple[str, str]:
        stream = self.program.streams[number]
        command = stream.commands[index]
        site = command.site
        what = f"'{site.op}' on {stream.core}: flag {site.pipe} -> {site.peer} id {command.flag}"
        if earlier < 0:
            return f"{what} is left raised at the end; add a wait_flag on {site.peer}", site.location
        wait = self.cores[number].partner[earlier]
        clear = f"cleared only by the wait at {stream.commands[wait].site.location}" if wait >= 0 else "never waited for"
        return f"{what} is set while it is raised: it was set at {stream.commands[earlier].site.location} and is {clear}", site.location

    def deadlock(self) -> str:
        """Who waits for what."""
        heads = {
            (core.number, PIPES[queue.pipe]): queue.indices[queue.position]
            for core in self.cores
            for queue in core.queues
            if queue.position < len(queue.indices)
        }
        counts = [{sender: [len(fifo) for fifo in fifos] for sender, fifos in counter.items()} for counter in self.counters]
        return explain(self.program, heads, counts, [core.partner for core in self.cores])

    def timeline(self) -> Timeline:
        """The result; flags are linked here, where every set has its wait."""
        flags = [
            Link((core.number, index), (core.number, core.partner[index])) for core in self.cores for index, kind in enumerate(core.kind) if kind == SET
        ]
        rest: dict = {}
        for receiver, fifos in enumerate(self.counters):
            for flag in range(CROSS_CORE_FLAGS):
                count = max((len(fifo[flag]) for fifo in fifos.values()), default=0)
                if count:
                    rest[self.program.streams[receiver].core, flag] = count
        starts, ends, completes = ([getattr(core, name) for core in self.cores] for name in ("start", "end", "complete"))
        return Timeline(self.program, starts, ends, completes, flags + self.links, rest)
