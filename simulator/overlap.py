"""Do two regions share a byte?  Exact on (count, stride) levels, quick where the shapes are alike."""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd, prod

import numpy as np

from ptoc.dialect.layout import Access

PAIRS_MAX = 1 << 16
"""Pairs of regions whose hulls overlap that are compared one by one; beyond, their runs are sorted."""

RUNS_MAX = 1 << 23

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


def sharing_pairs(regions: Sequence[tuple[Access, ...]]) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of regions of one memory that share a byte; ascending.  A region without accesses shares none."""
    hulls = np.array([hull(region) if region else (0, 0) for region in regions], np.int64).reshape(-1, 2)
    order = np.lexsort((hulls[:, 1], hulls[:, 0]))
    lows, highs = hulls[order].T
    first = np.arange(order.size) + 1
    candidates = np.maximum(np.searchsorted(lows, highs) - first, 0)
    found = _pairs_of_runs(regions) if candidates.sum() > PAIRS_MAX else None
    if found is not None:
        return found
    pairs = ((int(order[i]), int(order[k])) for i, count in enumerate(candidates) for k in range(i + 1, i + 1 + count))
    return sorted((min(pair), max(pair)) for pair in pairs if any_overlap(regions[pair[0]], regions[pair[1]]))


def hull(accesses: tuple[Access, ...]) -> tuple[int, int]:
    """First byte and first byte after the last of a region."""
    spans = [span(access) for access in accesses]
    return min(low for low, _ in spans), max(high for _, high in spans)


def _pairs_of_runs(regions: Sequence[tuple[Access, ...]]) -> list[tuple[int, int]] | None:
    """The same from a sorted list of all runs of bytes; None where that were too long."""
    sizes = [prod(count for count, _ in access.levels) for region in regions for access in region]
    if sum(sizes) > RUNS_MAX:
        return None
    parts = [(number, access) for number, region in enumerate(regions) for access in region]
    starts = np.concatenate([_starts((access.levels, access.run)) + access.base for _, access in parts])
    lengths = np.array([_starts((access.levels, access.run)).size for _, access in parts])
    ends = starts + np.repeat([access.run for _, access in parts], lengths)
    owners = np.repeat([number for number, _ in parts], lengths)
    order = np.argsort(starts, kind="stable")
    starts, ends, owners = starts[order], ends[order], owners[order]
    one = np.arange(starts.size - 1)
    two = one + 1
    found: set[int] = set()
    while one.size:
        meet = starts[two] < ends[one]
        one, two = one[meet], two[meet]
        a, b = owners[one], owners[two]
        keys = (np.minimum(a, b) * len(regions) + np.maximum(a, b))[a != b]
        found.update(np.unique(keys).tolist())
        two = two + 1
        inside = two < starts.size
        one, two = one[inside], two[inside]
    return [divmod(key, len(regions)) for key in sorted(found)]


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
