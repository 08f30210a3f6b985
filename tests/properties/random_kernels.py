"""Random kernels in the kernel language, as source text: what a failing example prints can be saved and run as it stands."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

HEAD = """import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

"""


@dataclass(frozen=True)
class Example:
    """Source text of a kernel `k`, its sizes, and the blocks to launch."""

    source: str
    sizes: dict[str, int]
    cores: int

    def __repr__(self) -> str:
        sizes = " ".join(f"-D {n}={v}" for n, v in self.sizes.items())
        return f"\n{self.source}\n# run k.py --check --cores {self.cores} {sizes}\n"


class Writer:
    """Writes the body of a vector kernel on tiles of 8 x 16 that hold data from the start; `pick` chooses."""

    def __init__(self, pick: Callable[[int], int]) -> None:
        self.pick = pick
        self.lines: list[str] = []
        self.depth = 1
        self.count = 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def one(self, *choices: str) -> str:
        return choices[self.pick(len(choices))]

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def rows(self, loops: list[str]) -> str:
        """First row of an eighth of the block's 64 rows."""
        known = [f"{self.pick(8)} * 8"]
        known += [f"({i} + {self.pick(3)}) % 8 * 8" for i in loops]
        return f"base + {self.one(*known)}"

    def tile(self, tiles: list[str], loops: list[str]) -> str:
        ring = f"ring[{self.one(*[f'({i} + {j}) % RING' for i in loops for j in (0, 1)])}]" if loops else f"ring[{self.pick(2)}]"
        return self.one(*tiles, *tiles, ring)

    def statements(self, tiles: list[str], loops: list[str], count: int, depth: int) -> None:
        for _ in range(count):
            kind = self.pick(14)
            if kind < 2 and depth:
                self.loop(tiles, loops, depth)
            elif kind == 2 and depth:
                self.when(tiles, loops, depth)
            else:
                self.simple(kind, tiles, loops)

    def loop(self, tiles: list[str], loops: list[str], depth: int) -> None:
        i = self.fresh("i")
        count = self.one("N", "N", "N - 2", "N - 1", "3", "ptoc.ceil_div(W, 8)", *[f"{j} + 1" for j in loops])
        stages = self.one("", "", ", stages=2", ", stages=3")
        self.line(f"for {i} in ptoc.range({count}{stages}):")
        self.depth += 1
        inner = list(tiles)
        for _ in range(self.pick(3)):
            t = self.fresh("t")
            self.line(f"{t} = ptoc.tile([8, 16], f32)")
            self.line(f"ptoc.load({t}, x[{(r := self.rows([*loops, i]))} : {r} + 8, :])")
            inner.append(t)
        self.statements(inner, [*loops, i], 1 + self.pick(4), depth - 1)
        self.depth -= 1

    def when(self, tiles: list[str], loops: list[str], depth: int) -> None:
        self.line(f"with ptoc.when({self.one('N > 2', 'W >= 8', *[f'{i} == 0' for i in loops], *[f'{i} < N - 1' for i in loops])}):")
        self.depth += 1
        self.statements(tiles, loops, 1 + self.pick(2), depth - 1)
        self.depth -= 1

    def simple(self, kind: int, tiles: list[str], loops: list[str]) -> None:
        a, b, d = (self.tile(tiles, loops) for _ in range(3))
        part = self.one("", "", "", "[0:4, :]", "[4:8, :]", "[:, 0:8]", "[:, 8:16]", "[0:w8, :]", "[:, 0:w16]", "[0:w8, 0:w16]", "[0:w8, 8:16]")
        if kind in (3, 4):
            r = self.rows(loops)
            if part and "w" not in part and self.pick(2):
                rows, cols = part.strip("[]").split(", ")
                low, _, high = rows.partition(":")
                self.line(f"ptoc.load({d}{part}, x[{r} + {low or 0} : {r} + {high or 8}, {cols}])")
            else:
                self.line(f"ptoc.load({d}, x[{r} : {r} + 8, :])")
        elif kind in (5, 6):
            r = self.rows(loops)
            dynamic = self.one("full", "rows", "columns")
            if dynamic == "rows":
                self.line(f"ptoc.store(y[{r} : {r} + w8, :], {a}[0:w8, :])")
            elif dynamic == "columns":
                self.line(f"ptoc.store(y[{r} : {r} + 8, 8:16], {a}[:, 0:8])")
            else:
                self.line(f"ptoc.store(y[{r} : {r} + 8, :], {a})")
        elif kind == 7:
            r = self.rows(loops)
            self.line(f"ptoc.store(y[{r} : {r} + 8, :], {a})")
            self.line(f"ptoc.load({d}, y[{r} : {r} + 8, :])")
        elif kind == 8:
            self.line(f"ptoc.rowmax(column{part if part in ('[0:w8, :]',) else ''}, {a}{part if part in ('[0:w8, :]',) else ''}, scratch)")
            self.line(f"ptoc.rowexpandsub({d}, {b}, column)")
        elif kind == 9 and "ring" not in a + b + d:
            self.line(f"ptoc.{self.one('add', 'sub', 'max', 'min')}({d}.reshape(4, 32), {a}.reshape(4, 32), {b}.reshape(4, 32))")
        elif kind == 10:
            self.line(f"ptoc.{self.one('muls', 'mins')}({d}{part}, {a}{part}, 0.5)")
        elif kind == 11:
            self.line(f"ptoc.{self.one('mov', 'abs', 'neg')}({d}{part if ':w' not in part else ''}, {a}{part if ':w' not in part else ''})")
        elif kind == 12:
            self.line(f"ptoc.expands({d}, 1.5)")
        else:
            self.line(f"ptoc.{self.one('add', 'sub', 'max', 'min')}({d}{part}, {a}{part}, {b}{part})")


