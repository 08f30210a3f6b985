"""plan-memory: an address for every tile."""

from dataclasses import dataclass

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir

from .memory_plan import Plan, plans_of
from .tile_liveness import RESERVE, Buffer


@dataclass(frozen=True)
class PlanMemory:
    """Gives every alloc_tile, alloc_multi_tile and reserve_buffer without an address one, by liveness.

    Before:
        %a = pto.alloc_tile : !pto.tile_buf<vec, 16x128xf32>
        %b = pto.alloc_multi_tile : !pto.multi_tile_buf<vec, 16x128xf32, count=2>
    After:
        %c0 = arith.constant 0 : i64
        %a = pto.alloc_tile addr = %c0 : !pto.tile_buf<vec, 16x128xf32>
        %c8192 = arith.constant 8192 : i64
        %b = pto.alloc_multi_tile addr = %c8192 : !pto.multi_tile_buf<vec, 16x128xf32, count=2>

    Given addresses are kept, also where they overlap, and other tiles are placed around them.  Tiles share bytes only where the memory is too
    small without it, and first where no engine has to wait for another one in a loop because of it; where one has to, a remark names the two
    tiles.  In UB, tiles that the vector engine reads together lie in different banks where there is room.
    UB ends where library scratch begins if an op of the function uses that.
    Needs: tiles whose types are static.  Leaves: `addr` (a constant) on every alloc, `base` on every reserve_buffer.
    Raises: CapacityError with the memory map; NotSupportedError for an address that is no constant.
    """

    name = "plan-memory"

    def run(self, module: ir.Module, chip) -> list[str]:
        """Plans every function; a remark for each memory in which tiles share bytes."""
        remarks = []
        for func in functions(module):
            for plan in plans_of(func, chip, _given):
                before = [b.address for b in plan.buffers]
                plan.place()
                remarks += plan.remarks()
                for buffer, block, given in zip(plan.buffers, plan.blocks, before):
                    if given is None:
                        _write(buffer, block.address)
        return remarks


def functions(module: ir.Module) -> list[ir.Operation]:
    """The functions with bodies, in order."""
    found = [op.operation for op in module.body.operations if op.operation.name == "func.func"]
    return [func for func in found if len(func.regions[0].blocks)]


def memory_map(module: ir.Module, chip) -> str:
    """The text of `ptoc compile --memory-map`: per function and memory, address, bytes, tile and line, by address."""
    return "".join(f"{line}\n" for plan in plans_of_module(module, chip) for line in plan.map())


def plans_of_module(module: ir.Module, chip) -> list[Plan]:
    """The plans of a module in which addresses stand, function by function."""
    return [plan for func in functions(module) for plan in plans_of(func, chip, _given)]


def _given(buffer: Buffer) -> int | None:
    """The address that an alloc states."""
    if buffer.op.name == RESERVE:
        return buffer.address
    sizes = list(ir.DenseI32ArrayAttr(buffer.op.attributes["operandSegmentSizes"]))
    if not sizes[0]:
        return None
    source = buffer.op.operands[0].owner
    if getattr(source, "name", "") != "arith.constant":
        raise NotSupportedError("'addr' must be a constant here: memory around an address that is a run-time value cannot be planned", buffer.location)
    return ir.IntegerAttr(source.attributes["value"]).value


def _write(buffer: Buffer, address: int) -> None:
    """Puts the address on the op; an alloc is made anew with the constant as operand."""
    op = buffer.op
    if op.name == RESERVE:
        op.attributes["base"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), address)
        return
    i64 = ir.IntegerType.get_signless(64)
    attributes = {name: attr for name, attr in op.attributes.items()}
    sizes = list(ir.DenseI32ArrayAttr(attributes["operandSegmentSizes"]))
    attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([1, *sizes[1:]])
    with ir.InsertionPoint(op), op.location:
        constant = ir.Operation.create("arith.constant", results=[i64], attributes={"value": ir.IntegerAttr.get(i64, address)})
        planned = ir.Operation.create(op.name, [op.results[0].type], [constant.results[0], *op.operands], attributes)
    op.results[0].replace_all_uses_with(planned.results[0])
    op.erase()
