"""split-sections: sections that feed each other through cross tiles become one cube and one vector program with one-way rings.

    before   scf.for %t = ... { %x = pto.declare_global -> !pto.tensor_view<128x256xf32>      {pto.preload = 4}
               pto.section.cube   { pto.tstore ... outs(%x) }
               pto.section.vector { pto.tload ins(part of %x) ... } }
    after    pto.section.cube   { pto.aic_initialize_pipe ...  scf.for { scf.if %true { %e = pto.talloc_to_aiv  tstore  pto.tpush_to_aiv } {pto.lag = 0} } }
             pto.section.vector { pto.aiv_initialize_pipe ...  scf.for { scf.if %true { %e = pto.tpop_from_aic  tload  pto.tfree_from_aic } {pto.lag = 0} } }

Acts on functions that declare a view outside of their sections (`ptoc.cross`); each ring adds an argument for its slots.  In a loop with
`pto.preload` a section stays together as a stage with its lag: the round trips cube - vector - cube that lead to it.
Needs: cross tiles stored in one section and loaded in a later one of the other kind, in the same block.  Leaves: one section a kind.
Raises: NotSupportedError, with the line, for any other value that goes from one section to another.
"""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import arith, func, ir, scf
from ptoc.dialect.op import location_of, plain

from .cross_values import CUBE, KIND, Program, parent_in, section_of, users_of, walk
from .tile_sweep import drop_unused

LOCAL_SLOTS = 2
"""Local slots of a ring, as in the hand-written four-stage schedule."""
MAX_PRELOAD = 7
"""Slots are twice the preload: the library acknowledges every slots / 2, and counts at most 15.  Source: docs/semantics.md, Pipes."""


