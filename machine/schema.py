"""The shape of a chip file: every key, its unit and its bounds, as frozen pydantic models.

A number in the file is a mapping {value, unit, source, kind}; the field that holds it states the unit and the bound.  `cycles` are
cycles of the clock in `clocks.laws`.  `chip.py` reads a file into these models and offers plain values; nothing else imports them.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

from .mesh import MOST_SLOTS

Kind = Literal["measured", "documented", "assumed"]
Resource = Literal["l2_read", "l2_write"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Number(_Model):
    """One number of a chip with its provenance.  `source`: a key of the file's `sources`, or a text of its own."""

    value: StrictInt | StrictFloat
    unit: str
    source: str = Field(min_length=1)
    kind: Kind


BOUNDS = {
    "cycles": (0, 1e9), "cycles/repeat": (1e-6, 1e9), "us": (0, 1e9), "count": (1, 2**20), "bytes": (1, 2**50), "GHz": (1e-3, 1e3),
    "bytes/cycle": (1e-3, 1e9), "GB/s": (1e-3, 1e9), "MACs/cycle": (1e-3, 1e12), "1": (0, 1e6),
}  # fmt: skip
"""Unit to the least number other than 0 and the largest that a chip can have: far beyond any device, and such that times stay below 64 bits of fs."""


def quantity(unit: str, *, positive: bool = False, whole: bool = False) -> Any:
    """The type of a number in `unit`, within its BOUNDS: at least 0, `positive`: above 0, `whole`: an integer."""
    least, most = BOUNDS[unit]
    name = "" if unit == "1" else f" {unit}"

    def check(number: Number) -> Number:
        if number.unit != unit:
            raise ValueError(f"expected unit '{unit}', got '{number.unit}'")
        if whole and number.value % 1:
            raise ValueError(f"expected a whole number, got {number.value} {unit}")
        if number.value < 0 or (positive and number.value == 0):
            raise ValueError(f"expected a value {'above 0' if positive else 'of at least 0'}{name}, got {number.value}")
        if number.value and not least <= number.value <= most:
            raise ValueError(f"expected a value from {least:g} to {most:g}{name}, got {number.value}")
        return number

    return Annotated[Number, AfterValidator(check)]


Cycles = quantity("cycles")
Count = quantity("count", positive=True, whole=True)
Bytes = quantity("bytes", positive=True, whole=True)
Gigahertz = quantity("GHz", positive=True)
Microseconds = quantity("us")
Rate = quantity("bytes/cycle", positive=True)
Stretch = quantity("cycles/repeat")
Bandwidth = quantity("GB/s", positive=True)
Macs = quantity("MACs/cycle", positive=True)
Factor = quantity("1")
PerRepeat = quantity("cycles/repeat", positive=True)


class Cores(_Model):
    """How many cores the chip has."""

    aic: Count
    aiv_per_aic: Count


class Clocks(_Model):
    """`laws`: the clock that all cycles of this file count; `core`: what the cores run at."""

    laws: Gigahertz
    core: Gigahertz


class Memory(_Model):
    """One on-chip memory of a core."""

    bytes: Bytes
    alignment: Bytes


class UbBanks(_Model):
    """Banks of UB; see banks.py.  `banks`: of one group; `stride`: bytes from one bank of a group to the next; `reads`: rows of a group in a cycle."""

    row: Bytes
    groups: Count
    banks: Count
    stride: Bytes
    reads: Count


class Memories(_Model):
    """The on-chip memories.  `ub_reserved_from`: first UB byte that library internals use as fixed scratch."""

    ub: Memory
    l1: Memory
    l0a: Memory
    l0b: Memory
    l0c: Memory
    bias: Memory
    scaling: Memory
    ub_reserved_from: Bytes
    ub_banks: UbBanks


class Sync(_Model):
    """Flags, their limits and what commands of synchronisation and of the scalar unit cost."""

    event_ids: Count  # for each ordered pair of pipes
    cross_core_flags: Count
    cross_core_counter_max: Count
    issue: Cycles  # of the scalar unit, for each command that it hands to a queue
    set_flag: Cycles
    wait_flag: Cycles
    barrier: Cycles  # after the pipe is drained
    signal: Cycles  # from a cross-core set to the other core's counter
    scalar_operation: Cycles


class Launch(_Model):
    """What a timing window adds to the time from the first to the last command (`Chip.launch_fs`)."""

    host_window: Microseconds  # once in a window of host events, shared by its runs
    msprof_task: Microseconds
    device_counter: Microseconds
    block: Microseconds  # for each block launched


class CubeLaw(_Model):
    """cycles = start + padded m * k * n / rate; m is padded to `fractal_rows`, n to `fractal_columns`, k to `fractal_bytes`."""

    start_occupancy: Cycles
    start_latency: Cycles
    fractal_rows: Count
    fractal_columns: Count
    fractal_bytes: Bytes
    rates: Annotated[dict[str, Macs], Field(min_length=1)]


class RateGroup(_Model):
    """Vector instructions of one throughput: occupancy = max(minimum, offset + per_repeat * repeats).  dtype "any": all others."""

    instructions: Annotated[list[str], Field(min_length=1)]
    dtypes: Annotated[list[str], Field(min_length=1)]
    per_repeat: PerRepeat
    offset: Cycles
    minimum: Cycles


