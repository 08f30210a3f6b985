"""From MLIR's print to `.pto` text: generic ops of ours in custom form, types and attributes in their short spelling."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .assembly_fields import FieldReader
from .assembly_format import Element, OpText, op_text
from .assembly_scan import STRING, DialectText, Scanner, join, split
from .assembly_symbols import Symbols
from .errors import ParseError

_STOP = re.compile(rf"(?P<string>{STRING})|(?P<brace>[{{}}])")
_I64 = re.compile(r"(-?\d+) : i64")
_TYPED = re.compile(r"\S+ : \w+")
_SHORT = re.compile(r"#pto(?:\.(\w+)<(.*)>|<(\w+) (.*)>)", re.S)
_RESULT = re.compile(r"[!\w][\w.]*")


class _CannotShow(Exception):
    """The format at hand does not express this instance."""


@dataclass
class Generic:
    """One op as MLIR prints it."""

    op: OpText
    values: dict[str, list[str]]
    types: dict[str, list[str]]
    regions: dict[str, str]
    attributes: dict[str, str]


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
            shower = _Shower(generic, self.symbols)
            try:
                text = shower.show(elements)
            except _CannotShow:
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
        sizes = [int(n) for n in re.findall(r"\d+", attributes.pop("operandSegmentSizes", "").partition(":")[2])] or [1] * len(op.operands)
        values_of, types_of, at = {}, {}, 0
        for name, size in zip(op.operands, sizes):
            values_of[name] = [v.strip() for v in operands[at : at + size]]
            types_of[name] = types[at : at + size]
            at += size
        types_of.update((name, [text]) for name, text in zip(op.results, results))
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


class _Shower:
    """Shows one op by one format."""

    def __init__(self, generic: Generic, symbols: Symbols) -> None:
        self.generic = generic
        self.symbols = symbols
        self.left = dict(generic.attributes)
        self.seen: set[str] = set()
        self.typed: set[str] = set()
        self.skipped: set[str] = set()
        self.ambiguous = False
        self.dictionary = -1
        self.parts: list[str] = []

    def show(self, elements: tuple[Element, ...]) -> str:
        """The op's custom form, or _CannotShow where the format leaves something out."""
        generic = self.generic
        self._elements(elements)
        hidden = [name for name, values in (*generic.values.items(), *generic.regions.items()) if values and name not in self.seen]
        if hidden or (self.left and self.dictionary < 0):
            raise _CannotShow
        for name, texts in generic.types.items():
            if name not in self.typed and any(text != self._fact(name) for text in texts):
                raise _CannotShow
        if self.left:
            shown = ", ".join(f"{key} = {self._plain(value)}" if value else key for key, value in self.left.items())
            self.parts.insert(self.dictionary, f"{{{shown}}}")
        return join(generic.op.spelling, self.parts)

    def _fact(self, name: str) -> str:
        op = self.generic.op
        fact = op.unspelled(name)
        if callable(fact):
            scan = Scanner("", "")
            fact = fact({n: self.symbols.record(scan, self.generic.types[n][0]) for n in self.typed if self.generic.types[n]})
        return self.symbols.fact(fact)

    def _elements(self, elements: tuple[Element, ...]) -> None:
        for element in elements:
            if element.kind != "group":
                self._element(element)
            elif self._present(element.anchor):
                self._elements(element.children)
            else:
                self.skipped.add(_start(element.children[0]))

    def _present(self, anchor: Element) -> bool:
        generic, name = self.generic, anchor.name
        if anchor.kind == "attribute":
            return name in generic.attributes
        if anchor.kind == "region":
            return bool(generic.regions.get(name))
        return name in generic.op.results or bool(generic.values.get(name))

    def _element(self, element: Element) -> None:
        if element.kind == "attr-dict":
            self.dictionary = len(self.parts)
            return
        self.ambiguous |= _start(element) in self.skipped
        self.skipped.clear()
        self.parts += {
            "literal": self._literal,
            "operand": self._operand,
            "variadic": self._operands,
            "type": self._type,
            "types": self._type,
            "attribute": self._attribute,
            "region": self._region,
        }[element.kind](element)

    def _literal(self, element: Element) -> list[str]:
        return [element.name]

    def _operand(self, element: Element) -> list[str]:
        self.seen.add(element.name)
        values = self.generic.values.get(element.name)
        if not values or len(values) > 1:
            raise _CannotShow
        return values

    def _operands(self, element: Element) -> list[str]:
        self.seen.add(element.name)
        values = self.generic.values[element.name]
        return [", ".join(values)] if values else []

    def _type(self, element: Element) -> list[str]:
        self.typed.add(element.name)
        types = self.generic.types.get(element.name)
        if not types and element.kind == "type":
            raise _CannotShow
        return [", ".join(self.symbols.outside(text) for text in types)] if types else []

    def _attribute(self, element: Element) -> list[str]:
        value = self.left.pop(element.name, "")
        if not value:
            raise _CannotShow
        text = self._plain(value)
        if element.before_colon and _TYPED.fullmatch(text):
            raise _CannotShow
        short = _SHORT.fullmatch(text)
        if short and (short[1] or short[3]) == self.generic.op.enums.get(element.name):
            return [f"<{short[2] or short[4]}>"]
        return [text]

    def _region(self, element: Element) -> list[str]:
        self.seen.add(element.name)
        if element.name not in self.generic.regions:
            raise _CannotShow
        return ["{" + self.generic.regions[element.name] + "}"]

    def _plain(self, value: str) -> str:
        number = _I64.fullmatch(value)
        return number[1] if number else self.symbols.outside(value)


def _start(element: Element) -> str:
    return element.name if element.kind == "literal" else {"operand": "%", "variadic": "%", "region": "{"}.get(element.kind, element.kind)
