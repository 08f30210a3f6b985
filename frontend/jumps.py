"""Python's own jumps out of a `with`: they would end or shorten the trace, not the kernel."""

import ast
import inspect
import textwrap
from functools import lru_cache
from types import CodeType

from ptoc.dialect.errors import ParseError

from .builder import short_path, user_code


def refuse_jumps() -> None:
    """Raises ParseError where the `with` that the user's code is at holds a return, or a break or continue of a loop around it."""
    code, line = user_code()
    for first, last, jump, word in _jumps(code):
        if first <= line <= last:
            advice = "ptoc.return_if(condition) ends a kernel early" if word == "return" else "put what is to be left out under a ptoc.when of its own"
            message = f"a Python '{word}' inside 'with' would leave out what follows for every value, not only where the condition holds: {advice}"
            raise ParseError(message, f"{short_path(code.co_filename)}:{jump}")


@lru_cache(maxsize=256)
def _jumps(code: CodeType) -> tuple[tuple[int, int, int, str], ...]:
    """(first and last line of a with statement's head, line, word) of each jump out of a with statement; none where there is no source."""
    try:
        lines, start = inspect.getsourcelines(code)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, SyntaxError):
        return ()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            last = max(item.context_expr.end_lineno for item in node.items)
            found += [(node.lineno + start - 1, last + start - 1, jump.lineno + start - 1, word) for jump, word in _leaving(node.body, False)]
    return tuple(found)


def _leaving(body: list[ast.stmt], looped: bool) -> list[tuple[ast.stmt, str]]:
    """Jumps that leave `body`; `looped`: a loop inside it catches break and continue."""
    found: list[tuple[ast.stmt, str]] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Return):
            found.append((node, "return"))
        elif isinstance(node, ast.Break | ast.Continue) and not looped:
            found.append((node, type(node).__name__.lower()))
        inside = looped or isinstance(node, ast.For | ast.While)
        for part in ("body", "orelse"):
            found += _leaving(getattr(node, part, []), inside if part == "body" else looped)
    return found
