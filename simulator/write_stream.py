"""One function of the simulator IR, written out as a Python function that appends commands.

Values that are known when writing (constants, and what is computed from constants alone) are folded; the rest becomes local variables.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import PtoOp, location_of, plain
from ptoc.machine.mesh import OPPOSITE, Mesh

from .channel import Channel
from .program import Command, Site
from .registers import LAZY
from .tensors import tensors_of
from .timed import scope_of_regions, works
from .work import narrowed, op_class, work_of

BINARY = {
    "addi": "{0} + {1}", "subi": "{0} - {1}", "muli": "{0} * {1}", "divsi": "quotient({0}, {1})", "divui": "{0} // {1}",
    "floordivsi": "{0} // {1}", "ceildivsi": "-(-{0} // {1})", "ceildivui": "-(-{0} // {1})", "remsi": "remainder({0}, {1})",
    "remui": "{0} % {1}", "minsi": "min({0}, {1})", "minui": "min({0}, {1})", "maxsi": "max({0}, {1})", "maxui": "max({0}, {1})",
    "andi": "{0} & {1}", "ori": "{0} | {1}", "xori": "{0} ^ {1}", "shli": "{0} << {1}", "shrsi": "{0} >> {1}", "shrui": "{0} >> {1}",
    "addf": "{0} + {1}", "subf": "{0} - {1}", "mulf": "{0} * {1}", "divf": "{0} / {1}", "maximumf": "max({0}, {1})",
    "minimumf": "min({0}, {1})", "negf": "-{0}", "select": "({1} if {0} else {2})", "index_cast": "{0}", "index_castui": "{0}",
    "extsi": "{0}", "extui": "{0}", "trunci": "{0}", "extf": "{0}", "truncf": "{0}", "sitofp": "float({0})", "uitofp": "float({0})",
    "fptosi": "int({0})",
}  # fmt: skip
COMPARE = {0: "==", 1: "!=", 2: "<", 3: "<=", 4: ">", 5: ">=", 6: "<", 7: "<=", 8: ">", 9: ">="}
COMPARE_FLOAT = {1: "==", 2: ">", 3: ">=", 4: "<", 5: "<=", 6: "!=", 13: "!="}

SETTLED = {
    **{f"sim.{name}": slice(None) for name in ("tile", "part", "reshape", "view", "slice", "advance", "set", "wait", "signal", "await")},
    "scf.if": slice(None), "scf.for": slice(3),
}  # fmt: skip
"""Ops, and which of their operands, that need numbers which are known when the stream is made."""

PLACES = ("offset", "index_row", "index_col")
"""Operands of commands that say which bytes they touch."""


class Folded:
    """A value known when writing; `name` is the constant's name in the written code."""

    def __init__(self, value: Any, name: str) -> None:
        self.value, self.name = value, name


class Written(NamedTuple):
    """A function written out: `run`; (name, element type or None for a number) of its arguments; the number of its sites."""

    run: Callable[..., None]
    arguments: list[tuple[str, str | None]]
    sites: int


def write_stream(
    function: func.FuncOp, arch: str, sites: list[Site], vectors: int, hints: list[str], instead: dict[str, Any] | None = None, written: frozenset[str] = frozenset(),
    first_site: int | None = None,
) -> Written:
    """run(append, block, blocks, sub, memories, load, *values) appends one core's commands.

    New sites are added to `sites`, what may explain a deadlock to `hints`.
    `first_site`: number of the function's first site, where another form of it has made them.  `memories` takes the bytes of on-chip
    rings by name.  `instead`: functions on regions that replace the ordinary ones.  `written`:
    global memories that the kernel writes.
    """
    writer = Writer(arch, sites, vectors, hints, first_site)
    writer.scope |= {"written": written, **(instead or {})}
    return writer.write(function)