@st.composite
def vector_examples(draw: st.DrawFn) -> Example:
    """Elementwise code on tiles in UB: loops with and without stages, branches, parts, rings, dynamic sizes, updates in place."""
    w = Writer(lambda n: draw(st.integers(0, n - 1)))
    tiles = ["a", "b", "c"]
    w.line("base = ptoc.block_idx() * 64")
    w.line("w8, w16 = ptoc.minimum(W, 8), ptoc.minimum(W, 16)")
    w.line("ring, scratch, column = ptoc.tile([8, 16], f32, slots=RING), ptoc.tile([8, 16], f32), ptoc.tile([8, 1], f32, layout='dn')")
    w.line("a, b, c = (ptoc.tile([8, 16], f32) for _ in range(3))")
    for j in range(8):
        w.line(f"ptoc.load(a, x[base + {j * 8} : base + {j * 8 + 8}, :])") if j in (0, 4) else None
        w.line(f"ptoc.store(y[base + {j * 8} : base + {j * 8 + 8}, :], a)")
    w.line("for j in range(RING):")
    w.line("    ptoc.load(ring[j], x[base + j * 8 : base + j * 8 + 8, :])")
    w.line("ptoc.load(b, x[base + 24 : base + 32, :])")
    w.line("ptoc.mov(c, b)")
    w.line("ptoc.rowmax(column, b, scratch)")
    w.statements(tiles, [], 2 + w.pick(5), 2)
    for j, t in enumerate(tiles):
        w.line(f"ptoc.store(y[base + {j * 8} : base + {j * 8 + 8}, :], {t})")
    head = '@ptoc.kernel\ndef k(n: ptoc.Tensor["N", f32], m: ptoc.Tensor["W", f32], x: ptoc.Tensor[128, 16, f32], y: ptoc.Out[128, 16, f32], N, W, *, RING: int = 2):\n'
    source = HEAD + head + "\n".join(w.lines) + "\n"
    source = source.replace("RING: int = 2", f"RING: int = {2 + w.pick(2)}")
    return Example(source, {"N": 1 + w.pick(4), "W": 1 + w.pick(16)}, 1 + w.pick(2))


