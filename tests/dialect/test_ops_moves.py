"""Loads, stores and moves as ops: engines, rules, transfers, windows."""

import pytest

from ptoc.dialect.errors import VerifyError
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.machine.work import Scalar, Transfer, Vector

from .op_cases import Case, copies, moves
from .op_instances import built, class_of, refs

ACC, NZ, LEFT = copies.ACC, copies.NZ, copies.LEFT


@pytest.mark.parametrize("case", [*moves.CASES, *copies.CASES], ids=str)
def test_every_case_is_a_valid_op_with_work(case: Case) -> None:
    with built(case) as record:
        assert record.cls.spelling == case.op
        assert record.cls.pipe_of(record) in ("MTE1", "MTE2", "MTE3", "FIX", "V")
    items = class_of(case).work(refs(case) | case.scalars, case.attributes)
    moved = sum(item.bytes for item in items if isinstance(item, Transfer))
    assert moved or isinstance(items[0], Scalar)


ENGINES = [
    ("pto.tload", {"src": "gm, 16x64xf32", "dst": "vec, 16x64xf32"}, "MTE2"),
    ("pto.tstore", {"src": "vec, 16x64xf32", "dst": "gm, 16x64xf32"}, "MTE3"),
    ("pto.tstore", {"src": f"acc, 16x64xf32{ACC}", "dst": "gm, 16x64xf32"}, "FIX"),
    ("pto.tmov", {"src": "vec, 16x64xf32", "dst": "vec, 16x64xf32"}, "V"),
    ("pto.tmov", {"src": f"mat, 16x64xf32{NZ}", "dst": f"left, 16x64xf32{LEFT}"}, "MTE1"),
    ("pto.tmov", {"src": f"acc, 16x64xf32{ACC}", "dst": f"mat, 16x64xf16{NZ}"}, "FIX"),
    ("pto.tmov", {"src": "vec, 16x64xf32", "dst": "mat, 16x64xf32"}, "MTE3"),
]


@pytest.mark.parametrize(("op", "tiles", "engine"), ENGINES)
def test_the_memories_decide_the_engine(op: str, tiles: dict[str, str], engine: str) -> None:
    with built(Case(op, tiles)) as record:
        assert record.cls.pipe_of(record) == engine


SRC, TILE = "gm, 16x64xf32", "vec, 16x64xf32"
STORE = {"src": f"acc, 16x64xf32{ACC}", "dst": "gm, 16x64xf32"}
WRONG = [
    ("pto.tload", {"src": TILE, "dst": TILE}, {}, "src must be a view of global memory; got a vec tile"),
    ("pto.tload", {"src": SRC, "dst": f"left, 16x64xf32{LEFT}"}, {}, "dst must be a vec or mat tile; got left"),
    ("pto.tload", {"src": SRC, "dst": "vec, 16x64xf16"}, {}, "elements of one size; got f32 and f16"),
    ("pto.tload", {"src": "gm, 16x32xf32", "dst": TILE}, {}, "equally many elements; got 16x32xf32 and 16x64xf32"),
    ("pto.tload", {"src": "gm, 32x32xf32", "dst": TILE}, {}, "must have one shape; got 32x32xf32 and 16x64xf32"),
    ("pto.tstore", {"src": TILE, "dst": TILE}, {}, "dst must be a view of global memory; got a vec tile"),
    ("pto.tstore", {"src": f"left, 16x64xf32{LEFT}", "dst": SRC}, {}, "src must be a vec, acc or mat tile; got left"),
    ("pto.tstore", {"src": TILE, "dst": "gm, 16x64xf16"}, {}, "elements of one size; got f32 and f16"),
    ("pto.tstore", STORE | {"dst": "gm, 16x64xi8"}, {}, "an f32 accumulator is stored without a scale as f32 or f16 or bf16; got i8"),
    ("pto.tstore", STORE | {"src": f"acc, 16x64xf16{ACC}"}, {}, "an accumulator must be f32 or i32; got f16"),
    ("pto.tstore", {"src": TILE, "dst": SRC}, {"reluPreMode": "relu_pre_mode normal_relu"}, "reluPreMode needs an acc tile as src; got vec"),
    ("pto.tstore", {"src": "vec, 16x64xui8", "dst": "gm, 16x64xui8"}, {"atomicType": "atomic_type atomic_add"}, "an atomic addition needs one of .*; got ui8"),
    ("pto.tstore_fp", {"src": TILE, "fp": "scaling, 1x64xi64", "dst": SRC}, {}, "src must be an acc tile; got vec"),
    ("pto.tmov", {"src": TILE, "dst": f"left, 16x64xf32{LEFT}"}, {}, "no engine moves a vec tile to a left tile; known: vec to vec"),
    ("pto.tmov", {"src": TILE, "dst": "vec, 8x64xf32"}, {}, "must have one shape; got 16x64 and 8x64"),
    ("pto.tmov", {"src": TILE, "dst": "vec, 16x64xi32"}, {}, "one element type; got src f32, dst i32"),
    ("pto.tmov", {"src": "mat, 1x48xi8", "dst": "bias, 1x48xf32"}, {}, "takes one row of a multiple of 64 bytes; got 1x48xi8"),
    ("pto.tmov", {"src": "mat, 1x64xi32", "dst": "bias, 1x64xf32"}, {}, "a bias is f32 from f32 or f16, or i32 from i32; got f32 from i32"),
    ("pto.textract", {"src": TILE, "dst": "vec, 32x64xf32"}, {}, "dst must fit into src; got 32x64 and 16x64"),
    ("pto.tinsert", {"src": "vec, 32x64xf32", "dst": TILE}, {}, "src must fit into dst; got 32x64 and 16x64"),
]


