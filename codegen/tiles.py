"""Tiles in C++: the `Tile<...>` type under a readable name, TASSIGN of addresses, slots, sub-views.

A tile type prints with all its template arguments, so that nothing hangs on the library's defaults.
Source: pto-isa 3186c381, include/pto/common/pto_tile.hpp (Tile) and constants.hpp (enums).
"""

from dataclasses import replace
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.layout import box_of
from ptoc.dialect.mlir import ir

from .writer import Writer, constant_of, source_of, tile_origin

LOCATIONS = {"vec": "Vec", "mat": "Mat", "left": "Left", "right": "Right", "acc": "Acc", "bias": "Bias", "scaling": "Scaling"}
MEMORY_NAMES = {"ub": "UB", "l1": "L1", "l0a": "L0A", "l0b": "L0B", "l0c": "L0C", "bias": "bias table", "scaling": "fixpipe buffer"}
BLAYOUT = {"row_major": "BLayout::RowMajor", "col_major": "BLayout::ColMajor"}
SLAYOUT = {"none_box": "SLayout::NoneBox", "row_major": "SLayout::RowMajor", "col_major": "SLayout::ColMajor"}
PAD = ("PadValue::Null", "PadValue::Zero", "PadValue::Max", "PadValue::Min")
COMPACT = ("CompactMode::Null", "CompactMode::Normal", "CompactMode::RowPlusOne")
BLOCK_BYTES = 32
"""Bytes of a block.  Source: pto-isa 3186c381, include/pto/common/pto_tile.hpp (TileConfig)."""
LETTERS = {
    ("row_major", "row_major"): "Zz",
    ("row_major", "col_major"): "Zn",
    ("col_major", "row_major"): "Nz",
    ("col_major", "col_major"): "Nn",
}
"""Short name of a boxed layout: order of the boxes (Z by rows, N by columns), order in a box."""


def on_chip(tile: t.Tile, arch: str) -> t.Tile:
    """The tile as the chip has it: a left tile is row_major on a3 and col_major on a5, whatever is written."""
    if tile.loc != "left":
        return tile
    return replace(tile, blayout="row_major" if arch == "a3" else "col_major")


def tile_type(tile: t.Tile, w: Writer, op: Any = None) -> str:
    """The alias of a tile's C++ type; declares it on first use.  Raises NotSupportedError, at `op`, for extents that the library refuses."""
    tile = on_chip(tile, w.chip.arch)
    if refusal := refused(tile):
        raise NotSupportedError(f"a tile of {tile} has no C++ form: {refusal}; take a larger tile of which a part is valid", source_of(op) if op is not None else "")
    # The library has no static size of 0: an empty valid part is one that is known at run time only.
    valid = [n or -1 for n in tile.valid]
    text = (
        f"Tile<TileType::{LOCATIONS[tile.loc]}, {tile.dtype.cpp}, {tile.rows}, {tile.cols}, {BLAYOUT[tile.blayout]}, {valid[0]}, {valid[1]}, "
        f"{SLAYOUT[tile.slayout]}, {tile.fractal}, {PAD[tile.pad]}, {COMPACT[tile.compact]}>"
    )
    return w.alias(text, _alias(tile), _remark(tile))


def refused(tile: t.Tile) -> str:
    """Why the library has no such tile: rows, or columns where these lie one after the other, are whole blocks; "" where it has it or it is boxed."""
    if tile.slayout != "none_box":
        return ""
    extent, what = (tile.cols, "row") if tile.blayout == "row_major" else (tile.rows, "column")
    size = extent * tile.dtype.bytes
    return f"a {what} must be whole blocks of {BLOCK_BYTES} bytes; got {size}" if size % BLOCK_BYTES else ""


def _alias(tile: t.Tile) -> str:
    name = f"{LOCATIONS[tile.loc]}_{tile.rows}x{tile.cols}_{tile.dtype.name}"
    if tile.slayout != "none_box":
        name += f"_{LETTERS[tile.blayout, tile.slayout]}"
    elif tile.blayout == "col_major":
        name += "_cols"
    if tile.valid != (tile.rows, tile.cols):
        name += "_valid" + "x".join(str(n or "N") for n in tile.valid)
    return name


