"""Numbers from run time: as operands of commands, through arithmetic, and where they are refused."""

import numpy as np
import pytest

from ptoc.compiled import compile_source
from ptoc.dialect.errors import NotSupportedError
from ptoc.loading import Source
from ptoc.machine.chip import load_chip
from ptoc.running import run_compiled
from ptoc.simulator.registers import Register, fetched, lazily, settled
from ptoc.simulator.written import written_tensors

TEXT = """
func.func @k(%x: !pto.ptr<DTYPE>, %y: !pto.ptr<DTYPE>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c8 = arith.constant 8 : index
  %vx = pto.make_tensor_view %x, shape = [%c8, %c8], strides = [%c8, %c1] : !pto.tensor_view<8x8xDTYPE>
  %vy = pto.make_tensor_view %y, shape = [%c8, %c8], strides = [%c8, %c1] : !pto.tensor_view<8x8xDTYPE>
  %t = pto.alloc_tile : !pto.tile_buf<vec, 8x8xDTYPE>
  pto.tload ins(%vx : !pto.tensor_view<8x8xDTYPE>) outs(%t : !pto.tile_buf<vec, 8x8xDTYPE>)
  %a = pto.tgetval ins(%t, %c1 : !pto.tile_buf<vec, 8x8xDTYPE>, index) outs : DTYPE
  BODY
  pto.tstore ins(%t : !pto.tile_buf<vec, 8x8xDTYPE>) outs(%vy : !pto.tensor_view<8x8xDTYPE>)
  return
}
"""


def run(body, dtype="f32"):
    x = np.arange(1, 65).reshape(8, 8).astype({"f32": np.float32, "i32": np.int32}[dtype])
    text = TEXT.replace("BODY", body).replace("DTYPE", dtype)
    result = run_compiled(Source("k", None, text, "pto", "k.pto"), load_chip("ascend910b1"), {}, None, None, {"x": x}, True, True, False, "insert")
    return x, result.outputs["y"].reshape(8, 8)


SCALED = "pto.tmuls ins(%t, {} : !pto.tile_buf<vec, 8x8xDTYPE>, DTYPE) outs(%t : !pto.tile_buf<vec, 8x8xDTYPE>)"


def test_a_number_read_from_a_tile_is_an_operand():
    x, y = run(SCALED.format("%a"))
    assert np.array_equal(y, x * 2)


def test_arithmetic_on_such_numbers_is_done_when_they_are_known():
    body = """%three = arith.constant 3 : i32
  %b = arith.muli %a, %three : i32
  %c = arith.subi %three, %b : i32
  %d = arith.minsi %c, %a : i32
  %g = arith.cmpi slt, %d, %three : i32
  %e = arith.select %g, %d, %three : i32
  """
    x, y = run(body + SCALED.format("%e"), "i32")
    assert np.array_equal(y, x * -3)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("%two = arith.constant 2 : i32\n%g = arith.cmpi eq, %a, %two : i32\nscf.if %g { " + SCALED.format("%a") + " }", 14),
        ("%n = arith.index_cast %a : i32 to index\nscf.for %i = %c0 to %n step %c1 { " + SCALED.format("%a") + " }", 13),
        ("%n = arith.index_cast %a : i32 to index\n%b = pto.tgetval ins(%t, %n : !pto.tile_buf<vec, 8x8xi32>, index) outs : i32\n" + SCALED.format("%b"), 13),
    ],
)
def test_control_and_addresses_that_depend_on_a_tile_are_refused_at_their_line(body, line):
    with pytest.raises(NotSupportedError, match=rf"k.pto:{line}.*control or an address depends on what 'pto.tgetval' \(k.pto:11.*\) reads at run time"):
        run(body, "i32")


def test_a_register_is_no_condition():
    with pytest.raises(NotSupportedError, match=r"a\.pto:1: a condition depends on what 'pto.tgetval' reads at run time"):
        bool(Register("pto.tgetval", "a.pto:1"))


def test_laziness_is_only_for_registers():
    assert lazily(max, 1, 2) == 2 and settled(3, "") == 3
    register = Register("pto.tgetval", "a.pto:1")
    larger = lazily(max, register, 2)
    negative = -register
    register.set(np.int32(7))
    assert larger.get() == 7 and negative.get() == -7 and (10 - register).get() == 3


def test_tensors_that_commands_write_are_known():
    compiled = compile_source(Source("k", None, TEXT.replace("BODY", "").replace("DTYPE", "f32"), "pto", "k.pto"), load_chip("ascend910b1"))
    functions = [op for op in compiled.simulator_ir.body.operations]
    assert written_tensors(functions) == {"gm:y"}


def test_what_a_command_reads_from_a_float_tensor_is_a_register():
    assert isinstance(fetched((), (), frozenset(), None, type("Site", (), {"op": "pto.load_scalar", "location": "a.pto:1"})), Register)
