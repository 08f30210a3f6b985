"""Tiles that nobody reads, and the ops that only write such tiles, go.

A function that stores nothing at all keeps its ops: it was not written for its results, and would be empty.
"""

from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record
from ptoc.dialect.ops.pipes import SplitOp
from ptoc.dialect.ops.structure import AllocMultiTile, AllocTile

from .tile_uses import TileUses, is_own


def drop_dead(uses: TileUses, chip: Any) -> int:
    """Drops what only makes tiles that nobody reads, and those tiles; returns how many ops."""
    if not any(_has_effect(rec) for rec in uses.records):
        return 0
    live = _live(uses)
    dead = [rec.op for rec in uses.records if _only_makes_tiles(rec, uses) and rec.op not in live]
    return _drop(dead, uses)


def drop_unused_tiles(uses: TileUses, chip: Any) -> int:
    """Drops tiles that nothing names; returns how many."""
    return _drop([], uses)


def _drop(dead: list[ir.Operation], uses: TileUses) -> int:
    """Drops some ops, and the tiles that nothing else touches."""
    tiles = _unused(uses, set(dead))
    for op in [*dead, *(op for tile in tiles for op in _around(tile, uses)), *(tile.owner for tile in tiles)]:
        op.operation.erase()
    return len(dead) + len(tiles)


def _has_effect(rec: Record) -> bool:
    """Whether an op does something that is seen outside of the function: stores, hands on, prints."""
    written = (rec.types.get(name) for name in rec.cls.writes)
    return issubclass(rec.cls, SplitOp) or any(isinstance(kind, t.View | t.Ptr) for kind in written) or (rec.cls.pipe == "S" and not rec.cls.writes and not rec.results)


def _only_makes_tiles(rec: Record, uses: TileUses) -> bool:
    return rec.cls.only_writes and not rec.results and all(is_own(root) for root in uses.touched(rec, rec.cls.writes))


def _live(uses: TileUses) -> set[ir.Operation]:
    """Ops whose results are seen: by something with an effect, through any number of tiles."""
    needed = {root for root, users in uses.users.items() if users.others or not is_own(root)}
    live: set[ir.Operation] = set()
    waiting = [rec for rec in uses.records if not _only_makes_tiles(rec, uses)]
    waiting += [writer for root in needed for writer in uses.of(root).writers]
    while waiting:
        rec = waiting.pop()
        if rec.op in live:
            continue
        live.add(rec.op)
        for root in uses.touched(rec, rec.cls.reads_of(rec)):
            if root not in needed:
                needed.add(root)
                waiting += uses.of(root).writers
    return live


def _unused(uses: TileUses, dead: set[ir.Operation]) -> list[ir.Value]:
    """Tiles that nothing but dead ops touches."""
    found = []
    for rec in uses.records:
        if issubclass(rec.cls, AllocTile | AllocMultiTile):
            users = uses.of(rec.results["result"])
            if not users.others and all(user.op in dead for user in [*users.readers, *users.writers]):
                found.append(rec.results["result"])
    return found


def _around(tile: ir.Value, uses: TileUses) -> list[ir.Operation]:
    """Changes of a tile's size and views of it, users before what they use."""
    return [*(sizer.op for sizer in uses.of(tile).sizers), *reversed(uses.views.get(tile, ()))]