class StartupGroup(_Model):
    """Vector instructions of one pipeline depth: latency = offset + (per_repeat + stretch) * repeats + startup."""

    instructions: Annotated[list[str], Field(min_length=1)]
    startup: Cycles
    stretch: Stretch


class ConflictFree(_Model):
    """Instructions whose `per_repeat` holds for operands in one UB bank, and what it is for operands that do not meet."""

    instructions: list[str]
    per_repeat: PerRepeat


class VectorLaws(_Model):
    """Throughput and depth of every vector instruction, in groups."""

    rates: list[RateGroup]
    conflict_free: ConflictFree
    startups: dict[str, StartupGroup]


class TransferLaw(_Model):
    """One path between memories.

    move = max(bytes / bytes_per_cycle, bursts * per_burst); occupancy = max(minimum, startup_occupancy + move) + issue;
    latency = max(minimum, startup + move) + issue.
    """

    startup: Cycles
    startup_occupancy: Cycles  # the fitted part of `startup` in which the engine takes no other transfer
    minimum: Cycles
    issue: Cycles  # per command in a real kernel, which a loop of one instruction does not show
    bytes_per_cycle: Rate
    per_burst: Cycles
    resource: Resource | None  # the shared resource that the path draws on

    @model_validator(mode="after")
    def _occupied_part(self) -> "TransferLaw":
        if self.startup_occupancy.value > self.startup.value:
            raise ValueError(f"expected startup_occupancy of at most startup ({self.startup.value}), got {self.startup_occupancy.value}")
        return self


Path = Literal[
    "gm_to_l1", "gm_to_l1_dn", "gm_to_ub", "ub_to_gm", "l1_to_gm", "l0c_to_gm", "l0c_to_l1", "l1_to_l0a", "l1_to_l0b", "l1_to_bias",
    "l1_to_scaling", "l1_to_ub", "ub_to_l1", "ub_to_ub", "l0c_to_ub",
]  # fmt: skip


class Shared(_Model):
    """Rates of what all cores share, and the L2.

    `l2_miss`: rate of reads that all miss and allocate; `hbm_write`: of writes
    that all miss; `cold`, `cold_burst`: rate of one core's transfers that miss, and the least that
    one of their bursts takes; `l2_effective`: re-use distance from which all miss (`l2.py`); `l2_line`: what an unaligned run fetches beyond
    its bytes; `l2_mixed`, `crowding`: how transfers slow down
    with the load of reads and writes together (`l2.crowding_of`).
    """

    l2_read: Bandwidth
    l2_write: Bandwidth
    l2_miss: Bandwidth
    hbm: Bandwidth
    hbm_write: Bandwidth
    cold: Rate
    cold_burst: Cycles
    l2_mixed: Bandwidth
    crowding: Factor
    l2_line: Bytes
    l2_bytes: Bytes
    l2_effective: Bytes


class Sdma(_Model):
    """An engine that moves memory to memory: startup + bytes / bytes_per_cycle, drawing on a named domain (in GB/s) of the chip."""

    startup: Cycles
    bytes_per_cycle: Rate
    domains: Annotated[dict[str, Bandwidth], Field(min_length=1)]


class LinkLaw(_Model):
    """One link between neighbours: occupancy = startup + bytes / bytes_per_cycle, latency = occupancy + hops * hop."""

    startup: Cycles
    hop: Cycles
    bytes_per_cycle: Rate


class Mesh(_Model):
    """Cubes of `pes` processing elements in a row, on a grid of `columns` x `rows` cubes; no link goes around an edge (`mesh.py`).

    `pe_link`: between neighbours in a cube; `cube_link`: between the first elements of neighbouring cubes.  A receiver's buffer for one
    direction holds `slots` messages of up to `slot_bytes`; taking one out costs take_startup + bytes / take_bytes_per_cycle.
    """

    pes: Count
    columns: Count
    rows: Count
    pe_link: LinkLaw
    cube_link: LinkLaw
    slots: Count
    slot_bytes: Bytes
    take_startup: Cycles
    take_bytes_per_cycle: Rate

    @model_validator(mode="after")
    def _countable(self) -> "Mesh":
        if not 1 <= self.slots.value <= MOST_SLOTS:
            raise ValueError(f"expected slots of 1 to {MOST_SLOTS}, what a cross-core counter counts; got {self.slots.value}")
        return self


class ChipFile(_Model):
    """A whole chip file, after its `base` has been merged in."""

    name: str = Field(min_length=1)
    description: str
    arch: Literal["a3", "a5"]
    toolchain: Literal["pto-isa"] | None  # what compiles C++ for the chip
    validated: StrictBool | Literal["provisional"]
    sources: dict[str, str]
    cores: Cores
    clocks: Clocks
    memories: Memories
    sync: Sync
    launch: Launch
    cube: CubeLaw
    vector: VectorLaws
    paths: dict[Path, TransferLaw]
    shared: Shared
    sdma: Sdma | None
    mesh: Mesh | None
