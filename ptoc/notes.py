"""Priced cycles of each op, for the comments of emitted C++: a table from op to note, made here so that codegen knows no prices."""

from ptoc.dialect.errors import ChipError
from ptoc.dialect.mlir import ir
from ptoc.lowering.work_text import static_work
from ptoc.machine.chip import FS_PER_SECOND, Chip
from ptoc.machine.pricing import price
from ptoc.passes.lower_pipes import pto_ops


def priced_notes(module: ir.Module, chip: Chip) -> dict[ir.Operation, str]:
    """op to "123 cycles", for every command whose sizes are known when compiling; cycles of the clock that the chip's laws count."""
    notes = {}
    for rec in pto_ops(module.operation):
        work = static_work(rec)
        if work:
            try:
                latency = price(chip, work).latency
            except ChipError:
                continue  # the run that needs this price reports it
            cycles = latency * chip.number("clocks.laws") * 10**9 / FS_PER_SECOND
            notes[rec.op] = f"{cycles:.0f} cycles"
    return notes
