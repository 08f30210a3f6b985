"""Padding, transposing, sorting, gathers and scalar accesses as ops: rules, work, facts."""

import pytest

from ptoc.dialect import new_context
from ptoc.dialect.errors import VerifyError
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.dialect.mlir import ir
from ptoc.machine.chip import load_chip
from ptoc.machine.pricing import price
from ptoc.machine.work import Scalar, Transfer, Vector
from ptoc.simulator.regions import Memory

from .op_cases import Case, gather, rearrange, scalar_access, sorting
from .op_instances import built, class_of, refs

CASES = [*rearrange.CASES, *sorting.CASES, *gather.CASES, *sorting.LOCAL_CASES, *gather.LOCAL_CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_is_a_valid_op_with_work(case: Case) -> None:
    with built(case) as record:
        assert record.cls.spelling == case.op
        assert record.cls.pipe_of(record) in ("V", "MTE2", "MTE3")
        assert set(record.cls.internals_of(record) if hasattr(record.cls, "internals_of") else {}) <= {"drained", "event_ids"}
    items = class_of(case).work(refs(case) | case.scalars, case.attributes)
    assert price(load_chip("ascend910b1"), items).occupancy > 0


@pytest.mark.parametrize("case", scalar_access.CASES, ids=str)
def test_scalar_ops_are_valid(case: Case) -> None:
    with built(case) as record:
        assert record.cls.pipe_of(record) in ("S", "")
        if record.cls.pipe:
            assert record.cls.work({}, {}) == (Scalar(1),)


PADDED = {"src": "vec, 16x64xf32, valid=13x50", "dst": "vec, 16x64xf32, pad=1"}
SORT = {"src": "vec, 4x64xf32", "idx": "vec, 4x64xui32", "dst": "vec, 4x128xf32"}
PICK = {"src": "vec, 8x64xf32", "indices": "vec, 4x32xi32", "dst": "vec, 4x32xf32", "tmp": "vec, 4x32xi32"}
MEM = {"mem": "gm, 32x64xf32", "idx": "vec, 8x16xi32", "dst": "vec, 8x16xf32"}
HISTOGRAM = sorting.CASES[-1].tiles
WRONG = [
    ("pto.tfillpad", PADDED | {"dst": "vec, 16x64xf32"}, r"pad=1 \(zero\), 2 \(max\) or 3 \(min\); got pad=0"),
    ("pto.tfillpad", PADDED | {"dst": "vec, 16x64xf16, pad=1"}, "elements of one size, 1, 2 or 4 bytes; got f32 and f16"),
    ("pto.tfillpad", PADDED | {"dst": "vec, 16x128xf32, pad=1"}, "src must have one shape; got 16x64 into 16x128"),
    ("pto.tfillpad_expand", PADDED | {"dst": "vec, 16x32xf32, pad=1"}, "src must not be larger than dst; got 16x64 into 16x32"),
    ("pto.tfillpad", PADDED | {"dst": "vec, 16x64xf32, valid=12x64, pad=1"}, "at least src's valid rows 13; got 12"),
    ("pto.ttrans", {"src": "vec, 8x16xf32", "tmp": "vec, 16x16xf32", "dst": "vec, 8x16xf32"}, "got src 8x16, dst 8x16"),
    ("pto.tconcat", {"src0": "vec, 8x16xf32", "src1": "vec, 8x16xf32", "dst": "vec, 8x64xf32"}, r"together; got 16 \+ 16 and 64"),
    ("pto.tsort32", SORT | {"idx": "vec, 4x64xf32"}, "idx must have one of the types ui32 i32; got f32"),
    ("pto.tsort32", SORT | {"dst": "vec, 4x64xf32"}, "2 columns for each of src's 64; got 64"),
    (
        "pto.tsort32",
        {"src": "vec, 4x64xf32, valid=4x50", "idx": "vec, 4x64xui32, valid=4x50", "dst": "vec, 4x128xf32, valid=4x100"},
        "columns that are no multiple of 32 need a tmp tile; got 50 columns and none",
    ),
    ("pto.tmrgsort", {"src0": "vec, 1x64xf32", "dst": "vec, 1x64xf32"}, "with block_len there is one source, without it 2 to 4; got src0"),
    ("pto.tmrgsort", {"src0": "vec, 1x64xf32", "src1": "vec, 1x64xf32", "dst": "vec, 1x128xf32"}, "a merge of several sources needs a tmp tile"),
    (
        "pto.tmrgsort",
        {"src0": "vec, 2x64xf32", "src1": "vec, 1x64xf32", "dst": "vec, 1x128xf32", "tmp": "vec, 1x128xf32"},
        "src0 must be a vec tile of one row of f32 or f16; got vec, 2x64xf32",
    ),
    ("pto.thistogram", HISTOGRAM | {"dst": "vec, 4x128xui32"}, "dst must have 256 valid columns, one for each byte; got 128"),
    ("pto.tgather", {"src": "vec, 8x64xf32", "dst": "vec, 4x32xf32"}, "give one of maskPattern, indices and k_value"),
    ("pto.tgather", PICK | {"src": "vec, 8x64xi8", "dst": "vec, 4x32xi8"}, "elements must have 2 or 4 bytes; got i8"),
    ("pto.tgatherb", {"src": "vec, 8x64xf32", "offsets": "vec, 4x8xui32", "dst": "vec, 4x64xf32, valid=4x20"}, "whole blocks of 8 .32 bytes.; got 20"),
    ("pto.tscatter", {"src": "vec, 4x64xf16", "indexes": "vec, 4x64xi32", "dst": "vec, 8x64xf16"}, "indexes must have one of the types i16 ui16; got i32"),
    ("pto.mgather", MEM | {"mem": "vec, 32x64xf32"}, "mem must be a view of global memory; got vec, 32x64xf32"),
    ("pto.mgather", MEM | {"mem": "gm, 32x64xf16"}, "mem and dst must have elements of one size; got f16 and f32"),
    ("pto.mgather", MEM | {"idx": "vec, 8x8xi32"}, "an entry for each element of dst, or the op coalesce = .*; got 8x8 for 8x16"),
]


@pytest.mark.parametrize(("op", "tiles", "message"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_a_broken_rule_is_told(op: str, tiles: dict[str, str], message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(Case(op, tiles)):
        pass


COMPARED = next(c for c in gather.CASES if "cdst" in c.tiles)
MORE = [
    (Case("pto.tgather", {"src": "vec, 4x64xf32", "dst": "vec, 4x64xi32"}, {"k_value": 2.0}), "needs cdst for the counts"),
    (Case("pto.mgather", MEM, attributes=gather.ROWS), r"each row \(coalesce = row\) of dst; got 8x16 for 8x16"),
    (Case("pto.tgather", COMPARED.tiles, COMPARED.scalars, {"cmpMode": "cmp lt"}), "knows eq and gt; got lt"),
    (
        Case("pto.tgather", {"src": "vec, 4x64xf32", "dst": "vec, 4x32xf16"}, attributes={"maskPattern": "mask_pattern P0101"}),
        "elements of one size; got f32 and f16",
    ),
    (Case("pto.tmrgsort", {"src0": "vec, 1x64xf32", "dst": "vec, 1x64xf16"}, {"block_len": 64}), "one element type; got src0 f32, dst f16"),
    (Case("pto.tsetval", {"dst": "mat, 8x64xf32"}, {"offset": 1, "val": 1.0}), "dst must be a vec tile; got mat"),
    (Case("pto.tsetval", {"dst": "vec, 16x64xf32, slayout=row_major"}, {"offset": 1, "val": 1.0}), "dst must be unboxed"),
    (Case("pto.tsetval", {"dst": "vec, 8x64xf16"}, {"offset": 1, "val": 1.0}), "val must have dst's element type f16; got f32"),
    (Case("pto.set_validshape", {"source": "vec, 8x64xf32"}, {"valid_row": 3, "valid_col": 5}), r"the tile must have valid=\?x\?; got vec, 8x64xf32"),
]


@pytest.mark.parametrize(("case", "message"), MORE, ids=lambda x: x if isinstance(x, str) else "")
def test_a_broken_rule_of_a_form_is_told(case: Case, message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(case):
        pass


def test_a3_has_no_histogram() -> None:
    with pytest.raises(VerifyError, match="a3 has no histogram instruction"), built(sorting.CASES[-1], arch="a3"):
        pass


def ops(text: str) -> None:
    """Verifies a function body in generic form."""
    with new_context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        try:
            module = ir.Module.parse(text)
            module.operation.verify()
        except ir.MLIRError as error:
            raise VerifyError("; ".join(d.message for d in error.error_diagnostics)) from None


INDEX, TILE = '%i = "test.value"() : () -> index', '%t = "test.value"() : () -> !pto.tile_buf<"vec, 8x64xf32">'
POINTER, VIEW = '%p = "test.value"() : () -> !pto.ptr<"f32">', '%v = "test.value"() : () -> !pto.tensor_view<"?x64xf32">'
WORD = '%a = "test.value"() : () -> i64'
RESULTS = [
    (f'{INDEX}\n{TILE}\n%x = "pto.tgetval"(%t, %i) : (!pto.tile_buf<"vec, 8x64xf32">, index) -> f32', ""),
    (f'{INDEX}\n{TILE}\n%x = "pto.tgetval"(%t, %i) : (!pto.tile_buf<"vec, 8x64xf32">, index) -> f16', "src's element type f32; got f16"),
    (f'{INDEX}\n{POINTER}\n%x = "pto.load_scalar"(%p, %i) : (!pto.ptr<"f32">, index) -> f32', ""),
    (f'{INDEX}\n{POINTER}\n%x = "pto.load_scalar"(%p, %i) : (!pto.ptr<"f32">, index) -> i32', "the pointer's element type f32; got i32"),
    (f'{INDEX}\n{POINTER}\n%x = "test.value"() : () -> f32\n"pto.store_scalar"(%p, %i, %x) : (!pto.ptr<"f32">, index, f32) -> ()', ""),
    (f'{INDEX}\n{VIEW}\n%x = "pto.get_tensor_view_dim"(%v, %i) : (!pto.tensor_view<"?x64xf32">, index) -> index', ""),
    (f'{TILE}\n%x = "pto.bitcast"(%t) : (!pto.tile_buf<"vec, 8x64xf32">) -> !pto.tile_buf<"vec, 8x64xi32">', ""),
    (
        f'{TILE}\n%x = "pto.bitcast"(%t) : (!pto.tile_buf<"vec, 8x64xf32">) -> !pto.tile_buf<"vec, 8x64xf16">',
        "only the element type may change, to one of the same size; got vec, 8x64xf32 and vec, 8x64xf16",
    ),
    (f'{TILE}\n{WORD}\n%x = "pto.tassign"(%t, %a) : (!pto.tile_buf<"vec, 8x64xf32">, i64) -> !pto.tile_buf<"vec, 8x64xf32">', ""),
    (
        f'{TILE}\n{WORD}\n%x = "pto.tassign"(%t, %a) : (!pto.tile_buf<"vec, 8x64xf32">, i64) -> !pto.tile_buf<"vec, 8x32xf32">',
        "the result must have the tile's type; got vec, 8x64xf32 and vec, 8x32xf32",
    ),
]


@pytest.mark.parametrize(("text", "message"), RESULTS)
def test_ops_with_results_verify(text: str, message: str) -> None:
    if not message:
        ops(text)
        return
    with pytest.raises(VerifyError, match=message):
        ops(text)


def work(case: Case) -> tuple:
    """The work of a case."""
    return class_of(case).work(refs(case) | case.scalars, case.attributes)


def test_a_transpose_turns_subtiles_and_copies_them() -> None:
    case = Case("pto.ttrans", {"src": "vec, 32x64xf16", "tmp": "vec, 64x32xf16", "dst": "vec, 64x32xf16"})
    turn = Vector("scatter_vnchwconv_b16", "f16", 2)
    assert work(case) == (turn, turn, turn, turn, Vector("scatter_vnchwconv_b16", "f16", 0, True), Transfer("ub_to_ub", 64, 64))
    with built(case) as record:
        assert record.cls.internals_of(record) == {}


def test_an_odd_transpose_goes_by_the_scalar_unit() -> None:
    case = Case("pto.ttrans", {"src": "vec, 16x8xf32, valid=5x8", "tmp": "vec, 8x16xf32", "dst": "vec, 8x8xf32, valid=8x5"})
    assert work(case) == (Scalar(80),)
    with built(case) as record:
        assert record.cls.internals_of(record) == {"event_ids": (("PIPE_V", "PIPE_S", 0), ("PIPE_S", "PIPE_V", 0))}


def test_every_row_is_sorted_alone() -> None:
    """Two blocks of 32 a row, a barrier after each row."""
    assert work(Case("pto.tsort32", SORT)) == (
        Vector("vbitsort", "f32", 2),
        *[Vector("vbitsort", "f32", 2, True)] * 3,
        Vector("vbitsort", "f32", 0, True),
    )


def test_a_gather_computes_byte_offsets_row_by_row() -> None:
    assert work(Case("pto.tgather", PICK)) == (Vector("vmuls", "i32", 1), Vector("vgather", "f32", 1, True)) * 4


def test_memory_is_gathered_by_one_load_an_index() -> None:
    items = work(next(c for c in gather.LOCAL_CASES if c.op == "pto.mgather"))
    assert items == (Scalar(16), *[Transfer("gm_to_ub", 1, 256)] * 8)


def test_padding_reaches_the_tile_only_where_it_must() -> None:
    """50 of 64 columns: the block that is half valid, the rest of the first row, copies of that to the others, the rows below."""
    assert work(Case("pto.tfillpad_inplace", PADDED)) == (
        Vector("vector_dup", "f32", 13),
        Vector("vector_dup", "f32", 1, True),
        Vector("vcopy", "f32", 12, True),
        Vector("vector_dup", "f32", 3),
    )


@pytest.mark.parametrize(
    ("op", "tiles", "facts"),
    [
        ("pto.tfillpad", PADDED, {"pad": 1}),
        ("pto.tgather", PICK, {"src_cols": 64}),
        ("pto.tgatherb", {"src": "vec, 8x64xf32", "offsets": "vec, 4x8xui32", "dst": "vec, 4x64xf32"}, {"src_cols": 64}),
        ("pto.tscatter", {"src": "vec, 4x64xf32", "indexes": "vec, 4x64xi32", "dst": "vec, 4x32xf32"}, {"dst_cols": 32}),
    ],
)
def test_facts_of_types_reach_the_meaning(op: str, tiles: dict[str, str], facts: dict[str, int]) -> None:
    with built(Case(op, tiles)) as record:
        assert record.cls.attributes_of(record) == facts


def test_one_element_is_narrowed_to_its_bytes() -> None:
    tile = TileRef("ub", 0, "f32", 8, 64, "row_major", "none_box", 512, 0, 0, 8, 64)
    one = tile._replace(row=2, col=9, v_rows=1, v_cols=1)
    assert class_of(Case("pto.tgetval", {})).narrow({"src": tile, "offset": 137}, {}) == {"src": one, "offset": 0}
    column = tile._replace(blayout="col_major", rows=64, cols=8)
    assert class_of(Case("pto.tsetval", {})).narrow({"dst": column, "offset": 137, "val": 1.0}, {})["dst"] == column._replace(
        row=9, col=2, v_rows=1, v_cols=1
    )
    store = class_of(Case("pto.store_scalar", {}))
    narrowed = store.narrow({"ptr": Memory("gm:x", 64), "offset": 3, "value": 1.0}, {"dtype": "f32"})
    assert narrowed == {"ptr": ViewRef("gm:x", 19, "f32", (1,), (1,)), "offset": 0, "value": 1.0}


def test_the_older_spelling_of_a_part_is_a_subview() -> None:
    assert class_of(Case("pto.subset", {})).operand_names() == class_of(Case("pto.subview", {})).operand_names()
