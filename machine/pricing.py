"""price(chip, work) = (occupancy, latency, shared): what an op's work costs on a chip, in integer femtoseconds.

occupancy: when the engine takes its next command; latency: when flags, barriers and readers see the result; shared: the bytes that
pass through resources which all cores share, for max-min fair sharing in the engine.
"""

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from ptoc.dialect.errors import ChipError

from .chip import Chip, exact
from .work import Cube, Link, Scalar, Sdma, Taken, Transfer, Vector, WorkItem


class Price(NamedTuple):
    """`occupancy` <= `latency`, both in fs; `shared`: None or ((resource, bytes), ...)."""

    occupancy: int
    latency: int
    shared: tuple[tuple[str, int], ...] | None


class SyncCosts(NamedTuple):
    """What synchronisation costs, in fs, and the shared rates in bytes per second, by resource."""

    issue: int
    set_flag: int
    wait_flag: int
    barrier: int
    signal: int
    rates: dict[str, int]


@lru_cache(maxsize=65536)
def price(chip: Chip, work: tuple[WorkItem, ...], hit: float = 1.0, crowding: Fraction = Fraction(1)) -> Price:
    """The price of an op: its items are issued back to back.

    A `Vector` item with `barrier` first waits for the results of all items before it and pays the barrier; one with 0 repeats costs
    nothing itself, so that `Vector(instruction, dtype, 0, barrier=True)` at the end says that the op ends drained.
    `hit`: the part of bytes from and to global memory that the L2 has.  The rest also draws on "hbm", at most at the cold rate of a core;
    a read that misses makes the L2 allocate and takes of its reads what `shared.l2_miss` instead of `shared.l2_read` costs.
    Below 0: the L2 is passed by.  `crowding`: how much longer transfers take for the load on the L2 (`l2.crowding_of`).

    Raises: ChipError for an instruction, element type or path that the chip file does not have.
    """
    taken = done = Fraction(0)
    shared: dict[str, int] = {}
    for item in work:
        if isinstance(item, Vector) and item.barrier:
            taken = max(taken, done) + exact(chip.number("sync.barrier"))
        occupancy, latency = _cycles(chip, item, hit)
        if isinstance(item, Transfer) and chip.path_law(item.path).resource:
            occupancy, latency = occupancy * crowding, latency * crowding
        done = max(done, taken + latency)
        taken += occupancy
        if isinstance(item, Transfer) and item.bytes and (resource := chip.path_law(item.path).resource):
            for name, count in _drawn(chip, resource, item, hit):
                shared[name] = shared.get(name, 0) + count
        if isinstance(item, Sdma):
            shared[f"sdma.{item.domain}"] = shared.get(f"sdma.{item.domain}", 0) + item.bytes
    occupied = chip.fs(taken)
    return Price(occupied, max(occupied, chip.fs(done)), tuple(shared.items()) or None)


def _drawn(chip: Chip, resource: str, item: Transfer, hit: float) -> list[tuple[str, int]]:
    """Bytes of a transfer on each shared resource."""
    if hit < 0:
        return [("hbm", item.bytes)]
    missed = round(item.bytes * (1 - hit))
    if not missed:
        return [(resource, item.bytes)]
    if resource == "l2_read":
        dear = exact(chip.number("shared.l2_read")) / exact(chip.number("shared.l2_miss"))
        return [(resource, item.bytes - missed + round(missed * dear)), ("hbm", missed)]
    return [(resource, item.bytes), ("hbm", round(missed * exact(chip.number("shared.hbm")) / exact(chip.number("shared.hbm_write"))))]


def item_cycles(chip: Chip, item: WorkItem, hit: float = 1.0) -> tuple[float, float]:
    """(occupancy, latency) of one work item in cycles of the law clock, for reports and comments; prices are made of exact numbers."""
    occupancy, latency = _cycles(chip, item, hit)
    return float(occupancy), float(latency)


def sync_costs(chip: Chip) -> SyncCosts:
    """The chip's costs of issue, flags, barriers and signals, and its shared rates."""
    costs = (chip.fs(exact(chip.number(f"sync.{key}"))) for key in SyncCosts._fields[:-1])
    rates = {name: round(exact(chip.number(f"shared.{name}")) * 10**9) for name in ("l2_read", "l2_write", "hbm")}
    for domain in chip.data.sdma.domains if chip.data.sdma else ():
        rates[f"sdma.{domain}"] = round(exact(chip.number(f"sdma.domains.{domain}")) * 10**9)
    return SyncCosts(*costs, rates)


