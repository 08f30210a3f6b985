"""An op's work as text, where its sizes are known when compiling: `vadd.f32 x 128; | vmax.f32 x 4` (a bar: a barrier before)."""

from ptoc.dialect import types as t
from ptoc.dialect.layout import TileRef
from ptoc.dialect.op import Record
from ptoc.machine.work import Cube, Scalar, Transfer, Vector, WorkItem


def work_text(rec: Record, arch: str) -> str:
    """The work of an op whose operands all have known sizes; "?" where one is known at run time only."""
    refs = {}
    for name, record in rec.types.items():
        if isinstance(record, t.Tile):
            if None in record.valid:
                return "?"
            refs[name] = TileRef(
                record.memory, 0, record.dtype.name, record.rows, record.cols, record.blayout, record.slayout, record.fractal, 0, 0, *record.valid
            )
        elif isinstance(record, t.View):
            return "?"
    return format_work(rec.cls.work(refs, rec.attributes))


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
    assert isinstance(item, Scalar)
    return f"scalar x {item.operations}"
