# RUN: not %ptoc compile %s -o - --emit pto 2>&1 | %filecheck %s
# A rule that a kernel breaks is told at the kernel's own line.

import ptoc
from ptoc import f16, f32


@ptoc.kernel
def mixed(x: ptoc.Tensor[64, f32], y: ptoc.Out[64, f32]):
    a, b = ptoc.tile([1, 64], f32), ptoc.tile([1, 64], f16)
    ptoc.load(a, x)
    # CHECK: error: line_of_error.py:13: 'pto.tadd': all tiles must have one element type; got src0 f32, src1 f16, dst f32
    ptoc.add(a, a, b)
    ptoc.store(y, a)
