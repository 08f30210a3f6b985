"""Is everything ordered that must be, does anything wait for ever, and is any flag or barrier of no use?

Works on elaborated streams and shares no analysis with insert-sync.  Words (unit, redundant, idle): docs/semantics.md.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from .check_clocks import HAZARDS, Clocks, FirstFault, Place, Unordered
from .check_regions import Regions
from .overlap import shared_bytes
from .program import Program, Site, Stream

NeedsBarrier = Callable[[str, str, str], bool]
"""(arch, pipe, hazard): does a pipe need a barrier to order two of its own commands?  Hazard is RAW, WAR or WAW."""

UNCOUNTED = ("prime", "drain", "end")


@dataclass(frozen=True)
class End:
    """One of two accesses: its core, pipe, op and line."""

    core: str
    pipe: str
    op: str
    location: str

    def __str__(self) -> str:
        return f"'{self.op}' ({self.location}, {self.pipe} of {self.core})"


@dataclass(frozen=True)
class MissingOrder:
    """Two accesses to bytes `low` to `high` - 1 of `memory` in no order, one of them a write; `count` such pairs of these two lines."""

    kind: str
    memory: str
    low: int
    high: int
    first: End
    second: End
    advice: str
    count: int

    def __str__(self) -> str:
        return (
            f"{self.second.location}: {self.kind} on {self.memory} bytes {self.low} to {self.high - 1}: {self.first} and {self.second} "
            f"are in no order ({self.count} times): {self.advice}"
        )


@dataclass(frozen=True)
class Unit:
    """A synchronisation unit: what it is, and the lines of its commands."""

    unit: int
    what: str
    locations: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what} at {', '.join(self.locations)}"


@dataclass(frozen=True)
class SyncReport:
    """What a check found.  `redundant` and `idle` are None where they were not asked for, or the rest is not in order.

    flag_sites: set and wait commands in the simulator IR; event_ids: "P -> Q" to the number of ids used, of 8; cross_core_ids of 16.
    """

    program: str
    missing: tuple[MissingOrder, ...]
    misuse: tuple[str, ...]
    deadlock: str | None
    flag_units: int
    flag_sites: int
    barrier_units: int
    barrier_sites: int
    event_ids: dict[str, int]
    cross_core_ids: int
    redundant: tuple[Unit, ...] | None = None
    idle: tuple[Unit, ...] | None = None

    @property
    def ok(self) -> bool:
        """True if every order is there, no flag is misused and nothing waits for ever."""
        return not self.missing and not self.misuse and self.deadlock is None

    def to_json(self) -> dict:
        """The report as JSON-ready data."""
        return {"ok": self.ok, **asdict(self)}


def check(program: Program, needs_barrier: NeedsBarrier, redundancy: bool = False) -> SyncReport:
    """Proves or refutes the order of all conflicting accesses; with `redundancy` also finds the units that could go."""
    regions = Regions(program)
    needs = _needs(program, needs_barrier)
    clocks = Clocks(program, regions, needs)
    deadlock = None if clocks.run() else clocks.deadlock()
    if deadlock is None:
        clocks.check_end()
    missing = tuple(_described(program, regions, pair, count) for pair, count in clocks.missing.values())
    report = SyncReport(program.name, missing, tuple(clocks.misuse.values()), deadlock, **_counts(program))
    if not redundancy or not report.ok:
        return report
    executed = _executed(program)
    judged = [unit for unit in sorted(_units(program)) if unit in executed]
    redundant = tuple(_unit(program, unit) for unit in judged if _spare(program, unit, regions, needs))
    return replace(report, redundant=redundant, idle=tuple(_unit(program, unit) for unit in sorted(_units(program) - executed)))


def check_without(program: Program, unit: int, needs_barrier: NeedsBarrier) -> SyncReport:
    """The same check with all commands of one unit deleted."""
    return check(without(program, unit), needs_barrier)


def _spare(program: Program, unit: int, regions: Regions, needs: dict) -> bool:
    """True if everything stays in order without the unit."""
    smaller = without(program, unit)
    touched = [
        [part for part, command in zip(parts, stream.commands) if command.site.unit != unit]
        for parts, stream in zip(regions.touched, program.streams)
    ]
    clocks = Clocks(smaller, regions.with_touched(touched), needs, first_only=True)
    try:
        if not clocks.run():
            return False
        clocks.check_end()
    except FirstFault:
        return False
    return True


def without(program: Program, unit: int) -> Program:
    """The program with all commands of one unit deleted."""
    streams = [Stream(stream.core, [command for command in stream.commands if command.site.unit != unit]) for stream in program.streams]
    return replace(program, streams=streams)


def _needs(program: Program, needs_barrier: NeedsBarrier) -> dict[str, tuple[bool, bool, bool]]:
    return {
        pipe: tuple(needs_barrier(program.arch, pipe, hazard) for hazard in HAZARDS)
        for pipe in {site.pipe for site in program.sites if site.kind == "work"}
    }


def _units(program: Program) -> set[int]:
    """Units that can be judged: not a kernel's end, and not drains alone."""
    ends = {site.unit for site in program.sites if site.role == "end"}
    return {site.unit for site in program.sites if site.unit >= 0 and site.role not in UNCOUNTED} - ends


