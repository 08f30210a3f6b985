"""What a task must wait for: which earlier tasks read or wrote what it reads and writes (a map from tensors to their last accesses).

A read waits for the writes that it overlaps, a write for the writes and reads that it overlaps.  Regions are boxes of a tensor's elements; two
overlap if they do along every axis.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptoc.dialect.errors import ArgumentError


@dataclass(frozen=True)
class Region:
    """A box of a tensor's elements.  `span`: (first, end) along each axis of the tensor; `array`: a numpy view of it."""

    tensor: str
    span: tuple[tuple[int, int], ...]
    array: np.ndarray = field(compare=False)
    axes: tuple[int, ...] = ()
    """Axes of the tensor that the region still has: an integer index takes one away."""

    @staticmethod
    def whole(name: str, array: np.ndarray) -> "Region":
        """All of a tensor."""
        return Region(name, tuple((0, n) for n in array.shape), array, tuple(range(array.ndim)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self.array.shape

    @property
    def contiguous(self) -> bool:
        """Whether its elements lie in one piece, as kernels take their tensors."""
        return bool(self.array.flags.c_contiguous)

    def __str__(self) -> str:
        return f"{self.tensor}[{', '.join(f'{a}:{b}' for a, b in self.span)}]"

    def __getitem__(self, key: Any) -> "Region":
        """A part: integers and slices without a step.  Raises: ArgumentError."""
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > len(self.axes):
            raise ArgumentError(f"{self}: {len(keys)} indices for {len(self.axes)} axes")
        span, axes = list(self.span), []
        for axis, one in zip(self.axes, (*keys, *[slice(None)] * (len(self.axes) - len(keys)))):
            first, end = span[axis]
            if isinstance(one, slice):
                a, b = 0 if one.start is None else one.start, end - first if one.stop is None else one.stop
                axes.append(axis)
            else:
                a, b = one, one + 1
            if (isinstance(one, slice) and one.step is not None) or not 0 <= a < b <= end - first:
                raise ArgumentError(f"{self}: a part lies inside it and has no step; got {one}")
            span[axis] = (first + int(a), first + int(b))
        return Region(self.tensor, tuple(span), self.array[key], tuple(axes))

    def overlaps(self, other: "Region") -> bool:
        """Whether they have an element in common."""
        return self.tensor == other.tensor and all(a < d and c < b for (a, b), (c, d) in zip(self.span, other.span))

    def covers(self, other: "Region") -> bool:
        """Whether all elements of the other one are its own."""
        return self.tensor == other.tensor and all(a <= c and d <= b for (a, b), (c, d) in zip(self.span, other.span))


@dataclass
class _Accesses:
    """Of one tensor: reads and writes, as (task, region), that a later task may have to wait for, and every box that was read."""

    reads: list[tuple[int, Region]] = field(default_factory=list)
    writes: list[tuple[int, Region]] = field(default_factory=list)
    spans: set[tuple[tuple[int, int], ...]] = field(default_factory=set)


class Dependences:
    """The map: of each tensor the accesses that a later task may have to wait for."""

    def __init__(self) -> None:
        self._of: dict[str, _Accesses] = {}

    def touched(self, region: Region) -> bool:
        """Whether a task has read this very region, or written any of it."""
        return self.written(region) or region.span in self._accesses(region).spans

    def written(self, region: Region) -> bool:
        """Whether a task has written any of it."""
        return any(written.overlaps(region) for _, written in self._accesses(region).writes)

    def add(self, task: int, reads: list[Region], writes: list[Region]) -> tuple[int, ...]:
        """The tasks that one waits for, in order; from here on it is in the map."""
        after: set[int] = set()
        for region in (*reads, *writes):
            after |= {other for other, written in self._accesses(region).writes if written.overlaps(region)}
        for region in writes:
            after |= {other for other, read in self._accesses(region).reads if read.overlaps(region)}
        for region in reads:
            known = self._accesses(region)
            known.reads.append((task, region))
            known.spans.add(region.span)
        for region in writes:
            known = self._accesses(region)
            known.reads = [(other, read) for other, read in known.reads if not region.covers(read)]
            known.writes = [*((other, written) for other, written in known.writes if not region.covers(written)), (task, region)]
        return tuple(sorted(after - {task}))

    def _accesses(self, region: Region) -> _Accesses:
        return self._of.setdefault(region.tensor, _Accesses())
