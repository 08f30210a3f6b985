"""Synchronisation units: which sets and waits pair with each other; barriers one by one.  Source: docs/semantics.md."""

from .program import Program, Site


def assign_units(program: Program) -> None:
    """Gives every site of a flag or barrier its unit, and a kernel's last barrier over all pipes the role "end".

    Sets and waits pair in program order per core, pipe pair and event id; sites that ever pair, or for which the text states one unit,
    are one unit.
    """
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            i = parent[i]
        return i

    stated: dict[int, int] = {}
    for site in program.sites:
        if _counts(site) and site.unit >= 0:
            parent[root(site.index)] = root(stated.setdefault(site.unit, site.index))
    for stream in program.streams:
        queues: dict[tuple[str, str, int], tuple[list[int], list[int]]] = {}
        for command in stream.commands:
            site = command.site
            if site.kind in ("set", "wait"):
                pair = (site.pipe, site.peer) if site.kind == "set" else (site.peer, site.pipe)
                mine, other = queues.setdefault((*pair, command.flag), ([], []))[:: 1 if site.kind == "set" else -1]
                if other:
                    parent[root(other.pop(0))] = root(site.index)
                else:
                    mine.append(site.index)
        last = stream.commands[-1].site if stream.commands else None
        if last is not None and last.kind == "barrier" and last.pipe == "ALL":
            last.role = "end"
    numbers: dict[int, int] = {}
    for site in program.sites:
        if _counts(site):
            site.unit = numbers.setdefault(root(site.index), len(numbers))


def _counts(site: Site) -> bool:
    return site.kind in ("set", "wait", "barrier")
