# RUN: %ptoc compile %s -o - --emit pto --no-check | %filecheck %s
# RUN: %ptoc compile %s -o - --emit sim --no-check | %filecheck %s --check-prefix=SIM
# Commands written under ptoc.part carry its name through passes and into the simulator IR; what the compiler adds belongs to none.

import ptoc
from ptoc import f32

# CHECK: pto.tload {{.*}} {pto.part = "move"}
# CHECK: pto.set_flag{{.*}}{unit
# CHECK: pto.tmuls {{.*}} {pto.part = "scale"}
# CHECK: pto.tstore {{.*}}f32>){{$}}
# SIM: sim.command "pto.tload" on "MTE2"{{.*}}attributes = {pto.part = "move"}
# SIM: sim.command "pto.tmuls" on "V"{{.*}}attributes = {pto.part = "scale"}


@ptoc.kernel
def scaled(x: ptoc.Tensor[64, f32], y: ptoc.Out[64, f32]):
    t = ptoc.tile([1, 64], f32)
    with ptoc.part("move"):
        ptoc.load(t, x)
        with ptoc.part("scale"):
            ptoc.muls(t, t, 2.0)
    ptoc.store(y, t)
