"""Reading the fields of one op in custom form: operands, types, attributes, regions, optional groups."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .assembly_format import Element, OpText
from .assembly_positions import Output
from .assembly_scan import STRING, Scanner
from .assembly_symbols import Symbols
from .errors import ParseError

_VALUE = re.compile(r"%[\w$.-]+(?:#\d+)?")
_KEY = re.compile(rf"{STRING}|[A-Za-z_][\w$.-]*")
_NUMBER = re.compile(r"-?(?:0x[0-9A-Fa-f]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w.])")
_SCALAR_TYPE = re.compile(r"\s*:\s*(?:[su]?i\d+|index|bf16|f\d+\w*)(?![\w.])")
_AFTER_VALUE = re.compile(rf"{STRING}|[<({{\[]|[,}}\])]")
_SYMBOL_NAME = re.compile(rf"@(?:{STRING}|[\w$.-]+)(?:::@(?:{STRING}|[\w$.-]+))*")
_PLAIN = re.compile(
    rf"{STRING}|[#!][A-Za-z_][\w$.]*|(?:true|false|unit|dense|array|affine_map|affine_set|strided|index|none|[su]?i\d+|bf16|f\d+\w*|tensor|vector|memref|tuple)\b"
)

Piece = tuple[str, int]
"""A text and the place that it was written at."""


@dataclass
class Parts:
    """What has been read of one op: operands, their types, attributes and regions by name, each with its place."""

    values: dict[str, list[Piece]] = field(default_factory=dict)
    types: dict[str, list[Piece]] = field(default_factory=dict)
    attributes: list[tuple[str, str, int]] = field(default_factory=list)
    regions: dict[str, Output] = field(default_factory=dict)

    def copy(self) -> "Parts":
        """A copy to come back to."""
        return Parts(dict(self.values), dict(self.types), list(self.attributes), dict(self.regions))


class FieldReader:
    """Reads the fields of ops at the position of a scanner; `read_region` moves over a region after its '{'."""

    def __init__(self, scan: Scanner, symbols: Symbols, read_region: Callable[[Output], None]) -> None:
        self.scan = scan
        self.symbols = symbols
        self.read_region = read_region
        self._furthest: ParseError | None = None

    def read(self, op: OpText) -> Parts:
        """The parts of an op, by the first of its formats that fits.  Raises the ParseError that lies furthest in the text."""
        outer, self._furthest, start = self._furthest, None, self.scan.at
        for elements in op.formats:
            self.scan.at = start
            try:
                parts = self.read_format(elements, op)
                self._furthest = outer
                return parts
            except ParseError as error:
                self._keep(error)
        raise self._furthest

    def read_format(self, elements: tuple[Element, ...], op: OpText) -> Parts:
        """The parts of an op by one format, completed by the class's facts."""
        parts = Parts()
        self._elements(elements, parts, op)
        self._complete(parts, op, self.scan.at)
        return parts

    def _keep(self, error: ParseError) -> None:
        if self._furthest is None or error.at > self._furthest.at:
            self._furthest = error

    def _elements(self, elements: tuple[Element, ...], parts: Parts, op: OpText) -> None:
        for element in elements:
            if element.kind == "group":
                self._group(element, parts, op)
            else:
                self._element(element, parts, op)

    def _group(self, group: Element, parts: Parts, op: OpText) -> None:
        if not self._starts(group.children[0]):
            return
        at, attempt = self.scan.at, parts.copy()
        try:
            self._elements(group.children, attempt, op)
        except ParseError as error:
            self._keep(error)
            self.scan.at = at
            return
        parts.__dict__.update(attempt.__dict__)

    def _starts(self, element: Element) -> bool:
        if element.kind == "literal":
            return self.scan.peek(element.name)
        if element.kind in ("operand", "variadic"):
            return self.scan.peek("%")
        if element.kind == "attr-dict":
            return self.scan.at_dictionary()
        return not (element.kind == "region" and not self.scan.peek("{"))

    def _element(self, element: Element, parts: Parts, op: OpText) -> None:
        scan, name = self.scan, element.name
        scan.skip()
        at = scan.at
        if element.kind == "literal":
            scan.need(name)
        elif element.kind == "operand":
            parts.values[name] = [self.value()]
        elif element.kind == "variadic":
            parts.values[name] = self.values(element.leaves) if scan.peek("%") else []
        elif element.kind in ("type", "types"):
            parts.types[name] = self._types(parts, op, name, element.kind == "types")
        elif element.kind == "attribute":
            parts.attributes.append((name, self._attribute(op.enums.get(name, ""), element.before_colon), at))
        elif element.kind == "region":
            parts.regions[name] = self.region()
        elif scan.at_dictionary():
            parts.attributes += self.dictionary(op)

    def value(self) -> Piece:
        """One operand."""
        found = self.scan.match(_VALUE)
        if not found:
            self.scan.expected("an operand (%name)")
        return found[0], found.start()

    def values(self, leaves: int = 0) -> list[Piece]:
        """Operands between commas, but for the last few where single operands follow."""
        values, ends = [self.value()], [self.scan.at]
        while self.scan.take(","):
            values.append(self.value())
            ends.append(self.scan.at)
        keep = max(1, len(values) - leaves)
        self.scan.at = ends[keep - 1]
        return values[:keep]

    def _types(self, parts: Parts, op: OpText, name: str, several: bool) -> list[Piece]:
        count = len(parts.values.get(name, (0,))) if several else 1
        types: list[Piece] = []
        for k in range(count):
            if k:
                self.scan.need(",")
            self.scan.skip()
            at = self.scan.at
            types.append((self.symbols.type_at(self.scan, op.fits.get(name, ""), op.name.partition(".")[0]), at))
        return types

    def region(self) -> Output:
        """A region in braces."""
        self.scan.need("{")
        inner, outer = Output(), (self.scan.op, self.scan.form)
        self.scan.op = self.scan.form = ""
        self.read_region(inner)
        self.scan.op, self.scan.form = outer
        return inner

    def _attribute(self, enum: str, before_colon: bool) -> str:
        scan = self.scan
        scan.skip()
        at = scan.at
        if enum and scan.peek("<"):
            return self.symbols.attribute_text(scan, enum, scan.balanced()[1:-1], at)
        if scan.match(_NUMBER):
            found = None if before_colon else _SCALAR_TYPE.match(scan.source, scan.at)
            scan.at = found.end() if found else scan.at
        elif scan.peek("[") or scan.peek("{"):
            scan.balanced()
        elif not scan.match(_SYMBOL_NAME):
            if not scan.match(_PLAIN):
                scan.expected("an attribute")
            if scan.source.startswith("<", scan.at):
                scan.balanced()
        return self.symbols.inside(scan, at, scan.at)

    def dictionary(self, op: OpText) -> list[tuple[str, str, int]]:
        """An attribute dictionary in braces, as (name, value, place); the value of a unit attribute is empty."""
        scan, entries = self.scan, []
        scan.need("{")
        while not scan.take("}"):
            if entries and not scan.take(","):
                scan.expected("',' or '}'")
            key = scan.match(_KEY)
            if not key:
                scan.expected("an attribute's name")
            entries.append((key[0], self._entry(op.enums.get(key[0], "")) if scan.take("=") else "", key.start()))
        return entries

    def _entry(self, enum: str) -> str:
        scan = self.scan
        scan.skip()
        begin = scan.at
        if enum and scan.peek("<"):
            return self.symbols.attribute_text(scan, enum, scan.balanced()[1:-1], begin)
        while found := _AFTER_VALUE.search(scan.source, scan.at):
            scan.at = found.start()
            if found[0] in ",}])":
                break
            if found[0][0] == '"':
                scan.at = found.end()
            else:
                scan.balanced()
        else:
            scan.fail("an attribute dictionary is not closed", begin)
        if not scan.source[begin : scan.at].strip():
            scan.expected("an attribute's value")
        return self.symbols.inside(scan, begin, scan.at).rstrip()

    def _complete(self, parts: Parts, op: OpText, at: int) -> None:
        """Types that the text does not spell, from the class's facts."""
        records = None
        for name in (*op.operands, *op.results):
            values = parts.values.get(name, ()) if name in op.operands else ((op.spelling, at),)
            if name in parts.types:
                if len(parts.types[name]) != len(values):
                    self.scan.fail(f"the type of '{name}' is there, the operand is not", parts.types[name][0][1])
                continue
            if values and name in op.typed:
                self.scan.fail(f"the type of '{name}' is missing", values[0][1])
            fact = op.unspelled(name)
            if callable(fact) and values:
                records = records or {n: self.symbols.record(self.scan, t[0][0]) for n, t in parts.types.items() if t}
                try:
                    fact = fact(records)
                except (AttributeError, KeyError):
                    self.scan.fail(f"the type of '{name}' does not follow from the other types", values[0][1])
            text = self.symbols.fact(fact) if values else ""
            parts.types[name] = [(text, place) for _, place in values]

