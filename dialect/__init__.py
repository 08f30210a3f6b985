"""What a program is: the pto dialect on MLIR, its types, ops, text and errors."""

from . import ops  # noqa: F401  (declares the ops)
from .context import new_context

__all__ = ["new_context"]
