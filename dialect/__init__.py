"""What a program is: the pto dialect on MLIR, its types, ops, text and errors.

Importing the package imports no MLIR: element types, layouts and errors are there without it.  `new_context` declares the ops.
"""

from typing import Any


def new_context() -> Any:
    """A fresh MLIR context that knows the pto and sim dialects; see context.py."""
    from . import context

    return context.new_context()


__all__ = ["new_context"]
