"""Slot pipes in the simulator IR: rings, waits, signals, views of slots, and what the tile forms of tpush and tpop do themselves.

A tile form of tpush takes a slot, stores the tile into it and signals.  Through global memory a tile form of tpop waits, loads the slot
into its local buffer and gives the slot back at once.  On chip (a5) the producer writes into the consumer's buffer, tpop only waits, and
tfree gives the slot back.  Source: pto-isa 3186c381, include/pto/npu/{a2a3,a5}/{TPush,TPop,TFree}.hpp.
"""

from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.op import Record, record
from ptoc.dialect.ops import pipe_values, pipes
from ptoc.dialect.pipe_facts import C2V, V2C
from ptoc.dialect.sim import sim_type

from .to_sim import Stream, command, lower_op

SIGNALS = {"aic": "FIX", "aiv": "MTE3"}
"""The pipe that a producer signals from.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TPush.hpp (record)."""

FREES = {"aic": "MTE1", "aiv": "V"}
"""The pipe of a consumer that waits for an on-chip slot and gives it back.  Source: pto-isa 3186c381, include/pto/npu/a5/TPush.hpp (wait, free)."""

LOADS = "MTE2"
"""The pipe that loads slots out of global memory, and reports them free.  Source: the same, a2a3 (free) and a5 (wait)."""

OTHER = {"aic": "aiv", "aiv": "aic"}
CONSUMER_MEMORY = {"aic": "ub", "aiv": "l1"}
"""Kind of producer to the memory of the consumer's buffer."""

DIRECTIONS = {1: "aic", 2: "aiv"}
"""Bit of dir_mask to the kind of core that produces."""


@lower_op.register(pipe_values.InitializeL2g2lPipe)
@lower_op.register(pipe_values.InitializeL2lPipe)
def _pipe(op: Any, stream: Stream, rec: Record) -> None:
    facts = rec.attributes
    flag = facts["flag_base"]
    name = facts.get("name", f"pipe{flag}")
    for bit, producer in DIRECTIONS.items():
        if not facts["dir_mask"] & bit:
            continue
        made = stream.emit(
            "channel",
            [],
            (sim_type("ring"),),
            channel=name if facts["dir_mask"] != 3 else f"{name}.{producer}",
            producer=producer,
            slots=facts["slot_num"],
            slot_bytes=facts["slot_size"],
            period=facts["sync_period"],
            flag_ready=flag,
            flag_free=flag + 1,
            on_chip=CONSUMER_MEMORY[producer] if rec.cls.on_chip else None,
        )
        stream.channels[op.pipe_handle, producer] = made.result
        flag += 2


@lower_op.register
def _declare_global(op: pipe_values.DeclareGlobal, stream: Stream, rec: Record) -> None:
    """Nothing: the pipe op that fills the view in makes it."""


@lower_op.register
def _declare_tile(op: pipe_values.DeclareTile, stream: Stream, rec: Record) -> None:
    """Nothing: the pipe op that fills the tile in makes it."""


@lower_op.register
def _reserve(op: pipes.ReserveBuffer, stream: Stream, rec: Record) -> None:
    stream.values[op.addr] = arith.constant(op.addr.type, _base(rec))


@lower_op.register
def _import(op: pipes.ImportReservedBuffer, stream: Stream, rec: Record) -> None:
    stream.values[op.addr] = arith.constant(op.addr.type, _base(_reserved(rec)))


def _base(rec: Record) -> int:
    if "base" not in rec.attributes:
        raise NotSupportedError(f"'{rec.cls.spelling}': the buffer has no address; run plan-memory first", rec.location)
    return rec.attributes["base"]


def _reserved(rec: Record) -> Record:
    """The reserve_buffer that an import names."""
    root = rec.op
    while root.parent is not None:
        root = root.parent.operation
    found: list[Record] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "pto.reserve_buffer" and ir.StringAttr(op.attributes["name"]).value == rec.attributes["name"]:
            found.append(record(op))
        return ir.WalkResult.ADVANCE

    root.walk(visit)
    if not found:
        raise NotSupportedError(f"'{rec.cls.spelling}': no pto.reserve_buffer is named '{rec.attributes['name']}'", rec.location)
    return found[0]


@lower_op.register
def _talloc(op: pipe_values.TAlloc, stream: Stream, rec: Record) -> None:
    slot = _acquire(stream, rec)
    stream.values[op.entry] = _entry(stream, rec, "entry", slot, stream.kind)


def _acquire(stream: Stream, rec: Record) -> ir.Value:
    """The next slot to fill; on a5 the pipe that fills it waits, on a3 the scalar unit."""
    pipe = SIGNALS[stream.kind] if stream.arch == "a5" else None
    return stream.emit("acquire", [_ring(stream, rec, stream.kind)], (ir.IndexType.get(),), pipe=pipe).result


