"""The text of kernels: tiles, views, sections, pipes, annotations, and what is refused."""

from types import SimpleNamespace

import pytest

import ptoc
from ptoc.arguments import kernel_values
from ptoc.codegen import emit
from ptoc.codegen.emit import kernel_text
from ptoc.dialect.errors import NotSupportedError
from ptoc.loading import shipped_kernel, shipped_names
from ptoc.machine.chip import load_chip

from .texts import VADD, cpp, function, parse, statements

TILE = "!pto.tile_buf<vec, 16x128xf32>"
PIPE = """
  func.func @f(%gm: !pto.ptr<f32>, %out: !pto.ptr<f32>) {{
    %zero = arith.constant 0 : i64
    pto.section.cube {{
      %t = pto.alloc_tile addr = %zero : !pto.tile_buf<acc, 16x32xf32, blayout=col_major, slayout=row_major, fractal=1024>
      %p = pto.initialize_l2g2l_pipe {{dir_mask = 1 : i32, slot_size = 2048 : i32, slot_num = 8 : i32, local_slot_num = 2 : i32, {period}flag_base = 4 : i32, name = "scores"}} (%gm : !pto.ptr<f32>) -> !pto.pipe
      %e = pto.declare_global -> !pto.tensor_view<16x32xf32>
      pto.talloc(%e, %p : !pto.tensor_view<16x32xf32>, !pto.pipe) {{split = 2 : i32}}
      pto.tstore ins(%t : !pto.tile_buf<acc, 16x32xf32, blayout=col_major, slayout=row_major, fractal=1024>) outs(%e : !pto.tensor_view<16x32xf32>)
      pto.tpush(%e, %p : !pto.tensor_view<16x32xf32>, !pto.pipe) {{split = 2 : i32}}
    }}
    pto.section.vector {{
      %t = pto.alloc_tile addr = %zero : !pto.tile_buf<vec, 16x16xf32>
      %p = pto.initialize_l2g2l_pipe {{dir_mask = 1 : i32, slot_size = 2048 : i32, slot_num = 8 : i32, local_slot_num = 2 : i32, {period}flag_base = 4 : i32, name = "scores"}} (%gm : !pto.ptr<f32>) -> !pto.pipe
      %e = pto.declare_global -> !pto.tensor_view<16x16xf32>
      pto.tpop(%e, %p : !pto.tensor_view<16x16xf32>, !pto.pipe) {{split = 2 : i32}}
      pto.tload ins(%e : !pto.tensor_view<16x16xf32>) outs(%t : !pto.tile_buf<vec, 16x16xf32>)
      pto.tfree(%e, %p : !pto.tensor_view<16x16xf32>, !pto.pipe) {{split = 2 : i32}}
    }}
    return
  }}
"""


def test_a_kernel_reads_like_one_written_by_hand() -> None:
    assert statements(cpp(VADD))[2:] == [
        '#include "pto/pto-inst.hpp"',
        "using namespace pto;",
        "using Vec_16x128_f32 = Tile<TileType::Vec, float, 16, 128, BLayout::RowMajor, 16, 128, SLayout::NoneBox, 512, PadValue::Null, CompactMode::Null>;",
        "using Shape2D_16x128 = Shape<1, 1, 1, 16, 128>;",
        "using Stride2D_128x1 = Stride<1, 1, 1, 128, 1>;",
        "using Gm_16x128_f32 = GlobalTensor<float, Shape2D_16x128, Stride2D_128x1, Layout::ND>;",
        "// k.pto:3",
        "__global__ AICORE void vadd(__gm__ float* a, __gm__ float* b, __gm__ float* c, int32_t n)",
        "{",
        "#if defined(__DAV_VEC__)",
        "set_mask_norm();",
        "set_vector_mask(-1, -1);",
        "const int64_t v1 = n;",
        "Vec_16x128_f32 a_tile;",
        "TASSIGN(a_tile, 0x0);",
        "Vec_16x128_f32 b_tile;",
        "TASSIGN(b_tile, 0x2000);",
        "for (int64_t i = 0; i < v1; i += 16) {",
        "Gm_16x128_f32 a_view(a + i * 128);",
        "Gm_16x128_f32 b_view(b + i * 128);",
        "Gm_16x128_f32 c_view(c + i * 128);",
        "TLOAD(a_tile, a_view);",
        "TLOAD(b_tile, b_view);",
        "set_flag(PIPE_MTE2, PIPE_V, EVENT_ID0);",
        "wait_flag(PIPE_MTE2, PIPE_V, EVENT_ID0);",
        "TADD(a_tile, a_tile, b_tile);",
        "pipe_barrier(PIPE_ALL);",
        "TSTORE<Vec_16x128_f32, Gm_16x128_f32, AtomicType::AtomicNone>(c_view, a_tile);",
        "pipe_barrier(PIPE_ALL);",
        "}",
        "#endif",
        "}",
    ]


