"""The text form: what is read, where it says things are, and that writing and reading are inverse."""

import importlib
import pkgutil
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptoc.dialect import new_context
from ptoc.dialect import types as t
from ptoc.dialect.assembly import PTO, parse, to_text
from ptoc.dialect.assembly_format import compile_format, op_text, usage
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, PtoOp, location_of, record

from . import op_cases
from .assembly_texts import GENERIC, SECTIONS, SOUND, TILE, VECTOR_KERNEL, body
from .op_instances import create


def ops_of(module: ir.Module) -> list[ir.Operation]:
    """All ops, in the order of the text."""
    found: list[ir.Operation] = []
    module.operation.walk(lambda op: (found.append(op), ir.WalkResult.ADVANCE)[1], ir.WalkOrder.PRE_ORDER)
    return found


def lines(module: ir.Module) -> list[str]:
    """The module's text, as stripped lines."""
    return [line.strip() for line in to_text(module).splitlines()]


@pytest.mark.parametrize("text", SOUND)
def test_writing_and_reading_are_inverse(text: str) -> None:
    module = parse(text)
    written = to_text(module)
    again = parse(written)
    assert str(again) == str(module)
    assert to_text(again) == written


def test_an_op_is_written_in_custom_form_on_one_line() -> None:
    shown = lines(parse(VECTOR_KERNEL))
    assert f"pto.tadd ins(%4, %4 : {TILE}, {TILE}) outs(%4 : {TILE})" in shown
    assert "pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]" in shown
    assert "pto.barrier <PIPE_ALL>" in shown
    assert "%0 = pto.get_block_idx" in shown
    assert any("shape = [%arg2, %c128], strides = [%c128, %c1] {layout = #pto.layout<nd>} : !pto.tensor_view<?x?xf32>" in line for line in shown)


def test_functions_keep_our_types_and_attributes() -> None:
    head = "func.func @add(%arg0: !pto.ptr<f32>, %arg1: !pto.ptr<f32>, %arg2: index) attributes {pto.entry, pto.kernel_kind = #pto.kernel_kind<vector>} {"
    assert head in lines(parse(VECTOR_KERNEL))
    assert lines(parse(VECTOR_KERNEL))[0] == 'module attributes {pto.target_arch = "a3"} {'


def test_the_long_form_of_a_tile_is_the_short_one() -> None:
    shown = to_text(parse(SECTIONS))
    assert "pto.alloc_tile addr = %arg0 valid_row = %arg1 : !pto.tile_buf<mat, 32x32xf16, valid=?x32, blayout=col_major, slayout=row_major>" in shown
    assert '} {note = "}"}' in shown
    assert "pto.multi_tile_get %0[%arg1] : !pto.multi_tile_buf<vec, 16x16xf16, count=2> -> !pto.tile_buf<vec, 16x16xf16>" in shown
    assert "pto.subview %1[%arg1, %arg1] sizes [8, 16] : " in shown


def test_the_generic_form_is_the_custom_one() -> None:
    shown = lines(parse(GENERIC))
    assert "%0 = pto.addptr %arg0, %arg1 {far = true, near} : !pto.ptr<f32> -> !pto.ptr<f32>" in shown
    assert "pto.section.vector {" in shown
    assert "pto.set_flag[<PIPE_V>, <PIPE_S>, <EVENT_ID1>]" in shown


def test_a_generic_op_with_one_optional_operand_needs_no_segments() -> None:
    module = parse(body('"pto.tfree_from_aic"() {split = 0} : () -> ()', f'"pto.tfree_from_aic"(%a) {{split = 1}} : ({TILE}) -> ()'))
    assert "pto.tfree_from_aic {split = 0}" in lines(module)
    assert f"pto.tfree_from_aic(%0 : {TILE}) {{split = 1}}" in lines(module)


def test_a_type_may_leave_out_the_name_that_the_field_has() -> None:
    module = parse(body("%q = pto.addptr %p, %n : <f32> -> <f32>"))
    assert "%2 = pto.addptr %arg0, %arg1 : !pto.ptr<f32> -> !pto.ptr<f32>" in lines(module)


