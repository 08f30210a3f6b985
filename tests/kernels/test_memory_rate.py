"""Streaming kernels move at the rate of global memory: simulated time of all cores against that of their bytes alone."""

import math

import pytest

import ptoc
from ptoc.loading import shipped_kernel

READ_GB_PER_S, WRITE_GB_PER_S, AGAIN_GB_PER_S = 920, 1456, 4900
"""Of all 48 vector cores over 470 MB, cached, and of what the L2 has; reads and writes do not overlap.  Source: huawei-csl/npu-skillyard fdd49bf, platform_model.md, 910B2."""

WIDER = {"rmsnorm": "M", "layernorm": "M", "gelu": "N", "swiglu": "N", "softmax_long": "M", "transpose": "M", "reduce": "N", "embedding": "N"}
"""Which size of the large case is doubled for elements of two bytes, so that the bytes are as many."""


@pytest.mark.parametrize("T", ["f32", "f16"])
@pytest.mark.parametrize("name", WIDER)
def test_at_least_nine_tenths_of_the_memory_rate(name: str, T: str) -> None:
    kernel = shipped_kernel(name)
    sizes = {**kernel.cases["large"], "T": T}
    if T == "f16":
        sizes[WIDER[name]] *= 2
    result = ptoc.run(kernel, chip="ascend910b2", values=False, **sizes)
    specs = kernel.bound(sizes)
    read, written = (sum(math.prod(kernel.shape(n, sizes)) * s.dtype.bytes for n, s in specs.items() if s.output == out) for out in (False, True))
    if name == "embedding":
        read = written  # as many rows of the table as there are results
    assert read + written > 400e6
    again = read if name == "softmax_long" else 0  # a row longer than UB comes twice
    bound_us = (read / READ_GB_PER_S + again / AGAIN_GB_PER_S + written / WRITE_GB_PER_S) / 1e3
    assert bound_us / result.kernel_us >= 0.9, f"{bound_us:.0f} us of {result.kernel_us:.0f}"