def test_the_text_is_the_same_every_time() -> None:
    assert cpp(VADD) == cpp(VADD)


def test_lines_say_source_engine_derivation_and_note() -> None:
    module = parse(VADD)
    loop = next(op for op in module.body.operations[0].body.blocks[0].operations if op.operation.name == "scf.for")
    add = next(op for op in loop.body.operations if op.operation.name == "pto.tadd")
    text = kernel_text(module, load_chip("ascend910b1"), "k", {add.operation: "18 cycles"})[0]
    assert "TADD(a_tile, a_tile, b_tile);  // k.pto:24, V, 18 cycles\n" in text
    assert "TASSIGN(b_tile, 0x2000);  // UB bytes 8192 to 16383: 16 x 128 x 4 bytes\n" in text
    assert "a_view(a + i * 128);  // offset i * stride 128, k.pto:17\n" in text


def test_slots_and_parts_of_tiles_have_derived_addresses() -> None:
    body = """
      %at = arith.constant 1024 : i64
      %zero = arith.constant 0 : index
      %four = arith.constant 4 : index
      %one = arith.constant 1 : index
      %eight = arith.constant 8 : index
      %m = pto.alloc_multi_tile addr = %at : !pto.multi_tile_buf<vec, 16x128xf32, count=2>
      scf.for %i = %zero to %four step %one {
        %two = arith.constant 2 : index
        %k = arith.remsi %i, %two : index
        %t = pto.multi_tile_get %m[%k] : !pto.multi_tile_buf<vec, 16x128xf32, count=2> -> !pto.tile_buf<vec, 16x128xf32>
        %s = pto.subview %t[%four, %eight] sizes [8, 64] : !pto.tile_buf<vec, 16x128xf32> -> !pto.tile_buf<vec, 8x64xf32>
        pto.tadd ins(%s, %s : !pto.tile_buf<vec, 8x64xf32>, !pto.tile_buf<vec, 8x64xf32>) outs(%s : !pto.tile_buf<vec, 8x64xf32>)
      }
    """
    text = cpp(function(body))
    assert "constexpr uint64_t ub_slots = 0x400;  // 2 slots of 8192 bytes: UB bytes 1024 to 17407" in text
    assert "constexpr uint64_t ub_slots_stride = 0x2000;" in text
    assert "TASSIGN(ub_tile, ub_slots + v1 * ub_slots_stride);  // slot v1 of 2" in text
    # A part steps over the whole tile's rows: 128 columns of storage, 8 x 64 of them valid.
    assert "using Vec_8x128_f32_valid8x64 = Tile<TileType::Vec, float, 8, 128, BLayout::RowMajor, 8, 64," in text
    assert (
        "TASSIGN(ub_tile_part, ub_slots + v1 * ub_slots_stride + 2048 + 32);  // element (4, 8) of ub_tile: row * 512 + column * 4 bytes"
        in text
    )


def test_a_part_of_a_boxed_tile_begins_at_a_box() -> None:
    nz = "!pto.tile_buf<mat, 64x64xf16, blayout=col_major, slayout=row_major>"
    part = "!pto.tile_buf<mat, 32x32xf16, blayout=col_major, slayout=row_major>"
    body = f"""
      %at = arith.constant 0 : i64
      %r = arith.constant 32 : index
      %c = arith.constant 16 : index
      %t = pto.alloc_tile addr = %at : {nz}
      %s = pto.subview %t[%r, %c] sizes [32, 32] : {nz} -> {part}
    """
    # Nz: column 16 is box column 1 of 64 rows x 16 columns = 2048 bytes on; row 32 is 32 rows of 16 columns = 1024 bytes on.
    assert "0x0 + 1024 + 2048);" in cpp(function(body))


def test_a_part_of_a_boxed_tile_has_whole_boxes_of_which_its_rows_are_valid() -> None:
    whole, part = (f"!pto.tile_buf<left, {rows}x32xf16, slayout=row_major>" for rows in (16, 6))
    body = f"""
      %at = arith.constant 0 : i64
      %zero = arith.constant 0 : index
      %t = pto.alloc_tile addr = %at : {whole}
      %s = pto.subview %t[%zero, %zero] sizes [6, 32] : {whole} -> {part}
    """
    assert "Tile<TileType::Left, half, 16, 32, BLayout::RowMajor, 6, 32, SLayout::RowMajor, 512," in cpp(function(body))


