"""Elementwise ops against scalar loops written from the ISA's text: Python numbers, exact, rounded once a step to the tile's type."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from .op_cases import Case, convert, elementwise
from .op_instances import class_of

UNITS_IN_LAST_PLACE = {"texp", "tlog", "tsqrt", "trsqrt"}
"""Ops that a library computes: one unit in the last place is allowed."""


def rounded(x: float | int, dtype: np.dtype) -> Any:
    """A number as the type holds it: floats to nearest even, integers modulo 2^bits."""
    if dtype.kind not in "iu":
        return float(np.float64(x).astype(np.float32 if dtype.itemsize == 2 and dtype.kind != "f" else np.float64).astype(dtype))
    bits = 8 * dtype.itemsize
    low = -(2 ** (bits - 1)) if dtype.kind == "i" else 0
    return (int(x) - low) % 2**bits + low


def divided(a: Any, b: Any) -> Any:
    """a / b; integers towards zero."""
    return a / b if isinstance(a, float) else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def truncated(a: Any, b: Any) -> Any:
    return float(Fraction(a) - math.trunc(Fraction(a) / Fraction(b)) * Fraction(b))


def floored(a: Any, b: Any) -> Any:
    """Exact, but for the sum of a remainder and the divider, which is rounded to f32."""
    return float(Fraction(a) - math.floor(Fraction(a) / Fraction(b)) * Fraction(b))


FORMULAS: dict[str, Callable[..., Any]] = {
    "tadd": lambda a, b: a + b,
    "tsub": lambda a, b: a - b,
    "tmul": lambda a, b: a * b,
    "tdiv": divided,
    "tmax": max,
    "tmin": min,
    "texp": math.exp,
    "tlog": math.log,
    "tsqrt": math.sqrt,
    "trsqrt": lambda x: 1 / math.sqrt(x),
    "trecip": lambda x: 1 / x,
    "tabs": abs,
    "tneg": lambda x: -x,
    "trelu": lambda x: max(x, 0),
    "tfmod": truncated,
    "tfmods": truncated,
    "trem": floored,
    "trems": floored,
    "tand": lambda a, b: a & b,
    "tor": lambda a, b: a | b,
    "txor": lambda a, b: a ^ b,
    "tnot": lambda x: ~x,
    "tshl": lambda a, b: a << b,
    "tshr": lambda a, b: a >> b,
}
"""Meaning of an op on two numbers; an op with a scalar is the one without its last letter."""

SIMPLE = [case for case in [*elementwise.CASES, *elementwise.ON_A3] if FORMULAS.get(case.op[4:], FORMULAS.get(case.op[4:].removesuffix("s")))]


def result_of(case: Case, values: dict[str, Any]) -> np.ndarray:
    """What the op writes to dst; its sources stay as they were."""
    before = {name: np.array(value, copy=True) for name, value in values.items()}
    cls = class_of(case)
    written = cls.evaluate(values, case.plain_attributes())
    assert set(written) == {n for n in cls.writes if n in values}
    for name in cls.reads:
        assert np.array_equal(before[name], values[name]), f"{name} was changed"
    assert written["dst"].shape == values["dst"].shape
    assert written["dst"].dtype == values["dst"].dtype
    return written["dst"]


def same(got: np.ndarray, expected: list[list[Any]], units: int = 0) -> None:
    """Equal bit for bit, or to some units in the last place."""
    wanted = np.array(expected, np.float64).astype(got.dtype) if got.dtype.kind not in "iu" else np.array(expected, got.dtype)
    if units:
        np.testing.assert_array_max_ulp(got, wanted, units)
    else:
        np.testing.assert_array_equal(got.astype(np.float64), wanted.astype(np.float64))


def table(case: Case, values: dict[str, Any], f: Callable[..., Any], *names: str) -> list[list[Any]]:
    """f over every element of dst; numbers are converted to dst's type first."""
    dtype, (rows, cols) = values["dst"].dtype, values["dst"].shape
    numbers = {n: rounded(values[n], dtype) for n in names if np.ndim(values[n]) == 0}
    arrays = {n: values[n].tolist() for n in names if n not in numbers}
    return [[rounded(f(*(numbers[n] if n in numbers else arrays[n][i][j] for n in names)), dtype) for j in range(cols)] for i in range(rows)]


