"""The one module that imports the MLIR bindings: the official package `mlir` where it is installed, else PyPI `torch-mlir`."""

import sys
from types import ModuleType

try:
    from mlir import ir, passmanager, rewrite
    from mlir.dialects import arith, ext, func, scf

    _BINDINGS = "mlir"
except ImportError:
    from torch_mlir import ir, passmanager, rewrite
    from torch_mlir.dialects import arith, ext, func, scf

    _BINDINGS = "torch_mlir"

for _dialect in ("pto", "sim"):
    # Whenever they hand out a type or attribute of a dialect, the bindings search for a Python module of its name, and do not remember
    # that there is none: an empty one ends the search, which otherwise takes three quarters of a compilation.
    sys.modules.setdefault(f"{_BINDINGS}.dialects.{_dialect}", ModuleType(_dialect))

__all__ = ["arith", "ext", "func", "ir", "passmanager", "rewrite", "scf"]
