"""Paged attention as tasks beside the one mixed kernel, simulated: `make bench-tasks` (cases as arguments; `large` takes minutes).

Columns: tasks, time from the first dispatch to the last end, for how long the dispatcher waited for a place in the ring, how busy the cores were that
ran anything, time of the mixed kernel, and, but for `large`, the largest error of the result.
"""

import sys

import numpy as np

import ptoc
from ptoc.kernels._paged import CASES, attention_inputs, attention_of_pages
from ptoc.kernels.orchestrations.paged_attention import paged_attention

CHIP = "ascend910b2"


def row(name: str, ring: int) -> str:
    """One case."""
    sizes = {"H": 16, "HKV": 1, "D": 128, "PAGE": 128, **CASES[name]}
    values = not sizes.pop("large", False)
    inputs = attention_inputs(np.random.default_rng(0), **sizes)
    inputs |= {n: inputs[n].astype(ptoc.bf16.numpy, copy=False) for n in "qkv"}
    tasks = ptoc.Tasks(CHIP, ring=ring, values=values)
    paged_attention(tasks, **inputs, HKV=sizes["HKV"], PAGE=sizes["PAGE"])
    result = tasks.finish()
    busy = ", ".join(f"{kind} {part:.0%}" for kind, part in result.busy.items())
    mixed = ptoc.run("paged_attention", CHIP, case=name, values=False).kernel_us
    error = ""
    if values:
        wide = {n: inputs[n].astype(np.float32) for n in "qkv"}
        expected = attention_of_pages(**(inputs | wide), HKV=sizes["HKV"], PAGE=sizes["PAGE"])
        error = f"{np.abs(result.tensors['o'] - expected).max():.1e}"
    return f"{name:<12} {len(result.tasks):>6} {result.makespan_us:>10.1f} {result.stalled_us:>10.1f}  {busy:<18} {mixed:>10.1f}  {error}"


if __name__ == "__main__":
    print(f"{'case':<12} {'tasks':>6} {'us':>10} {'stalled us':>10}  {'busy':<18} {'mixed us':>10}  error")
    for case in sys.argv[1:] or [name for name in CASES if name not in ("half", "odd_groups", "one_head_each", "large")]:
        print(row(case, ring=64), flush=True)
