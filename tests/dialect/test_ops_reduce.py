"""Reductions and expansions as ops: they verify, break rules with messages that tell, and ask for the library's instructions."""

import pytest

from ptoc.dialect.errors import VerifyError
from ptoc.machine.chip import load_chip
from ptoc.machine.pricing import price
from ptoc.machine.work import Scalar, Vector

from .op_cases import Case, expand, expand_columns, reduce, reduce_columns
from .op_instances import built, class_of, refs

CASES = [*reduce.CASES, *reduce_columns.CASES, *expand.CASES, *expand_columns.CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_is_a_valid_op_with_work(case: Case) -> None:
    with built(case) as record:
        assert record.cls.spelling == case.op
        assert record.cls.pipe_of(record) == "V"
        assert set(record.cls.internals_of(record)) <= {"drained", "event_ids", "ub_scratch"}
    items = class_of(case).work(refs(case), case.attributes)
    assert items
    assert price(load_chip("ascend910b1"), items).occupancy > 0
    for item in items:
        assert not isinstance(item, Vector) or (item.instruction.startswith("v") and (item.repeats > 0 or item.barrier))


COLUMN, BLOCKS = "vec, 16x1xf32, blayout=col_major", "vec, 16x8xf32"
WRONG = [
    ("pto.trowmax", {"src": "mat, 16x64xf32", "tmp": "vec, 16x64xf32", "dst": COLUMN}, "src must be a vec tile; got mat"),
    ("pto.trowmax", {"src": "vec, 16x64xbf16", "tmp": "vec, 16x64xbf16", "dst": "vec, 16x1xbf16, blayout=col_major"}, "one of the types f32 f16 i32 i16"),
    ("pto.trowsum", {"src": "vec, 16x64xf32", "tmp": "vec, 16x64xf32", "dst": "vec, 16x1xf16, blayout=col_major"}, "one element type; got src f32"),
    ("pto.trowmin", {"src": "vec, 16x64xf32, blayout=col_major", "tmp": "vec, 16x64xf32", "dst": COLUMN}, "src must have blayout row_major; got col_major"),
    ("pto.trowmin", {"src": "vec, 16x64xf32", "tmp": "vec, 16x64xf32", "dst": "vec, 16x8xf32"}, "dst must have 1 valid column; got 8"),
    ("pto.trowprod", {"src": "vec, 16x64xf32", "tmp": BLOCKS, "dst": "vec, 16x8xf32, valid=16x1, blayout=col_major"}, "must have 1 column; got 16x8"),
    ("pto.trowmax", {"src": "vec, 8x64xf32", "tmp": "vec, 8x64xf32", "dst": COLUMN}, "valid rows must be equal; got src 8, dst 16"),
    ("pto.trowmax", {"src": "vec, 16x64xf32, valid=0x64", "tmp": "vec, 16x64xf32", "dst": COLUMN}, "got an empty valid part"),
    ("pto.trowmax", {"src": "vec, 16x128xf32", "tmp": BLOCKS, "dst": COLUMN}, r"at least 64 columns \(one repeat\) for rows of 128; got 16x8"),
    ("pto.trowargmax", {"src": "vec, 16x64xf32", "tmp": BLOCKS, "dst": COLUMN}, "dst must have one of the types i32 ui32; got f32"),
    ("pto.trowexpandsub", {"src0": "vec, 16x64xf32", "src1": "vec, 16x4xf32", "dst": "vec, 16x64xf32"}, r"row_major with 8 \(32 bytes\); got 4"),
    ("pto.trowexpandsub", {"src0": "vec, 16x64xf32", "src1": "vec, 16x2xf32, blayout=col_major", "dst": "vec, 16x64xf32"}, "must have 1 valid column; got 2"),
    ("pto.trowexpandsub", {"src0": "vec, 16x64xf32", "src1": BLOCKS, "dst": "vec, 16x64xf32", "tmp": BLOCKS}, "where tmp is given; got row_major"),
    ("pto.trowexpanddiv", {"src0": "vec, 16x64xi32", "src1": "vec, 16x8xi32", "dst": "vec, 16x64xi32"}, "one of the types f32 f16; got i32"),
    ("pto.trowexpandmul", {"src0": "vec, 16x64xf32", "src1": "vec, 8x8xf32", "dst": "vec, 16x64xf32"}, "valid rows must be equal; got src0 16, src1 8"),
    ("pto.trowexpand", {"src": COLUMN, "dst": "vec, 16x64xf32, blayout=col_major"}, "dst must have blayout row_major"),
    ("pto.trowexpand", {"src": "vec, 16x16xf32, slayout=row_major", "dst": "vec, 16x64xf32"}, "src must be unboxed"),
    ("pto.tcolmax", {"src": "vec, 16x64xf32", "dst": "vec, 2x64xf32"}, "dst must have 1 valid row; got 2"),
    ("pto.tcolsum", {"src": "vec, 16x64xf32", "dst": "vec, 1x32xf32"}, "valid columns must be equal; got src 64, dst 32"),
    ("pto.tcolargmax", {"src": "vec, 16x64xi32", "tmp": "vec, 1x64xi32", "dst": "vec, 1x64xi32"}, "src must have one of the types f32 f16 ui32 ui16"),
    ("pto.tcolexpandadd", {"src0": "vec, 8x64xf32", "src1": "vec, 4x64xf32", "dst": "vec, 16x64xf32"}, "must have dst's 16 valid rows; got 8 and 4"),
]


@pytest.mark.parametrize(("op", "tiles", "message"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_a_broken_rule_is_told(op: str, tiles: dict[str, str], message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(Case(op, tiles)):
        pass


@pytest.mark.parametrize(
    ("tmp", "message"), [({}, "isBinary needs a tmp tile"), ({"tmp": "vec, 8x32xf32"}, "rows of tmp must hold src's 64 columns; got 8x32xf32")]
)
def test_a_binary_sum_needs_scratch(tmp: dict[str, str], message: str) -> None:
    case = Case("pto.tcolsum", {"src": "vec, 16x64xf32", "dst": "vec, 1x64xf32"} | tmp, attributes={"isBinary": True})
    with pytest.raises(VerifyError, match=message), built(case):
        pass


def work(op: str, **tiles: str) -> list[tuple[str, int, bool]]:
    """The vector instructions of an op on tiles, as (instruction, repeats, barrier before)."""
    case = Case(op, tiles)
    return [(item.instruction, item.repeats, item.barrier) for item in class_of(case).work(refs(case), {})]


def test_a_row_maximum_of_32x256_is_four_instructions_each_followed_by_a_barrier() -> None:
    assert work("pto.trowmax", src="vec, 32x256xf32", tmp="vec, 32x256xf32", dst="vec, 32x1xf32, blayout=col_major") == [
        ("vcgmax", 128, False),
        ("vmax", 8, True),
        ("vmax", 4, True),
        ("vcgmax", 4, True),
        ("vcmax", 0, True),
    ]


def test_a_general_row_maximum_folds_the_repeats_of_a_row() -> None:
    """200 columns of f32: three whole repeats folded in two instructions, eight columns under a mask, then across."""
    assert work("pto.trowmax", src="vec, 16x256xf32, valid=16x200", tmp="vec, 16x256xf32", dst="vec, 16x8xf32, valid=16x1") == [
        ("vmax", 16, False),
        ("vmax", 16, True),
        ("vmax", 16, True),
        ("vcmax", 16, True),
        ("vcmax", 0, True),
    ]


def test_a_row_sum_folds_in_a_tree() -> None:
    """Eight repeats a row: four pairs, two, one, then across."""
    items = work("pto.trowsum", src="vec, 8x512xf32", tmp="vec, 8x512xf32", dst="vec, 8x1xf32, blayout=col_major")
    assert [name for name, _, _ in items] == ["vadd"] * 7 + ["vcadd"] * 2


def test_rows_beyond_the_stride_field_go_one_by_one() -> None:
    items = work("pto.trowmax", src="vec, 2x2048xf32, valid=2x128", tmp="vec, 2x64xf32", dst="vec, 2x8xf32, valid=2x1")
    assert items == [("vmax", 1, False), ("vmax", 1, False), ("vcmax", 2, True), ("vcmax", 0, True)]


def test_an_integer_row_maximum_alternates_with_the_scalar_unit() -> None:
    case = Case("pto.trowmax", {"src": "vec, 2x16xi32", "tmp": "vec, 2x16xi32", "dst": "vec, 2x8xi32, valid=2x1"})
    row = (Vector("vector_dup", "i32", 1), Vector("vmax", "i32", 1, True), Vector("vmax", "i32", 1, True), Scalar(8))
    assert class_of(case).work(refs(case), {}) == row * 2
    with built(case) as record:
        assert record.cls.internals_of(record)["event_ids"] == (("PIPE_V", "PIPE_S", 0), ("PIPE_S", "PIPE_V", 0))


def test_a_column_operand_is_spread_first_and_takes_library_scratch() -> None:
    tiles = {"src0": "vec, 64x128xf32", "src1": "vec, 64x1xf32, blayout=col_major", "dst": "vec, 64x128xf32"}
    assert work("pto.trowexpandsub", **tiles) == [("vbrcb", 8, False), ("vsub", 64, True), ("vsub", 64, False)]
    with built(Case("pto.trowexpandsub", tiles)) as record:
        assert record.cls.internals_of(record) == {"ub_scratch": True}
    with built(Case("pto.trowexpandsub", tiles | {"tmp": "vec, 64x8xf32"})) as record:
        assert record.cls.internals_of(record) == {}


def test_an_exponential_difference_waits_for_the_difference() -> None:
    items = work("pto.trowexpandexpdif", src0="vec, 64x128xf32", src1="vec, 64x8xf32", dst="vec, 64x128xf32")
    assert items == [("vsub", 64, False), ("vsub", 64, False), ("vexp", 128, True)]


def test_more_rows_than_an_instruction_repeats_are_split() -> None:
    items = work("pto.trowexpandsub", src0="vec, 512x64xf32", src1="vec, 512x1xf32, blayout=col_major", dst="vec, 512x64xf32")
    assert [(name, repeats) for name, repeats, _ in items] == [("vbrcb", 30), ("vsub", 240), ("vbrcb", 30), ("vsub", 240), ("vbrcb", 4), ("vsub", 32)]
    assert [barrier for _, _, barrier in items] == [False, True, True, True, True, True]


def test_a_full_column_is_broadcast_in_one_instruction() -> None:
    assert work("pto.trowexpand", src="vec, 16x1xf32, blayout=col_major", dst="vec, 16x8xf32") == [("vbrcb", 2, False)]
