"""Loads, stores and moves against scalar loops written from the ISA's text."""

import math

import ml_dtypes
import numpy as np
import pytest

from ptoc.dialect.fixpipe import control_word

from .op_cases import Case, copies, moves
from .op_instances import class_of


def plain(case: Case) -> dict[str, str]:
    """The case's attributes as an op sees them."""
    return {name: value.split()[-1] if isinstance(value, str) else value for name, value in case.attributes.items()}


def position(shape: tuple[int, ...], i: int, j: int, cols: int) -> int:
    """Flat index in a dense view of element (i, j) of the tile."""
    d = (1,) * (5 - len(shape)) + shape
    if d[4] == cols:  # nd
        return i * cols + j
    i2, i3 = divmod(i, d[3])  # nz: the columns are cut into groups of d[4]
    outer, i4 = divmod(j, d[4])
    return (outer * d[2] + i2) * d[3] * d[4] + i3 * d[4] + i4


def kept(value: float, dtype: np.dtype, word: int | None, per_column: bool, rectify: bool) -> float:
    """One accumulator value as FIXP stores it, in Python numbers."""
    if word is None:
        value = max(value, 0) if rectify else value
        return float(np.array(value).astype(dtype))
    bits = word & (0xFFFFE000 if per_column else 0xFFFFFFFF)
    mantissa, exponent = bits & 0x7FFFFF, bits >> 23 & 0xFF
    factor = (1 + mantissa / 2**23) * 2.0 ** (exponent - 127)
    scaled = float(np.float32(float(np.float32(value)) * factor))
    if dtype.kind in "iu":
        low, high = (-128, 127) if word >> 46 & 1 else (0, 255)
        scaled = min(max(round_even(float(np.float32(scaled + (word >> 37 & 0x1FF)))), low), high)
    else:
        scaled = min(max(scaled, -65504.0), 65504.0)
    scaled = max(scaled, 0) if rectify else scaled
    return float(np.array(scaled).astype(dtype))


def round_even(value: float) -> float:
    """To the nearest integer, halves to even."""
    return float(round(value)) if math.isfinite(value) else value


@pytest.mark.parametrize("case", [c for c in moves.CASES if c.op == "pto.tload"], ids=str)
def test_a_load_brings_every_element_to_its_place(case: Case) -> None:
    values = case.values()
    got = class_of(case).evaluate(values, {})["dst"]
    flat = values["src"].ravel()
    rows, cols = values["dst"].shape
    for i in range(rows):
        for j in range(cols):
            assert got[i, j] == flat[position(values["src"].shape, i, j, cols)]


@pytest.mark.parametrize("case", [c for c in moves.CASES if "tstore" in c.op], ids=str)
def test_a_store_brings_every_element_to_its_place_converted(case: Case) -> None:
    values, attributes = case.values(), plain(case)
    before = values["dst"].ravel().copy()
    got = class_of(case).evaluate(values, attributes)["dst"]
    assert got.shape == values["dst"].shape
    assert got.dtype == values["dst"].dtype
    src, flat = values["src"], got.ravel()
    rectify = attributes.get("reluPreMode") == "normal_relu"
    for i in range(src.shape[0]):
        for j in range(src.shape[1]):
            at = position(got.shape, i, j, src.shape[1])
            word = int(values["fp"][0, j]) if "fp" in values else values.get("pre_quant_scalar")
            expected = kept(src[i, j].item(), got.dtype, word, "fp" in values, rectify)
            if attributes.get("atomicType") == "atomic_add":
                expected = float(np.array(float(before[at]) + expected).astype(got.dtype))
            assert float(flat[at]) == expected


@pytest.mark.parametrize("case", copies.CASES, ids=str)
def test_a_move_keeps_every_element_of_its_window(case: Case) -> None:
    values, attributes = case.values(), plain(case)
    src, before = values["src"], values["dst"].copy()
    got = class_of(case).evaluate(values, attributes)["dst"]
    assert got.shape == before.shape
    assert got.dtype == before.dtype
    row, col = values.get("index_row", 0), values.get("index_col", 0)
    inserts = case.op.startswith("pto.tinsert")
    rectify = attributes.get("reluPreMode") == "normal_relu"
    for i in range(before.shape[0]):
        for j in range(before.shape[1]):
            r, c = (i - row, j - col) if inserts else (i + row, j + col)
            if inserts and not (0 <= r < src.shape[0] and 0 <= c < src.shape[1]):
                assert got[i, j] == before[i, j]
                continue
            word = int(values["fp"][0, c]) if "fp" in values else values.get("pre_quant_scalar")
            assert float(got[i, j]) == kept(src[r, c].item(), got.dtype, word, "fp" in values, rectify)


def test_a_dn_view_has_its_rows_in_the_fourth_dimension() -> None:
    load = class_of(moves.CASES[0])
    view = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 1, 1, 3, 5)
    got = load.evaluate({"src": view, "dst": np.zeros((3, 10), np.float32)}, {"layout": "dn"})["dst"]
    assert got.tolist() == [[*range(3 * 0 + 5 * i, 5 * i + 5), *range(15 + 5 * i, 15 + 5 * i + 5)] for i in range(3)]


def test_a_load_may_change_how_bits_are_read() -> None:
    """Elements need one size only: i16 bits of a bf16 tensor."""
    got = class_of(moves.CASES[0]).evaluate({"src": np.array([[1.0, -2.0]], ml_dtypes.bfloat16), "dst": np.zeros((1, 2), np.int16)}, {})["dst"]
    assert got.tolist() == [[0x3F80, -0x4000]]


@pytest.mark.parametrize(("value", "expected"), [(300.0, 127), (-300.0, -128), (2.5, 2), (3.5, 4), (-0.5, 0)])
def test_bytes_are_rounded_to_even_and_clamped(value: float, expected: int) -> None:
    case = next(c for c in moves.CASES if c.scalars)
    values = {"src": np.array([[value]], np.float32), "dst": np.zeros((1, 1), np.int8), "pre_quant_scalar": control_word(1.0)}
    assert class_of(case).evaluate(values, {})["dst"][0, 0] == expected
