"""Index values as polynomials of loop counters and unknowns, so that two of them can be subtracted.

A polynomial is a dict from monomial (sorted tuple of symbol numbers) to integer coefficient; the empty tuple is the constant.  Symbols
are iteration counters of loops (0, 1, 2, .. whatever the bounds), values that nothing is known of, and `p mod N`.
"""

from dataclasses import dataclass, field

from ptoc.dialect.mlir import ir

Poly = dict[tuple[int, ...], int]


def constant(value: int) -> Poly:
    """The polynomial of a number."""
    return {(): value} if value else {}


def add(a: Poly, b: Poly, factor: int = 1) -> Poly:
    """a + factor * b."""
    result = dict(a)
    for monomial, coefficient in b.items():
        total = result.get(monomial, 0) + factor * coefficient
        if total:
            result[monomial] = total
        else:
            result.pop(monomial, None)
    return result


def multiply(a: Poly, b: Poly) -> Poly:
    """a * b."""
    result: Poly = {}
    for m, x in a.items():
        for n, y in b.items():
            result = add(result, {tuple(sorted(m + n)): x * y})
    return result


def divided(poly: Poly, by: Poly) -> Poly | None:
    """poly / by where `by` is one symbol that every term of `poly` has as a factor, else None."""
    if len(by) != 1:
        return None
    (monomial, coefficient), result = next(iter(by.items())), {}
    if len(monomial) != 1 or coefficient != 1:
        return None
    for term, factor in poly.items():
        if monomial[0] not in term:
            return None
        rest = list(term)
        rest.remove(monomial[0])
        result[tuple(rest)] = factor
    return result


def number(poly: Poly | None) -> int | None:
    """The value of a polynomial that is constant, else None."""
    if poly is None or any(monomial for monomial in poly):
        return None
    return poly.get((), 0)


@dataclass(eq=False)
class LoopInfo:
    """A loop: `counter` is its symbol; `trip` its number of iterations as a polynomial, None where that is unknown; `around` the next loop out.

    `stride`: the step as a polynomial; `step`: it as a number, None where it is known at run time only.
    """

    op: ir.Operation
    around: "LoopInfo | None"
    depth: int
    counter: int = -1
    trip: Poly | None = None
    lower: Poly = field(default_factory=dict)
    step: int | None = None
    stride: Poly = field(default_factory=dict)

    def chain(self) -> list["LoopInfo"]:
        """All loops around, outermost first, this one last."""
        return [*(self.around.chain() if self.around else ()), self]


@dataclass
class Symbol:
    """What a symbol stands for: `varies` are the loops in which its value changes; `poly`, `modulus` of a remainder."""

    varies: frozenset[int]  # ids of LoopInfo
    loop: LoopInfo | None = None
    poly: Poly | None = None
    modulus: int = 0


