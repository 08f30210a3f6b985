"""Tiles that change under their handle: other valid sizes from here on, another address; extents of views."""

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record, record
from ptoc.dialect.ops import scalar_access
from ptoc.dialect.sim import sim_type

from .to_sim import Stream, lower_op


@lower_op.register
def _set_valid(op: scalar_access.SetValidShape, stream: Stream, rec: Record) -> None:
    """From here on the handle names the region with the new sizes; it must not be used where that depends on the way taken."""
    source = rec.operands["source"]
    outside = _use_outside(rec.op, source)
    if outside is not None:
        raise NotSupportedError(
            f"'{rec.cls.spelling}': the tile is used outside of the loop or branch that changes it; put its alloc_tile into the same block", rec.location
        )
    sizes = [stream.index(rec.operands[k]) for k in ("valid_row", "valid_col")]
    zero = stream.index(0)
    stream.values[source] = stream.emit("part", [stream.value(source), zero, zero, *sizes], (sim_type("ref"),)).result


def _use_outside(op: ir.Operation, value: ir.Value) -> ir.Operation | None:
    """A use of a value that is not in the op's block, where the value was made outside of that block."""
    if value.owner.operation.block == op.block:
        return None
    for use in value.uses:
        user = use.owner.operation
        while user is not None and user.block != op.block:
            parent = user.parent
            user = parent.operation if parent is not None and parent.operation.name != "builtin.module" else None
        if user is None:
            return use.owner.operation
    return None


@lower_op.register
def _assign(op: scalar_access.TAssign, stream: Stream, rec: Record) -> None:
    owner = record(rec.operands["tile"].owner)
    stream.values[op.result] = stream.tile(owner, "the tile", rec.tile("result"), stream.index(rec.operands["addr"]))


@lower_op.register
def _dim(op: scalar_access.GetTensorViewDim, stream: Stream, rec: Record) -> None:
    """The operand of the view's maker."""
    maker, index = rec.operands["tensor_view"].owner, rec.operands["dim_index"].owner
    if not isinstance(maker, ir.Operation | ir.OpView) or maker.name not in ("pto.make_tensor_view", "pto.partition_view"):
        raise NotSupportedError(f"'{rec.cls.spelling}': the view must come from make_tensor_view or partition_view", rec.location)
    if not isinstance(index, ir.Operation | ir.OpView) or index.name != "arith.constant":
        raise NotSupportedError(f"'{rec.cls.spelling}': the dimension must be a constant", rec.location)
    sizes = record(maker.operation).operands["shape" if maker.name == "pto.make_tensor_view" else "sizes"]
    stream.values[op.result] = stream.index(sizes[ir.IntegerAttr(index.attributes["value"]).value])
