"""Random kernels with what canonicalize looks for: it does fire, and the results keep their bits, infinities, NaNs and signed zeros included.

PTOC_EXAMPLES=N runs N examples of each kind.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ptoc.compiled
from ptoc.loading import Source
from ptoc.machine.chip import load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.passes.canonicalize import Canonicalize
from ptoc.passes.pipeline import PIPELINE
from ptoc.running import Prepared, compare_adverse, prepare, run_values, time_program
from ptoc.simulator.check import check

sys.path.insert(0, str(Path(__file__).parent))

from random_kernels import HEAD

EXAMPLES = int(os.environ.get("PTOC_EXAMPLES", "0"))
CHIP = load_chip("ascend910b1")
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-40, 65504.0, 6e-8)


@dataclass(frozen=True)
class Example:
    """Source text of a kernel `k` on x and y of type `dtype`, sizes, and the seed of its input."""

    source: str
    dtype: str
    seed: int
    sizes: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        return f"\n{self.source}\n# seed {self.seed}, {self.sizes}\n"


def values(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Random numbers, a third of them special."""
    rng = np.random.default_rng(seed)
    if dtype.startswith("i"):
        kind = np.iinfo({"i32": np.int32, "i16": np.int16}[dtype])
        return rng.integers(kind.min, kind.max, shape, dtype=kind.dtype, endpoint=True)
    array = rng.standard_normal(shape)
    special = rng.random(shape) < 0.3
    array[special] = rng.choice(SPECIAL, special.sum())
    with np.errstate(over="ignore"):
        return array.astype({"f32": np.float32, "f16": np.float16}[dtype])


@contextmanager
def pipeline(patterns: tuple | None):
    """The passes with other patterns in canonicalize; None: all of them."""
    kept = ptoc.compiled.PIPELINE
    if patterns is not None:
        ptoc.compiled.PIPELINE = tuple(replace(one, patterns=patterns) if isinstance(one, Canonicalize) else one for one in PIPELINE)
    try:
        yield
    finally:
        ptoc.compiled.PIPELINE = kept


def made(example: Example, patterns: tuple | None) -> Prepared:
    scope: dict = {}
    exec(compile(example.source, "k.py", "exec"), scope)
    kernel = scope["k"]
    sizes = dict(example.sizes)
    inputs = {n: values(kernel.shape(n, sizes), spec.dtype.name, example.seed) for n, spec in kernel.tensors.items() if not spec.output}
    with pipeline(patterns):
        return prepare(Source("k", kernel), CHIP, sizes, None, 1, inputs, "insert")


def ops(whole: Prepared) -> Counter:
    """How often each op stands in the scheduled text."""
    return Counter(re.findall(r"pto\.(t\w+|alloc_\w+)", whole.compiled.pto))


def same_results(example: Example) -> tuple[Prepared, Prepared]:
    """The kernel with no patterns and with all; asserts that their results are the same bytes, in every order that is allowed."""
    plain, simple = made(example, ()), made(example, None)
    report = check(simple.program, needs_barrier)
    assert report.ok, [*map(str, report.missing), *report.misuse, report.deadlock]
    expected, got = (run_values(whole, time_program(whole.program, CHIP)) for whole in (plain, simple))
    for name, array in expected.items():
        assert array.tobytes() == got[name].tobytes(), f"'{name}' differs"
    compare_adverse(simple, got)
    return plain, simple


def examples(count: int) -> Callable:
    return settings(max_examples=EXAMPLES or count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)


def kernel(dtype: str, body: list[str], more: str = "", shape: str = "16, 64") -> str:
    """A kernel that loads x into a, runs its body on a, b and c, and stores b."""
    lines = [f"a, b, c = (ptoc.tile([{shape}], {dtype}) for _ in range(3))", "ptoc.load(a, x[:, :])", "ptoc.mov(b, a)", "ptoc.mov(c, a)", *body, "ptoc.store(y[:, :], b)"]
    head = f"@ptoc.kernel\ndef k(x: ptoc.Tensor[{shape}, {dtype}]{more}, y: ptoc.Out[{shape}, {dtype}]):\n"
    return HEAD.replace("f16, f32", "f16, f32, i16, i32") + head + "\n".join("    " + line for line in lines) + "\n"


