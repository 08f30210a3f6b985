"""One function of the simulator IR, written out as a Python function that gives a core's accesses to global memory (`accesses.py`)."""

from typing import Any, NamedTuple

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import plain

from .accesses import Way, Ways
from .program import Codes, Site
from .slices import Slice, narrowing
from .timed import TimeForm
from .work import op_class
from .write_stream import element_of, tuple_text
from .write_time import TimeWriter

STATE = ("sim.put", "sim.acquire", "sim.take")
"""Ops that change what later addresses depend on."""


class Place(NamedTuple):
    """A region of global memory as text: its first byte, its sizes, and the strides of the view that it is in, in bytes."""

    memory: str
    start: str
    sizes: list[str]
    strides: list[str]
    element: int


def write_accesses(function: func.FuncOp, arch: str, ways: Ways, sites: list[Site], vectors: int, site_of: dict[ir.Operation, int]) -> TimeForm | None:
    """stream(touch, load, ...) of a function calls `touch` with (way, first byte, bytes, way, ...) for each command that moves.

    site_of: numbers of the commands' sites, as the time form has them.  None for a function where addresses are not sums of products of
    what control depends on: they are read from memory, or chosen by a condition, or found by the command itself.
    """
    if "sim.fetch" in str(function):
        return None
    try:
        return _AccessWriter(arch, ways, sites, vectors, site_of).write_form(function, frozenset())
    except _NotASum:
        return None


class _NotASum(Exception):
    """The address of an access cannot be written out."""


class _Moves(Slice):
    """What decides which bytes of global memory are touched, and when."""

    def issues(self, op: ir.Operation) -> bool:
        return op.name in STATE or moves(op)

    def _want_operands(self, op: ir.Operation) -> None:
        if not moves(op):
            super()._want_operands(op)
            return
        for value in op.operands:
            if narrowing(op) or may_be_view(value):
                self._want(value, True)


def moves(op: ir.Operation) -> bool:
    """True for a command that may touch global memory."""
    return op.name == "sim.command" and any(map(may_be_view, op.operands))


def may_be_view(value: ir.Value) -> bool:
    """False for what is certainly no region of global memory."""
    if not isinstance(value.type, ir.DynamicType) or element_of(value.type) != "":
        return False
    return isinstance(value, ir.BlockArgument) or value.owner.operation.name in ("sim.view", "sim.slice") or value.owner.operation.name.startswith("scf.")


class _AccessWriter(TimeWriter):
    def __init__(self, arch: str, ways: Ways, sites: list[Site], vectors: int, known: dict[ir.Operation, int]) -> None:
        super().__init__(arch, Codes(), sites, vectors)
        self.ways, self.known_sites = ways, known
        self.arguments: dict[ir.Value, str] = {}

    def write_form(self, function: func.FuncOp, written: frozenset[str]) -> TimeForm:
        names = plain(function.attributes["sim.arg_names"]) if "sim.arg_names" in function.attributes else []
        for i, argument in enumerate(function.entry_block.arguments):
            self.arguments[argument] = names[i] if i < len(names) else f"arg{i}"
        return super().write_form(function, written)

    def slice_of(self, block: ir.Block) -> Slice:
        return _Moves(block, fold=True)

    def mark(self) -> None:
        pass

    def _sim_command(self, op: ir.Operation) -> None:
        if op not in self.wanted.busy:
            return
        names, writes = plain(op.attributes["names"]), tuple(plain(op.attributes["writes"]))
        number = self.known_sites[op]
        sampled = op_class(plain(op.attributes["op"])).sampled
        places = [(name, self.place(value)) for name, value in zip(names, op.operands) if may_be_view(value) and name not in sampled]
        if narrowing(op) or any(place is None for _, place in places):
            raise _NotASum
        flat = []
        for name, place in places:
            size = " * ".join([*place.sizes, str(place.element)])
            flat += [str(self.ways.number(Way(number, f"gm:{place.memory}", name in writes))), place.start, size]
        self.line(f"emit({tuple_text(flat)})")

    def place(self, value: ir.Value) -> Place | None:
        """Where a region lies, None where that is not a sum written here."""
        if isinstance(value, ir.BlockArgument):
            return None
        op = value.owner.operation
        if op.name not in ("sim.view", "sim.slice"):
            return None
        first, *rest = op.operands
        left = plain(op.attributes["operandSegmentSizes"])[1]
        if op.name == "sim.slice":
            source = self.place(first)
            if source is None:
                return None
            offsets = [f"{o} * {stride}" for o, stride in zip(self.numbers(rest[:left]), source.strides) if o != "0"]
            return source._replace(start=" + ".join([source.start, *offsets]), sizes=self.numbers(rest[left:]))
        pointer = self.pointer(first)
        if pointer is None:
            return None
        element = DTYPES[plain(op.attributes["dtype"])].bytes
        return Place(*pointer, self.numbers(rest[:left]), [f"{stride} * {element}" for stride in self.numbers(rest[left:])], element)

    def pointer(self, value: ir.Value) -> tuple[str, str] | None:
        """(argument, byte in it) of a pointer."""
        if value in self.arguments:
            return self.arguments[value], f"{self.text(value)}.offset"
        if isinstance(value, ir.BlockArgument) or value.owner.operation.name != "sim.advance":
            return None
        op = value.owner.operation
        source = self.pointer(op.operands[0])
        return source and (source[0], f"{source[1]} + {self.ref(op.operands[1], True)} * {plain(op.attributes['unit'])}")

    def numbers(self, values: Any) -> list[str]:
        """Numbers as text."""
        return [self.ref(value, True) for value in values]

    def nothing(self, op: ir.Operation) -> None:
        """An op that moves nothing."""

    _sim_set = _sim_wait = _sim_barrier = _sim_signal = _sim_await = _sim_push = _sim_release = nothing

    def _sim_acquire(self, op: ir.Operation) -> None:
        channel = self.text(op.operands[0])
        self._slot(op, f"{channel}a", self.scope[f"facts_{channel}"])

    def _sim_take(self, op: ir.Operation) -> None:
        channel = self.text(op.operands[0])
        self._slot(op, f"{channel}t", self.scope[f"facts_{channel}"])

    def _sim_get(self, op: ir.Operation) -> None:
        if op.results[0] in self.wanted.full:
            super()._sim_get(op)
