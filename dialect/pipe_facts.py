"""What a slot pipe's numbers mean and which may go together: directions, splits, defaults, the library's own period.

Source: pto-isa 3186c381, include/pto/common/fifo.hpp (Direction, TileSplitAxis) and include/pto/npu/{a2a3,a5}/TPush.hpp (TPipe).
"""

from collections.abc import Iterator
from typing import Any

C2V, V2C = 1, 2
"""Bits of dir_mask: cube to vector, vector to cube."""

DIRECTIONS = {C2V: "cube to vector", V2C: "vector to cube", C2V | V2C: "both directions"}

SPLITS = {0: "TILE_NO_SPLIT", 1: "TILE_UP_DOWN", 2: "TILE_LEFT_RIGHT"}
SPLIT_NAMES = {0: "none", 1: "up_down", 2: "left_right"}

MAX_SLOTS = 15
"""Slots of a pipe: ready signals that may be raised before the consumer waits; cross-core flags count to 15."""

PRODUCING = ("alloc", "push")
"""Roles of the side that fills slots; the others, "pop" and "free", are the consumer's."""

CONSUMER_LOCATIONS = {C2V: "vec", V2C: "mat"}
"""Direction to where its consumer keeps what it pops."""


def library_period(slots: int) -> int:
    """Slots per acknowledgement as the library derives it from the slot count.  Source: TPush.hpp (SyncPeriod)."""
    return slots if slots <= 2 else slots // 2


def with_defaults(facts: dict[str, Any], arch: str) -> dict[str, Any]:
    """A pipe's facts with what may be left out: 8 slots, 4 in both directions; local slots as many, on a5 2; the library's period."""
    slots = facts.get("slot_num", 4 if facts["dir_mask"] == C2V | V2C else 8)
    local = 2 if arch == "a5" else slots
    return {"slot_num": slots, "local_slot_num": min(local, slots), "sync_period": library_period(slots), **facts}


def flags_of(dir_mask: int) -> int:
    """Cross-core flags that a pipe takes: ready and free, for each direction."""
    return 2 * bin(dir_mask).count("1")


def core_of(direction: int, role: str) -> str:
    """The kind of core that an op of this role stands on."""
    return "cube" if (direction == C2V) == (role in PRODUCING) else "vector"


def halved(shape: tuple[int | None, ...], split: int) -> tuple[int | None, ...]:
    """What one vector core has of an entry."""
    axis = split - 1
    return tuple(n // 2 if k == axis and n is not None else n for k, n in enumerate(shape))


def doubled(shape: tuple[int | None, ...], split: int) -> tuple[int | None, ...]:
    """The entry that a vector core has half of."""
    axis = split - 1
    return tuple(2 * n if k == axis and n is not None else n for k, n in enumerate(shape))


def missing_or_wrong(facts: dict[str, Any], *needed: str) -> Iterator[str]:
    """Rules of a pipe's facts: the needed ones are there, the direction is one, counts are at least 1 and fit each other."""
    for key in needed:
        if key not in facts:
            yield f"'{key}' is missing"
            return
    if facts["dir_mask"] not in DIRECTIONS:
        yield f"dir_mask must be 1 (cube to vector), 2 (vector to cube) or 3 (both); got {facts['dir_mask']}"
        return
    counts = ("slot_size", "slot_num", "local_slot_num", "sync_period")
    wrong = [key for key in counts if facts.get(key, 1) < 1]
    yield from (f"{key} must be at least 1; got {facts[key]}" for key in wrong)
    if not 0 <= facts.get("flag_base", 0) < 16:
        yield f"flag_base must be 0 to 15; got {facts['flag_base']}"
    if not wrong:
        yield from wrong_counts(with_defaults(facts, ""))


def wrong_counts(facts: dict[str, Any]) -> Iterator[str]:
    """Rules of a pipe's counts, defaults filled in."""
    slots, period, local = facts["slot_num"], facts["sync_period"], facts["local_slot_num"]
    if slots > MAX_SLOTS:
        yield f"slot_num must be at most {MAX_SLOTS} (the counters of cross-core flags); got {slots}"
    if slots % period:
        yield f"sync_period must divide slot_num; got {period} and {slots}: leave it out for the library's own, {library_period(slots)}"
    if local > slots:
        yield f"local_slot_num must be at most slot_num; got {local} and {slots}"
