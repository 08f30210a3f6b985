"""Elementwise ops as ops: they verify, break rules with messages that tell, and ask for the library's instructions."""

import pytest

from ptoc.dialect import new_context
from ptoc.dialect import types as t
from ptoc.dialect.errors import VerifyError
from ptoc.dialect.layout import TileRef
from ptoc.dialect.mlir import ir
from ptoc.machine.chip import load_chip
from ptoc.machine.pricing import price
from ptoc.machine.work import Scalar, Transfer, Vector

from .op_cases import Case, convert, elementwise
from .op_instances import built, class_of, refs

CASES = [*elementwise.CASES, *elementwise.ON_A3, *convert.CASES, *convert.ON_A3]
CHIP = load_chip("ascend910b1")


@pytest.mark.parametrize("op", sorted({case.op for case in CASES}))
def test_every_case_is_a_valid_op_with_work_that_the_chip_can_price(op: str) -> None:
    for case in (case for case in CASES if case.op == op):
        with built(case) as record:
            assert record.cls.pipe_of(record) == ("MTE2" if case.tiles["dst"].startswith("mat") else "S" if op == "pto.tci" else "V")
            assert set(record.cls.internals_of(record)) <= {"drained", "event_ids", "ub_scratch"}
            work = record.cls.work(refs(case), record.attributes)
        assert work, case
        assert price(CHIP, work).occupancy > 0, case


F32, F16, I32, I16, I8 = (f"vec, 16x64x{dtype}" for dtype in ("f32", "f16", "i32", "i16", "i8"))
MASK, BYTES = "vec, 16x8xui8", "vec, 17x64xui8"
WRONG = [
    ("tadd", {"src0": "mat, 16x64xf32", "src1": F32, "dst": F32}, {}, "src0 must be a vec tile; got mat"),
    ("tadd", {"src0": I8, "src1": I8, "dst": I8}, {}, "one of the types f32 f16 i32 i16; got i8"),
    ("tsub", {"src0": F32, "src1": F16, "dst": F32}, {}, "one element type; got src0 f32, src1 f16, dst f32"),
    ("tmul", {"src0": F32, "src1": "vec, 16x64xf32, valid=9x64", "dst": F32}, {}, "the same valid rows; got src0 16x64xf32, src1 9x64xf32"),
    ("tmax", {"src0": F32, "src1": F32, "dst": F32 + ", blayout=col_major"}, {}, "dst must have blayout row_major; got col_major"),
    ("tdiv", {"src0": I32, "src1": I32, "dst": I32}, {}, "one of the types f32 f16; got i32"),
    ("trsqrt", {"src": F32, "dst": F32, "tmp": "vec, 1x4xf32"}, {}, "tmp must have at least 32 bytes; got 16"),
    ("tdivs", {"src": F32, "scalar": F32, "dst": F32}, {}, "a tile and the other a number; got 2 tiles"),
    (
        *("tadds", {"src": "vec, 16x8xf32, valid=9x8, blayout=col_major", "dst": "vec, 16x8xf32, valid=9x8"}, {"scalar": 2.0}),
        "src is col_major: it must have one column or be wholly valid; got <vec, 16x8xf32, valid=9x8",
    ),
    ("taxpy", {"src": F32, "dst": F16}, {"scalar": 2.0}, "dst must have src's type, or f32 where src is f16; got dst f16, src f32"),
    ("trem", {"src0": F32, "src1": F32, "tmp": "vec, 1x64xf32", "dst": F32}, {}, r"at least 66 valid columns \(a row of 64 and its comparison bits\); got 64"),
    ("trems", {"src": F32, "tmp": "vec, 1x32xf32", "dst": F32}, {"scalar": 2.0}, "at least dst's 64 valid columns; got 32"),
    ("txor", {"src0": I16, "src1": I16, "tmp": "vec, 8x64xi16", "dst": I16}, {}, "tmp must have dst's valid shape and type; got tmp <vec, 8x64xi16>"),
    ("tshls", {"src": I8, "dst": I8}, {"scalar": 2}, "one of the types i32 i16 ui32 ui16; got i8"),
    ("tcmp", {"src0": F32, "src1": F32, "dst": "vec, 16x4xui8"}, {}, "at least 8 valid bytes a row, one bit for each column of the source; got 4xui8"),
    ("tcmp", {"src0": F32, "src1": F32, "dst": F32}, {}, "dst must have one of the types i8 ui8; got f32"),
    ("tsel", {"mask": "vec, 16x4xui8", "src0": F32, "src1": F32, "tmp": BYTES, "dst": F32}, {}, "one bit for each of dst's 64 columns; got 4xui8"),
    ("tsel", {"mask": MASK, "src0": F32, "src1": F32, "tmp": BYTES, "dst": "vec, 9x64xf32"}, {}, "valid rows must be equal; got src0 16, src1 16, dst 9"),
    ("tprelu", {"src0": F32, "src1": F32, "tmp": "vec, 16x64xui8", "dst": F32}, {}, "more valid rows than dst's 16: the last one is .* scratch; got 16"),
    ("texpands", {"dst": "left, 16x64xf16"}, {"scalar": 2.0}, "dst must be a vec or mat tile; got left"),
    ("tci", {"dst": "vec, 2x64xi32"}, {"start": 2}, "dst must have one row; got 2x64"),
    ("tci", {"dst": "vec, 1x64xi32"}, {"start": 2.0}, "start must have dst's element type i32; got f32"),
    ("tpartadd", {"src0": "vec, 9x64xf32", "src1": "vec, 16x32xf32", "dst": F32}, {}, "must have dst's valid shape; got src0 9x64, src1 16x32, dst 16x64"),
    ("tpartadd", {"src0": "vec, 17x64xf32", "src1": F32, "dst": F32}, {}, "no source may have a larger valid part than dst; got src0 17x64"),
    ("tcvt", {"src": F32, "dst": I8}, {}, "f32 converts to f32 f16 bf16 i64 i32 i16 on a3; got i8: go through a type between"),
    ("tquant", {"src": F32, "fp": F32, "dst": I8}, {}, "quant_type must be INT8_SYM or INT8_ASYM; got none"),
    ("tdequant", {"src": F32, "scale": F32, "offset": F32, "dst": F32}, {}, "src must have one of the types i8 i16; got f32"),
    ("tpack", {"src": I32, "dst": F32}, {}, "from 4 bytes to 2 or 1, or from 2 to 1; got 4 to 4"),
]


