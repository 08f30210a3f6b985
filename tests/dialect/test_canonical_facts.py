"""What ops state for canonicalize, held against their meaning: neutral numbers, conversions there and back, spread and combined."""

import ml_dtypes
import numpy as np
import pytest

from ptoc.dialect import ops  # noqa: F401  (declares the ops)
from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.op import REGISTRY
from ptoc.dialect.ops.convert import LOSSLESS, TCvt
from ptoc.dialect.ops.expand import TRowExpand
from ptoc.dialect.ops.expand_columns import TColExpand
from ptoc.dialect.ops.scalar_ops import TAddS

NEUTRAL = [(cls, dtype) for cls in REGISTRY.values() if cls.neutral for dtype in ("f32", "f16", "i32", "i16") if ("float" if DTYPES[dtype].is_float else "int") in cls.neutral]
FUSED = [(cls, dtype) for cls in REGISTRY.values() if cls.fused for dtype in ("f32", "f16")]


def every_kind(dtype: str, shape: tuple[int, int] = (16, 16)) -> np.ndarray:
    """Random values, for floats with special ones."""
    kind, rng = DTYPES[dtype].numpy, np.random.default_rng(0)
    if not DTYPES[dtype].is_float:
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)
    array = rng.standard_normal(shape).astype(kind)
    limits = ml_dtypes.finfo(kind)
    array.flat[:12] = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1, -1, limits.max, limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal]
    return array


@pytest.mark.parametrize(("cls", "dtype"), NEUTRAL, ids=lambda x: getattr(x, "spelling", x))
def test_a_neutral_number_keeps_every_bit(cls: type, dtype: str) -> None:
    src = every_kind(dtype)
    number = cls.neutral["float" if DTYPES[dtype].is_float else "int"]
    got = cls.evaluate({"src": src, "scalar": np.asarray(number, src.dtype), "dst": np.zeros_like(src)}, {})["dst"]
    assert got.tobytes() == src.tobytes()


def test_adding_zero_does_not() -> None:
    src = every_kind("f32")
    got = TAddS.evaluate({"src": src, "scalar": np.float32(0.0), "dst": np.zeros_like(src)}, {})["dst"]
    assert np.signbit(src.flat[1]) and not np.signbit(got.flat[1])


@pytest.mark.parametrize(("cls", "dtype"), FUSED, ids=lambda x: getattr(x, "spelling", x))
def test_a_fused_op_is_what_it_says(cls: type, dtype: str) -> None:
    spread, op = cls.fused
    wide = every_kind(dtype)
    thin = wide[:, 3:4].copy() if spread == "row" else wide[5:6, :].copy()
    thin.flat[:3] = [np.nan, -0.0, np.inf]
    full = {"row": TRowExpand, "column": TColExpand}[spread].evaluate({"src": thin, "dst": wide}, {})["dst"]
    for one, two, a, b in ((wide, thin, wide, full), (thin, wide, full, wide)):
        got = cls.evaluate({"src0": one, "src1": two, "dst": np.zeros_like(wide)}, {})["dst"]
        assert got.tobytes() == op.evaluate({"src0": a, "src1": b, "dst": np.zeros_like(wide)}, {})["dst"].tobytes()


@pytest.mark.parametrize(("small", "large"), sorted(LOSSLESS))
@pytest.mark.parametrize("mode", ["RINT", "ROUND", "FLOOR", "CEIL", "TRUNC"])
def test_lossless_there_and_back_keeps_every_value(small: str, large: str, mode: str) -> None:
    src = every_kind(small)
    there = TCvt.evaluate({"src": src, "dst": np.zeros(src.shape, DTYPES[large].numpy)}, {"rmode": mode})["dst"]
    back = TCvt.evaluate({"src": there, "dst": np.zeros_like(src)}, {"rmode": mode})["dst"]
    assert back.tobytes() == src.tobytes()


def test_each_spread_and_op_has_one_fused_form() -> None:
    stated = [cls.fused for cls in REGISTRY.values() if cls.fused]
    assert len(stated) == len(set(stated)) == 12


def test_what_only_writes_gives_no_number() -> None:
    for cls in REGISTRY.values():
        if cls.only_writes:
            assert cls.writes and not cls.result_names(), cls.spelling
