"""C = A @ B with bias, scale and ReLU: any M, N, K, any number of cube cores, f16, bf16, f32 or i8 inputs; written without a flag or an address.

Schedule.  C is cut into tiles of TM x TN, dealt out to the cores one by one.  For a tile a core goes through K in steps of TK, for which it loads
TM x TK of A and TK x TN of B into L1.  They are multiplied in two halves of TN / 2 columns, TK0 of K in L0 at a time.  Each half has its own
accumulator in L0C, so that one leaves through FIX while the other one is multiplied.  All loops have `stages`, and slots are counted on from
tile to tile: the loads of the next tile begin while this one is multiplied, and so they do for the next call of `multiply` in one kernel.

Order of tiles.  Tiles are numbered down bands of BAND rows of tiles, column by column, so that the tiles that the cores work on at one time
form a block with few different rows of A and columns of B: they find each other's panels in the L2.

SPLIT > 1 shares out K as well: SPLIT cores work on a tile of C and add their parts to it atomically; C is to be zeros before.
"""

from dataclasses import dataclass

import numpy as np

import ptoc
from ptoc import BIAS as BIAS_TABLE
from ptoc import L0A, L0B, L0C, L1, SCALING, f32, i8, i32

SIZES = {"f16": 2, "bf16": 2, "f32": 4, "i8": 1}
"""Bytes of the element types that the cube multiplies."""


@dataclass(frozen=True)
class Tiling:
    """How a product is cut; see the module's description.  `tails`: some sizes are no multiples of the tiles'."""

    tm: int
    tn: int
    tk: int
    tk0: int
    band: int = 8
    split: int = 1
    tails: bool = True

    def part(self, size, rest):
        """Elements of a part of `size` where `rest` remain."""
        return ptoc.minimum(rest, size) if self.tails else size

    def some(self, size):
        """Whether a part holds anything."""
        return size > 0 if self.tails else True

    def tile_at(self, number, rows, columns):
        """Row and column of a tile: down bands of `band` rows."""
        above = number // (self.band * columns) * self.band
        height, inside = ptoc.minimum(rows - above, self.band), number - above * columns
        return above + inside % height, inside // height


@dataclass(frozen=True)
class Epilogue:
    """What becomes of a sum: bias [N] added, then a factor for all or a control word of FIXP [N] for each column, then negatives made 0."""

    bias: ptoc.View | None = None
    scale: ptoc.View | None = None
    factor: float = 0.0
    relu: bool = False