@pytest.mark.parametrize(("op", "tiles", "scalars", "message"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_a_broken_rule_is_told(op: str, tiles: dict[str, str], scalars: dict[str, float], message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(Case(f"pto.{op}", tiles, scalars)):
        pass


WRONG_ATTRIBUTES = [
    ("tcmp", {"src0": F32, "src1": F32, "dst": MASK}, {"cmpMode": "cmp less"}, "cmpMode must be one of eq ne lt le gt ge; got less"),
    ("tcmp", {"src0": I32, "src1": I32, "dst": MASK}, {"cmpMode": "cmp lt"}, "i32 can only be compared with eq or ne on a3, .* got lt: convert to f32"),
    ("tcvt", {"src": F32, "dst": I32}, {"rmode": "round_mode UP"}, "rmode must be one of NONE RINT ROUND FLOOR CEIL TRUNC ODD; got UP"),
    ("tcvt", {"src": F32, "dst": I32}, {"rmode": "round_mode ODD"}, "rmode ODD is for f32 to f16; got f32 to i32"),
    ("tcvt", {"src": F32, "dst": I32}, {"sat_mode": "saturation_mode MAYBE"}, "sat_mode must be ON or OFF; got MAYBE"),
    ("tquant", {"src": F32, "fp": F32, "dst": I8, "offset": F32}, {"quant_type": "quant_type INT8_SYM"}, "INT8_SYM has none; got INT8_SYM with offset"),
]


@pytest.mark.parametrize(("op", "tiles", "attributes", "message"), WRONG_ATTRIBUTES, ids=lambda x: x if isinstance(x, str) else "")
def test_a_wrong_attribute_is_told(op: str, tiles: dict[str, str], attributes: dict[str, str], message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(Case(f"pto.{op}", tiles, attributes=attributes)):
        pass


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case("pto.ttri", {"dst": F32}, {"diagonal": 0}, {"upperOrLower": 2}), r"upperOrLower must be 0 \(lower\) or 1 \(upper\); got 2"),
        (Case("pto.tcmps", {"src": I16, "dst": MASK}, {"scalar": 1}, {"cmpMode": "cmp lt"}), "i16 can only be compared with eq or ne on a3"),
    ],
    ids=["ttri", "tcmps"],
)
def test_a_wrong_attribute_beside_a_number_is_told(case: Case, message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(case):
        pass


def test_packing_is_refused_on_a3() -> None:
    with pytest.raises(VerifyError, match=r"'pto\.tpack': only a5 has it; got a3: convert with tcvt"), built(Case("pto.tpack", {"src": I32, "dst": I16}), arch="a3"):
        pass


def test_a5_takes_more_element_types() -> None:
    for case in (Case("pto.tadd", {"src0": I8, "src1": I8, "dst": I8}), Case("pto.tpack", {"src": I32, "dst": I16})):
        with built(case, arch="a5") as record:
            assert record.cls.spelling == case.op


@pytest.mark.parametrize("op", ["tands", "trecip", "tfmods"])
def test_dst_may_not_be_a_source_that_is_read_after_dst_is_written(op: str) -> None:
    with new_context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            tile = ir.Operation.create("test.value", results=[t.to_mlir(t.parse("tile_buf", I16 if op == "tands" else F32))]).result
            number = ir.Operation.create("test.value", results=[ir.IndexType.get()]).result
            ir.Operation.create(f"pto.{op}", operands=[tile, tile] if op == "trecip" else [tile, number, tile])
        with pytest.raises(ir.MLIRError, match="src and dst must be two tiles: the library writes dst before it has read src"):
            module.operation.verify()


def work(op: str, attributes: dict | None = None, **tiles: str) -> list[tuple[str, int, bool]]:
    """The vector instructions of an op on tiles, as (instruction, repeats, barrier before)."""
    case = Case(f"pto.{op}", tiles)
    return [(i.instruction, i.repeats, i.barrier) for i in class_of(case).work(refs(case), attributes or {}) if isinstance(i, Vector)]


def repeats(op: str, body: str, *names: str) -> list[int]:
    return [n for _, n, _ in work(op, **{name: f"vec, {body}" for name in (*names, "dst")})]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("32x64xf32", [32]),  # one run of whole repeats
        ("30x50xf32", [30]),  # narrower than a repeat: a masked repeat a row
        ("5x100xf32", [8]),  # rows are no whole repeats: one instruction with a lane count
        ("128x256xf32", [512]),  # more than 255 repeats: the same
        ("32x128xf32, valid=32x100", [32, 32]),  # a column of repeats and a masked one
        ("1x512xf32, valid=1x300", [5]),  # one row is contiguous
        ("2x512xf32, valid=2x300", [5, 5]),  # flat and partly valid: row by row
        ("2x512xf32, valid=2x320", [5, 5]),
        ("300x128xf32, valid=300x100", [1] * 300 + [255, 45]),  # more rows than repeats in an instruction
        ("16x64xi16, valid=16x33", [16]),
    ],
)
def test_an_addition_is_cut_into_the_instructions_of_the_library(body: str, expected: list[int]) -> None:
    assert repeats("tadd", body, "src0", "src1") == expected


