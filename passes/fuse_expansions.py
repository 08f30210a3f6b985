"""A column (row) spread over a tile and then combined with another one: the op of the library that does both, where the spread tile serves nothing else."""

from typing import Any

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, PtoOp, Record
from ptoc.dialect.ops.structure import AllocTile

from .fold_copies import unchanged
from .tile_uses import TileUses, build, is_own


def fuse_expansions(uses: TileUses, chip: Any) -> int:
    """Fuses what can be; returns how often."""
    table = {cls.fused: cls for cls in REGISTRY.values() if cls.fused}
    scratch = any(_takes_scratch(rec) for rec in uses.records)
    done = 0
    changed: set[ir.Value] = set()
    for rec in uses.records:
        if rec.cls.spread and not changed & uses.around(rec):
            roots = uses.around(rec) | {root for reader in uses.of(rec.operands["dst"]).readers for root in uses.around(reader)}
            if not changed & roots and _fuse(rec, uses, table, scratch):
                done += 1
                changed |= roots
    return done


def _fuse(first: Record, uses: TileUses, table: dict[tuple[str, type[PtoOp]], type[PtoOp]], scratch: bool) -> bool:
    tile, source = first.operands["dst"], first.operands["src"]
    users = uses.of(tile)
    own = is_own(tile) and issubclass(REGISTRY[tile.owner.operation.name], AllocTile)
    if not own or len(users.readers) != 1 or len(users.writers) != 1 or users.others or users.sizers:
        return False
    second = users.readers[0]
    fused = table.get((first.cls.spread, second.cls))
    sides = [name for name in second.cls.reads if second.operands[name] == tile]
    if fused is None or len(sides) != 1 or second.op.block != first.op.block or not unchanged(first, second, source, uses):
        return False
    if None in (*first.tile("src").valid, *second.tile("dst").valid) or first.tile("dst").valid != second.tile("dst").valid:
        return False
    if first.tile("src").valid[1 if first.cls.spread == "row" else 0] != 1:
        return False  # the fused op takes more than the first column (row) of a source that has more
    operands = {**second.operands, sides[0]: source}
    made = build(fused, operands, second.op)
    if made is not None and (fused.expanded(made) != sides[0] or (not scratch and _takes_scratch(made))):
        made.op.erase()
        made = _with_own_scratch(fused, operands, sides[0], tile, first, second)
    if made is None:
        return False
    second.op.erase()
    first.op.erase()
    return True


def _with_own_scratch(fused: type[PtoOp], operands: dict[str, ir.Value], side: str, tile: ir.Value, first: Record, second: Record) -> Record | None:
    """The fused op with the tile that is free now as its scratch: the library's own would take UB from the whole function."""
    if "tmp" not in fused.operand_names():
        return None
    made = build(fused, {**operands, "tmp": tile}, second.op)
    if made is not None and (fused.expanded(made) != side or first.tile("dst").bytes < fused.scratch_bytes(made)):
        made.op.erase()
        return None
    return made


def _takes_scratch(rec: Record) -> bool:
    return bool(rec.cls.internals_of(rec).get("ub_scratch"))
