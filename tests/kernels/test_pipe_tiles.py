"""Tiles through pipes on a3 and a5: through global memory and on chip, split and not, there and back, more of them than there are slots."""

import numpy as np
import pytest

import ptoc

CHIPS = {"a3": "ascend910b1", "a5": "ascend950pr"}
MAT = "!pto.tile_buf<mat, 16x16xf32, blayout=col_major, slayout=row_major>"
LEFT = {"a3": "!pto.tile_buf<left, 16x16xf32, slayout=row_major>", "a5": "!pto.tile_buf<left, 16x16xf32, blayout=col_major, slayout=row_major>"}
RIGHT = "!pto.tile_buf<right, 16x16xf32, slayout=col_major>"
ACC = "!pto.tile_buf<acc, 16x16xf32, blayout=col_major, slayout=row_major, fractal=1024>"
PARTS = {0: (16, 16), 1: (8, 16), 2: (16, 8)}
"""Split to what a vector core has of a tile of 16 x 16."""

NUMBERS = """
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c16 = arith.constant 16 : index
  %n = arith.constant TILES : index
  %rows = arith.muli %n, %c16 : index
  %vx = pto.make_tensor_view %x, shape = [%rows, %c16], strides = [%c16, %c1] : !pto.tensor_view<?x?xf32>
  %vw = pto.make_tensor_view %w, shape = [%c16, %c16], strides = [%c16, %c1] : !pto.tensor_view<?x?xf32>
  %vz = pto.make_tensor_view %z, shape = [%rows, %c16], strides = [%c16, %c1] : !pto.tensor_view<?x?xf32>
"""


def one_way(arch: str, gm: bool, split: int, tiles: int, facts: str, at_once: int) -> str:
    """z = x @ w: the cube pushes a product for each 16 rows, the vector cores pop them and store their parts, `at_once` at a time."""
    rows, cols = PARTS[split]
    vec = f"!pto.tile_buf<vec, {rows}x{cols}xf32>"
    slots = "gm_slot_buffer = %s : !pto.ptr<f32>, " if gm else ""
    pops = "".join(f"%p{k} = pto.tpop_from_aic {{split = {split}}} -> {vec}\n" for k in range(at_once))
    stores = "".join(
        f"%t{k} = arith.addi %t, %k{k} : index\n%r{k} = arith.muli %t{k}, %c16 : index\n%row{k} = arith.addi %r{k}, %sr : index\n"
        f"%o{k} = pto.partition_view %vz, offsets = [%row{k}, %sc], sizes = [%high, %wide] : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<{rows}x{cols}xf32>\n"
        f"pto.tmuls ins(%p{k}, %two : {vec}, f32) outs(%v{k} : {vec})\n"
        f"pto.tstore ins(%v{k} : {vec}) outs(%o{k} : !pto.partition_tensor_view<{rows}x{cols}xf32>)\npto.tfree_from_aic {{split = {split}}}\n"
        for k in range(at_once)
    )
    allocs = "".join(f"%v{k} = pto.alloc_tile : {vec}\n%k{k} = arith.constant {k} : index\n" for k in range(at_once))
    return f"""
func.func @k(%x: !pto.ptr<f32>, %w: !pto.ptr<f32>, %z: !pto.ptr<f32>{", %s: !pto.ptr<f32>" if gm else ""}) {{{NUMBERS.replace("TILES", str(tiles))}
  %none = arith.constant 0 : i32
  %two = arith.constant 2.0 : f32
  pto.section.cube {{
    %b = pto.import_reserved_buffer {{name = "in", peer_func = @k}} -> i32
    pto.aic_initialize_pipe {{{facts}}} ({slots}c2v_consumer_buf = %b : i32, v2c_consumer_buf = %none : i32)
    %x1 = pto.alloc_tile : {MAT}
    %w1 = pto.alloc_tile : {MAT}
    %x0 = pto.alloc_tile : {LEFT[arch]}
    %w0 = pto.alloc_tile : {RIGHT}
    %acc = pto.alloc_tile : {ACC}
    pto.tload ins(%vw : !pto.tensor_view<?x?xf32>) outs(%w1 : {MAT})
    pto.tmov ins(%w1 : {MAT}) outs(%w0 : {RIGHT})
    scf.for %t = %c0 to %n step %c1 {{
      %row = arith.muli %t, %c16 : index
      %part = pto.partition_view %vx, offsets = [%row, %c0], sizes = [%c16, %c16] : !pto.tensor_view<?x?xf32> -> !pto.partition_tensor_view<16x16xf32>
      pto.tload ins(%part : !pto.partition_tensor_view<16x16xf32>) outs(%x1 : {MAT})
      pto.tmov ins(%x1 : {MAT}) outs(%x0 : {LEFT[arch]})
      pto.tmatmul ins(%x0, %w0 : {LEFT[arch]}, {RIGHT}) outs(%acc : {ACC})
      pto.tpush_to_aiv(%acc : {ACC}) {{split = {split}}}
    }}
  }}
  pto.section.vector {{
    %b = pto.reserve_buffer {{name = "in", size = 16384, location = #pto.address_space<vec>, auto = true}} -> i32
    pto.aiv_initialize_pipe {{{facts}}} ({slots}c2v_consumer_buf = %b : i32, v2c_consumer_buf = %none : i32)
    %sub = pto.get_subblock_idx
    %h = arith.index_cast %sub : i64 to index
    %high = arith.constant {rows} : index
    %wide = arith.constant {cols} : index
    %sr = arith.muli %h, {"%high" if split == 1 else "%c0"} : index
    %sc = arith.muli %h, {"%wide" if split == 2 else "%c0"} : index
    {allocs}
    %step = arith.constant {at_once} : index
    scf.for %t = %c0 to %n step %step {{
      {pops}{stores}
    }}
  }}
  return
}}
"""