def test_tiles_of_unequal_widths_go_by_rows_then_by_the_rest_of_each_row() -> None:
    tiles = {"src0": "vec, 16x128xf32, valid=16x100", "src1": "vec, 16x192xf32, valid=16x100", "dst": "vec, 16x128xf32, valid=16x100"}
    assert [n for _, n, _ in work("tsub", **tiles)] == [1] * 16 + [16]


@pytest.mark.parametrize(
    ("op", "body", "expected"),
    [
        ("tmuls", "32x64xf32", [("vmuls", 32, False)]),
        ("tsubs", "30x50xf32", [("vadds", 23, False), ("vadds", 1, False)]),
        ("tneg", "5x100xf32", [("vmuls", 8, False)]),
        ("texp", "5x100xf32", [("vexp", 7, False), ("vexp", 1, False)]),
        ("texp", "16x128xf16, valid=16x100", [("vexp", 16, False)]),
        ("tnot", "16x64xi32", [("vnot", 16, False)]),
        ("trecip", "32x64xf32", [("vector_dup", 32, False), ("vdiv", 32, True)]),
        ("tfmods", "2x64xf32", [(n, 1, bool(i)) for i, n in enumerate(("vector_dup", "vdiv", "vconv_f322f32", "vmuls", "vsub") * 2)] + [("vsub", 0, True)]),
        ("tands", "16x64xi16", [("vector_dup", 8, False), ("vand", 16, True)]),
    ],
)
def test_ops_of_one_tile_ask_for_the_library_s_instructions(op: str, body: str, expected: list[tuple[str, int, bool]]) -> None:
    assert work(op, src=f"vec, {body}", dst=f"vec, {body}") == expected


def test_ternary_ops_and_exclusive_or_have_barriers_between_their_steps() -> None:
    tile = dict.fromkeys(("src0", "src1", "src2", "dst"), F32)
    assert work("tsubc", **tile) == [("vsub", 16, False), ("vadd", 16, True)]
    tile = dict.fromkeys(("src0", "src1", "tmp", "dst"), I16)
    assert work("txor", **tile) == [("vor", 16, False), ("vand", 16, True), ("vnot", 8, True), ("vand", 16, True)]


