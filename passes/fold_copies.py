"""Ops that only copy: with a neutral number, to the same type, there and back; and copies of a tile onto itself.

Results keep their bits, save that a signalling NaN may have become a quiet one where it now stays as it is.
"""

import math
from typing import Any

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, Record, plain

from .tile_uses import TileUses, build, is_own


def fold_neutral(uses: TileUses, chip: Any) -> int:
    """src * 1 and the like become a copy, or nothing where dst is src."""
    return sum(_copy(rec, rec.operands["src"]) for rec in uses.records if _is_neutral(rec))


def fold_conversions(uses: TileUses, chip: Any) -> int:
    """A conversion that copies becomes a copy; so does one that takes back another, which then may be dead."""
    done = 0
    changed: set[ir.Value] = set()
    for rec in uses.records:
        if rec.cls.plain_copy or changed & uses.around(rec):
            continue
        first = None if rec.cls.copied(rec) else _undone(rec, uses)
        name, source = ("src", first) if first is not None else (rec.cls.copied(rec), rec)
        roots = uses.around(rec)
        if name and _copy(rec, source.operands[name]):
            done += 1
            changed |= roots
    return done


def drop_self_copies(uses: TileUses, chip: Any) -> int:
    """A copy of a tile onto itself is nothing."""
    found = [rec for rec in uses.records if rec.cls.plain_copy and rec.cls.copied(rec) and rec.operands["src"] == rec.operands["dst"]]
    for rec in found:
        rec.op.erase()
    return len(found)


def _copy(rec: Record, src: ir.Value) -> bool:
    """Puts a copy of src in the place of an op; nothing where dst is src.  False where the dialect has no such copy."""
    dst = rec.operands["dst"]
    if src != dst:
        cls = next(cls for cls in REGISTRY.values() if cls.plain_copy)
        made = build(cls, {"src": src, "dst": dst}, rec.op)
        if made is None:
            return False
        if not cls.copied(made):
            made.op.erase()
            return False
    rec.op.erase()
    return True


def _is_neutral(rec: Record) -> bool:
    scalar = rec.operands.get("scalar")
    if not rec.cls.neutral or scalar is None or not hasattr(rec.types["src"], "loc") or rec.types["src"].dtype != rec.types["dst"].dtype:
        return False
    wanted = rec.cls.neutral.get("float" if rec.types["src"].dtype.is_float else "int")
    owner = scalar.owner
    given = plain(owner.attributes["value"]) if isinstance(owner, ir.Operation | ir.OpView) and owner.name == "arith.constant" else None
    return wanted is not None and given is not None and given == wanted and math.copysign(1, given) == math.copysign(1, wanted)


def _undone(rec: Record, uses: TileUses) -> Record | None:
    """The op before in the same block whose result this one takes back, where neither tile has changed since."""
    src = rec.operands.get("src")
    if src is None or "dst" not in rec.operands or not is_own(src):
        return None
    users = uses.of(src)
    if len(users.writers) != 1 or users.others or users.sizers:
        return None
    first = users.writers[0]
    if first.op == rec.op or first.op.block != rec.op.block or first.operands.get("dst") != src or not rec.cls.undoes(first, rec):
        return None
    return first if unchanged(first, rec, first.operands["src"], uses) else None


def unchanged(first: Record, second: Record, tile: ir.Value, uses: TileUses) -> bool:
    """Whether nothing between two ops of a block, the first one included, writes a tile's bytes or may do so."""
    root, block = uses.root(tile), first.op.block
    users = uses.of(tile)
    if not first.op.is_before_in_block(second.op) or users.others or not is_own(root):
        return False
    for rec in [*users.writers, *users.sizers]:
        op = rec.op
        while op.block != block and op.parent is not None and op.parent.name != "builtin.module":
            op = op.parent.operation
        inside = op.block == block and not op.is_before_in_block(first.op) and (op.is_before_in_block(second.op))
        if inside:
            return False
    return True
