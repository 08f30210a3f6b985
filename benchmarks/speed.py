"""Seconds that compilation and simulation of the shipped kernels take, and commands per second: `make bench`."""

import time
from collections.abc import Callable
from typing import Any

import ptoc

KERNELS = (("vector_add", "default"), ("softmax", "default"), ("gemm", "default"), ("flash_attention", "default"), ("flash_attention", "s8192"))


def seconds(work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The shortest of some runs of `work`, and what it gave."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
    return best, result


def main() -> None:
    """Prints one row per kernel and case."""
    print(f"{'kernel':24} {'compile s':>10} {'time only s':>12} {'with values s':>14} {'commands':>10} {'commands/s':>12}")
    for name, case in KERNELS:
        kernel = ptoc.load_kernel(name)
        sizes = kernel.sizes
        parameters = {n: v for n, v in kernel.cases[case].items() if n not in sizes and n != "cores"}
        compiling, _ = seconds(lambda kernel=kernel, parameters=parameters: ptoc.compile(kernel, **parameters))
        timing, timed = seconds(lambda kernel=kernel, case=case: ptoc.run(kernel, case=case, values=False))
        running, _ = seconds(lambda kernel=kernel, case=case: ptoc.run(kernel, case=case), repeats=1)
        rate = timed.commands / max(timing - compiling, 1e-9)
        print(f"{f'{name} {case}':24} {compiling:10.2f} {timing:12.2f} {running:14.2f} {timed.commands:10} {rate:12.0f}")


if __name__ == "__main__":
    main()
