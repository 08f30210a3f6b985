"""Writes the units of a tree into the IR: flags with constant or turning event ids, and barriers, each at the line that needs it."""

from ptoc.dialect.mlir import arith, ir
from ptoc.dialect.types import attribute

from .sync_tree import SECTIONS, Block, Branch, Function, Leaf, Loop, blocks_of
from .sync_units import Unit


def emit(function: Function, first_unit: int) -> int:
    """Makes the ops of all inserted leaves; units are numbered from `first_unit` on.  The next free number."""
    writer = _Writer(function.kind, first_unit)
    writer.block(function.root)
    return first_unit + len(writer.numbers)


def barrier(pipe: str, **attributes: ir.Attribute) -> ir.Operation:
    """`pto.barrier <PIPE_...>` at the current insertion point."""
    return ir.Operation.create("pto.barrier", attributes={"pipe": attribute("pipe", f"PIPE_{pipe}"), **attributes})


class _Writer:
    def __init__(self, kind: str, first_unit: int) -> None:
        self.kind, self.first_unit = kind, first_unit
        self.numbers: dict[int, int] = {}
        self.last: dict[int, ir.Operation] = {}

    def block(self, block: Block) -> None:
        for item in list(block.items):
            if isinstance(item, Leaf) and item.anchor is not None:
                self.leaf(item)
            elif isinstance(item, Loop | Branch):
                for inner in blocks_of(item):
                    self.block(inner)

    def leaf(self, leaf: Leaf) -> None:
        node, after = leaf.anchor
        number = self.numbers.setdefault(id(leaf.unit), self.first_unit + len(self.numbers))
        ordinal = {"unit": ir.IntegerAttr.get(ir.IntegerType.get_signless(32), number)}
        with self.point(node.op, after, id(node)), leaf.op.location:
            if self.kind and not _in_section(node.op):
                section = ir.Operation.create(f"pto.section_{self.kind}", regions=1)
                section.regions[0].blocks.append()
                with ir.InsertionPoint(section.regions[0].blocks[0]):
                    self.ops(leaf, ordinal)
                made = section
            else:
                made = self.ops(leaf, ordinal)
        if after:
            self.last[id(node)] = made

    def point(self, op: ir.Operation, after: bool, key: int) -> ir.InsertionPoint:
        return ir.InsertionPoint.after(self.last.get(key, op)) if after else ir.InsertionPoint(op)

    def ops(self, leaf: Leaf, attributes: dict[str, ir.Attribute]) -> ir.Operation:
        """The ops of a leaf; the last of them."""
        unit: Unit = leaf.unit
        if leaf.kind == "barrier":
            return barrier(unit.src, **attributes)
        name = "set_flag" if leaf.kind in ("set", "prime") else "wait_flag"
        if leaf.kind in ("prime", "drain"):
            attributes["role"] = ir.StringAttr.get(leaf.kind)
            made = None
            for turn in range(unit.depth):
                moving = leaf.kind == "drain" and unit.ids > unit.depth
                made = self.flag(name, unit, attributes, self.turning(unit, _total(unit), turn) if moving else unit.base + turn)
            return made
        if unit.ids == 1:
            return self.flag(name, unit, attributes, unit.base)
        ahead = unit.depth % unit.ids if leaf.kind == "set" else 0
        return self.flag(name, unit, attributes, self.turning(unit, _counter(unit), ahead))

    @staticmethod
    def turning(unit: Unit, count: ir.Value, ahead: int) -> ir.Value:
        """base + (count + ahead) mod ids."""
        count = arith.addi(count, _index(ahead)) if ahead else count
        turn = arith.remsi(count, _index(unit.ids))
        return arith.addi(turn, _index(unit.base)) if unit.base else turn

    @staticmethod
    def flag(name: str, unit: Unit, attributes: dict[str, ir.Attribute], event: int | ir.Value) -> ir.Operation:
        pipes = {key: attribute("pipe", f"PIPE_{pipe}") for key, pipe in (("src_pipe", unit.src), ("dst_pipe", unit.dst))}
        if isinstance(event, int):
            return ir.Operation.create(f"pto.{name}", attributes={**pipes, "event_id": attribute("event", f"EVENT_ID{event}"), **attributes})
        return ir.Operation.create(f"pto.{name}_dyn", operands=[event], attributes={**pipes, **attributes})


def _in_section(op: ir.Operation) -> bool:
    parent = op.parent
    while parent is not None:
        parent = parent.operation if hasattr(parent, "operation") else parent
        if parent.name in SECTIONS:
            return True
        if parent.name == "func.func":
            return False
        parent = parent.parent
    return False


def _index(value: int) -> ir.Value:
    return arith.constant(ir.IndexType.get(), value)


def _counted(unit: Unit) -> list[Loop]:
    """The loops that a unit's count runs through, outermost first."""
    loops = unit.loop.body.loops
    scope = unit.counts_from or unit.loop
    return list(loops[scope.info.depth - 1 :])


def _counter(unit: Unit) -> ir.Value:
    """Number of the current iteration of a unit's loop, counted through the loops that its ids run on in."""
    count = None
    for loop in _counted(unit):
        lower, _, step = list(loop.op.operands)[:3]
        variable = loop.op.regions[0].blocks[0].arguments[0]
        own = variable if loop.info.lower == {} else arith.subi(variable, lower)
        own = _as_index(own if loop.info.step == 1 else arith.divsi(own, step))
        count = own if count is None else arith.addi(arith.muli(count, _trips(loop)), own)
    return count


def _total(unit: Unit) -> ir.Value:
    """Number of iterations that a unit's loop has run when its scope is done."""
    total = None
    for loop in _counted(unit):
        total = _trips(loop) if total is None else arith.muli(total, _trips(loop))
    return total


def _trips(loop: Loop) -> ir.Value:
    if loop.trips is not None:
        return _index(loop.trips)
    lower, upper, step = list(loop.op.operands)[:3]
    distance = upper if loop.info.lower == {} else arith.subi(upper, lower)
    trips = _as_index(distance if loop.info.step == 1 else arith.ceildivsi(distance, step))
    return arith.maxsi(trips, _index(0))


def _as_index(value: ir.Value) -> ir.Value:
    return value if isinstance(value.type, ir.IndexType) else arith.index_cast(ir.IndexType.get(), value)
