"""lower-pipes: front-end pipe ops become one pipe value per section, with slot counts, sync period and flags.

    before   pto.aic_initialize_pipe {id = 0, dir_mask = 1, slot_size = 131072} (gm_slot_tensor = %v : ...)
             %e = pto.talloc_to_aiv {id = 0, split = 1} -> !pto.tensor_view<128x256xf32>
             pto.tpush_to_aiv(%e : ...) {id = 0, split = 1}
    after    %p = pto.initialize_l2g2l_pipe {dir_mask = 1, slot_num = 8, local_slot_num = 8, sync_period = 4, flag_base = 0, ...}(%gm) -> !pto.pipe
             %e = pto.declare_global -> ...      pto.talloc(%e, %p : ...) {split = 1}
             pto.tpush(%e, %p : ...) {split = 1}

Pipes that are values already get what they leave out.  Flags: two a direction, in the order of ids, around those that are stated, the
library's 11 to 14 and those of `pto.sync.set`.  A free that comes while a later entry is held goes: the free of that one reports both.
Needs: pipes declared once in each section that uses them.  Leaves: pipe values with all facts stated.
Raises: VerifyError, with both lines, where the two sides do not fit together (counts, sizes, splits, places), entries are taken, pushed,
popped or freed in an order that the library does not have or that would deadlock, and where 16 flags do not suffice.
"""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import Record, record
from ptoc.dialect.ops import pipe_values as values
from ptoc.dialect.pipe_facts import C2V, V2C

from .pipe_counts import check_counts
from .pipe_flags import assign_flags
from .pipe_order import check_order
from .pipe_places import gm_pointer
from .pipe_program import Pipe, Program, Side, Use, pto_ops, read_programs
from .pipe_sides import agree, one_vector_core

STATED = ("dir_mask", "slot_size", "slot_num", "local_slot_num", "sync_period", "flag_base")
"""Facts that a pipe value has after this pass."""

__all__ = ["LowerPipes", "pto_ops"]


