"""An op's work as text, where its sizes are known when compiling: `vadd.f32 x 128; | vmax.f32 x 4` (a bar: a barrier before)."""

from ptoc.dialect import types as t
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record, plain
from ptoc.dialect.op import record as record_op
from ptoc.machine.work import Cube, Scalar, Sdma, Transfer, Vector, WorkItem


def static_work(rec: Record) -> tuple[WorkItem, ...] | None:
    """The work of an op whose operands all have sizes that are known when compiling, None for others and for ops that issue no command.

    A view counts as dense where the type of the tile that it is moved to or from gives its size: runs of one row each.
    """
    if not rec.cls.pipe_of(rec):
        return None
    refs: dict[str, TileRef | ViewRef] = {}
    for name, record in rec.types.items():
        if isinstance(record, t.Tile):
            if None in record.valid:
                return None
            refs[name] = TileRef(
                record.memory, 0, record.dtype.name, record.rows, record.cols, record.blayout, record.slayout, record.fractal, 0, 0, *record.valid
            )
        elif isinstance(record, t.View):
            strides = _strides(rec.operands.get(name))
            if None in record.shape or strides is None:
                return None
            refs[name] = ViewRef("gm", 0, record.dtype.name, record.shape, strides)
    return rec.cls.work(refs, rec.attributes) if refs else None


def _strides(view: ir.Value | None) -> tuple[int, ...] | None:
    """The strides of a view, through slices to where it was made; None where they are not constants."""
    while isinstance(view, ir.Value) and isinstance(view.owner, ir.Operation | ir.OpView) and view.owner.name == "pto.partition_view":
        view = record_of(view).operands["source"]
    if view is None or not isinstance(view.owner, ir.Operation | ir.OpView):
        return None
    if view.owner.name == "pto.declare_global":
        *_, cols = t.of(view.type).shape
        return (cols, 1)
    if view.owner.name != "pto.make_tensor_view":
        return None
    owners = [v.owner for v in record_of(view).operands["strides"]]
    if not all(isinstance(o, ir.Operation | ir.OpView) and o.name == "arith.constant" for o in owners):
        return None
    return tuple(plain(o.attributes["value"]) for o in owners)


def record_of(value: ir.Value) -> Record:
    """The record of the op that defines a value."""
    return record_op(value.owner.operation)


def work_text(rec: Record) -> str:
    """The work of an op; "?" where a size is known at run time only."""
    work = static_work(rec)
    return "?" if work is None else format_work(work)


def format_work(items: tuple[WorkItem, ...]) -> str:
    """The text of some work."""
    return "; ".join(_item(item) for item in items)


def _item(item: WorkItem) -> str:
    if isinstance(item, Vector):
        return f"{'| ' if item.barrier else ''}{item.instruction}.{item.dtype} x {item.repeats}"
    if isinstance(item, Cube):
        return f"cube.{item.dtype} {item.m}x{item.k}x{item.n}"
    if isinstance(item, Transfer):
        return f"{item.path} {item.bursts} x {item.burst_bytes} B"
    if isinstance(item, Sdma):
        return f"sdma.{item.domain} {item.bytes} B"
    assert isinstance(item, Scalar)
    return f"scalar x {item.operations}"
