"""Views of global memory in C++: GlobalTensor objects under named two-dimensional aliases.

The library's shapes and strides always have five dimensions.  A matrix fills the last two; the outer ones have extent 1 and are
never stepped, so their strides are 1.  Source: pto-isa 3186c381, include/pto/common/pto_tile.hpp (Shape, Stride, GlobalTensor).
"""

from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, record

from .writer import GmView, Writer, constant_of, origin_of, source_of

DIMENSIONS = 5
BOX_BYTES, BOX_ROWS = 32, 16
"""A box of an Nz view: 16 rows of 32 bytes.  Source: pto-isa, include/pto/common/constants.hpp (FRACTAL_NZ_ROW, C0_SIZE_BYTE)."""


def number_or_name(value: ir.Value, w: Writer) -> int | str:
    """A constant as a number, anything else as its C++ expression, 64 bits wide: an element offset may pass 2^31."""
    number = constant_of(value)
    if number is not None:
        return number
    return w.of(value) if str(value.type) in ("index", "i64") else f"(int64_t){w.of(value)}"


def layout_of(shape: tuple[int | str, ...], strides: tuple[int | str, ...], dtype: Any, written: str | None) -> str | None:
    """ND (rows in memory), DN (columns in memory) or NZ (boxes); None where both ND and DN fit a vector."""
    if written:
        return written.upper()
    if len(shape) == DIMENSIONS and shape[-2:] == (BOX_ROWS, BOX_BYTES // dtype.bytes) and strides[-2:] == (shape[-1], 1):
        return "NZ"
    if len(shape) < 2:
        return "ND"
    row, col = strides[-2:]
    if col == 1:
        return None if row == 1 or shape[-1] == 1 or shape[-2] == 1 else "ND"
    return "DN" if row == 1 else ("ND" if shape[-2] != 1 else None)


def global_tensor(value: ir.Value, view: GmView, offsets: list[tuple[int | str, int | str]], w: Writer, op: Any) -> str:
    """Declares the GlobalTensor of a view whose first element lies `offsets` (index, stride) beyond the pointer; returns its name."""
    layout = view.layout or _layout_of_users(value)
    kind = tensor_type(view, layout, w)
    shape, shape_values = _alias("Shape", view.shape, w)
    strides, stride_values = _alias("Stride", view.strides, w)
    arguments = [pointer_to(view.pointer, offsets)]
    if shape_values or stride_values:
        arguments.append(f"{shape}({', '.join(shape_values)})")
    if stride_values:
        arguments.append(f"{strides}({', '.join(stride_values)})")
    name = w.name(value, f"{origin_of(value, w) or 'gm'}_view")
    w.types[value] = kind
    w.line(f"{kind} {name}({', '.join(arguments)});", op, comment=_derivation(offsets))
    return name


def tensor_type(view: GmView, layout: str, w: Writer) -> str:
    """The alias of a view's C++ type; declares it and those of its shape and strides on first use."""
    shape, _ = _alias("Shape", view.shape, w)
    strides, _ = _alias("Stride", view.strides, w)
    text = f"GlobalTensor<{view.dtype.cpp}, {shape}, {strides}, Layout::{layout}>"
    size = "x".join("N" if isinstance(n, str) else str(n) for n in view.shape)
    return w.alias(text, f"Gm_{size}_{view.dtype.name}{'' if layout == 'ND' else '_' + layout}", f"view of global memory, {layout}")


def _alias(kind: str, values: tuple[int | str, ...], w: Writer) -> tuple[str, list[str]]:
    dynamic = [v for v in values if isinstance(v, str)]
    padded = [1] * (DIMENSIONS - len(values)) + [-1 if isinstance(v, str) else v for v in values]
    rank = max(2, len(values))
    label = "x".join("N" if n == -1 else str(n) for n in padded[-rank:])
    words = "rows x columns" if kind == "Shape" else "elements to the next row, to the next column"
    comment = f"{words}; the outer dimensions are 1" if rank == 2 else f"{rank} dimensions, outermost first"
    return w.alias(f"{kind}<{', '.join(map(str, padded))}>", f"{kind}{rank}D_{label}", comment), dynamic


def pointer_to(pointer: str, offsets: list[tuple[int | str, int | str]]) -> str:
    """A pointer moved by sum(index * stride) elements, computed in 64 bits."""
    terms = []
    for index, stride in offsets:
        if index == 0:
            continue
        factors = [str(n) for n in (index, stride) if n != 1]
        terms.append(" * ".join(factors or ["1"]))
    if not terms:
        return pointer
    if all(isinstance(n, int) for pair in offsets for n in pair):
        return f"{pointer} + {sum(i * s for i, s in offsets)}"
    return f"{pointer} + {' + '.join(terms)}"


def _derivation(offsets: list[tuple[int | str, int | str]]) -> str:
    used = [(i, s) for i, s in offsets if i != 0]
    return "offset " + " + ".join(f"{i} * stride {s}" for i, s in used) if used else ""


def _layout_of_users(value: ir.Value) -> str:
    """A vector in memory is DN where the tile on the other side of its transfers holds columns, else ND."""
    for use in value.uses:
        user = use.owner
        if user.operation.name not in REGISTRY:
            continue
        tiles = [x for x in record(user.operation).types.values() if isinstance(x, t.Tile)]
        if any(x.blayout == "col_major" and x.slayout == "none_box" for x in tiles):
            return "DN"
    return "ND"


def needs_object(value: ir.Value) -> bool:
    """True if an op other than a view of this view uses it."""
    return any(use.owner.operation.name != "pto.partition_view" for use in value.uses)


def view_of(value: ir.Value, w: Writer, op: Any) -> GmView:
    """The view behind a value.  Raises NotSupportedError for views that control flow carries."""
    if value not in w.views:
        raise NotSupportedError("a view that a loop or branch carries has no C++ form: carry its offset instead", source_of(op))
    return w.views[value]