@dataclass(frozen=True)
class LowerPipes:
    """The pass; it has no options."""

    name = "lower-pipes"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Lowers all pipes of a module in place; remarks on what is legal but will not do what it seems to."""
        remarks: list[str] = []
        for program in read_programs(module):
            remarks += agree(program, chip.arch)
            assign_flags(program)
            order = check_order(program.pipes, chip.arch)
            check_counts(program.pipes)
            remarks += order.remarks
            for use in order.deferred:
                remarks.append(f"{use.location}: '{use.spelling}': reported with the free of the entry that is popped next: the library counts pops")
            for pipe in program.pipes:
                for side in pipe.sides:
                    _lower_side(pipe, side, [use for use in side.uses if use not in order.deferred])
            for use in order.deferred:
                use.rec.op.erase()
            if chip.arch == "a5":
                _state_vector_cores(program)
        return remarks


def _lower_side(pipe: Pipe, side: Side, uses: list[Use]) -> None:
    """One declaration as a pipe value with all its facts, and the ops on it."""
    handle = _initialize(pipe, side) if side.front else side.init.results["pipe_handle"]
    number = ir.IntegerType.get_signless(32, side.init.op.context)
    for key in STATED:
        handle.owner.attributes[key] = ir.IntegerAttr.get(number, pipe.facts[key])
    handle.owner.attributes["name"] = ir.StringAttr.get(pipe.name, side.init.op.context)
    if one_vector_core(pipe):
        handle.owner.attributes["nosplit"] = ir.BoolAttr.get(True, side.init.op.context)
    for use in uses:
        if side.front:
            # Read again: lowering a pop has replaced the operands of what follows it.
            _lower_use(record(use.rec.op), use.role, handle)
        elif use.role == "pop" and isinstance(use.kind, t.Tile):
            _redeclare(use.slot)
    if side.front:
        side.init.op.erase()


def _state_vector_cores(program: Program) -> None:
    """On a5 a program whose pipes are not split runs on one vector core of each block: the other one would get no signal."""
    if any(pipe.uses for pipe in program.pipes) and all(one_vector_core(pipe) for pipe in program.pipes if pipe.uses):
        for function in program.functions:
            function.attributes["pto.vector_cores"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32, function.context), 1)


def _initialize(pipe: Pipe, side: Side) -> ir.Value:
    """The pipe value that replaces a declaration: through global memory, or on chip where no slots are given there."""
    rec = side.init
    ways = [way for way in (C2V, V2C) if pipe.facts["dir_mask"] & way]
    buffers = [value for way in ways if (value := rec.cls.buffer(rec, way)) is not None]
    cls = values.InitializeL2g2lPipe if pipe.through_gm else values.InitializeL2lPipe
    with rec.op.context, ir.InsertionPoint(rec.op), rec.op.location:
        given = [1, *(int(n < len(buffers)) for n in range(2))] if pipe.through_gm else [1, len(buffers) - 1]
        attributes = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get(given)}
        operands = [gm_pointer(rec), *buffers] if pipe.through_gm else buffers
        op = ir.Operation.create(cls.OPERATION_NAME, results=[t.to_mlir(t.Opaque("pipe"))], operands=operands, attributes=attributes)
    return op.result


def _lower_use(rec: Record, role: str, handle: ir.Value) -> None:
    """One front-end op as its internal ones."""
    number_type = ir.IntegerType.get_signless(32, rec.op.context)
    with rec.op.context, ir.InsertionPoint(rec.op), rec.op.location:
        attributes = {"split": ir.IntegerAttr.get(number_type, rec.attributes.get("split", 0))}
        if role in ("alloc", "pop"):
            _lower_entry(rec, role, handle, attributes)
        elif role == "push":
            ir.Operation.create(values.TPush.OPERATION_NAME, operands=[rec.operands["tile"], handle], attributes=attributes)
        else:
            entry = [rec.operands["entry"]] if "entry" in rec.operands else []
            attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, len(entry)])
            ir.Operation.create(values.TFree.OPERATION_NAME, operands=[handle, *entry], attributes=attributes)
    rec.op.erase()


def _lower_entry(rec: Record, role: str, handle: ir.Value, attributes: dict[str, ir.Attribute]) -> None:
    """talloc and tpop: a declared view or tile that the pipe op fills in."""
    result = rec.op.results[0]
    if isinstance(t.of(result.type), t.Tile):
        declared = _declare_tile(rec, result.type)
    else:
        declared = ir.Operation.create(values.DeclareGlobal.OPERATION_NAME, results=[result.type])
    cls = values.TAlloc if role == "alloc" else values.TPop
    ir.Operation.create(cls.OPERATION_NAME, operands=[declared.result, handle], attributes=attributes)
    result.replace_all_uses_with(declared.result)


def _declare_tile(rec: Record, type_: ir.Type) -> ir.Operation:
    """A tile with the valid sizes that an op gives; all of it where the type leaves them open and the op says nothing."""
    tile, given = t.of(type_), dict(rec.operands)
    for name, valid, whole in (("valid_row", tile.v_rows, tile.rows), ("valid_col", tile.v_cols, tile.cols)):
        if valid is None and name not in given:
            given[name] = ir.Operation.create(
                "arith.constant", results=[ir.IndexType.get()], attributes={"value": ir.IntegerAttr.get(ir.IndexType.get(), whole)}
            ).result
    names = [name for name in ("valid_row", "valid_col") if name in given]
    segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([int(name in names) for name in ("valid_row", "valid_col")])}
    return ir.Operation.create(values.DeclareTile.OPERATION_NAME, results=[type_], operands=[given[name] for name in names], attributes=segments)


def _redeclare(tile: ir.Value) -> None:
    """States the sizes of a declared tile whose type leaves them open."""
    owner = tile.owner.operation
    if owner.name == values.DeclareTile.OPERATION_NAME and not list(owner.operands) and None in t.of(tile.type).valid:
        with owner.context, ir.InsertionPoint(owner), owner.location:
            declared = _declare_tile(record(owner), tile.type)
        tile.replace_all_uses_with(declared.result)
        owner.erase()
