"""The C++ text of ops: its holes fit the op, and how each hole is filled."""

import pytest

from ptoc.codegen.calls import GROUP, HOLE, emit_call, fill, spelled
from ptoc.codegen.structure import emit_op
from ptoc.codegen.writer import Writer
from ptoc.dialect import new_context
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, Record
from ptoc.dialect.types import attribute
from ptoc.machine.chip import load_chip

from .texts import cpp, function, parse, statements

WITH_CPP = [cls for cls in REGISTRY.values() if cls.cpp and emit_op.dispatch(cls) is emit_call]


@pytest.mark.parametrize("cls", WITH_CPP, ids=lambda cls: cls.spelling)
def test_holes_name_operands_and_facets_that_there_are(cls: type) -> None:
    names = {*cls.operand_names(), *cls.result_names()}
    for name, facet, _ in HOLE.findall(cls.cpp):
        assert facet in ("", "type", "dtype", "variable")
        assert not facet or name in names, f"{name}.{facet}: no operand or result of that name"


@pytest.mark.parametrize("cls", WITH_CPP, ids=lambda cls: cls.spelling)
def test_every_required_operand_with_data_is_in_the_text(cls: type) -> None:
    required = {name for name, segment in zip(cls.operand_names(), cls.segments()) if segment == "single"} & {*cls.reads, *cls.writes}
    assert required <= {name for name, _, _ in HOLE.findall(cls.cpp)}


@pytest.mark.parametrize("cls", WITH_CPP, ids=lambda cls: cls.spelling)
def test_optional_operands_stand_in_groups(cls: type) -> None:
    """Where an optional operand is absent, its comma goes with it."""
    optional = {name for name, segment in zip(cls.operand_names(), cls.segments()) if segment == "optional"}
    outside = {name for name, _, default in HOLE.findall(GROUP.sub("", cls.cpp)) if not default}
    assert not optional & outside


def filled(text: str, **present: str) -> str:
    """A text filled in, with attributes as given."""
    with new_context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        attributes = {name: ir.StringAttr.get(value) for name, value in present.items()}
        op = ir.Operation.create("test.op", attributes=attributes, loc=ir.Location.file("k.pto", 3, 1))
        cls = type("Op", (), {"cpp": text, "spelling": "pto.op"})
        return fill(Record(op, cls, {}, {}, {}, dict(present)), Writer(load_chip("ascend910b1"), {}))


def test_groups_and_defaults() -> None:
    assert filled("F({a}[, {b}][, {c}, {d}]);", a="1", c="3") == "F(1);"
    assert filled("F({a}[, {b}][, {c}, {d}]);", a="1", b="2", c="3", d="4") == "F(1, 2, 3, 4);"
    assert filled("F({a|X::Y});") == "F(X::Y);"
    assert filled("F({a}[, {b}, {c|false}]);", a="1", b="2") == "F(1, 2, false);"
    assert filled("F({a}[, {b}, {c|false}]);", a="1", c="3") == "F(1);"
    assert filled("x[3] = {a};", a="1") == "x[3] = 1;"


def test_a_missing_operand_is_named() -> None:
    with pytest.raises(NotSupportedError, match=r"k.pto:3: 'pto.op': C\+\+ needs 'b', which is not given"):
        filled("F({a}, {b});", a="1")


@pytest.mark.parametrize(
    ("mnemonic", "text", "expected"),
    [
        ("round_mode", "RINT", "RoundMode::CAST_RINT"),
        ("round_mode", "CAST_RINT", "RoundMode::CAST_RINT"),
        ("cmp", "lt", "CmpMode::LT"),
        ("pipe", "PIPE_V", "PIPE_V"),
        ("event", "EVENT_ID3", "EVENT_ID3"),
        ("atomic_type", "atomic_add", "AtomicType::AtomicAdd"),
        ("relu_pre_mode", "NormalRelu", "ReluPreMode::NormalRelu"),
        ("mask_pattern", "P0101", "MaskPattern::P0101"),
    ],
)
def test_enum_attributes_are_spelled_as_the_library_has_them(mnemonic: str, text: str, expected: str) -> None:
    with new_context():
        assert spelled(attribute(mnemonic, text)) == expected


def test_numbers_and_switches_are_literals() -> None:
    with new_context(), ir.Location.unknown():
        attributes = [
            ir.BoolAttr.get(True),
            ir.IntegerAttr.get(ir.IntegerType.get_signless(32), -3),
            ir.FloatAttr.get(ir.F32Type.get(), 0.5),
        ]
        assert [spelled(a) for a in attributes] == ["true", "(-3)", "0.5f"]
        with pytest.raises(NotSupportedError, match=r"attribute .* has no C"):
            spelled(ir.ArrayAttr.get([]))


def test_results_of_ops_become_variables() -> None:
    text = cpp(
        function(
            "%z = arith.constant 3 : index\n%x = pto.load_scalar %p[%z] : !pto.ptr<i64> -> i64\npto.store_scalar %x, %p[%z] : !pto.ptr<i64>, i64"
        )
    )
    assert "int64_t value = *(arg0 + 3);" in statements(text)
    assert "*(arg0 + 3) = value;" in statements(text)


