"""The Python kernel language."""

from ptoc.dialect import ops  # noqa: F401  (declares the ops)

from .control import block_idx, cube, num_blocks, otherwise, part, program_id, range_, return_if, sub_block_idx, vector, when
from .cross import Cross
from .kernel import Kernel, kernel
from .links import cube_idx, pe_idx, recv, send
from .ops import function_names, op_function
from .pipe import Pipe
from .sync import barrier, set_flag, wait_flag
from .tensor import Out, Tensor
from .tile import BIAS, L0A, L0B, L0C, L1, SCALING, UB, Slots, Tile, View, tile
from .values import ceil_div, maximum, minimum

__all__ = [
    "BIAS", "L0A", "L0B", "L0C", "L1", "SCALING", "UB", "Cross", "Kernel", "Out", "Pipe", "Slots", "Tensor", "Tile", "View", "barrier", "block_idx", "ceil_div",
    "cube", "cube_idx", "function_names", "kernel", "maximum", "minimum", "num_blocks", "op_function", "otherwise", "part", "pe_idx", "program_id", "range_", "recv", "return_if", "send", "set_flag",
    "sub_block_idx", "tile", "vector", "wait_flag", "when",
]  # fmt: skip
