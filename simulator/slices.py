"""What time needs of a function of the simulator IR: which values decide control, flags and work, and which sums cancel.

A number is a polynomial over atoms (arguments, induction variables, results of other ops), so that `a * b + 128 - a * b` is 128.
A region (ref) has a shape, which decides work, and an address, which decides nothing here: a value is wanted in full, or for its shape.
"""

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import PtoOp, plain

from .work import op_class

Poly = dict[tuple, int]
"""Monomials (sorted tuples of atoms) and their factors."""

NUMBERS = ("arith.", "sim.id")
PASSED = ("arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui", "arith.trunci", "sim.number")
SHAPE_OPERANDS = {"sim.tile": slice(1, None), "sim.part": slice(None), "sim.reshape": slice(None), "sim.advance": slice(0, 1)}
"""Operands that decide the shape of a region; of a view its pointer, sizes and strides, of a slice its source and sizes."""

EFFECTS = frozenset(
    f"sim.{name}" for name in ("command", "fetch", "set", "wait", "barrier", "signal", "await", "acquire", "push", "take", "release", "put")
)


def shape_operands(op: ir.Operation) -> list[ir.Value]:
    """The operands of an op on regions that decide its result's shape."""
    operands = list(op.operands)
    if op.name in SHAPE_OPERANDS:
        return operands[SHAPE_OPERANDS[op.name]]
    if op.name == "sim.slice":
        return [operands[0], *operands[1 + plain(op.attributes["operandSegmentSizes"])[1] :]]
    return operands


def narrowing(op: ir.Operation) -> bool:
    """True for a command that may touch less than its operands."""
    return op_class(plain(op.attributes["op"])).narrow.__func__ is not PtoOp.narrow.__func__


def reads_two(op: ir.Operation) -> bool:
    """True for a vector command whose work depends on the addresses of its two sources (`work.work_of`)."""
    return plain(op.attributes["pipe"]) == "V" and len(plain(op.attributes["reads"])) == 2


class Slice:
    """`constants`: values that are one number whatever the atoms are; `full`, `shapes`: values that are wanted; `busy`: ops that issue."""

    def __init__(self, block: ir.Block, fold: bool) -> None:
        self.constants: dict[ir.Value, int] = {}
        self.full: set[ir.Value] = set()
        self.shapes: set[ir.Value] = set()
        self.busy: set[ir.Operation] = set()
        self._polys: dict[ir.Value, Poly] = {}
        self._atoms: dict[tuple, int] = {}
        self._work: list[tuple[ir.Value, bool]] = []
        if fold:
            self._number(block)
        self._roots(block)
        while self._work:
            self._trace(*self._work.pop())

    # numbers

    def _number(self, block: ir.Block) -> None:
        for view in block.operations:
            op = view.operation
            if op.name.startswith(NUMBERS) or op.name == "sim.number":
                poly = self._poly_of(op)
                for result in op.results:
                    self._polys[result] = poly
                    if set(poly) <= {()} and op.name != "arith.constant" and poly.get((), 0).__class__ is int:
                        self.constants[result] = poly.get((), 0)
            for region in op.regions:
                for inner in region.blocks:
                    self._number(inner)

    def _poly_of(self, op: ir.Operation) -> Poly:
        name = op.name
        if name == "arith.constant":
            value = plain(op.attributes["value"])
            return {(): value} if type(value) is int and value else {} if type(value) is int else self._atom("constant", repr(value))
        parts = [self._poly(v) for v in op.operands]
        if name in PASSED:
            return parts[0]
        if name == "arith.addi":
            return _sum(parts[0], parts[1], 1)
        if name == "arith.subi":
            return _sum(parts[0], parts[1], -1)
        if name == "arith.muli":
            return _product(*parts)
        facts = tuple((n, str(a)) for n, a in op.attributes.items())
        return self._atom(name, facts, *(tuple(sorted(p.items())) for p in parts))

    def _poly(self, value: ir.Value) -> Poly:
        if value not in self._polys:
            self._polys[value] = self._atom("value", value)
        return self._polys[value]

    def _atom(self, *key: object) -> Poly:
        return {(self._atoms.setdefault(key, len(self._atoms)),): 1}

    # what is wanted

    def _roots(self, block: ir.Block) -> bool:
        """Wants what the ops of a block need; True if one of them issues a command or changes state."""
        busy = False
        for view in block.operations:
            op = view.operation
            mine = self.issues(op)
            for region in op.regions:
                for inner in region.blocks:
                    mine |= self._roots(inner)
            if mine:
                busy = True
                self.busy.add(op)
                self._want_operands(op)
        return busy

    def issues(self, op: ir.Operation) -> bool:
        """True for an op that issues a command or changes state."""
        return op.name in EFFECTS

    def _want_operands(self, op: ir.Operation) -> None:
        operands = list(op.operands)
        if op.name == "sim.command":
            narrows, two = narrowing(op), reads_two(op)
            reads = plain(op.attributes["reads"])
            for name, value in zip(plain(op.attributes["names"]), operands):
                self._want(value, narrows or (two and name in reads))
        elif op.name == "scf.for":
            for value in operands[:3]:
                self._want(value, True)
        elif op.name == "scf.while":
            self._want_all(op)
        else:
            for value in operands:
                self._want(value, True)

    def _want_all(self, op: ir.Operation) -> None:
        for value in op.operands:
            self._want(value, True)
        for region in op.regions:
            for block in region.blocks:
                for inner in block.operations:
                    self._want_all(inner.operation)

    def _want(self, value: ir.Value, full: bool) -> None:
        if value in self.constants or value in self.full or (not full and value in self.shapes):
            return
        (self.full if full else self.shapes).add(value)
        self._work.append((value, full))

    def _trace(self, value: ir.Value, full: bool) -> None:
        if isinstance(value, ir.BlockArgument):
            self._trace_argument(value)
            return
        op = value.owner.operation
        number = list(op.results).index(value)
        if op.name in ("scf.if", "scf.for"):
            self.busy.add(op)
            for region in op.regions:
                for block in region.blocks:
                    *_, last = block.operations
                    self._want(last.operation.operands[number], True)
            for operand in list(op.operands)[:3] if op.name == "scf.for" else op.operands:
                self._want(operand, True)
            if op.name == "scf.for":
                self._want(op.operands[3 + number], True)
        elif op.name == "scf.while":
            self.busy.add(op)
            self._want_all(op)
        else:
            for operand in op.operands if full else shape_operands(op):
                self._want(operand, full)

    def _trace_argument(self, value: ir.BlockArgument) -> None:
        owner = value.owner.owner
        if owner is None or owner.operation.name == "func.func":
            return
        op = owner.operation
        if op.name == "scf.for" and value.arg_number > 0:
            self.busy.add(op)
            self._want(op.results[value.arg_number - 1], True)


def _sum(a: Poly, b: Poly, sign: int) -> Poly:
    result = dict(a)
    for monomial, factor in b.items():
        total = result.get(monomial, 0) + sign * factor
        if total:
            result[monomial] = total
        else:
            result.pop(monomial, None)
    return result


def _product(a: Poly, b: Poly) -> Poly:
    result: Poly = {}
    for left, f in a.items():
        for right, g in b.items():
            result = _sum(result, {tuple(sorted(left + right)): f * g}, 1)
    return result