def _remark(tile: t.Tile) -> str:
    layout = f"boxed {LETTERS[tile.blayout, tile.slayout]}" if tile.slayout != "none_box" else tile.blayout.replace("_", " ")
    return f"{tile.rows} x {tile.cols} {tile.dtype}, {layout}, {tile.bytes} bytes of {MEMORY_NAMES[tile.memory]}"


def declare(value: ir.Value, tile: t.Tile, valid: list[str], w: Writer, op: Any, hint: str = "") -> str:
    """The declaration of a tile variable, named after what is loaded into it; `valid`: the sizes that are known at run time only."""
    kind = w.types[value] = tile_type(tile, w, op)
    name = w.name(value, hint or f"{tile_origin(value, w) or tile.memory}_tile")
    w.line(f"{kind} {name}{'(' + ', '.join(valid) + ')' if valid else ''};", op)
    return name


def assign(name: str, address: int | str, tile: t.Tile, w: Writer, why: str = "") -> None:
    """TASSIGN of a byte address, with a comment that says where the number comes from."""
    memory = MEMORY_NAMES[tile.memory]
    if isinstance(address, int):
        end = address + tile.bytes
        comment = why or f"{memory} bytes {address} to {end - 1}: {tile.rows} x {tile.cols} x {tile.dtype.bytes} bytes"
        w.line(f"TASSIGN({name}, {address:#x});", comment=comment)
        return
    w.line(f"TASSIGN({name}, {address});", comment=why)


def valid_sizes(tile: t.Tile, rows: ir.Value | None, cols: ir.Value | None, w: Writer, op: Any) -> list[str]:
    """Constructor arguments for the dynamic and the empty valid sizes of a tile.  Raises NotSupportedError where one is not given."""
    sizes = []
    for static, value, what in zip(tile.valid, (rows, cols), ("valid_row", "valid_col")):
        if static is None and value is None:
            raise NotSupportedError(f"a tile with a dynamic valid size needs '{what} = '; got {tile}", source_of(op))
        if not static:
            sizes.append("0" if static == 0 else w.of(value))
    return sizes


def slot_bytes(tile: t.Tile, w: Writer) -> int:
    """Distance of two slots of a multi tile: the tile's bytes rounded up to the memory's alignment."""
    alignment = w.chip.alignment_bytes(tile.memory)
    return -(-tile.bytes // alignment) * alignment


def fixed_address(value: ir.Value | None, op: Any) -> int:
    """The address constant of an allocation.  Raises NotSupportedError where the memory is not planned yet."""
    number = constant_of(value) if value is not None else None
    if number is None:
        raise NotSupportedError("a tile needs a constant address for C++: run 'plan-memory' first", source_of(op))
    return number


def storage_of_part(part: t.Tile, whole: t.Tile) -> t.Tile:
    """The type of a sub-view in C++: the extent that its layout steps over is the whole tile's, the other one whole boxes; its sizes are valid sizes."""
    box_rows, box_cols = box_of(part.slayout, part.fractal, part.dtype.name)
    rows = -(-part.rows // box_rows) * box_rows if part.blayout == "row_major" else whole.rows
    cols = whole.cols if part.blayout == "row_major" else -(-part.cols // box_cols) * box_cols
    return replace(part, rows=rows, cols=cols)


def part_offset(tile: t.Tile, row: int | str, col: int | str) -> tuple[str, str]:
    """Byte offset of element (row, col) of a tile as a C++ expression, and the formula in words.

    Boxed tiles: whole boxes only, Nz: col * rows + row * ic elements (ic columns in a box), Zz and Zn accordingly.
    """
    size = tile.dtype.bytes
    ir_, ic = box_of(tile.slayout, tile.fractal, tile.dtype.name)
    if tile.blayout == "row_major":
        row_step, col_step = tile.cols * size, ir_ * size
    else:
        row_step, col_step = ic * size, tile.rows * size
    terms = [_term(row, row_step), _term(col, col_step)]
    text = " + ".join(term for term in terms if term) or "0"
    return text, f"row * {row_step} + column * {col_step} bytes"


def _term(index: int | str, step: int) -> str:
    if isinstance(index, int):
        return str(index * step) if index else ""
    return f"{index} * {step}"
