"""A command between its start and its completion: what it reads, its numpy meaning, what it will write."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.errors import BoundsError, PoisonError, SimulationError
from ptoc.dialect.layout import Ref

from .memory import Memories, Region
from .program import Command, Core, Site
from .registers import Register

Meaning = Callable[[dict[str, Any], dict[str, Any]], dict[str, np.ndarray]]
"""Arrays and numbers by operand name, and attributes, to the arrays of the written operands."""


class Running:
    """A command between its start and its completion: what it read, and the arrays that it will write.

    What an atomic command adds to is read when it commits, in one step with the write; its bytes are not poison in between.
    """

    __slots__ = ("_arrays", "_meaning", "_reads", "_values", "command", "core", "done", "writes")

    def __init__(self, core: Core, command: Command, memories: Memories, meanings: Mapping[str, Meaning]) -> None:
        """Reads the operands, evaluates the meaning, marks the written bytes.  Raises: PoisonError, BoundsError, SimulationError."""
        self.core, self.command, self.done = core, command, False
        site = command.site
        atomic = bool(site.attributes.get("atomic"))
        self.writes: list[tuple[str, Region]] = []
        registers: list[tuple[str, Register]] = []
        self._reads: list[tuple[str, Region]] = []
        self._values = values = {}
        for name, value in command.operands:
            if isinstance(value, (int, float)):
                values[name] = value
                continue
            if isinstance(value, Register):
                if name in command.writes:
                    registers.append((name, value))
                else:
                    values[name] = value.get()
                continue
            region = memories.region(core, value, site, name)
            if name in command.writes:
                self.writes.append((name, region))
            if name in command.reads and not (atomic and name in command.writes):
                values[name] = region.read(site, name)
                self._reads.append((name, region))
            else:
                values[name] = _meaningless(tuple(value.shape), value.dtype)
        self._meaning = _meaning(site, meanings) if self.writes or registers else None
        if registers:
            given = self._meaning(values, site.attributes)
            for name, register in registers:
                register.set(given[name])
        self._arrays = None
        if atomic:
            self.keep()
        elif self.writes:
            self._arrays = self._evaluate()
            for _, region in self.writes:
                region.begin()

    def keep(self) -> None:
        """Copies what was read, so that it stays when the memory changes."""
        for name, _ in self._reads:
            self._values[name] = self._values[name].copy()

    def read_again(self) -> None:
        """Reads all operands once more.  Raises: PoisonError where the bytes are no longer what they were when it started."""
        site = self.command.site
        for name, region in self._reads:
            now, before = region.read(site, name), self._values[name]
            if np.ascontiguousarray(now).tobytes() != before.tobytes():
                raise PoisonError(
                    f"'{site.op}' on {self.core}: operand '{name}' in {region.ref.memory} is overwritten while it may still be read: "
                    "order the writer after it (`ptoc check` names the missing order)",
                    site.location,
                )

    def commit(self, read_again: bool = False) -> None:
        """Makes the results readable; with `read_again` makes sure first that what was read is still there."""
        if self.done:
            return
        self.done = True
        atomic = self.writes and self._arrays is None
        if not atomic:
            for _, region in self.writes:
                region.end()
        if read_again:
            self.read_again()
        if atomic:
            for name, region in self.writes:
                if name in self.command.reads:
                    self._values[name] = region.read(self.command.site, name, unwritten_only=True)
            self._arrays = self._evaluate()
        for name, region in self.writes:
            region.commit(self._arrays[name])

    def _evaluate(self) -> dict[str, np.ndarray]:
        site = self.command.site
        try:
            arrays = self._meaning(self._values, site.attributes)
        except BoundsError as error:  # a meaning knows no line
            raise BoundsError(str(error), site.location) from None
        return {name: _checked(site, name, region.ref, arrays) for name, region in self.writes}


def _meaning(site: Site, meanings: Mapping[str, Meaning]) -> Meaning:
    meaning = meanings.get(site.op)
    if meaning is None:
        raise SimulationError(f"'{site.op}' has no numpy meaning: state one on its op, or run without values", site.location)
    return meaning


def _checked(site: Site, name: str, ref: Ref, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The array that a meaning returned for an operand, not sharing memory with what it read."""
    array = arrays.get(name)
    dtype = DTYPES[ref.dtype].numpy
    if not isinstance(array, np.ndarray) or array.shape != tuple(ref.shape) or array.dtype != dtype:
        got = f"{'x'.join(map(str, array.shape))} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        want = f"{'x'.join(map(str, ref.shape))} {dtype}"
        raise SimulationError(f"the numpy meaning of '{site.op}' must return {want} for operand '{name}'; got {got}", site.location)
    return array if array.flags.owndata else array.copy()


@lru_cache(maxsize=1024)
def _meaningless(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A read-only array of noise: what an op sees of an operand that it only writes."""
    numpy_dtype = DTYPES[dtype].numpy
    return np.broadcast_to(np.frombuffer(b"\xa5" * numpy_dtype.itemsize, numpy_dtype)[0], shape)