@pytest.mark.parametrize("op", sorted({case.op[4:] for case in SIMPLE}))
def test_an_op_is_its_formula_on_every_element(op: str) -> None:
    formula = FORMULAS.get(op) or FORMULAS[op.removesuffix("s")]
    for case in (case for case in SIMPLE if case.op == f"pto.{op}"):
        values = case.values()
        names = [n for n in class_of(case).operand_names() if n not in ("dst", "tmp")]
        same(result_of(case, values), table(case, values, formula, *names), op in UNITS_IN_LAST_PLACE)


STEPS = {
    "taddc": ("src0", "src1", "src2", lambda a, b, c, r: r(a + b) + c),
    "tsubc": ("src0", "src1", "src2", lambda a, b, c, r: r(a - b) + c),
    "taddsc": ("src0", "scalar", "src1", lambda a, b, c, r: r(a + b) + c),
    "tsubsc": ("src0", "scalar", "src1", lambda a, b, c, r: r(a - b) + c),
    "tlrelu": ("src", "slope", lambda a, b, r: a if a > 0 else a * b),
    "tprelu": ("src0", "src1", lambda a, b, r: a if a > 0 else a * b),
}


@pytest.mark.parametrize("case", [case for case in elementwise.CASES if case.op[4:] in STEPS], ids=str)
def test_an_op_of_several_steps_rounds_after_each(case: Case) -> None:
    *names, f = STEPS[case.op[4:]]
    values = case.values()
    dtype = values["dst"].dtype
    same(result_of(case, values), table(case, values, lambda *x: f(*x, lambda y: rounded(y, dtype)), *names))


@pytest.mark.parametrize("case", [case for case in elementwise.CASES if case.op == "pto.taxpy"], ids=str)
def test_axpy_adds_a_scaled_tile_to_dst(case: Case) -> None:
    values = case.values()
    narrow, wide = values["src"].dtype, values["dst"].dtype
    scalar = rounded(values["scalar"], narrow)
    expected = [
        [rounded(y + rounded(x * scalar, narrow), wide) for x, y in zip(xs, ys)] for xs, ys in zip(values["src"].tolist(), values["dst"].tolist())
    ]
    same(class_of(case).evaluate(values, {})["dst"], expected)


HOLDS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


