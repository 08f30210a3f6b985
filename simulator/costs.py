"""What synchronisation costs and what bandwidth there is; demands of transfers on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ptoc.machine.mesh import CORE_FLAGS

from .program import Command

FRACTION = 30  # work is counted in bytes * 2**30
WEIGHT = 20  # bytes on a resource per byte of the transfer, in 2**-20
LONGEST_FS = 10**16  # of one command; times are counted in 64 bits
LARGEST_TRANSFER = 1 << 32  # bytes; remaining work is counted in 64 bits

#: A cross-core flag counts to 15 and a core has 16 of them.  Source: docs/semantics.md, Execution.
COUNTER_MAX = 15
CROSS_CORE_FLAGS = CORE_FLAGS

Prices = Callable[[Command], tuple] | Sequence[Sequence[tuple | None]]
"""A function of a work command, or one list per stream with an entry per command (read at work commands only).

A price is (occupancy fs, latency fs, shared), shared None or ((resource, bytes), ...).
"""


@dataclass(frozen=True, slots=True)
class Costs:
    """What synchronisation costs, in fs, and the shared resources: name -> bytes per second."""

    issue: int = 0
    set_flag: int = 0
    wait_flag: int = 0
    barrier: int = 0
    signal: int = 0
    rates: dict[str, int] = field(default_factory=dict)

    @property
    def capacity(self) -> dict[str, int]:
        """Resource to bytes * 2**30 per fs."""
        return {name: max(1, (rate << FRACTION) // 10**15) for name, rate in self.rates.items()}


class Demand(tuple):
    """(rate, uses, work) of a transfer on limited resources.

    rate: bytes * 2**30 per fs that it asks for; uses: ((resource, bytes there per byte of the transfer in 2**-20), ...); work: bytes * 2**30.
    """

    __slots__ = ()


def demand_of(occupancy: int, shared: tuple | None, capacity: dict[str, int]) -> Demand | None:
    """The demand of a price, None where no limited resource is touched.

    With several resources the work is the largest of their byte counts, and they advance in step.
    """
    limited = [(name, count) for name, count in shared or () if name in capacity and count > 0]
    if not limited or occupancy <= 0:
        return None
    most = max(count for _, count in limited)
    work = most << FRACTION
    return Demand((-(-work // occupancy), tuple((name, -(-(count << WEIGHT) // most)) for name, count in limited), work))
