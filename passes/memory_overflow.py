"""What is said where tiles do not fit into a memory: the worst line, what is alive there, and what would fit."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ptoc.dialect.errors import CapacityError
from ptoc.dialect.op import location_of
from ptoc.dialect.types import Tile

from .address_packing import Block, load, pack
from .tile_liveness import Buffer

if TYPE_CHECKING:
    from .memory_plan import Plan


def overflow(plan: "Plan") -> CapacityError:
    """The error: the line where most bytes are alive, how many are missing, the map there, and changes that were tried and do fit."""
    bytes_at = load(plan.blocks)
    worst = max(bytes_at, key=lambda p: (bytes_at[p], -p))
    alive = [(b, k) for b, k in zip(plan.buffers, plan.blocks) if k.lo <= worst <= k.hi]
    missing = bytes_at[worst] - plan.capacity
    why = f"{missing} missing" if missing > 0 else "no placement around the given addresses and lifetimes fits"
    lines = [
        f"'{plan.func}': {plan.memory} overflows: tiles alive here take {bytes_at[worst]} bytes of {plan.capacity} ({why})",
        f"memory map of {plan.memory} here (address, size, tile, line):",
        *table(*map(list, zip(*alive))),
        f"what would fit: {'; or '.join(_advice(plan, [b for b, _ in alive])) or _share(plan, bytes_at[worst])}",
    ]
    ops = plan.live.ops
    where = location_of(ops[worst]) if 0 <= worst < len(ops) else ""
    return CapacityError("\n".join(lines), where or alive[0][0].location)


def table(buffers: list[Buffer], blocks: list[Block]) -> list[str]:
    """Rows of a memory map, by address; buffers without one come last."""
    rows = sorted(zip(buffers, blocks), key=lambda row: (row[1].address is None, row[1].address or 0))
    return [f"  {'-' if block.address is None else block.address:>8}  {block.size:>8} bytes  {buffer.name}  {buffer.location}" for buffer, block in rows]


def _advice(plan: "Plan", alive: list[Buffer]) -> Iterator[str]:
    """Fewer slots of one multi tile, and slices of fewer rows of the largest tile and those of as many rows; each tried."""
    largest_first = sorted(alive, key=lambda b: -b.size(plan.alignment))
    for buffer in largest_first:
        fits = next((n for n in range(buffer.slots - 1, 0, -1) if _fits(plan, {id(buffer): replace(buffer, slots=n)})), 0)
        if fits:
            yield f"{fits} slot{'s' if fits > 1 else ''} instead of {buffer.slots} for {buffer.name} ({buffer.location})"
            break
    for first in largest_first:
        same = [b for b in largest_first if b.type and first.type and b.type.rows == first.type.rows]
        for rows in _fewer(first.type.rows) if first.type else ():
            if _fits(plan, {id(b): replace(b, slot_bytes=_sliced(b.type, rows)) for b in same}):
                names = ", ".join(f"{b.name} ({b.location})" for b in same)
                yield f"slices of {rows} rows instead of {first.type.rows} for {names}"
                return


def _fewer(rows: int) -> list[int]:
    """Numbers of rows that share a tile of `rows` out evenly, largest first; whole fractals (16 rows) while there are."""
    divisors = [n for n in range(rows - 1, 0, -1) if rows % n == 0]
    return [n for n in divisors if n % 16 == 0 or rows % 16 or n < 16]


def _sliced(tile: Tile, rows: int) -> int:
    return tile.bytes // tile.rows * rows


def _fits(plan: "Plan", changed: dict[int, Buffer]) -> bool:
    """True where all buffers of the plan, some of them changed, have a place."""
    sizes = [changed.get(id(b), b).size(plan.alignment) for b in plan.buffers]
    blocks = [Block(size, k.lo, k.hi, k.address) for size, k in zip(sizes, plan.blocks)]
    return pack(blocks, plan.capacity, plan.alignment) is not None


def _share(plan: "Plan", total: int) -> str:
    return f"tiles of about {100 * plan.capacity // max(total, 1)} % of these sizes (fewer rows or columns in each)"
