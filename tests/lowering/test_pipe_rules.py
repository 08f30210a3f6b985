"""Pipes, changed tiles and cross-core flags in the simulator IR: what is refused, and what the rules make of the rest."""

import pytest

from ptoc.compiled import compile_source
from ptoc.dialect.errors import NotSupportedError, PtocError, SimulationError
from ptoc.loading import Source
from ptoc.machine.chip import load_chip
from ptoc.simulator.elaborate import elaborate

ACC = "!pto.tile_buf<acc, 16x16xf32, blayout=col_major, slayout=row_major, fractal=1024>"
VEC = "!pto.tile_buf<vec, 16x16xf32>"


def compiled(text, arch="a3"):
    chip = load_chip({"a3": "ascend910b1", "a5": "ascend950pr"}[arch])
    return compile_source(Source("k", None, text, "pto", "k.pto"), chip)


def pair(cube, vector, facts="dir_mask = 1, slot_size = 1024", gm=True, buffer="size = 8192", c2v="%b"):
    slots = "gm_slot_buffer = %p : !pto.ptr<f32>, " if gm else ""
    return f"""
func.func @k(%p: !pto.ptr<f32>) {{
  %zero = arith.constant 0 : i32
  pto.section.cube {{
    %b = pto.import_reserved_buffer {{name = "in", peer_func = @k}} -> i32
    pto.aic_initialize_pipe {{{facts}}} ({slots}c2v_consumer_buf = {c2v} : i32, v2c_consumer_buf = %zero : i32)
    %acc = pto.alloc_tile : {ACC}
    {cube}
  }}
  pto.section.vector {{
    %b = pto.reserve_buffer {{name = "in", {buffer}, location = #pto.address_space<vec>, auto = true}} -> i32
    pto.aiv_initialize_pipe {{{facts}}} ({slots}c2v_consumer_buf = %b : i32, v2c_consumer_buf = %zero : i32)
    {vector}
  }}
  return
}}
"""


PUSH = f"pto.tpush_to_aiv(%acc : {ACC}) {{split = 0}}\n"
POP = f"scf.execute_region {{ %t = pto.tpop_from_aic {{split = 0}} -> {VEC}\n pto.tfree_from_aic {{split = 0}}\n scf.yield }}\n"


def test_a_tile_goes_through_a_slot_and_its_slot_is_given_back_when_it_is_popped():
    sim = compiled(pair(PUSH, POP)).sim
    assert sim.index("sim.acquire") < sim.index('"pto.tpush" on "FIX"') < sim.index("sim.push")
    assert sim.index("sim.take") < sim.index('"pto.tpop" on "MTE2"') < sim.index("sim.release")
    assert sim.count("sim.release") == 1


def test_on_chip_only_the_cube_moves_data_and_tfree_gives_the_slot_back():
    sim = compiled(pair(PUSH, POP, gm=False), "a5").sim
    assert '"pto.tpush" on "FIX"' in sim and '"pto.tpop"' not in sim
    assert 'sim.take %0 {pipe = "V"}' in sim and sim.count('sim.release') == 1


