"""Exact overlap of strided regions, against sets of bytes."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptoc.dialect.layout import Access, TileRef, ViewRef
from ptoc.simulator import overlap as overlap_module
from ptoc.simulator.overlap import any_overlap, overlap, shared_bytes, sharing_pairs, span

levels = st.lists(st.tuples(st.integers(1, 5), st.integers(-12, 40)), max_size=3).map(tuple)
accesses = st.builds(Access, st.just("ub"), st.integers(0, 120), levels, st.integers(1, 12))
columns = st.builds(Access, st.just("ub"), st.integers(0, 120), st.tuples(st.tuples(st.integers(1, 6), st.just(32))), st.integers(1, 40))


def bytes_of(access):
    places = {access.base}
    for count, stride in access.levels:
        places = {place + k * stride for place in places for k in range(count)}
    return {place + k for place in places for k in range(access.run)}


@settings(max_examples=500, deadline=None)
@given(st.one_of(accesses, columns), st.one_of(accesses, columns))
def test_overlap_is_a_shared_byte(one, two):
    shared = bytes_of(one) & bytes_of(two)
    assert overlap(one, two) == overlap(two, one) == bool(shared)
    assert span(one) == (min(bytes_of(one)), max(bytes_of(one)) + 1)
    if shared:
        low, high = shared_bytes((one,), (two,))
        assert low == min(shared)
        assert set(range(low, high)) <= shared


@pytest.mark.parametrize("limit", [0, 1 << 16])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(regions=st.lists(st.lists(st.one_of(accesses, columns), max_size=3).map(tuple), max_size=9))
def test_all_pairs_that_share_a_byte(limit, monkeypatch, regions):
    monkeypatch.setattr(overlap_module, "PAIRS_MAX", limit)
    places = [set().union(*map(bytes_of, region)) for region in regions]
    wanted = [(i, j) for i in range(len(regions)) for j in range(i + 1, len(regions)) if places[i] & places[j]]
    assert sharing_pairs(regions) == wanted
    monkeypatch.setattr(overlap_module, "RUNS_MAX", 0)
    assert sharing_pairs(regions) == wanted


def test_other_memories_do_not_overlap():
    assert not overlap(Access("ub", 0, (), 8), Access("l1", 0, (), 8))


def test_boxed_tiles():
    def part(row, col):
        return TileRef("l1", 0, "f16", 64, 64, "col_major", "row_major", 512, row, col, 32, 32).accesses()

    assert any_overlap(part(0, 0), part(16, 16))
    assert not any_overlap(part(0, 0), part(32, 0))
    assert not any_overlap(part(0, 0), part(0, 32))


def test_shared_bytes_of_many_runs():
    tall = ViewRef("gm:x", 0, "f16", (3000, 1), (64, 1)).accesses()
    tall_too = ViewRef("gm:x", 64 * 1000, "f16", (3000, 2), (64, 1)).accesses()
    assert shared_bytes(tall, tall_too) == (128000, 128002)