@lower_op.register
def _tpush(op: pipe_values.TPush, stream: Stream, rec: Record) -> None:
    ring, signal = _ring(stream, rec, stream.kind), SIGNALS[stream.kind]
    if isinstance(rec.types["tile"], t.Tile):
        slot = _acquire(stream, rec)
        slots = _remote(stream, rec, slot) if _on_chip(rec) else {"slot": _entry(stream, rec, "tile", slot, stream.kind)}
        command(stream, rec, rec.cls.pipe_of(rec), slots, writes=tuple(slots))
    stream.emit("push", [ring], pipe=signal)


@lower_op.register
def _tpop(op: pipe_values.TPop, stream: Stream, rec: Record) -> None:
    producer, on_chip = OTHER[stream.kind], _on_chip(rec)
    ring = _ring(stream, rec, producer)
    waiting = (FREES[stream.kind] if on_chip else LOADS) if stream.arch == "a5" else None
    slot = stream.emit("take", [ring], (ir.IndexType.get(),), pipe=waiting).result
    if on_chip:
        stream.values[op.tile] = _slot_tile(stream, rec, slot)
        return
    view = _entry(stream, rec, "tile", slot, producer)
    if not isinstance(rec.types["tile"], t.Tile):
        stream.values[op.tile] = view
        return
    stream.values[op.tile] = _local(stream, rec, ring, producer)
    command(stream, rec, rec.cls.pipe_of(rec), {"slot": view}, reads=("slot",))
    stream.emit("release", [ring], pipe=LOADS)


@lower_op.register
def _tfree(op: pipe_values.TFree, stream: Stream, rec: Record) -> None:
    """Signals from the pipe that loads; a tile's slot in global memory was given back when it was popped.  On a3 one without an entry does nothing."""
    ring = _ring(stream, rec, OTHER[stream.kind])
    if _on_chip(rec):
        stream.emit("release", [ring], pipe=FREES[stream.kind])
    elif not _pops_tiles(stream, rec):
        nameless = stream.arch == "a3" and rec.operands.get("entry") is None
        stream.emit("release", [ring], pipe=LOADS, unnamed=True if nameless else None)


@lower_op.register
def _set_ffts(op: pipes.SetFfts, stream: Stream, rec: Record) -> None:
    """Nothing: cores of the simulator know how to signal one another."""


def _on_chip(rec: Record) -> bool:
    return record(rec.cls.maker(rec)).cls.on_chip


def _slot_tile(stream: Stream, rec: Record, slot: ir.Value) -> ir.Value:
    """The popped tile in this core's part of an on-chip ring."""
    tile = rec.tile("tile")
    sizes = stream.valid(record(rec.operands["tile"].owner), "the tile", tile)
    return _ring_tile(stream, rec, OTHER[stream.kind], slot, sizes, stream.layout(tile))


