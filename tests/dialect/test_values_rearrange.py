"""Padding, transposing, sorting, gathers, scatters and scalar accesses against scalar loops written from the ISA's text."""

import math
import struct
from types import ModuleType

import numpy as np
import pytest

from .op_cases import Case, gather, rearrange, sorting
from .op_instances import class_of


def plain(case: Case) -> dict[str, object]:
    """The case's attributes as an op sees them."""
    return {name: value.split()[-1] if isinstance(value, str) else value for name, value in case.attributes.items()}


def evaluated(case: Case) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The operands and the results of a case."""
    values = case.values()
    result = class_of(case).evaluate(case.values(), plain(case))
    for name, array in result.items():
        assert array.shape == values[name].shape
        assert array.dtype == values[name].dtype
    return values, result


def of(module: ModuleType, *ops: str) -> list[Case]:
    """The cases of some ops."""
    return [case for case in (*module.CASES, *getattr(module, "LOCAL_CASES", ())) if case.op.removeprefix("pto.") in ops]


PADS = {
    "f32": {1: 0.0, 2: math.inf, 3: -math.inf},
    "f16": {1: 0.0, 2: math.inf, 3: -math.inf},
    "bf16": {1: 0.0, 2: math.inf, 3: -math.inf},
    "i32": {1: 0, 2: 2**31 - 1, 3: -(2**31)},
    "i8": {1: 0, 2: 127, 3: -128},
}


@pytest.mark.parametrize("case", of(rearrange, "tfillpad", "tfillpad_inplace", "tfillpad_expand"), ids=str)
def test_padding_fills_behind_the_valid_part(case: Case) -> None:
    values, result = evaluated(case)
    src, got = values["src"], result["dst"]
    dst = case.types()["dst"]
    for i in range(got.shape[0]):
        for j in range(got.shape[1]):
            inside = i < src.shape[0] and j < src.shape[1]
            assert float(got[i, j]) == (float(src[i, j]) if inside else PADS[dst.dtype.name][dst.pad])


@pytest.mark.parametrize("case", of(rearrange, "ttrans"), ids=str)
def test_a_transpose_swaps_rows_and_columns(case: Case) -> None:
    values, result = evaluated(case)
    rows, cols = values["src"].shape
    for i in range(rows):
        for j in range(cols):
            assert result["dst"][j, i] == values["src"][i, j]


@pytest.mark.parametrize("case", of(rearrange, "tconcat"), ids=str)
def test_rows_are_joined(case: Case) -> None:
    values, result = evaluated(case)
    assert result["dst"].tolist() == [a + b for a, b in zip(values["src0"].tolist(), values["src1"].tolist())]


def pairs_of(row: np.ndarray) -> list[tuple[float, int]]:
    """Values and indices of a row of pairs of 8 bytes."""
    data, value = row.tobytes(), "<f" if row.dtype.itemsize == 4 else "<e"
    return [(struct.unpack_from(value, data, k)[0], struct.unpack_from("<I", data, k + 4)[0]) for k in range(0, len(data), 8)]


@pytest.mark.parametrize("case", of(sorting, "tsort32"), ids=str)
def test_blocks_of_32_are_sorted_with_their_indices(case: Case) -> None:
    values, result = evaluated(case)
    for i, row in enumerate(values["src"].tolist()):
        got = pairs_of(result["dst"][i])
        assert len(got) == len(row)
        for first in range(0, len(row), 32):
            left = list(zip(row[first : first + 32], values["idx"][i, first : first + 32].tolist()))
            for value, index in got[first : first + 32]:
                best = max(v for v, _ in left)
                assert (value, index) == (best, min(k for v, k in left if v == best))
                left.remove((value, index))


def merged(lists: list[list[tuple[float, int]]], early: bool) -> list[tuple[float, int]]:
    """Lists merged by looking at their heads; the first list wins among equals."""
    lists, result = [list(one) for one in lists], []
    while any(lists):
        best = max(one[0][0] for one in lists if one)
        source = next(one for one in lists if one and one[0][0] == best)
        result.append(source.pop(0))
        if early and not source:
            break
    return result


@pytest.mark.parametrize("case", of(sorting, "tmrgsort"), ids=str)
def test_sorted_lists_are_merged(case: Case) -> None:
    values, result = evaluated(case)
    got = pairs_of(result["dst"][0])
    if "block_len" in values:
        size = values["block_len"] * values["src0"].dtype.itemsize // 8
        source = pairs_of(values["src0"][0])
        expected = []
        for first in range(0, len(source), 4 * size):
            expected += merged([source[first + k * size : first + (k + 1) * size] for k in range(4)], False)
    else:
        lists = [pairs_of(values[f"src{k}"][0]) for k in range(4) if f"src{k}" in values]
        expected = merged(lists, case.attributes["exhausted"])
        got = got[: len(expected)]
    assert got == expected


@pytest.mark.parametrize("case", of(sorting, "thistogram"), ids=str)
def test_a_histogram_counts_bytes_up_to_each(case: Case) -> None:
    values, result = evaluated(case)
    for i, row in enumerate(values["src"].tolist()):
        for bound in range(256):
            count = 0
            for x in row:
                if case.attributes["isMSB"]:
                    count += x // 256 <= bound
                else:
                    count += x // 256 == values["idx"][i, 0] and x % 256 <= bound
            assert result["dst"][i, bound] == count


@pytest.mark.parametrize("case", [c for c in of(gather, "tgather") if "indices" in c.tiles], ids=str)
def test_a_gather_by_index_counts_the_storage_row_by_row(case: Case) -> None:
    values, result = evaluated(case)
    flat = values["src"].ravel()
    for i in range(result["dst"].shape[0]):
        for j in range(result["dst"].shape[1]):
            k = int(values["indices"][i, j])
            assert result["dst"][i, j] == (flat[k] if k < flat.size else 0)


@pytest.mark.parametrize("case", [c for c in of(gather, "tgather") if "maskPattern" in c.attributes], ids=str)
def test_a_gather_by_pattern_packs_the_chosen_columns(case: Case) -> None:
    """The pattern is read from its right end: P0010 takes the second of every four."""
    values, result = evaluated(case)
    bits = str(plain(case)["maskPattern"])[1:][::-1]
    expected = [x for row in values["src"].tolist() for j, x in enumerate(row) if bits[j % len(bits)] == "1"]
    assert result["dst"].ravel().tolist() == expected


@pytest.mark.parametrize("case", [c for c in of(gather, "tgather") if "cdst" in c.tiles], ids=str)
def test_a_gather_by_comparison_lists_indices_and_counts(case: Case) -> None:
    values, result = evaluated(case)
    for i, row in enumerate(values["src"].tolist()):
        found = [100 + i * 64 + j for j, x in enumerate(row) if (x == 2.0 if plain(case)["cmpMode"] == "eq" else x > 2.0)]
        assert result["dst"][i, : len(found)].tolist() == found
        assert result["cdst"][0, i] == len(found)


@pytest.mark.parametrize("case", of(gather, "tgatherb"), ids=str)
def test_a_block_gather_takes_32_bytes_at_each_offset(case: Case) -> None:
    values, result = evaluated(case)
    data, line = values["src"].tobytes(), result["dst"].shape[1] * result["dst"].dtype.itemsize // 32
    for i in range(result["dst"].shape[0]):
        expected = b"".join(data[k : k + 32] for k in values["offsets"][i, :line].tolist())
        assert result["dst"][i].tobytes() == expected


@pytest.mark.parametrize("case", of(gather, "tscatter"), ids=str)
def test_a_scatter_clears_and_then_places_in_order(case: Case) -> None:
    values, result = evaluated(case)
    expected = [0.0] * result["dst"].size
    rows, cols = values["indexes"].shape
    for i in range(rows):
        for j in range(cols):
            expected[int(values["indexes"][i, j])] = values["src"][i, j].item()
    assert result["dst"].ravel().tolist() == expected


def fitted(index: int, capacity: int, mode: str) -> int | None:
    """An index after its out-of-bounds mode; None where nothing is to be moved."""
    if mode == "clamp":
        return min(index, capacity - 1)
    if mode == "wrap":
        return index % capacity
    return index if index < capacity else None


@pytest.mark.parametrize("case", of(gather, "mgather"), ids=str)
def test_memory_is_gathered_by_element_or_row(case: Case) -> None:
    values, result = evaluated(case)
    mem, idx, mode = values["mem"], values["idx"], str(plain(case).get("gatherOob", "undefined"))
    for i in range(result["dst"].shape[0]):
        for j in range(result["dst"].shape[1]):
            if idx.shape == result["dst"].shape:
                k = fitted(int(idx[i, j]), mem.size, mode)
                expected = 0 if k is None else mem[k // 64, k % 64]
            else:
                expected = mem[idx[0, i], j]
            assert result["dst"][i, j] == expected


@pytest.mark.parametrize("case", of(gather, "mscatter"), ids=str)
def test_memory_is_scattered_by_element_or_row(case: Case) -> None:
    values, result = evaluated(case)
    expected, src, idx = values["mem"].copy(), values["src"], values["idx"]
    mode, combine = str(plain(case).get("scatterOob", "undefined")), str(plain(case).get("scatterAtomicOp", "none"))
    for i in range(src.shape[0]):
        for j in range(src.shape[1]):
            k = idx[0, i] * 64 + j if idx.shape != src.shape else fitted(int(idx[i, j]), expected.size, mode)
            if k is None:
                continue
            there, new = expected[k // 64, k % 64], src[i, j]
            expected[k // 64, k % 64] = {"none": new, "add": there + new, "max": max(there, new), "min": min(there, new)}[combine]
    assert result["mem"].tolist() == expected.tolist()


def test_one_element_of_a_tile_is_set_and_read_back() -> None:
    case = Case("pto.tsetval", {"dst": "vec, 4x8xf32"}, {"offset": 13, "val": 2.5})
    values, result = evaluated(case)
    got = result["dst"].ravel()
    assert got[13] == 2.5
    assert [got[k] for k in range(32) if k != 13] == [values["dst"].ravel()[k] for k in range(32) if k != 13]
    assert class_of(Case("pto.tgetval", {})).evaluate({"src": result["dst"], "offset": 13}, {})["dst"] == 2.5


def test_one_element_of_memory_is_stored_and_loaded() -> None:
    store, load = (class_of(Case(f"pto.{op}", {})) for op in ("store_scalar", "load_scalar"))
    stored = store.evaluate({"ptr": np.zeros(4, np.int32), "offset": 2, "value": 7}, {})["ptr"]
    assert stored.tolist() == [0, 0, 7, 0]
    assert load.evaluate({"ptr": stored, "offset": 2}, {})["value"] == 7


def test_a_prefetch_leaves_its_room_as_it_is() -> None:
    case = Case("pto.tprefetch", {"src": "gm, 4x8xf32", "dst": "vec, 4x8xf32"})
    values, result = evaluated(case)
    assert result["dst"].tolist() == values["dst"].tolist()
