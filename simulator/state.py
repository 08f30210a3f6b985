"""The state of a walk over a plan, as arrays for the compiled engine and as lists for Python."""

from collections.abc import Callable

import numpy as np

from ptoc.machine.mesh import FLAGS

from .cache import folder
from .compiled import can_compile, compiled_walk
from .plan import Plan
from .table import QUEUES
from .walk import walk

COMPILED_FROM = 600_000
"""Simulated commands from which on loading the compiled engine pays."""

COMPILED_FROM_UNKEPT = 4_000_000
"""The same where what is compiled cannot be kept, so that every run compiles."""


class State:
    """Arrays (lists, for Python) that `walk` works on."""

    def __init__(self, planned: Plan, compiled: bool | None = None) -> None:
        if compiled is None:
            compiled = planned.code.size >= (COMPILED_FROM if folder() else COMPILED_FROM_UNKEPT) and can_compile()
        self.compiled, self.now = compiled, 0
        wrap = np.ascontiguousarray if compiled else np.ndarray.tolist
        size, queues = planned.code.size, len(planned.streams) * QUEUES
        table = planned.table
        self.commands = (
            *(wrap(array.astype(planned.integer, copy=False)) for array in (planned.order, planned.qstart, planned.index, planned.hold)), wrap(planned.code),
            *(wrap(array.astype(planned.integer, copy=False)) for array in (planned.partner, planned.signals, planned.signal_start)),
        )  # fmt: skip
        classes, works, sharing = _sharing(planned)
        self.table = tuple(map(wrap, (table.kind, table.occupancy, table.latency, table.peer, table.flag, classes, works)))
        self.cores = tuple(map(wrap, (planned.copies, *_peers(planned, planned.peers.senders), *_peers(planned, planned.peers.receivers))))
        costs = planned.costs
        self.costs = (costs.issue, costs.set_flag, costs.wait_flag, costs.barrier, costs.signal)
        self.sharing = tuple(map(wrap, sharing))
        self.times = tuple(wrap(np.full(size, -1, np.int64)) for _ in range(3))
        zeros = np.zeros(queues, np.int64)
        self.queues = tuple(wrap(array) for array in (planned.qstart[:-1].astype(np.int64), zeros, zeros.copy(), zeros.copy(), zeros.copy()))

    def walk(self, limit: np.ndarray, pause: bool = False) -> None:
        """Runs every queue up to its limit; with `pause` until one has come there."""
        function = compiled_walk() if self.compiled else walk
        limits = limit.astype(np.int64) if self.compiled else limit.tolist()
        self.now = function(self.commands, self.table, self.cores, self.costs, self.sharing, self.times, self.queues, limits, self.now, pause)

    def take(self, index: np.ndarray, columns: tuple[np.ndarray, ...]) -> None:
        """Puts changed numbers of commands and times in place."""
        wrap = np.ascontiguousarray if self.compiled else np.ndarray.tolist
        self.commands = (*self.commands[:2], wrap(index), *self.commands[3:])
        self.times = tuple(map(wrap, columns))

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """start, end, complete of every command."""
        return tuple(np.asarray(times, np.int64) for times in self.times)


def _peers(planned: Plan, of: Callable[[int, int], list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(where those of a simulated stream and flag begin, all one after the other)."""
    lists = [of(stream, flag) for stream in range(len(planned.streams)) for flag in range(FLAGS)]
    starts = np.concatenate(([0], np.cumsum([len(numbers) for numbers in lists], dtype=np.int64)))
    return starts, np.array([number for numbers in lists for number in numbers], np.int64)


def _sharing(planned: Plan) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """(class and work by code, arrays of the classes of demand); see walk.walk."""
    capacity = planned.costs.capacity
    resources = {name: number for number, name in enumerate(capacity)}
    classes: dict[tuple, int] = {}
    of_code, works = np.zeros(len(planned.table.rows), np.int64), np.zeros(len(planned.table.rows), np.int64)
    for code, demand in enumerate(planned.table.demands):
        if demand is not None:
            of_code[code] = classes.setdefault((demand[0], demand[1]), len(classes))
            works[code] = demand[2]
    uses = [use for _, uses in classes for use in uses]
    starts = np.concatenate(([0], np.cumsum([len(uses) for _, uses in classes], dtype=np.int64)))
    arrays = ([rate for rate, _ in classes], starts, [resources[name] for name, _ in uses], [weight for _, weight in uses], list(capacity.values()))
    state = (np.zeros(len(classes), np.int64) for _ in range(4))
    return of_code, works, (*(np.array(a, np.int64) for a in arrays), *state)
