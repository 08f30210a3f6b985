"""`walk` compiled by numba; what was compiled is kept on disk."""

from collections.abc import Callable
from functools import lru_cache
from types import FunctionType

from . import walk as text


@lru_cache(maxsize=1)
def compiled_walk() -> Callable[..., int]:
    """The compiled engine.  Takes what `walk.walk` takes, with arrays for lists."""
    import numba

    fill = numba.njit(cache=True)(text.fill)
    walk = FunctionType(text.walk.__code__, {**vars(text), "fill": fill}, "walk")
    walk.__module__, walk.__qualname__ = text.walk.__module__, text.walk.__qualname__
    return numba.njit(cache=True)(walk)
