"""Matrix products as ops."""

import pytest

from ptoc.dialect.errors import VerifyError
from ptoc.dialect.mlir import ir
from ptoc.machine.work import Cube

from .op_cases import Case, cube
from .op_instances import built, class_of, refs


@pytest.mark.parametrize("case", cube.CASES, ids=str)
def test_every_case_is_a_valid_op_with_work(case: Case) -> None:
    with built(case) as record:
        assert record.cls.spelling == case.op
        assert record.cls.pipe_of(record) == "M"
        assert record.cls.writes == ("dst",)
    (item,) = class_of(case).work(refs(case), {})
    assert isinstance(item, Cube)


GOOD = cube.operands(cube.SHAPES[0], "lhs", "rhs")
ACC = "acc, 16x32xf32, blayout=col_major, slayout=row_major, fractal=1024"
WRONG = [
    ("pto.tmatmul", GOOD | {"lhs": "mat, 16x64xf16"}, "lhs must be a left tile; got mat"),
    ("pto.tmatmul", GOOD | {"rhs": "left, 64x32xf16, slayout=row_major"}, "rhs must be a right tile; got left"),
    ("pto.tmatmul", GOOD | {"dst": "vec, 16x32xf32"}, "dst must be an acc tile; got vec"),
    ("pto.tmatmul", GOOD | {"lhs": "left, 16x64xbf16, slayout=row_major"}, "f16 x f16 -> f32, .*; got bf16 x f16 -> f32"),
    ("pto.tmatmul", GOOD | {"dst": ACC.replace("f32", "i32")}, "got f16 x f16 -> i32"),
    ("pto.tmatmul", GOOD | {"lhs": "left, 16x32xf16, slayout=row_major"}, "k: lhs columns and rhs rows must be equal; got 32 and 64"),
    ("pto.tmatmul", GOOD | {"lhs": "left, 32x64xf16, slayout=row_major"}, "m: lhs rows and dst rows must be equal; got 32 and 16"),
    ("pto.tmatmul", GOOD | {"rhs": "right, 64x16xf16, slayout=col_major"}, "n: rhs columns and dst columns must be equal; got 16 and 32"),
    (
        "pto.tmatmul",
        GOOD | {"lhs": "left, 16x4096xf16, slayout=row_major", "rhs": "right, 4096x32xf16, slayout=col_major"},
        "k must be 1 to 4095; got 4096",
    ),
    ("pto.tgemv", GOOD, "lhs must have 1 valid row; got 16"),
    ("pto.tmatmul.bias", cube.operands(cube.SHAPES[0], "a", "b", "bias") | {"bias": "bias, 1x32xf16"}, "bias must have dst's element type f32; got f16"),
    ("pto.tmatmul.mx", cube.scaled().tiles | {"a": "left, 16x64xf16, slayout=row_major"}, "a must have one of the types f8E4M3FN f8E5M2; got f16"),
    ("pto.tmatmul.mx", cube.scaled().tiles | {"dst": ACC.replace("f32", "i32")}, "dst must be f32; got i32"),
    ("pto.tmatmul.mx", cube.scaled().tiles | {"a_scale": "vec, 16x2xui8"}, "a_scale must be a scaling tile; got vec"),
]


@pytest.mark.parametrize(("op", "tiles", "message"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_a_broken_rule_is_told(op: str, tiles: dict[str, str], message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(Case(op, tiles)):
        pass


def test_a3_refuses_block_scales() -> None:
    with pytest.raises(VerifyError, match="a3 has no matrix multiplication with block scales"), built(cube.scaled(), arch="a3"):
        pass
    with built(cube.scaled(), arch="a5") as record:
        assert isinstance(record.op, ir.Operation)


def test_the_library_widens_one_row_except_for_a_vector() -> None:
    """m = 1 would switch A3's cube to its vector mode: TMATMUL passes 16, TGEMV passes 1."""
    matmul = next(c for c in cube.CASES if c.op == "pto.tmatmul" and "valid=1x64" in c.tiles["lhs"])
    gemv = next(c for c in cube.CASES if c.op == "pto.tgemv")
    assert class_of(matmul).work(refs(matmul), {}) == (Cube("f16", 16, 64, 32),)
    assert class_of(gemv).work(refs(gemv), {}) == (Cube("f16", 1, 64, 32),)
