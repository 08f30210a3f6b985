"""What of a run's transfers finds its bytes in the L2: hit fractions from re-use distances.

A distance is the number of different bytes that all cores touch between two accesses to the same bytes.  The L2 is described by one
fitted capacity: hit = 1 - (distance / capacity)^2, 0 from the capacity on.  Source of the law: streams over 8, 32, 128 and 470 MB
(huawei-csl/npu-skillyard fdd49bf, platform_model.md): their re-reads slow down long before 192 MB and are misses beyond.
"""

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .chip import Chip

STEPS = 64
"""Hit fractions are multiples of 1 / STEPS, so that alike transfers share a price."""


def reuse_distances(keys: np.ndarray, sizes: np.ndarray, warm: bool, whole: float | None = None) -> np.ndarray:
    """Different bytes touched since the last access to the same key, by access; infinite for a first access unless `warm`.

    keys: what is accessed, in the order of time; sizes: bytes.  warm: the same accesses were made once before.  The number of different
    bytes in a window of w bytes of traffic is its mean over all windows: sum(size * min(gap, w)) / traffic, over the gaps between
    accesses to equal keys around the ring of one run after the other.  `whole`: where the accesses are the first part of a longer run,
    the bytes that all of it touches, which is how long ago a key's first access was preceded by one.
    """
    before = np.concatenate([[0], np.cumsum(sizes, dtype=np.float64)])[:-1]
    traffic = float(sizes.sum())
    order = np.argsort(keys, kind="stable")
    first = np.ones(len(keys), bool)
    first[1:] = keys[order][1:] != keys[order][:-1]
    last = np.flatnonzero(np.append(first[1:], True))
    at = before[order]
    gaps = np.empty(len(keys))
    gaps[1:] = at[1:] - at[:-1]
    gaps[first] = at[first] + traffic - at[last]
    ordered, weight = np.argsort(gaps), sizes[order].astype(np.float64)
    rising, heavy = gaps[ordered], weight[ordered]
    below = np.concatenate([[0.0], np.cumsum(heavy * rising)])
    above = weight.sum() - np.concatenate([[0.0], np.cumsum(heavy)])
    at_most = np.searchsorted(rising, gaps, side="right")
    touched = (below[at_most] + gaps * above[at_most]) / traffic
    if not warm or whole is not None:
        touched[first] = np.inf if not warm else whole
    distances = np.empty(len(keys))
    distances[order] = touched
    return distances


def hit_fractions(distances: np.ndarray, keys: np.ndarray, sizes: np.ndarray, capacity: float) -> np.ndarray:
    """The law, in multiples of 1 / STEPS; the mean over all accesses to the same bytes, since cores that want them together wait together."""
    fractions = np.clip(1 - np.square(np.minimum(distances / capacity, 1.0)), 0, 1)
    hits, whole = np.bincount(keys, fractions * sizes), np.bincount(keys, sizes)
    return np.round(hits / np.maximum(whole, 1) * STEPS)[keys] / STEPS


def crowding_of(chip: "Chip", bytes_moved: int, busiest_fs: int) -> Fraction:
    """How much longer each transfer takes where `bytes_moved` pass the L2, reads and writes, while its busiest engine works `busiest_fs`.

    f = 1 + crowding * load / mixed, the load being what is left of the offered one when everything takes f times as long; a multiple of 1/64.
    Source of the law: attention on 1, 8 and 24 cores and matrix products on 24 (docs/fidelity.md).
    """
    if not busiest_fs:
        return Fraction(1)
    offered = bytes_moved / busiest_fs * 1e6 / float(chip.number("shared.l2_mixed"))
    factor = (1 + math.sqrt(1 + 4 * float(chip.number("shared.crowding")) * offered)) / 2
    return Fraction(round(factor * 64), 64)
