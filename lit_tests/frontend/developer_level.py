# RUN: %ptoc compile %s -D N=1000 -o - --emit pto | %filecheck %s
# Neither an address nor a flag is written; both stand in the scheduled module, and so do names of arguments.

import ptoc
from ptoc import f32

# CHECK: module attributes {pto.target_arch = "a3"} {
# CHECK-NEXT: func.func @double(%arg0: !pto.ptr<f32>, %arg1: !pto.ptr<f32>, %arg2: index)
# CHECK-SAME: pto.arg_names = ["x", "y", "N"], pto.entry, pto.outputs = ["y"]
# CHECK: pto.set_flag[<PIPE_MTE3>, <PIPE_MTE2>, <EVENT_ID0>]
# CHECK: scf.for
# CHECK: pto.alloc_multi_tile addr = %{{.*}} valid_col = %{{.*}} : !pto.multi_tile_buf<vec, 1x256xf32, valid=1x?, count=2>
# CHECK: pto.wait_flag_dyn[<PIPE_MTE3>, <PIPE_MTE2>, %{{.*}}]
# CHECK-NEXT: pto.tload
# CHECK: pto.tadd
# CHECK: pto.tstore
# CHECK: pto.barrier <PIPE_ALL>


@ptoc.kernel
def double(x: ptoc.Tensor["N", f32], y: ptoc.Out["N", f32], N):
    for i in ptoc.range(ptoc.ceil_div(N, 256), stages=2):
        n = ptoc.minimum(N - i * 256, 256)
        t = ptoc.tile([1, 256], f32, valid=(1, n))
        ptoc.load(t, x[i * 256 : i * 256 + n])
        ptoc.add(t, t, t)
        ptoc.store(y[i * 256 : i * 256 + n], t)
