# RUN: %ptoc compile %s -o - --emit sim --no-check | %filecheck %s
# Cube and vector sections are two functions of the simulator IR; the ring between them is an argument and a channel of both.

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

# CHECK: func.func @product_aic({{.*}}sim.arg_names = ["a", "b", "c", "ring_slots"], sim.core = "aic"
# CHECK: sim.channel
# CHECK: sim.command "pto.tmatmul" on "M"
# CHECK: sim.acquire
# CHECK: sim.command "pto.tstore" on "FIX"
# CHECK-NEXT: sim.push
# CHECK: func.func @product_aiv({{.*}}sim.core = "aiv"
# CHECK: sim.take
# CHECK: sim.command "pto.tload" on "MTE2"
# CHECK: sim.release


@ptoc.kernel
def product(a: ptoc.Tensor[16, 16, f16], b: ptoc.Tensor[16, 16, f16], c: ptoc.Out[16, 16, f32]):
    ring = ptoc.pipe("c2v", (16, 16), f32, slots=2, name="ring")
    with ptoc.cube():
        a1, b1 = ptoc.tile([16, 16], f16, L1), ptoc.tile([16, 16], f16, L1)
        a0, b0, c0 = ptoc.tile([16, 16], f16, L0A), ptoc.tile([16, 16], f16, L0B), ptoc.tile([16, 16], f32, L0C)
        ptoc.load(a1, a), ptoc.load(b1, b), ptoc.mov(a0, a1), ptoc.mov(b0, b1), ptoc.matmul(c0, a0, b0)
        entry = ring.alloc()
        ptoc.store(entry, c0)
        ring.push(entry)
    with ptoc.vector():
        half, row, entry = ptoc.tile([8, 16], f32), ptoc.sub_block_idx() * 8, ring.pop()
        ptoc.load(half, entry)
        ring.free(entry)
        ptoc.store(c[row : row + 8, :], half)