@pytest.mark.parametrize("case", elementwise.COMPARISONS, ids=str)
def test_a_comparison_packs_eight_columns_in_a_byte(case: Case) -> None:
    values = case.values()
    holds = HOLDS[case.attributes.get("cmpMode", "cmp eq").removeprefix("cmp ")]
    left = values["src0" if "src0" in values else "src"].tolist()
    right = values["src1"].tolist() if "src1" in values else [[values["scalar"]] * len(row) for row in left]
    expected = [[0] * values["dst"].shape[1] for _ in left]
    for i, row in enumerate(left):
        for j, x in enumerate(row):
            expected[i][j // 8] += holds(x, right[i][j]) << j % 8
    same(result_of(case, values), expected)


@pytest.mark.parametrize("case", [case for case in elementwise.SELECTIONS if "mask" in case.tiles], ids=str)
def test_a_selection_reads_one_bit_per_column(case: Case) -> None:
    values = case.values()
    one = values["src0" if "src0" in values else "src"].tolist()
    other = values["src1"].tolist() if "src1" in values else [[values["scalar"]] * len(row) for row in one]
    bits = values["mask"].tolist()
    same(result_of(case, values), [[(one if bits[i][j // 8] >> j % 8 & 1 else other)[i][j] for j in range(len(row))] for i, row in enumerate(one)])


@pytest.mark.parametrize("case", elementwise.FILLS, ids=str)
def test_a_fill_follows_its_rule(case: Case) -> None:
    values = case.values()
    rows, cols = values["dst"].shape
    if case.op == "pto.texpands":
        rule = lambda i, j: values["scalar"]  # noqa: E731
    elif case.op == "pto.tci":
        rule = lambda i, j: values["start"] + (-j if case.attributes.get("descending") else j)  # noqa: E731
    else:
        rule = lambda i, j: int(j >= i + values["diagonal"] if case.attributes["upperOrLower"] else j <= i + values["diagonal"])  # noqa: E731
    same(result_of(case, values), [[rule(i, j) for j in range(cols)] for i in range(rows)])


@pytest.mark.parametrize("case", elementwise.PARTIAL, ids=str)
def test_a_partial_op_takes_the_source_that_is_there(case: Case) -> None:
    values = case.values()
    f = FORMULAS["t" + case.op.removeprefix("pto.tpart")]
    dtype, (rows, cols) = values["dst"].dtype, values["dst"].shape
    sources = [values[n] for n in ("src0", "src1")]
    expected = [[0] * cols for _ in range(rows)]
    for i in range(rows):
        for j in range(cols):
            there = [s[i, j].item() for s in sources if i < s.shape[0] and j < s.shape[1]]
            expected[i][j] = rounded(f(*there), dtype) if len(there) == 2 else there[0]
    same(result_of(case, values), expected)


def whole(x: Fraction, mode: str) -> int:
    """A number rounded to an integer."""
    down, up = math.floor(x), math.ceil(x)
    if mode in ("FLOOR", "CEIL"):
        return down if mode == "FLOOR" else up
    if mode in ("TRUNC", "NONE"):
        return math.trunc(x)
    if x - down == up - x and down != up:
        away = up if x > 0 else down
        return away if mode == "ROUND" else down if down % 2 == 0 else up
    return down if x - down < up - x else up


def bits_of(x: Any) -> int:
    return int(np.array(x).view(np.uint16 if np.array(x).itemsize == 2 else np.uint32))


def neighbours(x: Fraction, dtype: np.dtype) -> tuple[Any, Any]:
    """The largest number of a float type at most x, and the smallest at least x: found by stepping through bit patterns."""
    near = np.array(float(x)).astype(np.float32).astype(dtype)
    unsigned = np.uint16 if dtype.itemsize == 2 else np.uint32
    sign = 1 << (8 * dtype.itemsize - 1)
    step = lambda y, up: np.array((bits_of(y) + (1 if up == (float(y) > 0) else -1)) if float(y) else (0 if up else sign) + 1, unsigned).view(dtype)  # noqa: E731
    below = above = near
    while Fraction(float(below)) > x:
        below = step(below, False)
    while Fraction(float(above)) < x:
        above = step(above, True)
    return (below, below) if Fraction(float(below)) == x else (above, above) if Fraction(float(above)) == x else bracket(x, below, above, step)


def bracket(x: Fraction, below: Any, above: Any, step: Callable[..., Any]) -> tuple[Any, Any]:
    return (step(above, False), above) if below is above or Fraction(float(below)) > x else (below, step(below, True))


def narrowed(x: Fraction, dtype: np.dtype, mode: str) -> float:
    """A number rounded to a float type that holds it."""
    below, above = neighbours(x, dtype)
    low, high = Fraction(float(below)), Fraction(float(above))
    if low == high:
        return float(below)
    if mode in ("FLOOR", "CEIL"):
        return float(below if mode == "FLOOR" else above)
    if mode == "TRUNC":
        return float(below if x > 0 else above)
    if mode == "ODD":
        return float(below if bits_of(below) & 1 else above)
    if x - low == high - x:
        if mode == "ROUND":
            return float(above if x > 0 else below)
        return float(above if bits_of(below) & 1 else below)
    return float(below if x - low < high - x else above)


def converted(x: Any, source: np.dtype, dtype: np.dtype, mode: str, clamp: bool) -> Any:
    """One element converted, from the text of TCVT."""
    exact = Fraction(x)
    if dtype.kind in "iu":
        y = int(x) if source.kind in "iu" else whole(exact, mode)
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        return min(max(y, low), high) if clamp else rounded(y, dtype)
    mode = "RINT" if mode == "NONE" or (source == np.int32 and dtype == np.float16) else mode
    if source == dtype == np.float32:
        return float(whole(exact, mode))
    largest = float(ml_dtypes.finfo(dtype).max)
    if abs(exact) > largest:
        inward = mode in ("TRUNC", "ODD") or (mode == "FLOOR" and x > 0) or (mode == "CEIL" and x < 0)
        beyond = abs(exact) >= Fraction(largest) + Fraction(ml_dtypes.finfo(dtype).eps.item()) * 2 ** math.floor(math.log2(largest)) / 2
        return math.copysign(largest if clamp or inward or (not beyond and mode in ("RINT", "ROUND")) else math.inf, x)
    return narrowed(exact, dtype, mode)


def clamps(case: Case, source: str, target: str) -> bool:
    """Conversions to integers clamp unless they narrow; what is written goes first."""
    told = case.attributes.get("sat_mode", "").removeprefix("saturation_mode ")
    if target.startswith(("f", "b")):
        return told == "ON"
    narrowing = {"f16 ui8", "f16 i8", "f32 i16", "f16 i16", "i64 i32", "i32 i16"}
    return told == "ON" if told else f"{source} {target}" not in narrowing


@pytest.mark.parametrize("case", [case for case in [*convert.CASES, *convert.ON_A3] if case.op == "pto.tcvt"], ids=str)
def test_a_conversion_rounds_and_clamps_as_told(case: Case) -> None:
    values = case.values()
    source, target = (case.types()[n].dtype for n in ("src", "dst"))
    mode, clamp = case.attributes["rmode"].removeprefix("round_mode "), clamps(case, source.name, target.name)
    got = result_of(case, values)
    seen: dict[Any, Any] = {}
    for x, y in zip(values["src"].ravel().tolist(), got.ravel().tolist()):
        if x not in seen:
            seen[x] = converted(x, source.numpy, target.numpy, mode, clamp)
        assert y == seen[x], (x, y, seen[x])


@pytest.mark.parametrize(
    ("source", "target", "attributes", "tmp", "pairs"),
    [
        ("float32", "int32", {}, False, {math.inf: 2**31 - 1, -math.inf: -(2**31), math.nan: 0, 3e9: 2**31 - 1}),
        ("float32", "int16", {}, False, {70000.0: 4464, 1e10: int(np.int64(10**10).astype(np.int16)), math.nan: 0}),
        ("float32", "int16", {"sat_mode": "OFF"}, True, {70000.0: 4464, 1e10: -1, -math.inf: 0}),
        ("float32", "int16", {"sat_mode": "ON"}, False, {70000.0: 32767, -1e10: -32768}),
        ("float16", "int8", {"sat_mode": "OFF"}, True, {300.0: 44, math.inf: -1, -math.inf: 0}),
        ("float16", "uint8", {"sat_mode": "ON"}, False, {300.0: 255, -5.0: 0}),
        ("float32", "float16", {}, False, {1e6: math.inf, 65519.0: 65504.0, 65520.0: math.inf, math.inf: math.inf}),
        ("float32", "float16", {"rmode": "TRUNC"}, False, {1e6: 65504.0, math.inf: math.inf, 2.0**-25: 0.0}),
        ("float32", "float16", {"sat_mode": "ON"}, False, {1e6: 65504.0, -math.inf: -65504.0}),
        ("float32", "float16", {"rmode": "ODD"}, False, {1 + 2.0**-20: 1 + 2.0**-10, 1 - 2.0**-20: 1 - 2.0**-11, 2.0: 2.0}),
        ("int64", "float32", {}, False, {2**62 + 2**38 + 1: float(2**62 + 2**39), -(2**63): -(2.0**63), 2**53 + 1: 2.0**53}),
        ("int64", "int32", {}, False, {2**32 + 5: 5, -(2**31) - 1: 2**31 - 1}),
        ("int64", "int32", {"sat_mode": "ON"}, False, {2**32 + 5: 2**31 - 1}),
    ],
)
def test_conversions_at_the_edges(source: str, target: str, attributes: dict[str, str], tmp: bool, pairs: dict[Any, Any]) -> None:
    src = np.array([list(pairs)], source)
    values = {"src": src, "dst": np.zeros(src.shape, target)} | ({"tmp": np.zeros((1, 8), np.int32)} if tmp else {})
    got = class_of(Case("pto.tcvt", {})).evaluate(values, attributes)["dst"]
    np.testing.assert_array_equal(got, np.array([list(pairs.values())], target))


def test_quantisation_scales_each_row_and_clamps() -> None:
    for case in (case for case in [*convert.CASES, *convert.ON_A3] if case.op == "pto.tquant"):
        values = case.values()
        dtype, (rows, cols) = values["dst"].dtype, values["dst"].shape
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        expected = [[0] * cols for _ in range(rows)]
        for i in range(rows):
            for j in range(cols):
                x = rounded(values["src"][i, j].item() * values["fp"][i, 0].item(), np.dtype(np.float32))
                x = rounded(x + values["offset"][i, 0].item(), np.dtype(np.float32)) if "offset" in values else x
                expected[i][j] = min(max(whole(Fraction(x), "RINT"), low), high)
        written = class_of(case).evaluate(values, {})
        same(written["dst"], expected)
        assert np.isnan(written["src"]).all() == ("tmp" in values)


def test_dequantisation_takes_offset_and_scale_of_each_row() -> None:
    for case in (case for case in [*convert.CASES, *convert.ON_A3] if case.op == "pto.tdequant"):
        values = case.values()
        single = np.dtype(np.float32)
        scale, offset = values["scale"].tolist(), values["offset"].tolist()
        expected = [[rounded(rounded(x - offset[i][0], single) * scale[i][0], single) for x in row] for i, row in enumerate(values["src"].tolist())]
        same(result_of(case, values), expected)


def test_packing_keeps_the_low_bits() -> None:
    src = np.array([[0x12345, -1, 255, -32768]], np.int32)
    for dtype, expected in ((np.int16, [0x2345, -1, 255, -32768]), (np.uint8, [0x45, 255, 255, 0])):
        got = class_of(Case("pto.tpack", {})).evaluate({"src": src, "dst": np.zeros(src.shape, dtype)}, {})["dst"]
        assert got.tolist() == [expected]
        assert got.dtype == dtype


def test_integer_remainders_say_what_the_library_does_to_their_sources() -> None:
    values = {"src0": np.array([[2**24 + 1]], np.int32), "src1": np.array([[3]], np.int32), "tmp": np.zeros((1, 4), np.int32), "dst": np.zeros((1, 1), np.int32)}
    written = class_of(Case("pto.trem", {})).evaluate(values, {})
    assert written["src0"].tolist() == [[2**24]]
    assert written["src1"].view(np.float32).tolist() == [[3.0]]


@pytest.mark.parametrize(("op", "pairs"), [("tmax", [(math.nan, 1.0), (1.0, math.nan)]), ("tmin", [(math.nan, 1.0), (1.0, math.nan)])])
def test_the_first_operand_wins_where_one_is_not_a_number(op: str, pairs: list[tuple[float, float]]) -> None:
    a, b = (np.array([column], np.float32) for column in zip(*pairs))
    got = class_of(Case(f"pto.{op}", {})).evaluate({"src0": a, "src1": b, "dst": np.zeros_like(a)}, {})["dst"]
    np.testing.assert_array_equal(got, a)
