"""Value cases of the ops: one file per file of dialect/ops, each with a list CASES.

Two tests read them: one against scalar loops written from the ISA's text, one against pto-isa's CPU build.
"""

import re
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ptoc.dialect import types as t
from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.fixpipe import control_word


@dataclass(frozen=True)
class Case:
    """One call of an op.

    tiles       operand name to the body of its type: "vec, 32x64xf32, valid=30x60"; views of global memory begin with "gm": "gm, 32x64xf32"
    scalars     operand name to number, for operands that are numbers
    attributes  attribute name to its plain value; text of two words is a dialect attribute: "cmp lt" is #pto.cmp<lt>
    data        operand name to the kind of its numbers: normal (default for floats), small_int (default for integers), positive, near_one, index:N
                (integers in [0, N)), permutation, mask, exponent (about 127), control_word (of FIXP), block:N (byte offsets of N blocks of 32), sorted:B (lists of B elements, value and
                index pairs of 8 bytes, largest first), zeros
    """

    op: str
    tiles: dict[str, str]
    scalars: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        text = " ".join([self.op.removeprefix("pto."), *self.tiles.values(), *(f"{k}={v}" for k, v in (self.scalars | self.attributes).items())])
        return re.sub(r"[^\w.=]+", "-", text)

    def plain_attributes(self) -> dict[str, Any]:
        """Attributes as an op's meaning sees them: of "cmp lt" the value alone."""
        return {name: value.rpartition(" ")[2] if isinstance(value, str) else value for name, value in self.attributes.items()}

    def types(self) -> dict[str, t.Tile | t.View]:
        """Type records of the tile and view operands."""
        return {name: view(body) if body.startswith("gm") else t.parse("tile_buf", body) for name, body in self.tiles.items()}

    def values(self) -> dict[str, Any]:
        """Arrays of the valid regions, and the numbers: the same in every run."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        result = {}
        for name, type_ in self.types().items():
            shape = type_.shape if isinstance(type_, t.View) else type_.valid
            result[name] = numbers(rng, self.data.get(name, ""), type_.dtype.name, shape)
        return result | self.scalars


def view(body: str) -> t.View:
    """The view type of "gm, 32x64xf32"."""
    return t.parse("partition_tensor_view", body.split(",")[1])


def numbers(rng: np.random.Generator, kind: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of a kind of numbers (see Case.data)."""
    target = DTYPES[dtype].numpy
    kind, _, limit = (kind or ("normal" if DTYPES[dtype].is_float else "small_int")).partition(":")
    if kind == "normal":
        return rng.standard_normal(shape).astype(np.float32).astype(target)
    if kind == "near_one":
        return (rng.random(shape) * 0.25 + 0.875).astype(np.float32).astype(target)
    if kind == "positive":
        return (rng.random(shape) * 3 + 0.25).astype(np.float32).astype(target)
    if kind == "small_int":
        return rng.integers(0 if dtype.startswith("ui") else -8, 9, shape).astype(target)
    if kind == "index":
        return rng.integers(0, int(limit), shape).astype(target)
    if kind == "permutation":
        return rng.permutation(int(np.prod(shape))).reshape(shape).astype(target)
    if kind == "mask":
        return rng.integers(0, 256, shape).astype(np.uint8).astype(target)
    if kind == "exponent":
        return rng.integers(124, 131, shape).astype(target)
    if kind == "nonzero":
        return (rng.integers(1, 9, shape) * rng.choice([1] if dtype.startswith("ui") else [-1, 1], shape)).astype(target)
    if kind == "quarters":
        return (rng.integers(-4 * int(limit), 4 * int(limit), shape) / 4).astype(np.float32).astype(target)
    if kind == "control_word":
        words = [control_word(factor, offset) for factor, offset in zip(rng.uniform(1, 50, shape).ravel(), rng.integers(0, 9, shape).ravel())]
        return np.array(words).reshape(shape).astype(target)
    if kind == "block":
        return (rng.integers(0, int(limit), shape) * 32).astype(target)
    if kind == "sorted":
        return sorted_pairs(rng, target, int(np.prod(shape)), int(limit or 0)).reshape(shape)
    if kind == "zeros":
        return np.zeros(shape, target)
    raise ValueError(f"unknown kind of numbers '{kind}'")


def sorted_pairs(rng: np.random.Generator, dtype: np.dtype, elements: int, block: int) -> np.ndarray:
    """Pairs of value and index, sorted from the largest value on within blocks of so many elements (0: in all)."""
    pair = 8 // dtype.itemsize
    count, block = elements // pair, (block or elements) // pair
    values = np.sort(rng.integers(-20, 20, count).reshape(-1, block), axis=1)[:, ::-1].ravel()
    result = np.zeros((count, pair), dtype)
    result[:, 0] = values
    result.view(np.uint8).reshape(count, 8)[:, 4:] = np.arange(count, dtype=np.uint32).view(np.uint8).reshape(count, 4)
    return result
