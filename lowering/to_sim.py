"""lower(scheduled pto module) = simulator IR: per function and kind of core one `func.func` of commands.

Leaf ops take one generic branch (their class states engine, reads and writes); structure has a rule per class, by singledispatch.
"""

from functools import singledispatch
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import arith, func, ir, passmanager
from ptoc.dialect.op import PtoOp, Record, plain, record
from ptoc.dialect.ops import structure, sync
from ptoc.dialect.sim import sim_type
from ptoc.machine.mesh import Mesh

from .kinds import core_kinds
from .work_text import work_text

INDEX_ATTRIBUTES = ("op", "pipe", "names", "reads", "writes", "work")


def lower(module: ir.Module) -> ir.Module:
    """The simulator IR of a scheduled module, in the same context.

    Raises: NotSupportedError with its line where an op has no meaning in the simulator.
    """
    arch = ir.StringAttr(module.operation.attributes["pto.target_arch"]).value if "pto.target_arch" in module.operation.attributes else "a3"
    with module.context, ir.Location.unknown():
        result = ir.Module.create()
        result.operation.attributes["sim.arch"] = ir.StringAttr.get(arch)
        mesh = mesh_of(module)
        if mesh is not None:
            result.operation.attributes["sim.mesh"] = module.operation.attributes["pto.mesh"]
        with ir.InsertionPoint(result.body):
            for function in module.body.operations:
                if isinstance(function, func.FuncOp) and not function.is_external:
                    for kind in core_kinds(function):
                        Stream(function, kind, arch, mesh).build()
        passmanager.PassManager.parse("builtin.module(canonicalize,cse)").run(result.operation)
    return result


def mesh_of(module: ir.Module) -> Mesh | None:
    """The mesh that a module is compiled for, None where its chip has none."""
    attributes = module.operation.attributes
    return Mesh(*plain(attributes["pto.mesh"])) if "pto.mesh" in attributes else None


