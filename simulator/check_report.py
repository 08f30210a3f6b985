"""What a check tells: missing orders, misused flags, deadlocks, units that could go, and how the flags are used."""

from dataclasses import asdict, dataclass


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
    """Two accesses to bytes `low` to `high` - 1 of `memory` in no order, one of them a write; `count` such pairs of these two lines.

    An access is counted once for each queue that has a later one in no order with it.
    """

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
            f"are in no order ({self.count} time{'s' if self.count != 1 else ''}): {self.advice}"
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
class PairUse:
    """How the flags of one pipe pair are used: set and wait commands of the simulator IR, units, and the number of ids in use."""

    pair: str
    sets: int
    waits: int
    units: int
    ids: int


@dataclass(frozen=True)
class ChainLink:
    """One synchronisation of a chain: what it is; pipe and line of the work before it and of the work behind it."""

    what: str
    source: str
    source_location: str
    target: str
    target_location: str


@dataclass(frozen=True)
class Chain:
    """A longest happens-before chain: `syncs` flags, barriers and signals, each of which can only come after the one before.

    `turn`: the links that repeat, `turns` times; what is not in a turn (`syncs` - `turns` * len(turn)) comes before, between and after.
    """

    syncs: int
    turns: int
    turn: tuple[ChainLink, ...]


@dataclass(frozen=True)
class SyncReport:
    """What a check found.  `redundant` and `idle` are None where they were not asked for, or the rest is not in order.

    flag_sites, barrier_sites: commands in the simulator IR; event_ids: "P -> Q" to the number of ids used, of 8; cross_core_ids of 16.
    `advice`: what to prime and to drain.  `chains`: none where nobody asked, or something is not in order.
    """

    program: str
    missing: tuple[MissingOrder, ...]
    misuse: tuple[str, ...]
    deadlock: str | None
    flag_units: int
    flag_sites: int
    barrier_units: int
    barrier_sites: int
    pairs: tuple[PairUse, ...]
    barriers: dict[str, int]
    cross_core_ids: int
    advice: tuple[str, ...] = ()
    redundant: tuple[Unit, ...] | None = None
    idle: tuple[Unit, ...] | None = None
    chains: tuple[Chain, ...] = ()

    @property
    def ok(self) -> bool:
        """True if every order is there, no flag is misused and nothing waits for ever."""
        return not self.missing and not self.misuse and self.deadlock is None

    @property
    def event_ids(self) -> dict[str, int]:
        """Pipe pair to the number of its event ids in use."""
        return {use.pair: use.ids for use in self.pairs}

    def to_json(self) -> dict:
        """The report as JSON-ready data."""
        return {"ok": self.ok, "event_ids": self.event_ids, **asdict(self)}
