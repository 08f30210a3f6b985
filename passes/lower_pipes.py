"""lower-pipes: front-end pipe ops become one pipe value per section, with slot counts, sync period and flags.

    before   pto.aic_initialize_pipe {id = 0, dir_mask = 1, slot_size = 131072} (gm_slot_tensor = %v : ...)
             %e = pto.talloc_to_aiv {id = 0, split = 1} -> !pto.tensor_view<128x256xf32>
             pto.tpush_to_aiv(%e : ...) {id = 0, split = 1}
    after    %p = pto.initialize_l2g2l_pipe {dir_mask = 1, slot_num = 8, local_slot_num = 8, sync_period = 4, flag_base = 0, ...}(%gm) -> !pto.pipe
             %e = pto.declare_global -> ...      pto.talloc(%e, %p : ...) {split = 1}
             pto.tpush(%e, %p : ...) {split = 1}

Needs: pipes declared once on each side, before their use.  Leaves: internal pipe ops only.
Raises: VerifyError where the two sides do not match, a pipe is used that nobody declared, or 16 flags do not suffice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError, VerifyError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, PtoOp, Record, record
from ptoc.dialect.ops import pipes

FLAGS = 16
RESERVED_FLAGS = range(11, 15)
"""Cross-core flags of a core, and those that belong to the library's SYNCALL.  Source: docs/semantics.md."""

FACTS = ("dir_mask", "slot_size", "slot_num", "local_slot_num", "sync_period", "nosplit")

ALLOC = (pipes.TAllocToAiv, pipes.TAllocToAic)
PUSH = (pipes.TPushToAiv, pipes.TPushToAic)
POP = (pipes.TPopFromAic, pipes.TPopFromAiv)
FREE = (pipes.TFreeFromAic, pipes.TFreeFromAiv)
TO_VECTOR = (pipes.TAllocToAiv, pipes.TPushToAiv, pipes.TPopFromAic, pipes.TFreeFromAic)
"""Ops of a pipe from the cube core to the vector cores."""


@dataclass(frozen=True)
class LowerPipes:
    """The pass; it has no options."""

    name = "lower-pipes"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Lowers all pipes of a module in place."""
        sides: dict[tuple[str, int], list[Record]] = {}
        uses: list[Record] = []
        for rec in pto_ops(module.operation):
            if issubclass(rec.cls, pipes.InitializePipe):
                sides.setdefault((rec.cls.__name__[:3].lower(), pipe_id(rec)), []).append(rec)
            elif issubclass(rec.cls, (*ALLOC, *PUSH, *POP, *FREE)):
                uses.append(rec)
        facts = {number: _agreed(number, sides, chip.arch) for number in sorted({number for _, number in sides})}
        bases = _flag_bases(facts, sides)
        handles: dict[tuple[Any, int], ir.Value] = {}
        for (_, number), records in sorted(sides.items()):
            for rec in records:
                handles[scope_of(rec.op), number] = _initialize(rec, facts[number], bases[number], rec.attributes.get("name", f"pipe{number}"), chip.arch)
                rec.op.erase()
        for rec in uses:
            # Read again: lowering a pop has replaced the operands of what follows it.
            _lower_use(record(rec.op), handles, facts)
        _state_defaults(module, chip.arch)
        return []


def _state_defaults(module: ir.Module, arch: str) -> None:
    """Writes out what a pipe of the internal form leaves to the library: periods, local slots, and flags in order of appearance."""
    at: dict[ir.Operation, int] = {}
    for rec in list(pto_ops(module.operation)):
        if not issubclass(rec.cls, pipes.InternalPipe):
            continue
        facts, scope = rec.attributes, scope_of(rec.op)
        slots = facts["slot_num"]
        base = facts.get("flag_base", at.get(scope, 0))
        at[scope] = base + (4 if facts["dir_mask"] == 3 else 2)
        defaults = {"sync_period": pipes.library_period(slots), "local_slot_num": slots if arch == "a3" else 2, "flag_base": base}
        number = ir.IntegerType.get_signless(32, rec.op.context)
        for key, value in defaults.items():
            if key not in facts:
                rec.op.attributes[key] = ir.IntegerAttr.get(number, value)


def pto_ops(root: ir.Operation) -> Iterator[Record]:
    """The dialect's ops below an op, in program order."""
    found: list[Record] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name in REGISTRY and isinstance(op.opview, PtoOp):
            found.append(record(op))
        return ir.WalkResult.ADVANCE

    root.walk(visit, ir.WalkOrder.PRE_ORDER)
    return iter(found)