def test_local_slots_turn_on_their_own():
    """Three local slots of eight: the ninth entry, in slot 0, comes into local slot 2."""
    program = elaborate(compiled(pair(PUSH * 9, POP * 9, "dir_mask = 1, slot_size = 1024, local_slot_num = 3")).simulator_ir, "k", {"p": 8192}, 1)
    pops = [c for s in program.streams if s.core.kind == "aiv" and not s.core.sub for c in s.commands if c.site.op == "pto.tpop"]
    places = [(dict(c.operands)["slot"].offset // 256, dict(c.operands)["tile"].address // 1024) for c in pops]
    assert places == [(n % 8, n % 3) for n in range(9)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (pair(PUSH, POP, gm=False), "on a3 the slots of a pipe lie in global memory; give gm_slot_buffer or gm_slot_tensor"),
        (pair(PUSH, POP, "dir_mask = 1, slot_size = 512"), r"an entry of 1024 bytes \(16x16xf32\) does not fit a slot of 512 of pipe 0"),
        (pair(PUSH, POP).replace('name = "in", peer', 'name = "out", peer'), "must name one consumer buffer; got 'out' at k.pto:6 and 'in' at k.pto:13"),
        (pair(PUSH, POP).split("  pto.section.vector")[0] + "return }", "no pto.reserve_buffer is named 'in'"),
        (pair(PUSH, POP, "dir_mask = 2, slot_size = 1024"), "has no direction cube to vector"),
    ],
)
def test_pipes_that_cannot_work_are_refused(text, message):
    with pytest.raises(PtocError, match=message):
        compiled(text)


CHANGED = """
func.func @k(%p: !pto.ptr<f32>, %n: index) {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %c1 = arith.constant 1 : index
  %f = arith.constant 1.000000e+00 : f32
  %t = pto.alloc_tile valid_row = %c8 valid_col = %c8 : !pto.tile_buf<vec, 8x8xf32, valid=?x?>
  scf.for %i = %c0 to %c8 step %c1 {
    pto.set_validshape %t, %c8, %n : !pto.tile_buf<vec, 8x8xf32, valid=?x?>
    pto.texpands ins(%f : f32) outs(%t : !pto.tile_buf<vec, 8x8xf32, valid=?x?>)
  }
  AFTER
  return
}
"""


def test_a_tile_changed_in_a_loop_may_be_used_there():
    assert "sim.part" in compiled(CHANGED.replace("AFTER", "")).sim


def test_a_tile_changed_in_a_loop_is_not_used_after_it():
    after = "pto.texpands ins(%f : f32) outs(%t : !pto.tile_buf<vec, 8x8xf32, valid=?x?>)"
    with pytest.raises(NotSupportedError, match=r"k.pto:9.*used outside of the loop or branch that changes it"):
        compiled(CHANGED.replace("AFTER", after))


@pytest.mark.parametrize(
    ("dim", "view", "message"),
    [("%i", "%v", "the dimension must be a constant"), ("%c1", "%w", "the view must come from make_tensor_view or partition_view")],
)
def test_an_extent_is_known_for_plain_views(dim, view, message):
    text = f"""
func.func @k(%p: !pto.ptr<f32>, %w: !pto.tensor_view<?x?xf32>, %i: index) {{
  %c1 = arith.constant 1 : index
  %v = pto.make_tensor_view %p, shape = [%i, %i], strides = [%i, %c1] : !pto.tensor_view<?x?xf32>
  %n = pto.get_tensor_view_dim {view}, {dim} : !pto.tensor_view<?x?xf32> -> index
  %f = arith.constant 1.000000e+00 : f32
  %t = pto.alloc_tile valid_row = %c1 valid_col = %n : !pto.tile_buf<vec, 8x8xf32, valid=?x?>
  pto.texpands ins(%f : f32) outs(%t : !pto.tile_buf<vec, 8x8xf32, valid=?x?>)
  return
}}
"""
    with pytest.raises(NotSupportedError, match=message):
        compiled(text)


def test_cross_core_flags_are_signals_and_awaits():
    text = "func.func @k() { pto.section.cube { pto.sync.set <PIPE_FIX>, 3 } pto.section.vector { pto.sync.wait <PIPE_V>, 3 } return }"
    assert 'sim.signal "FIX"' in compiled(text).sim
    assert 'sim.await "S"' in compiled(text).sim and 'sim.await "V"' in compiled(text, "a5").sim


@pytest.mark.parametrize(
    ("index", "message"), [("%c0", "'pto.eventid_array_get': element 0 was never set"), ("%c3", "an array of 2 event ids has no element 3")]
)
def test_event_ids_that_are_not_there_are_told(index, message):
    text = f"""
func.func @k() attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  %ids = pto.declare_eventid_array -> !pto.eventid_array<2>
  %id = pto.eventid_array_get %ids[{index}] : !pto.eventid_array<2>
  pto.set_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %id]
  pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_V>, %id]
  return
}}
"""
    with pytest.raises(SimulationError, match=rf"k.pto:5.*{message}"):
        elaborate(compiled(text).simulator_ir, "k", {}, 1)