CUBE = '''@ptoc.kernel
def k(n: ptoc.Tensor["T", f32], a: ptoc.Tensor["M", "K", f16], b: ptoc.Tensor["K", 48, f16], c: ptoc.Out["M", 48, f32], M, K, T):
    """c = a @ b, T times over."""
    for t in ptoc.range({outer}{stages_outer}):
        m0 = {m0}
        m = ptoc.minimum(M - m0, 32)
        {acc}
        {ring}
        for i in ptoc.range(ptoc.ceil_div(K, 32){stages}):
            k = ptoc.minimum(K - i * 32, 32)
            {a1}
            b1 = ptoc.tile([32, 48], f16, L1, valid=(k, 48))
            {loads}
            {inner}
        ptoc.store(c[m0 : m0 + m, :], acc)
'''
WHOLE = """a0, b0 = ptoc.tile([32, 32], f16, L0A, valid=(m, k)), ptoc.tile([32, 48], f16, L0B, valid=(k, 48))
            ptoc.mov(a0, a1)
            ptoc.mov(b0, b1)
            with ptoc.when(i == 0):
                ptoc.matmul(acc, a0, b0)
            with ptoc.when(i > 0):
                ptoc.matmul_acc(acc, acc, a0, b0)"""
PARTS = """for j in ptoc.range(ptoc.ceil_div(k, 16){stages0}):
                k0 = ptoc.minimum(k - j * 16, 16)
                a0, b0 = ptoc.tile([32, 16], f16, L0A, valid=(m, k0)), ptoc.tile([16, 48], f16, L0B, valid=(k0, 48))
                ptoc.extract(a0, a1, 0, j * 16)
                ptoc.extract(b0, b1, j * 16, 0)
                with ptoc.when((i + j) == 0):
                    ptoc.matmul(acc, a0, b0)
                with ptoc.when(~((i + j) == 0)):
                    ptoc.matmul_acc(acc, acc, a0, b0)"""