@pytest.mark.parametrize(("op", "tiles", "attributes", "message"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_a_broken_rule_is_told(op: str, tiles: dict[str, str], attributes: dict[str, str], message: str) -> None:
    scalars = {"index_row": 0, "index_col": 0} if op in ("pto.textract", "pto.tinsert") else {}
    with pytest.raises(VerifyError, match=message), built(Case(op, tiles, scalars, attributes)):
        pass


def test_a_scale_stores_bytes_only() -> None:
    with pytest.raises(VerifyError, match="an f32 accumulator is stored with a scale as i8 or ui8; got f32"), built(Case("pto.tstore", STORE, {"pre_quant_scalar": 1})):
        pass


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        ({"src": f"acc, 16x64xf32{ACC}", "dst": "vec, 16x64xf32"}, "a3 has no way from acc to vec: go through global memory"),
        ({"src": f"acc, 16x64xf32{ACC}", "dst": f"mat, 16x64xf32{NZ}"}, "in L1 as f16 or bf16 from f32, or with a scale; got f32 from f32"),
    ],
)
def test_a3_lacks_ways_that_a5_has(tiles: dict[str, str], message: str) -> None:
    with pytest.raises(VerifyError, match=message), built(Case("pto.tmov", tiles), arch="a3"):
        pass
    with built(Case("pto.tmov", tiles), arch="a5") as record:
        assert record.cls.pipe_of(record) == "FIX"


def test_an_atomic_store_reads_what_it_adds_to() -> None:
    for attributes, reads in (({}, ("src",)), ({"atomicType": "atomic_type atomic_add"}, ("src", "dst"))):
        with built(Case("pto.tstore", STORE, attributes=attributes)) as record:
            assert record.cls.reads_of(record) == reads


def work(op: str, tiles: dict[str, str], **scalars: int) -> tuple:
    case = Case(op, tiles, scalars)
    return class_of(case).work(refs(case) | scalars, {})


def test_rows_of_a_view_are_bursts_where_they_lie_apart() -> None:
    case = Case("pto.tload", {"src": "gm, 128x64xf16", "dst": f"mat, 128x64xf16{NZ}"})
    tile = refs(case)["dst"]
    load = class_of(case)
    apart = ViewRef("gm:k", 0, "f16", (128, 64), (512, 1))
    assert load.work({"src": apart, "dst": tile}, {}) == (Transfer("gm_to_l1", 128, 128),)
    dense = apart._replace(strides=(64, 1))
    assert load.work({"src": dense, "dst": tile}, {}) == (Transfer("gm_to_l1", 1, 128 * 128),)