def inputs(tiles: int, slots: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((tiles * 16, 16), dtype=np.float32), "w": rng.standard_normal((16, 16), dtype=np.float32)}
    return arrays | ({"s": np.zeros(slots * 256, np.float32)} if slots else {})


def run(tmp_path, text: str, arch: str, tiles: int, gm: bool) -> np.ndarray:
    file = tmp_path / "k.pto"
    file.write_text(text)
    for name, array in inputs(tiles, 16 if gm else 0).items():
        np.save(tmp_path / f"{name}.npy", array)
    given = {name: str(tmp_path / f"{name}.npy") for name in inputs(tiles, 16 if gm else 0)}
    report = ptoc.check(str(file), CHIPS[arch], **given)
    assert report.ok, [*map(str, report.missing), *report.misuse, report.deadlock]
    result = ptoc.run(str(file), CHIPS[arch], check=True, allow_unvalidated=True, **given)
    return result.outputs["z"].reshape(-1)[: tiles * 256].reshape(tiles * 16, 16)


ONE_WAY = [
    # arch, through global memory, split, tiles, facts, at once
    ("a3", True, 1, 20, "dir_mask = 1, slot_size = 1024", 1),
    ("a3", True, 2, 20, "dir_mask = 1, slot_size = 1024, slot_num = 4, local_slot_num = 3", 1),
    ("a3", True, 1, 20, "dir_mask = 1, slot_size = 1024, slot_num = 4, local_slot_num = 2", 2),
    ("a3", True, 1, 20, "dir_mask = 1, slot_size = 1024, slot_num = 6, sync_period = 2, local_slot_num = 2", 1),
    ("a5", False, 1, 20, "dir_mask = 1, slot_size = 1024", 1),
    ("a5", False, 1, 20, "dir_mask = 1, slot_size = 1024, slot_num = 4", 2),
    ("a5", False, 1, 18, "dir_mask = 1, slot_size = 1024, slot_num = 6, sync_period = 1", 3),
    ("a5", False, 0, 20, "dir_mask = 1, slot_size = 1024, slot_num = 2", 1),
    ("a5", True, 1, 20, "dir_mask = 1, slot_size = 1024, slot_num = 4, local_slot_num = 2", 1),
    ("a5", True, 2, 20, "dir_mask = 1, slot_size = 1024, slot_num = 4, local_slot_num = 3", 1),
]