class Writer:
    """Writes one function out, line by line; a method for each op that is not arithmetic."""
    def __init__(self, arch: str, sites: list[Site], vectors: int, hints: list[str], first_site: int | None = None) -> None:
        self.arch, self.sites, self.vectors, self.hints = arch, sites, vectors, hints
        self.first_site = len(sites) if first_site is None else first_site
        self.lines: list[str] = []
        self.depth = 1
        self.values: dict[ir.Value, str | Folded] = {}
        self.scope: dict[str, Any] = {
            **scope_of_regions(), "Command": Command, "Channel": Channel, "work_of": work_of, "narrowed": narrowed, "works": works,
        }  # fmt: skip
        self.count = self.site_count = 0
        self.fetches = False

    def write(self, function: func.FuncOp) -> Written:
        """The function, compiled."""
        block = function.entry_block
        self.find_mesh(function)
        self.fetches = "sim.fetch" in str(function)
        names = plain(function.attributes["sim.arg_names"]) if "sim.arg_names" in function.attributes else []
        arguments = []
        for i, argument in enumerate(block.arguments):
            name = names[i] if i < len(names) else f"arg{i}"
            self.values[argument] = f"a{i}"
            arguments.append((name, element_of(argument.type)))
        self.block(block)
        head = ", ".join(["append", "block", "blocks", "sub", "memories", "load", *[f"a{i}" for i in range(len(arguments))]])
        source = "\n".join([f"def stream({head}):", *self.lines, "    return None"])
        exec(compile(source, f"<stream {function.name.value}>", "exec"), self.scope)
        return Written(self.scope["stream"], arguments, self.site_count)

    def find_mesh(self, function: func.FuncOp) -> None:
        """Takes the mesh that the function's module names, for its links."""
        attributes = function.operation.parent.attributes if function.operation.parent is not None else {}
        if "sim.mesh" in attributes:
            self.scope["mesh"] = Mesh(*plain(attributes["sim.mesh"]))

    # values

    def line(self, text: str) -> None:
        """Adds a line at the present depth."""
        self.lines.append("    " * self.depth + text)

    def name(self, stem: str) -> str:
        """A new name."""
        self.count += 1
        return f"{stem}{self.count}"

    def fold(self, value: Any) -> Folded:
        """A value that is known now, with a name for it."""
        if type(value) in (int, bool):
            return Folded(value, repr(value) if value >= 0 else f"({value!r})")
        name = self.name("K")
        self.scope[name] = value
        return Folded(value, name)

    def text(self, value: ir.Value) -> str:
        """What stands for a value in the written code."""
        known = self.values[value]
        return known.name if isinstance(known, Folded) else known

    def texts(self, values: Any) -> list[str]:
        """What stands for some values."""
        return [self.text(v) for v in values]

    def known(self, *values: ir.Value) -> bool:
        """True if all values are known now."""
        return all(isinstance(self.values[v], Folded) for v in values)

    def define(self, result: ir.Value, expression: str, inputs: list[ir.Value]) -> None:
        """Binds a result to an expression of its inputs, folded where all are known."""
        if self.known(*inputs):
            self.values[result] = self.fold(eval(expression, self.scope))
            return
        name = self.name("v")
        self.line(f"{name} = {expression}")
        self.values[result] = name

    def site(self, op: ir.Operation, kind: str, name: str, pipe: str, **facts: Any) -> str:
        """A site of the program; one that another form of this function has made is taken."""
        number = self.first_site + self.site_count
        self.site_count += 1
        if number == len(self.sites):
            self.sites.append(Site(number, kind, name, pipe, location_of(op), **facts))
        return self.fold(self.sites[number]).name

    # structure

    def block(self, block: ir.Block) -> None:
        """Writes the ops of a block."""
        for op in block.operations:
            self.op(op.operation)

    def op(self, op: ir.Operation) -> None:
        """Writes one op."""
        if self.fetches and op.name in SETTLED:
            self.settle(list(op.operands)[SETTLED[op.name]], location_of(op))
        stem = op.name.replace(".", "_")
        method = getattr(self, f"_{stem}", None)
        if method is not None:
            method(op)
        elif op.name.startswith("arith.") and op.name[6:] in BINARY:
            text = LAZY.get(op.name[6:], BINARY[op.name[6:]]) if self.fetches else BINARY[op.name[6:]]
            self.define(op.results[0], text.format(*self.texts(op.operands)), list(op.operands))
        else:
            raise NotSupportedError(f"'{op.name}' cannot be simulated", location_of(op))

    def settle(self, values: list[ir.Value], location: str) -> None:
        """Refuses, when the stream is made, values that are known at run time only."""
        for value in values:
            if not self.known(value):
                self.line(f"settled({self.text(value)}, {location!r})")

    def _func_return(self, op: ir.Operation) -> None:
        self.line("return None" if self.depth > 1 else "pass")

    def _arith_constant(self, op: ir.Operation) -> None:
        self.values[op.results[0]] = self.fold(plain(op.attributes["value"]))

    def _arith_cmpi(self, op: ir.Operation) -> None:
        a, b = self.texts(op.operands)
        sign = COMPARE[plain(op.attributes["predicate"])]
        self.define(op.results[0], f"lazily(COMPARED[{sign!r}], {a}, {b})" if self.fetches else f"{a} {sign} {b}", list(op.operands))

    def _arith_cmpf(self, op: ir.Operation) -> None:
        a, b = self.texts(op.operands)
        sign = COMPARE_FLOAT[plain(op.attributes["predicate"])]
        self.define(op.results[0], f"lazily(COMPARED[{sign!r}], {a}, {b})" if self.fetches else f"{a} {sign} {b}", list(op.operands))

    def results(self, op: ir.Operation) -> list[str]:
        """New names for the results of an op."""
        names = [self.name("v") for _ in op.results]
        self.values.update(zip(op.results, names))
        return names

    def region(self, block: ir.Block, targets: list[str]) -> None:
        """A nested block; its yield assigns `targets`."""
        self.depth += 1
        start = len(self.lines)
        for op in block.operations:
            if op.operation.name == "scf.yield":
                self.assign(targets, list(op.operation.operands))
            else:
                self.op(op.operation)
        if len(self.lines) == start:
            self.line("pass")
        self.depth -= 1

    def assign(self, targets: list[str], values: list[ir.Value]) -> None:
        """Writes an assignment of all at once."""
        if targets:
            self.line(f"{', '.join(targets)} = {', '.join(self.texts(values))}")

    def _scf_for(self, op: ir.Operation) -> None:
        low, high, step, *initial = op.operands
        block = op.regions[0].blocks[0]
        induction, *carried = block.arguments
        names = self.results(op)
        self.assign(names, initial)
        self.values.update(zip(carried, names))
        variable = self.name("i")
        self.values[induction] = variable
        self.line(f"for {variable} in range({self.text(low)}, {self.text(high)}, {self.text(step)}):")
        self.region(block, names)

    def _scf_if(self, op: ir.Operation) -> None:
        names = self.results(op)
        self.line(f"if {self.text(op.operands[0])}:")
        self.region(op.regions[0].blocks[0], names)
        if len(op.regions[1].blocks):
            self.line("else:")
            self.region(op.regions[1].blocks[0], names)

    def _scf_while(self, op: ir.Operation) -> None:
        names = self.results(op)
        before, after = op.regions[0].blocks[0], op.regions[1].blocks[0]
        state = [self.name("v") for _ in before.arguments]
        self.assign(state, list(op.operands))
        self.values.update(zip(before.arguments, state))
        self.line("while True:")
        self.depth += 1
        for inner in before.operations:
            if inner.operation.name == "scf.condition":
                condition, *values = inner.operation.operands
                self.assign(names, values)
                if self.fetches:
                    self.settle([condition], location_of(op))
                self.line(f"if not {self.text(condition)}: break")
            else:
                self.op(inner.operation)
        self.depth -= 1
        self.values.update(zip(after.arguments, names))
        self.region(after, state)

    # the sim dialect

    def _sim_id(self, op: ir.Operation) -> None:
        names = {"block_idx": "block", "block_num": "blocks", "subblock_idx": "sub", "subblock_num": repr(self.vectors)}
        self.values[op.results[0]] = names[plain(op.attributes["of"])]

    def _layout(self, op: ir.Operation) -> str:
        return ", ".join(repr(plain(op.attributes[k])) for k in ("dtype", "rows", "cols", "blayout", "slayout", "fractal"))

    def _sim_tile(self, op: ir.Operation) -> None:
        address, rows, cols = self.texts(op.operands)
        memory = plain(op.attributes["memory"])
        if "axis" in op.attributes:
            name = self.name("v")
            self.line(f"{name} = TileRef({self.buffer(op)}, {address}, {self._layout(op)}, 0, 0, {rows}, {cols})")
            self.values[op.results[0]] = name
            return
        if "ring" in op.attributes:
            owner = plain(op.attributes["owner"]) if "owner" in op.attributes else "sub"
            name = self.name("v")
            place = f"ring_memory({plain(op.attributes['ring'])!r}, block, {owner}, {memory!r})"
            self.line(f"{name} = TileRef({place}, {address}, {self._layout(op)}, 0, 0, {rows}, {cols})")
            self.values[op.results[0]] = name
            return
        self.define(op.results[0], f"TileRef({memory!r}, {address}, {self._layout(op)}, 0, 0, {rows}, {cols})", list(op.operands))

    @staticmethod
    def buffer(op: ir.Operation) -> str:
        """The receive buffer that a message lies in, as text: this block's, or that of the neighbour that it goes to."""
        at = "block"
        if "toward" in op.attributes:
            at = f"linked(mesh, block, blocks, sub, {plain(op.attributes['axis'])}, {plain(op.attributes['toward'])!r}, {location_of(op)!r})"
        return f"link_memory({plain(op.attributes['ring'])!r}, {at}, {plain(op.attributes['memory'])!r})"

    def link_line(self, op: ir.Operation, sends: bool) -> None:
        """Refuses a message over a link that is not there."""
        facts = self.scope[f"facts_{self.text(op.operands[0])}"]
        if "link" in facts:
            direction = facts["link"] if sends else OPPOSITE[facts["link"]]
            self.line(f"linked(mesh, block, blocks, sub, {facts['axis']}, {direction!r}, {location_of(op)!r})")

    def _sim_part(self, op: ir.Operation) -> None:
        self.define(op.results[0], f"part({', '.join(self.texts(op.operands))})", list(op.operands))

    def _sim_reshape(self, op: ir.Operation) -> None:
        self.define(op.results[0], f"reshape({', '.join(self.texts(op.operands))}, {self._layout(op)})", list(op.operands))

    def _sim_advance(self, op: ir.Operation) -> None:
        pointer, offset = self.texts(op.operands)
        self.define(op.results[0], f"advance({pointer}, {offset}, {plain(op.attributes['unit'])})", list(op.operands))

    def _lists(self, op: ir.Operation) -> tuple[str, str, str]:
        sizes = plain(op.attributes["operandSegmentSizes"])
        first, *rest = self.texts(op.operands)
        left, right = rest[: sizes[1]], rest[sizes[1] :]
        return first, tuple_text(left), tuple_text(right)

    def _sim_view(self, op: ir.Operation) -> None:
        pointer, sizes, strides = self._lists(op)
        self.define(op.results[0], f"view({pointer}, {plain(op.attributes['dtype'])!r}, {sizes}, {strides})", list(op.operands))

    def _sim_slice(self, op: ir.Operation) -> None:
        source, offsets, sizes = self._lists(op)
        self.define(op.results[0], f"slice_({source}, {offsets}, {sizes})", list(op.operands))

    def _sim_number(self, op: ir.Operation) -> None:
        self.values[op.results[0]] = self.values[op.operands[0]]

    def _sim_command(self, op: ir.Operation) -> None:
        site, work, operands, reads, writes = self.command(op)
        self.append(f"Command({site}, -1, {work}, {operands}, {reads}, {writes})", self.known(*op.operands))

    def _sim_fetch(self, op: ir.Operation) -> None:
        """The command, with the register that its number goes to as one more operand it writes."""
        site, work, operands, reads, _ = self.command(op)
        facts, number = self.results(op)[0], self.name("v")
        self.line(f"{facts} = {operands}")
        self.line(f"{number} = fetched({facts}, {reads}, written, load, {site})")
        target = op_class(plain(op.attributes["op"])).result_names()[0]
        into = f"(({target!r}, {number} if type({number}) is Register else Register({site}.op, {site}.location)),)"
        self.line(f"append(Command({site}, -1, {work}, {facts} + {into}, {reads}, ({target!r},)))")
        self.values[op.results[0]] = number

    def command(self, op: ir.Operation) -> tuple[str, str, str, str, str]:
        """Site, work, operands, reads and writes of a command, as text."""
        facts, attributes = self.attributes_of(op)
        site = self.site(op, "work", facts["op"], facts["pipe"], attributes=attributes, tensors=tensors_of(op))
        operands = tuple_text([f"({name!r}, {self.text(v)})" for name, v in zip(facts["names"], op.operands)])
        cls = op_class(facts["op"])
        if cls.narrow.__func__ is not PtoOp.narrow.__func__:
            if self.fetches:
                self.settle([v for name, v in zip(facts["names"], op.operands) if name in PLACES], location_of(op))
            operands = self.narrowed(site, operands, op)
            facts["reads"] = [name for name in facts["reads"] if name not in cls.partial]
        work = f"work_of({site}, {facts['work']!r}, {operands}, {tuple_text(map(repr, facts['reads']))})"
        return site, work, operands, tuple_text(map(repr, facts["reads"])), tuple_text(map(repr, facts["writes"]))

    @staticmethod
    def attributes_of(op: ir.Operation) -> tuple[dict[str, Any], dict[str, Any]]:
        """The facts of a command, and the attributes of its op."""
        facts = {name: plain(attr) for name, attr in op.attributes.items() if name != "attributes"}
        inner = op.attributes["attributes"] if "attributes" in op.attributes else {}
        return facts, {named.name: plain(named.attr) for named in inner} if inner else {}

    def narrowed(self, site: str, operands: str, op: ir.Operation) -> str:
        """The operands with each region cut to what the command touches."""
        expression = f"narrowed({site}, {operands})"
        if self.known(*op.operands):
            return self.fold(eval(expression, self.scope)).name
        name = self.name("v")
        self.line(f"{name} = {expression}")
        return name

    def append(self, expression: str, known: bool) -> None:
        """Appends a command; one made of constants alone is made once."""
        self.line(f"append({self.fold(eval(expression, self.scope)).name if known else expression})")

    def flag_site(self, op: ir.Operation, kind: str) -> str:
        """The site of a set or wait."""
        pipe, peer = plain(op.attributes["pipe"]), plain(op.attributes["peer"])
        if kind == "wait":
            pipe, peer = peer, pipe
        return self.site(op, kind, f"{kind}_flag", pipe, peer=peer, **self.stated_unit(op))

    def _flag(self, op: ir.Operation, kind: str) -> None:
        site = self.flag_site(op, kind)
        self.append(f"Command({site}, {self.text(op.operands[0])})", self.known(op.operands[0]))

    @staticmethod
    def stated_unit(op: ir.Operation) -> dict[str, Any]:
        """Unit and role of a flag or barrier, where the text states them."""
        return {key: plain(op.attributes[key]) for key in ("unit", "role") if key in op.attributes}

    def _sim_set(self, op: ir.Operation) -> None:
        self._flag(op, "set")

    def _sim_wait(self, op: ir.Operation) -> None:
        self._flag(op, "wait")

    def _sim_barrier(self, op: ir.Operation) -> None:
        site = self.site(op, "barrier", "pipe_barrier", plain(op.attributes["pipe"]), **self.stated_unit(op))
        self.append(f"Command({site})", True)

    def _sim_signal(self, op: ir.Operation) -> None:
        site = self.site(op, "signal", "signal", plain(op.attributes["pipe"]))
        self.append(f"Command({site}, {self.text(op.operands[0])})", self.known(op.operands[0]))

    def _sim_await(self, op: ir.Operation) -> None:
        site = self.site(op, "await", "await", plain(op.attributes["pipe"]))
        self.append(f"Command({site}, {self.text(op.operands[0])})", self.known(op.operands[0]))

    def _sim_ids(self, op: ir.Operation) -> None:
        name = self.results(op)[0]
        self.line(f"{name} = Ids({plain(op.attributes['size'])}, {location_of(op)!r})")

    def _sim_put(self, op: ir.Operation) -> None:
        ids, index, value = self.texts(op.operands)
        self.line(f"{ids}.put({index}, {value})")

    def _sim_get(self, op: ir.Operation) -> None:
        ids, index = self.texts(op.operands)
        self.line(f"{self.results(op)[0]} = {ids}.get({index})")

    def _sim_channel(self, op: ir.Operation) -> None:
        facts = {name: plain(attr) for name, attr in op.attributes.items()}
        name = self.name("ch")
        numbers = ", ".join(str(facts[k]) for k in ("slots", "slot_bytes", "period", "flag_ready", "flag_free"))
        self.line(f"{name} = Channel({numbers})")
        if "link" in facts:
            place = f"link_memory({facts['channel']!r}, block, {facts['on_chip']!r})"
            self.line(f"memories[{place}] = {facts['slots'] * facts['slot_bytes']}")
        elif "on_chip" in facts:
            owners = 1 if facts["producer"] == "aiv" else self.vectors
            for owner in range(owners):
                place = f"ring_memory({facts['channel']!r}, block, {owner}, {facts['on_chip']!r})"
                self.line(f"memories[{place}] = {facts['slots'] * facts['slot_bytes']}")
        self.values[op.results[0]] = name
        self.scope[f"facts_{name}"] = facts

    def _token(self, op: ir.Operation, kind: str, what: str, flag: str, pipe: str) -> tuple[str, str]:
        """(channel variable, constant command) of a channel op."""
        channel = self.text(op.operands[0])
        facts = self.scope[f"facts_{channel}"]
        site = self.site(op, kind, what_of(what, facts), pipe, channel=facts["channel"], link=facts.get("link", ""))
        return channel, self.fold(Command(self.scope[site], facts[flag])).name

    @staticmethod
    def waiting(op: ir.Operation) -> str:
        """The pipe that waits: the scalar unit where none is named."""
        return plain(op.attributes["pipe"]) if "pipe" in op.attributes else "S"

    def _sim_acquire(self, op: ir.Operation) -> None:
        channel, command = self._token(op, "await", "talloc", "flag_free", self.waiting(op))
        self.link_line(op, sends=True)
        name = self.results(op)[0]
        self.line(f"{name} = {channel}.acquire(append, {command})")

    def _sim_push(self, op: ir.Operation) -> None:
        _, command = self._token(op, "signal", "tpush", "flag_ready", plain(op.attributes["pipe"]))
        self.line(f"append({command})")

    def _sim_take(self, op: ir.Operation) -> None:
        channel, command = self._token(op, "await", "tpop", "flag_ready", self.waiting(op))
        self.link_line(op, sends=False)
        name = self.results(op)[0]
        self.line(f"{name} = {channel}.take(append, {command})")

    def _sim_local(self, op: ir.Operation) -> None:
        name = self.results(op)[0]
        self.line(f"{name} = {self.text(op.operands[0])}.local({plain(op.attributes['slots'])})")

    def _sim_release(self, op: ir.Operation) -> None:
        if "unnamed" in op.attributes:
            name = self.scope[f"facts_{self.text(op.operands[0])}"]["channel"]
            self.hints.append(f"{location_of(op)}: this free of pipe '{name}' does not name its entry, so the producer is never told of a free slot")
            return
        channel, command = self._token(op, "signal", "tfree", "flag_free", plain(op.attributes["pipe"]))
        self.line(f"{channel}.release(append, {command})")


def what_of(what: str, facts: dict[str, Any]) -> str:
    """The name of a slot command: of a link it is the send or the receive that it belongs to."""
    return {"talloc": "tsend", "tpush": "tsend", "tpop": "trecv", "tfree": "trecv"}[what] if "link" in facts else what


def tuple_text(parts: Any) -> str:
    """A tuple of texts, as text."""
    parts = list(parts)
    return f"({', '.join(parts)},)" if parts else "()"


def element_of(type_: ir.Type) -> str | None:
    """Element type of a !sim.memory argument, None for a number."""
    return ir.StringAttr(type_.params[0]).value if isinstance(type_, ir.DynamicType) else None