class Symbols:
    """The symbols of one function, and the polynomials of its index values."""

    def __init__(self) -> None:
        self.table: list[Symbol] = []
        self.values: dict[ir.Value, Poly] = {}
        self.loops: dict[ir.Operation, LoopInfo] = {}
        self._numbers: dict[tuple, int] = {}

    def new(self, symbol: Symbol) -> int:
        """Number of a new symbol."""
        self.table.append(symbol)
        return len(self.table) - 1

    def loop(self, op: ir.Operation) -> LoopInfo:
        """The facts of a loop op (any op whose region repeats)."""
        if op in self.loops:
            return self.loops[op]
        around = self.loop_around(op)
        info = self.loops[op] = LoopInfo(op, around, around.depth + 1 if around else 1)
        info.counter = self.new(Symbol(frozenset({id(info)}), info))
        if op.name == "scf.for":
            lower, upper, step = (self.poly(v) for v in list(op.operands)[:3])
            info.lower, info.step, info.stride = lower, number(step), step
            info.trip = self.quotient(add(upper, lower, -1), info.step, up=True) if info.step and info.step > 0 else None
        return info

    def loop_around(self, op: ir.Operation) -> LoopInfo | None:
        """The innermost loop that an op is in."""
        parent = op.parent
        while parent is not None:
            parent = parent.operation if hasattr(parent, "operation") else parent
            if parent.name in ("scf.for", "scf.while", "scf.parallel", "scf.forall"):
                return self.loop(parent)
            if parent.name == "func.func":
                return None
            parent = parent.parent
        return None

    def poly(self, value: ir.Value) -> Poly:
        """The polynomial of an integer value."""
        if value not in self.values:
            self.values[value] = self._evaluate(value)
        return self.values[value]

    def varies(self, poly: Poly) -> frozenset[int]:
        """Ids of the loops in which a polynomial changes."""
        return frozenset().union(*(self.table[s].varies for monomial in poly for s in monomial))

    def unknown(self, loop: LoopInfo | None) -> Poly:
        """A value that nothing is known of, made in a loop."""
        return {(self.new(Symbol(frozenset(id(x) for x in loop.chain()) if loop else frozenset())),): 1}

    def remainder(self, poly: Poly, modulus: int) -> Poly:
        """poly mod modulus; values are taken to be non-negative."""
        poly = self.without_remainders(poly, modulus)
        value = number(poly)
        if value is not None:
            return constant(value % modulus)
        key = (frozenset(poly.items()), modulus)
        if key not in self._numbers:
            self._numbers[key] = self.new(Symbol(self.varies(poly), None, poly, modulus))
        return {(self._numbers[key],): 1}

    def quotient(self, poly: Poly, by: int, up: bool) -> Poly:
        """poly / by, rounded down or up: exact where all coefficients divide, else one symbol for equal quotients."""
        value = number(poly)
        if value is not None:
            return constant(-(-value // by) if up else value // by)
        if all(c % by == 0 for c in poly.values()):
            return {m: c // by for m, c in poly.items()}
        key = (frozenset(poly.items()), by, up)
        if key not in self._numbers:
            self._numbers[key] = self.new(Symbol(self.varies(poly)))
        return {(self._numbers[key],): 1}

    def without_remainders(self, poly: Poly, modulus: int) -> Poly:
        """A polynomial that is equal modulo `modulus`, remainders by multiples of it replaced by what they are remainders of."""
        result: Poly = {}
        for monomial, coefficient in poly.items():
            term = constant(coefficient)
            for symbol in monomial:
                inner = self.table[symbol]
                opened = inner.poly is not None and inner.modulus % modulus == 0
                term = multiply(term, inner.poly if opened else {(symbol,): 1})
            result = add(result, term)
        return result

    def modular(self, poly: Poly) -> tuple[Poly, int]:
        """(p, N) with poly = p mod N where it is one remainder (or N-1 minus one), else (poly, 0)."""
        terms = {m: c for m, c in poly.items() if m}
        if len(terms) == 1:
            (monomial, coefficient), offset = next(iter(terms.items())), poly.get((), 0)
            symbol = self.table[monomial[0]]
            if len(monomial) == 1 and symbol.poly is not None:
                if coefficient == 1 and offset == 0:
                    return symbol.poly, symbol.modulus
                if coefficient == -1 and offset == symbol.modulus - 1:
                    return add(constant(offset), symbol.poly, -1), symbol.modulus
        return poly, 0

    def _evaluate(self, value: ir.Value) -> Poly:
        owner = value.owner
        if isinstance(owner, ir.Block):
            return self._argument(value, owner)
        op = owner.operation if hasattr(owner, "operation") else owner
        name, operands = op.name, op.operands
        if name == "arith.constant" and isinstance(op.attributes["value"], ir.IntegerAttr):
            return constant(ir.IntegerAttr(op.attributes["value"]).value)
        if name == "arith.addi":
            return add(self.poly(operands[0]), self.poly(operands[1]))
        if name == "arith.subi":
            return add(self.poly(operands[0]), self.poly(operands[1]), -1)
        if name == "arith.muli":
            return multiply(self.poly(operands[0]), self.poly(operands[1]))
        if name in ("arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui", "arith.trunci"):
            return self.poly(operands[0])
        if name in ("arith.remsi", "arith.remui", "arith.andi"):
            by = number(self.poly(operands[1]))
            by = by + 1 if name == "arith.andi" and by is not None and by & (by + 1) == 0 else None if name == "arith.andi" else by
            if by is not None and by > 0:
                return self.remainder(self.poly(operands[0]), by)
        if name == "arith.xori" and number(self.poly(operands[1])) == 1 and self.modular(self.poly(operands[0]))[1] == 2:
            return self.remainder(add(self.poly(operands[0]), constant(1)), 2)
        if name in ("arith.divsi", "arith.divui", "arith.ceildivsi", "arith.ceildivui"):
            by = number(self.poly(operands[1]))
            if by is not None and by > 0:
                return self.quotient(self.poly(operands[0]), by, up="ceil" in name)
            exact = divided(self.poly(operands[0]), self.poly(operands[1]))
            if exact is not None:
                return exact
        if name == "arith.maxsi" and number(self.poly(operands[1])) == 0:
            return self.poly(operands[0])  # a trip count: below 0 the loop that it counts runs as often as for 0, and no index in it exists
        if name == "scf.for":
            return self._result(self.loop(op), list(op.results).index(value))
        return self.unknown(self.loop_around(op))

    def _argument(self, value: ir.Value, block: ir.Block) -> Poly:
        op = block.owner.operation if hasattr(block.owner, "operation") else block.owner
        if op.name == "func.func":
            return {(self.new(Symbol(frozenset())),): 1}
        info = self.loop(op)
        at = ir.BlockArgument(value).arg_number
        if op.name != "scf.for":
            return self.unknown(info)
        counter: Poly = {(info.counter,): 1}
        if at == 0:
            return add(info.lower, multiply(info.stride, counter))
        grows = self._growth(info, at - 1)
        if grows is None:
            return self.unknown(info)
        growth, modulus = grows
        poly = add(self.poly(op.operands[2 + at]), multiply(growth, counter))
        return self.remainder(poly, modulus) if modulus else poly

    def _result(self, info: LoopInfo, at: int) -> Poly:
        grows = self._growth(info, at)
        trip = info.trip if number(info.trip) is None else constant(max(0, number(info.trip)))
        if grows is None or trip is None:
            return self.unknown(info.around)
        growth, modulus = grows
        poly = add(self.poly(info.op.operands[3 + at]), multiply(growth, trip))
        return self.remainder(poly, modulus) if modulus else poly

    def _growth(self, info: LoopInfo, at: int) -> tuple[Poly, int] | None:
        """(g, N): each iteration adds g to carried value `at`, modulo N if N; None where it does something else."""
        block = info.op.regions[0].blocks[0]
        argument, known = block.arguments[at + 1], self.values
        probe = self.new(Symbol(frozenset({id(info)})))
        self.values = {**known, argument: {(probe,): 1}}
        yielded = self.poly(block.operations[len(block.operations) - 1].operation.operands[at])
        self.values = known
        if set(yielded) == {(), (probe,)} and yielded[(probe,)] == -1 and yielded[()] == 1:
            return constant(1), 2  # 1 - x: a toggle between 0 and 1
        poly, modulus = self.modular(yielded)
        growth = add(poly, {(probe,): 1}, -1)
        inside = any(probe in monomial for monomial in growth)
        return None if inside or id(info) in self.varies(growth) else (growth, modulus)

