"""Is everything ordered that must be, does anything wait for ever, and is any flag or barrier of no use?

Works on elaborated streams and shares no analysis with insert-sync.  Words (unit, redundant, idle): docs/semantics.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ptoc.dialect.layout import Ref

from .check_advice import Loops, advise
from .check_blocks import Group, Meeting, groups_of, meetings
from .check_chain import longest_chain
from .check_clocks import HAZARDS, Clocks, Needs, Unordered, survivors
from .check_pattern import Pattern
from .check_regions import Regions
from .check_report import Chain, End, MissingOrder, PairUse, SyncReport, Unit
from .overlap import shared_bytes
from .program import Program, Site, Stream

NeedsBarrier = Callable[[str, str, str], bool]
"""(arch, pipe, hazard): does a pipe need a barrier to order two of its own commands?  Hazard is RAW, WAR or WAW."""

UNCOUNTED = ("prime", "drain", "end")


@dataclass
class Checked:
    """A group of alike blocks and what the walk through the first of them found."""

    group: Group
    regions: Regions
    pattern: Pattern | None
    missing: list[list]
    misuse: dict[tuple, str]
    deadlock: str | None


def check(
    program: Program,
    needs_barrier: NeedsBarrier,
    redundancy: bool = False,
    chains: bool = False,
    loops: Callable[[], Loops] | None = None,
    shortcuts: bool = True,
) -> SyncReport:
    """Proves or refutes the order of all conflicting accesses; with `redundancy` also finds the units that could go.

    chains: also the longest ones.  loops: gives the lines of the loops around each site, for advice.
    Without `shortcuts` each block is walked from its first command to its last, and anew for each unit that could go: the same report.
    """
    needs = needs_of(program, needs_barrier)
    checked = [_checked(group, needs, shortcuts) for group in groups_of(program, alone=not shortcuts)]
    streams = [stream for part in checked for stream in part.group.program.streams]  # the others have the same sites and flags
    report = SyncReport(program.name, _missing(program, checked), _misuse(checked), _deadlock(checked), **usage(program, streams))
    if not report.ok:
        return replace(report, advice=_advice(checked, loops() if loops else {}, needs_barrier))
    if chains:
        report = replace(report, chains=_chains(checked))
    if not redundancy:
        return report
    executed = _executed(streams)
    judged = [unit for unit in sorted(_units(program)) if unit in executed]
    if shortcuts:
        spare = _spare(checked, needs, [frozenset({unit}) for unit in judged])
    else:
        spare = [check(without(program, unit), needs_barrier, shortcuts=False).ok for unit in judged]
    redundant = tuple(_unit(program, unit) for unit, may_go in zip(judged, spare) if may_go)
    return replace(report, redundant=redundant, idle=tuple(_unit(program, unit) for unit in sorted(_units(program) - executed)))


def check_without(program: Program, unit: int, needs_barrier: NeedsBarrier) -> SyncReport:
    """The same check with all commands of one unit deleted."""
    return check(without(program, unit), needs_barrier)


def spare_sites(program: Program, needs_barrier: NeedsBarrier, deletions: Sequence[frozenset[int]]) -> list[bool]:
    """For each set of sites (by index): is the program in order without their commands?"""
    units = [frozenset(site.unit for site in program.sites if site.index in sites) for sites in deletions]
    whole = [all(site.index in sites for site in program.sites if site.unit in of) for sites, of in zip(deletions, units)]
    needs = needs_of(program, needs_barrier)
    checked = [_checked(group, needs) for group in groups_of(program)]
    in_order = not any(part.missing or part.misuse or part.deadlock for part in checked) and not meetings(program, [part.group for part in checked])
    quick = in_order and _spare(checked, needs, [of for of, all_there in zip(units, whole) if all_there])
    answers = iter(quick or ())
    return [
        next(answers) if in_order and all_there else check(without_sites(program, sites), needs_barrier).ok
        for sites, all_there in zip(deletions, whole)
    ]


def without(program: Program, unit: int) -> Program:
    """The program with all commands of one unit deleted."""
    return without_sites(program, {site.index for site in program.sites if site.unit == unit})


def without_sites(program: Program, sites: frozenset[int] | set[int]) -> Program:
    """The program without the commands of some sites."""
    streams = [Stream(stream.core, [c for c in stream.commands if c.site.index not in sites]) for stream in program.streams]
    return replace(program, streams=streams)


def needs_of(program: Program, needs_barrier: NeedsBarrier) -> Needs:
    """For each pipe with work: does it need a barrier for RAW, WAR, WAW?"""
    return {
        pipe: tuple(needs_barrier(program.arch, pipe, hazard) for hazard in HAZARDS)
        for pipe in {site.pipe for site in program.sites if site.kind == "work"}
    }


def usage(program: Program, streams: Sequence[Stream]) -> dict:
    """How the flags and barriers of a program are used, in all of its blocks or one of each alike ones: fields of a SyncReport."""
    flags = [site for site in program.sites if site.kind in ("set", "wait")]
    barriers = [site for site in program.sites if site.kind == "barrier"]
    used = {(c.site, c.flag) for stream in streams for c in stream.commands if c.flag >= 0}
    ids: dict[str, set[int]] = {}
    for site, flag in used:
        if site.kind in ("set", "wait"):
            ids.setdefault(_pair(site), set()).add(flag)
    pairs = []
    for pair in sorted({_pair(site) for site in flags}):
        mine = [site for site in flags if _pair(site) == pair]
        sets = sum(site.kind == "set" for site in mine)
        pairs.append(PairUse(pair, sets, len(mine) - sets, len({site.unit for site in mine if site.unit >= 0}), len(ids.get(pair, ()))))
    pipes = [site.pipe for site in barriers]
    return {
        "flag_units": len({site.unit for site in flags if site.unit >= 0}),
        "flag_sites": len(flags),
        "barrier_units": len({site.unit for site in barriers if site.unit >= 0}),
        "barrier_sites": len(barriers),
        "pairs": tuple(pairs),
        "barriers": {pipe: pipes.count(pipe) for pipe in sorted(set(pipes))},
        "cross_core_ids": len({flag for site, flag in used if site.kind in ("signal", "await")}),
    }


def _checked(group: Group, needs: Needs, shortcuts: bool = True) -> Checked:
    regions = Regions(group.program)
    pattern = Pattern(group.program, regions) if shortcuts else None
    clocks = Clocks(group.program, regions, needs, pattern=pattern)
    deadlock = None if clocks.run() else clocks.deadlock()
    if deadlock is None:
        clocks.check_end()
    return Checked(group, regions, pattern, list(clocks.missing.values()), clocks.misuse, deadlock)


def _spare(checked: list[Checked], needs: Needs, deletions: list[frozenset[int]]) -> list[bool]:
    """For each set of units: is everything in order without it?  What one block needs is not asked of the others."""
    left = list(range(len(deletions)))
    for part in sorted(checked, key=lambda part: sum(len(stream.commands) for stream in part.group.program.streams)):
        lives = survivors(part.group.program, part.regions, needs, [deletions[n] for n in left], part.pattern)
        left = [n for n, alive in zip(left, lives) if alive]
    return [n in left for n in range(len(deletions))]


def _missing(program: Program, checked: list[Checked]) -> tuple[MissingOrder, ...]:
    """The missing orders of all blocks, those of one block first; each pair of sites once."""
    found: dict[tuple[int, int], MissingOrder] = {}
    for part in checked:
        for pair, count in part.missing:
            made = _described(part, pair, count * len(part.group.blocks))
            block = part.group.program
            key = tuple(block.streams[s].commands[i].site.index for s, i in (pair.first, pair.second))
            found[key] = replace(found[key], count=found[key].count + made.count) if key in found else made
    return (*found.values(), *(_met(program, meeting) for meeting in meetings(program, [part.group for part in checked])))


def _misuse(checked: list[Checked]) -> tuple[str, ...]:
    found: dict[tuple, str] = {}
    for part in checked:
        found = {**part.misuse, **found}
    return tuple(found.values())


def _deadlock(checked: list[Checked]) -> str | None:
    stuck = [part for part in checked if part.deadlock is not None]
    others = sum(len(part.group.blocks) for part in stuck) - 1
    if not stuck:
        return None
    return stuck[0].deadlock + (f"\n  and so do {others} more block{'s' if others > 1 else ''}" if others else "")


def _advice(checked: list[Checked], loops: Loops, needs_barrier: NeedsBarrier) -> tuple[str, ...]:
    """What to prime and to drain, in all blocks."""

    def outcome(program: Program) -> str:
        report = check(program, needs_barrier)
        if report.deadlock is not None:
            return "something still waits for ever: " + report.deadlock.partition("\n")[0]
        found = [f"{what}: {len(faults)}" for faults, what in ((report.missing, "missing orders"), (report.misuse, "misused flags")) if faults]
        return f"there remain {', '.join(found)}" if found else "every order is there"

    lines: dict[str, None] = {}
    for part in checked:
        left = any(key[0] == "left" for key in part.misuse)
        if left or part.deadlock is not None:
            told = advise(part.group.program, part.deadlock is not None, loops, outcome)
            if not lines.keys() >= set(told[:-1]):  # else said of another block
                lines |= dict.fromkeys(told)
    return tuple(lines)


def _chains(checked: list[Checked]) -> tuple[Chain, ...]:
    """The longest chain of all blocks and, where its turn stays on one pipe, the longest that counts only what crosses pipes."""
    found = []
    for barriers in (True, False):
        chain = max((longest_chain(part.group.program, barriers) for part in checked), key=lambda chain: chain.syncs, default=None)
        if chain is not None and chain.syncs:
            found.append(chain)
        if chain is None or len({pipe for link in chain.turn for pipe in (link.source, link.target)}) != 1:
            break
    return tuple(found)


def _units(program: Program) -> set[int]:
    """Units that can be judged: not a kernel's end, and not drains alone."""
    ends = {site.unit for site in program.sites if site.role == "end"}
    return {site.unit for site in program.sites if site.unit >= 0 and site.role not in UNCOUNTED} - ends