def test_type_and_attribute_aliases() -> None:
    text = f"!tile = {TILE}\n#loud = #pto.pipe<PIPE_ALL>\n#far = loc(\"elsewhere.py\":7:3)\n" + body(
        "pto.tadd ins(%a, %b : !tile, !tile) outs(%a : !tile) loc(#far)", "pto.barrier #loud"
    )
    module = parse(text, "a.pto")
    assert "pto.barrier <PIPE_ALL>" in lines(module)
    assert [location_of(op) for op in ops_of(module) if op.name == "pto.tadd"] == ["elsewhere.py:7"]


def test_unsigned_and_old_spellings_of_attributes() -> None:
    module = parse(body("pto.barrier <PIPE_V> {r = #pto<round_mode RINT>, s = #pto.round_mode<RINT>, v = #pto<address_space vec>, w = #pto.custom}"))
    (op,) = [op for op in ops_of(module) if op.name == "pto.barrier"]
    assert op.attributes["r"] == op.attributes["s"]
    shown = "pto.barrier <PIPE_V> {r = #pto<round_mode RINT>, s = #pto<round_mode RINT>, v = #pto.address_space<vec>, w = #pto.custom}"
    assert shown in lines(module)


def test_unknown_attributes_pass_through() -> None:
    text = body(f'pto.tadd ins(%a, %b : {TILE}, {TILE}) outs(%a : {TILE}) {{a = 1, b = 2 : i32, c = [1, 2.5], d = "x, }} y", e = {{f = i32}}, g}}')
    module = parse(text)
    (op,) = [op for op in ops_of(module) if op.name == "pto.tadd"]
    assert record(op).attributes["d"] == "x, } y"
    assert '{a = 1, b = 2 : i32, c = [1, 2.500000e+00], d = "x, } y", e = {f = i32}, g}' in to_text(module)


def test_attribute_values_are_kept_exactly() -> None:
    text = body('pto.barrier <PIPE_V> {note = #pto.note<say "hï" \\ and <more>>}')
    module = parse(text)
    assert record(next(op for op in ops_of(module) if op.name == "pto.barrier")).attributes["note"] == 'say "hï" \\ and <more>'
    assert str(parse(to_text(module))) == str(module)


def test_every_op_knows_its_line_and_column() -> None:
    module = parse(VECTOR_KERNEL, "kernels/add.pto")
    source = VECTOR_KERNEL.splitlines()
    for op in ops_of(module)[1:]:
        location = op.location
        assert location.filename == "kernels/add.pto"
        name = op.name.removeprefix("func.") if op.name == "func.return" else op.name
        if op.name != "scf.yield":
            assert source[location.start_line - 1][location.start_col - 1 :].startswith(name)


def test_columns_count_characters() -> None:
    line = '  "pto.barrier"() {pipe = #pto.pipe<PIPE_V>, note = "äöü"} : () -> () %c = arith.constant 1 : index'
    module = parse(f"func.func @f() {{\n{line}\n  return\n}}", "u.pto")
    (constant,) = [op for op in ops_of(module) if op.name == "arith.constant"]
    assert constant.location.start_col == line.index("arith") + 1


def test_an_op_that_its_form_cannot_express_is_written_in_generic_form() -> None:
    context = new_context()
    with context, ir.Location.file("a.py", 1, 1):
        module = parse(body(), context=context)
        tile = next(op for op in ops_of(module) if op.name == "pto.alloc_tile")
        with ir.InsertionPoint(tile):
            addr = ir.Operation.create("arith.constant", results=[ir.IndexType.get()], attributes={"value": ir.IntegerAttr.get(ir.IndexType.get(), 64)})
            segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0])}
            ir.Operation.create("pto.alloc_tile", [tile.results[0].type], [addr.result], segments)
        shown = to_text(module)
    assert f'"pto.alloc_tile"(%c64) {{operandSegmentSizes = array<i32: 1, 0, 0>}} : (index) -> {TILE}' in shown
    assert to_text(parse(shown)) == shown