BEYOND_THE_LIBRARY = {"dsa_attention", "dsa_topk"}
"""Shipped kernels for chips with a toolchain that use what the library has not: gathers by SDMA, and compressing by a mask."""


@pytest.mark.parametrize("name", [n for n in shipped_names() if not shipped_kernel(n).chip and n not in BEYOND_THE_LIBRARY])
def test_shipped_kernels_have_cpp(name: str) -> None:
    kernel = shipped_kernel(name)
    for case in [c for c in kernel.cases if c in (next(iter(kernel.cases)), "small", "wide")]:
        values = kernel_values(kernel, case, {}, load_chip("ascend910b1"))
        assert f"{name}.cpp" in ptoc.compile(name, **{n: values[n] for n in kernel.parameters}).cpp()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dsa_attention", r"dsa_attention.py:\d+: 'pto.tsdma_gather' has no C\+\+ form: no pass lowers it and the library has no call for it"),
        ("dsa_topk", r"dsa_topk.py:\d+: .* has no C\+\+ form"),
        ("ring_attention", "ring_attention: no C\\+\\+ for this chip"),
        ("mesh_decode", "mesh_decode: no C\\+\\+ for this chip"),
    ],
)
def test_shipped_kernels_beyond_the_library_say_so(name: str, message: str) -> None:
    with pytest.raises(NotSupportedError, match=message):
        ptoc.compile(name).cpp()


def test_dynamic_valid_sizes_go_to_the_constructor() -> None:
    body = """
      %at = arith.constant 0 : i64
      %n = arith.constant 5 : index
      %id = pto.get_block_idx
      %m = arith.index_cast %id : i64 to index
      %a = pto.alloc_tile addr = %at valid_row = %m valid_col = %n : !pto.tile_buf<vec, 16x128xf32, valid=?x?>
      %b = pto.alloc_tile addr = %at valid_col = %n : !pto.tile_buf<vec, 16x128xf32, valid=16x?>
      %c = pto.alloc_tile addr = %at : !pto.tile_buf<vec, 16x128xf32, valid=0x128>
    """
    text = statements(cpp(function(body)))
    assert "Vec_16x128_f32_validNxN ub_tile(block, 5);" in text
    assert "Vec_16x128_f32_valid16xN ub_tile_2(5);" in text
    assert "Vec_16x128_f32_validNx128 ub_tile_3(0);" in text


def test_dynamic_views_list_their_dynamic_sizes_only() -> None:
    body = """
      %at = arith.constant 0 : i64
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %n32 = pto.load_scalar %p[%zero] : !pto.ptr<f32> -> f32
      %n = arith.index_cast %rows : i32 to index
      %t = pto.alloc_tile addr = %at : !pto.tile_buf<vec, 16x128xf32>
      %v = pto.make_tensor_view %p, shape = [%n, %n], strides = [%n, %one] : !pto.tensor_view<?x?xf32>
      %s = pto.partition_view %v, offsets = [%n, %zero], sizes = [%n, %n] : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<?x?xf32>
      pto.tload ins(%s : !pto.partition_tensor_view<?x?xf32>) outs(%t : !pto.tile_buf<vec, 16x128xf32>)
    """
    text = statements(cpp(function(body, "%p: !pto.ptr<f32>, %rows: i32")))
    assert "using Stride2D_Nx1 = Stride<1, 1, 1, -1, 1>;" in text
    assert "Gm_NxN_f32 arg0_view(arg0 + v1 * v1, Shape2D_NxN(v1, v1), Stride2D_Nx1(v1));" in text


def test_columns_are_dn_and_a_vector_follows_its_tile() -> None:
    body = """
      %at = arith.constant 0 : i64
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %n = arith.constant 64 : index
      %t = pto.alloc_tile addr = %at : !pto.tile_buf<vec, 64x1xf32, blayout=col_major>
      %v = pto.make_tensor_view %p, shape = [%n, %one], strides = [%one, %one] : !pto.tensor_view<64x1xf32>
      pto.tload ins(%v : !pto.tensor_view<64x1xf32>) outs(%t : !pto.tile_buf<vec, 64x1xf32, blayout=col_major>)
      %w = pto.make_tensor_view %p, shape = [%n, %n], strides = [%one, %n] : !pto.tensor_view<64x64xf32>
      %u = pto.alloc_tile addr = %at : !pto.tile_buf<vec, 64x64xf32, blayout=col_major>
      pto.tload ins(%w : !pto.tensor_view<64x64xf32>) outs(%u : !pto.tile_buf<vec, 64x64xf32, blayout=col_major>)
    """
    text = cpp(function(body, "%p: !pto.ptr<f32>"))
    assert "GlobalTensor<float, Shape2D_64x1, Stride2D_1x1, Layout::DN>" in text
    assert "GlobalTensor<float, Shape2D_64x64, Stride2D_1x64, Layout::DN>" in text


