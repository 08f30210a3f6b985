"""One function of the simulator IR, written out as a Python function that gives what time sees of a stream: numbers of chunks.

Only what decides control, flags and work is written (`slices.py`); commands in a row that never differ are one chunk.
"""

from typing import Any

from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import PtoOp, plain

from .program import Codes, Site
from .slices import Slice, reads_two
from .tensors import tensors_of
from .timed import FlagChunks, TimeForm, WorkChunks
from .work import op_class
from .write_stream import Folded, Writer, element_of, tuple_text, what_of

REGIONS = ("sim.tile", "sim.part", "sim.reshape", "sim.advance", "sim.view", "sim.slice", "sim.number")


def write_time(function: func.FuncOp, arch: str, table: Codes, sites: list[Site], vectors: int, written: frozenset[str]) -> tuple[TimeForm, dict[ir.Operation, int]]:
    """The time form of a function, and the numbers of its ops' sites.  New sites are added to `sites`; constant commands to `table`."""
    writer = TimeWriter(arch, table, sites, vectors)
    return writer.write_form(function, written), writer.site_of


class TimeWriter(Writer):
    """Writes one function out as time sees it."""

    def __init__(self, arch: str, table: Codes, sites: list[Site], vectors: int) -> None:
        super().__init__(arch, sites, vectors, [])
        self.table = table
        self.site_of: dict[ir.Operation, int] = {}
        self.pending: list[int] = []
        self.marks: dict[int, int] = {}
        self.refs: dict[ir.Value, tuple[str, str]] = {}
        self.loops = 0
        self.hoisting = False
        self.hoisted = {"block": True, "sub": True, "blocks": False}
        self.frontier: dict[str, None] = {}
        self.key_lines: list[str] = []
        self.constants: dict[str, Any] = {}

    def write_form(self, function: func.FuncOp, written: frozenset[str]) -> TimeForm:
        """The function, written out."""
        block = function.entry_block
        self.find_mesh(function)
        if "mesh" in self.scope:
            self.constants["mesh"] = self.scope["mesh"]
        self.fetches = "sim.fetch" in str(function)
        self.wanted = self.slice_of(block)
        names = plain(function.attributes["sim.arg_names"]) if "sim.arg_names" in function.attributes else []
        arguments = []
        for i, argument in enumerate(block.arguments):
            self.values[argument] = f"a{i}"
            self.hoisted[f"a{i}"] = False
            arguments.append((names[i] if i < len(names) else f"arg{i}", element_of(argument.type)))
        self.block(block)
        self.flush()
        head = ", ".join(["block", "blocks", "sub", *[f"a{i}" for i in range(len(arguments))]])
        source = "\n".join([
            f"def stream(emit, load, {head}):", *self.lines, "    return None",
            f"def key({head}):", *self.key_lines, f"    return {tuple_text(self.frontier)}",
        ])  # fmt: skip
        return TimeForm(function.name.value, source, self.constants | {"written": written}, arguments, self.marks)

    def slice_of(self, block: ir.Block) -> Slice:
        """What is written of a function."""
        return Slice(block, fold=not self.fetches)

    def site(self, op: ir.Operation, kind: str, name: str, pipe: str, **facts: Any) -> str:
        """See Writer.site; remembers the op's number."""
        self.site_of[op] = self.first_site + self.site_count
        return super().site(op, kind, name, pipe, **facts)

    # values

    def fold(self, value: Any) -> Folded:
        """A value that is known now; its name is a constant of the form."""
        folded = super().fold(value)
        if folded.name in self.scope:
            self.constants[folded.name] = value
        return folded

    def known(self, *values: ir.Value) -> bool:
        """True if all values are known now."""
        return all(isinstance(self.values.get(v), Folded) for v in values)

    def text(self, value: ir.Value) -> str:
        """What stands for a value; one that is the same for alike cores counts as part of their key."""
        if value in self.refs:  # carried by a loop, chosen by a condition: as it is, not as a text
            shape, full = self.refs[value]
            return full or shape
        text = super().text(value)
        if self.hoisted.get(text) and not self.hoisting:
            self.frontier[text] = None
        return text

    def define(self, result: ir.Value, expression: str, inputs: list[ir.Value]) -> None:
        """Binds a result to an expression; where no loop is open the key has it too."""
        if self.known(*inputs):
            self.values[result] = self.fold(eval(expression, self.scope))
            return
        name = self.name("v")
        line = "    " * self.depth + f"{name} = {expression}"
        self.lines.append(line)
        if self.hoisting:
            self.key_lines.append(f"    {name} = {expression}")
            self.hoisted[name] = any(self.hoisted.get(self.values[v], False) for v in inputs if not isinstance(self.values[v], Folded))
        self.values[result] = name

    def _hoistable(self, value: ir.Value) -> bool:
        known = self.values.get(value)
        return isinstance(known, Folded) or known in self.hoisted

    # emission

    def line(self, text: str) -> None:
        """Adds a line after the commands that are pending."""
        self.flush()
        super().line(text)

    def flush(self) -> None:
        """Writes the constant commands that have come together as one chunk."""
        if self.pending:
            number = self.table.chunk(tuple(self.pending))
            self.pending.clear()
            super().line(f"emit({number})")

    def append(self, expression: str, known: bool) -> None:
        """Commands of the time form are codes."""
        raise AssertionError("commands of the time form are codes")

    # structure

    def op(self, op: ir.Operation) -> None:
        """Writes one op if time sees it."""
        if len(op.regions):
            if op in self.wanted.busy:
                super().op(op)
            return
        if op.name in REGIONS:
            self.region_text(op)
            return
        results = list(op.results)
        if op.name.startswith("arith."):
            result = results[0]
            if result in self.wanted.constants:
                self.values[result] = self.fold(self.wanted.constants[result])
                return
            if result not in self.wanted.full and result not in self.wanted.shapes and op.name != "arith.constant":
                return
            self.hoisting = self.loops == 0 and all(map(self._hoistable, op.operands))
            super().op(op)
            self.hoisting = False
            return
        super().op(op)

    def region(self, block: ir.Block, targets: list[str]) -> None:
        """A nested block; its yield assigns `targets`."""
        self.flush()
        self.depth += 1
        start = len(self.lines)
        for op in block.operations:
            if op.operation.name == "scf.yield":
                self.assign(targets, list(op.operation.operands))
            else:
                self.op(op.operation)
        self.flush()
        if len(self.lines) == start:
            super().line("pass")
        self.depth -= 1

    def results(self, op: ir.Operation) -> list[Any]:
        """Names for the results of an op, None for those that nothing needs."""
        wanted = self.wanted
        keep = op.name not in ("scf.if", "scf.for")
        names = [self.name("v") if keep or r in wanted.full or r in wanted.shapes else None for r in op.results]
        self.values.update((r, n) for r, n in zip(op.results, names) if n)
        return names

    def assign(self, targets: list[Any], values: list[ir.Value]) -> None:
        """Writes an assignment of those targets that have a name."""
        pairs = [(target, value) for target, value in zip(targets, values) if target]
        super().assign([target for target, _ in pairs], [value for _, value in pairs])

    def _scf_for(self, op: ir.Operation) -> None:
        low, high, step, *initial = op.operands
        block = op.regions[0].blocks[0]
        induction, *carried = block.arguments
        names = self.results(op)
        self.assign(names, initial)
        self.values.update((c, n) for c, n in zip(carried, names) if n)
        variable = self.name("i")
        self.values[induction] = variable
        self.line(f"for {variable} in range({self.text(low)}, {self.text(high)}, {self.text(step)}):")
        self.loops += 1
        self.mark()
        self.region(block, names)
        self.loops -= 1

    def mark(self) -> None:
        """An empty chunk at the beginning of each iteration of a loop."""
        mark = len(self.table.chunks)
        self.table.chunks.append(())
        self.marks[mark] = len(self.marks)
        self.depth += 1
        super().line(f"emit({mark})")
        self.depth -= 1

    def _scf_while(self, op: ir.Operation) -> None:
        self.loops += 1
        super()._scf_while(op)
        self.loops -= 1

    # regions: texts, of the shape alone and in full

    def region_text(self, op: ir.Operation) -> None:
        """Remembers the texts of a region: of its shape alone and, where that is wanted, in full."""
        result = op.results[0]
        wanted = self.wanted
        full = result in wanted.full
        if not full and result not in wanted.shapes:
            return
        self.refs[result] = (self._shape(op, False), self._shape(op, True) if full else "")

    def ref(self, value: ir.Value, full: bool) -> str:
        """The text of a region; of anything else its ordinary text."""
        if value in self.wanted.constants:
            return repr(self.wanted.constants[value])
        return self.refs[value][full] if value in self.refs else self.text(value)

    def _shape(self, op: ir.Operation, full: bool) -> str:
        operands = list(op.operands)
        if op.name == "sim.number":
            return self.text(operands[0]) if full else "0"
        if op.name == "sim.tile":
            memory = repr(plain(op.attributes["memory"]))
            address = self.text(operands[0]) if full else "0"
            if full and "axis" in op.attributes:
                memory = self.buffer(op)
                self.frontier |= dict.fromkeys(("block", "sub"))
            elif full and "ring" in op.attributes:
                owner = plain(op.attributes["owner"]) if "owner" in op.attributes else "sub"
                memory = f"ring_memory({plain(op.attributes['ring'])!r}, block, {owner}, {memory})"
                self.frontier |= dict.fromkeys(("block", "sub"))
            return f"TileRef({memory}, {address}, {self._layout(op)}, 0, 0, {', '.join(self.texts(operands[1:]))})"
        source = self.ref(operands[0], full)
        if op.name == "sim.part":
            return f"part({', '.join([source, *self.texts(operands[1:])])})"
        if op.name == "sim.reshape":
            return f"reshape({', '.join([source, *self.texts(operands[1:])])}, {self._layout(op)})"
        if op.name == "sim.advance":
            return f"advance({source}, {self.text(operands[1])}, {plain(op.attributes['unit'])})" if full else source
        sizes = plain(op.attributes["operandSegmentSizes"])
        left, right = operands[1 : 1 + sizes[1]], operands[1 + sizes[1] :]
        if op.name == "sim.view":
            return f"view({source}, {plain(op.attributes['dtype'])!r}, {tuple_text(self.texts(left))}, {tuple_text(self.texts(right))})"
        offsets = self.texts(left) if full else ["0"] * len(left)
        return f"slice_({source}, {tuple_text(offsets)}, {tuple_text(self.texts(right))})"

    # commands

    def _sim_command(self, op: ir.Operation) -> None:
        facts, site = self.facts_of(op)
        cls = op_class(facts["op"])
        narrows = cls.narrow.__func__ is not PtoOp.narrow.__func__
        placed = reads_two(op)
        reads = self.reads_of(facts, cls, narrows)
        operands = tuple_text([f"({name!r}, {self.ref(v, narrows or (placed and name in facts['reads']))})" for name, v in zip(facts["names"], op.operands)])
        self.work(site, operands, reads, narrows)

    @staticmethod
    def reads_of(facts: dict[str, Any], cls: type[PtoOp], narrows: bool) -> list[str]:
        """Names of the operands that a command reads, as its full form has them."""
        return [name for name in facts["reads"] if not (narrows and name in cls.partial)]

    def work(self, site: str, operands: str, reads: list[str], narrows: bool) -> None:
        """A command whose work follows from `operands`: a constant, or looked up by the variables in them."""
        names = sorted(set(compile(operands, "", "eval").co_names) - set(self.scope))
        body = f"works({site}, {f'narrowed({site}, {operands})' if narrows else operands}, {tuple_text(map(repr, reads))})"
        if not names:
            self.pending.append(self.table.code(*eval(body, self.scope)))
            return
        for name in names:
            if self.hoisted.get(name):
                self.frontier[name] = None
        table = self.name("w")
        self.constants[table] = WorkChunks(f"lambda {', '.join(names)}: {body}")
        self.line(f"emit({table}[{tuple_text(names)}])")

    def _sim_fetch(self, op: ir.Operation) -> None:
        facts, site = self.facts_of(op)
        cls = op_class(facts["op"])
        narrows = cls.narrow.__func__ is not PtoOp.narrow.__func__
        operands = tuple_text([f"({name!r}, {self.ref(v, True)})" for name, v in zip(facts["names"], op.operands)])
        reads = self.reads_of(facts, cls, narrows)
        result = op.results[0]
        if result in self.wanted.full or result in self.wanted.shapes:
            whole = f"narrowed({site}, {operands})" if narrows else operands
            name = self.results(op)[0]
            self.line(f"{name} = fetched({whole}, {tuple_text(map(repr, reads))}, written, load, {site})")
        self.work(site, operands, reads, narrows)

    def facts_of(self, op: ir.Operation) -> tuple[dict[str, Any], str]:
        """The facts of a command op, and its site."""
        facts, attributes = self.attributes_of(op)
        return facts, self.site(op, "work", facts["op"], facts["pipe"], attributes=attributes, tensors=tensors_of(op))

    def constant(self, site: str, flag: int = -1) -> None:
        """A command that is always the same."""
        self.pending.append(self.table.code(self.scope[site], flag))

    def flagged(self, site: str, value: ir.Value) -> None:
        """A command with a flag."""
        known = self.values[value]
        if isinstance(known, Folded):
            self.constant(site, known.value)
            return
        table = self.name("f")
        self.constants[table] = FlagChunks(self.scope[site])
        self.line(f"emit({table}[{self.text(value)}])")

    def _flag(self, op: ir.Operation, kind: str) -> None:
        self.flagged(self.flag_site(op, kind), op.operands[0])

    def _sim_barrier(self, op: ir.Operation) -> None:
        self.constant(self.site(op, "barrier", "pipe_barrier", plain(op.attributes["pipe"]), **self.stated_unit(op)))

    def _sim_signal(self, op: ir.Operation) -> None:
        self.flagged(self.site(op, "signal", "signal", plain(op.attributes["pipe"])), op.operands[0])

    def _sim_await(self, op: ir.Operation) -> None:
        self.flagged(self.site(op, "await", "await", plain(op.attributes["pipe"])), op.operands[0])

    def link_line(self, op: ir.Operation, sends: bool) -> None:
        """As in the full form; which links are there decides, so that blocks at different places are not alike."""
        super().link_line(op, sends)
        if "link" in self.scope[f"facts_{self.text(op.operands[0])}"]:
            self.frontier |= dict.fromkeys(("block", "sub"))

    # slot pipes: the two counters of a channel

    def _sim_channel(self, op: ir.Operation) -> None:
        name = self.name("ch")
        self.lines.append("    " * self.depth + f"{name}a = {name}t = 0")
        self.values[op.results[0]] = name
        self.scope[f"facts_{name}"] = {key: plain(attr) for key, attr in ((n, a) for n, a in op.attributes.items())}

    def _token(self, op: ir.Operation, kind: str, what: str, flag: str, pipe: str) -> tuple[str, int]:
        channel = self.text(op.operands[0])
        facts = self.scope[f"facts_{channel}"]
        site = self.site(op, kind, what_of(what, facts), pipe, channel=facts["channel"], link=facts.get("link", ""))
        return channel, self.table.code(self.scope[site], facts[flag])

    def _slot(self, op: ir.Operation, counter: str, facts: dict[str, Any]) -> None:
        """The byte offset of the slot that a counter stands at, where it is wanted; then counts."""
        if op.results[0] in self.wanted.full or op.results[0] in self.wanted.shapes:
            name = self.results(op)[0]
            super().line(f"{name} = {counter} % {facts['slots']} * {facts['slot_bytes']}")
        super().line(f"{counter} += 1")

    def _sim_acquire(self, op: ir.Operation) -> None:
        channel, code = self._token(op, "await", "talloc", "flag_free", self.waiting(op))
        self.link_line(op, sends=True)
        facts = self.scope[f"facts_{channel}"]
        self.line(f"if {channel}a >= {facts['slots']} and {channel}a % {facts['period']} == 0: emit({self.table.chunk((code,))})")
        self._slot(op, f"{channel}a", facts)

    def _sim_push(self, op: ir.Operation) -> None:
        self.pending.append(self._token(op, "signal", "tpush", "flag_ready", plain(op.attributes["pipe"]))[1])

    def _sim_take(self, op: ir.Operation) -> None:
        channel, code = self._token(op, "await", "tpop", "flag_ready", self.waiting(op))
        self.link_line(op, sends=False)
        self.pending.append(code)
        self._slot(op, f"{channel}t", self.scope[f"facts_{channel}"])

    def _sim_local(self, op: ir.Operation) -> None:
        if op.results[0] in self.wanted.full or op.results[0] in self.wanted.shapes:
            channel = self.text(op.operands[0])
            slots, slot_bytes = plain(op.attributes["slots"]), self.scope[f"facts_{channel}"]["slot_bytes"]
            self.line(f"{self.results(op)[0]} = ({channel}t - 1) % {slots} * {slot_bytes}")

    def _sim_release(self, op: ir.Operation) -> None:
        if "unnamed" in op.attributes:
            return
        channel, code = self._token(op, "signal", "tfree", "flag_free", plain(op.attributes["pipe"]))
        self.line(f"if {channel}t % {self.scope[f'facts_{channel}']['period']} == 0: emit({self.table.chunk((code,))})")
