"""Kernels as `.pto` text for the tests of the C++ backend."""

from ptoc.codegen.emit import kernel_text
from ptoc.dialect import assembly
from ptoc.dialect.mlir import ir
from ptoc.machine.chip import load_chip

VADD = """
module {
  func.func @vadd(%a: !pto.ptr<f32>, %b: !pto.ptr<f32>, %c: !pto.ptr<f32>, %n: i32) attributes {pto.arg_names = ["a", "b", "c", "n"]} {
    %at_a = arith.constant 0 : i64
    %at_b = arith.constant 8192 : i64
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %step = arith.constant 16 : index
    %cols = arith.constant 128 : index
    %rows = arith.index_cast %n : i32 to index
    %ta = pto.alloc_tile addr = %at_a : !pto.tile_buf<vec, 16x128xf32>
    %tb = pto.alloc_tile addr = %at_b : !pto.tile_buf<vec, 16x128xf32>
    %va = pto.make_tensor_view %a, shape = [%rows, %cols], strides = [%cols, %one] : !pto.tensor_view<?x128xf32>
    %vb = pto.make_tensor_view %b, shape = [%rows, %cols], strides = [%cols, %one] : !pto.tensor_view<?x128xf32>
    %vc = pto.make_tensor_view %c, shape = [%rows, %cols], strides = [%cols, %one] : !pto.tensor_view<?x128xf32>
    scf.for %i = %zero to %rows step %step {
      %pa = pto.partition_view %va, offsets = [%i, %zero], sizes = [%step, %cols] : !pto.tensor_view<?x128xf32> -> !pto.partition_tensor_view<16x128xf32>
      %pb = pto.partition_view %vb, offsets = [%i, %zero], sizes = [%step, %cols] : !pto.tensor_view<?x128xf32> -> !pto.partition_tensor_view<16x128xf32>
      %pc = pto.partition_view %vc, offsets = [%i, %zero], sizes = [%step, %cols] : !pto.tensor_view<?x128xf32> -> !pto.partition_tensor_view<16x128xf32>
      pto.tload ins(%pa : !pto.partition_tensor_view<16x128xf32>) outs(%ta : !pto.tile_buf<vec, 16x128xf32>)
      pto.tload ins(%pb : !pto.partition_tensor_view<16x128xf32>) outs(%tb : !pto.tile_buf<vec, 16x128xf32>)
      pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
      pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
      pto.tadd ins(%ta, %tb : !pto.tile_buf<vec, 16x128xf32>, !pto.tile_buf<vec, 16x128xf32>) outs(%ta : !pto.tile_buf<vec, 16x128xf32>)
      pto.barrier <PIPE_ALL>
      pto.tstore ins(%ta : !pto.tile_buf<vec, 16x128xf32>) outs(%pc : !pto.partition_tensor_view<16x128xf32>)
      pto.barrier <PIPE_ALL>
    }
    return
  }
}
"""


def function(body: str, arguments: str = "%p: !pto.ptr<i64>", attributes: str = "") -> str:
    """A module of one function `f`."""
    return f"module {{\n  func.func @f({arguments}) {attributes}{{\n{body}\n    return\n  }}\n}}\n"


def parse(text: str) -> ir.Module:
    """The module of a text, with lines of `k.pto`."""
    return assembly.parse(text, "k.pto")


def cpp(text: str) -> str:
    """The kernel file of a text."""
    return kernel_text(parse(text), load_chip("ascend910b1"), "k")[0]


def statements(text: str) -> list[str]:
    """Lines of a kernel file without comments and indentation."""
    return [line.partition("  //")[0].strip() for line in text.splitlines() if line.partition("  //")[0].strip()]
