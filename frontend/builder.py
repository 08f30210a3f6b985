"""The trace in progress: the module under construction, where the next op goes, and which line of the user's file it came from."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import ParseError
from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.op import REGISTRY

_HERE = os.path.dirname(os.path.abspath(__file__))
_CURRENT: ContextVar["Trace"] = ContextVar("ptoc_trace")


class Trace:
    """State of one kernel's trace.

    `section`: "cube", "vector" or "" for code that both kinds of core run; `part`: what commands are counted to; `left_loop`: where a `break` left a loop.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.section = ""
        self.part = ""
        self.pipes: list[Any] = []
        self.block: Any = None
        self.left_loop = ""
        self.arch = "a3"
        self.open_blocks: list[list[Any]] = [[]]


def current() -> Trace:
    """The trace in progress.  Raises ParseError outside of a kernel."""
    try:
        return _CURRENT.get()
    except LookupError:
        raise ParseError("tile operations belong into a function decorated with @ptoc.kernel", user_location()) from None


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Makes `trace` the one in progress."""
    token = _CURRENT.set(trace)
    try:
        yield trace
    finally:
        _CURRENT.reset(token)


def user_frame() -> tuple[str, int]:
    """File and line of the innermost caller outside of this package."""
    frame = _user_frame()
    return (frame.f_code.co_filename, frame.f_lineno) if frame else ("", 0)


def user_code() -> tuple[CodeType, int]:
    """Code and line of the innermost caller outside of this package."""
    frame = _user_frame()
    return frame.f_code, frame.f_lineno


def _user_frame() -> Any:
    frame = sys._getframe(1)
    while (frame and os.path.dirname(os.path.abspath(frame.f_code.co_filename)) == _HERE) or _in_library(frame):
        frame = frame.f_back
    return frame


def _in_library(frame: Any) -> bool:
    return frame is not None and frame.f_code.co_filename.endswith(("contextlib.py", "functools.py"))


def user_location() -> str:
    """file:line of the user's code, the file shortened to its name's last part relative to the current folder."""
    name, line = user_frame()
    return f"{short_path(name)}:{line}"


def short_path(name: str) -> str:
    """A path as users and texts see it: the file's name alone, so that texts do not depend on where the checkout lies."""
    return os.path.basename(name)


def location() -> ir.Location:
    """The MLIR location of the user's line.  Raises ParseError outside of a kernel."""
    current()
    name, line = user_frame()
    return ir.Location.file(short_path(name), line, 1)


def fail(message: str) -> ParseError:
    """A ParseError at the user's line."""
    return ParseError(message, user_location())


def emit(
    name: str, operands: dict[str, Any] | None = None, results: tuple[ir.Type, ...] = (), attributes: dict[str, ir.Attribute] | None = None
) -> ir.Operation:
    """Builds the op `pto.<name>`: operands by name (None and missing ones are absent, lists are variadic), at the user's line."""
    cls, operands = REGISTRY[f"pto.{name}"], operands or {}
    flat: list[ir.Value] = []
    sizes: list[int] = []
    for key in cls.operand_names():
        given = operands.get(key)
        part = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
        flat += part
        sizes.append(len(part))
    attributes = dict(attributes or {})
    if current().part and cls.writes:
        attributes["pto.part"] = ir.StringAttr.get(current().part)
    if set(cls.segments()) - {"single"}:
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(sizes)
    return ir.Operation.create(f"pto.{name}", results=list(results), operands=flat, attributes=attributes, loc=location(), regions=0)


def constant(value: int | float, type_: ir.Type | None = None) -> ir.Value:
    """A constant, of index type unless another is given."""
    return arith.constant(type_ or ir.IndexType.get(), value, loc=location())


def typed(record: t.PtoType) -> ir.Type:
    """The MLIR type of a type record.  Raises ParseError outside of a kernel."""
    current()
    return t.to_mlir(record)