def test_tiles_carried_by_branches_are_variables() -> None:
    body = f"""
      %at = arith.constant 0 : i64
      %far = arith.constant 8192 : i64
      %m = pto.get_block_idx
      %zero = arith.constant 0 : i64
      %c = arith.cmpi eq, %m, %zero : i64
      %a = pto.alloc_tile addr = %at : {TILE}
      %b = pto.alloc_tile addr = %far : {TILE}
      %t = scf.if %c -> ({TILE}) {{
        scf.yield %a : {TILE}
      }} else {{
        scf.yield %b : {TILE}
      }}
      %r = pto.treshape %t : {TILE} -> !pto.tile_buf<vec, 128x16xf32>
    """
    text = statements(cpp(function(body)))
    assert text[text.index("Vec_16x128_f32 chosen;") :][:6] == [
        "Vec_16x128_f32 chosen;",
        "if (v1) {",
        "chosen = ub_tile;",
        "} else {",
        "chosen = ub_tile_2;",
        "}",
    ]
    assert "TASSIGN(chosen_reshaped, (uint64_t)chosen.data());" in text


def test_pipes_are_typed_once_and_take_the_signal_address() -> None:
    text = statements(cpp(PIPE.format(period="")))
    assert "using ScoresPipe = TPipe<4, Direction::DIR_C2V, 2048, 8, 2, false>;" in text
    assert "__global__ AICORE void f(__gm__ uint64_t* ffts_addr, __gm__ float* arg0, __gm__ float* arg1)" in text
    assert "set_ffts_base_addr((uint64_t)ffts_addr);" in text
    assert "TALLOC<ScoresPipe, Gm_16x32_f32, TileSplitAxis::TILE_LEFT_RIGHT>(scores, scores_entry);" in text
    # A vector core has 16 of the slot's 32 columns: its rows are 32 elements apart.
    assert "using Gm_16x16_f32 = GlobalTensor<float, Shape2D_16x16, Stride2D_32x1, Layout::ND>;" in text
    assert "TFREE<ScoresPipe, Gm_16x16_f32, TileSplitAxis::TILE_LEFT_RIGHT>(scores, scores_entry);" in text


def test_a_sync_period_that_the_library_does_not_have_is_refused() -> None:
    assert "TPipe<4," in cpp(PIPE.format(period="sync_period = 4 : i32, "))
    with pytest.raises(NotSupportedError, match="sync_period 2 of 8 slots is simulated only: the library acknowledges every 4 slots"):
        cpp(PIPE.format(period="sync_period = 2 : i32, "))


def test_functions_called_by_others_are_not_kernels_of_their_own() -> None:
    text = statements(
        cpp("""
        module {
          func.func @top(%p: !pto.ptr<f32>) {
            func.call @part(%p) : (!pto.ptr<f32>) -> ()
            return
          }
          func.func @part(%p: !pto.ptr<f32>) attributes {pto.kernel_kind = #pto.kernel_kind<cube>} {
            pto.barrier <PIPE_ALL>
            return
          }
        }
        """)
    )
    signatures = [line for line in text if "AICORE" in line]
    assert signatures == ["AICORE void part(__gm__ float* arg0)", "__global__ AICORE void top(__gm__ float* arg0)"]
    assert text[text.index("#if defined(__DAV_CUBE__)") + 1] == "pipe_barrier(PIPE_ALL);"


def test_a_cube_and_a_vector_function_are_two_halves_of_one_kernel() -> None:
    half = (
        "func.func @{0}(%p: !pto.ptr<f32>) attributes {{pto.kernel_kind = #pto.kernel_kind<{1}>}} {{\npto.barrier <PIPE_ALL>\nreturn\n}}\n"
    )
    text = statements(cpp(half.format("left", "cube") + half.format("right", "vector")))
    assert "AICORE void left(__gm__ float* arg0)" in text
    assert text[text.index("__global__ AICORE void k(__gm__ float* arg0)") :] == [
        "__global__ AICORE void k(__gm__ float* arg0)",
        "{",
        "left(arg0);",
        "right(arg0);",
        "}",
    ]