def test_a_parameter_taken_by_reference_gets_a_variable() -> None:
    body = """
      %at = arith.constant 0 : i64
      %far = arith.constant 8192 : i64
      %list = arith.constant dense<[64, 64, 0, 0]> : vector<4xi16>
      %k = arith.constant 0 : index
    """
    w = Writer(load_chip("ascend910b1"), {}, depth=1)
    with new_context(), ir.Location.unknown():
        module = parse(function(body))
        with module.context:
            ops = list(module.body.operations[0].body.blocks[0].operations)
            for op in ops[:4]:
                emit_op(op, w)
            values = {"list": ops[2].result, "k": ops[3].result}
            cls = type("Op", (), {"cpp": "F({list.variable}, {k});", "spelling": "pto.op"})
            text = fill(Record(ops[0].operation, cls, values, {}, {}, {}), w)
    assert w.lines == ["    MrgSortExecutedNumList list = MrgSortExecutedNumList{64, 64, 0, 0};"]
    assert text == "F(list, 0);"


VEC, PART = "!pto.tile_buf<vec, 16x64xf32>", "!pto.tile_buf<vec, 16x32xf32>"
ACC = "!pto.tile_buf<acc, 32x32xf32, blayout=col_major, slayout=row_major, fractal=1024>"
BOXED = "blayout=col_major, slayout=row_major"


def lines_of(body: str, element: str = "f32") -> list[str]:
    """The calls of ops in a function of one pointer."""
    constants = "%at = arith.constant 0 : i64\n%zero = arith.constant 0 : index\n%one = arith.constant 1 : index\n%n = arith.constant 32 : index\n"
    return [line for line in statements(cpp(function(constants + body, f"%p: !pto.ptr<{element}>"))) if line.startswith("T") and not line.startswith("TASSIGN")]


def test_a_part_of_a_tile_goes_into_a_call_with_the_type_that_it_is_declared_with() -> None:
    body = f"""
      %t = pto.alloc_tile addr = %at : {VEC}
      %part = pto.subview %t[%zero, %zero] sizes [16, 32] : {VEC} -> {PART}
      %v = pto.make_tensor_view %p, shape = [%n, %n], strides = [%n, %one] : !pto.tensor_view<32x32xf32>
      %w = pto.partition_view %v, offsets = [%zero, %zero], sizes = [%n, %n] : !pto.tensor_view<32x32xf32> -> !pto.partition_tensor_view<16x32xf32>
      pto.tstore ins(%part : {PART}) outs(%w : !pto.partition_tensor_view<16x32xf32>)
    """
    (store,) = lines_of(body)
    assert store.startswith("TSTORE<Vec_16x64_f32_valid16x32, ")


@pytest.mark.parametrize(("attributes", "binary"), [("{isBinary = true} ", "true"), ("", "false")])
def test_a_sum_of_columns_with_scratch_says_whether_it_is_binary(attributes: str, binary: str) -> None:
    row = "!pto.tile_buf<vec, 1x64xf32>"
    body = f"""
      %t = pto.alloc_tile addr = %at : {VEC}
      %r = pto.alloc_tile addr = %at : {row}
      pto.tcolsum ins(%t, %t {attributes}: {VEC}, {VEC}) outs(%r : {row})
    """
    (call,) = lines_of(body)
    assert call.endswith(f", {binary});")


def test_a_store_scaled_by_column_is_rectified() -> None:
    body = f"""
      %a = pto.alloc_tile addr = %at : {ACC}
      %f = pto.alloc_tile addr = %at : !pto.tile_buf<scaling, 1x32xi64>
      %v = pto.make_tensor_view %p, shape = [%n, %n], strides = [%n, %one] : !pto.tensor_view<32x32xi8>
      %w = pto.partition_view %v, offsets = [%zero, %zero], sizes = [%n, %n] : !pto.tensor_view<32x32xi8> -> !pto.partition_tensor_view<32x32xi8>
      pto.tstore_fp ins(%a, %f : {ACC}, !pto.tile_buf<scaling, 1x32xi64>) outs(%w : !pto.partition_tensor_view<32x32xi8>) {{reluPreMode = #pto<relu_pre_mode normal_relu>}}
    """
    (call,) = lines_of(body, "i8")
    assert call.startswith("TSTORE_FP<Acc_32x32_f32_Nz, Gm_32x32_i8, Scaling_1x32_i64, AtomicType::AtomicNone, ReluPreMode::NormalRelu>(")


@pytest.mark.parametrize(("op", "source", "target"), [("textract", ACC, 16), ("tinsert", ACC, 64)])
def test_a_window_out_of_an_accumulator_is_rectified(op: str, source: str, target: int) -> None:
    mat = f"!pto.tile_buf<mat, {target}x{target}xf16, {BOXED}>"
    body = f"""
      %a = pto.alloc_tile addr = %at : {source}
      %m = pto.alloc_tile addr = %at : {mat}
      pto.{op} ins(%a, %zero, %zero : {source}, index, index) outs(%m : {mat}) {{reluPreMode = #pto<relu_pre_mode normal_relu>}}
    """
    (call,) = lines_of(body)
    assert call.startswith(f"{op.upper()}<Mat_{target}x{target}_f16_Nz, Acc_32x32_f32_Nz, ReluPreMode::NormalRelu>(")
