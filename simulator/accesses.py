"""What cores move from and to global memory, in program order: plain data from which the L2's part of it follows (`residency.py`).

Taken from the commands where they are there, else from the access forms of a kernel (`write_accesses.py`), which give the same numbers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ptoc.dialect.layout import DTYPES, ViewRef

from .program import Program, Site

COLUMNS = 3
"""Of an access: number of its `Way`, first byte, bytes."""


class Way(NamedTuple):
    """Number of the site that moves, the memory ("gm:NAME"), and whether it is written."""

    site: int
    memory: str
    writes: bool


@dataclass
class Ways:
    """The ways that occur, numbered."""

    rows: list[Way] = field(default_factory=list)
    _numbers: dict[Way, int] = field(default_factory=dict)

    def number(self, way: Way) -> int:
        """The number of a way."""
        if way not in self._numbers:
            self._numbers[way] = len(self.rows)
            self.rows.append(way)
        return self._numbers[way]

    def touched(self, site: int, writes: tuple[str, ...], operands: Iterable[tuple[str, Any]], sampled: tuple[str, ...] = ()) -> tuple[int, ...]:
        """The accesses of one command, one after the other; not to operands that it takes single elements of."""
        found: list[int] = []
        for name, ref in operands:
            if isinstance(ref, ViewRef) and ref.memory.startswith("gm:") and name not in sampled:
                size = DTYPES[ref.dtype].bytes
                count = size
                for extent in ref.shape:
                    count *= extent
                found += (self.number(Way(site, ref.memory, name in writes)), ref.offset * size, count)
        return tuple(found)


class Enough(Exception):
    """As many accesses of a core as are looked at have come."""


@dataclass
class Accesses:
    """`cores`: of each stream an int64 array of COLUMNS columns.  `looked_at`: the part of each stream that they are, from its beginning."""

    ways: list[Way]
    cores: list[np.ndarray]
    looked_at: float = 1.0


def accesses_of(program: Program, most: int) -> Accesses:
    """The accesses of a program with its commands; of more than `most` the first part of each stream."""
    from .work import op_class  # imports MLIR, which what is kept on disk does not need

    ways = Ways()
    moving: dict[Site, bool] = {}
    sampled: dict[Site, tuple[str, ...]] = {}
    cores = []
    for stream in program.streams:
        flat: list[int] = []
        for site, _, _, operands, _, writes in stream.commands:
            if site not in moving:
                moving[site] = site.kind == "work" and any(isinstance(ref, ViewRef) for _, ref in operands)
                sampled[site] = op_class(site.op).sampled if moving[site] else ()
            if moving[site]:
                flat += ways.touched(site.index, writes, operands, sampled[site])
        cores.append(np.array(flat, np.int64).reshape(-1, COLUMNS))
    part = part_of(sum(map(len, cores)), most)
    return Accesses(ways.rows, [core[: first_of(len(core), part)] for core in cores], part)


def part_of(count: int, most: int) -> float:
    """The part of `count` accesses that is looked at."""
    return min(1.0, most / count) if count else 1.0


def first_of(count: int, part: float) -> int:
    """How many of a core's accesses are looked at."""
    return min(count, int(np.ceil(count * part)))
