"""What a program is: the pto dialect on MLIR, its types, ops, text and errors.

Importing the package imports no MLIR: element types, layouts and errors are there without it.  `new_context` declares the ops.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "new_context":
        from .context import new_context

        return new_context
    raise AttributeError(f"module 'ptoc.dialect' has no attribute '{name}'")


__all__ = ["new_context"]  # noqa: F822  (made on demand)
