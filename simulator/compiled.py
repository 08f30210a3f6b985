"""`walk` compiled by numba, where that is installed; what was compiled is kept on disk."""

import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import FunctionType
from typing import Any

from . import walk as text
from .cache import folder


@lru_cache(maxsize=1)
def can_compile() -> bool:
    """True where numba is installed."""
    return find_spec("numba") is not None


@lru_cache(maxsize=1)
def compiled_walk() -> Callable[..., int]:
    """The compiled engine.  Takes what `walk.walk` takes, with arrays for lists."""
    base = folder()
    place = base / "compiled" if base is not None else None
    function = _compiled(place)

    def first(*arguments: Any) -> int:
        """Loads or compiles; what is kept and cannot be read is made anew.  Arguments are not touched before that is done."""
        nonlocal function
        try:
            function.compile(_types(arguments))
        except Exception:
            if place is None:
                raise
            shutil.rmtree(place, ignore_errors=True)
            function = _compiled(None)
        return function(*arguments)

    return first


def _numba() -> Any:
    """numba, at an optimisation level that makes the engine no slower and compiles it in three quarters of the time."""
    given = os.environ.get("NUMBA_OPT")
    os.environ.setdefault("NUMBA_OPT", "1")  # numba reads it once, when it is imported
    try:
        return import_module("numba")
    finally:
        if given is None:
            del os.environ["NUMBA_OPT"]


def _types(arguments: tuple) -> tuple:
    return tuple(map(_numba().typeof, arguments))


def _compiled(place: Any) -> Callable[..., int]:
    """`walk`, to be compiled when it is called; kept in `place`."""
    numba = _numba()
    if place is not None:
        numba.config.CACHE_DIR = str(place)
    fill = numba.njit(cache=place is not None)(text.fill)
    walk = FunctionType(text.walk.__code__, {**vars(text), "fill": fill}, "walk")
    walk.__module__, walk.__qualname__ = text.walk.__module__, text.walk.__qualname__
    return numba.njit(cache=place is not None)(walk)
