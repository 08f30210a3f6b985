"""Brute force for insert-sync: runs a module's IR with numbers and asks, command by command, what is surely complete.

Shares nothing with the pass: trips and branches are walked one by one, knowledge is a set of commands (a bit mask of Python's integers),
footprints are sets of bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ptoc.dialect import types as t
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, plain, record

BINARY = {
    "arith.addi": lambda a, b: a + b,
    "arith.subi": lambda a, b: a - b,
    "arith.muli": lambda a, b: a * b,
    "arith.remsi": lambda a, b: a % b,
    "arith.divsi": lambda a, b: a // b,
    "arith.ceildivsi": lambda a, b: -(-a // b),
    "arith.maxsi": max,
    "arith.cmpi": lambda a, b: a == b,
}


@dataclass
class Command:
    """A dynamic command: kind work, set, wait or barrier; flag is (pipe, pipe, id)."""

    kind: str
    pipe: str
    reads: frozenset = frozenset()
    writes: frozenset = frozenset()
    flag: tuple = ()
    unit: int = -1
    drained: bool = False
    what: str = ""


@dataclass
class Choice:
    """What an environment decides: trips of loops with run-time bounds, and branches, in the order in which they come up."""

    trips: tuple[int, ...]
    branches: tuple[bool, ...]
    asked: list[int] = field(default_factory=lambda: [0, 0])

    def trip(self) -> int:
        self.asked[0] += 1
        return self.trips[(self.asked[0] - 1) % len(self.trips)]

    def branch(self) -> bool:
        self.asked[1] += 1
        return self.branches[(self.asked[1] - 1) % len(self.branches)]


class Run:
    """Elaborates a function of one block of commands."""

    def __init__(self, func: ir.Operation, choice: Choice, free_trips: bool) -> None:
        self.choice, self.free_trips = choice, free_trips
        self.values: dict = {a: ("argument", i) for i, a in enumerate(func.regions[0].blocks[0].arguments)}
        self.commands: list[Command] = []
        self.trip = choice.trip()
        for view in func.regions[0].blocks[0].operations:
            self.op(view.operation)

    def number(self, value: ir.Value) -> int:
        found = self.values[value]
        return self.trip if isinstance(found, tuple) and found[0] == "argument" else found

    def op(self, op: ir.Operation) -> None:
        name = op.name
        if name == "arith.constant":
            self.values[op.results[0]] = ir.IntegerAttr(op.attributes["value"]).value
        elif name in BINARY:
            self.values[op.results[0]] = BINARY[name](*(self.number(v) for v in op.operands))
        elif name == "scf.for":
            self.loop(op)
        elif name == "scf.if":
            blocks = list(op.regions[0 if self.choice.branch() else 1].blocks)
            for view in blocks[0].operations if blocks else ():
                self.op(view.operation)
            if blocks and len(op.results):
                end = blocks[0].operations[len(blocks[0].operations) - 1].operation
                for result, value in zip(op.results, end.operands):
                    self.values[result] = self.values[value]
        elif name in REGISTRY:
            self.pto(op)

    def loop(self, op: ir.Operation) -> None:
        lower, upper, step = list(op.operands)[:3]
        block = op.regions[0].blocks[0]
        dynamic = isinstance(self.values[upper], tuple)
        count = self.choice.trip() if dynamic and self.free_trips else None
        low, high, by = self.number(lower), self.number(upper), self.number(step)
        numbers = range(low, high, by) if count is None else range(low, low + by * count, by)
        carried = [self.values[v] for v in list(op.operands)[3:]]
        for number in numbers:
            self.values[block.arguments[0]] = number
            for argument, value in zip(list(block.arguments)[1:], carried):
                self.values[argument] = value
            for view in block.operations:
                self.op(view.operation)
            carried = [self.values[v] for v in block.operations[len(block.operations) - 1].operation.operands]
        for result, value in zip(op.results, carried):
            self.values[result] = value

    def pto(self, op: ir.Operation) -> None:
        rec = record(op)
        facts, name = rec.attributes, op.name
        if name in ("pto.alloc_tile", "pto.alloc_multi_tile"):
            self.values[op.results[0]] = self.number(rec.operands["addr"])
        elif name == "pto.multi_tile_get":
            tile = rec.types["source"].tile
            slot = self.number(rec.operands["index"])
            assert 0 <= slot < rec.types["source"].count
            self.values[op.results[0]] = self.values[rec.operands["source"]] + slot * -(-tile.bytes // 32) * 32
        elif name in ("pto.make_tensor_view", "pto.partition_view"):
            self.values[op.results[0]] = ("view",)
        elif name.startswith(("pto.set_flag", "pto.wait_flag")):
            event = int(facts["event_id"].removeprefix("EVENT_ID")) if "event_id" in facts else self.number(rec.operands["event_id"])
            src, dst = (facts[k].removeprefix("PIPE_") for k in ("src_pipe", "dst_pipe"))
            kind = "set" if "set" in name else "wait"
            self.commands.append(Command(kind, src if kind == "set" else dst, flag=(src, dst, event), unit=facts.get("unit", -1), what=op.name))
        elif name == "pto.barrier":
            self.commands.append(Command("barrier", facts["pipe"].removeprefix("PIPE_"), unit=facts.get("unit", -1), what=op.name))
        elif rec.cls.pipe_of(rec):
            reads, writes = (frozenset(self.bytes_of(rec, names)) for names in (rec.cls.reads, rec.cls.writes))
            internals = rec.cls.internals_of(rec) if hasattr(rec.cls, "internals_of") else rec.cls.internals
            self.commands.append(Command("work", rec.cls.pipe_of(rec), reads, writes, drained=bool(internals.get("drained")), what=op.name))

    def bytes_of(self, rec, names: tuple[str, ...]) -> Iterator[int]:
        for name in names:
            tile = rec.types.get(name)
            if isinstance(tile, t.Tile):
                begin = self.values[rec.operands[name]]
                yield from range(begin // 32, (begin + tile.bytes) // 32)  # in blocks of 32 bytes


def commands(module: ir.Module, choice: Choice, free_trips: bool = True) -> list[Command]:
    """The commands of the module's one function in an environment."""
    return Run(module.body.operations[0].operation, choice, free_trips).commands


