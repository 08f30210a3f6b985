"""Links of a mesh in the simulator IR.

A direction of travel is a ring of slots between two blocks: a send takes a slot of the neighbour's buffer, stores into it and counts; a
receive waits for the count, loads and gives the slot back.  Slot pipes do the same between the cores of a block.
"""

from typing import Any

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.op import Record, record
from ptoc.dialect.ops import links
from ptoc.dialect.sim import sim_type
from ptoc.machine.mesh import OPPOSITE, Mesh, link_flags

from .to_sim import Stream, command, lower_op

BUFFER = "link"
"""The memory that receive buffers lie in."""


def _mesh(stream: Stream, rec: Record) -> Mesh:
    if stream.mesh is None:
        raise NotSupportedError(f"'{rec.cls.spelling}': the chip has no mesh; choose one that has links with --chip", rec.location)
    return stream.mesh


def _link(stream: Stream, rec: Record, travel: str) -> tuple[ir.Value, dict[str, Any]]:
    """(ring, facts of a region in it) of what travels in a direction; the ring is made where the function begins."""
    mesh, axis = _mesh(stream, rec), rec.attributes.get("axis", 0)
    name = f"link.{axis}{travel}.{stream.kind}"
    if (axis, travel) not in stream.links:
        ready, free = link_flags(axis, travel)
        facts = {"slots": mesh.slots, "slot_bytes": mesh.slot_bytes, "period": 1, "flag_ready": ready, "flag_free": free}
        with ir.InsertionPoint.at_block_begin(stream.entry):
            made = stream.emit("channel", [], (sim_type("ring"),), channel=name, producer=stream.kind, link=travel, axis=axis, on_chip=BUFFER, **facts)
        stream.links[axis, travel] = made.result
    return stream.links[axis, travel], {"ring": name, "axis": axis}


def _slot(stream: Stream, rec: Record, offset: ir.Value, facts: dict[str, Any], toward: str | None) -> ir.Value:
    """The slot that a message lies in, row by row whatever its tile's layout: at this block, or `toward` a neighbour."""
    tile = rec.tile(rec.cls.tile)
    if tile.bytes > stream.mesh.slot_bytes:
        raise NotSupportedError(
            f"'{rec.cls.spelling}': a message is at most {stream.mesh.slot_bytes} bytes, one slot of the receiver's buffer; got {tile.bytes} ({tile.rows}x{tile.cols}x{tile.dtype})",
            rec.location,
        )
    owner = rec.operands[rec.cls.tile].owner
    sizes = stream.valid(record(owner) if isinstance(owner, ir.Operation | ir.OpView) else rec, rec.cls.tile, tile)
    plain = {"dtype": tile.dtype.name, "rows": tile.rows, "cols": tile.cols, "blayout": "row_major", "slayout": "none_box", "fractal": 512}
    return stream.emit("tile", [offset, *sizes], (sim_type("ref"),), memory=BUFFER, toward=toward, **facts, **plain).result


@lower_op.register
def _send(op: links.TSend, stream: Stream, rec: Record) -> None:
    direction, pipe = rec.attributes["dir"], rec.cls.pipe_of(rec)
    ring, facts = _link(stream, rec, direction)
    offset = stream.emit("acquire", [ring], (ir.IndexType.get(),), pipe=pipe).result
    command(stream, rec, pipe, {"slot": _slot(stream, rec, offset, facts, direction)}, writes=("slot",))
    stream.emit("push", [ring], pipe=pipe)


@lower_op.register
def _recv(op: links.TRecv, stream: Stream, rec: Record) -> None:
    ring, facts = _link(stream, rec, OPPOSITE[rec.attributes["dir"]])
    offset = stream.emit("take", [ring], (ir.IndexType.get(),), pipe=rec.cls.pipe).result
    command(stream, rec, rec.cls.pipe, {"slot": _slot(stream, rec, offset, facts, None)}, reads=("slot",))
    stream.emit("release", [ring], pipe=rec.cls.pipe)


@lower_op.register
def _mesh_idx(op: links.GetMeshIdx, stream: Stream, rec: Record) -> None:
    block, pes = stream.emit("id", [], (ir.IndexType.get(),), of="block_idx").result, stream.index(_mesh(stream, rec).pes)
    value = (arith.divui if rec.attributes["axis"] else arith.remui)(block, pes)
    stream.values[op.result] = arith.index_cast(op.result.type, value)
