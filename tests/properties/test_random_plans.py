"""Random kernels in small memories: results do not depend on which tiles share bytes, nor on how many slots they get.

PTOC_EXAMPLES=N runs N examples of each kind.
"""

import os
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ptoc.compiled import compile_source
from ptoc.dialect.errors import CapacityError
from ptoc.frontend import Kernel
from ptoc.loading import Source
from ptoc.machine.chip import Chip, load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.running import prepare, run_values, time_program
from ptoc.simulator.check import check

sys.path.insert(0, str(Path(__file__).parent))

from random_kernels import HEAD, Example, cube_examples, pipe_examples, vector_examples

EXAMPLES = int(os.environ.get("PTOC_EXAMPLES", "0"))
CHIP = load_chip("ascend910b1")


def examples(count: int):
    """Seeded, so that each run sees the same programs."""
    return settings(max_examples=EXAMPLES or count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)


@lru_cache
def with_ub(size: int) -> Chip:
    """The chip with a UB of so many bytes."""
    memories = CHIP.data.memories
    number = memories.ub.bytes.model_copy(update={"value": size})
    small = memories.model_copy(update={"ub": memories.ub.model_copy(update={"bytes": number}), "ub_reserved_from": number})
    return Chip(CHIP.data.model_copy(update={"memories": small}), CHIP.file, CHIP.vectors, CHIP.paths)


def kernel_of(source: str) -> Kernel:
    scope: dict = {}
    exec(compile(source, "k.py", "exec"), scope)
    return scope["k"]


def outputs(example: Example, chip: Chip, auto_stages: bool = False) -> tuple[dict[str, np.ndarray], list[str]]:
    """Outputs of a run whose synchronisation was proven, and the remarks of its compilation."""
    whole = prepare(Source("k", kernel_of(example.source)), chip, dict(example.sizes), None, example.cores, {}, "insert", auto_stages)
    report = check(whole.program, needs_barrier)
    assert report.ok, [*map(str, report.missing), *report.misuse, report.deadlock]
    return run_values(whole, time_program(whole.program, chip)), whole.compiled.remarks


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(array.tobytes() == other[name].tobytes() for name, array in one.items())


class Writer:
    """Writes statements on tiles t0, t1, ...; an op reads only tiles that were written before on every way to it."""

    def __init__(self, pick, sizes: list[int]) -> None:
        self.pick, self.sizes, self.lines, self.depth, self.stored = pick, sizes, [], 1, 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def block(self, defined: set[int], count: int, nesting: int) -> None:
        """Statements; what they define is added to `defined`."""
        for _ in range(count):
            kind = self.pick(12)
            if nesting and kind == 0:
                self.line(f"for i{nesting} in ptoc.range(N{', stages=2' * self.pick(2)}):")
                self.inner(defined, nesting)
            elif nesting and kind == 1:
                self.line("with ptoc.when(N > 2):")
                self.inner(defined, nesting)
            else:
                self.statement(kind, defined)

    def inner(self, defined: set[int], nesting: int) -> None:
        self.depth += 1
        self.block(set(defined), 2 + self.pick(4), nesting - 1)
        self.depth -= 1

    def statement(self, kind: int, defined: set[int]) -> None:
        dst = self.pick(len(self.sizes))
        rows = self.sizes[dst]
        alike = sorted(t for t in defined if self.sizes[t] == rows)
        if kind < 6 or not alike:
            row = 8 * self.pick(8)
            self.line(f"ptoc.load(t{dst}, x[{row} : {row + rows}, :])")
        elif kind < 9:
            a, b = (alike[self.pick(len(alike))] for _ in range(2))
            self.line(f"ptoc.{('max', 'sub', 'min')[self.pick(3)]}(t{dst}, t{a}, t{b})")
        else:
            self.store(alike[self.pick(len(alike))])
            return
        defined.add(dst)

    def store(self, tile: int) -> None:
        self.line(f"ptoc.store(y[{self.stored % 8 * 8} : {self.stored % 8 * 8 + self.sizes[tile]}, :], t{tile})")
        self.stored += 1


@st.composite
def tile_examples(draw: st.DrawFn) -> tuple[Example, int]:
    """A kernel on many tiles, and the bytes of all of them."""

    def pick(n: int) -> int:
        return draw(st.integers(0, n - 1))

    sizes = [(1, 2, 4, 8)[pick(4)] for _ in range(4 + pick(5))]
    w = Writer(pick, sizes)
    defined: set[int] = set()
    w.line(", ".join(f"t{i}" for i in range(len(sizes))) + " = " + ", ".join(f"ptoc.tile([{rows}, 64], f32)" for rows in sizes))
    w.line(f"ptoc.load(t0, x[0 : {sizes[0]}, :])")
    defined.add(0)
    w.block(defined, 6 + pick(10), 2)
    w.store(sorted(defined)[pick(len(defined))])
    head = '@ptoc.kernel\ndef k(n: ptoc.Tensor["N", f32], x: ptoc.Tensor[64, 64, f32], y: ptoc.Out[64, 64, f32], N):\n'
    return Example(HEAD + head + "\n".join(w.lines) + "\n", {"N": 1 + pick(4)}, 1), sum(sizes) * 256


def tightest(example: Example, total: int) -> int:
    """The smallest UB, in steps of 256 bytes, that the kernel was seen to compile for."""
    low, high = 0, total // 256
    while high - low > 1:
        middle = (low + high) // 2
        try:
            compile_source(Source("k", kernel_of(example.source)), with_ub(256 * middle))
            high = middle
        except CapacityError:
            low = middle
    return 256 * high


@examples(15)
@given(tile_examples())
def test_tiles_that_share_bytes_keep_their_values(case: tuple[Example, int]) -> None:
    example, total = case
    wanted, _ = outputs(example, CHIP)
    got, remarks = outputs(example, with_ub(tightest(example, total)))
    event(f"bytes are shared: {any('share' in remark for remark in remarks)}")
    assert same(wanted, got)


@examples(10)
@given(vector_examples())
def test_auto_stages_keep_results_of_vector_kernels(example: Example) -> None:
    assert same(outputs(example, CHIP)[0], outputs(example, CHIP, auto_stages=True)[0])


@examples(8)
@given(cube_examples())
def test_auto_stages_keep_results_of_cube_kernels(example: Example) -> None:
    assert same(outputs(example, CHIP)[0], outputs(example, CHIP, auto_stages=True)[0])


@examples(8)
@given(pipe_examples())
def test_auto_stages_keep_results_of_pipe_kernels(example: Example) -> None:
    assert same(outputs(example, CHIP)[0], outputs(example, CHIP, auto_stages=True)[0])
