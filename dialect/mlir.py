"""The one module that imports the MLIR bindings: the official package `mlir` where it is installed, else PyPI `torch-mlir`."""

try:
    from mlir import ir, passmanager, rewrite
    from mlir.dialects import arith, ext, func, scf
except ImportError:
    from torch_mlir import ir, passmanager, rewrite
    from torch_mlir.dialects import arith, ext, func, scf

__all__ = ["arith", "ext", "func", "ir", "passmanager", "rewrite", "scf"]