def test_a_comparison_for_inequality_is_one_for_equality_and_a_not() -> None:
    tiles = {"src0": "vec, 2x64xf32", "src1": "vec, 2x64xf32", "dst": "vec, 2x32xui8"}
    assert work("tcmp", {"cmpMode": "ne"}, **tiles) == [("vcmpv", 1, False), ("vcmpv", 1, False), ("vnot", 1, True)]


def test_a_selection_loads_its_mask_row_by_row() -> None:
    tiles = {"mask": "vec, 2x8xui8", "src0": "vec, 2x64xf32", "src1": "vec, 2x64xf32", "tmp": "vec, 1x32xui8", "dst": "vec, 2x64xf32"}
    assert work("tsel", **tiles) == [("vector_dup", 1, False), ("vsel", 0, True), ("vsel", 1, True)] * 2


def test_a_conversion_goes_row_by_row_in_repeats_of_the_wider_type() -> None:
    assert work("tcvt", src="vec, 4x128xf32", dst="vec, 4x128xf16") == [("vconv_f322f16", 2, False)] * 4
    assert work("tcvt", src="vec, 4x64xi32, valid=4x50", dst="vec, 4x64xf16, valid=4x50") == [("vconv_deq", 4, True)]


def test_dequantisation_loads_each_row_s_numbers_on_the_scalar_unit() -> None:
    column = "vec, 2x1xf32, blayout=col_major"
    case = Case("pto.tdequant", {"src": "vec, 2x64xi16", "scale": column, "offset": column, "dst": "vec, 2x64xf32"})
    assert class_of(case).work(refs(case), {}) == (
        *(Vector("vconv_s162f32", "f32", 1), Vector("vconv_s162f32", "f32", 1, True), Vector("vconv_s162f32", "f32", 0, True)),
        *(Scalar(2), Vector("vadds", "f32", 1, True), Vector("vmuls", "f32", 1, True)) * 2,
        Vector("vmuls", "f32", 0, True),
    )


def test_an_unsaturated_conversion_with_scratch_goes_through_32_bits() -> None:
    assert work("tcvt", {"sat_mode": "OFF"}, src="vec, 1x64xf32", dst="vec, 1x64xi16", tmp="vec, 1x64xi32") == [
        ("vconv_f322s32", 1, False),
        ("vconv_s322s16", 1, True),
    ]
    steps = [n for n, _, _ in work("tcvt", {"sat_mode": "OFF"}, src="vec, 1x64xf16", dst="vec, 1x64xi8", tmp="vec, 1x64xi32")]
    assert steps == ["vconv_f162s32", "vconv_s322s16", "vector_dup", "vand", "vconv_s162f16", "vconv_f162s8", "vconv_f162s8"]


def test_shifts_by_tiles_run_on_the_scalar_unit() -> None:
    case = Case("pto.tshl", dict.fromkeys(("src0", "src1", "dst"), I32))
    assert class_of(case).work(refs(case), {}) == (Scalar(4 * 16 * 64),)
    assert class_of(case).internals["event_ids"]


def test_a_partial_op_copies_what_one_source_has_alone() -> None:
    case = Case("pto.tpartadd", {"src0": F32, "src1": "vec, 16x64xf32, valid=10x64", "dst": F32})
    assert class_of(case).work(refs(case), {}) == (Vector("vadd", "f32", 10), Transfer("ub_to_ub", 1, 6 * 256))
    narrow = Case("pto.tpartadd", {"src0": F32, "src1": "vec, 16x64xf32, valid=16x32", "dst": F32})
    assert class_of(narrow).work(refs(narrow), {}) == (Transfer("ub_to_ub", 1, 16 * 256), Vector("vadd", "f32", 16, True))


def test_a_fill_joins_rows_where_they_are_contiguous() -> None:
    ref = TileRef("ub", 0, "i8", 16, 64, "row_major", "none_box", 512, 0, 0, 16, 64)
    cls = class_of(Case("pto.texpands", {}))
    assert cls.work({"dst": ref}, {}) == (Vector("vector_dup", "i8", 4),)
    assert cls.work({"dst": ref._replace(v_cols=50)}, {}) == (Vector("vector_dup", "i8", 1),) * 16
    assert cls.work({"dst": ref._replace(memory="l1")}, {}) == (Transfer("gm_to_l1", 1, 1024),)