def _cycles(chip: Chip, item: WorkItem, hit: float) -> tuple[Fraction, Fraction]:
    """(occupancy, latency) of one item in cycles."""
    if isinstance(item, Vector):
        return _vector(chip, item)
    if isinstance(item, Cube):
        return _cube(chip, item)
    if isinstance(item, Transfer):
        return _transfer(chip, item, hit)
    if isinstance(item, Sdma | Link | Taken):
        return _far(chip, item)
    assert isinstance(item, Scalar), f"not a work item: {item!r}"
    cycles = item.operations * exact(chip.number("sync.scalar_operation"))
    return cycles, cycles


def _vector(chip: Chip, item: Vector) -> tuple[Fraction, Fraction]:
    law = chip.vector_law(item.instruction, item.dtype)
    if item.repeats == 0:
        return Fraction(0), Fraction(0)
    stream = law.offset + (law.per_repeat if item.conflict else law.conflict_free) * item.repeats
    occupancy = max(law.minimum, stream)
    return occupancy, max(occupancy, stream + law.stretch * item.repeats + law.startup)


def _cube(chip: Chip, item: Cube) -> tuple[Fraction, Fraction]:
    law = chip.data.cube
    if item.dtype not in law.rates:
        raise ChipError(f"the cube multiplies no '{item.dtype}'; cube.rates has {', '.join(law.rates)}", chip.file)
    rows, deep = int(law.fractal_rows.value), int(law.fractal_bytes.value) // _BYTES[item.dtype]
    macs = _padded(item.m, rows) * _padded(item.k, deep) * _padded(item.n, int(law.fractal_columns.value))
    stream = macs / exact(law.rates[item.dtype].value)
    return exact(law.start_occupancy.value) + stream, exact(law.start_latency.value) + stream


def _transfer(chip: Chip, item: Transfer, hit: float) -> tuple[Fraction, Fraction]:
    law = chip.path_law(item.path)
    stream = item.bytes / law.bytes_per_cycle
    occupancy = max(law.minimum, law.startup_occupancy + max(stream, item.bursts * law.per_burst))
    if hit < 1 and law.resource:
        missed = 1 - Fraction(max(hit, 0))
        lines = item.bursts * exact(chip.number("shared.l2_line")) if item.unaligned else 0
        fetch = max((item.bytes + lines) / exact(chip.number("shared.cold")), item.bursts * exact(chip.number("shared.cold_burst")))
        occupancy = missed * max(law.minimum, law.startup_occupancy + stream, fetch) + (1 - missed) * occupancy
    latency = max(law.minimum, law.startup - law.startup_occupancy + occupancy)
    return occupancy + law.issue, latency + law.issue


LINKS = ("pe_link", "cube_link")
"""The law of a link by its axis."""


def _far(chip: Chip, item: Sdma | Link | Taken) -> tuple[Fraction, Fraction]:
    """SDMA and mesh links, which not every chip has."""
    section = "sdma" if isinstance(item, Sdma) else "mesh"
    if getattr(chip.data, section) is None:
        raise ChipError(f"the chip has no {section}: key '{section}' is null", chip.file)
    if isinstance(item, Sdma) and item.domain not in chip.data.sdma.domains:
        raise ChipError(f"sdma has no domain '{item.domain}'; it has {', '.join(chip.data.sdma.domains)}", chip.file)
    part = f"mesh.{LINKS[item.axis]}." if isinstance(item, Link) else "mesh.take_" if isinstance(item, Taken) else "sdma."
    way = item.hops * exact(chip.number(f"{part}hop")) if isinstance(item, Link) else 0
    busy = exact(chip.number(f"{part}startup")) + item.bytes / exact(chip.number(f"{part}bytes_per_cycle"))
    return busy, busy + way


def _padded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


#: Bytes of the element types that a cube multiplies; the package reads no MLIR types.
_BYTES = {"f32": 4, "f16": 2, "bf16": 2, "i8": 1, "f8E4M3FN": 1, "f8E5M2": 1}
