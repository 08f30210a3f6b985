"""hit_fractions(program, ...) = what part of each transfer from or to global memory finds its bytes in the L2, before anything is scheduled.

Time is not known yet: the transfers of all cores are merged as if every core went through its commands evenly.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ptoc.dialect.layout import DTYPES, ViewRef
from ptoc.machine import l2

from .program import Command, Program

GRANULE = 64 * 1024
"""Memories that a run writes and reads (rings, work spaces) are told apart in pieces of this size: what is read was stored in other shapes."""

NEGLIGIBLE = 1 / 16
"""Of the capacity: a warm run whose memories are together smaller hits everywhere, to 1 / 256."""


def hit_fractions(program: Program, capacity: float, warm: bool, bypass: tuple[str, ...] = ()) -> Callable[[int, int], float] | None:
    """(stream, command) to the part of its bytes that hit, -1 for reads past the L2; None where all hit.

    capacity: bytes that the L2 keeps of streams; warm: the run follows one like it; bypass: names of tensors that are read past the L2.
    """
    if warm and not bypass and sum(program.memories.values()) < capacity * NEGLIGIBLE:
        return None
    past = {f"gm:{name}" for name in bypass}
    written = {ref.memory for stream in program.streams for command in stream.commands for ref, writes in _touched(command) if writes}
    read = {ref.memory for stream in program.streams for command in stream.commands for ref, writes in _touched(command) if not writes}
    shared = written & read
    numbers: dict[tuple, int] = {}
    places, keys, sizes, times = [], [], [], []
    around: dict[tuple[int, int], float] = {}
    for number, stream in enumerate(program.streams):
        count = len(stream.commands)
        for index, command in enumerate(stream.commands):
            for ref, _ in _touched(command):
                if ref.memory in past:
                    around[number, index] = -1.0
                    continue
                start = ref.offset * DTYPES[ref.dtype].bytes
                key = (ref.memory, start // GRANULE, -1) if ref.memory in shared else (ref.memory, start, ref.shape)
                places.append((number, index))
                keys.append(numbers.setdefault(key, len(numbers)))
                sizes.append(_bytes(ref))
                times.append((index + 0.5) / count)
    if not places:
        return (lambda number, index: around.get((number, index), 1.0)) if around else None
    order, weights = np.argsort(np.array(times), kind="stable"), np.array(sizes)
    distances = np.empty(len(order))
    distances[order] = l2.reuse_distances(np.array(keys)[order], weights[order], warm)
    fractions = l2.hit_fractions(distances, np.array(keys), weights, capacity)
    found = dict(zip(places, fractions.tolist())) | around
    return lambda number, index: found.get((number, index), 1.0)


def _touched(command: Command) -> Iterator[tuple[ViewRef, bool]]:
    """Regions of global memory that a command's work moves, and whether it writes them."""
    if command.work:
        for name, value in command.operands:
            if type(value) is ViewRef and value.memory.startswith("gm:"):
                yield value, name in command.writes


def _bytes(ref: ViewRef) -> int:
    size = DTYPES[ref.dtype].bytes
    for extent in ref.shape:
        size *= extent
    return size
