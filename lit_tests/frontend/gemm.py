# RUN: %ptoc compile %s:gemm -D M=300 -D K=600 -D N=600 -D TM=128 -D TN=256 -o - --emit pto --no-check | %filecheck %s
# The shipped gemm: two slots of everything, primed before the loop over tiles and drained behind it, one flag each way between two engines.

from ptoc.kernels.gemm import gemm  # noqa: F401

# CHECK: func.func @gemm(%arg0: !pto.ptr<f16>, %arg1: !pto.ptr<f16>, %arg2: !pto.ptr<f32>, %arg3: index, %arg4: index, %arg5: index)
# CHECK-SAME: pto.arg_names = ["a", "b", "c", "M", "K", "N"]
# CHECK: pto.alloc_multi_tile addr = %c0_i64 {{.*}}: !pto.multi_tile_buf<acc, 128x128xf32{{.*}}count=2>
# CHECK-COUNT-6: role = "prime"
# CHECK: scf.for
# CHECK: scf.for
# CHECK-NOT: role =
# CHECK: pto.wait_flag_dyn[<PIPE_MTE1>, <PIPE_MTE2>
# CHECK: pto.tload {{.*}}<mat, 128x256xf16
# CHECK-NEXT: {{.*}}
# CHECK: pto.tload {{.*}}<mat, 256x256xf16
# CHECK: pto.set_flag_dyn[<PIPE_MTE2>, <PIPE_MTE1>
# CHECK: pto.wait_flag_dyn[<PIPE_MTE2>, <PIPE_MTE1>
# CHECK: scf.for
# CHECK: pto.wait_flag_dyn[<PIPE_FIX>, <PIPE_M>
# CHECK: pto.wait_flag_dyn[<PIPE_M>, <PIPE_MTE1>
# CHECK: pto.textract {{.*}}<left, 128x128xf16
# CHECK: pto.textract {{.*}}<right, 128x128xf16
# CHECK: pto.tmatmul ins
# CHECK: pto.tmatmul.acc ins
# CHECK: pto.tstore
# CHECK-NOT: pto.barrier
# CHECK-COUNT-6: role = "drain"
# CHECK: pto.barrier <PIPE_ALL>
