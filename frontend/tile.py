"""Tiles on chip and views of global memory, as the kernel language handles them."""

from collections.abc import Iterator
from dataclasses import replace

from ptoc.dialect import types as t
from ptoc.dialect.dtypes import DType
from ptoc.dialect.mlir import arith, ir

from .builder import constant, emit, fail, location, typed
from .values import Index, Number

UB, L1, L0A, L0B, L0C, BIAS, SCALING = "vec", "mat", "left", "right", "acc", "bias", "scaling"

_LAYOUTS = {
    "vec": {},
    "mat": {"blayout": "col_major", "slayout": "row_major"},
    "left": {"blayout": "row_major", "slayout": "row_major"},
    "right": {"blayout": "row_major", "slayout": "col_major"},
    "acc": {"blayout": "col_major", "slayout": "row_major", "fractal": 1024},
    "bias": {},
    "scaling": {},
}
"""Physical layout of a tile where none is asked for.  Source: pto-isa 3186c381, include/pto/common/pto_tile.hpp (TileLeft, TileRight, TileAcc)."""

LAYOUTS = {
    "nd": ("row_major", "none_box"),
    "dn": ("col_major", "none_box"),
    "nz": ("col_major", "row_major"),
    "zn": ("row_major", "col_major"),
    "zz": ("row_major", "row_major"),
    "nn": ("col_major", "col_major"),
}


