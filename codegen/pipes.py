"""Slot pipes in C++: the library's `TPipe` objects and its TALLOC, TPUSH, TPOP, TFREE on tiles or on views of slots.

Source: pto-isa 3186c381, include/pto/common/fifo.hpp (Direction, TileSplitAxis), include/pto/npu/{a2a3,a5}/{TPush,TPop,TAlloc,TFree}.hpp.
"""

from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record, record
from ptoc.dialect.ops import pipe_values as v
from ptoc.dialect.ops import pipes as p
from ptoc.dialect.pipe_facts import C2V, SPLITS, V2C, library_period

from . import tiles, views
from .structure import emit_op
from .writer import GmView, Writer, origin_of, source_of

DIRECTIONS = {C2V: "DIR_C2V", V2C: "DIR_V2C", C2V | V2C: "DIR_BOTH"}
ON_CPU = "__CPU_SIM"
"""What the library's CPU build defines."""


@emit_op.register(v.InitializeL2g2lPipe)
@emit_op.register(v.InitializeL2lPipe)
def _(op: Any, w: Writer) -> None:
    rec = record(op.operation)
    facts = rec.attributes
    missing = [key for key in ("flag_base", "slot_num") if key not in facts]
    if missing:
        raise NotSupportedError(f"a pipe without {missing[0]} has no C++ form: run 'lower-pipes' first", source_of(op))
    slots = facts["slot_num"]
    period = facts.get("sync_period", library_period(slots))
    if period != library_period(slots):
        raise NotSupportedError(
            f"sync_period {period} of {slots} slots is simulated only: the library acknowledges every {library_period(slots)} slots",
            source_of(op),
        )
    template = [
        facts["flag_base"],
        f"Direction::{_direction(rec, w)}",
        facts["slot_size"],
        slots,
        facts.get("local_slot_num", slots),
        str(facts.get("nosplit", False)).lower(),
    ]
    text = f"TPipe<{', '.join(map(str, template))}>"
    label = "_".join(part.capitalize() for part in facts.get("name", "pipe").split("_")) + "Pipe"
    kind = w.alias(text, label, "flags from, direction, bytes of a slot, slots, slots on chip, not split")
    result = rec.results["pipe_handle"]
    name = w.name(result, facts.get("name", "pipe"))
    ways = [way for way in (C2V, V2C) if facts["dir_mask"] & way]
    buffers = {way: rec.cls.buffer(rec, way) for way in ways}
    local, peer = (w.of(buffers[way]) if buffers.get(way) is not None else "0" for way in (C2V, V2C))
    w.types[result] = kind
    remark = f"{slots} slots of {facts['slot_size']} bytes; on chip at {local} (vector side), {peer} (cube side)"
    w.line(
        f"{kind} {name}({w.of(rec.operands['gm_addr']) if 'gm_addr' in rec.operands else 'nullptr'}, {local}, {peer});", op, comment=remark
    )


def _direction(rec: Record, w: Writer) -> str:
    """The library's name of where a pipe goes and where its slots lie.  Raises NotSupportedError where the library's own form is broken."""
    both = rec.attributes["dir_mask"] == C2V | V2C
    if both and not rec.cls.on_chip and w.chip.arch == "a5":
        raise NotSupportedError(
            "a pipe of both directions through global memory has no C++ for a5: the library's DIR_BOTH_GM moves no tile; use two one-way pipes", rec.location
        )
    if both and any(use.owner.operation.name == v.TAlloc.OPERATION_NAME for use in rec.results["pipe_handle"].uses):
        raise NotSupportedError(
            "views of slots of a pipe of both directions have no C++: the library gives both directions the same slots; use two one-way pipes", rec.location
        )
    return DIRECTIONS[rec.attributes["dir_mask"]] + ("_GM" if w.chip.arch == "a5" and not rec.cls.on_chip else "")


@emit_op.register
def _(op: v.DeclareTile, w: Writer) -> None:
    rec = record(op.operation)
    tile = rec.types["tile"]
    valid = tiles.valid_sizes(tile, rec.operands.get("valid_row"), rec.operands.get("valid_col"), w, op)
    tiles.declare(rec.results["tile"], tile, valid, w, op)