@pytest.mark.parametrize(("arch", "gm", "split", "tiles", "facts", "at_once"), ONE_WAY)
def test_more_tiles_than_slots_arrive(tmp_path, arch: str, gm: bool, split: int, tiles: int, facts: str, at_once: int) -> None:
    got = run(tmp_path, one_way(arch, gm, split, tiles, facts, at_once), arch, tiles, gm)
    given = inputs(tiles)
    assert np.allclose(got, 2 * (given["x"] @ given["w"]), atol=1e-4)


def there_and_back(pipes: str, ids: tuple[int, int], tiles: int) -> str:
    """z = x @ w on a5: vector core 0 sends tiles of x on chip, the cube sends back their products."""
    to, back = ids
    nz, vec = "!pto.tile_buf<vec, 16x16xf32, blayout=col_major, slayout=row_major>", "!pto.tile_buf<vec, 16x16xf32>"
    part = "!pto.partition_tensor_view<16x16xf32>"
    return f"""
func.func @k(%x: !pto.ptr<f32>, %w: !pto.ptr<f32>, %z: !pto.ptr<f32>) {{{NUMBERS.replace("TILES", str(tiles))}
  %none = arith.constant 0 : i32
  pto.section.cube {{
    %c = pto.import_reserved_buffer {{name = "vec", peer_func = @k}} -> i32
    %v = pto.reserve_buffer {{name = "mat", size = 4096, location = #pto.address_space<mat>, auto = true}} -> i32
    {pipes.replace("SIDE", "aic")}
    %w1 = pto.alloc_tile : {MAT}
    %x0 = pto.alloc_tile : {LEFT["a5"]}
    %w0 = pto.alloc_tile : {RIGHT}
    %acc = pto.alloc_tile : {ACC}
    pto.tload ins(%vw : !pto.tensor_view<?x?xf32>) outs(%w1 : {MAT})
    pto.tmov ins(%w1 : {MAT}) outs(%w0 : {RIGHT})
    scf.for %t = %c0 to %n step %c1 {{
      %x1 = pto.tpop_from_aiv {{id = {to}, split = 0}} -> {MAT}
      pto.tmov ins(%x1 : {MAT}) outs(%x0 : {LEFT["a5"]})
      pto.tfree_from_aiv {{id = {to}, split = 0}}
      pto.tmatmul ins(%x0, %w0 : {LEFT["a5"]}, {RIGHT}) outs(%acc : {ACC})
      pto.tpush_to_aiv(%acc : {ACC}) {{id = {back}, split = 0}}
    }}
  }}
  pto.section.vector {{
    %c = pto.reserve_buffer {{name = "vec", size = 4096, location = #pto.address_space<vec>, auto = true}} -> i32
    %v = pto.import_reserved_buffer {{name = "mat", peer_func = @k}} -> i32
    {pipes.replace("SIDE", "aiv")}
    %nd = pto.alloc_tile : {vec}
    %nz = pto.alloc_tile : {nz}
    %sum = pto.alloc_tile : {vec}
    scf.for %t = %c0 to %n step %c1 {{
      %row = arith.muli %t, %c16 : index
      %in = pto.partition_view %vx, offsets = [%row, %c0], sizes = [%c16, %c16] : !pto.tensor_view<?x?xf32> -> {part}
      %out = pto.partition_view %vz, offsets = [%row, %c0], sizes = [%c16, %c16] : !pto.tensor_view<?x?xf32> -> {part}
      pto.tload ins(%in : {part}) outs(%nd : {vec})
      pto.tmov ins(%nd : {vec}) outs(%nz : {nz})
      pto.tpush_to_aic(%nz : {nz}) {{id = {to}, split = 0}}
      %p = pto.tpop_from_aic {{id = {back}, split = 0}} -> {vec}
      pto.tadd ins(%p, %nd : {vec}, {vec}) outs(%sum : {vec})
      pto.tfree_from_aic {{id = {back}, split = 0}}
      pto.tstore ins(%sum : {vec}) outs(%out : {part})
    }}
  }}
  return
}}
"""