def test_a_column_major_view_is_transposed_into_a_boxed_tile() -> None:
    case = Case("pto.tload", {"src": "gm, 128x64xf16", "dst": "mat, 128x64xf16, blayout=row_major, slayout=col_major"})
    turned = ViewRef("gm:k", 0, "f16", (128, 64), (1, 512))
    assert class_of(case).work({"src": turned, "dst": refs(case)["dst"]}, {}) == (Transfer("gm_to_l1_dn", 64, 256),)


def test_l0_tiles_are_loaded_in_whole_fractals() -> None:
    src = f"mat, 64x64xf16{NZ}"
    assert work("pto.tmov", {"src": src, "dst": f"left, 64x64xf16, valid=50x40{LEFT}"}) == (Transfer("l1_to_l0a", 1, 64 * 48 * 2),)
    assert work("pto.tmov", {"src": src, "dst": f"right, 64x64xf16, valid=50x40{copies.RIGHT}"}) == (Transfer("l1_to_l0b", 1, 64 * 48 * 2),)


def test_a_dense_copy_is_one_transfer_and_a_pitched_one_goes_row_by_row() -> None:
    assert work("pto.tmov", {"src": TILE, "dst": TILE}) == (Transfer("ub_to_ub", 1, 4096),)
    part = "vec, 16x64xf32, valid=3x50"
    assert work("pto.tmov", {"src": part, "dst": part}) == (Transfer("ub_to_ub", 1, 224),) * 3


def test_an_unaligned_window_takes_a_masked_copy_behind_its_blocks() -> None:
    tiles = {"src": "vec, 32x64xf32", "dst": "vec, 8x16xf32, valid=5x11"}
    assert work("pto.textract", tiles, index_row=0, index_col=8) == (Transfer("ub_to_ub", 5, 32), Vector("vcopy", "ui16", 5))
    assert work("pto.textract", tiles | {"dst": "vec, 1x8xf32, valid=1x1"}, index_row=0, index_col=1) == (Scalar(2),)


def test_a_window_names_the_bytes_that_it_touches() -> None:
    """Index (16, 32) of a 64x128 tile at address 0: narrowing moves the region and clears the index."""
    large = TileRef("ub", 0, "f32", 64, 128, "row_major", "none_box", 512, 0, 0, 64, 128)
    small = TileRef("ub", 65536, "f32", 8, 16, "row_major", "none_box", 512, 0, 0, 8, 16)
    window = large._replace(row=16, col=32, v_rows=8, v_cols=16)
    for op, larger, smaller in (("pto.textract", "src", "dst"), ("pto.tinsert", "dst", "src")):
        cls = class_of(Case(op, {}))
        operands = {larger: large, smaller: small, "index_row": 16, "index_col": 32}
        assert cls.narrow(operands, {}) == {larger: window, smaller: small, "index_row": 0, "index_col": 0}


@pytest.mark.parametrize("op", ["pto.tinsert", "pto.tinsert_fp", "pto.tsetval", "pto.store_scalar"])
def test_what_is_written_in_part_is_also_read(op: str) -> None:
    """Else its earlier contents would count as dead; `partial` names what is only written once it is narrowed to its part."""
    cls = class_of(Case(op, {}))
    assert cls.partial == cls.writes
    assert set(cls.partial) <= set(cls.reads)


def test_one_element_goes_by_the_scalar_unit() -> None:
    one = next(c for c in copies.CASES if c.op == "pto.textract" and "valid=1x1" in c.tiles["dst"])
    with built(one) as record:
        assert record.cls.internals_of(record)["event_ids"] == (("PIPE_V", "PIPE_S", 0), ("PIPE_S", "PIPE_V", 0))
