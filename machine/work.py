"""Work: what an op asks of an engine, without a price.  A chip file turns work into time (`pricing.py`).

An op's work is a tuple of the items below, in the order in which the library issues them.
"""

from typing import NamedTuple

BANK_PERIOD, BANK_HALF = 512, 256
"""UB has 16 bank groups of 32 bytes side by side; a repeat reads 8 of them.  Source: Ascend C programming guide, bank conflicts in UB, A2 and A3."""


class Vector(NamedTuple):
    """`repeats` repeats (256 bytes each) of one vector instruction; `barrier`: a PIPE_V barrier stands before it.

    `conflict`: two operands may meet in one UB bank; False where one is a broadcast block or the addresses are known to differ.
    """

    instruction: str  # the ISA's name: vadd, vexp, vcmax, vconv, ...
    dtype: str  # element type that decides the rate: f16, f32, i16, ...
    repeats: int
    barrier: bool = False
    conflict: bool = True


class Cube(NamedTuple):
    """One matrix multiply of [m, k] x [k, n]; the engine rounds each size up to its fractal."""

    dtype: str  # input type
    m: int
    k: int
    n: int


class Transfer(NamedTuple):
    """`bursts` runs of `burst_bytes` bytes along one named path (gm_to_ub, l1_to_l0a, l0c_to_gm, ...).

    `unaligned`: the runs do not all begin at multiples of 32 bytes.
    """

    path: str
    bursts: int
    burst_bytes: int
    unaligned: bool = False

    @property
    def bytes(self) -> int:
        """Bytes moved in all."""
        return self.bursts * self.burst_bytes


class Scalar(NamedTuple):
    """`operations` instructions of the scalar unit."""

    operations: int


class Sdma(NamedTuple):
    """`bytes` moved from memory to memory by the SDMA engine, drawing on a bandwidth domain of the chip."""

    domain: str
    bytes: int


class Link(NamedTuple):
    """`bytes` sent over the mesh, `hops` links far, along an axis: 0 between the elements of a cube, 1 between cubes."""

    axis: int
    hops: int
    bytes: int


class Taken(NamedTuple):
    """`bytes` taken out of a link's receive buffer."""

    bytes: int


WorkItem = Vector | Cube | Transfer | Scalar | Sdma | Link | Taken


def apart(first: int, second: int) -> bool:
    """Whether two operands at these UB addresses are read from different bank groups: half a period from each other."""
    return (first - second) % BANK_PERIOD == BANK_HALF


def without_conflict(work: tuple[WorkItem, ...]) -> tuple[WorkItem, ...]:
    """The same work where its operands do not meet in one bank."""
    return tuple(item._replace(conflict=False) if isinstance(item, Vector) else item for item in work)
