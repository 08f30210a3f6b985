"""Re-use distances against a plain count of different bytes, and the law of hits."""

import numpy as np
import pytest

from ptoc.machine.l2 import hit_fractions, reuse_distances


def plain(keys, sizes, warm):
    """Mean over all windows as long as the gap of the different bytes in them, by walking the ring of accesses byte by byte."""
    ring = [k for k, size in zip(keys, sizes) for _ in range(size)]
    size_of = dict(zip(keys, sizes))
    traffic, starts = len(ring), np.concatenate([[0], np.cumsum(sizes)])[:-1]
    result, last = [], {}
    previous = {k: s - traffic for k, s in zip(keys, starts)}
    for key, start in zip(keys, starts):
        gap = start - last.get(key, previous[key])
        if key not in last and not warm:
            result.append(np.inf)
        else:
            # Every access of every key, as a point in time; a key counts in a window if one of its points lies in it.
            points = {k: [s for kk, s in zip(keys, starts) if kk == k] for k in size_of}
            total = 0.0
            for at in range(traffic):
                inside = {k for k, ps in points.items() if any(at <= p < at + gap or at <= p + traffic < at + gap for p in ps)}
                total += sum(size_of[k] for k in inside)
            result.append(total / traffic)
        last[key] = start
    return result


@pytest.mark.parametrize("warm", [True, False])
def test_distances_are_mean_footprints(warm):
    keys = np.array([0, 1, 2, 0, 1, 1, 3, 0])
    sizes = np.array([3, 2, 4, 3, 2, 2, 1, 3])
    assert reuse_distances(keys, sizes, warm) == pytest.approx(plain(keys.tolist(), sizes.tolist(), warm))


def test_a_ring_of_accesses_is_as_far_as_it_is_long():
    keys = np.tile(np.arange(10), 3)
    distances = reuse_distances(keys, np.full(30, 100), warm=True)
    assert distances == pytest.approx(np.full(30, 1000.0))
    cold = reuse_distances(keys, np.full(30, 100), warm=False)
    assert np.isinf(cold[:10]).all()
    assert cold[10:] == pytest.approx(1000.0)


def test_hits_fall_with_the_square_of_the_distance():
    keys = np.arange(4)
    found = hit_fractions(np.array([0.0, 500.0, 1000.0, np.inf]), keys, np.ones(4), capacity=1000)
    assert found.tolist() == [1.0, 0.75, 0.0, 0.0]


def test_accesses_to_the_same_bytes_share_their_misses():
    found = hit_fractions(np.array([np.inf, 0.0, 0.0, 0.0]), np.array([7, 7, 7, 7]), np.ones(4), capacity=1000)
    assert found.tolist() == [0.75] * 4