FLOAT_COPIES = ("muls({0}, {1}, 1.0)", "adds({0}, {1}, -0.0)", "subs({0}, {1}, 0.0)")
INT_COPIES = ("muls({0}, {1}, 1)", "adds({0}, {1}, 0)", "subs({0}, {1}, 0)")


@st.composite
def with_copies(draw: st.DrawFn) -> Example:
    dtype = draw(st.sampled_from(["f32", "f16", "i32", "i16"]))
    copies = INT_COPIES if dtype.startswith("i") else FLOAT_COPIES
    others = ("add({0}, {1}, {0})", "max({0}, {1}, {0})", "mov({0}, {1})", "adds({0}, {1}, 0.0)" if dtype.startswith("f") else "adds({0}, {1}, 3)")
    body = []
    for _ in range(draw(st.integers(1, 6))):
        to, of = draw(st.sampled_from("bc")), draw(st.sampled_from("ab"))
        body.append("ptoc." + draw(st.sampled_from((*copies, *others))).format(to, of))
    body.append("ptoc." + draw(st.sampled_from(copies)).format("b", draw(st.sampled_from("ab"))))
    return Example(kernel(dtype, body), dtype, draw(st.integers(0, 1 << 20)))


@examples(30)
@given(with_copies())
def test_neutral_numbers(example: Example) -> None:
    plain, simple = same_results(example)
    kinds = ("tmuls", "tsubs", "tadds")
    assert sum(ops(plain)[k] for k in kinds) > sum(ops(simple)[k] for k in kinds)


@st.composite
def there_and_back(draw: st.DrawFn) -> Example:
    small, large = draw(st.sampled_from([("f16", "f32"), ("i16", "f32")]))
    mode = draw(st.sampled_from(["RINT", "ROUND", "FLOOR", "CEIL", "TRUNC"]))
    before = draw(st.sampled_from(["", "ptoc.max(b, a, b)", "ptoc.mov(b, a)"]))
    between = draw(st.sampled_from(["", "ptoc.max(c, a, b)", "ptoc.mov(c, a)"]))
    body = [line for line in (before, f"wide = ptoc.tile([16, 64], {large})", f"ptoc.cvt(wide, a, rmode={mode!r})", between, f"ptoc.cvt(b, wide, rmode={mode!r})") if line]
    return Example(kernel(small, body), small, draw(st.integers(0, 1 << 20)))


@examples(20)
@given(there_and_back())
def test_conversions_there_and_back(example: Example) -> None:
    plain, simple = same_results(example)
    assert ops(plain)["tcvt"] == 2 and ops(simple)["tcvt"] == 0


@st.composite
def with_spread(draw: st.DrawFn) -> Example:
    dtype = draw(st.sampled_from(["f32", "f16"]))
    row = draw(st.booleans())
    op = draw(st.sampled_from(["add", "sub", "mul", "div", "max", "min"]))
    first, target = draw(st.booleans()), draw(st.sampled_from("abc"))
    rows, cols = draw(st.sampled_from([(16, 64), (8, 16), (24, 32)]))
    made = f"s = ptoc.tile([{rows}, 1], {dtype}, layout='dn')" if row else f"s = ptoc.tile([1, {cols}], {dtype})"
    spread = "rowexpand" if row else "colexpand"
    sources = "t, a" if first else "a, t"
    body = [made, "ptoc.load(s, v[:, :])", f"t = ptoc.tile([{rows}, {cols}], {dtype})", f"ptoc.{spread}(t, s)", f"ptoc.{op}({target}, {sources})"]
    body += [f"ptoc.mov(b, {target})"] if target != "b" else []
    vector = f", v: ptoc.Tensor[{f'{rows}, 1' if row else f'1, {cols}'}, {dtype}]"
    return Example(kernel(dtype, body, vector, f"{rows}, {cols}"), dtype, draw(st.integers(0, 1 << 20)))


@examples(40)
@given(with_spread())
def test_spread_and_combined(example: Example) -> None:
    plain, simple = same_results(example)
    assert ops(plain)["trowexpand"] + ops(plain)["tcolexpand"] == 1
    assert ops(simple)["trowexpand"] + ops(simple)["tcolexpand"] == 0
    assert sum(n for name, n in ops(simple).items() if re.match(r"t(row|col)expand[a-z]", name)) == 1