def _executed(program: Program) -> set[int]:
    return {command.site.unit for stream in program.streams for command in stream.commands if command.site.role not in UNCOUNTED}


def _unit(program: Program, unit: int) -> Unit:
    sites = [site for site in program.sites if site.unit == unit]
    kinds = sorted(
        {f"pipe_barrier({s.pipe})" if s.kind == "barrier" else f"flag {_pair(s)}" if s.kind in ("set", "wait") else s.op for s in sites}
    )
    return Unit(unit, ", ".join(kinds), tuple(dict.fromkeys(site.location for site in sites)))


def _pair(site: Site) -> str:
    return f"{site.pipe} -> {site.peer}" if site.kind == "set" else f"{site.peer} -> {site.pipe}"


def _counts(program: Program) -> dict:
    flags = [site for site in program.sites if site.kind in ("set", "wait")]
    barriers = [site for site in program.sites if site.kind == "barrier"]
    ids: dict[str, set[int]] = {}
    cross: set[int] = set()
    for stream in program.streams:
        for command in stream.commands:
            if command.site.kind in ("set", "wait"):
                ids.setdefault(_pair(command.site), set()).add(command.flag)
            elif command.site.kind in ("signal", "await"):
                cross.add(command.flag)
    return {
        "flag_units": len({site.unit for site in flags if site.unit >= 0}),
        "flag_sites": len(flags),
        "barrier_units": len({site.unit for site in barriers if site.unit >= 0}),
        "barrier_sites": len(barriers),
        "event_ids": {pair: len(used) for pair, used in sorted(ids.items())},
        "cross_core_ids": len(cross),
    }


def _described(program: Program, regions: Regions, pair: Unordered, count: int) -> MissingOrder:
    first, second = _end(program, pair.first), _end(program, pair.second)
    low, high = shared_bytes(regions.refs[pair.first_region].accesses(), regions.refs[pair.second_region].accesses())
    core, other = program.streams[pair.first[0]].core, program.streams[pair.second[0]].core
    after, before = f"after '{first.op}' ({first.location})", f"before '{second.op}' ({second.location})"
    if core.block != other.block:
        advice = "nothing orders two blocks within a kernel: give each its own bytes, or make the writes atomic"
    elif core != other:
        advice = f"signal from {first.pipe} of {core} {after} and await on {other} {before}"
    elif first.pipe == second.pipe:
        advice = f"pipe_barrier(PIPE_{first.pipe}) {after}, {before}"
    else:
        advice = f"set_flag({first.pipe} -> {second.pipe}) {after} and wait_flag {before}"
    return MissingOrder(HAZARDS[pair.hazard], regions.refs[pair.first_region].memory, low, high, first, second, advice, count)


def _end(program: Program, place: Place) -> End:
    stream = program.streams[place[0]]
    site = stream.commands[place[1]].site
    return End(str(stream.core), site.pipe, site.op, site.location)
