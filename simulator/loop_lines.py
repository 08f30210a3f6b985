"""Which loops of the text a command stands in: the lines of `scf.for` and `scf.while`, for messages."""

from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import location_of

from .program import Program

SEQUENCES = ({"sim.command": "work", "sim.fetch": "work"}, {"sim.set": "set", "sim.wait": "wait"}, {"sim.barrier": "barrier"})
"""Ops of the simulator IR that make one site each, and its kind; sites stand in the order of their ops."""


def loop_lines(functions: list[func.FuncOp], program: Program) -> dict[int, tuple[str, ...]]:
    """Index of a site to the lines of the loops around it, the outermost first.

    functions: those that `program` was elaborated from, in that order.  Signals and awaits are not told.
    """
    found: dict[int, tuple[str, ...]] = {}
    for kinds in SEQUENCES:
        ops = [(kinds[op.name], loops) for function in functions for op, loops in _inside(function.operation, ()) if op.name in kinds]
        sites = [site for site in program.sites if site.kind in kinds.values()]
        assert [kind for kind, _ in ops] == [site.kind for site in sites], "the program comes from other functions"
        found |= {site.index: loops for site, (_, loops) in zip(sites, ops)}
    return found


def _inside(op: ir.Operation, loops: tuple[str, ...]) -> list[tuple[ir.Operation, tuple[str, ...]]]:
    """All ops in an op, in the order of the text, each with the loops around it."""
    if op.name in ("scf.for", "scf.while"):
        loops = (*loops, location_of(op))
    found = []
    for region in op.regions:
        for block in region.blocks:
            for view in block.operations:
                found.append((view.operation, loops))
                found += _inside(view.operation, loops)
    return found
