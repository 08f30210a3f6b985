"""Reductions and expansions against scalar loops written from the ISA's text."""

import math

import numpy as np
import pytest

from .op_cases import Case, expand, expand_columns, reduce, reduce_columns
from .op_instances import class_of

FOLD = {
    "max": lambda a, b: b if b > a else a,
    "min": lambda a, b: b if b < a else a,
    "sum": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
}
BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "max": max,
    "min": min,
    "expdif": lambda a, b: math.exp(float(a) - float(b)),
}


def tolerance(dtype: np.dtype) -> float:
    """Relative error allowed where the order or the width of roundings is free: a few units in the last place."""
    return {2: 4e-3, 4: 3e-6}[dtype.itemsize]


def check(case: Case, expected: list[list[float]], exact: bool) -> None:
    values = case.values()
    before = {name: np.array(value, copy=True) for name, value in values.items()}
    got = class_of(case).evaluate(values, case.attributes)["dst"]
    assert got.shape == values["dst"].shape
    assert got.dtype == values["dst"].dtype
    for name in class_of(case).reads:
        assert np.array_equal(before[name], values[name]), f"{name} was changed"
    rtol = 0 if exact else tolerance(got.dtype)
    np.testing.assert_allclose(got[: len(expected), : len(expected[0])].astype(np.float64), np.array(expected, np.float64), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("case", [c for c in reduce.CASES if "arg" not in c.op], ids=str)
def test_row_reductions_fold_each_row_from_the_left(case: Case) -> None:
    src = case.values()["src"]
    check(case, [[folded(case, row)] for row in src.tolist()], exact=is_exact(case))


@pytest.mark.parametrize("case", [c for c in reduce_columns.CASES if "arg" not in c.op], ids=str)
def test_column_reductions_fold_each_column_from_the_top(case: Case) -> None:
    src = case.values()["src"]
    check(case, [[folded(case, src[:, j].tolist()) for j in range(src.shape[1])]], exact=is_exact(case))


def folded(case: Case, line: list[float]) -> float:
    """A line folded from its first element on; products are rounded each time, sums once."""
    dtype, fold, total = case.types()["src"].dtype.numpy, FOLD[case.op[8:]], line[0]
    for x in line[1:]:
        total = fold(total, x)
        if case.op.endswith("prod") and dtype.kind == "f":
            total = float(np.float64(total).astype(dtype))
    return wrap(total, dtype) if dtype.kind == "i" else total


def is_exact(case: Case) -> bool:
    """Sums of floats alone depend on order and width."""
    return not case.op.endswith("sum") or case.types()["src"].dtype.name.startswith("i")


def wrap(value: int, dtype: np.dtype) -> int:
    """The integer that two's complement of the width keeps."""
    bits = dtype.itemsize * 8
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


@pytest.mark.parametrize("case", [c for c in (*reduce.CASES, *reduce_columns.CASES) if "arg" in c.op], ids=str)
def test_arg_reductions_give_the_first_best_index(case: Case) -> None:
    src = case.values()["src"]
    lines = src.tolist() if "row" in case.op else src.T.tolist()
    better = (lambda a, b: a > b) if case.op.endswith("max") else (lambda a, b: a < b)
    found = []
    for line in lines:
        best = 0
        for j, x in enumerate(line):
            if better(x, line[best]):
                best = j
        found.append(best)
    check(case, [[f] for f in found] if "row" in case.op else [found], exact=True)


@pytest.mark.parametrize("case", [c for c in expand.CASES if c.op != "pto.trowexpand"], ids=str)
def test_row_expansions_take_the_rows_value(case: Case) -> None:
    values, f = case.values(), BINARY[case.op.removeprefix("pto.trowexpand")]
    a, b, dst = values["src0"], values["src1"], values["dst"]
    expected = []
    for i in range(dst.shape[0]):
        row = []
        for j in range(dst.shape[1]):
            row.append(f(a[i, j % a.shape[1]].item(), b[i, j % b.shape[1]].item()))
        expected.append(row)
    check(case, expected, exact=case.op[-3:] in ("max", "min") or dst.dtype.kind == "i")


@pytest.mark.parametrize("case", [c for c in expand_columns.CASES if c.op != "pto.tcolexpand"], ids=str)
def test_column_expansions_take_the_columns_value(case: Case) -> None:
    values, f = case.values(), BINARY[case.op.removeprefix("pto.tcolexpand")]
    rows, cols = values["dst"].shape
    expected = [[f(values["src0"][i, j].item(), values["src1"][0, j].item()) for j in range(cols)] for i in range(rows)]
    check(case, expected, exact=case.op[-3:] in ("max", "min") or values["dst"].dtype.kind == "i")


@pytest.mark.parametrize("case", [c for c in (*expand.CASES, *expand_columns.CASES) if c.op.endswith("expand")], ids=str)
def test_expansions_repeat_the_first_element(case: Case) -> None:
    values = case.values()
    rows, cols = values["dst"].shape
    src = values["src"]
    check(case, [[src[i, 0].item() if "row" in case.op else src[0, j].item() for j in range(cols)] for i in range(rows)], exact=True)


def test_a_half_product_rounds_after_every_factor() -> None:
    """2049 = 3 * 683 is no f16 number: the running product rounds to 2048 before it meets 1 / 4."""
    case = Case("pto.trowprod", {"src": "vec, 1x16xf16, valid=1x3", "tmp": "vec, 1x16xf16", "dst": "vec, 1x16xf16, valid=1x1"})
    src = np.array([[3, 683, 0.25]], np.float16)
    got = class_of(case).evaluate({"src": src, "dst": np.zeros((1, 1), np.float16)}, {})["dst"]
    assert got[0, 0] == 512


def test_a_half_row_sum_is_kept_in_single_precision() -> None:
    """2048 + 1 + 1 in f16 stays 2048; in f32 it is 2050, which f16 holds."""
    src = np.array([[2048, 1, 1]], np.float16)
    case = Case("pto.trowsum", {})
    assert class_of(case).evaluate({"src": src, "dst": np.zeros((1, 1), np.float16)}, {})["dst"][0, 0] == 2050
