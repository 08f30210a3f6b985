"""Structure ops in C++: tiles, views, program ids, sections; everything else goes to `calls.emit_call`.

`emit_op` is a visitor over the op classes; control flow registers its own in `control`.
"""

from functools import singledispatch

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import PtoOp, Record, record
from ptoc.dialect.ops import structure as s

from . import tiles, views
from .calls import emit_call
from .scalars import cpp_type, emit_arith
from .writer import Writer, origin_of, source_of, tile_origin

MACROS = {"cube": "__DAV_CUBE__", "vector": "__DAV_VEC__"}
"""What the NPU compiler defines while it compiles for a kind of core."""

PROGRAM_IDS = {
    s.GetBlockIdx: ("block", "get_block_idx()"),
    s.GetBlockNum: ("num_blocks", "get_block_num()"),
    s.GetSubblockIdx: ("subblock", "get_subblockid()"),
    s.GetSubblockNum: ("num_subblocks", "get_subblockdim()"),
}
"""Variable name and C++ of the program ids.  Source: pto-isa, include/pto/common/cpu_stub.hpp and the NPU compiler's built-ins."""


@singledispatch
def emit_op(op: ir.OpView, w: Writer) -> None:
    """Writes one op.  Raises NotSupportedError for an op that has no C++ form."""
    if op.operation.name.startswith("arith."):
        emit_arith(op, w)
        return
    raise NotSupportedError(f"'{op.operation.name}' has no C++ form", source_of(op))


def emit_block(block: ir.Block, w: Writer) -> None:
    """Writes all ops of a block but its terminator, which the op around it knows how to write."""
    for op in block.operations:
        if op.operation.name not in ("scf.yield", "scf.condition", "func.return"):
            emit_op(op, w)


emit_op.register(PtoOp)(emit_call)


@emit_op.register
def _(op: func.CallOp, w: Writer) -> None:
    arguments = ", ".join(w.of(v) for v in op.operation.operands)
    w.line(f"{op.operation.attributes['callee'].value}({arguments});", op)


@emit_op.register(s.GetBlockIdx)
@emit_op.register(s.GetBlockNum)
@emit_op.register(s.GetSubblockIdx)
@emit_op.register(s.GetSubblockNum)
def _(op: PtoOp, w: Writer) -> None:
    result = op.operation.results[0]
    hint, text = PROGRAM_IDS[type(op)]
    w.line(f"const {cpp_type(result.type)} {w.name(result, hint)} = {text};", op)


@emit_op.register
def _(op: s.AllocTile, w: Writer) -> None:
    rec = record(op.operation)
    tile = rec.types["result"]
    address = tiles.fixed_address(rec.operands.get("addr"), op)
    result = rec.results["result"]
    name = tiles.declare(result, tile, _valid(rec, tile, w, op), w, op)
    tiles.assign(name, address, tile, w)
    w.addresses[result] = address


def _valid(rec: Record, tile: t.Tile, w: Writer, op: ir.OpView) -> list[str]:
    return tiles.valid_sizes(tile, rec.operands.get("valid_row"), rec.operands.get("valid_col"), w, op)


@emit_op.register
def _(op: s.AllocMultiTile, w: Writer) -> None:
    rec = record(op.operation)
    multi = rec.types["result"]
    address = tiles.fixed_address(rec.operands.get("addr"), op)
    result = rec.results["result"]
    step = tiles.slot_bytes(multi.tile, w)
    base = w.name(result, f"{tile_origin(result, w) or multi.tile.memory}_slots")
    stride = w.fresh(f"{base}_stride")
    memory = tiles.MEMORY_NAMES[multi.tile.memory]
    end = address + step * multi.count
    w.line(
        f"constexpr uint64_t {base} = {address:#x};",
        op,
        comment=f"{multi.count} slots of {step} bytes: {memory} bytes {address} to {end - 1}",
    )
    w.line(
        f"constexpr uint64_t {stride} = {step:#x};",
        comment=f"{multi.tile.rows} x {multi.tile.cols} x {multi.tile.dtype.bytes} bytes, aligned",
    )
    w.slots[result] = (base, stride, _valid(rec, multi.tile, w, op))


@emit_op.register
def _(op: s.MultiTileGet, w: Writer) -> None:
    rec = record(op.operation)
    base, stride, valid = w.slots[rec.operands["source"]]
    tile, result = rec.types["result"], rec.results["result"]
    index = w.of(rec.operands["index"])
    name = tiles.declare(result, tile, valid, w, op, f"{base.removesuffix('_slots')}_tile")
    address = f"{base} + {index} * {stride}"
    tiles.assign(name, address, tile, w, f"slot {index} of {rec.types['source'].count}")
    w.addresses[result] = address


