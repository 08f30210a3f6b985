"""MLIR contexts with the dialects loaded."""

from .mlir import ir
from .types import Pto


def new_context() -> ir.Context:
    """A fresh MLIR context that knows the pto dialect.  Single-threaded, so that diagnostics come in a fixed order."""
    context = ir.Context()
    context.enable_multithreading(False)
    with context:
        Pto.load()
    return context