def _remote(stream: Stream, rec: Record, slot: ir.Value) -> dict[str, ir.Value]:
    """Where a pushed tile goes on the consumer's side: a slot of each vector core (halves where split), or a part of the cube's."""
    tile, split = rec.tile("tile"), rec.attributes.get("split", 0)
    rows, cols = _sizes(stream, rec, "tile")
    two = stream.index(2)
    if stream.kind == "aic":
        row_parts, col_parts = (2 if split == 1 else 1), (2 if split == 2 else 1)
        layout = stream.layout(tile) | {"blayout": "row_major", "slayout": "none_box", "fractal": 512}
        layout |= {"rows": tile.rows // row_parts, "cols": tile.cols // col_parts}
        sizes = [arith.divui(rows, two) if split == 1 else rows, arith.divui(cols, two) if split == 2 else cols]
        names = ["slot0", "slot1"] if split else ["slot"]
        return {name: _ring_tile(stream, rec, "aic", slot, sizes, layout, sub) for sub, name in enumerate(names)}
    sub = stream.emit("id", [], (ir.IndexType.get(),), of="subblock_idx").result
    layout = stream.layout(tile) | {"blayout": "col_major", "slayout": "row_major", "fractal": 512}
    layout |= {"rows": tile.rows * (2 if split == 1 else 1), "cols": tile.cols * (2 if split == 2 else 1)}
    whole = [arith.muli(rows, two) if split == 1 else rows, arith.muli(cols, two) if split == 2 else cols]
    region = _ring_tile(stream, rec, "aiv", slot, whole, layout, 0)
    zero = stream.index(0)
    begin = [arith.muli(sub, rows) if split == 1 else zero, arith.muli(sub, cols) if split == 2 else zero]
    return {"slot": stream.emit("part", [region, *begin, rows, cols], (sim_type("ref"),)).result}


def _ring_tile(
    stream: Stream, rec: Record, producer: str, slot: ir.Value, sizes: list[ir.Value], layout: dict[str, Any], owner: int | None = None
) -> ir.Value:
    """A tile region in an on-chip ring; `owner`: the number of the consumer core, this core's own where it is absent."""
    facts = record(rec.operands["pipe_handle"].owner).attributes
    name = facts.get("name", f"pipe{facts['flag_base']}")
    ring = name if facts["dir_mask"] != 3 else f"{name}.{producer}"
    memory = CONSUMER_MEMORY[producer]
    return stream.emit("tile", [slot, *sizes], (sim_type("ref"),), memory=memory, ring=ring, owner=owner, **layout).result


def _pops_tiles(stream: Stream, rec: Record) -> bool:
    """True where the pops of a pipe on this kind of core fill tiles."""
    users = [use.owner.operation for use in rec.operands["pipe_handle"].uses]
    pops = [record(op) for op in users if op.name == pipe_values.TPop.OPERATION_NAME]
    return any(isinstance(pop.types["tile"], t.Tile) for pop in pops if stream.kind in ("aic", "aiv") and _runs_here(pop.op, stream.kind))


def _runs_here(op: ir.Operation, kind: str) -> bool:
    """Whether an op stands outside of the sections of the other kind of core."""
    other = {"aic": "pto.section_vector", "aiv": "pto.section_cube"}[kind]
    while op.name not in ("func.func", other):
        op = op.parent.operation
    return op.name != other


def _ring(stream: Stream, rec: Record, producer: str) -> ir.Value:
    ring = stream.channels.get((rec.operands["pipe_handle"], producer))
    if ring is None:
        raise NotSupportedError(f"'{rec.cls.spelling}': the pipe has no direction from {producer} to {OTHER[producer]}", rec.location)
    return ring


def _entry(stream: Stream, rec: Record, name: str, slot: ir.Value, producer: str) -> ir.Value:
    """The view of a slot: the pipe's ring in global memory, the slot's offset, and the part of this vector core."""
    kind, pipe = rec.types[name], record(rec.operands["pipe_handle"].owner)
    rows, cols = _sizes(stream, rec, name)
    pointer = stream.value(pipe.operands["gm_addr"])
    type_, size, facts = pointer.type, kind.dtype.bytes, pipe.attributes
    if facts["dir_mask"] == 3 and producer == "aiv":
        slot = arith.addi(slot, stream.index(facts["slot_num"] * facts["slot_size"]))
    pointer = stream.emit("advance", [pointer, slot], (type_,), unit=1).result
    pitch, split = cols, rec.attributes.get("split", 0)
    if split and stream.kind == "aiv":
        part = arith.muli(rows, cols) if split == 1 else cols
        pitch = cols if split == 1 else arith.addi(cols, cols)
        sub = stream.emit("id", [], (ir.IndexType.get(),), of="subblock_idx").result
        pointer = stream.emit("advance", [pointer, arith.muli(sub, part)], (type_,), unit=size).result
    made = stream.emit("view", [pointer, rows, cols, pitch, stream.index(1)], (sim_type("ref"),), [1, 2, 2], dtype=kind.dtype.name)
    return made.result


def _sizes(stream: Stream, rec: Record, name: str) -> list[ir.Value]:
    """Rows and columns of an entry, or valid rows and columns of a tile."""
    kind = rec.types[name]
    if not isinstance(kind, t.Tile):
        return [stream.index(n) for n in kind.shape]
    owner = rec.operands[name].owner
    return stream.valid(record(owner) if isinstance(owner, ir.Operation | ir.OpView) else rec, name, kind)


def _local(stream: Stream, rec: Record, ring: ir.Value, producer: str) -> ir.Value:
    """The tile in the consumer's buffer that a pop fills: local slot number = pops before it mod local slots, slot_size bytes apart."""
    pipe = record(rec.operands["pipe_handle"].owner)
    where = pipe.cls.buffer(pipe, C2V if producer == "aic" else V2C)
    if where is None:
        raise NotSupportedError(f"'{rec.cls.spelling}': a popped tile needs a consumer buffer on its pipe", rec.location)
    offset = stream.emit("local", [ring], (ir.IndexType.get(),), slots=pipe.attributes["local_slot_num"]).result
    address = arith.addi(stream.index(where), offset)
    return stream.tile(record(rec.operands["tile"].owner), "the tile", rec.tile("tile"), address)