@emit_op.register
def _(op: s.Subview, w: Writer) -> None:
    rec = record(op.operation)
    source, result = rec.operands["source"], rec.results["result"]
    whole, part = rec.types["source"], rec.types["result"]
    row, col = (views.number_or_name(v, w) for v in rec.operands["offsets"])
    whole, part = tiles.on_chip(whole, w.chip.arch), tiles.on_chip(part, w.chip.arch)
    storage = tiles.storage_of_part(part, whole)
    name = tiles.declare(result, storage, _valid(rec, storage, w, op), w, op, f"{w.of(source)}_part")
    offset, formula = tiles.part_offset(whole, row, col)
    address = f"{address_of(source, w)} + {offset}"
    tiles.assign(name, address, storage, w, f"element ({row}, {col}) of {w.of(source)}: {formula}")
    w.addresses[result] = address


@emit_op.register
def _(op: s.TReshape, w: Writer) -> None:
    rec = record(op.operation)
    source, result = rec.operands["src"], rec.results["result"]
    name = tiles.declare(result, rec.types["result"], [], w, op, f"{w.of(source)}_reshaped")
    address = address_of(source, w)
    tiles.assign(name, address, rec.types["result"], w, f"the bytes of {w.of(source)}")
    w.addresses[result] = address


def address_of(tile: ir.Value, w: Writer) -> str:
    """The byte address of a tile: known from its allocation, else asked from the tile object."""
    address = w.addresses.get(tile)
    if address is None:
        return f"(uint64_t){w.of(tile)}.data()"
    return f"{address:#x}" if isinstance(address, int) else address


@emit_op.register
def _(op: s.MakeTensorView, w: Writer) -> None:
    rec = record(op.operation)
    pointer, result = rec.operands["ptr"], rec.results["result"]
    shape = tuple(views.number_or_name(v, w) for v in rec.operands["shape"])
    strides = tuple(views.number_or_name(v, w) for v in rec.operands["strides"])
    dtype = rec.types["result"].dtype
    layout = views.layout_of(shape, strides, dtype, rec.attributes.get("layout"))
    w.views[result] = views.GmView(w.of(pointer), dtype, shape, strides, layout)
    if views.needs_object(result):
        views.global_tensor(result, w.views[result], [], w, op)


@emit_op.register
def _(op: s.PartitionView, w: Writer) -> None:
    rec = record(op.operation)
    source, result = views.view_of(rec.operands["source"], w, op), rec.results["result"]
    offsets = [views.number_or_name(v, w) for v in rec.operands["offsets"]]
    shape = tuple(views.number_or_name(v, w) for v in rec.operands["sizes"])
    written = source.layout if source.layout in ("NZ", "DN") else None
    layout = views.layout_of(shape, source.strides, source.dtype, written)
    pairs = list(zip(offsets, source.strides))
    if views.needs_object(result):
        views.global_tensor(result, views.GmView(source.pointer, source.dtype, shape, source.strides, layout), pairs, w, op)
        w.views[result] = views.GmView(f"{w.of(result)}.data()", source.dtype, shape, source.strides, layout)
        return
    pointer = w.name(result, f"{origin_of(result, w) or 'gm'}_part")
    w.line(f"__gm__ {source.dtype.cpp}* {pointer} = {views.pointer_to(source.pointer, pairs)};", op)
    w.views[result] = views.GmView(pointer, source.dtype, shape, source.strides, layout)


@emit_op.register
def _(op: s.AddPtr, w: Writer) -> None:
    rec = record(op.operation)
    pointer = w.of(rec.operands["ptr"])
    offset = w.of(rec.operands["offset"])
    result = rec.results["result"]
    name = w.name(result, f"{origin_of(result, w) or 'gm'}_moved")
    w.line(f"{cpp_type(result.type)} {name} = {pointer} + {offset};", op, comment=f"{offset} elements on")


@emit_op.register
def _(op: s.SectionCube, w: Writer) -> None:
    _section("cube", op, w)


@emit_op.register
def _(op: s.SectionVector, w: Writer) -> None:
    _section("vector", op, w)


def _section(kind: str, op: PtoOp, w: Writer) -> None:
    """A part of its own scope: both kinds may use the same names."""
    taken, w.taken = w.taken, set(w.taken)
    w.line("{", op, comment="cube core" if kind == "cube" else "vector cores")
    with w.indented():
        guarded(kind, list(op.operation.regions[0].blocks), w)
    w.line("}")
    w.taken = taken


def guarded(kind: str, blocks: list[ir.Block], w: Writer) -> None:
    """Blocks that one kind of core compiles, with the prologue of that kind."""
    w.lines.append(f"#if defined({MACROS[kind]})")
    w.kind = kind
    alone = kind == "vector" and w.vector_cores == 1
    if alone:
        w.line("if (get_subblockid() == 0) {", comment="a pipe that is not split goes to vector core 0 alone")
        w.depth += 1
    if kind == "vector":
        w.line("set_mask_norm();", comment="vector instructions work on all lanes until one sets a mask")
        w.line("set_vector_mask(-1, -1);")
    for block in blocks:
        emit_block(block, w)
    if alone:
        w.depth -= 1
        w.line("}")
    w.lines.append("#endif")
    w.kind = ""