class Stream:
    """The lowering of one function for one kind of core.

    `values`: pto value to sim value; `channels`: pipe and kind of producer to ring; `links`: axis and direction of travel to ring.
    """

    def __init__(self, function: func.FuncOp, kind: str, arch: str, mesh: Mesh | None = None) -> None:
        self.function, self.kind, self.arch, self.mesh = function, kind, arch, mesh
        self.links: dict[tuple[int, str], ir.Value] = {}
        self.values: dict[ir.Value, ir.Value] = {}
        self.channels: dict[tuple[ir.Value, str], ir.Value] = {}

    def build(self) -> None:
        """Builds the function in the current insertion point."""
        arguments = [self.type(a.type) for a in self.function.arguments]
        name = f"{self.function.name.value}_{self.kind}"
        new = func.FuncOp(name, (arguments, []), loc=self.function.location)
        new.attributes["sim.core"] = ir.StringAttr.get(self.kind)
        new.attributes["sim.kernel"] = ir.StringAttr.get(self.function.name.value)
        for key, attr in self.function.attributes.items():
            if key.startswith("pto.") and key not in ("pto.kernel_kind", "pto.entry"):
                new.attributes["sim." + key.removeprefix("pto.")] = attr
        block = self.entry = new.add_entry_block()
        self.values.update(zip(self.function.arguments, block.arguments))
        with ir.InsertionPoint(block):
            self.block(self.function.entry_block)

    def type(self, type_: ir.Type) -> ir.Type:
        """The sim type of a pto type; other types stay."""
        known = t.of(type_) if isinstance(type_, ir.DynamicType) else None
        if isinstance(known, t.Ptr):
            return sim_type("memory", known.dtype.name)
        if isinstance(known, t.Tile | t.View):
            return sim_type("ref")
        return type_

    def block(self, block: ir.Block) -> None:
        """Lowers the ops of a block at the current insertion point."""
        for op in block.operations:
            view = op.opview if hasattr(op, "opview") else op
            if isinstance(view, PtoOp):
                rec = record(view.operation)
                with view.location:
                    lower_op(view, self, rec)
            else:
                self.rebuild(view.operation)

    def rebuild(self, op: ir.Operation) -> None:
        """The same arith, scf or func op on lowered values, its regions lowered."""
        new = ir.Operation.create(
            op.name,
            results=[self.type(r.type) for r in op.results],
            operands=[self.value(v) for v in op.operands],
            attributes={name: attr for name, attr in op.attributes.items()},
            regions=len(op.regions),
            loc=op.location,
        )
        for old_region, region in zip(op.regions, new.regions):
            for old_block in old_region.blocks:
                types = [self.type(a.type) for a in old_block.arguments]
                block = region.blocks.append(*types, arg_locs=[op.location] * len(types))
                self.values.update(zip(old_block.arguments, block.arguments))
                with ir.InsertionPoint(block):
                    self.block(old_block)
        self.values.update(zip(op.results, new.results))

    def value(self, value: ir.Value) -> ir.Value:
        """The lowered value of a pto value."""
        return self.values[value]

    def operand(self, value: ir.Value) -> ir.Value:
        """A lowered value as an operand of a command: a region, or a number made one."""
        lowered, ref = self.value(value), sim_type("ref")
        return lowered if lowered.type == ref else self.emit("number", [lowered], (ref,)).result

    def index(self, value: ir.Value | int | None) -> ir.Value:
        """A lowered value, or a number, as an index."""
        if value is None:
            value = 0
        if isinstance(value, int):
            return arith.constant(ir.IndexType.get(), value)
        lowered = self.value(value)
        return lowered if isinstance(lowered.type, ir.IndexType) else arith.index_cast(ir.IndexType.get(), lowered)

    def emit(
        self, name: str, operands: list[Any], results: tuple[ir.Type, ...] = (), segments: list[int] | None = None, **attributes: Any
    ) -> ir.Operation:
        """Builds `sim.<name>` at the current location."""
        attrs = {k: attribute(v) for k, v in attributes.items() if v is not None}
        if segments is not None:
            attrs["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(segments)
        return ir.Operation.create(f"sim.{name}", results=list(results), operands=operands, attributes=attrs)

    def valid(self, rec: Record, name: str, tile: t.Tile) -> list[ir.Value]:
        """The valid sizes of a tile: operands where its type has '?', the type's numbers else."""
        rows = rec.operands.get("valid_row") if tile.v_rows is None else tile.v_rows
        cols = rec.operands.get("valid_col") if tile.v_cols is None else tile.v_cols
        for what, n in (("rows", rows), ("columns", cols)):
            if n is None:
                raise NotSupportedError(f"'{rec.cls.spelling}': valid {what} of {name} are '?' but no operand gives them", rec.location)
        return [self.index(rows), self.index(cols)]

    def layout(self, tile: t.Tile) -> dict[str, Any]:
        """The physical layout of a tile as attributes.  A left tile is row_major on a3, col_major on a5, whatever is written."""
        blayout = tile.blayout
        if tile.loc == "left" and tile.slayout != "none_box":
            blayout = "row_major" if self.arch == "a3" else "col_major"
        return {
            "dtype": tile.dtype.name,
            "rows": tile.rows,
            "cols": tile.cols,
            "blayout": blayout,
            "slayout": tile.slayout,
            "fractal": tile.fractal,
        }

    def tile(self, rec: Record, name: str, tile: t.Tile, address: ir.Value) -> ir.Value:
        """A tile region at an address."""
        operands = [address, *self.valid(rec, name, tile)]
        return self.emit("tile", operands, (sim_type("ref"),), memory=tile.memory, **self.layout(tile)).result


def attribute(value: Any) -> ir.Attribute:
    """A Python value as an attribute."""
    if isinstance(value, ir.Attribute):
        return value
    if isinstance(value, bool):
        return ir.BoolAttr.get(value)
    if isinstance(value, int):
        return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)
    if isinstance(value, list | tuple):
        return ir.ArrayAttr.get([attribute(v) for v in value])
    return ir.StringAttr.get(value)


