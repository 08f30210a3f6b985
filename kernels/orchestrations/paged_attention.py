"""Paged attention as four small kernels under an orchestration.

For each batch entry, each tile of query heads and each page: paged_qk (one cube core), paged_softmax (two vector cores), paged_pv (one cube core),
paged_update (two vector cores).  All sequences of a batch have as many pages as the longest; a page behind the end of a sequence is *empty* and
changes nothing.  Tensors of pages and results so far are used in turn, DEPTH of each for a tile: only a task that needs such a tensor again waits for
the one that reads it.  What waits for what is inferred: chains of different tiles share nothing and run side by side, and within a chain QK of
page i + 1 does not wait for page i.
"""

from typing import Any

import numpy as np

import ptoc
from ptoc import f32, i32

from .._paged import LOWEST

DEPTH = 2
"""Pages whose tensors a chain has at one time; also how many states of the result there are."""


def paged_attention(
    tasks: ptoc.Tasks, q: np.ndarray, k: np.ndarray, v: np.ndarray, table: np.ndarray, contexts: np.ndarray, HKV: int, PAGE: int, **types: Any
) -> None:
    """Submits all tasks; the result is the tensor "o", f32 [B, H, D].

    q [B, H, D], k and v [pages * HKV * PAGE, D], table [B, longest], contexts [B].  types: T, the element type's name.
    Raises: ptoc.ArgumentError for an odd number of query heads for each KV head, which two vector cores cannot share.
    """
    batches, heads, d = q.shape
    group, longest = heads // HKV, -(-int(contexts.max()) // PAGE)
    if group % 2:
        raise ptoc.ArgumentError(f"paged attention by tasks: two vector cores share the query heads of a KV head; {group} is odd")
    rows = max(n for n in range(2, 17, 2) if group % n == 0)
    queries, keys, values = (tasks.tensor(name, array) for name, array in (("q", q), ("k", k), ("v", v)))
    out = tasks.zeros("o", (batches, heads, d), f32)
    tokens = tasks.tensor("tokens", np.clip(contexts[:, None] - np.arange(max(longest, 1)) * PAGE, 0, PAGE).astype(i32.numpy))
    first = [tasks.tensor(f"first_{name}", np.full(shape, value, np.float32)) for name, shape, value in (("m", rows, LOWEST), ("l", rows, 0), ("o", (rows, d), 0))]
    for b in range(batches):
        for h in range(0, heads, rows):
            chain = _Chain(tasks, f"{b}.{h}", rows, d, PAGE, q.dtype, first)
            for i in range(max(longest, 1)):
                slot = (int(table[b, i]) * HKV + h // group) * PAGE
                page = slice(slot, slot + PAGE)
                last = i == max(longest, 1) - 1
                chain.page(queries[b, h : h + rows], keys[page], values[page], tokens[b, i : i + 1], out[b, h : h + rows] if last else None, **types)


class _Chain:
    """The pages of one tile of query heads, in order."""

    def __init__(self, tasks, name, rows, d, page, dtype, first):
        self.tasks, self.count, self.state = tasks, 0, first
        shapes = {"s": (rows, page), "m": (rows,), "l": (rows,), "pv": (rows, d)}
        self.pages = [{n: tasks.zeros(f"{name}.{n}{j}", shape, f32) for n, shape in shapes.items()} for j in range(DEPTH)]
        for j, one in enumerate(self.pages):
            one["p"] = tasks.tensor(f"{name}.p{j}", np.zeros((rows, page), dtype))
        self.states = [[tasks.zeros(f"{name}.{n}_{j}", s, f32) for n, s in (("m", (rows,)), ("l", (rows,)), ("o", (rows, d)))] for j in range(DEPTH)]

    def page(self, q, k, v, tokens, out, **types):
        """One page's four tasks; `out`: where the result goes behind the last one."""
        one, (m, l, o), new = self.pages[self.count % DEPTH], self.state, list(self.states[self.count % DEPTH])
        if out is not None:
            new[2] = out
        submit = self.tasks.submit
        submit("paged_qk", q=q, k=k, s=one["s"], **types)
        submit("paged_softmax", s=one["s"], tokens=tokens, p=one["p"], m=one["m"], l=one["l"], D=q.shape[1], **types)
        submit("paged_pv", p=one["p"], v=v, o=one["pv"], **types)
        submit(
            "paged_update", m=m, l=l, o=o, page_m=one["m"], page_l=one["l"], page_o=one["pv"], new_m=new[0], new_l=new[1], new_o=new[2], LAST=out is not None
        )  # fmt: skip
        self.state, self.count = new, self.count + 1
