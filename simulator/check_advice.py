"""What to prime and to drain where flags are carried around a loop: waited for in an iteration, set by an earlier one.

Such a flag must be raised before the loop, else its first wait holds its pipe for ever, and be taken after it, else it is left raised.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .program import Command, Program, Site, Stream

Loops = Mapping[int, tuple[str, ...]]
"""Index of a site to the lines of the loops around it, the outermost first."""


@dataclass
class Carried:
    """A flag of one stream that a loop carries.

    prime, drain: is a set before the loop missing, a wait after it?  first, last: indices of the first wait and of the last set.
    """

    stream: int
    pipe: str
    peer: str
    flag: int
    prime: bool
    drain: bool
    first: int
    last: int


def advise(program: Program, stuck: bool, loops: Loops, outcome: Callable[[Program], str]) -> list[str]:
    """Lines that say what to prime and to drain in a block; nothing where no carried flag lacks it.

    stuck: something waits for ever.  outcome: what a check of the block says once that is done.
    """
    lines: dict[str, None] = {}
    added: list[dict[int, list[Command]]] = []
    sites = list(program.sites)
    for number, stream in enumerate(program.streams):
        commands = stream.commands
        found = [one for one in _carried(number, commands, loops, stuck) if one.prime or one.drain]
        places: dict[int, list[Command]] = {}
        for prime, key in ((True, "first"), (False, "last")):
            wanted: dict[str, list[str]] = {}
            for one in found:
                if one.prime if prime else one.drain:
                    at, where = _place(commands, getattr(one, key), loops, prime)
                    places.setdefault(at, []).append(_made(sites, one, prime, commands[getattr(one, key)].site))
                    wanted.setdefault(where, []).append(f"{'set' if prime else 'wait'}_flag({one.pipe} -> {one.peer}, {one.flag})")
            for where, flags in wanted.items():
                lines[f"{'prime before' if prime else 'drain after'} {where}, on {stream.core.kind}: {', '.join(flags)}"] = None
        added.append(places)
    if not lines:
        return []
    streams = [Stream(stream.core, _inserted(stream.commands, places)) for stream, places in zip(program.streams, added)]
    return [*lines, f"with these flags {outcome(replace(program, streams=streams, sites=sites))}"]


def _carried(number: int, commands: list[Command], loops: Loops, stuck: bool) -> list[Carried]:
    """Flags that are waited for before any set while something waits for ever, or that are left raised, with both in one loop."""
    places: dict[tuple[str, str, int], list[tuple[int, bool]]] = {}
    for index, command in enumerate(commands):
        site = command.site
        if site.kind in ("set", "wait"):
            pair = (site.pipe, site.peer) if site.kind == "set" else (site.peer, site.pipe)
            places.setdefault((*pair, command.flag), []).append((index, site.kind == "set"))
    found = []
    for (pipe, peer, flag), events in places.items():
        up = lowest = 0
        for _, raises in events:
            up += 1 if raises else -1
            lowest = min(lowest, up)
        waits, sets = ([index for index, raises in events if raises is kind] for kind in (False, True))
        if not waits or not sets or lowest < -1 or not 0 <= up - lowest <= 1 or (lowest and not stuck):
            continue
        if _around(commands, waits[0], loops) & _around(commands, sets[-1], loops):
            found.append(Carried(number, pipe, peer, flag, lowest < 0, up - lowest == 1, waits[0], sets[-1]))
    first = {pair: min(one.first for one in found if (one.pipe, one.peer) == pair) for pair in {(one.pipe, one.peer) for one in found}}
    return sorted(found, key=lambda one: (first[one.pipe, one.peer], one.flag))


def _around(commands: list[Command], index: int, loops: Loops) -> set:
    """The outermost loop of a command; without knowledge of loops, a mark for a command that runs more than once."""
    site = commands[index].site
    if loops:
        return set(loops.get(site.index, ())[:1])
    return {"loop"} if sum(command.site is site for command in commands) > 1 else set()


def _place(commands: list[Command], index: int, loops: Loops, before: bool) -> tuple[int, str]:
    """(index to insert at, in words) before or after the outermost loop of a command."""
    site = commands[index].site
    if not loops:
        same = [at for at, command in enumerate(commands) if command.site is site]
        return (same[0] if before else same[-1] + 1), site.location
    outermost = loops[site.index][0]
    inside = [at for at, command in enumerate(commands) if loops.get(command.site.index, ())[:1] == (outermost,)]
    return (inside[0] if before else inside[-1] + 1), f"the loop at {outermost}"


def _made(sites: list[Site], one: Carried, prime: bool, beside: Site) -> Command:
    kind, pipe, peer = ("set", one.pipe, one.peer) if prime else ("wait", one.peer, one.pipe)
    sites.append(Site(len(sites), kind, f"{kind}_flag", pipe, beside.location, peer=peer, role="prime" if prime else "drain"))
    return Command(sites[-1], one.flag)


def _inserted(commands: list[Command], places: dict[int, list[Command]]) -> list[Command]:
    result: list[Command] = []
    for index in range(len(commands) + 1):
        result += places.get(index, ())
        result += commands[index : index + 1]
    return result
