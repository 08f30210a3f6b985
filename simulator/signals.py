"""Who counts whose signals: flags of a block between its cube core and its vector cores, flags of links between blocks.

A signal of flag 0 to 15 is counted at every other-kind core of its block.  The flags behind them belong to links (`ptoc.machine.mesh`): their
signals go from a core to the core with the same kind and number in a neighbouring block.
"""

from collections.abc import Callable, Iterable, Sequence

from ptoc.dialect.errors import NotSupportedError
from ptoc.machine.mesh import CORE_FLAGS, FLAGS, OPPOSITE, SEND_PIPES, Mesh, link_of

from .program import Core, Program, Site


class Peers:
    """Senders and receivers of each flag among some cores; numbers are positions among them."""

    def __init__(self, cores: Sequence[Core], mesh: Mesh | None) -> None:
        self._cores, self._mesh = cores, mesh
        self._number = {core: number for number, core in enumerate(cores)}
        blocks: dict[tuple[int, bool], list[int]] = {}
        for number, core in enumerate(cores):
            blocks.setdefault((core.block, core.kind == "aic"), []).append(number)
        self.in_block = [blocks.get((core.block, core.kind != "aic"), []) for core in cores]

    def receivers(self, number: int, flag: int) -> list[int]:
        """The cores at which a core's signal of a flag is counted."""
        if flag < CORE_FLAGS:
            return self.in_block[number]
        axis, direction = link_of(flag)
        return self._next(number, axis, direction)

    def senders(self, number: int, flag: int) -> list[int]:
        """The cores from which a core counts signals of a flag."""
        if flag < CORE_FLAGS:
            return self.in_block[number]
        axis, direction = link_of(flag)
        return self._next(number, axis, OPPOSITE[direction])

    def counts(self, number: int, of: Callable[[int, int], int]) -> dict[int, list[int | None]]:
        """By each core whose signals a core may count, those of its block first: of(sender, flag) by flag, None where it counts none."""
        found: dict[int, list[int | None]] = {}
        for flag in range(FLAGS if self._mesh else CORE_FLAGS):
            for sender in self.senders(number, flag):
                found.setdefault(sender, [None] * FLAGS)[flag] = of(sender, flag)
        return found

    def _next(self, number: int, axis: int, direction: str) -> list[int]:
        core = self._cores[number]
        block = self._mesh.neighbour(core.block, axis, direction) if self._mesh else None
        other = self._number.get(core._replace(block=block)) if block is not None else None
        return [] if other is None else [other]


def refuse_shared_links(sites: Iterable[Site]) -> None:
    """Raises NotSupportedError where both kinds of core of a block send in one direction: the wire would carry both at once."""
    senders: dict[str, tuple[str, Site]] = {}
    for site in sites:
        if site.link and site.kind == "signal" and site.pipe in SEND_PIPES:
            link, _, kind = site.channel.rpartition(".")
            first, other = senders.setdefault(link, (kind, site))
            if first != kind:
                raise NotSupportedError(
                    f"'{site.op}': the cube core and the vector core both send over one link ({other.location} is the other): let one of them use it", site.location
                )


def linked_blocks(program: Program) -> frozenset[int]:
    """The blocks of a program with commands that send or receive over links."""
    if program.mesh is None:
        return frozenset()
    return frozenset(stream.core.block for stream in program.streams if any(command.site.link for command in stream.commands))


def clusters(blocks: Iterable[int], linked: frozenset[int]) -> dict[int, int]:
    """For each block the first of those that it has to do with: all that use links are one cluster, any other block is alone."""
    first = min(linked, default=-1)
    return {block: first if block in linked else block for block in blocks}
