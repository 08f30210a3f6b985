"""The distinct commands of a priced program: what each one is to the engines."""

from dataclasses import dataclass

import numpy as np

from ptoc.dialect.errors import SimulationError, SyncError

from .costs import CROSS_CORE_FLAGS, LARGEST_TRANSFER, LONGEST_FS, Costs, Demand, Prices, demand_of
from .program import Codes, Command, Program, Site, Track
from .timeline import PIPES, queue_of

WORK, SHARED, SET, WAIT, BARRIER, BARRIER_ALL, SIGNAL, AWAIT = range(8)
KINDS = {"work": WORK, "set": SET, "wait": WAIT, "barrier": BARRIER, "signal": SIGNAL, "await": AWAIT}
QUEUES = len(PIPES)


@dataclass
class Table:
    """Facts of each code: kind, local queue, peer queue of a set, flag, occupancy, latency; class of demand and work of a shared transfer.

    `rows`: (site, flag, price) of each code.
    """

    rows: list[tuple[Site, int, tuple | None]]
    kind: np.ndarray
    queue: np.ndarray
    peer: np.ndarray
    flag: np.ndarray
    occupancy: np.ndarray
    latency: np.ndarray
    demands: list[Demand | None]


def priced_tracks(program: Program, prices: Prices, costs: Costs) -> tuple[list[Track], Table]:
    """What time sees of each stream, and the table that their codes refer to.

    Raises: SyncError for a cross-core flag that no core has, SimulationError for a command or price that makes no sense.
    """
    if program.codes is not None and callable(prices):
        rows = [(site, flag, prices(Command(site, flag, work)) if site.kind == "work" else None) for site, flag, work in program.codes.rows]
        return [stream.track for stream in program.streams], _table(program, rows, costs)
    rows, numbers, tracks = [], {}, []
    known: dict[tuple, tuple | None] = {}
    for number, stream in enumerate(program.streams):
        codes = np.empty(len(stream.commands), np.int32)
        for index, command in enumerate(stream.commands):
            price = None
            if command.site.kind == "work" and callable(prices):
                key = (command.site, command.work)
                price = known[key] if key in known else known.setdefault(key, prices(command))
            elif command.site.kind == "work":
                price = tuple(prices[number][index])
            row = (command.site, command.flag, price)
            if row not in numbers:
                numbers[row] = len(rows)
                rows.append(row)
            codes[index] = numbers[row]
        tracks.append(_whole(codes))
    return tracks, _table(program, rows, costs)


def _whole(codes: np.ndarray) -> Track:
    """A track of chunks of one command each."""
    table = Codes()
    table.chunks = [(code,) for code in range(int(codes.max(initial=-1)) + 1)]
    return Track(table, codes)


def _table(program: Program, rows: list[tuple[Site, int, tuple | None]], costs: Costs) -> Table:
    size = len(rows)
    table = Table(rows, *(np.zeros(size, np.int64) for _ in range(6)), [None] * size)
    demands: dict[tuple, Demand | None] = {}
    facts: dict[Site, tuple[int, int, int]] = {}
    for code, (site, flag, price) in enumerate(rows):
        if site not in facts:
            facts[site] = _facts(program, site)
        table.kind[code], table.queue[code], table.peer[code] = kind, *_ = facts[site]
        table.flag[code] = flag
        if kind >= SIGNAL and not site.link and not 0 <= flag < CROSS_CORE_FLAGS:
            raise SyncError(f"'{site.op}': a cross-core flag is 0 to {CROSS_CORE_FLAGS - 1}, got {flag}", site.location)
        if price is None:
            continue
        occupancy, latency, shared = price
        if occupancy < 0 or latency < occupancy:
            raise SimulationError(f"'{site.op}': a price needs 0 <= occupancy <= latency, got {occupancy} fs and {latency} fs", site.location)
        if latency > LONGEST_FS:
            raise SimulationError(f"'{site.op}': one command takes {latency / 1e15:.3g} s, more than the {LONGEST_FS / 1e15:g} s that a time here can be", site.location)
        table.occupancy[code], table.latency[code] = occupancy, latency
        if shared:
            if max(count for _, count in shared) > LARGEST_TRANSFER:
                raise SimulationError(f"'{site.op}': one transfer may move at most {LARGEST_TRANSFER} bytes", site.location)
            key = (occupancy, shared)
            if key not in demands:
                demands[key] = demand_of(occupancy, shared, costs.capacity)
            if demands[key] is not None:
                table.kind[code], table.demands[code] = SHARED, demands[key]
    return table


def _facts(program: Program, site: Site) -> tuple[int, int, int]:
    """(kind, queue, peer queue) of a site."""
    everything = site.pipe == "ALL" and site.kind == "barrier"
    if site.pipe not in PIPES and not everything:
        raise SimulationError(f"'{site.op}': a {site.kind} has no pipe '{site.pipe}'; pipes are {', '.join(PIPES)}", site.location)
    peer = PIPES.index(site.peer) if site.peer in PIPES else 0
    return BARRIER_ALL if everything else KINDS[site.kind], PIPES.index(queue_of(site, program.arch)), peer
