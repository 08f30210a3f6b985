"""What both forms of paged attention share: constants of the online rule, the reference, the golden cases and their data."""

import numpy as np

import ptoc
from ptoc import f32

FRACTAL, BLOCK = 16, 8
"""What rows of L1 and L0 tiles, and columns of f32 tiles in UB, come in multiples of."""

LOWEST = -1e30
"""Where a running maximum begins; that of a page without tokens."""
LEAST_SUM = 1e-30
"""Where a running sum begins: nothing beside the first exponential, and no 0 to divide by for a sequence without tokens."""

CONTEXTS = {(1, 3): (33,), (1, 8): (128,), (2, 3): (33, 17), (4, 4): (33, 64, 48, 15), (4, 2): (0, 20, 0, 16), (6, 5): (80, 33, 0, 17, 16, 48)}
"""Tokens of each sequence, by batch entries and pages of the longest, at 16 a page: the golden cases, one with empty sequences, one of all lengths."""

FULL = 64
"""Pages from which on all sequences are as long as the table allows; else they are drawn at random."""


def contexts_of(rng: np.random.Generator, B: int, PAGE: int, LONGEST: int) -> np.ndarray:
    """Tokens of the B sequences."""
    if LONGEST >= FULL:
        return np.full(B, LONGEST * PAGE)
    known = CONTEXTS.get((B, LONGEST)) if PAGE == 16 else None
    return rng.integers(0, LONGEST * PAGE + 1, B) if known is None else np.array(known)


def attention_inputs(rng: np.random.Generator, B: int, H: int, D: int, SLOTS: int, HKV: int, PAGE: int, LONGEST: int, **_: object) -> dict[str, np.ndarray]:
    """Normal data; pages of the sequences in a random order."""
    pages = SLOTS // (HKV * PAGE)
    table = np.resize(rng.permutation(pages), (B, LONGEST))
    if LONGEST >= FULL:  # for time alone
        q, k, v = (np.zeros(shape, ptoc.bf16.numpy) for shape in ((B, H, D), (SLOTS, D), (SLOTS, D)))
    else:
        q, k, v = (rng.standard_normal(shape, dtype=np.float32) for shape in ((B, H, D), (SLOTS, D), (SLOTS, D)))
    return {"q": q, "k": k, "v": v, "table": table, "contexts": contexts_of(rng, B, PAGE, LONGEST)}


def attention_of_pages(q: np.ndarray, k: np.ndarray, v: np.ndarray, table: np.ndarray, contexts: np.ndarray, HKV: int, PAGE: int) -> np.ndarray:
    """The reference: each query head of each sequence by itself."""
    (_, heads, d), result = q.shape, np.zeros(q.shape, np.float64)
    k, v = (cache.reshape(-1, HKV, PAGE, d).astype(np.float64) for cache in (k, v))
    for b, tokens in enumerate(contexts):
        pages = table[b, : -(-int(tokens) // PAGE)]
        for h in range(heads if tokens else 0):
            keys, values = (cache[pages, h // (heads // HKV)].reshape(-1, d)[:tokens] for cache in (k, v))
            s = keys @ q[b, h].astype(np.float64) / np.sqrt(d)
            e = np.exp(s - s.max())
            result[b, h] = e @ values / e.sum()
    return result


def row_of(numbers):
    """A tile of so many f32 in a row."""
    return ptoc.tile([1, -(-numbers // BLOCK) * BLOCK], f32)


def to_column(row, numbers):
    """The first numbers of a row as a column."""
    return row.reshape(row.shape[1], 1, layout="dn")[0:numbers, :]


SMALL = {"D": 16, "PAGE": 16}
CASES = {
    "default": {"B": 4, "LONGEST": 4, "SLOTS": 16 * 16, **SMALL},
    "one": {"B": 1, "LONGEST": 3, "SLOTS": 3 * 16, **SMALL},
    "small": {"B": 2, "LONGEST": 3, "SLOTS": 6 * 16, **SMALL},
    "whole_pages": {"B": 1, "LONGEST": 8, "SLOTS": 8 * 16, **SMALL},
    "empty": {"B": 4, "LONGEST": 2, "SLOTS": 8 * 16, "cores": 1, **SMALL},
    "in_turn": {"B": 6, "LONGEST": 5, "SLOTS": 30 * 16, "cores": 1, **SMALL},
    "grouped": {"B": 6, "H": 24, "HKV": 4, "LONGEST": 5, "SLOTS": 30 * 4 * 16, "cores": 2, **SMALL},
    "odd_groups": {"B": 6, "H": 10, "HKV": 2, "LONGEST": 5, "SLOTS": 30 * 2 * 16, "cores": 2, **SMALL},
    "one_head_each": {"B": 6, "H": 3, "HKV": 3, "LONGEST": 5, "SLOTS": 30 * 3 * 16, "cores": 2, **SMALL},
    "half": {"B": 6, "LONGEST": 5, "SLOTS": 30 * 16, "T": "f16", "cores": 1, **SMALL},
    "wide": {"B": 3, "LONGEST": 5, "SLOTS": 15 * 128, "cores": 1},
    "page64": {"B": 64, "H": 64, "D": 64, "PAGE": 64, "LONGEST": 4, "SLOTS": 256 * 64},
    "large": {"large": True, "B": 256, "LONGEST": 64, "SLOTS": 256 * 64 * 128},
}
"""Golden cases of both forms; `large` is for its time alone."""
