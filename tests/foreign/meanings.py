"""What ops mean, in plain numpy on logical tiles, written from the ISA's documentation: inputs by name to the arrays written.

Tiles come as their valid part [rows, cols], views as arrays of their own shape.  Arithmetic is done in float64 and rounded once, so that
results agree with those of an engine up to its own rounding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ptoc.dialect.op import Record

Values = dict[str, Any]


def wide(x: Any) -> Any:
    """Floats as float64, so that nothing is rounded in between."""
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind not in "iub" else x


def elementwise(function: Callable[..., np.ndarray], *names: str) -> Callable[[Values, Record], Values]:
    """dst = function of the named operands."""
    return lambda v, rec: {"dst": function(*(wide(v[n]) for n in names))}


def by_row(function: Callable[..., np.ndarray]) -> Callable[[Values, Record], Values]:
    """dst[i, j] = function(src0[i, j], src1[i, 0]), whichever way the column lies."""
    return lambda v, rec: {"dst": function(wide(v["src0"]), wide(v["src1"]).reshape(v["src0"].shape[0], -1)[:, :1])}


def by_column(function: Callable[..., np.ndarray]) -> Callable[[Values, Record], Values]:
    """dst[i, j] = function(src0[i, j], src1[0, j])."""
    return lambda v, rec: {"dst": function(wide(v["src0"]), wide(v["src1"])[:1])}


def along(function: Callable[..., np.ndarray], axis: int) -> Callable[[Values, Record], Values]:
    """A reduction of src."""
    return lambda v, rec: {"dst": function(wide(v["src"]), axis=axis, keepdims=True)}


def product(lhs: str, rhs: str, plus: str = "") -> Callable[[Values, Record], Values]:
    """dst = lhs @ rhs (+ plus)."""
    return lambda v, rec: {"dst": wide(v[lhs]) @ wide(v[rhs]) + (wide(v[plus]) if plus else 0)}


def load(v: Values, rec: Record) -> Values:
    """A view of any number of dimensions as rows and columns: the last one is the columns."""
    src = v["src"]
    return {"dst": src.reshape(v["dst"].shape)}


def store(v: Values, rec: Record) -> Values:
    """A tile into a view, added to what is there where the store is atomic."""
    old = wide(v["dst"]) if "add" in str(rec.attributes.get("atomicType", "")).lower() else 0
    return {"dst": wide(v["src"]).reshape(v["dst"].shape) + old}


def convert(v: Values, rec: Record) -> Values:
    """src in dst's type; to integers by the rounding mode."""
    src = wide(v["src"])
    if v["dst"].dtype.kind in "iu" and src.dtype.kind not in "iu":
        rounding = {"FLOOR": np.floor, "CEIL": np.ceil, "TRUNC": np.trunc}
        src = rounding.get(rec.attributes.get("rmode", "RINT"), np.rint)(src)
    return {"dst": src}


def extract(v: Values, rec: Record) -> Values:
    """The window of src at (index_row, index_col)."""
    rows, cols = v["dst"].shape
    r, c = v["index_row"], v["index_col"]
    return {"dst": v["src"][r : r + rows, c : c + cols]}


def fill_pad(v: Values, rec: Record) -> Values:
    """src, and the pad value of dst's type around it."""
    pad = {0: 0, 1: 0, 2: np.inf, 3: -np.inf}[rec.tile("dst").pad]
    result = np.full(v["dst"].shape, pad, np.float64)
    result[: v["src"].shape[0], : v["src"].shape[1]] = wide(v["src"])
    return {"dst": result}


def concatenate(v: Values, rec: Record) -> Values:
    """The columns of src0, then those of src1."""
    return {"dst": np.concatenate([v["src0"], v["src1"]], axis=1)[:, : v["dst"].shape[1]]}


MEANINGS: dict[str, Callable[[Values, Record], Values]] = {
    "tload": load,
    "tstore": store,
    "tmov": lambda v, rec: {"dst": wide(v["src"]).reshape(v["dst"].shape)},
    "textract": extract,
    "tcvt": convert,
    "tfillpad": fill_pad,
    "tconcat": concatenate,
    "tadd": elementwise(np.add, "src0", "src1"),
    "tsub": elementwise(np.subtract, "src0", "src1"),
    "tmul": elementwise(np.multiply, "src0", "src1"),
    "tdiv": elementwise(np.divide, "src0", "src1"),
    "tmax": elementwise(np.maximum, "src0", "src1"),
    "tmin": elementwise(np.minimum, "src0", "src1"),
    "taddc": elementwise(lambda a, b, c: a + b + c, "src0", "src1", "src2"),
    "tadds": elementwise(np.add, "src", "scalar"),
    "tsubs": elementwise(np.subtract, "src", "scalar"),
    "tmuls": elementwise(np.multiply, "src", "scalar"),
    "tdivs": elementwise(np.divide, "src", "scalar"),
    "tmaxs": elementwise(np.maximum, "src", "scalar"),
    "tmins": elementwise(np.minimum, "src", "scalar"),
    "texp": elementwise(np.exp, "src"),
    "tlog": elementwise(np.log, "src"),
    "tneg": elementwise(np.negative, "src"),
    "tabs": elementwise(np.abs, "src"),
    "tsqrt": elementwise(np.sqrt, "src"),
    "trsqrt": elementwise(lambda x: 1 / np.sqrt(x), "src"),
    "trecip": elementwise(lambda x: 1 / x, "src"),
    "trelu": elementwise(lambda x: np.maximum(x, 0), "src"),
    "texpands": lambda v, rec: {"dst": np.full(v["dst"].shape, v["scalar"])},
    "trowsum": along(np.sum, 1),
    "trowmax": along(np.max, 1),
    "trowmin": along(np.min, 1),
    "tcolsum": along(np.sum, 0),
    "tcolmax": along(np.max, 0),
    "trowexpandmul": by_row(np.multiply),
    "trowexpanddiv": by_row(np.divide),
    "trowexpandsub": by_row(np.subtract),
    "trowexpandadd": by_row(np.add),
    "tcolexpandmul": by_column(np.multiply),
    "tcolexpandadd": by_column(np.add),
    "tcolexpandsub": by_column(np.subtract),
    "tcolexpanddiv": by_column(np.divide),
    "tmatmul": product("lhs", "rhs"),
    "tmatmul_acc": product("lhs", "rhs", "acc_in"),
    "tmatmul_bias": product("a", "b", "bias"),
}
"""Op to its meaning."""