BOTH = "pto.SIDE_initialize_pipe {dir_mask = 3, slot_size = 1024} (c2v_consumer_buf = %c : i32, v2c_consumer_buf = %v : i32)"
TWO = (
    "pto.SIDE_initialize_pipe {id = 0, dir_mask = 2, slot_size = 1024, slot_num = 2} (c2v_consumer_buf = %none : i32, v2c_consumer_buf = %v : i32)\n"
    "pto.SIDE_initialize_pipe {id = 1, dir_mask = 1, slot_size = 1024, slot_num = 4} (c2v_consumer_buf = %c : i32, v2c_consumer_buf = %none : i32)"
)


@pytest.mark.parametrize(("pipes", "ids"), [(BOTH, (0, 0)), (TWO, (0, 1))], ids=["one pipe both ways", "two pipes"])
def test_tiles_go_there_and_back_on_chip(tmp_path, pipes: str, ids: tuple[int, int]) -> None:
    got = run(tmp_path, there_and_back(pipes, ids, 9), "a5", 9, False)
    given = inputs(9)
    assert np.allclose(got, given["x"] @ given["w"] + given["x"], atol=1e-4)


def through_global_memory(pipes: str, ids: tuple[int, int], tiles: int) -> str:
    """z = x @ w + x on a3: each vector core sends its half of the rows through global memory, the cube sends back halves of the product."""
    to, back = ids
    vec, part = "!pto.tile_buf<vec, 8x16xf32>", "!pto.partition_tensor_view<8x16xf32>"
    return f"""
func.func @k(%x: !pto.ptr<f32>, %w: !pto.ptr<f32>, %z: !pto.ptr<f32>, %s: !pto.ptr<f32>) {{{NUMBERS.replace("TILES", str(tiles))}
  %none = arith.constant 0 : i32
  %far = arith.constant 2048 : index
  %s2 = pto.addptr %s, %far : !pto.ptr<f32> -> !pto.ptr<f32>
  pto.section.cube {{
    %c = pto.import_reserved_buffer {{name = "vec", peer_func = @k}} -> i32
    %v = pto.reserve_buffer {{name = "mat", size = 4096, location = #pto.address_space<mat>, auto = true}} -> i32
    {pipes.replace("SIDE", "aic")}
    %w1 = pto.alloc_tile : {MAT}
    %x0 = pto.alloc_tile : {LEFT["a3"]}
    %w0 = pto.alloc_tile : {RIGHT}
    %acc = pto.alloc_tile : {ACC}
    pto.tload ins(%vw : !pto.tensor_view<?x?xf32>) outs(%w1 : {MAT})
    pto.tmov ins(%w1 : {MAT}) outs(%w0 : {RIGHT})
    scf.for %t = %c0 to %n step %c1 {{
      %x1 = pto.tpop_from_aiv {{id = {to}, split = 1}} -> {MAT}
      pto.tmov ins(%x1 : {MAT}) outs(%x0 : {LEFT["a3"]})
      pto.tfree_from_aiv {{id = {to}, split = 1}}
      pto.tmatmul ins(%x0, %w0 : {LEFT["a3"]}, {RIGHT}) outs(%acc : {ACC})
      pto.tpush_to_aiv(%acc : {ACC}) {{id = {back}, split = 1}}
    }}
  }}
  pto.section.vector {{
    %c = pto.reserve_buffer {{name = "vec", size = 4096, location = #pto.address_space<vec>, auto = true}} -> i32
    %v = pto.import_reserved_buffer {{name = "mat", peer_func = @k}} -> i32
    {pipes.replace("SIDE", "aiv")}
    %sub = pto.get_subblock_idx
    %h = arith.index_cast %sub : i64 to index
    %c8 = arith.constant 8 : index
    %half = arith.muli %h, %c8 : index
    %mine = pto.alloc_tile : {vec}
    %sum = pto.alloc_tile : {vec}
    scf.for %t = %c0 to %n step %c1 {{
      %first = arith.muli %t, %c16 : index
      %row = arith.addi %first, %half : index
      %in = pto.partition_view %vx, offsets = [%row, %c0], sizes = [%c8, %c16] : !pto.tensor_view<?x?xf32> -> {part}
      %out = pto.partition_view %vz, offsets = [%row, %c0], sizes = [%c8, %c16] : !pto.tensor_view<?x?xf32> -> {part}
      pto.tload ins(%in : {part}) outs(%mine : {vec})
      pto.tpush_to_aic(%mine : {vec}) {{id = {to}, split = 1}}
      %p = pto.tpop_from_aic {{id = {back}, split = 1}} -> {vec}
      pto.tadd ins(%p, %mine : {vec}, {vec}) outs(%sum : {vec})
      pto.tfree_from_aic {{id = {back}, split = 1}}
      pto.tstore ins(%sum : {vec}) outs(%out : {part})
    }}
  }}
  return
}}
"""


