"""Do two regions share a byte?  Exact on (count, stride) levels, quick where the shapes are alike."""

from functools import lru_cache
from math import gcd

import numpy as np

from ptoc.dialect.layout import Access

Shape = tuple[tuple[tuple[int, int], ...], int]  # levels, run


def span(access: Access) -> tuple[int, int]:
    """First byte and first byte after the last."""
    low, high = access.base, access.base + access.run
    for count, stride in access.levels:
        if stride < 0:
            low += (count - 1) * stride
        else:
            high += (count - 1) * stride
    return low, high


def overlap(first: Access, second: Access) -> bool:
    """True if they share a byte of one memory."""
    if first.memory != second.memory:
        return False
    (low, high), (other_low, other_high) = span(first), span(second)
    if high <= other_low or other_high <= low:
        return False
    if not first.levels and not second.levels:
        return True
    return _meet((first.levels, first.run), (second.levels, second.run), second.base - first.base)


def any_overlap(first: tuple[Access, ...], second: tuple[Access, ...]) -> bool:
    """True if any two of them share a byte."""
    return any(overlap(a, b) for a in first for b in second)


def shared_bytes(first: tuple[Access, ...], second: tuple[Access, ...]) -> tuple[int, int]:
    """First byte that two regions share, and the first byte after the run of shared bytes that begins there."""
    best: tuple[int, int] | None = None
    for a in first:
        for b in second:
            if not overlap(a, b):
                continue
            starts, others = _starts((a.levels, a.run)) + a.base, _starts((b.levels, b.run)) + b.base
            low = np.maximum(starts[:, None], others[None, :]) if starts.size * others.size <= 1 << 20 else None
            if low is None:
                found = _first_meeting(starts, a.run, others, b.run)
            else:
                high = np.minimum(starts[:, None] + a.run, others[None, :] + b.run)
                at = int(np.argmin(np.where(low < high, low, np.iinfo(np.int64).max)))
                found = int(low.flat[at]), int(high.flat[at])
            best = found if best is None or found < best else best
    assert best is not None
    return best


def _first_meeting(starts: np.ndarray, run: int, others: np.ndarray, other_run: int) -> tuple[int, int]:
    after = np.searchsorted(others, starts - other_run, side="right")
    hits = np.flatnonzero((after < others.size) & (others[np.minimum(after, others.size - 1)] < starts + run))
    one, two = int(starts[hits[0]]), int(others[after[hits[0]]])
    return max(one, two), min(one + run, two + other_run)


@lru_cache(maxsize=1 << 16)
def _meet(first: Shape, second: Shape, distance: int) -> bool:
    """Does `second`, `distance` bytes after `first`, share a byte with it?"""
    (levels, run), (others, other_run) = first, second
    levels, others = (tuple(level for level in part if level[0] > 1 and level[1]) for part in (levels, others))
    step = gcd(*(stride for _, stride in levels), *(stride for _, stride in others))
    if step:
        inside = distance % step
        if inside >= run and inside + other_run <= step:
            return False
    if len(levels) <= 1 and len(others) <= 1:
        (count, stride), (other_count, other_stride) = (levels or ((1, 0),))[0], (others or ((1, 0),))[0]
        stride, other_stride = stride or other_stride or 1, other_stride or stride or 1
        if stride == other_stride and stride > 0:
            return _meet_equal(count, run, other_count, other_run, stride, distance)
    starts, others_at = _starts(first), _starts(second) + distance
    after = np.searchsorted(others_at, starts - other_run, side="right")
    inside_range = after < others_at.size
    return bool(np.any(others_at[after[inside_range]] < starts[inside_range] + run))


def _meet_equal(count: int, run: int, other_count: int, other_run: int, stride: int, distance: int) -> bool:
    """Runs at k * stride, k < count, and at distance + j * stride: is there d = j - k with -other_run < distance + d * stride < run?"""
    least = -((distance + other_run - 1) // stride)
    most = (run - 1 - distance) // stride
    return max(least, 1 - count) <= min(most, other_count - 1)


@lru_cache(maxsize=4096)
def _starts(shape: Shape) -> np.ndarray:
    """Sorted first bytes of the runs, relative to the base."""
    starts = np.zeros(1, np.int64)
    for count, stride in shape[0]:
        starts = (starts[:, None] + np.arange(count) * stride).reshape(-1)
    starts = np.unique(starts)
    starts.flags.writeable = False
    return starts
