"""From MLIR's print to `.pto` text: generic ops of ours in custom form, types and attributes in their short spelling."""

import re
from collections.abc import Sequence

from .assembly_fields import FieldReader
from .assembly_format import OpText, op_text
from .assembly_scan import STRING, DialectText, Scanner, split
from .assembly_show import CannotShow, Generic, Shower
from .assembly_symbols import Symbols
from .errors import ParseError

_STOP = re.compile(rf"(?P<string>{STRING})|(?P<brace>[{{}}])")
_RESULT = re.compile(r"[!\w][\w.]*")


class Writer:
    """Translates the print of one module."""

    def __init__(self, text: str, dialects: Sequence[DialectText], symbols: Symbols) -> None:
        self.scan = Scanner(text, "")
        self.dialects = dialects
        self.symbols = symbols
        self.ops = {name: op_text(name, cls) for d in dialects for name, cls in d.registry.items()}
        self._split: dict[str, list[str]] = {}

    def write(self) -> str:
        """The whole text."""
        return self._translate(region=False)

    def _translate(self, region: bool) -> str:
        scan, depth, begin = self.scan, 0, self.scan.at
        source, parts = scan.source, []
        while found := _STOP.search(source, scan.at):
            scan.at = found.end()
            if found.lastgroup == "brace":
                depth += 1 if found[0] == "{" else -1
                if region and depth < 0:
                    break
            elif found[0][1:-1] in self.ops and source.startswith("(", scan.at):
                parts += [self.symbols.outside(source[begin : found.start()]), self._op(self.ops[found[0][1:-1]], found.start())]
                begin = scan.at
        end = scan.at - 1 if region else len(source)
        return "".join(parts) + self.symbols.outside(source[begin:end])

    def _op(self, op: OpText, begin: int) -> str:
        generic, head, tail = self._generic(op, begin)
        for elements in op.formats:
            shower = Shower(generic, self.symbols)
            try:
                text = shower.show(elements)
            except CannotShow:
                continue
            if not shower.ambiguous or self._reads_back(text, generic):
                return text
        return head + "".join(generic.regions.values()) + tail

    def _generic(self, op: OpText, begin: int) -> tuple[Generic, str, str]:
        """The op, and its generic text before and after the region."""
        scan = self.scan
        operands = split(scan.balanced()[1:-1])
        regions, head = [], scan.at
        tail = head
        if scan.take("("):
            scan.need("{")
            head = scan.at
            regions.append(self._translate(region=True))
            tail = scan.at - 1
            scan.need(")")
        attributes = self._attributes(scan.balanced()) if scan.peek("{") else {}
        scan.need(":")
        types = self._types(scan.balanced()[1:-1])
        scan.need("->")
        results = self._types(scan.balanced()[1:-1]) if scan.peek("(") else [self._result()]
        # A lone variadic operand needs no segment sizes: it takes what the others leave.
        rest = len(operands) - len(op.operands) + 1
        default = [1 if kind == "single" else rest for kind in op.operands.values()]
        sizes = [int(n) for n in re.findall(r"\d+", attributes.pop("operandSegmentSizes", "").partition(":")[2])] or default
        values_of, types_of, at = {}, {}, 0
        for name, size in zip(op.operands, sizes):
            values_of[name] = [v.strip() for v in operands[at : at + size]]
            types_of[name] = types[at : at + size]
            at += size
        types_of.update((name, [text]) for name, text in zip(op.results, results) if text)
        outside = self.symbols.outside
        generic = Generic(op, values_of, types_of, dict(zip(op.regions, regions)), attributes)
        return generic, outside(scan.source[begin:head]), outside(scan.source[tail : scan.at])

    def _types(self, text: str) -> list[str]:
        if text not in self._split:
            self._split[text] = [part.strip() for part in split(text)]
        return self._split[text]

    def _result(self) -> str:
        begin = self.scan.match(_RESULT).start()
        if self.scan.source.startswith("<", self.scan.at):
            self.scan.balanced()
        return self.scan.source[begin : self.scan.at]

    def _attributes(self, text: str) -> dict[str, str]:
        pairs = [[*split(entry, "=")[:1], entry.partition("=")[2]] for entry in split(text[1:-1])]
        return {key.strip(): value.strip() for key, value in pairs}

    def _reads_back(self, text: str, generic: Generic) -> bool:
        """True where the reader finds the same operands in a custom form that could be read in two ways."""
        scan = Scanner(text, "", at=len(generic.op.spelling))
        try:
            parts = FieldReader(scan, self.symbols, scan.balanced).read(generic.op)
        except ParseError:
            return False
        return {n: [v for v, _ in vs] for n, vs in parts.values.items() if vs} == {n: vs for n, vs in generic.values.items() if vs}