@st.composite
def cube_examples(draw: st.DrawFn) -> Example:
    """Load to L1, move or extract to L0A and L0B, multiply, store: tails, stages on each loop, slots by hand, tiles done twice."""

    def pick(n: int) -> int:
        return draw(st.integers(0, n - 1))

    stages = ["", "", ", stages=2", ", stages=3"]
    loads = ["ptoc.load(a1, a[m0 : m0 + m, i * 32 : i * 32 + k])", "ptoc.load(b1, b[i * 32 : i * 32 + k, :])"]
    by_hand, slots = pick(3) == 0, 1 + pick(3)
    twice = pick(2)
    text = CUBE.format(
        outer=("ptoc.block_idx(), ptoc.ceil_div(M, 32), ptoc.num_blocks()", "T")[twice],
        m0=("t * 32", "t % ptoc.ceil_div(M, 32) * 32")[twice],
        stages_outer=stages[pick(4)],
        stages=stages[pick(4)],
        acc=("acc = ptoc.tile([32, 48], f32, L0C, valid=(m, 48))", f"acc = ptoc.tile([32, 48], f32, L0C, valid=(m, 48), slots={1 + slots})[t % {1 + slots}]")[pick(2)],
        ring=f"ring = ptoc.tile([32, 32], f16, L1, slots={1 + slots})" if by_hand else "",
        a1=f"a1 = ring[i % {1 + slots}][0:m, 0:k]" if by_hand else "a1 = ptoc.tile([32, 32], f16, L1, valid=(m, k))",
        loads="\n            ".join(loads[:: 1 - 2 * pick(2)]),
        inner=WHOLE if by_hand or pick(2) else PARTS.format(stages0=stages[pick(4)]),
    )
    source = HEAD + "\n".join(line for line in text.splitlines() if line.strip()) + "\n"
    m = 1 + pick(70)
    return Example(source, {"M": m, "K": 1 + pick(100), "T": -(-m // 32) + pick(3)}, 1 if twice else 1 + pick(2))


PIPES = '''@ptoc.kernel
def k(n: ptoc.Tensor["T", f32], x: ptoc.Tensor["R", 16, f16], w: ptoc.Tensor[16, 16, f16], y: ptoc.Out["R", 16, f32], z: ptoc.Out["R", 16, f32], R, T):
    """z = (x @ w) / 2 and y = z @ w, block by block of 16 rows, through pipes."""
    q = ptoc.pipe("c2v", (16, 16), f32, slots={slots_q}, name="q"{split})
    {p}
    first = ptoc.block_idx() * T
    with ptoc.cube():
        w1 = ptoc.tile([16, 16], f16, L1)
        w0 = ptoc.tile([16, 16], f16, L0B)
        ptoc.load(w1, w[:, :])
        ptoc.mov(w0, w1)
        for t in ptoc.range(T + {ahead}{stages}):
            with ptoc.when(t < T):
                {alloc_early}
                x1, x0, acc = ptoc.tile([16, 16], f16, L1), ptoc.tile([16, 16], f16, L0A), ptoc.tile([16, 16], f32, L0C)
                ptoc.load(x1, x[(first + t) * 16 : (first + t) * 16 + 16, :])
                ptoc.mov(x0, x1)
                ptoc.matmul(acc, x0, w0)
                {alloc_late}
                ptoc.store(e[:, :], acc)
                q.push(e)
            {consume}
    with ptoc.vector():
        for t in ptoc.range(T{stages_v}):
            v = ptoc.tile([{rows}, 16], f32)
            e = q.pop()
            ptoc.load(v, e[:, :])
            {free_early}
            ptoc.muls(v, v, 0.5)
            {more}
            row = (first + t) * 16{sub}
            {store}
            {produce}
            {free_late}
'''


@st.composite
def pipe_examples(draw: st.DrawFn) -> Example:
    """A cube core and its vector cores with one pipe, or with two, the cube running ahead of what comes back."""

    def pick(n: int) -> int:
        return draw(st.integers(0, n - 1))

    stages = ["", "", ", stages=2", ", stages=3"]
    two, early, free_early = pick(2), pick(2), pick(2)
    slots_q, slots_p = (2, 4, 6, 8)[pick(4)], (2, 4, 8)[pick(3)]
    room = min(slots_q, slots_p) // 2 - (min(slots_q, slots_p) == 2)
    consume = """with ptoc.when(t >= {ahead}):
                f = p.pop()
                p1, p0, out = ptoc.tile([16, 16], f16, L1), ptoc.tile([16, 16], f16, L0A), ptoc.tile([16, 16], f32, L0C)
                ptoc.load(p1, f[:, :])
                ptoc.mov(p0, p1)
                {early}
                ptoc.matmul(out, p0, w0)
                ptoc.store(y[(first + t - {ahead}) * 16 : (first + t - {ahead}) * 16 + 16, :], out)
                {late}"""
    ahead = pick(1 + room) if two else 0
    early_p = pick(2)
    produce = "h = ptoc.tile([8, 16], f16)\n            ptoc.cvt(h, v)\n            g = p.alloc()\n            ptoc.store(g[:, :], h)\n            p.push(g)"
    text = PIPES.format(
        slots_q=slots_q, split="", rows=8, sub=" + ptoc.sub_block_idx() * 8", ahead=ahead, stages=stages[pick(4)], stages_v=stages[pick(4)],
        p=f'p = ptoc.pipe("v2c", (16, 16), f16, slots={slots_p}, name="p")' if two else "",
        alloc_early="e = q.alloc()" if early else "", alloc_late="" if early else "e = q.alloc()",
        free_early="q.free(e)" if free_early else "", free_late="" if free_early else "q.free(e)",
        consume=consume.format(ahead=ahead, early="p.free(f)" if early_p else "", late="" if early_p else "p.free(f)") if two else "",
        produce=produce if two else "",
        more=("", "ptoc.add(v, v, v)", "with ptoc.when(t > 0):\n                ptoc.abs(v, v)")[pick(3)],
        store="ptoc.store(z[row : row + 8, :], v)",
    )  # fmt: skip
    if not two:
        text = text.replace('y: ptoc.Out["R", 16, f32], ', "")
    t, blocks = 1 + pick(9), 1 + pick(2)
    source = HEAD + "\n".join(line for line in text.splitlines() if line.strip()) + "\n"
    return Example(source, {"T": t, "R": t * 16 * blocks}, blocks)