def fault(program: list[Command], without: int = -2, barriers: bool = True) -> str:
    """The first conflict that is in no order, or misuse of a flag; "" where there is none.  `without`: a unit that is left out.

    `barriers`: commands of V need a barrier between them.
    """
    program = [c for c in program if c.unit != without or c.unit == -1]
    known: dict[str, int] = {}
    before: dict[str, int] = {}
    everyone = 0
    raised: dict[tuple, list[int]] = {}
    last_wait: dict[tuple, int] = {}
    touched: list[tuple[int, Command]] = []
    for index, command in enumerate(program):
        bit, pipe = 1 << index, command.pipe
        knows = known.get(pipe, 0) | everyone
        if command.kind == "work":
            for other, earlier in touched:
                clash = command.writes & (earlier.reads | earlier.writes) or command.reads & earlier.writes
                if clash and not knows >> other & 1 and (earlier.pipe != pipe or (pipe == "V" and barriers)):
                    return f"no order: {earlier.what}  ({other})  and  {command.what}  ({index})"
            touched.append((index, command))
            if command.drained:
                knows |= before.get(pipe, 0) | bit
        elif command.kind == "set":
            token = knows | before.get(pipe, 0)
            if raised.get(command.flag):
                return f"set while raised: {command.what}"
            if command.flag in last_wait and not token >> last_wait[command.flag] & 1:
                return f"set while its wait may be to come: {command.what}"
            raised.setdefault(command.flag, []).append(token)
        elif command.kind == "wait":
            if not raised.get(command.flag):
                return f"waits for ever: {command.what}"
            knows |= raised[command.flag].pop()
            last_wait[command.flag] = index
            if pipe == "S":
                everyone |= knows
        elif pipe == "ALL":
            everyone = bit - 1
        else:
            knows |= before.get(pipe, 0)
        known[pipe] = knows
        before[pipe] = before.get(pipe, 0) | bit
    left = [flag for flag, tokens in raised.items() if tokens]
    return f"left raised: {left[0]}" if left else ""


def units(module: ir.Module) -> set[int]:
    """Numbers of the inserted units."""
    found: set[int] = set()

    def visit(op: ir.Operation) -> ir.WalkResult:
        if "unit" in op.attributes:
            found.add(plain(op.attributes["unit"]))
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return found
