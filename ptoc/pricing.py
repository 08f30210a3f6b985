"""What a run's commands cost on a chip: their work, what of their bytes the L2 has, and how crowded it is.

The same for a program with all its commands and for one that was made for time alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from ptoc.machine.l2 import crowding_of
from ptoc.machine.work import Transfer, WorkItem
from ptoc.simulator.program import Command, Program, Site

Priced = Callable[[tuple[WorkItem, ...], float, Fraction], tuple]
"""(work, part of its bytes that hit, crowding) to a price."""


def prices_of(program: Program, hits: dict[int, float], priced: Priced, chip: Any) -> Callable[[Command], tuple]:
    """The price of each command.  hits: see `residency.hit_fractions`; chip: gives numbers by name."""
    crowding = _crowding(program, hits, priced, chip)
    return lambda command: priced(command.work, hits.get(command.site.index, 1.0), crowding)


def _crowding(program: Program, hits: dict[int, float], priced: Priced, chip: Any) -> Fraction:
    """See `l2.crowding_of`: from the bytes that pass the L2 and the work of the busiest engine."""
    moved = busiest = 0
    for commands, streams in counted(program):
        busy: dict[str, int] = {}
        for (site, work), count in commands.items():
            occupancy, _, shared = priced(work, hits.get(site.index, 1.0), Fraction(1))
            busy[site.pipe] = busy.get(site.pipe, 0) + occupancy * count
            if shared:
                moved += streams * count * sum(item.bytes for item in work if isinstance(item, Transfer))
        busiest = max(busiest, *busy.values(), 0)
    return crowding_of(chip, moved, busiest)


def counted(program: Program) -> Iterator[tuple[dict[tuple[Site, tuple[WorkItem, ...]], int], int]]:
    """How often each site does each work in a stream, and in how many streams."""
    if program.codes is None:
        for stream in program.streams:
            yield Counter((c.site, c.work) for c in stream.commands if c.site.kind == "work"), 1
        return
    tracks = {id(stream.track): stream.track for stream in program.streams}
    alike = Counter(id(stream.track) for stream in program.streams)
    for number, track in tracks.items():
        rows = zip(program.codes.rows, track.counts.tolist())
        yield {(site, work): count for (site, _, work), count in rows if count and site.kind == "work"}, alike[number]
