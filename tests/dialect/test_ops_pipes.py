"""Rules of pipe ops, each by a text that breaks it alone."""

import pytest

from ptoc.dialect import assembly
from ptoc.dialect.errors import PtocError

VIEW = "!pto.tensor_view<16x16xf32>"
INIT = "pto.aic_initialize_pipe {{{}}} (gm_slot_tensor = %v : !pto.tensor_view<16x16xf32>)"
VALUE = "%x = pto.initialize_l2l_pipe {{{}}} ({}) -> !pto.pipe"


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (INIT.format("slot_size = 64"), "'dir_mask' is missing"),
        (INIT.format("dir_mask = 4, slot_size = 64"), r"dir_mask must be 1 \(cube to vector\), 2 \(vector to cube\) or 3 \(both\); got 4"),
        (INIT.format("dir_mask = 1, slot_size = 0"), "slot_size must be at least 1; got 0"),
        (INIT.format("dir_mask = 1, slot_size = 64, slot_num = 0"), "slot_num must be at least 1; got 0"),
        (INIT.format("dir_mask = 1, slot_size = 64, local_slot_num = 0"), "local_slot_num must be at least 1; got 0"),
        (INIT.format("dir_mask = 1, slot_size = 64, local_slot_num = 9"), "local_slot_num must be at most slot_num; got 9 and 8"),
        (INIT.format("dir_mask = 3, slot_size = 64, sync_period = 3"), "sync_period must divide slot_num; got 3 and 4: leave it out for the library's own, 2"),
        (INIT.format("dir_mask = 1, slot_size = 64, flag_base = 16"), "flag_base must be 0 to 15; got 16"),
        (
            "pto.aic_initialize_pipe {dir_mask = 1, slot_size = 64} (gm_slot_buffer = %v : " + VIEW + ", c2v_consumer_buf = %b : i32, v2c_consumer_buf = %b : i32)",
            "gm_slot_buffer must be a !pto.ptr; got !pto.tensor_view<16x16xf32>",
        ),
        ("pto.aic_initialize_pipe {dir_mask = 1, slot_size = 64} (gm_slot_tensor = %g : !pto.ptr<f32>)", "gm_slot_tensor must be a !pto.tensor_view; got !pto.ptr<f32>"),
        (
            '"pto.aic_initialize_pipe"(%v, %g) {dir_mask = 1 : i32, slot_size = 64 : i32, operandSegmentSizes = array<i32: 1, 1, 0, 0>} : (' + VIEW + ", !pto.ptr<f32>) -> ()",
            "the slots are given as gm_slot_tensor or as gm_slot_buffer; got both",
        ),
        (VALUE.format("dir_mask = 1, slot_size = 64", "%b : i32"), "'slot_num' is missing"),
        (VALUE.format("dir_mask = 2, slot_size = 64, slot_num = 4", "%b : i32, %b : i32"), "peer_local_addr is for dir_mask = 3; a one-way pipe has one consumer buffer, local_addr"),
        ("%x = pto.talloc_to_aiv {split = 3} -> " + VIEW, r"split must be 0 \(none\), 1 \(up_down\) or 2 \(left_right\); got 3"),
        ("%x = pto.talloc_to_aiv {split = 0} -> !pto.tile_buf<vec, 16x16xf32>", "entry must be a view of a slot; got !pto.tile_buf<vec, 16x16xf32>"),
        ("%x = pto.tpop_from_aic {split = 0} -> !pto.tile_buf<mat, 16x16xf32>", "tile must be a view of a slot or a vec tile; got !pto.tile_buf<mat, 16x16xf32>"),
        ("%x = pto.tpop_from_aiv {split = 0} -> !pto.tile_buf<vec, 16x16xf32>", "tile must be a view of a slot or a mat tile; got"),
        ("%x = pto.tpop_from_aic(%n, %n) {split = 0} -> !pto.tile_buf<vec, 16x16xf32, valid=?x16>", "valid_col is for a tile whose type has valid=.x.; got !pto.tile_buf"),
        ("%x = pto.declare_tile(%n, %n) -> !pto.tile_buf<vec, 4x16xf32>", "valid_row is for a tile whose type has valid=.x.; got !pto.tile_buf"),
        ("pto.tpush(%t, %p : !pto.tile_buf<mat, 16x16xf32>, !pto.pipe) {split = 0}", "tile must be a view of a slot or an acc or vec tile; got"),
        ("pto.tfree(%n : index) {split = 0}", "the last operand must be a !pto.pipe; got index"),
        ('%x = pto.reserve_buffer {name = "a", location = #pto.address_space<vec>, auto = true} -> i32', "'size' is missing"),
        ('%x = pto.reserve_buffer {name = "a", size = 0, location = #pto.address_space<vec>, auto = true} -> i32', "size must be at least 1; got 0"),
        ('%x = pto.reserve_buffer {name = "a", size = 8, location = #pto.address_space<vec>, auto = false} -> i32', "base is missing: auto = false says that the address is given"),
        ('%x = pto.reserve_buffer {name = "a", size = 8, location = #pto.address_space<vec>, auto = false, base = -1} -> i32', "base must be at least 0; got -1"),
    ],
)
def test_each_rule_is_told(op: str, message: str) -> None:
    text = f"""
func.func @f(%v: {VIEW}, %g: !pto.ptr<f32>, %b: i32, %n: index, %t: !pto.tile_buf<mat, 16x16xf32>) {{
  %p = pto.initialize_l2l_pipe {{dir_mask = 1, slot_size = 1024, slot_num = 4}} (%b : i32) -> !pto.pipe
  {op}
  return
}}
"""
    with pytest.raises(PtocError, match=rf"k.pto:4:\d+: 'pto.\w+': {message}"):
        assembly.parse(text, "k.pto")
