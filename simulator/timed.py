"""The time form of a kernel: Python source that gives a core's chunks, the constants that it uses, and what it has learned.

Plain data but for the functions made from the source, so that it can be kept on disk; it needs no MLIR until it meets a work that it
has not seen.
"""

import marshal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ptoc.dialect.layout import TileRef, ViewRef

from . import regions
from .program import Codes, Site
from .registers import COMPARED, Register, chosen, fetched, lazily, settled


class FlagChunks(dict):
    """Flag number to the chunk of one command of `site` with that flag."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.table: Codes | None = None

    def __missing__(self, flag: Any) -> int:
        number = self[flag] = self.table.chunk((self.table.code(self.site, flag),))
        return number

    def __reduce__(self) -> tuple:
        return FlagChunks, (self.site,), None, None, iter(list(self.items()))


class WorkChunks(dict):
    """Values that a command's work depends on to the chunk of that command; `source`: a function of the values that gives (site, flag, work)."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.table: Codes | None = None
        self.make: Callable[..., tuple] | None = None

    def __missing__(self, key: tuple) -> int:
        number = self[key] = self.table.chunk((self.table.code(*self.make(*key)),))
        return number

    def __reduce__(self) -> tuple:
        return WorkChunks, (self.source,), None, None, iter(list(self.items()))


@dataclass
class TimeForm:
    """Of one function: stream(emit, load, block, blocks, sub, *values) and key(block, blocks, sub, *values), as `source`.

    Cores for which `key` gives the same have the same chunks.  `arguments`: (name, element type or None for a number) of the values.
    `marks`: chunks that stand at the beginning of each iteration, to the number of the loop.
    """

    name: str
    source: str
    constants: dict[str, Any]
    arguments: list[tuple[str, str | None]]
    marks: dict[int, int]
    code: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"code": None if self.code is None else marshal.dumps(self.code)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.code = None if self.code is None else marshal.loads(self.code)

    def functions(self, table: Codes) -> tuple[Callable[..., None], Callable[..., tuple]]:
        """(stream, key), bound to the table that their numbers refer to."""
        scope: dict[str, Any] = {**scope_of_regions(), "works": works, "narrowed": narrowed, **self.constants}
        for value in self.constants.values():
            if isinstance(value, FlagChunks | WorkChunks):
                value.table = table
            if isinstance(value, WorkChunks):
                value.make = eval(value.source, scope)
        if self.code is None:
            self.code = compile(self.source, f"<time of {self.name}>", "exec")
        exec(self.code, scope)
        return scope["stream"], scope["key"]

    def learned(self) -> int:
        """Number of commands that were looked up; grows as the form meets new ones."""
        return sum(len(value) for value in self.constants.values() if isinstance(value, FlagChunks | WorkChunks))


def works(site: Site, operands: tuple[tuple[str, Any], ...], reads: tuple[str, ...]) -> tuple[Site, int, tuple]:
    """(site, no flag, work) of a command that reads the named operands."""
    from .work import work_of

    return site, -1, work_of(site, "?", operands, reads)


def narrowed(site: Site, operands: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """The operands of a command, each region cut to what it touches."""
    from .work import narrowed as cut

    return cut(site, operands)


def scope_of_regions() -> dict[str, Any]:
    """Names that written functions use."""
    functions = ("part", "reshape", "view", "slice_", "advance", "quotient", "remainder", "Memory", "ring_memory", "Ids", "linked", "link_memory")
    return {
        "TileRef": TileRef, "ViewRef": ViewRef, "Register": Register, "fetched": fetched, "settled": settled, "lazily": lazily, "chosen": chosen,
        "COMPARED": COMPARED, **{name: getattr(regions, name) for name in functions},
    }  # fmt: skip