def multiply(a, b, c, M, N, K, cut: Tiling, after: Epilogue = Epilogue()) -> None:
    """c = a @ b with what comes after, on each cube core that calls it; consecutive calls run into each other.

    a [M, K], b [K, N], c [M, N]: whole tensors; a and b stored either way.
    Raises: ArgumentError for a scale or ReLU with `split`, or a tk that is not whole tk0.
    """
    if cut.tk % cut.tk0:
        raise ptoc.ArgumentError(f"gemm: TK must be a multiple of TK0; got {cut.tk} and {cut.tk0}")
    if cut.split > 1 and (after.relu or after.factor or after.scale is not None):
        raise ptoc.ArgumentError("gemm: with SPLIT parts of a sum are added, which a scale or ReLU must not touch; take SPLIT=1")
    accumulators = ptoc.tile([cut.tm, cut.tn // 2], i32 if a.dtype == i8 else f32, L0C, slots=2)
    tables = {"bias": _rows_of(after.bias, cut, BIAS_TABLE), "scale": _rows_of(after.scale, cut, SCALING)}
    rows, columns, steps = ptoc.ceil_div(M, cut.tm), ptoc.ceil_div(N, cut.tn), ptoc.ceil_div(K, cut.tk)
    share = ptoc.ceil_div(steps, cut.split) if cut.split > 1 else steps
    for t in ptoc.range(ptoc.block_idx(), rows * columns * cut.split, ptoc.num_blocks(), stages=2):
        number, first = (t % (rows * columns), t // (rows * columns) * share) if cut.split > 1 else (t, 0)
        row, column = cut.tile_at(number, rows, columns)
        m0, n0 = row * cut.tm, column * cut.tn
        m, n = cut.part(cut.tm, M - m0), cut.part(cut.tn, N - n0)
        tile = _OutputTile(cut, after, c, accumulators, tables, m0, m, n0, n, biased=first == 0)
        mine = cut.part(share, steps - first) if cut.split > 1 else steps
        for i in ptoc.range(mine, stages=2):
            k0 = (first + i) * cut.tk
            k = cut.part(cut.tk, K - k0)
            a1, b1 = _in_l1(a, (m0, m, cut.tm), (k0, k, cut.tk)), _in_l1(b, (k0, k, cut.tk), (n0, n, cut.tn))
            tile.add(a1, b1, k, i == 0, i == mine - 1)


class _OutputTile:
    """A tile of C in its accumulators, one for each half of its columns.  `biased`: whether this part of the sum is the one with the bias."""

    def __init__(self, cut, after, c, accumulators, rows, m0, m, n0, n, biased):
        self.cut, self.after, self.c, self.accumulators, self.rows, self.half = cut, after, c, accumulators, rows, cut.tn // 2
        self.m0, self.m, self.n0, self.n, self.biased = m0, m, n0, n, biased

    def add(self, a1, b1, k1, begins, ends):
        """Adds k1 columns of A times as many rows of B; `begins`, `ends`: the first, the last time."""
        cut, half = self.cut, self.half
        for h in ptoc.range(2, stages=2):
            nh = cut.part(half, self.n - h * half)
            acc = self.accumulators[h % 2][0 : self.m, 0:nh]
            for j in ptoc.range(cut.tk // cut.tk0, stages=2):
                k = cut.part(cut.tk0, k1 - j * cut.tk0)
                with ptoc.when(cut.some(k) & cut.some(nh) if cut.tails else True):
                    a0 = ptoc.tile([cut.tm, cut.tk0], a1.dtype, L0A, valid=(self.m, k))
                    b0 = ptoc.tile([cut.tk0, half], b1.dtype, L0B, valid=(k, nh))
                    ptoc.extract(a0, a1, 0, j * cut.tk0)
                    ptoc.extract(b0, b1, j * cut.tk0, h * half)
                    self._multiply(acc, a0, b0, h, nh, begins & (j == 0))
            with ptoc.when(ends & cut.some(nh)):
                self._store(acc, h, nh)

    def _multiply(self, acc, a0, b0, h, nh, begins):
        bias = self.after.bias
        with ptoc.when(begins if bias is None else begins & self.biased):
            if bias is None:
                ptoc.matmul(acc, a0, b0)
            else:
                ptoc.matmul_bias(acc, a0, b0, self._row(bias, self.rows["bias"], h, nh))
        if bias is not None and self.cut.split > 1:
            with ptoc.when(begins & ~self.biased):
                ptoc.matmul(acc, a0, b0)
        with ptoc.when(~begins):
            ptoc.matmul_acc(acc, acc, a0, b0)

    def _store(self, acc, h, nh):
        n0, after = self.n0 + h * self.half, self.after
        part = self.c[self.m0 : self.m0 + self.m, n0 : n0 + nh]
        options = {"reluPreMode": "normal_relu"} if after.relu else {}
        if after.scale is not None:
            ptoc.store_fp(part, acc, self._row(after.scale, self.rows["scale"], h, nh), **options)
            return
        if after.factor:
            options["pre_quant_scalar"] = ptoc.control_word(after.factor, signed=self.c.dtype == i8)
        if self.cut.split > 1:
            options["atomicType"] = "atomic_add"
        ptoc.store(part, acc, **options)

    def _row(self, vector, room, h, nh):
        """What a vector holds for one half's columns, brought into a row of its table."""
        (slots1, table), n0 = room, self.n0 + h * self.half
        row1, row0 = slots1[h % 2][0:1, 0:nh], table[0][0:1, 0:nh]
        ptoc.load(row1, vector[n0 : n0 + nh])
        ptoc.mov(row0, row1)
        return row0


def _rows_of(vector, cut, memory):
    """Room for a vector's part of one half of a tile: in L1 for both halves, in the unit's table for one."""
    if vector is None:
        return None
    return ptoc.tile([1, cut.tn // 2], vector.dtype, L1, layout="nd", slots=2), ptoc.tile([1, cut.tn // 2], vector.dtype, memory, slots=1)


def _in_l1(tensor, rows, columns):
    """A part of a matrix in L1; rows and columns: (from, number, room).  One that is stored transposed stays so, and is turned on the way to L0."""
    (r0, r, tall), (c0, c, wide) = rows, columns
    tile = ptoc.tile([tall, wide], tensor.dtype, L1, valid=(r, c), layout="zn" if tensor.columns_first else "nz")
    ptoc.load(tile, tensor[r0 : r0 + r, c0 : c0 + c])
    return tile


@ptoc.kernel
def gemm(
    a: ptoc.Tensor["M", "K", "IN"].stored("ORDER_A"),
    b: ptoc.Tensor["K", "N", "IN"].stored("ORDER_B"),
    bias: ptoc.Tensor["N", "BIAS"],
    scale: ptoc.Tensor["N", "SCALE"],
    c: ptoc.Out["M", "N", "OUT"],
    M,
    N,
    K,
    *,
    IN: str = "f16",
    OUT: str = "f32",
    ORDER_A: str = "nd",
    ORDER_B: str = "nd",
    BIAS: str = "",
    SCALE: str = "",
    FACTOR: float = 0.0,
    RELU: bool = False,
    TM: int = 128,
    TN: int = 256,
    TK: int = 256,
    TK0: int = 128,
    BAND: int = 8,
    SPLIT: int = 1,
    TAILS: bool = True,
):
    """c[m, n] = sum over k of a[m, k] * b[k, n], plus bias[n], scaled, rectified, as OUT.

    IN: f16, bf16 or f32 (sums in f32; OUT f32, f16, bf16, or with a scale i8), i8 (sums in i32; OUT i32, f32, f16, bf16, or with a scale i8, f16).
    ORDER_A, ORDER_B: "nd", or "dn" for a matrix that is given as its transpose.  BIAS: "" or the type of the sums, that of the bias.  FACTOR: a scale for
    all of C; SCALE: "i64" for control words of FIXP, one for each column.
    """
    multiply(a, b, c, M, N, K, Tiling(TM, TN, TK, TK0, BAND, SPLIT, TAILS), Epilogue(bias, scale, FACTOR, RELU))


@gemm.reference
def reference(a, b, bias=None, scale=None, IN="f16", OUT="f32", ORDER_A="nd", ORDER_B="nd", FACTOR=0.0, RELU=False) -> np.ndarray:
    exact = np.int64 if IN == "i8" else np.float32
    a, b = a.astype(exact), b.astype(exact)
    with np.errstate(all="ignore"):
        c = (a.T if ORDER_A == "dn" else a) @ (b.T if ORDER_B == "dn" else b)
    c = c if bias is None else c + bias
    if scale is not None or FACTOR:
        c = c * (np.float32(FACTOR) if scale is None else (scale & 0xFFFFFFFF).astype(np.uint32).view(np.float32))
    c = np.maximum(c, 0) if RELU else c
    return np.clip(np.rint(c), -128, 127) if OUT == "i8" else c


@gemm.inputs
def inputs(rng, M, N, K, IN, ORDER_A, ORDER_B, BIAS, SCALE, **_):
    """Normal data, or bytes over their whole range; powers of two as scales, with which rounding to bytes is exact."""

    def numbers(shape):
        return rng.integers(-128, 128, shape) if IN == "i8" else rng.standard_normal(shape, dtype=np.float32)

    a, b = numbers((K, M) if ORDER_A == "dn" else (M, K)), numbers((N, K) if ORDER_B == "dn" else (K, N))
    words = [ptoc.control_word(2.0**-power, signed=True) for power in rng.integers(8, 14, N)] if SCALE else None
    return {"a": a, "b": b, "bias": 100 * numbers((N,)), "scale": words}


@gemm.flops
def flops(M: int, N: int, K: int, **_: int) -> int:
    return 2 * M * N * K


@gemm.cores
def cores(M: int, N: int, TM: int, TN: int, SPLIT: int, aic: int, **_: int) -> int:
    return min(aic, -(-M // TM) * -(-N // TN) * SPLIT)


MACS = {"f16": 4096, "bf16": 4096, "f32": 1024, "i8": 8192}
LOAD_START, LOAD_RATE, LOAD_ROW, TURNED_START = 187, 171, 3.8, 767
PART_START, LEFT_RATE, RIGHT_RATE = 45, 263, 132
"""What a step costs, about, to choose a tile: multiplications a cycle; of a load its start (turned: of one that is stored transposed), bytes a cycle, and
cycles of a row at least; of a part on its way to L0A or L0B its start and bytes a cycle.  Source: machine/chips/ascend910b1.yaml (cube.rates, paths)."""

SLOWED, L2_TWICE = 0.25, 516_000_000
"""How much longer loads take, about, where A, B and C take twice the bytes that the L2 keeps; before that with their square, as misses do.
Source: the same (shared.l2_effective), and the simulated products of 6144 and 8192."""

STEPS = ((512, 256), (640, 160))
"""Bytes of TK and TK0: a longer step spares starts of loads, a longer part starts of parts."""

UNEVEN = 1.02
"""What tails of K cost."""


def load_cycles(rows: int, row_bytes: int, turned: bool) -> float:
    """Cycles of a load into L1."""
    return TURNED_START + rows * row_bytes / LOAD_RATE if turned else LOAD_START + rows * max(LOAD_ROW, row_bytes / LOAD_RATE)


def cycles(M, N, K, IN, ORDER_A, ORDER_B, TM, TN, TK, TK0, SPLIT, cores, **_) -> float:
    """About what the busiest core takes for its tiles: in each step the slowest of loading, filling L0, multiplying."""
    size = SIZES[IN]
    loads = load_cycles(TM, TK * size, ORDER_A == "dn") + load_cycles(TK, TN * size, ORDER_B == "dn")
    loads *= 1 + SLOWED * min(1, (size * (M * K + K * N) + 4 * M * N) / L2_TWICE) ** 2
    parts = 2 * -(-TK // TK0) * (2 * PART_START + TM * TK0 * size / LEFT_RATE + TK0 * TN / 2 * size / RIGHT_RATE)
    steps, turns = max(1, K / (TK * SPLIT)), -(-(-(-M // TM) * -(-N // TN) * SPLIT) // cores)
    return turns * (steps * max(loads, parts, TM * TN * TK / MACS[IN]) + loads) * (UNEVEN if K % TK else 1)


@gemm.specialize
def specialize(M, N, K, IN, TK, TK0, SPLIT, aic, given, cores=None, **others) -> dict[str, int | bool]:
    """The tile and the step with which the busiest core is done first, of those that fit; TAILS where a part is not whole."""
    if min(SPLIT, others["BAND"]) < 1:
        raise ptoc.ArgumentError(f"gemm: SPLIT and BAND must be at least 1; got {SPLIT} and {others['BAND']}")
    if IN not in SIZES:
        return {}
    free = {"M": M, "N": N, "K": K, "IN": IN, "SPLIT": SPLIT, "cores": cores or aic, **others}
    tall = [others["TM"]] if "TM" in given else [tm for tm in (128, 64, 32, 16) if tm < M + 16] or [16]
    wide = [others["TN"]] if "TN" in given else [tn for tn in (256, 128, 64) if tn < 2 * N] or [64]
    steps = [(TK if "TK" in given else tk // SIZES[IN], TK0 if "TK0" in given else tk0 // SIZES[IN]) for tk, tk0 in STEPS]
    steps = [step for step in steps if step[0] % step[1] == 0] or steps
    choices = [{"TM": tm, "TN": tn, "TK": tk, "TK0": tk0} for tm in tall for tn in wide for tk, tk0 in steps]
    best = min(choices, key=lambda choice: cycles(**free | choice))
    whole = M % best["TM"] == N % best["TN"] == K % (best["TK"] * SPLIT) == best["TK"] % best["TK0"] == 0
    return {**best, "TAILS": not whole}


gemm.limit("the factors are f16, bf16, f32 or i8", IN="i16", OUT="f32")
gemm.limit("sums of floats leave as f32, f16 or bf16, with a scale as i8", OUT="i32")
gemm.limit("sums of bytes leave as i32, f32, f16 or bf16, with a scale as i8 or f16", IN="i8", OUT="i16")
gemm.limit("TK is a multiple of TK0", TK0=96)
gemm.limit("with SPLIT nothing but the bias comes after the sum", SPLIT=2, RELU=True)
gemm.limit("a tile of C fits into L0C: TM * TN is at most 32768", TM=256, TN=256)
gemm.tolerance = 1e-2
gemm.case("default", M=512, K=2048, N=1536, cores=1)
gemm.case("tails", M=200, K=300, N=270, cores=2, TM=128, TN=256)
gemm.case("tails_in_turn", M=300, K=1100, N=300, cores=1, TM=128, TN=256)
gemm.case("small", M=17, K=33, N=5, cores=1, TM=128, TN=256)
gemm.case("many_cores", M=512, K=512, N=1024)
gemm.case("bf16_to_bf16", M=150, K=1100, N=200, IN="bf16", OUT="bf16", cores=2, TM=64, TN=128)
gemm.case("f32", M=100, K=200, N=300, IN="f32", cores=3)
gemm.case("f16_out", M=130, K=520, N=500, OUT="f16", cores=1, TM=64)
gemm.case("bytes", M=150, K=1100, N=300, IN="i8", OUT="i32", cores=1, TM=64, TN=128)
gemm.case("bytes_scaled", M=100, K=600, N=600, IN="i8", OUT="i8", BIAS="i32", FACTOR=2.0**-11, cores=1, TM=64, TK=256, TK0=256)
gemm.case("bytes_scaled_by_column", M=100, K=600, N=600, IN="i8", OUT="f16", SCALE="i64", RELU=True, cores=1, TM=64)
gemm.case("transposed", M=200, K=1100, N=300, ORDER_A="dn", ORDER_B="dn", cores=1, TM=64)
gemm.case("bias_relu", M=256, K=640, N=400, BIAS="f32", RELU=True, cores=1, TM=128, TN=256, TK=128, TK0=128, TAILS=True)
gemm.case("bias_relu_short", M=256, K=100, N=600, BIAS="f32", RELU=True, cores=1, TM=128, TN=256, TK=128, TK0=128, TAILS=True)
gemm.case("split_k", M=200, K=2100, N=500, SPLIT=3, cores=2, TM=64, TN=128)
gemm.case("decode", M=1, K=1100, N=1000, ORDER_B="dn", cores=2)
gemm.case("f16_6144", large=True, M=6144, K=6144, N=6144)
gemm.case("f16_8192", large=True, M=8192, K=8192, N=8192)
gemm.case("bf16_to_bf16_6144", large=True, M=6144, K=6144, N=6144, IN="bf16", OUT="bf16", ORDER_B="dn")
gemm.case("f32_4096", large=True, M=4096, K=4096, N=4096, IN="f32")
gemm.case("bytes_6144", large=True, M=6144, K=6144, N=6144, IN="i8", OUT="f16", SCALE="i64", ORDER_B="dn")
gemm.case("odd_5000", large=True, M=5000, K=5001, N=5003)
gemm.case("split_k_65536", large=True, M=256, K=65536, N=256, SPLIT=24)
gemm.case("decode_7168", large=True, M=16, K=7168, N=18432, ORDER_B="dn")
