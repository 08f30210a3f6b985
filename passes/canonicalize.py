"""canonicalize: folds arithmetic, merges equal values, and simplifies tile ops.

    before   scf.for %i = 0 to %n { pto.tload ins(%v) outs(%a)             (the same in every iteration)
               pto.trowexpand ins(%c) outs(%t)   pto.tsub ins(%x, %t) outs(%x)
               pto.tmuls ins(%x, %one) outs(%y)  pto.tabs ins(%x) outs(%u) }                       (nobody reads %u)
    after    pto.tload ins(%v) outs(%a)
             scf.for %i = 0 to %n { pto.trowexpandsub ins(%x, %c, %t) outs(%x)   pto.tmov ins(%x) outs(%y) }

Ops with a neutral number and conversions that change nothing become copies; copies onto themselves go; a spread column or row and the op
behind it become one; what nobody reads goes; loads that are the same in each iteration leave their loop (`passes/hoist_loads.py`).
All results keep their bits, signalling NaNs apart.  `x + 0.0` stays, since -0.0 + 0.0 is 0.0; `x + -0.0` and `x - 0.0` are copies.
Needs: nothing.  Leaves: folded index arithmetic, tiles that something reads, one form for a choice of tiles.  Raises: nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir, passmanager

from .dead_tiles import drop_dead, drop_unused_tiles
from .fold_copies import drop_self_copies, fold_conversions, fold_neutral
from .fuse_expansions import fuse_expansions
from .hoist_loads import hoist_loads
from .tile_uses import TileUses

Pattern = Callable[[TileUses, Any], int]
"""Changes the function whose uses it is given, for a chip, and says how often; 0 where there was nothing to do."""

EARLY: tuple[Pattern, ...] = (
    # Copies first: what they leave may be fused.
    fold_neutral,
    fold_conversions,
    drop_self_copies,
    # Fused before unused: a spread tile that nothing names any more goes.
    fuse_expansions,
    drop_unused_tiles,
    # What is left in loops and need not be there.
    hoist_loads,
)
"""What is done to tile ops while sections and pipes stand as they were written."""

PATTERNS: tuple[Pattern, ...] = (*EARLY, drop_dead)
"""What is done to tile ops, each until it finds nothing more, in order."""


@dataclass(frozen=True)
class Canonicalize:
    """The pass.  patterns: what is done to tile ops."""

    patterns: tuple[Pattern, ...] = PATTERNS
    name = "canonicalize"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Simplifies a module in place."""
        upstream(module, "canonicalize", "cse")
        for function in [op.operation for op in module.body.operations if op.operation.name == "func.func"]:
            uses = TileUses(function)
            for pattern in self.patterns:
                while pattern(uses, chip):
                    uses = TileUses(function)
        upstream(module, "canonicalize", "cse")
        _tile_choices_to_branches(module)
        return []


def upstream(module: ir.Module, *passes: str) -> None:
    """Runs passes of MLIR itself."""
    with module.context:
        passmanager.PassManager.parse(f"builtin.module({','.join(passes)})").run(module.operation)


def _tile_choices_to_branches(module: ir.Module) -> None:
    """A choice of tiles as a branch that yields one, the one form that later passes know; MLIR makes it an arith.select."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "arith.select" and isinstance(t.of(op.results[0].type), t.Tile | t.MultiTile | t.View):
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in found:
        condition, *choices = op.operands
        with op.context, ir.InsertionPoint(op), op.location:
            branch = ir.Operation.create("scf.if", results=[op.results[0].type], operands=[condition], regions=2)
            for region, value in zip(branch.regions, choices):
                with ir.InsertionPoint(region.blocks.append()):
                    ir.Operation.create("scf.yield", operands=[value])
        op.results[0].replace_all_uses_with(branch.results[0])
        op.erase()