def pipe_id(rec: Record) -> int:
    """Number of the pipe that an op names (0 where it names none)."""
    return rec.attributes.get("id", 0)


def pipe_name(rec: Record) -> str:
    """How messages call the pipe that an op declares: by its name, or by its number."""
    return f"pipe '{rec.attributes['name']}'" if "name" in rec.attributes else f"pipe {pipe_id(rec)}"


def scope_of(op: ir.Operation) -> ir.Operation:
    """The section around an op, or its function: where a pipe's declaration is seen."""
    parent = op.parent
    while parent.name not in ("pto.section_cube", "pto.section_vector", "func.func"):
        parent = parent.parent
    return parent.operation


def _agreed(number: int, sides: dict, arch: str) -> dict[str, Any]:
    """The facts of a pipe with their defaults, after comparing the two sides."""
    records = [rec for (_, n), found in sorted(sides.items()) if n == number for rec in found]
    first = records[0]
    pipe = pipe_name(first)
    for other in records[1:]:
        for key in FACTS:
            mine, its = first.attributes.get(key), other.attributes.get(key)
            if mine != its:
                raise VerifyError(
                    f"{pipe}: the two sides must agree on {key}; got {_or_default(mine)} at {first.location}"
                    f" and {_or_default(its)} at {other.location}",
                    other.location,
                )
    facts = {key: first.attributes[key] for key in FACTS if key in first.attributes}
    facts.setdefault("slot_num", 4 if facts["dir_mask"] == 3 else 8)
    facts.setdefault("local_slot_num", facts["slot_num"] if arch == "a3" else 2)
    slots = facts["slot_num"]
    facts.setdefault("sync_period", pipes.library_period(slots))
    if slots > 15:
        raise VerifyError(f"{pipe}: slot_num must be at most 15 (the counters of cross-core flags); got {slots}", first.location)
    if slots % facts["sync_period"]:
        raise VerifyError(f"{pipe}: sync_period must divide slot_num; got {facts['sync_period']} and {slots}", first.location)
    return facts


def _or_default(value: Any) -> str:
    return "the default" if value is None else str(value)


def _flag_bases(facts: dict[int, dict[str, Any]], sides: dict) -> dict[int, int]:
    """First flag of each pipe: two flags a direction, in order of pipe ids, none of the library's own."""
    bases, at = {}, 0
    for number, fact in facts.items():
        need = 4 if fact["dir_mask"] == 3 else 2
        if any(flag in RESERVED_FLAGS for flag in range(at, at + need)):
            at = RESERVED_FLAGS.stop
        if at + need > FLAGS:
            where = next(rec.location for (_, n), found in sides.items() if n == number for rec in found)
            raise VerifyError(f"pipe {number}: all cross-core flags are in use; at most {RESERVED_FLAGS.start // 2} one-way pipes fit", where)
        bases[number] = at
        at += need
    return bases