class Tile:
    """A tile of `rows` x `cols` elements in a memory; only its valid part takes part in operations."""

    def __init__(self, value: ir.Value, record: t.Tile, valid: tuple[Number, Number], planes: int = 1) -> None:
        self.value, self.type, self.valid, self.planes = value, record, valid, planes

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of storage; planes, rows and columns of a tile of three dimensions."""
        rows, cols = self.type.rows, self.type.cols
        return (rows, cols) if self.planes == 1 else (self.planes, rows // self.planes, cols)

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.type.dtype

    def __getitem__(self, key: object) -> "Tile":
        """The part of the tile that two slices name; it shares the tile's storage, no command is issued.

        Offsets may be known at run time; so may sizes, which then are the part's valid sizes.  In a tile of three dimensions the first
        index names a plane: tile[p] or tile[p, a:b, c:d].
        """
        if self.planes > 1:
            plane, *rest = key if isinstance(key, tuple) else (key,)
            rows = self.type.rows // self.planes
            whole = Tile(self.value, self.type, self.valid)[plane * rows : plane * rows + rows, :]
            return whole[tuple(rest)] if rest else whole
        (row, rows), (col, cols) = (_span(k, n, "tile") for k, n in zip(_two(key), self.shape))
        if 0 in (n for n in (rows, cols) if isinstance(n, int)):
            raise fail(f"a part of a tile must hold at least one element; got {rows}x{cols}")
        numbers = (row, col, rows, cols, *self.valid)
        if all(isinstance(n, int) for n in numbers) and numbers == (0, 0, *self.shape, *self.shape):
            return self
        storage = [n if isinstance(n, int) else limit - (at if isinstance(at, int) else 0) for at, n, limit in zip((row, col), (rows, cols), self.shape)]
        known = [n if isinstance(n, int) else None for n in (rows, cols)]
        record = replace(self.type, rows=storage[0], cols=storage[1], v_rows=known[0], v_cols=known[1])
        sizes = ir.ArrayAttr.get([ir.IntegerAttr.get(ir.IntegerType.get_signless(64), n) for n in storage])
        operands = {
            "source": self.value,
            "offsets": [Index.of(row).value(), Index.of(col).value()],
            "valid_row": None if isinstance(rows, int) else rows.value(),
            "valid_col": None if isinstance(cols, int) else cols.value(),
        }
        op = emit("subview", operands, (typed(record),), {"sizes": sizes})
        return Tile(op.result, record, (rows, cols))

    def __iter__(self) -> Iterator["Tile"]:
        raise fail("a tile cannot be iterated over: take parts of it, tile[a:b, c:d]")

    def __repr__(self) -> str:
        return f"tile({'x'.join(map(str, self.shape))}x{self.dtype}, {self.type.loc})"

    def reshape(self, rows: int, cols: int, dtype: DType | None = None, layout: str | None = None) -> "Tile":
        """The same bytes as another tile; no command is issued."""
        if layout and layout not in LAYOUTS:
            raise fail(f"reshape: layout must be one of {' '.join(LAYOUTS)}; got {layout!r}")
        blayout, slayout = LAYOUTS[layout] if layout else ("row_major", "none_box")
        record = replace(
            self.type, rows=rows, cols=cols, v_rows=rows, v_cols=cols, dtype=dtype or self.dtype, blayout=blayout, slayout=slayout
        )
        if record.bytes != self.type.bytes:
            raise fail(f"reshape: {self.type.bytes} bytes cannot become {record.bytes} ({rows}x{cols}x{record.dtype})")
        return Tile(emit("treshape", {"src": self.value}, (typed(record),)).result, record, (rows, cols))


def tile(
    shape: tuple[int, ...] | list[int],
    dtype: DType,
    memory: str = UB,
    *,
    valid: tuple[Number, Number] | None = None,
    layout: str | None = None,
    pad: int = 0,
    addr: int | None = None,
    slots: int | None = None,
) -> "Tile | Slots":
    """A tile of [rows, cols], or of [planes, rows, cols], whose planes lie one below the other.  valid: the part that holds data (default: all); layout: nd dn nz zn zz nn (default: what the memory's engine wants);
    addr: byte address in its memory (default: planned); slots: that many copies, chosen by `tiles[i % n]` (default: as the loop's stages say).
    """
    if not isinstance(shape, tuple | list) or len(shape) not in (2, 3) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise fail(f"tile: a shape of two or three positive integers known when compiling is expected; got {shape!r}")
    if not isinstance(dtype, DType):
        raise fail(f"tile: an element type such as ptoc.f32 is expected; got {dtype!r}")
    if memory not in _LAYOUTS:
        raise fail(f"tile: the memory must be one of UB L1 L0A L0B L0C BIAS SCALING; got {memory!r}")
    planes = shape[0] if len(shape) == 3 else 1
    rows, cols = planes * shape[-2], shape[-1]
    if planes > 1 and (valid is not None or slots is not None):
        raise fail("tile: valid and slots belong to tiles of two dimensions")
    if slots is not None and not (isinstance(slots, int) and slots >= 1):
        raise fail(f"tile: slots must be a positive integer known when compiling; got {slots!r}")
    valid = valid or (rows, cols)
    if not isinstance(valid, tuple | list) or len(valid) != 2:
        raise fail(f"tile: valid is a pair, (rows, columns); got {valid!r}")
    for what, n, limit in zip(("rows", "columns"), valid, (rows, cols)):
        if isinstance(n, int) and not 0 <= n <= limit:
            raise fail(f"tile: valid {what} must be 0 to {limit}; got {n}")
    facts = dict(_LAYOUTS[memory])
    if layout:
        if layout not in LAYOUTS:
            raise fail(f"tile: layout must be one of {' '.join(LAYOUTS)}; got {layout!r}")
        facts["blayout"], facts["slayout"] = LAYOUTS[layout]
    known = [n if isinstance(n, int) else None for n in valid]
    record = t.Tile(memory, dtype, rows, cols, *known, pad=pad, **facts)
    operands = {
        "addr": None if addr is None else constant(addr, ir.IntegerType.get_signless(64)),
        "valid_row": None if isinstance(valid[0], int) else Index.of(valid[0]).value(),
        "valid_col": None if isinstance(valid[1], int) else Index.of(valid[1]).value(),
    }
    if slots is not None:
        multi = t.MultiTile(record, slots)
        return Slots(emit("alloc_multi_tile", operands, (typed(multi),)).result, multi, valid)
    return Tile(emit("alloc_tile", operands, (typed(record),)).result, record, valid, planes)


class Slots:
    """Several copies of one tile; `slots[i]` is the one with number i (0 <= i < count)."""

    def __init__(self, value: ir.Value, record: t.MultiTile, valid: tuple[Number, Number]) -> None:
        self.value, self.type, self.valid = value, record, valid

    def __len__(self) -> int:
        return self.type.count

    def __iter__(self) -> Iterator[Tile]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"{len(self)} slots of a tile"

    def __getitem__(self, index: Number) -> Tile:
        if isinstance(index, int) and not 0 <= index < len(self):
            raise fail(f"slot {index} of {len(self)} does not exist")
        op = emit("multi_tile_get", {"source": self.value, "index": Index.of(index).value()}, (typed(self.type.tile),))
        return Tile(op.result, self.type.tile, self.valid)


class View:
    """A view of global memory: `view[a:b, c:d]` is a part of it, `view.T` the same elements with the two axes exchanged."""

    def __init__(
        self, value: ir.Value, shape: tuple[Number, ...], dtype: DType, ptr: ir.Value | None = None, strides: tuple[Number, ...] = (), layout: str = ""
    ) -> None:
        self.value, self.shape, self.dtype, self._ptr, self._strides, self._layout = value, shape, dtype, ptr, strides, layout

    def __iter__(self) -> Iterator["View"]:
        raise fail("a tensor cannot be iterated over: for a loop use 'for i in ptoc.range(n):' and take parts of it, tensor[a:b, c:d]")

    def __repr__(self) -> str:
        return f"view({'x'.join(map(str, self.shape))}x{self.dtype})"

    @staticmethod
    def of_pointer(ptr: ir.Value, shape: tuple[Number, ...], strides: tuple[Number, ...], dtype: DType, layout: str = "") -> "View":
        """The view of a pointer: extents and strides in elements."""
        record = t.View(tuple(n if isinstance(n, int) else None for n in shape), dtype)
        operands = {"ptr": ptr, "shape": [Index.of(n).value() for n in shape], "strides": [Index.of(n).value() for n in strides]}
        attributes = {"layout": t.attribute("layout", layout)} if layout else {}
        return View(emit("make_tensor_view", operands, (typed(record),), attributes).result, shape, dtype, ptr, strides, layout)

    @property
    def T(self) -> "View":
        """The transposed view of a whole tensor; no command is issued."""
        if self._ptr is None or len(self.shape) != 2:
            raise fail("only a whole two-dimensional tensor can be transposed: write tensor.T[...], not tensor[...].T")
        return View.of_pointer(self._ptr, self.shape[::-1], self._strides[::-1], self.dtype, "" if self.columns_first else "dn")

    def flat(self, last: int = 1) -> "View":
        """A whole tensor with all but its `last` axes as one: [a, b, c] as [a * b, c], with last=0 as [a * b * c]; no command is issued."""
        if self._ptr is None or self.columns_first:
            raise fail("only a whole tensor that lies row by row can be made flat: write tensor.flat()[...], not tensor[...].flat()")
        if not 0 <= last < len(self.shape):
            raise fail(f"flat: last must be 0 to {len(self.shape) - 1}, fewer than the tensor's axes; got {last}")
        merged = len(self.shape) - last
        count: Number = 1
        for n in self.shape[:merged]:
            count = count * n
        return View.of_pointer(self._ptr, (count, *self.shape[merged:]), self._strides[merged - 1 :], self.dtype)

    @property
    def columns_first(self) -> bool:
        """True for a whole matrix whose columns lie in one piece: a transpose, or a tensor stored as one."""
        return self._layout == "dn"

    def number(self, *indices: Number) -> Index:
        """An element of a whole input tensor of integers, as a number of the kernel: it may decide addresses, loops and conditions."""
        if self._ptr is None or self.dtype.is_float:
            raise fail(f"number: a whole tensor of integers is expected; got {'a part' if self._ptr is None else self!r}")
        if len(indices) != len(self.shape):
            raise fail(f"number: an index for each of {len(self.shape)} axes is expected; got {len(indices)}")
        offset = sum((i * stride for i, stride in zip(indices, self._strides)), 0)
        kind = ir.IntegerType.get_signless(self.dtype.bytes * 8)
        value = emit("load_scalar", {"ptr": self._ptr, "offset": Index.of(offset).value()}, (kind,)).result
        return Index({arith.index_cast(ir.IndexType.get(), value, loc=location()): 1})

    def __getitem__(self, key: object) -> "View":
        """A part: slices a:b (b - a is its size), `:` for all of an axis, an integer for one element of an axis."""
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > len(self.shape):
            raise fail(f"{len(keys)} indices for a view of {len(self.shape)} axes")
        keys = (*keys, *[slice(None)] * (len(self.shape) - len(keys)))
        spans = [_span(k, n, "view") for k, n in zip(keys, self.shape)]
        sizes = tuple(size for _, size in spans)
        record = t.View(tuple(n if isinstance(n, int) else None for n in sizes), self.dtype, "partition_tensor_view")
        operands = {"source": self.value, "offsets": [Index.of(o).value() for o, _ in spans], "sizes": [Index.of(n).value() for n in sizes]}
        return View(emit("partition_view", operands, (typed(record),)).result, sizes, self.dtype)


def _two(key: object) -> tuple[object, object]:
    if not isinstance(key, tuple) or len(key) != 2:
        raise fail("a part of a tile is named by two slices: tile[a:b, c:d]")
    return key


def _span(key: object, extent: Number, what: str) -> tuple[Number, Number]:
    """Offset and size that a slice or an integer names."""
    if isinstance(key, slice):
        if key.step is not None:
            raise fail(f"a part of a {what} has no step")
        start = 0 if key.start is None else key.start
        stop = extent if key.stop is None else key.stop
        size = stop - start
        for n in (start, size):
            if isinstance(n, int) and n < 0:
                raise fail(f"a part of a {what} must lie inside it; got {start}:{stop} of {extent}")
        if all(isinstance(n, int) for n in (stop, extent)) and stop > extent:
            raise fail(f"a part of a {what} must lie inside it; got {start}:{stop} of {extent}")
        return start, size
    Index.of(key)
    if isinstance(key, int) and not (0 <= key and (not isinstance(extent, int) or key < extent)):
        raise fail(f"an element of a {what} must lie inside it, counted from 0; got {key} of {extent}")
    return key, 1
