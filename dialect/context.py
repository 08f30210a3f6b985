"""MLIR contexts with the dialects loaded."""

from . import ops  # noqa: F401  (declares the ops)
from .mlir import ir
from .sim import Sim
from .types import Pto


def new_context() -> ir.Context:
    """A fresh MLIR context that knows the pto and sim dialects.  Single-threaded, so that diagnostics come in a fixed order."""
    context = ir.Context()
    context.enable_multithreading(False)
    with context:
        Pto.load()
        Sim.load()
    return context
