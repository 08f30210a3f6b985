# RUN: %ptoc compile %s -o - --emit pto | %filecheck %s
# Addresses and flags by hand, in the same language: with sync="keep" nothing is added.

import ptoc
from ptoc import f32

# CHECK: pto.alloc_tile addr = %{{.*}} : !pto.tile_buf<vec, 1x64xf32>
# CHECK: pto.tload
# CHECK-NEXT: pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>]
# CHECK-NEXT: pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>]
# CHECK-NEXT: pto.texp
# CHECK-NEXT: pto.set_flag[<PIPE_V>, <PIPE_MTE3>, <EVENT_ID3>]
# CHECK-NEXT: pto.wait_flag[<PIPE_V>, <PIPE_MTE3>, <EVENT_ID3>]
# CHECK: pto.tstore
# CHECK-NEXT: pto.barrier <PIPE_ALL>
# CHECK-NEXT: return


@ptoc.kernel(sync="keep")
def exponential(x: ptoc.Tensor[64, f32], y: ptoc.Out[64, f32]):
    t = ptoc.tile([1, 64], f32, addr=1024)
    ptoc.load(t, x)
    ptoc.set_flag("MTE2", "V", 3)
    ptoc.wait_flag("MTE2", "V", 3)
    ptoc.exp(t, t)
    ptoc.set_flag("V", "MTE3", 3)
    ptoc.wait_flag("V", "MTE3", 3)
    ptoc.store(y, t)
    ptoc.barrier("ALL")
