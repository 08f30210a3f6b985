"""Shared bandwidth, plainly: what each transfer in flight gets of named resources, max-min fairly, in integers."""

from typing import Any

from .costs import WEIGHT, Demand


class _Flow:
    """One transfer: what it asks for, what it gets, what is left to do."""

    def __init__(self, demand: Demand, place: tuple, what: Any) -> None:
        self.demand, self.uses, self.left = demand
        self.place, self.what, self.rate = place, what, 0


class Sharing:
    """Max-min fair sharing: rates in bytes * 2**30 / fs, rounded down; no transfer is faster than its demand.

    The rates of all are raised together until a demand is met or a resource is full.  `capacity`: bytes * 2**30 per fs by resource.
    """

    def __init__(self, capacity: dict[str, int]) -> None:
        self.capacity, self.now = capacity, 0
        self._flows: list[_Flow] = []

    def add(self, now: int, demand: Demand, place: tuple, what: Any) -> None:
        """A transfer starts."""
        self._advance(now)
        self._flows.append(_Flow(demand, place, what))
        self._fill()

    def next_end(self) -> int | None:
        """When the next transfer has been served, None if none is in flight."""
        return min((self.now - (-flow.left // flow.rate) for flow in self._flows), default=None)

    def take(self, now: int) -> list[Any]:
        """What has been served by `now`, in the order of places; it leaves."""
        self._advance(now)
        served = sorted((flow for flow in self._flows if flow.left <= 0), key=lambda flow: flow.place)
        self._flows = [flow for flow in self._flows if flow.left > 0]
        self._fill()
        return [flow.what for flow in served]

    def _advance(self, now: int) -> None:
        for flow in self._flows:
            flow.left -= flow.rate * (now - self.now)
        self.now = now

    def _fill(self) -> None:
        """Sets every rate.  In each round all demands below the level of the scarcest resource are met, else that one is full."""
        rest, left = list(self._flows), dict(self.capacity)
        while rest:
            load = dict.fromkeys(left, 0)
            for flow in rest:
                for name, weight in flow.uses:
                    load[name] += weight
            levels = {name: (left[name] << WEIGHT) // weight for name, weight in load.items() if weight}
            level = min(levels.values())
            fixed = [flow for flow in rest if flow.demand <= level]
            if fixed:
                for flow in fixed:
                    flow.rate = flow.demand
            else:
                fixed = [flow for flow in rest if any(levels[name] == level for name, _ in flow.uses)]
                for flow in fixed:
                    flow.rate = max(level, 1)
            used = dict.fromkeys(left, 0)
            classes: dict[tuple, int] = {}
            for flow in fixed:
                classes[flow.rate, flow.uses] = classes.get((flow.rate, flow.uses), 0) + 1
            for (rate, uses), count in classes.items():
                for name, weight in uses:
                    used[name] += -(-rate * weight * count >> WEIGHT)
            left = {name: max(0, left[name] - used[name]) for name in left}
            rest = [flow for flow in rest if flow not in fixed]
