"""Arguments of kernels that come as text: names, extents, integers from their uses, and what is said about wrong ones."""

import numpy as np
import pytest

from ptoc.compiled import compile_source
from ptoc.dialect.errors import ArgumentError, PtocError
from ptoc.foreign import foreign_arguments
from ptoc.loading import Source
from ptoc.machine.chip import load_chip

BODY = """
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %c32 = arith.constant 32 : index
  %c64 = arith.constant 64 : index
  %vx = pto.make_tensor_view %x, shape = [%c64, %c64], strides = [%c64, %c1] : !pto.tensor_view<?x?xf32>
  %vy = pto.make_tensor_view %y, shape = [%c64, %c64], strides = [%c64, %c1] : !pto.tensor_view<?x?xf32>
"""

COPY = """
  %px = pto.partition_view %vx, offsets = [{row}, %c0], sizes = [%c8, {cols}] : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<8x?xf32>
  %py = pto.partition_view %vy, offsets = [{row}, %c0], sizes = [%c8, {cols}] : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<8x?xf32>
  %t = pto.alloc_tile valid_col = {cols} : !pto.tile_buf<vec, 8x32xf32, valid=8x?>
  pto.tload ins(%px : !pto.partition_tensor_view<8x?xf32>) outs(%t : !pto.tile_buf<vec, 8x32xf32, valid=8x?>)
  pto.tstore ins(%t : !pto.tile_buf<vec, 8x32xf32, valid=8x?>) outs(%py : !pto.partition_tensor_view<8x?xf32>)
"""


def arguments_of(signature, body, definitions=None, inputs=None, head=""):
    text = f"func.func @k({signature}) {head}{{{BODY}{body}  return\n}}\n"
    compiled = compile_source(Source("k", None, text, "pto", "k.pto"), load_chip("ascend910b1"))
    return foreign_arguments(compiled, definitions or {}, 1, inputs or {})


TENSORS = "%x: !pto.ptr<f32>, %y: !pto.ptr<f32>"


def test_names_are_those_of_the_text_and_extents_what_is_reached():
    found = arguments_of(TENSORS, COPY.format(row="%c0", cols="%c32"))
    assert {n: a.shape for n, a in found.arrays.items()} == {"x": (7 * 64 + 32,), "y": (7 * 64 + 32,)}
    assert found.outputs == ("y",) and found.updated == ()


def test_an_integer_is_the_largest_that_offset_and_size_admit():
    found = arguments_of(f"{TENSORS}, %row: index, %cols: index", COPY.format(row="%row", cols="%cols"))
    assert found.numbers == {"row": 56, "cols": 32}


def test_an_integer_that_bounds_a_loop_is_the_largest_that_the_offsets_inside_admit():
    loop = "scf.for %i = %c0 to %n step %c1 {\n %r = arith.muli %i, %c8 : index" + COPY.format(row="%r", cols="%c32") + "}\n"
    assert arguments_of(f"{TENSORS}, %n: index", loop).numbers == {"n": 8}


def test_an_integer_that_only_guards_is_the_least_with_which_all_is_done():
    guard = "%g = arith.cmpi sgt, %n, %c32 : index\n scf.if %g {" + COPY.format(row="%c0", cols="%c32") + "}\n"
    assert arguments_of(f"{TENSORS}, %n: index", guard).numbers == {"n": 33}


def test_a_default_of_the_file_is_taken():
    body = COPY.format(row="%c0", cols="%cols")
    assert arguments_of(f"{TENSORS}, %cols: index {{ptoc.default = 16 : index}}", body).numbers == {"cols": 16}


def test_definitions_and_inputs_win():
    body = COPY.format(row="%c0", cols="%cols")
    found = arguments_of(f"{TENSORS}, %cols: index", body, {"cols": "0x10", "x": "64x64:f32"})
    assert found.numbers == {"cols": 16} and found.arrays["x"].shape == (64, 64)
    given = np.ones((64, 64), np.float32)
    assert arguments_of(f"{TENSORS}, %cols: index", body, {}, {"x": given}).arrays["x"] is given


