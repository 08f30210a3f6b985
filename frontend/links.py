"""Links of a mesh: `send` and `recv` by direction, and a block's place: `pe_idx`, `cube_idx`."""

from ptoc.dialect.mlir import arith, ir

from .builder import emit, fail, location
from .tile import Tile
from .values import Index

DIRECTIONS = ("E", "W", "N", "S")


def send(tile: Tile, direction: str, *, axis: int = 0) -> None:
    """Sends a tile to the neighbour in a direction: "E", "W", "N" or "S".

    axis=0: to the next processing element of the cube; axis=1: from the first one of a cube to that of the next cube.  The engine of the
    direction waits while the neighbour's receive buffer is full.  A send where no neighbour is, is an error of the run, at this line.
    """
    _message("send", "src", tile, direction, axis)


def recv(tile: Tile, direction: str, *, axis: int = 0) -> None:
    """Fills a tile with the next message from the neighbour in a direction; it must be of the shape and type of the one that was sent."""
    _message("recv", "dst", tile, direction, axis)


def pe_idx() -> Index:
    """Place of this block in its cube, from 0 in the west on."""
    return _place(0)


def cube_idx() -> Index:
    """Number of this block's cube; cubes are counted row by row."""
    return _place(1)


def _message(what: str, operand: str, tile: Tile, direction: str, axis: int) -> None:
    if not isinstance(tile, Tile):
        raise fail(f"{what}: a tile is expected; got {tile!r}")
    if direction not in DIRECTIONS:
        raise fail(f"{what}: the direction must be one of {' '.join(DIRECTIONS)}; got {direction!r}")
    if axis not in (0, 1):
        raise fail(f"{what}: axis must be 0 (elements of a cube) or 1 (cubes); got {axis!r}")
    number = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), axis)
    emit(f"t{what}", {operand: tile.value}, (), {"dir": ir.StringAttr.get(direction), "axis": number})


def _place(axis: int) -> Index:
    number = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), axis)
    value = emit("get_mesh_idx", {}, (ir.IntegerType.get_signless(64),), {"axis": number}).result
    return Index({arith.index_cast(ir.IndexType.get(), value, loc=location()): 1})