@emit_op.register
def _(op: v.DeclareGlobal, w: Writer) -> None:
    rec = record(op.operation)
    value, kind = rec.results["entry"], rec.types["entry"]
    if None in kind.shape:
        raise NotSupportedError(f"an entry of a pipe needs static sizes; got {kind}", source_of(op))
    # The vector cores share a slot: of one split left and right each has the columns of half a row.
    halved = w.kind == "vector" and _split_of(value) == 2
    view = GmView("", kind.dtype, kind.shape, _strides(kind.shape, 2 if halved else 1), "ND")
    type_ = views.tensor_type(view, "ND", w)
    name = w.name(value, f"{origin_of(value, w)}_entry")
    w.line(f"{type_} {name};", op)
    w.types[value] = type_
    w.views[value] = GmView(f"{name}.data()", kind.dtype, kind.shape, view.strides, "ND")


def _strides(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.insert(0, strides[0] * extent * (parts if len(strides) == 1 else 1))
    return tuple(strides)


def _split_of(entry: ir.Value) -> int:
    uses = [record(use.owner.operation) for use in entry.uses if use.owner.operation.name in ("pto.talloc", "pto.tpop")]
    return uses[0].attributes.get("split", 0) if uses else 0


@emit_op.register(v.TAlloc)
@emit_op.register(v.TPush)
@emit_op.register(v.TPop)
@emit_op.register(v.TFree)
def _(op: Any, w: Writer) -> None:
    rec = record(op.operation)
    pipe = rec.operands["pipe_handle"]
    what = rec.operands.get("entry", rec.operands.get("tile"))
    if rec.cls.role == "free" and what is not None and isinstance(t.of(what.type), t.Tile):
        what = None  # the library frees a tile without naming it
    split = f"TileSplitAxis::{SPLITS[rec.attributes.get('split', 0)]}"
    types = [w.types[pipe], *([_type_of(what, rec, w)] if what is not None else []), split]
    arguments = [w.of(pipe), *([w.of(what)] if what is not None else [])]
    call = rec.cls.__name__.upper()
    # On a5 popping a tile from global memory frees its slot, and a free behind it would free another one; the CPU build wants it all the same.
    twice = rec.cls.role == "free" and what is None and w.chip.arch == "a5" and not record(rec.cls.maker(rec)).cls.on_chip
    if twice:
        w.lines.append(f"#ifdef {ON_CPU}")
    w.line(f"{call}<{', '.join(types)}>({', '.join(arguments)});", op, rec.cls.pipe_of(rec))
    if twice:
        w.lines.append("#endif")


def _type_of(value: ir.Value, rec: Record, w: Writer) -> str:
    kind = t.of(value.type)
    return w.types.get(value) or tiles.tile_type(kind, w)


@emit_op.register
def _(op: p.ReserveBuffer, w: Writer) -> None:
    rec = record(op.operation)
    w.expressions[rec.results["addr"]] = f"{_base(rec):#x}"


@emit_op.register
def _(op: p.ImportReservedBuffer, w: Writer) -> None:
    rec = record(op.operation)
    name, peer = rec.attributes["name"], rec.attributes["peer_func"]
    for found in _reserved(op):
        if found.attributes["name"] == name:
            w.expressions[rec.results["addr"]] = f"{_base(found):#x}"
            return
    raise NotSupportedError(f"no pto.reserve_buffer named '{name}' in function '{peer}'", source_of(op))


def _base(rec: Record) -> int:
    if "base" not in rec.attributes:
        raise NotSupportedError(f"reserved buffer '{rec.attributes['name']}' has no address: run 'plan-memory' first", source_of(rec.op))
    return rec.attributes["base"]


def _reserved(op: Any) -> list[Record]:
    root = op.operation
    while root.parent is not None:
        root = root.parent.operation
    found: list[Record] = []

    def visit(inner: ir.Operation) -> ir.WalkResult:
        if inner.name == "pto.reserve_buffer":
            found.append(record(inner))
        return ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found
