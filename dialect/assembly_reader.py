"""From `.pto` text to MLIR's generic text: ops in custom form by their class's format, types and attributes in internal spelling.

All else (func, scf, arith, memref, module) is taken over as it is.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .assembly_format import Element, OpText, op_text, usage
from .assembly_positions import Output
from .assembly_scan import STRING, DialectText, Scanner, unquote
from .assembly_symbols import Symbols
from .errors import ParseError

_VALUE = re.compile(r"%[\w$.-]+(?:#\d+)?")
_WORD = re.compile(r"[A-Za-z_][\w$.]*")
_KEY = re.compile(rf"{STRING}|[A-Za-z_][\w$.-]*")
_NUMBER = re.compile(r"-?(?:0x[0-9A-Fa-f]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w.])")
_SCALAR_TYPE = re.compile(r"\s*:\s*(?:[su]?i\d+|index|bf16|f\d+\w*)(?![\w.])")
_AFTER_VALUE = re.compile(rf"{STRING}|[<({{\[]|[,}}\])]")
_SYMBOL_NAME = re.compile(rf"@(?:{STRING}|[\w$.-]+)(?:::@(?:{STRING}|[\w$.-]+))*")

Piece = tuple[str, int]


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


class Reader:
    """Translates one text; `read` returns the output with the place of every piece."""

    def __init__(self, scan: Scanner, dialects: Sequence[DialectText], symbols: Symbols) -> None:
        self.scan = scan
        self.symbols = symbols
        self.ops: dict[str, OpText] = {}
        for dialect in dialects:
            for name, cls in dialect.registry.items():
                self.ops[name] = self.ops[cls.spelling] = op_text(name, cls)
        prefixes = "|".join(re.escape(d.prefix) for d in dialects)
        self._name = re.compile(rf"(?:{prefixes})\.")
        self._stop = re.compile(
            rf"(?P<string>{STRING})|(?P<symbol>{symbols.pattern})|(?<![\w.$@%^#!-])(?P<word>(?:{prefixes})\.[A-Za-z_][\w$.]*)|(?P<brace>[{{}}])"
        )
        self._furthest: ParseError | None = None

    def read(self) -> Output:
        """The whole text."""
        out = Output()
        self._translate(out, region=False)
        return out

    def read_parts(self, elements: tuple[Element, ...], parts: Parts, op: OpText) -> None:
        """Reads one op by one format into `parts`; the position is behind its name."""
        self._elements(elements, parts, op)
        self._complete(parts, op, self.scan.at)

    def _translate(self, out: Output, region: bool) -> None:
        scan, depth, begin = self.scan, 0, self.scan.at
        source = scan.source
        opened = begin - 1
        while found := self._stop.search(source, scan.at):
            kind, start, scan.at = found.lastgroup, found.start(), found.end()
            if kind == "brace":
                depth += 1 if found[0] == "{" else -1
                if region and depth < 0:
                    out.copy(source, begin, start)
                    return
                continue
            if kind == "symbol":
                out.copy(source, begin, start)
                text = self.symbols.take(scan, found[0], start)
                self._remember_alias(source, start, text)
                out.write(text, start)
            elif kind == "string" and self._is_generic(found):
                out.copy(source, begin, start)
                self._generic(out, unquote(found[0]), start)
            elif kind == "word" and not self._is_attribute(found):
                out.copy(source, begin, start)
                self._custom(out, found[0], start)
            else:
                continue
            begin = scan.at
        if region:
            scan.fail("'{' is not closed", opened)
        out.copy(source, begin, len(source))
        scan.at = len(source)

    def _remember_alias(self, source: str, start: int, text: str) -> None:
        if alias := re.search(r"(![\w$]+)\s*=\s*$", source[max(0, start - 100) : start]):
            self.symbols.aliases[alias[1]] = text

    def _is_generic(self, found: re.Match) -> bool:
        source = self.scan.source
        if not self._name.match(found[0], 1) or source[found.start() - 1 : found.start()] == "@":
            return False
        return self.scan.peek("(")

    def _is_attribute(self, found: re.Match) -> bool:
        if self.scan.peek("="):
            return True
        before = self.scan.source[: found.start()].rstrip()[-1:] if found[0] not in self.ops else ""
        return before in ("{", ",") and before != "" and (self.scan.peek(",") or self.scan.peek("}"))

    def _op(self, name: str, at: int) -> OpText:
        if name not in self.ops:
            prefix, _, short = name.partition(".")
            near = difflib.get_close_matches(short, [op.spelling.partition(".")[2] for op in self.ops.values()], 1, cutoff=0.7)
            self.scan.op = ""
            self.scan.fail(f"unknown op '{name}'" + (f"; did you mean '{prefix}.{near[0]}'?" if near else ""), at)
        return self.ops[name]

    def _custom(self, out: Output, name: str, begin: int) -> None:
        scan, op = self.scan, self._op(name, begin)
        outer = scan.op, scan.form, self._furthest
        scan.op, scan.form, self._furthest = op.spelling, usage(op), None
        start = scan.at
        for elements in op.formats:
            scan.at, parts = start, Parts()
            try:
                self.read_parts(elements, parts, op)
                break
            except ParseError as error:
                self._keep(error)
        else:
            raise self._furthest
        scan.back()
        self._write(out, parts, op, begin)
        scan.op, scan.form, self._furthest = outer

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
            parts.values[name] = [self._value()]
        elif element.kind == "variadic":
            parts.values[name] = self._values(element.leaves) if scan.peek("%") else []
        elif element.kind in ("type", "types"):
            parts.types[name] = self._types(parts, op, name, element.kind == "types")
        elif element.kind == "attribute":
            parts.attributes.append((name, self._attribute(op.enums.get(name, ""), element.before_colon), at))
        elif element.kind == "region":
            parts.regions[name] = self._region()
        elif scan.at_dictionary():
            parts.attributes += self._dictionary(op)

    def _value(self) -> Piece:
        found = self.scan.match(_VALUE)
        if not found:
            self.scan.expected("an operand (%name)")
        return found[0], found.start()

    def _values(self, leaves: int = 0) -> list[Piece]:
        """Operands between commas, but for the last few where single operands follow."""
        values, ends = [self._value()], [self.scan.at]
        while self.scan.take(","):
            values.append(self._value())
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

    def _region(self) -> Output:
        self.scan.need("{")
        inner, outer = Output(), (self.scan.op, self.scan.form)
        self.scan.op = self.scan.form = ""
        self._translate(inner, region=True)
        self.scan.op, self.scan.form = outer
        return inner

    def _attribute(self, enum: str, before_colon: bool) -> str:
        scan = self.scan
        scan.skip()
        at = scan.at
        if enum and scan.peek("<"):
            return self.symbols.attribute_text(scan, enum, scan.balanced()[1:-1], at)
        if enum and (word := scan.match(_WORD)):
            return self.symbols.attribute_text(scan, enum, word[0], at)
        if scan.match(_NUMBER):
            found = None if before_colon else _SCALAR_TYPE.match(scan.source, scan.at)
            scan.at = found.end() if found else scan.at
        elif scan.peek("[") or scan.peek("{"):
            scan.balanced()
        elif not (scan.match(re.compile(STRING)) or scan.match(_SYMBOL_NAME)):
            if not scan.match(re.compile(r"[#!]?[A-Za-z_][\w$.]*")):
                scan.expected("an attribute")
            if scan.source.startswith("<", scan.at):
                scan.balanced()
        return self.symbols.inside(scan, at, scan.at)

    def _dictionary(self, op: OpText | None) -> list[tuple[str, str, int]]:
        scan, entries = self.scan, []
        scan.need("{")
        while not scan.take("}"):
            if entries and not scan.take(","):
                scan.expected("',' or '}'")
            key = scan.match(_KEY)
            if not key:
                scan.expected("an attribute's name")
            entries.append((key[0], self._entry(op.enums.get(key[0], "") if op else "") if scan.take("=") else "", key.start()))
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

    def _write(self, out: Output, parts: Parts, op: OpText, begin: int) -> None:
        out.write(f'"{op.name}"(', begin)
        operands = [v for name in op.operands for v in parts.values.get(name, ())]
        _pieces(out, operands, begin)
        out.write(")", begin)
        self._regions(out, [parts.regions.get(name, Output()) for name in op.regions], begin)
        attributes = list(parts.attributes)
        if op.segmented:
            sizes = ", ".join(str(len(parts.values.get(name, ()))) for name in op.operands)
            attributes.append(("operandSegmentSizes", f"array<i32: {sizes}>", begin))
        _dictionary_text(out, attributes, begin)
        out.write(" : (", begin)
        _pieces(out, [t for name in op.operands for t in parts.types[name]], begin)
        out.write(") -> (", begin)
        _pieces(out, [t for name in op.results for t in parts.types[name]], begin)
        out.write(")", begin)

    def _regions(self, out: Output, regions: list[Output], begin: int) -> None:
        for k, region in enumerate(regions):
            out.write(", {" if k else " ({", begin)
            out.extend(region)
            out.write("}", begin)
        if regions:
            out.write(")", begin)

    def _generic(self, out: Output, name: str, begin: int) -> None:
        """`"pto.x"(%a) <{properties}> ({region}) {attributes}` up to its ':'; properties become attributes."""
        scan, op = self.scan, self._op(name, begin)
        outer = scan.op
        scan.op = op.spelling
        scan.need("(")
        operands = self._values() if scan.peek("%") else []
        scan.need(")")
        attributes: list[tuple[str, str, int]] = []
        if scan.take("<"):
            attributes = self._dictionary(op)
            scan.need(">")
        regions = []
        if scan.take("("):
            while not scan.take(")"):
                if regions and not scan.take(","):
                    scan.expected("',' or ')'")
                regions.append(self._region())
        attributes += self._dictionary(op) if scan.peek("{") else []
        singles = sum(segment == "single" for segment in op.operands.values())
        if op.segmented and len(op.operands) - singles == 1 and "operandSegmentSizes" not in [key for key, _, _ in attributes]:
            sizes = [1 if segment == "single" else max(0, len(operands) - singles) for segment in op.operands.values()]
            attributes.append(("operandSegmentSizes", f"array<i32: {', '.join(map(str, sizes))}>", begin))
        if not scan.peek(":"):
            scan.expected("':'")
        out.write(f'"{op.name}"(', begin)
        _pieces(out, operands, begin)
        out.write(")", begin)
        self._regions(out, regions, begin)
        _dictionary_text(out, attributes, begin)
        scan.op = outer


def _pieces(out: Output, pieces: list[Piece], begin: int) -> None:
    for k, (text, at) in enumerate(pieces):
        if k:
            out.write(", ", begin)
        out.write(text, at)


def _dictionary_text(out: Output, attributes: list[tuple[str, str, int]], begin: int) -> None:
    for k, (key, value, at) in enumerate(attributes):
        out.write(", " if k else " {", begin)
        out.write(f"{key} = {value}" if value else key, at)
    if attributes:
        out.write("}", begin)
