"""Matrix products against scalar loops written from the ISA's text."""

import math

import numpy as np
import pytest

from .op_cases import Case, cube
from .op_instances import class_of


@pytest.mark.parametrize("case", cube.CASES, ids=str)
def test_a_product_is_the_sum_over_k_and_what_it_starts_from(case: Case) -> None:
    values = case.values()
    a, b = (values["lhs"], values["rhs"]) if "lhs" in values else (values["a"], values["b"])
    got = class_of(case).evaluate(values, {})["dst"]
    assert got.dtype == values["dst"].dtype
    rows, cols = values["dst"].shape
    expected = np.empty((rows, cols))
    for i in range(rows):
        for j in range(cols):
            terms = []
            for k in range(a.shape[1]):
                term = float(a[i, k]) * float(b[k, j])
                if "a_scale" in values:
                    term *= 2.0 ** (int(values["a_scale"][i, k // 32]) - 127) * 2.0 ** (int(values["b_scale"][k // 32, j]) - 127)
                terms.append(term)
            total = math.fsum(terms)
            if "acc_in" in values or "c_in" in values:
                total += float(values["acc_in" if "acc_in" in values else "c_in"][i, j])
            if "bias" in values:
                total += float(values["bias"][0, j])
            expected[i, j] = total
    if got.dtype == np.int32:
        assert np.array_equal(got, expected.astype(np.int32))
    else:
        np.testing.assert_allclose(got.astype(np.float64), expected, rtol=2e-6, atol=2e-6)


def test_an_accumulator_rounds_after_the_product() -> None:
    """2**24 + (1 + 1) keeps the sum of the products; 2**24 + 1 twice would lose both."""
    case = next(c for c in cube.CASES if c.op == "pto.tmatmul.acc")
    ones = np.ones((1, 2), np.float16)
    values = {"acc_in": np.array([[2.0**24]], np.float32), "lhs": ones, "rhs": ones.T, "dst": np.zeros((1, 1), np.float32)}
    assert class_of(case).evaluate(values, {})["dst"][0, 0] == 2.0**24 + 2