def _executed(streams: Sequence[Stream]) -> set[int]:
    sites = {command.site for stream in streams for command in stream.commands}
    return {site.unit for site in sites if site.role not in UNCOUNTED}


def _unit(program: Program, unit: int) -> Unit:
    sites = [site for site in program.sites if site.unit == unit]
    kinds = sorted(
        {f"pipe_barrier({s.pipe})" if s.kind == "barrier" else f"flag {_pair(s)}" if s.kind in ("set", "wait") else s.op for s in sites}
    )
    return Unit(unit, ", ".join(kinds), tuple(dict.fromkeys(site.location for site in sites)))


def _pair(site: Site) -> str:
    return f"{site.pipe} -> {site.peer}" if site.kind == "set" else f"{site.peer} -> {site.pipe}"


def _described(part: Checked, pair: Unordered, count: int) -> MissingOrder:
    block, refs = part.group.program, part.regions.refs
    first, second = _end(block, pair.first), _end(block, pair.second)
    after, before = f"after '{first.op}' ({first.location})", f"before '{second.op}' ({second.location})"
    if first.core != second.core:
        advice = f"signal from {first.pipe} of {first.core} {after} and await on {second.core} {before}"
    elif first.pipe == second.pipe:
        advice = f"pipe_barrier(PIPE_{first.pipe}) {after}, {before}"
    else:
        advice = f"set_flag({first.pipe} -> {second.pipe}) {after} and wait_flag {before}"
    return _order(HAZARDS[pair.hazard], refs[pair.first_region], refs[pair.second_region], first, second, advice, count)


def _met(program: Program, meeting: Meeting) -> MissingOrder:
    kind = "RAW" if meeting.second_kind == "read" else "WAR" if meeting.first_kind == "read" else "WAW"
    advice = "nothing orders two blocks within a kernel: give each its own bytes, or make the writes atomic"
    ends = _end(program, meeting.first), _end(program, meeting.second)
    return _order(kind, meeting.first_region, meeting.second_region, *ends, advice, meeting.count)


def _order(kind: str, first_region: Ref, second_region: Ref, first: End, second: End, advice: str, count: int) -> MissingOrder:
    low, high = shared_bytes(first_region.accesses(), second_region.accesses())
    return MissingOrder(kind, first_region.memory, low, high, first, second, advice, count)


def _end(program: Program, place: tuple[int, int]) -> End:
    stream = program.streams[place[0]]
    site = stream.commands[place[1]].site
    return End(str(stream.core), site.pipe, site.op, site.location)
