// RUN: not %ptoc check %s | %filecheck %s
// A store that does not wait for the load of its tile: where, which ops, which bytes, and what to add.

// CHECK: missing: {{.*}}missing.sim.mlir:19: RAW on ub bytes 0 to 255: 'pto.tload' ({{.*}}missing.sim.mlir:17, MTE2 of aiv0.0)
// CHECK-SAME: 'pto.tstore' ({{.*}}missing.sim.mlir:19, MTE3 of aiv0.0) are in no order
// CHECK-SAME: set_flag(MTE2 -> MTE3) after 'pto.tload'
// CHECK: 1 missing, redundancy not judged

module attributes {sim.arch = "a3"} {
func.func @copy_aiv(%x: !sim.memory<f32>, %y: !sim.memory<f32>) attributes {sim.arg_names = ["x", "y"], sim.outputs = ["y"], sim.core = "aiv", sim.kernel = "missing"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %v = sim.view %x sizes [%c64] strides[%c1] {dtype = "f32"} : !sim.memory<f32>
  %w = sim.view %y sizes [%c64] strides[%c1] {dtype = "f32"} : !sim.memory<f32>
  %t = sim.tile "ub"[%c0] valid(%c1, %c64) {blayout = "row_major", cols = 64, dtype = "f32", fractal = 512, rows = 1, slayout = "none_box"}
  sim.command "pto.tload" on "MTE2"(%v, %t) {names = ["src", "dst"], reads = ["src"], work = "gm_to_ub 1 x 256 B", writes = ["dst"]}

  sim.command "pto.tstore" on "MTE3"(%t, %w) {names = ["src", "dst"], reads = ["src"], work = "ub_to_gm 1 x 256 B", writes = ["dst"]}
  sim.barrier "ALL"
  return
}
}