def _initialize(rec: Record, facts: dict[str, Any], base: int, name: str, arch: str) -> ir.Value:
    """The pipe value that replaces one side's declaration: through global memory, or on chip where a5 is given none."""
    number = ir.IntegerType.get_signless(32, rec.op.context)
    with rec.op.context, ir.InsertionPoint(rec.op), rec.op.location:
        attributes = {k: ir.IntegerAttr.get(number, int(v)) for k, v in {**facts, "flag_base": base}.items() if k != "nosplit"}
        attributes["name"] = ir.StringAttr.get(name)
        if facts.get("nosplit"):
            attributes["nosplit"] = ir.BoolAttr.get(True)
        on_chip = arch == "a5" and not {"gm_slot_buffer", "gm_slot_tensor"} & set(rec.operands)
        buffers = [rec.operands[k] for k in ("c2v_consumer_buf", "v2c_consumer_buf") if k in rec.operands]
        operands = buffers if on_chip else [_gm_pointer(rec), *buffers]
        given = [1, *(int(n < len(buffers)) for n in range(2))] if not on_chip else [1, 1]
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(given)
        kind = "pto.initialize_l2l_pipe" if on_chip else "pto.initialize_l2g2l_pipe"
        op = ir.Operation.create(kind, results=[t.to_mlir(t.Opaque("pipe"))], operands=operands, attributes=attributes)
    return op.result


def _gm_pointer(rec: Record) -> ir.Value:
    """The pointer to the pipe's slots: given, or the one that the given view was made from."""
    if "gm_slot_buffer" in rec.operands:
        return rec.operands["gm_slot_buffer"]
    if "gm_slot_tensor" not in rec.operands:
        raise NotSupportedError(
            f"'{rec.cls.spelling}': on a3 the slots of a pipe lie in global memory; give gm_slot_buffer or gm_slot_tensor", rec.location
        )
    view = rec.operands["gm_slot_tensor"]
    owner = view.owner
    if not isinstance(owner, ir.Operation | ir.OpView) or owner.name != "pto.make_tensor_view":
        raise NotSupportedError(f"'{rec.cls.spelling}': gm_slot_tensor must come from pto.make_tensor_view", rec.location)
    return record(owner.operation).operands["ptr"]


def _lower_use(rec: Record, handles: dict, facts: dict[int, dict[str, Any]]) -> None:
    """One front-end op as its internal ones."""
    number = pipe_id(rec)
    handle = handles.get((scope_of(rec.op), number))
    if handle is None:
        raise VerifyError(f"'{rec.cls.spelling}': no pipe with id {number} is initialised in this section", rec.location)
    wanted = 1 if issubclass(rec.cls, TO_VECTOR) else 2
    if not facts[number]["dir_mask"] & wanted:
        direction = "cube to vector" if wanted == 1 else "vector to cube"
        raise VerifyError(f"'{rec.cls.spelling}': pipe {number} has no direction {direction} (dir_mask {facts[number]['dir_mask']})", rec.location)
    number_type = ir.IntegerType.get_signless(32, rec.op.context)
    with rec.op.context, ir.InsertionPoint(rec.op), rec.op.location:
        attributes = {"split": ir.IntegerAttr.get(number_type, rec.attributes.get("split", 0))}
        if issubclass(rec.cls, (*ALLOC, *POP)):
            _lower_entry(rec, handle, attributes)
        elif issubclass(rec.cls, PUSH):
            ir.Operation.create("pto.tpush", operands=[rec.operands["tile"], handle], attributes=attributes)
        else:
            entry = [rec.operands["entry"]] if "entry" in rec.operands else []
            attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, len(entry)])
            ir.Operation.create("pto.tfree", operands=[handle, *entry], attributes=attributes)
    rec.op.erase()


def _lower_entry(rec: Record, handle: ir.Value, attributes: dict[str, ir.Attribute]) -> None:
    """talloc and tpop: a declared view or tile that the pipe op fills in."""
    result = rec.op.results[0]
    if isinstance(t.of(result.type), t.Tile):
        valid = [rec.operands[k] for k in ("valid_row", "valid_col") if k in rec.operands]
        segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([int("valid_row" in rec.operands), int("valid_col" in rec.operands)])}
        declared = ir.Operation.create("pto.declare_tile", results=[result.type], operands=valid, attributes=segments)
    else:
        declared = ir.Operation.create("pto.declare_global", results=[result.type])
    name = "pto.talloc" if issubclass(rec.cls, ALLOC) else "pto.tpop"
    ir.Operation.create(name, operands=[declared.result, handle], attributes=attributes)
    result.replace_all_uses_with(declared.result)
