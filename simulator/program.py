"""An elaborated program: per core, the commands in program order with every address, size and flag a number.

Plain data, no MLIR.  Made by `elaborate.py` from the simulator IR; read by the engine, the executor, the checker and the trace.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np

from ptoc.dialect.layout import Ref, TileRef, ViewRef
from ptoc.machine.mesh import Mesh
from ptoc.machine.work import WorkItem

KINDS = ("work", "set", "wait", "barrier", "signal", "await")
PART = "pto.part"
"""The attribute that names the part of a kernel that a command belongs to."""


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
    `tensors`: (tensor read, tensor written) by a command that moves from or to global memory, "" for none.
    `link`: of a signal or await of a link, the direction of travel.
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
    tensors: tuple[str, str] = ("", "")
    link: str = ""

    @property
    def part(self) -> str:
        """The part of the kernel that the source counts this command to (`ptoc.part`), "" for none."""
        return self.attributes.get(PART, "")


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


class Codes:
    """The distinct commands of a program as far as time goes: a code stands for (site, flag, work), a chunk for codes in a row."""

    def __init__(self) -> None:
        self.rows: list[tuple[Site, int, tuple[WorkItem, ...]]] = []
        self.chunks: list[tuple[int, ...]] = []
        self._rows: dict[tuple, int] = {}
        self._chunks: dict[tuple[int, ...], int] = {}

    def code(self, site: Site, flag: int = -1, work: tuple[WorkItem, ...] = ()) -> int:
        """The code of a command."""
        key = (site, flag, work)
        number = self._rows.get(key)
        if number is None:
            number = self._rows[key] = len(self.rows)
            self.rows.append(key)
        return number

    def chunk(self, codes: tuple[int, ...]) -> int:
        """The number of a run of codes."""
        number = self._chunks.get(codes)
        if number is None:
            number = self._chunks[codes] = len(self.chunks)
            self.chunks.append(codes)
        return number


class Track:
    """What time sees of a stream, shared by the cores whose streams are alike: its codes, and where the iterations of its loops begin.

    `chunks`: numbers of chunks, int32; those that `marks` maps to a loop are empty and stand at the beginning of each iteration.
    """

    def __init__(self, table: Codes, chunks: np.ndarray, marks: dict[int, int] | None = None) -> None:
        self.table, self.chunks, self.marks = table, chunks, marks or {}

    @cached_property
    def offsets(self) -> np.ndarray:
        """Index of the first command of each chunk, and the number of commands: int64."""
        lengths = np.fromiter(map(len, self.table.chunks), np.int64, len(self.table.chunks))
        return np.concatenate(([0], np.cumsum(lengths[self.chunks])))

    @cached_property
    def codes(self) -> np.ndarray:
        """The code of every command in program order: int32."""
        if not self.chunks.size:
            return np.zeros(0, np.int32)
        lengths = np.fromiter(map(len, self.table.chunks), np.int64, len(self.table.chunks))
        pool = np.fromiter(chain.from_iterable(self.table.chunks), np.int32, int(lengths.sum()))
        begins = np.cumsum(lengths) - lengths
        counts = lengths[self.chunks]
        at = np.arange(int(counts.sum())) + np.repeat(begins[self.chunks] - self.offsets[:-1], counts)
        return pool[at]

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each code of the table occurs."""
        counts = np.zeros(len(self.table.rows), np.int64)
        often = np.bincount(self.chunks, minlength=1)
        for number in np.flatnonzero(often).tolist():
            for code in self.table.chunks[number]:
                counts[code] += often[number]
        return counts

    @cached_property
    def used(self) -> np.ndarray:
        """The codes that occur."""
        chunks = self.table.chunks
        return np.unique(np.fromiter((code for chunk in np.unique(self.chunks).tolist() for code in chunks[chunk]), np.int64))

    @property
    def content(self) -> bytes:
        """Streams of one table with the same content are the same."""
        return self.chunks.tobytes()

    def __len__(self) -> int:
        return int(self.offsets[-1])


class Stream:
    """The commands of one core in program order; `track`: what time sees of them, alike cores share one.

    Of a stream that was elaborated for time alone, `commands` (with operands) are made when they are asked for.
    """

    __slots__ = ("_commands", "_fill", "core", "track")

    def __init__(self, core: Core, commands: list[Command] | None = None, track: Track | None = None, fill: Callable[[], None] | None = None) -> None:
        self.core, self._commands, self.track, self._fill = core, commands, track, fill

    @property
    def commands(self) -> list[Command]:
        """The commands with their operands."""
        if self._commands is None:
            self._fill()
        return self._commands

    @commands.setter
    def commands(self, commands: list[Command]) -> None:
        self._commands = commands

    def __len__(self) -> int:
        return len(self._commands) if self._commands is not None else len(self.track)


@dataclass(slots=True)
class Program:
    """All streams of a run.  `arch` is "a3" or "a5"; `memories`: bytes of each global memory ("gm:NAME").

    `hints`: what the text says that may explain a deadlock, each beginning with file:line.  `codes`: the table that the tracks refer to.
    `mesh`: where blocks stand, None without links.
    """

    name: str
    arch: str
    streams: list[Stream]
    sites: list[Site]
    memories: dict[str, int] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)
    codes: Codes | None = None
    mesh: Mesh | None = None
