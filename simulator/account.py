"""accounts(program, timeline) = what each part of a kernel asked for and how long it kept its engines: flops, bytes by source, busy time.

A part is what the source names with `ptoc.part`; commands outside of any count to the part "".  All numbers but the busy time follow from the
work items that the simulator prices, so they hold whatever the chip.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ptoc.dialect.dtypes import DTYPES
from ptoc.machine.work import Cube, Sdma, Transfer, Vector, WorkItem

from .program import Command, Program, Site
from .timeline import Timeline

FS_PER_SECOND = 10**15
REPEAT_BYTES = 256
"""Bytes that a repeat of a vector instruction handles: `machine.work.Vector`."""


@dataclass
class Account:
    """What the commands of one part come to, over all cores.

    cube_flops: two for each multiplication, without the padding to fractals; vector_flops: one for each lane of each repeat.
    bytes: by (way, tensor), way being the path of a transfer or "sdma.DOMAIN", tensor what is read from, or written to, in global memory
    ("" for moves on chip).  busy: engine to fs of its busiest core.
    """

    cube_flops: int = 0
    vector_flops: int = 0
    bytes: dict[tuple[str, str], int] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        """Of cube and vector engine."""
        return self.cube_flops + self.vector_flops

    @property
    def global_bytes(self) -> int:
        """Bytes moved from and to global memory; those of a move from memory to memory count once."""
        return sum(count for (way, _), count in self.bytes.items() if is_global(way))

    def add(self, work: tuple[WorkItem, ...], site: Site, times: int) -> None:
        """Counts a command that runs so many times."""
        for item in work:
            if isinstance(item, Cube):
                self.cube_flops += 2 * item.m * item.k * item.n * times
            elif isinstance(item, Vector):
                self.vector_flops += item.repeats * (REPEAT_BYTES // DTYPES[item.dtype].bytes) * times
            elif isinstance(item, Transfer | Sdma):
                way = item.path if isinstance(item, Transfer) else f"sdma.{item.domain}"
                read, written = site.tensors
                key = way, written if way.endswith("_gm") else read if is_global(way) else ""
                self.bytes[key] = self.bytes.get(key, 0) + item.bytes * times

    def plus(self, other: "Account", times: int = 1) -> "Account":
        """The sum with another one that is run so many times; busy times add up as of kernels one after the other."""
        keys = dict.fromkeys([*self.bytes, *other.bytes])
        pipes = dict.fromkeys([*self.busy, *other.busy])
        return Account(
            self.cube_flops + other.cube_flops * times,
            self.vector_flops + other.vector_flops * times,
            {key: self.bytes.get(key, 0) + other.bytes.get(key, 0) * times for key in keys},
            {pipe: self.busy.get(pipe, 0) + other.busy.get(pipe, 0) * times for pipe in pipes},
        )


def is_global(way: str) -> bool:
    """Whether a path, or an SDMA domain, begins or ends in global memory."""
    return way.startswith(("gm_", "sdma.")) or way.endswith("_gm")


def accounts(program: Program, timeline: Timeline) -> dict[str, Account]:
    """The account of each part, in the order of first use."""
    result: dict[str, Account] = {}
    for site, work, times in _counted(program):
        result.setdefault(site.part, Account()).add(work, site, times)
    for number in _different(timeline):
        for (part, pipe), fs in timeline.occupied(number, lambda site: (site.part, site.pipe)).items():
            busy = result[part].busy
            busy[pipe] = max(busy.get(pipe, 0), fs)
    order = {part: index for index, part in enumerate(dict.fromkeys(site.part for site in program.sites if site.kind == "work"))}
    return dict(sorted(result.items(), key=lambda entry: order[entry[0]]))


def spans(program: Program, timeline: Timeline) -> dict[str, tuple[int, int]]:
    """Part to (start of its first command, completion of its last one), in fs; only for runs whose commands can all be listed."""
    result: dict[str, tuple[int, int]] = {}
    for number, stream in enumerate(program.streams):
        start, complete = timeline.start[number], timeline.complete[number]
        for index, command in enumerate(stream.commands):
            if command.site.kind == "work":
                low, high = result.get(command.site.part, (np.iinfo(np.int64).max, 0))
                result[command.site.part] = min(low, int(start[index])), max(high, int(complete[index]))
    return result


def _different(timeline: Timeline) -> list[int]:
    """Streams, one of each kind that was simulated."""
    if timeline.plan is None:
        return list(range(len(timeline.program.streams)))
    first: dict[int, int] = {}
    for number, simulated in enumerate(timeline.plan.stands_for):
        first.setdefault(simulated, number)
    return list(first.values())


def _counted(program: Program) -> Iterator[tuple[Site, tuple[WorkItem, ...], int]]:
    """(site, work, how often over all cores)."""
    if program.codes is None:
        counts: dict[tuple[Site, tuple[WorkItem, ...]], int] = {}
        for stream in program.streams:
            for command in stream.commands:
                _count(counts, command)
        yield from ((site, work, times) for (site, work), times in counts.items())
        return
    alike: dict[int, int] = {}
    tracks = {id(stream.track): stream.track for stream in program.streams}
    for stream in program.streams:
        alike[id(stream.track)] = alike.get(id(stream.track), 0) + 1
    total = sum(np.asarray(_of_all(track.counts, len(program.codes.rows))) * alike[key] for key, track in tracks.items())
    for (site, _, work), times in zip(program.codes.rows, np.asarray(total).tolist()):
        if times and site.kind == "work":
            yield site, work, times


def _of_all(counts: np.ndarray, size: int) -> np.ndarray:
    """Counts of the codes that there are now: others may have been added since they were made."""
    return np.concatenate((counts, np.zeros(size - counts.size, np.int64)))


def _count(counts: dict, command: Command) -> None:
    if command.site.kind == "work":
        key = command.site, command.work
        counts[key] = counts.get(key, 0) + 1


def loads(timeline: Timeline) -> dict[str, float]:
    """Shared resource to the part of what it could have moved in the run's time that it did move."""
    plan, moved = timeline.plan, {}
    if plan is None:
        return {}
    for track, copies in zip(plan.tracks, plan.copies.tolist()):
        rows = plan.table.rows
        counts = track.counts if timeline.program.codes is not None else np.bincount(track.codes, minlength=len(rows))
        for (_, _, price), times in zip(rows, counts.tolist()):
            for resource, count in (price and price[2]) or ():
                moved[resource] = moved.get(resource, 0) + count * times * copies
    rates, seconds = plan.costs.rates, max(timeline.makespan, 1) / FS_PER_SECOND
    return {name: count / (rates[name] * seconds) for name, count in moved.items() if name in rates}


SATURATED = 0.8
"""From this part of its rate on a shared resource counts as what bounds a run: engines that wait for it are busy meanwhile."""


def bound(timeline: Timeline) -> tuple[str, float]:
    """What a run is bound by, and the part of its time for which that is used: a saturated shared resource, else the busiest engine."""
    shared = {name: used for name, used in loads(timeline).items() if used >= SATURATED}
    used = shared or {pipe: use.busiest for pipe, use in timeline.utilization().items()}
    return max(used.items(), key=lambda entry: entry[1], default=("", 0.0))