def test_names_are_legal_and_unique() -> None:
    text = cpp(function("pto.barrier <PIPE_ALL>", "%a: i32, %b: i32, %c: i32", 'attributes {pto.arg_names = ["half", "stream", "2x"]} '))
    assert "void f(int32_t half_2, int32_t stream_2, int32_t v2x)" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (function(f"%t = pto.alloc_tile : {TILE}"), "k.pto:3: a tile needs a constant address for C\\+\\+: run 'plan-memory' first"),
        (
            function("%z = arith.constant 0 : i64\n%t = pto.alloc_tile addr = %z : !pto.tile_buf<vec, 16x128xf32, valid=?x128>"),
            "k.pto:4: a tile with a dynamic valid size needs 'valid_row = '",
        ),
        (
            function(
                f"%z = arith.constant 0 : i64\n%t = pto.alloc_tile addr = %z : {TILE}\n%u = pto.alloc_tile addr = %z : !pto.tile_buf<mat, 16x128xf32>"
            ),
            "tiles of cube and vector cores in one function: put them in pto.section.cube and pto.section.vector",
        ),
        (
            "func.func @f() -> i32 {\n%z = arith.constant 0 : i32\nreturn %z : i32\n}",
            "k.pto:1: a kernel that returns values has no C\\+\\+ form",
        ),
        (
            "func.func @f(%t: !pto.tile_buf<vec, 16x128xf32>) {\nreturn\n}",
            "k.pto:1: a function that takes !pto.tile_buf.* has no C\\+\\+ form: only pointers and numbers",
        ),
        (
            function(
                "%p = pto.initialize_l2g2l_pipe {dir_mask = 1 : i32, slot_size = 64 : i32, slot_num = 2 : i32} (%g : !pto.ptr<f32>) -> !pto.pipe",
                "%g: !pto.ptr<f32>",
            ),
            "k.pto:3: a pipe without flag_base has no C\\+\\+ form: run 'lower-pipes' first",
        ),
        ("func.func private @f()", "the module has no function that a host could launch"),
        (
            function('%b = pto.reserve_buffer {name = "x", size = 64 : i32, location = #pto.address_space<vec>, auto = true} -> i32'),
            "reserved buffer 'x' has no address: run 'plan-memory' first",
        ),
        (
            function("%z = arith.constant 0 : i64\n%t = pto.alloc_tile addr = %z : !pto.tile_buf<vec, 28x1xf32, blayout=col_major>"),
            "k.pto:4: a tile of vec, 28x1xf32, blayout=col_major has no C\\+\\+ form: a column must be whole blocks of 32 bytes; got 112; take a larger tile",
        ),
        (
            function("%z = arith.constant 0 : i64\n%t = pto.alloc_tile addr = %z : !pto.tile_buf<vec, 8x12xf16>"),
            "k.pto:4: a tile of vec, 8x12xf16 has no C\\+\\+ form: a row must be whole blocks of 32 bytes; got 24",
        ),
        (
            function("pto.record_event [#pto.pipe_event_type<TLOAD>, #pto.pipe_event_type<TVEC>, #pto.event<EVENT_ID0>]"),
            "'pto.record_event' has no C\\+\\+ form: no pass lowers it and the library has no call for it; --emit pto,sim writes what there is",
        ),
    ],
)
def test_what_cannot_be_printed_is_refused_at_its_line(text: str, message: str) -> None:
    with pytest.raises(NotSupportedError, match=message):
        cpp(text)


def test_a_view_carried_by_a_loop_is_refused() -> None:
    view = "!pto.tensor_view<16x16xf32>"
    body = f"""
      %n = arith.constant 16 : index
      %one = arith.constant 1 : index
      %v = pto.make_tensor_view %p, shape = [%n, %n], strides = [%n, %one] : {view}
      %w = scf.for %i = %one to %n step %one iter_args(%x = %v) -> ({view}) {{
        scf.yield %x : {view}
      }}
    """
    with pytest.raises(NotSupportedError, match=r"k.pto:7: a loop or branch that carries !pto.tensor_view.* has no C\+\+ form"):
        cpp(function(body, "%p: !pto.ptr<f32>"))


def test_chips_without_a_toolchain_have_no_cpp() -> None:
    with pytest.raises(NotSupportedError, match="no C\\+\\+ for this chip: 'ring8' has architecture 'mesh'; C\\+\\+ exists for a3, a5"):
        emit(parse(VADD), SimpleNamespace(name="ring8", arch="mesh"), "k")


def test_emit_gives_all_files() -> None:
    files = emit(parse(VADD), load_chip("ascend910b1"), "vadd")
    assert sorted(files) == ["build.sh", "run.py", "vadd.cpp", "vadd_caller.cpp"]
    assert "--npu-arch=dav-2201 -DMEMORY_BASE" in files["build.sh"]
    assert "vadd_caller.cpp -o libvadd.so" in files["build.sh"]