def test_arrays_take_the_element_type_of_their_tensor():
    body = COPY.format(row="%c0", cols="%c32")
    assert arguments_of(TENSORS, body, {}, {"x": np.ones((64, 64))}).arrays["x"].dtype == np.float32
    raw = np.ones((64, 64), np.float32).view("V4")
    assert arguments_of(TENSORS, body, {}, {"x": raw}).arrays["x"].dtype == np.float32
    with pytest.raises(ArgumentError, match="-D x: the tensor has elements of f32; got complex128; convert it first"):
        arguments_of(TENSORS, body, {}, {"x": np.ones((64, 64), complex)})


def test_a_tensor_that_is_read_and_written_keeps_its_contents():
    found = arguments_of(TENSORS, COPY.format(row="%c0", cols="%c32").replace("%py = pto.partition_view %vy", "%py = pto.partition_view %vx"))
    assert found.outputs == ("x",) and found.updated == ("x",)


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ({"z": "1"}, "k has no argument 'z'; arguments: x, y, cols"),
        ({"cols": "many"}, "-D cols=many: an integer is expected"),
        ({"cols": "33"}, "with cols=33 the kernel takes a valid part of 8x33 of a tile of 8x32; give other numbers as -D NAME=VALUE"),
        ({"x": "4x4:f32"}, "'x' has 64 bytes, the kernel reaches 1920"),
        ({"x": "many"}, "SHAPE:DTYPE such as 128x64:f16"),
    ],
)
def test_wrong_arguments_are_refused(definitions, message):
    with pytest.raises(ArgumentError) as caught:
        arguments_of(f"{TENSORS}, %cols: index", COPY.format(row="%c0", cols="%cols"), definitions)
    assert message in str(caught.value)


@pytest.mark.parametrize(("kind", "value", "message"), [("i1", "2", "-D flag=2: true or false is expected"), ("f32", "x", "-D flag=x: a number is expected")])
def test_numbers_have_the_kind_of_their_argument(kind, value, message):
    with pytest.raises(ArgumentError, match=message):
        arguments_of(f"{TENSORS}, %flag: {kind}", COPY.format(row="%c0", cols="%c32"), {"flag": value})


def test_bits_are_true_and_floats_one_by_default():
    found = arguments_of(f"{TENSORS}, %flag: i1, %scale: f32", COPY.format(row="%c0", cols="%c32"))
    assert found.numbers == {"flag": 1, "scale": 1.0}


def test_a_slice_outside_of_its_view_is_told():
    with pytest.raises(ArgumentError, match="the kernel takes a slice of 8x32 from 64x0 on of a view of 64x64"):
        arguments_of(TENSORS, COPY.format(row="%c64", cols="%c32"))


def test_a2a3_is_a3_and_another_architecture_is_refused():
    text = 'module attributes {{pto.target_arch = "{}"}} {{ func.func @k() {{ return }} }}'
    source = Source("k", None, text.format("a2a3"), "pto", "k.pto")
    assert compile_source(source, load_chip("ascend910b1")).name == "k"
    with pytest.raises(PtocError, match=r"k\.pto is for arch a5, chip ascend910b1 is a3"):
        compile_source(Source("k", None, text.format("a5"), "pto", "k.pto"), load_chip("ascend910b1"))


def test_commands_of_both_kinds_of_core_in_one_function_are_remarked():
    body = (
        "%t = pto.alloc_tile : !pto.tile_buf<vec, 8x32xf32>\n"
        "pto.tabs ins(%t : !pto.tile_buf<vec, 8x32xf32>) outs(%t : !pto.tile_buf<vec, 8x32xf32>)\n"
        "%l = pto.alloc_tile : !pto.tile_buf<mat, 16x16xf16, blayout=col_major, slayout=row_major>\n"
        "%a = pto.alloc_tile : !pto.tile_buf<left, 16x16xf16, slayout=row_major>\n"
        "pto.tmov ins(%l : !pto.tile_buf<mat, 16x16xf16, blayout=col_major, slayout=row_major>) "
        "outs(%a : !pto.tile_buf<left, 16x16xf16, slayout=row_major>)\n"
    )
    text = f"func.func @k({TENSORS}) {{{BODY}{body}  return\n}}\n"
    compiled = compile_source(Source("k", None, text, "pto", "k.pto"), load_chip("ascend910b1"))
    assert any("'k' has cube and vector commands without sections" in remark for remark in compiled.remarks)
