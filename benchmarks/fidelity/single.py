"""Rows that measure one instruction, not a kernel: predicted from the chip's prices."""

import re

from ptoc.machine.chip import Chip
from ptoc.machine.pricing import item_cycles
from ptoc.machine.work import Vector

from .metrics import Refused
from .rows import Row

FEW, MANY = 4, 64
"""Repeats between which a slope is taken."""

LISTS = 4
"""A repeat of a measured merge merges four lists; a repeat of the chip's law is 256 bytes that leave it."""

DTYPES = {"fp32": "f32", "fp16": "f16", "int16": "i16", "int32": "i32", "uint16": "ui16", "uint32": "ui32", "bf16": "bf16"}


def measured_alone(row: Row, chip: Chip) -> float | None:
    """The number of an instruction row; None for rows of kernels.  Raises Refused."""
    if "syncall" in row.kernel.lower():
        raise Refused("the dialect has no barrier over all cores")
    found = re.match(r"instruction\s+\S+/(\w+)", row.kernel)
    return _instruction(row, chip, found[1]) if found else None


def _instruction(row: Row, chip: Chip, name: str) -> float:
    """Cycles of one isolated instruction: its fixed part, or what each further repeat adds."""
    dtype = DTYPES.get(row.dtype)
    if dtype is None:
        raise Refused(f"element type '{row.dtype}' is not known")
    each = LISTS if name == "vmrgsort4" else 1
    few, many = (item_cycles(chip, Vector(name, dtype, each * repeats))[1] for repeats in (FEW, MANY))
    slope = (many - few) / (MANY - FEW)
    if row.unit == "cycles/row":
        row_cycles = item_cycles(chip, Vector("vmuls", dtype, 1))[1] + item_cycles(chip, Vector(name, dtype, 1))[0] + float(chip.number("sync.barrier"))
        return row_cycles
    if "per repeat" in row.metric:
        return slope
    if "fixed" in row.metric:
        return few - FEW * slope
    raise Refused(f"metric '{row.metric}' of an instruction is not known")