@singledispatch
def lower_op(op: Any, stream: Stream, rec: Record) -> None:
    """A leaf: one command on the op's engine, with its operands by name."""
    pipe = rec.cls.pipe_of(rec)
    if not pipe:
        raise NotSupportedError(f"'{rec.cls.spelling}' cannot be simulated", rec.location)
    command(stream, rec, pipe)


def command(stream: Stream, rec: Record, pipe: str, extra: dict[str, ir.Value] | None = None, reads: tuple = (), writes: tuple = ()) -> ir.Operation:
    """One sim.command; `extra` are operands that the op itself does not have (a pipe's slot)."""
    names, values = [], []
    for name, value in rec.operands.items():
        for i, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part.type, ir.DynamicType) and isinstance(t.of(part.type), t.Opaque):
                continue
            names.append(f"{name}{i}" if isinstance(value, list) else name)
            values.append(stream.operand(part))
    for name, value in (extra or {}).items():
        names.append(name)
        values.append(value)
    kept = {key: attr for key, attr in rec.op.attributes.items() if key not in ("operandSegmentSizes", *INDEX_ATTRIBUTES)}
    kept |= {key: attribute(value) for key, value in rec.cls.attributes_of(rec).items()}
    if rec.cls.internals_of(rec).get("drained"):
        kept["drained"] = ir.BoolAttr.get(True)
    results = [stream.type(r.type) for r in rec.op.results]
    op = stream.emit(
        "fetch" if results else "command",
        values,
        tuple(results),
        [len(values)],
        op=rec.cls.spelling,
        pipe=pipe,
        names=names,
        reads=[n for n in names if _base(n, rec) in (*rec.cls.reads_of(rec), *reads)],
        writes=[n for n in names if _base(n, rec) in (*rec.cls.writes, *writes)],
        work="?" if extra else work_text(rec),
        attributes=ir.DictAttr.get(kept) if kept else None,
    )
    stream.values.update(zip(rec.op.results, op.results))
    return op


def _base(name: str, rec: Record) -> str:
    stem = name.rstrip("0123456789")
    return stem if name not in rec.operands and isinstance(rec.operands.get(stem), list) else name


@lower_op.register
def _alloc(op: structure.AllocTile, stream: Stream, rec: Record) -> None:
    address = rec.operands.get("addr")
    if address is None:
        raise NotSupportedError("'pto.alloc_tile': the tile has no address; run plan-memory first", rec.location)
    stream.values[op.result] = stream.tile(rec, "the tile", rec.tile("result"), stream.index(address))


@lower_op.register
def _alloc_multi(op: structure.AllocMultiTile, stream: Stream, rec: Record) -> None:
    if rec.operands.get("addr") is None:
        raise NotSupportedError("'pto.alloc_multi_tile': the slots have no address; run plan-memory first", rec.location)
    stream.values[op.result] = stream.index(rec.operands["addr"])


@lower_op.register
def _multi_get(op: structure.MultiTileGet, stream: Stream, rec: Record) -> None:
    multi = rec.types["source"]
    stride = arith.constant(ir.IndexType.get(), structure.slot_stride(multi.tile))
    offset = arith.muli(stream.index(rec.operands["index"]), stride)
    address = arith.addi(stream.value(rec.operands["source"]), offset)
    alloc = record(rec.operands["source"].owner)
    stream.values[op.result] = stream.tile(alloc, "the slot", rec.tile("result"), address)


@lower_op.register
def _subview(op: structure.Subview, stream: Stream, rec: Record) -> None:
    row, col = (stream.index(v) for v in rec.operands["offsets"])
    sizes = stream.valid(rec, "the part", rec.tile("result"))
    stream.values[op.result] = stream.emit("part", [stream.value(rec.operands["source"]), row, col, *sizes], (sim_type("ref"),)).result


@lower_op.register
def _reshape(op: structure.TReshape, stream: Stream, rec: Record) -> None:
    tile = rec.tile("result")
    operands = [stream.value(rec.operands["src"]), *stream.valid(rec, "the result", tile)]
    stream.values[op.result] = stream.emit("reshape", operands, (sim_type("ref"),), **stream.layout(tile)).result