GM_BOTH = "pto.SIDE_initialize_pipe {dir_mask = 3, slot_size = 1024} (gm_slot_buffer = %s : !pto.ptr<f32>, c2v_consumer_buf = %c : i32, v2c_consumer_buf = %v : i32)"
GM_TWO = (
    "pto.SIDE_initialize_pipe {id = 4, dir_mask = 2, slot_size = 1024, slot_num = 3, local_slot_num = 2} (gm_slot_buffer = %s : !pto.ptr<f32>, c2v_consumer_buf = %none : i32, v2c_consumer_buf = %v : i32)\n"
    "pto.SIDE_initialize_pipe {id = 2, dir_mask = 1, slot_size = 1024, slot_num = 4} (gm_slot_buffer = %s2 : !pto.ptr<f32>, c2v_consumer_buf = %c : i32, v2c_consumer_buf = %none : i32)"
)


@pytest.mark.parametrize(("pipes", "ids"), [(GM_BOTH, (0, 0)), (GM_TWO, (4, 2))], ids=["one pipe both ways", "two pipes"])
def test_tiles_go_there_and_back_through_global_memory(tmp_path, pipes: str, ids: tuple[int, int]) -> None:
    got = run(tmp_path, through_global_memory(pipes, ids, 9), "a3", 9, True)
    given = inputs(9)
    assert np.allclose(got, given["x"] @ given["w"] + given["x"], atol=1e-4)


def test_two_pipes_in_the_same_slots_are_refused(tmp_path) -> None:
    file = tmp_path / "k.pto"
    file.write_text(through_global_memory(GM_TWO.replace("%s2", "%s"), (4, 2), 9))
    with pytest.raises(ptoc.VerifyError, match=r"k.pto:\d+: pipe 4: its slots at .*k.pto:\d+ overlap those of pipe 2 at .*k.pto:\d+ \(4096 bytes\): give each pipe its own"):
        ptoc.compile(str(file))


def test_flags_of_two_pipes_on_chip_are_distinct(tmp_path) -> None:
    file = tmp_path / "k.pto"
    file.write_text(there_and_back(TWO, (0, 1), 9))
    text = ptoc.compile(str(file), CHIPS["a5"]).cpp()["k.cpp"]
    assert "TPipe<0, Direction::DIR_V2C, 1024, 2, 2, true>" in text and "TPipe<2, Direction::DIR_C2V, 1024, 4, 2, true>" in text
    assert "if (get_subblockid() == 0) {" in text


@pytest.mark.parametrize(("facts", "gone"), [("dir_mask = 1, slot_size = 1024", "tfree_from_aic"), ("dir_mask = 1, slot_size = 1024, slot_num = 4", "")])
def test_a_slot_on_chip_that_is_never_freed(tmp_path, facts: str, gone: str) -> None:
    """Left out in the text, the free is missed when compiling; freed, all is well."""
    text = one_way("a5", False, 1, 20, facts, 1)
    lines = [line for line in text.split("\n") if not gone or gone not in line]
    file = tmp_path / "k.pto"
    file.write_text("\n".join(lines))
    if gone:
        with pytest.raises(ptoc.VerifyError, match=r"k.pto:\d+: 'pto.tpop_from_aic': the entry of pipe 0 that is popped here is not freed by the end of the body of the loop at"):
            ptoc.compile(str(file), CHIPS["a5"])
    else:
        assert ptoc.compile(str(file), CHIPS["a5"]).sim.count("sim.release") == 1