def test_the_form_of_an_op_reads_like_its_text() -> None:
    assert usage(op_text("pto.tadd", REGISTRY["pto.tadd"])) == "pto.tadd ins(%src0, %src1 : type, type) outs(%dst : type) {attributes}"
    alloc = usage(op_text("pto.alloc_tile", REGISTRY["pto.alloc_tile"]))
    assert alloc == "pto.alloc_tile [addr = %addr] [valid_row = %valid_row] [valid_col = %valid_col] {attributes} : type"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type($nobody)", r"type\(\$nobody\) names no operand and no result"),
        ("($a)?", "an optional group has no anchor"),
        ("($a^", "a group is not closed"),
        ("$a ; $b", "unexpected ';'"),
    ],
)
def test_a_wrong_format_of_a_class_is_found(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_format(text, {"a": "single", "b": "single"})


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_op_states_a_format_for_all_that_it_has(name: str) -> None:
    cls: type[PtoOp] = REGISTRY[name]
    op = op_text(name, cls)
    for elements in op.formats:
        assert elements
    everywhere = " ".join(cls.format if isinstance(cls.format, tuple) else (cls.format,))
    for field in (*op.operands, *op.regions):
        assert f"${field} " in everywhere + " " or f"${field}^" in everywhere
    assert set(cls.operand_types) <= set(op.operands)
    assert set(cls.result_types) <= set(op.results)
    assert "attr-dict" in everywhere


CASES = [
    case
    for module in pkgutil.iter_modules(op_cases.__path__)
    for case in importlib.import_module(f"{op_cases.__name__}.{module.name}").CASES
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_op_survives_its_text(case: op_cases.Case) -> None:
    with new_context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            create(case)
        shown = to_text(module)
        assert re.search(rf"(?<![\w\"]){re.escape(case.op)}(?![\w\"])", shown)  # not in generic form
        again = parse(shown, context=context)
        assert str(again) == str(module)
        assert to_text(again) == shown


EXTENTS = st.one_of(st.none(), st.integers(1, 64))


@st.composite
def tiles(draw: st.DrawFn) -> t.Tile:
    """Any legal tile type."""
    rows, cols = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    return t.Tile(
        draw(st.sampled_from(sorted(t.MEMORIES))),
        draw(st.sampled_from([t.DTYPES[name] for name in ("f32", "bf16", "ui8", "f8E5M2")])),
        rows,
        cols,
        draw(st.one_of(st.none(), st.integers(1, rows))),
        draw(st.one_of(st.none(), st.integers(1, cols))),
        draw(st.sampled_from(t.LAYOUTS)),
        draw(st.sampled_from(("none_box", *t.LAYOUTS))),
        draw(st.sampled_from(t.FRACTALS)),
        draw(st.sampled_from(sorted(t.PADS))),
    )


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(tiles(), st.booleans())
def test_any_tile_type_survives_its_text(tile: t.Tile, long: bool) -> None:
    valid = ["?" if n is None else n for n in tile.valid]
    spelled = (
        f"loc={tile.loc}, dtype={tile.dtype}, rows={tile.rows}, cols={tile.cols}, v_row={valid[0]}, v_col={valid[1]}, "
        f"blayout={tile.blayout}, slayout={tile.slayout}, fractal={tile.fractal}, pad={tile.pad}"
    )
    module = parse(f"func.func private @f(!pto.tile_buf<{spelled if long else tile}>)")
    assert f"func.func private @f(!pto.tile_buf<{tile}>)" in lines(module)
    assert str(parse(to_text(module))) == str(module)


def test_the_dialect_of_the_text_is_a_parameter() -> None:
    assert PTO.prefix == "pto"
    assert PTO.registry is REGISTRY
    with new_context() as context:
        context.allow_unregistered_dialects = True
        module = parse('"pto2.thing"() : () -> ()\n"test.op"() {a = 1 : i32} : () -> ()', context=context, dialects=())
        assert '"test.op"() {a = 1 : i32} : () -> ()' in to_text(module, dialects=())
