// RUN: not %ptoc run %s 2>&1 | %filecheck %s
// A wait that nobody answers: which engine waits for which flag, at which line.

// CHECK: error: deadlock in 'deadlock': 2 queues on 1 core wait for ever; there is no cycle
// CHECK-NEXT: {{.*}}deadlock.sim.mlir:19: aiv0.0 S, 'pipe_barrier' waits until MTE3 of its core are drained
// CHECK-NEXT: {{.*}}deadlock.sim.mlir:17: aiv0.0 MTE3, 'wait_flag' waits for flag MTE2 -> MTE3 id 0, but no set_flag is left that would raise it

module attributes {sim.arch = "a3"} {
func.func @copy_aiv(%x: !sim.memory<f32>, %y: !sim.memory<f32>) attributes {sim.arg_names = ["x", "y"], sim.outputs = ["y"], sim.core = "aiv", sim.kernel = "deadlock"} {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %v = sim.view %x sizes [%c64] strides[%c1] {dtype = "f32"} : !sim.memory<f32>
  %w = sim.view %y sizes [%c64] strides[%c1] {dtype = "f32"} : !sim.memory<f32>
  %t = sim.tile "ub"[%c0] valid(%c1, %c64) {blayout = "row_major", cols = 64, dtype = "f32", fractal = 512, rows = 1, slayout = "none_box"}
  sim.command "pto.tload" on "MTE2"(%v, %t) {names = ["src", "dst"], reads = ["src"], work = "gm_to_ub 1 x 256 B", writes = ["dst"]}
  sim.wait "MTE2" to "MTE3" id %c0
  sim.command "pto.tstore" on "MTE3"(%t, %w) {names = ["src", "dst"], reads = ["src"], work = "ub_to_gm 1 x 256 B", writes = ["dst"]}
  sim.barrier "ALL"
  return
}
}
