"""Texts that the tests of the text form share."""

TILE = "!pto.tile_buf<vec, 16x128xf32>"

VECTOR_KERNEL = """// a comment with "quotes" and !pto.nonsense<
module attributes {pto.target_arch = "a3"} {
  func.func @add(%x: !pto.ptr<f32>, %y: !pto.ptr<f32>, %n: index) attributes {pto.entry, pto.kernel_kind = #pto.kernel_kind<vector>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c16 = arith.constant 16 : index
    %c128 = arith.constant 128 : index
    %core = pto.get_block_idx
    %block = arith.index_cast %core : i64 to index
    %view = pto.make_tensor_view %x, shape = [%n, %c128], strides = [%c128, %c1] {layout = #pto.layout<nd>} : !pto.tensor_view<?x?xf32>
    %out = pto.make_tensor_view %y, shape = [%n, %c128], strides = [%c128, %c1] : !pto.tensor_view<?x?xf32>
    %tile = pto.alloc_tile : !pto.tile_buf<vec, 16x128xf32>
    scf.for %i = %c0 to %n step %c16 {
      %part = pto.partition_view %view, offsets = [%i, %c0], sizes = [%c16, %c128] : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<16x128xf32>
      pto.tload ins(%part : !pto.partition_tensor_view<16x128xf32>) outs(%tile : !pto.tile_buf<vec, 16x128xf32>)
      pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
      pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID0>]
      pto.tadd ins(%tile, %tile : !pto.tile_buf<vec, 16x128xf32>, !pto.tile_buf<vec, 16x128xf32>)
          outs(%tile : !pto.tile_buf<vec, 16x128xf32>)  // over two lines
      pto.barrier <PIPE_ALL>
    }
    return
  }
}
"""

SECTIONS = """func.func @two(%a: i64, %r: index) {
  pto.section.cube {
    %t = pto.alloc_tile addr = %a valid_row = %r : !pto.tile_buf<loc=mat, dtype=f16, rows=32, cols=32, v_row=?, v_col=32, blayout=col_major,
        slayout=row_major, fractal=512, pad=0>
  } {note = "}"}
  pto.section.vector {
    %m = pto.alloc_multi_tile : !pto.multi_tile_buf<vec, 16x16xf16, count=2>
    %s = pto.multi_tile_get %m[%r] : !pto.multi_tile_buf<!pto.tile_buf<vec, 16x16xf16>, count=2> -> !pto.tile_buf<vec, 16x16xf16>
    %p = pto.subview %s[%r, %r] sizes [8, 16] : !pto.tile_buf<vec, 16x16xf16> -> !pto.tile_buf<vec, 8x16xf16>
  }
  return
}
"""

GENERIC = """func.func @generic(%p: !pto.ptr<f32>, %n: index) -> !pto.ptr<f32> {
  %q = "pto.addptr"(%p, %n) <{far = true}> {near} : (!pto.ptr<f32>, index) -> !pto.ptr<f32>
  "pto.section.vector"() ({
    %t = "pto.alloc_tile"() <{operandSegmentSizes = array<i32: 0, 0, 0>}> : () -> !pto.tile_buf<vec, 8x8xf32>
    "pto.set_flag"() {src_pipe = #pto.pipe<PIPE_V>, dst_pipe = #pto<pipe PIPE_S>, event_id = #pto<event<EVENT_ID1>>} : () -> ()
  }) : () -> ()
  return %q : !pto.ptr<f32>
}
"""

SOUND = (VECTOR_KERNEL, SECTIONS, GENERIC)


def body(*lines: str) -> str:
    """A function around lines of ops; %a and %b are tiles, %p a pointer, %n an index, %k an i64."""
    head = (
        f"func.func @f(%p: !pto.ptr<f32>, %n: index, %k: i64) {{\n  %a = pto.alloc_tile : {TILE}\n  %b = pto.alloc_tile : {TILE}\n"
    )
    return head + "".join(f"  {line}\n" for line in lines) + "  return\n}\n"
