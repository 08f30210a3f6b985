"""Kernels that send each block of rows through a chain of cube and vector stages."""

import numpy as np

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32

N = 32
"""Rows and columns of a block."""


def chain(kinds: str, preload: int, *, doubled: bool = False, summed: bool = False, start: int = 0, step: int = 1, stages: int = 1) -> ptoc.Kernel:
    """y[i] = what the stages of `kinds` make of x[i], for i from `start` in steps of `step`: "c" multiplies by w, "v" halves and adds 1.

    doubled: each stage hands its result on in two cross tiles, and the next one takes the mean.  summed: the last stage, a vector one, adds up
    its results over the iterations in a tile that it keeps.
    """

    @ptoc.kernel
    def k(x: ptoc.Tensor["R", N, f16], w: ptoc.Tensor[N, N, f16], y: ptoc.Out["R", N, f32], R):
        w1, w0, total = ptoc.tile([N, N], f16, L1), ptoc.tile([N, N], f16, L0B), ptoc.tile([N // 2, N], f32)
        half = ptoc.sub_block_idx() * (N // 2)
        with ptoc.cube():
            ptoc.load(w1, w)
            ptoc.mov(w0, w1)
        with ptoc.vector():
            ptoc.expands(total, 0.0)
        for i in ptoc.range(start, R // N, step, preload=preload, stages=stages):
            sources = [x[i * N : (i + 1) * N, :]]
            for s, kind in enumerate(kinds):
                last, result = s == len(kinds) - 1, f32 if kind == "c" else f16
                targets = [] if last else [ptoc.cross((N, N), result) for _ in range(1 + doubled)]
                with ptoc.cube() if kind == "c" else ptoc.vector():
                    if kind == "c":
                        targets = [y[i * N : (i + 1) * N, :]] if last else targets
                        multiply(sources, targets, w0)
                    else:
                        sources = [x[i * N + half : i * N + half + N // 2, :]] if s == 0 else sources
                        targets = [y[i * N + half : i * N + half + N // 2, :]] if last else targets
                        halve(sources, targets, total if summed and last else None)
                sources = targets

    @k.reference
    def reference(x, w):
        y, total = np.zeros_like(x), np.zeros((N, N))
        for i in range(start, len(x) // N, step):
            t = x[i * N : (i + 1) * N]
            for s, kind in enumerate(kinds):
                t = t @ w if kind == "c" else t * 0.5 + 1
                t = t if kind == "c" or s == len(kinds) - 1 else t.astype(np.float16).astype(np.float64)
            total = total + t
            y[i * N : (i + 1) * N] = total if summed else t
        return y

    @k.inputs
    def inputs(rng, R, **_):
        return {"x": rng.normal(size=(R, N)), "w": rng.normal(size=(N, N)) / 8}

    k.tolerance = 5e-3
    return k


def multiply(sources, targets, w0):
    """targets = (the last of the sources) @ w; the others are loaded too."""
    a1, a0, c0 = ptoc.tile([N, N], f16, L1), ptoc.tile([N, N], f16, L0A), ptoc.tile([N, N], f32, L0C)
    for source in sources:
        ptoc.load(a1, source)
    ptoc.mov(a0, a1)
    ptoc.matmul(c0, a0, w0)
    for target in targets:
        ptoc.store(target, c0)


def halve(sources, targets, total):
    """targets = mean of the sources / 2 + 1, or what that makes of the running total."""
    t, h = ptoc.tile([N // 2, N], f32), ptoc.tile([N // 2, N], f16)
    if sources[0].dtype is f16:
        ptoc.load(h, sources[0])
        ptoc.cvt(t, h)
    else:
        ptoc.load(t, sources[0])
    for source in sources[1:]:
        more = ptoc.tile([N // 2, N], f32)
        ptoc.load(more, source)
        ptoc.add(t, t, more)
        ptoc.muls(t, t, 0.5)
    ptoc.muls(t, t, 0.5)
    ptoc.adds(t, t, 1.0)
    if total is not None:
        ptoc.add(total, total, t)
        ptoc.store(targets[0], total)
    elif targets[0].dtype is f32:
        ptoc.store(targets[0], t)
    else:
        ptoc.cvt(h, t)
        for target in targets:
            ptoc.store(target, h)
