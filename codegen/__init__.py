"""Scheduled pto modules printed as C++: the kernel, its host launcher, a build script, a device runner, golden files."""

from .emit import emit
from .golden import Case, golden_files, write_golden

__all__ = ["Case", "emit", "golden_files", "write_golden"]
