"""Shared bandwidth: what the transfers in flight get of named resources, max-min fairly, in integers."""

from heapq import heappop, heappush
from typing import Any

FRACTION = 30  # work is counted in bytes * 2**30
WEIGHT = 20  # bytes on a resource per byte of the transfer, in 2**-20


class _Flow:
    """Transfers of one demand and one use of resources: by symmetry all have one rate.  `served`: work done per member so far."""

    __slots__ = ("demand", "members", "rate", "served", "uses")

    def __init__(self, demand: int, uses: tuple[tuple[str, int], ...]) -> None:
        self.demand, self.uses = demand, uses
        self.rate = self.served = 0
        self.members: list[tuple] = []  # heap of (value of `served` at which it is done, stream, pipe number, queue)


class Sharing:
    """Max-min fair sharing: rates in bytes * 2**30 / fs, rounded down; no transfer is faster than its demand.

    A transfer of B bytes that is priced at D fs asks for ceil(B * 2**30 / D); the rates of all are raised together until a demand is
    met or a resource is full.  With several resources B is the largest of its byte counts and they advance in step.  The state that
    decides the future is the remaining work of each transfer; one that has been served ends no earlier than D after its start, so that
    rounding the demand up never shows.  `rates`: bytes per second.
    """

    def __init__(self, rates: dict[str, int]) -> None:
        self.capacity = {name: max(1, (rate << FRACTION) // 10**15) for name, rate in rates.items()}
        self.now = 0
        self._load = dict.fromkeys(self.capacity, 0)  # weights of all transfers in flight
        self._flows: dict[tuple, _Flow] = {}
        self._next: int | None = None
        self._changed = False

    def demand_of(self, occupancy: int, shared: tuple) -> tuple | None:
        """(demand, uses, work) of a price, None where no limited resource is touched.  uses: (resource, bytes there per byte in 2**-20)."""
        limited = [(name, count) for name, count in shared if name in self.capacity and count > 0]
        if not limited or occupancy <= 0:
            return None
        most = max(count for _, count in limited)
        work = most << FRACTION
        return -(-work // occupancy), tuple((name, -(-(count << WEIGHT) // most)) for name, count in limited), work

    def add(self, now: int, demand: tuple, stream: int, pipe: int, queue: Any) -> None:
        """A transfer starts."""
        self._advance(now)
        flow = self._flows.get(demand[:2])
        if flow is None:
            flow = self._flows[demand[:2]] = _Flow(demand[0], demand[1])
        heappush(flow.members, (flow.served + demand[2], stream, pipe, queue))
        for name, weight in flow.uses:
            self._load[name] += weight
        self._changed = True

    def next_end(self) -> int | None:
        """When the next transfer has been served, None if none is in flight."""
        if self._changed:
            self._fill()
            self._changed = False
            ends = [self.now - (flow.served - flow.members[0][0]) // flow.rate for flow in self._flows.values()]
            self._next = min(ends, default=None)
        return self._next

    def take(self, now: int) -> list[Any]:
        """The queues whose transfers have been served by `now`, in the order of stream and pipe; they leave."""
        self._advance(now)
        done = []
        for key, flow in list(self._flows.items()):
            while flow.members and flow.members[0][0] <= flow.served:
                done.append(heappop(flow.members)[1:])
                for name, weight in flow.uses:
                    self._load[name] -= weight
            if not flow.members:
                del self._flows[key]
        self._changed = True
        done.sort()
        return [queue for _, _, queue in done]

    def _advance(self, now: int) -> None:
        elapsed = now - self.now
        if elapsed:
            for flow in self._flows.values():
                flow.served += flow.rate * elapsed
            self.now = now

    def _fill(self) -> None:
        """Sets every flow's rate.  In each round all demands below the level of the scarcest resource are met, else that one is full."""
        open_flows = list(self._flows.values())
        left, load = dict(self.capacity), dict(self._load)
        while open_flows:
            levels = {name: (left[name] << WEIGHT) // weight for name, weight in load.items() if weight}
            level = min(levels.values())
            kept = [flow for flow in open_flows if flow.demand > level]
            if len(kept) < len(open_flows):
                fixed = [flow for flow in open_flows if flow.demand <= level]
                for flow in fixed:
                    flow.rate = flow.demand
            else:
                full = {name for name, value in levels.items() if value == level}
                fixed = [flow for flow in open_flows if any(name in full for name, _ in flow.uses)]
                kept = [flow for flow in open_flows if flow not in fixed] if len(fixed) < len(open_flows) else []
                for flow in fixed:
                    flow.rate = level or 1
            for flow in fixed if kept else ():
                for name, weight in flow.uses:
                    weight *= len(flow.members)
                    load[name] -= weight
                    left[name] = max(0, left[name] + (-flow.rate * weight >> WEIGHT))
            open_flows = kept
