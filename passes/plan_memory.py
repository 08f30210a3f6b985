"""plan-memory: an address for every tile."""

from dataclasses import dataclass

from ptoc.dialect.errors import CapacityError, NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, location_of, record

from .address_packing import Block, pack
from .sync_tree import internals_of
from .tile_liveness import RESERVE, Buffer, Liveness, liveness

MEMORIES = ("l1", "l0a", "l0b", "l0c", "bias", "scaling", "ub")


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

    Given addresses are kept, and other tiles are placed around them.  Tiles share bytes only where the memory is too small without it.
    UB ends where library scratch begins if an op of the function uses that.
    Needs: tiles whose types are static.  Leaves: `addr` (a constant) on every alloc, `base` on every reserve_buffer.
    Raises: CapacityError with the memory map; NotSupportedError for an address that is no constant.
    """

    name = "plan-memory"

    def run(self, module: ir.Module, chip) -> list[str]:
        """Plans every function; a remark for each memory in which tiles share bytes."""
        remarks = []
        for func in functions(module):
            for plan in plans_of(func, chip):
                before = [b.address for b in plan.buffers]
                plan.place()
                remarks += plan.remarks()
                for buffer, block, given in zip(plan.buffers, plan.blocks, before):
                    if given is None:
                        _write(buffer, block.address)
        return remarks


@dataclass
class Plan:
    """The buffers of one function in one memory, in program order, and their blocks."""

    func: str
    memory: str
    capacity: int
    alignment: int
    live: Liveness
    buffers: list[Buffer]
    blocks: list[Block]

    def place(self) -> None:
        """Finds all addresses.  Raises: CapacityError."""
        for buffer, block in zip(self.buffers, self.blocks):
            if block.address is not None and (block.address < 0 or block.address % self.alignment):
                text = f"'{buffer.op.name}': {buffer.name} at {block.address}: an address in {self.memory} is a multiple of {self.alignment} bytes from 0 on"
                raise CapacityError(text, buffer.location)
            if block.address is not None and block.end > self.capacity:
                text = f"'{buffer.op.name}': {buffer.name} at {block.address} ends at {block.end}, {self.memory} has {self.capacity} bytes"
                raise CapacityError(text, buffer.location)
        if not pack(self.blocks, self.capacity, self.alignment):
            raise self.overflow()

    def remarks(self) -> list[str]:
        """One line where tiles share bytes."""
        total, used = sum(b.size for b in self.blocks), max((b.end for b in self.blocks), default=0)
        if total <= self.capacity or not used:
            return []
        return [f"{self.func}: {self.memory}: {total} bytes of tiles share {used} of {self.capacity} bytes"]

    def table(self) -> list[str]:
        """The memory map, by address; buffers without one come last."""
        rows = sorted(zip(self.buffers, self.blocks), key=lambda row: (row[1].address is None, row[1].address or 0))
        return [
            f"  {'-' if block.address is None else block.address:>8}  {block.size:>8} bytes  {buffer.name}  {buffer.location}"
            for buffer, block in rows
        ]  # fmt: skip

    def overflow(self) -> CapacityError:
        """What is said where the tiles do not fit: the worst point, the map there, how much is missing and what would fit."""
        points = {b.lo for b in self.blocks}
        load = {p: sum(b.size for b in self.blocks if b.lo <= p <= b.hi) for p in sorted(points)}
        worst = max(load, key=lambda p: (load[p], -p))
        alive = [(b, k) for b, k in zip(self.buffers, self.blocks) if k.lo <= worst <= k.hi]
        missing = max(load[worst] - self.capacity, 1)
        why = f"{missing} missing" if load[worst] > self.capacity else "no placement around the given addresses and lifetimes fits"
        here = Plan(self.func, self.memory, self.capacity, self.alignment, self.live, *map(list, zip(*alive)))
        lines = [
            f"'{self.func}': {self.memory} overflows: tiles alive here take {load[worst]} bytes of {self.capacity} ({why})",
            f"memory map of {self.memory} here (address, size, tile, line):",
            *here.table(),
            f"what would fit: {self.advice(here, missing)}",
        ]
        ops = self.live.ops
        where = location_of(ops[worst]) if 0 <= worst < len(ops) else alive[0][0].location
        return CapacityError("\n".join(lines), where or alive[0][0].location)

    def advice(self, here: "Plan", missing: int) -> str:
        """Fewer slots or rows of the largest tile that would make room, else fewer rows of all."""
        sized = sorted(zip(here.buffers, here.blocks), key=lambda row: -row[1].size)
        for buffer, block in sized:
            slot = block.size // buffer.slots
            fewer = buffer.slots - -(-missing // slot)
            if buffer.slots > 1 and fewer >= 1:
                return f"{fewer} slot{'s' if fewer > 1 else ''} instead of {buffer.slots} for {buffer.name} ({buffer.location})"
        for buffer, _ in sized:
            if buffer.type and buffer.type.rows > 1:
                row = buffer.type.bytes // buffer.type.rows * buffer.slots
                fewer = buffer.type.rows - -(-missing // row)
                fewer -= fewer % 16 if fewer >= 16 else 0
                if fewer >= 1:
                    return f"slices of {fewer} rows instead of {buffer.type.rows} for {buffer.name} ({buffer.location})"
        total = sum(block.size for block in here.blocks)
        return f"tiles of about {100 * self.capacity // max(total, 1)} % of these sizes (fewer rows or columns in each)"


def functions(module: ir.Module) -> list[ir.Operation]:
    """The functions with bodies, in order."""
    found = [op.operation for op in module.body.operations if op.operation.name == "func.func"]
    return [func for func in found if len(func.regions[0].blocks)]


def plans_of(func: ir.Operation, chip) -> list[Plan]:
    """The plans of a function's memories, addresses given so far filled in."""
    live = liveness(func)
    for buffer in live.buffers:
        if buffer.op.name != RESERVE:
            buffer.address = _given(buffer)
    plans = []
    for memory in MEMORIES:
        buffers = [b for b in live.buffers if b.memory == memory]
        if buffers:
            alignment = chip.alignment_bytes(memory)
            blocks = [Block(b.size(alignment), b.lo, b.hi, b.address) for b in buffers]
            name = ir.StringAttr(func.attributes["sym_name"]).value
            plans.append(Plan(name, memory, _capacity(memory, live, chip), alignment, live, buffers, blocks))
    return plans


def memory_map(module: ir.Module, chip) -> str:
    """The text of `ptoc compile --memory-map`: per function and memory, address, bytes, tile and line, by address."""
    lines = []
    for func in functions(module):
        for plan in plans_of(func, chip):
            used = max((b.end for b in plan.blocks if b.address is not None), default=0)
            lines += [f"{plan.func}: {plan.memory}: {used} of {plan.capacity} bytes", *plan.table()]
    return "\n".join(lines) + "\n" if lines else ""


def _capacity(memory: str, live: Liveness, chip) -> int:
    """Bytes to plan in; UB ends at the library's scratch where an op of the function uses that."""
    scratch = memory == "ub" and any(internals_of(record(op)).get("ub_scratch") for op in live.ops if op.name in REGISTRY)
    return int(chip.number("memories.ub_reserved_from")) if scratch else chip.capacity_bytes(memory)


def _given(buffer: Buffer) -> int | None:
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