@dataclass(frozen=True)
class SplitSections:
    """The pass; it has no options."""

    name = "split-sections"

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Splits every function that has cross tiles, in place."""
        for function in list(module.body.operations):
            if isinstance(function, func.FuncOp) and not function.is_external:
                program = Program(function.operation)
                if program.crosses:
                    program.check()
                    _split(function, program)
        return []


@dataclass(frozen=True)
class _Ring:
    """A cross tile as a ring: its number, direction (1 cube to vector, 2 back), view type, slots, pointer argument, name and place."""

    number: int
    direction: int
    view: t.View
    slots: int
    pointer: ir.Value
    name: str
    where: ir.Location

    @property
    def slot_bytes(self) -> int:
        rows, cols = self.view.shape
        return rows * cols * self.view.dtype.bytes

    def type_in(self, kind: str) -> ir.Type:
        """An entry as one kind of core sees it: a vector core has its half of the rows."""
        rows, cols = self.view.shape
        return t.to_mlir(t.View((rows if kind == CUBE else rows // 2, cols), self.view.dtype))


def _split(function: func.FuncOp, program: Program) -> None:
    rings = _rings(function, program)
    for section, lag in program.lags().items():
        section.attributes["pto.lag"] = _number(lag)
    entry = function.entry_block
    *body, end = list(entry.operations)
    with function.context, ir.InsertionPoint(end), function.location:
        cube, vector = (ir.Operation.create(f"pto.section_{kind}", regions=1) for kind in KIND.values())
        block = cube.regions[0].blocks.append()
        for op in body:
            block.append(op)
        copy = cube.clone(ip=ir.InsertionPoint(end))
        block = vector.regions[0].blocks.append()
        for op in list(copy.regions[0].blocks[0].operations):
            block.append(op)
        copy.erase()
    for kind, whole in zip(KIND, (cube, vector)):
        _one_kind(whole, kind, rings)
        drop_unused(whole)


def _rings(function: func.FuncOp, program: Program) -> list[_Ring]:
    """One ring a cross tile, with its new argument of the function."""
    rings = []
    for number, cross in enumerate(program.crosses):
        view = t.of(cross.op.results[0].type)
        preload = cross.preload
        if preload > MAX_PRELOAD:
            raise NotSupportedError(f"preload must be at most {MAX_PRELOAD} (a ring has at most 15 slots); got {preload}", location_of(cross.op))
        pointer = function.entry_block.add_argument(t.to_mlir(t.Ptr(view.dtype)), cross.op.location)
        name = plain(cross.op.attributes["name"]) if "name" in cross.op.attributes else f"ring{number}"
        slots = max(4, 2 * preload)
        rings.append(_Ring(number, 1 if cross.producer.name == CUBE else 2, view, slots, pointer, name, cross.op.location))
        cross.op.attributes["pto.cross"] = _number(number)
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get([a.type for a in function.entry_block.arguments], []))
    if "pto.arg_names" in function.attributes:
        names = [ir.StringAttr.get(f"{ring.name}_slots") for ring in rings]
        function.attributes["pto.arg_names"] = ir.ArrayAttr.get([*function.attributes["pto.arg_names"], *names])
    sizes = [ir.IntegerAttr.get(ir.IntegerType.get_signless(64), ring.slots * ring.slot_bytes) for ring in rings]
    function.attributes["pto.workspace_bytes_per_block"] = ir.ArrayAttr.get(sizes)
    return rings


def _one_kind(whole: ir.Operation, kind: str, rings: list[_Ring]) -> None:
    """Leaves what one kind of core runs: its sections, with entries of rings where cross tiles stood."""
    inner = [op for op in walk(whole) if op.name in KIND and op != whole]
    for section in inner:
        if section.name != kind:
            section.erase()
    inner = [op for op in walk(whole) if op.name in KIND and op != whole]
    for op in [op for op in walk(whole) if "pto.cross" in op.attributes]:
        _use_ring(op, rings[plain(op.attributes["pto.cross"])], kind)
    for section in inner:
        _dissolve(section)
    with whole.context, ir.InsertionPoint.at_block_begin(whole.regions[0].blocks[0]):
        for ring in rings:
            _initialize(ring, kind)


def _use_ring(cross: ir.Operation, ring: _Ring, kind: str) -> None:
    """Takes an entry before the first use of a cross tile in its section and hands it on after the last."""
    uses = users_of(cross.results[0])
    section = section_of(uses[0])
    tops = {id_: op for id_, op in enumerate(section.regions[0].blocks[0].operations) if any(parent_in(u, section) == op.operation for u in uses)}
    first, last = tops[min(tops)].operation, tops[max(tops)].operation
    take, give = {
        (1, True): ("talloc_to_aiv", "tpush_to_aiv"),
        (1, False): ("tpop_from_aic", "tfree_from_aic"),
        (2, False): ("talloc_to_aic", "tpush_to_aic"),
        (2, True): ("tpop_from_aiv", "tfree_from_aiv"),
    }[ring.direction, kind == CUBE]
    with cross.context, first.location:
        facts = {"id": _number(ring.number), "split": _number(1)}
        segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0])} if "pop" in take else {}
        entry = ir.Operation.create(f"pto.{take}", results=[ring.type_in(kind)], attributes={**facts, **segments}, ip=ir.InsertionPoint(first))
        given = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1])} if "free" in give else {}
        done = ir.Operation.create(f"pto.{give}", operands=[entry.result], attributes={**facts, **given}, ip=ir.InsertionPoint(last), loc=last.location)
        done.move_after(last)
    cross.results[0].replace_all_uses_with(entry.result)
    cross.erase()


def _dissolve(section: ir.Operation) -> None:
    """A section's ops in its place: as a stage under an always true guard where it has a lag in a loop with preload."""
    body = list(section.regions[0].blocks[0].operations)
    with section.context, ir.InsertionPoint(section), section.location:
        if "pto.lag" not in section.attributes:
            for op in body:
                op.operation.move_before(section)
        else:
            stage = scf.IfOp(arith.constant(ir.IntegerType.get_signless(1), 1))
            stage.operation.attributes["pto.lag"] = section.attributes["pto.lag"]
            for op in body:
                stage.then_block.append(op)
            with ir.InsertionPoint(stage.then_block):
                scf.YieldOp([])
    section.erase()


def _initialize(ring: _Ring, kind: str) -> None:
    """The declaration of a ring on one side: its slots lie behind those of the blocks before this one."""
    index, (rows, cols) = ir.IndexType.get(), ring.view.shape
    with ring.where:
        block = arith.index_cast(index, ir.Operation.create("pto.get_block_idx", results=[ir.IntegerType.get_signless(64)]).result)
        offset = arith.muli(block, arith.constant(index, ring.slots * rows * cols))
        pointer = ir.Operation.create("pto.addptr", operands=[ring.pointer, offset], results=[ring.pointer.type]).result
        high, wide, one = (arith.constant(index, n) for n in (rows, cols, 1))
        segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 2, 2])}
        view = ir.Operation.create("pto.make_tensor_view", operands=[pointer, high, wide, wide, one], results=[t.to_mlir(ring.view)], attributes=segments).result
        facts = {"id": ring.number, "dir_mask": ring.direction, "slot_size": ring.slot_bytes, "slot_num": ring.slots, "local_slot_num": LOCAL_SLOTS}
        attributes = {key: _number(value) for key, value in facts.items()} | {"name": ir.StringAttr.get(ring.name)}
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, 0, 0, 0])
        name = "pto.aic_initialize_pipe" if kind == CUBE else "pto.aiv_initialize_pipe"
        ir.Operation.create(name, operands=[view], attributes=attributes)


def _number(value: int) -> ir.Attribute:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(32), value)
