"""The rules of `engine.py` as plainly as they can be run: the oracle of the fast engines.

It simulates every core, looks at all queues again after every step, and shares bandwidth transfer by transfer.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from heapq import heappop, heappush

from .plan import Plan
from .sharing import Sharing
from .signals import Peers
from .table import AWAIT, BARRIER, BARRIER_ALL, QUEUES, SET, SIGNAL, WAIT


class Reference:
    """times[n]: [start, end, complete] of each command of stream n, -1 where it has not run; raised: cross-core signals (receiver, sender, flag).

    log: per counter (receiver, sender, flag) the times and (stream, index) of its signals, and when they were taken.
    """

    def __init__(self, planned: Plan) -> None:
        self.table, self.costs, self.sharing = planned.table, planned.costs, Sharing(planned.costs.capacity)
        self.codes = [planned.tracks[stands].codes.tolist() for stands in planned.stands_for]
        self.times = [[[-1, -1, -1] for _ in codes] for codes in self.codes]
        cores = [stream.core for stream in planned.program.streams]
        self.peers = Peers(cores, planned.program.mesh)
        self.queues = {(n, q): deque(i for i, c in enumerate(codes) if self.table.queue[c] == q) for n, codes in enumerate(self.codes) for q in range(QUEUES)}
        self.free, self.done = dict.fromkeys(self.queues, 0), dict.fromkeys(self.queues, 0)
        self.before = [self._scalar_before(n) for n in range(len(cores))]
        self.sets, self.raised, self.log = defaultdict(deque), defaultdict(deque), defaultdict(lambda: ([], []))
        self.events: list[tuple] = []
        self.held: set[tuple] = set()  # queues whose head is a transfer in flight or an await that is known
        self.waiting = defaultdict(deque)

    def _scalar_before(self, n: int) -> list[int]:
        """For each command the last one before it in the scalar unit's queue, -1 for none."""
        result, last = [], -1
        for index, code in enumerate(self.codes[n]):
            result.append(last)
            last = index if self.table.queue[code] == 0 else last
        return result

    def run(self) -> None:
        """Runs everything that can run."""
        while True:
            while any([self._step(key) for key in self.queues]):
                pass
            time = self.events[0][0] if self.events else None
            end = self.sharing.next_end() if time is None or time != self.sharing.now else None
            if end is not None and (time is None or end <= time):
                for key, index, code in self.sharing.take(end):
                    stop = max(end, self.times[key[0]][index][0] + int(self.table.occupancy[code]))
                    self._finish(key, index, stop, stop + int(self.table.latency[code] - self.table.occupancy[code]))
            elif time is None:
                return
            else:
                self._event(*heappop(self.events))

    def _event(self, time: int, kind: int, stream: int, queue: int, index: int) -> None:
        code = self.codes[stream][index]
        flag = int(self.table.flag[code])
        if kind == 0:
            self.sharing.add(time, self.table.demands[code], (stream, queue), ((stream, queue), index, code))
        elif kind == AWAIT:
            self.waiting[stream, flag].append((queue, index))
            self._release(stream, flag, time)
        else:
            for receiver in self.peers.receivers(stream, flag):
                self.raised[receiver, stream, flag].append((stream, index))
                self.log[receiver, stream, flag][0].append((time, stream, index))
                self._release(receiver, flag, time)

    def _release(self, receiver: int, flag: int, time: int) -> None:
        senders = self.peers.senders(receiver, flag)
        fifos = [self.raised[receiver, sender, flag] for sender in senders]
        while self.waiting[receiver, flag] and fifos and all(fifos):
            queue, index = self.waiting[receiver, flag].popleft()
            for fifo in fifos:
                sender = fifo.popleft()[0]
                self.log[receiver, sender, flag][1].append(time)
            end = time + self.costs.wait_flag
            self._finish((receiver, queue), index, end, end)

    def _finish(self, key: tuple[int, int], index: int, end: int, complete: int) -> None:
        self.times[key[0]][index][1:] = self.free[key], _ = end, complete
        self.done[key] = max(self.done[key], complete)
        self.queues[key].popleft()
        self.held.discard(key)

    def _step(self, key: tuple[int, int]) -> bool:
        """Runs the head of a queue if nothing holds it; True if it moved on."""
        n, q = key
        if not self.queues[key] or key in self.held:
            return False
        index, costs, table = self.queues[key][0], self.costs, self.table
        code, last = self.codes[n][index], self.before[n][index]
        if last >= 0 and self.times[n][last][1] < 0:
            return False
        start = max(self.free[key], costs.issue * (index - last) + (self.times[n][last][1] if last >= 0 else 0))
        self.times[n][index][0] = start
        kind, flag, done = int(table.kind[code]), int(table.flag[code]), max(start, self.done[key])
        if table.demands[code] is not None:
            self._post(start, 0, key, index)
        elif kind == AWAIT:
            self._post(start, AWAIT, key, index)
        elif kind in (SET, SIGNAL):
            if kind == SIGNAL:
                heappush(self.events, (done + costs.set_flag + costs.signal, SIGNAL + 2, n, q, index))
            else:
                self.sets[n, q, int(table.peer[code]), flag].append(done + costs.set_flag)
            self._finish(key, index, start + costs.set_flag, done + costs.set_flag)
        elif kind == WAIT:
            tokens = self.sets[n, int(table.peer[code]), q, flag]
            if not tokens:
                return False
            self._finish(key, index, *[max(start, tokens.popleft()) + costs.wait_flag] * 2)
        elif kind in (BARRIER, BARRIER_ALL):
            others = [(n, other) for other in range(QUEUES)] if kind == BARRIER_ALL else []
            if any(self.queues[other] and self.queues[other][0] < index for other in others):
                return False
            self._finish(key, index, *[max([done, *(self.done[other] for other in others)]) + costs.barrier] * 2)
        else:
            self._finish(key, index, start + int(table.occupancy[code]), start + int(table.latency[code]))
        return True

    def _post(self, time: int, kind: int, key: tuple[int, int], index: int) -> None:
        self.held.add(key)
        heappush(self.events, (time, kind, *key, index))

    def overflows(self, most: int) -> Iterator[tuple[int, int, int, int, int]]:
        """(time, sender, index, receiver, flag) of signals that came when `most` were already there."""
        for (receiver, sender, flag), (signals, taken) in self.log.items():
            for number, (time, _, index) in enumerate(signals[most:]):
                if number >= len(taken) or taken[number] > time:
                    yield time, sender, index, receiver, flag
