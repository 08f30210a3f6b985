"""An elaborated program: per core, the commands in program order with every address, size and flag a number.

Plain data, no MLIR.  Made by `elaborate.py` from the simulator IR; read by the engine, the executor, the checker and the trace.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from ptoc.dialect.layout import Ref, TileRef, ViewRef
from ptoc.machine.work import WorkItem

KINDS = ("work", "set", "wait", "barrier", "signal", "await")


class Core(NamedTuple):
    """A core: kind "aic" or "aiv", the block (cluster) it belongs to, and its number among the block's cores of that kind."""

    kind: str
    block: int
    sub: int = 0

    def __str__(self) -> str:
        return f"{self.kind}{self.block}" + (f".{self.sub}" if self.kind == "aiv" else "")


@dataclass(slots=True, eq=False)
class Site:
    """One command of the simulator IR, shared by all its dynamic instances.

    kind: "work" runs on `pipe`; "set" raises flag (pipe -> peer) when earlier commands of `pipe` are complete; "wait" holds `pipe` until
    the flag (peer -> pipe) is raised and clears it; "barrier" holds `pipe` ("ALL": the scalar unit) until it is drained; "signal" raises
    a cross-core flag from `pipe`; "await" waits for a cross-core flag (on a3 it holds the scalar unit, on a5 only `pipe`).
    `unit`: the synchronisation unit it belongs to, -1 for none.  `channel`: the name of the slot pipe behind a signal or await.
    `role`: "" or "prime", "drain", "end" (never counted as redundant).
    """

    index: int
    kind: str
    op: str
    pipe: str
    location: str
    unit: int = -1
    peer: str = ""
    channel: str = ""
    role: str = ""
    attributes: dict = field(default_factory=dict)


class Command(NamedTuple):
    """One dynamic command.  `operands`: (name, Ref or Python number) in the op's order; `reads`, `writes`: names of ref operands."""

    site: Site
    flag: int = -1
    work: tuple[WorkItem, ...] = ()
    operands: tuple[tuple[str, Ref | int | float], ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def refs(self, names: tuple[str, ...]) -> list[Ref]:
        """The refs of the named operands."""
        return [value for name, value in self.operands if name in names and isinstance(value, TileRef | ViewRef)]


@dataclass(slots=True)
class Stream:
    """The commands of one core in program order."""

    core: Core
    commands: list[Command]


@dataclass(slots=True)
class Program:
    """All streams of a run.  `arch` is "a3" or "a5"; `memories`: bytes of each global memory ("gm:NAME").

    `hints`: what the text says that may explain a deadlock, each beginning with file:line.
    """

    name: str
    arch: str
    streams: list[Stream]
    sites: list[Site]
    memories: dict[str, int] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)
