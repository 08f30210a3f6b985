"""Formulas of public sample kernels, by kernel name: float64 inputs by argument and numbers, to the outputs that they must give."""

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]

FORMULAS: dict[str, Callable[[Arrays, dict], Arrays]] = {}