@lower_op.register
def _make_view(op: structure.MakeTensorView, stream: Stream, rec: Record) -> None:
    view = rec.types["result"]
    sizes, strides = ([stream.index(v) for v in rec.operands[k]] for k in ("shape", "strides"))
    pointer = stream.value(rec.operands["ptr"])
    segments = [1, len(sizes), len(strides)]
    made = stream.emit("view", [pointer, *sizes, *strides], (sim_type("ref"),), segments, dtype=view.dtype.name)
    stream.values[op.result] = made.result


@lower_op.register
def _partition(op: structure.PartitionView, stream: Stream, rec: Record) -> None:
    offsets, sizes = ([stream.index(v) for v in rec.operands[k]] for k in ("offsets", "sizes"))
    source = stream.value(rec.operands["source"])
    segments = [1, len(offsets), len(sizes)]
    stream.values[op.result] = stream.emit("slice", [source, *offsets, *sizes], (sim_type("ref"),), segments).result


@lower_op.register
def _addptr(op: structure.AddPtr, stream: Stream, rec: Record) -> None:
    pointer = stream.value(rec.operands["ptr"])
    unit = rec.types["ptr"].dtype.bytes
    stream.values[op.result] = stream.emit("advance", [pointer, stream.index(rec.operands["offset"])], (pointer.type,), unit=unit).result


def _id(stream: Stream, op: Any, what: str) -> None:
    value = stream.emit("id", [], (ir.IndexType.get(),), of=what).result
    wanted = op.result.type
    stream.values[op.result] = value if wanted == ir.IndexType.get() else arith.index_cast(wanted, value)


@lower_op.register
def _block_idx(op: structure.GetBlockIdx, stream: Stream, rec: Record) -> None:
    _id(stream, op, "block_idx")


@lower_op.register
def _block_num(op: structure.GetBlockNum, stream: Stream, rec: Record) -> None:
    _id(stream, op, "block_num")


@lower_op.register
def _subblock_idx(op: structure.GetSubblockIdx, stream: Stream, rec: Record) -> None:
    _id(stream, op, "subblock_idx")


@lower_op.register
def _subblock_num(op: structure.GetSubblockNum, stream: Stream, rec: Record) -> None:
    _id(stream, op, "subblock_num")


@lower_op.register
def _section_cube(op: structure.SectionCube, stream: Stream, rec: Record) -> None:
    if stream.kind == "aic":
        stream.block(op.operation.regions[0].blocks[0])


@lower_op.register
def _section_vector(op: structure.SectionVector, stream: Stream, rec: Record) -> None:
    if stream.kind == "aiv":
        stream.block(op.operation.regions[0].blocks[0])


def _flag(stream: Stream, rec: Record, name: str) -> None:
    facts = rec.attributes
    if "event_id" in rec.operands:
        number = stream.index(rec.operands["event_id"])
    else:
        number = stream.index(int(facts["event_id"].removeprefix("EVENT_ID")))
    stream.emit(name, [number], pipe=pipe_name(facts["src_pipe"]), peer=pipe_name(facts["dst_pipe"]), unit=facts.get("unit"), role=facts.get("role"))


def pipe_name(text: str) -> str:
    """PIPE_MTE2 as MTE2."""
    return text.removeprefix("PIPE_")


@lower_op.register(sync.SetFlag)
@lower_op.register(sync.SetFlagDyn)
def _set(op: Any, stream: Stream, rec: Record) -> None:
    _flag(stream, rec, "set")


@lower_op.register(sync.WaitFlag)
@lower_op.register(sync.WaitFlagDyn)
def _wait(op: Any, stream: Stream, rec: Record) -> None:
    _flag(stream, rec, "wait")


@lower_op.register
def _barrier(op: sync.Barrier, stream: Stream, rec: Record) -> None:
    stream.emit("barrier", [], pipe=pipe_name(rec.attributes["pipe"]), unit=rec.attributes.get("unit"))