@st.composite
def with_dead(draw: st.DrawFn) -> Example:
    dead = [f"d{n} = ptoc.tile([16, 64], f32)" for n in range(3)] + ["ptoc.mov(d0, a)", "ptoc.mov(d1, a)", "ptoc.mov(d2, a)"]
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.integers(0, 3))
        d, e = draw(st.sampled_from(["d0", "d1", "d2"])), draw(st.sampled_from(["a", "b", "d0", "d1", "d2"]))
        line = (f"ptoc.add({d}, {d}, {e})", f"ptoc.exp({d}, {e})", f"ptoc.load({d}, x[:, :])", f"ptoc.abs({d}[0:8, :], {e}[0:8, :])")[kind]
        lines.append(line)
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["ptoc.add(b, a, b)", "ptoc.mov(c, b)", "ptoc.max(b, c, b)"])) if "ptoc.mov(c, b)" in lines else "ptoc.add(b, a, b)")
    if draw(st.booleans()):
        lines = ["for i in ptoc.range(3):", *("    " + line for line in lines)]
    return Example(kernel("f32", [*dead, *lines]), "f32", draw(st.integers(0, 1 << 20)))


@examples(25)
@given(with_dead())
def test_dead_producers(example: Example) -> None:
    plain, simple = same_results(example)
    assert ops(plain)["alloc_tile"] - ops(simple)["alloc_tile"] >= 3
    assert sum(ops(simple).values()) <= sum(ops(plain).values()) - 6


@st.composite
def with_same_loads(draw: st.DrawFn) -> Example:
    """A loop with a load that is always the same, one that is not, and reads of both; the loop may not run at all."""
    stages = draw(st.sampled_from(["", ", stages=2", ", stages=3"]))
    outer = draw(st.booleans())
    inside = draw(st.booleans())
    surely = draw(st.booleans())
    count = "ptoc.ceil_div(N, 8)" if surely else "N // 8"
    tile = "w = ptoc.tile([8, 16], f32)"
    lines = [
        "@ptoc.kernel",
        'def k(x: ptoc.Tensor["N", 16, f32], v: ptoc.Tensor[32, 16, f32], y: ptoc.Out["N", 16, f32], N):',
        *([] if inside else [f"    {tile}"]),
        *(["    for j in ptoc.range(2):"] if outer else []),
        f"    {'    ' * outer}for i in ptoc.range({count}{stages}):",
    ]
    n = "    " * (2 + outer)
    row = draw(st.sampled_from([0, 8, 24]))
    rest = "ptoc.minimum(N - i * 8, 8)" if surely else "8"
    lines += [n + tile] if inside else []
    steps = [
        f"n = {rest}", "a = ptoc.tile([8, 16], f32, valid=(n, 16))", "ptoc.load(a, x[i * 8 : i * 8 + n, :])", f"ptoc.load(w, v[{row} : {row} + 8, :])",
        f"ptoc.{draw(st.sampled_from(['add', 'mul', 'sub', 'max']))}(a, a, w[0:n, :])", "ptoc.store(y[i * 8 : i * 8 + n, :], a)",
    ]  # fmt: skip
    if draw(st.booleans()):
        steps[2], steps[3] = steps[3], steps[2]
    return Example(HEAD + "\n".join(lines + [n + step for step in steps]) + "\n", "f32", draw(st.integers(0, 1 << 20)), (("N", draw(st.sampled_from([8, 16, 40] if not surely else [1, 7, 16, 37]))),))


@examples(40)
@given(with_same_loads())
def test_loads_that_are_the_same_in_each_iteration(example: Example) -> None:
    plain, simple = same_results(example)
    runs = [sum(c.site.op == "pto.tload" for s in whole.program.streams for c in s.commands) for whole in (plain, simple)]
    may = "ceil_div" in example.source or example.source.index("w = ptoc.tile") > example.source.index("for i in")
    trips = runs[0] // 2
    assert runs[1] == (trips + 1 if may else runs[0])


@pytest.mark.parametrize("patterns", [(), None])
def test_the_patterns_are_put_back(patterns: tuple | None) -> None:
    with pipeline(patterns):
        pass
    assert ptoc.compiled.PIPELINE is PIPELINE
