"""From `.pto` text to MLIR's generic text: ops in custom form by their class's format, types and attributes in internal spelling.

All else (func, scf, arith, memref, module) is taken over as it is.
"""

import difflib
import re
from collections.abc import Sequence

from .assembly_fields import FieldReader, Parts, Piece
from .assembly_format import OpText, op_text, usage
from .assembly_positions import Output
from .assembly_scan import STRING, DialectText, Scanner, unquote
from .assembly_symbols import Symbols


class Reader:
    """Translates one text; `read` returns the output with the place of every piece."""

    def __init__(self, scan: Scanner, dialects: Sequence[DialectText], symbols: Symbols) -> None:
        self.scan = scan
        self.symbols = symbols
        self.fields = FieldReader(scan, symbols, lambda out: self._translate(out, region=True))
        self.ops: dict[str, OpText] = {}
        for dialect in dialects:
            for name, cls in dialect.registry.items():
                self.ops[name] = self.ops[cls.spelling] = op_text(name, cls)
        prefixes = "|".join(re.escape(d.prefix) for d in dialects)
        self._name = re.compile(rf"(?:{prefixes})\.")
        self._stop = re.compile(
            rf"(?P<string>{STRING})|(?P<symbol>{symbols.pattern})|(?<![\w.$@%^#!-])(?P<word>(?:{prefixes})\.[A-Za-z_][\w$.]*)|(?P<brace>[{{}}])"
        )

    def read(self) -> Output:
        """The whole text."""
        out = Output()
        self._translate(out, region=False)
        return out

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
        """True where a name such as pto.entry is a key of an attribute dictionary."""
        before = self.scan.before(found.start())
        if found[0] in self.ops:
            return before in ("{", ",") and self.scan.peek("=")
        return before in ("{", ",") and any(self.scan.peek(token) for token in ("=", ",", "}"))

    def _op(self, name: str, at: int) -> OpText:
        if name not in self.ops:
            prefix, _, short = name.partition(".")
            near = difflib.get_close_matches(short, [op.spelling.partition(".")[2] for op in self.ops.values()], 1, cutoff=0.7)
            self.scan.op = ""
            self.scan.fail(f"unknown op '{name}'" + (f"; did you mean '{prefix}.{near[0]}'?" if near else ""), at)
        return self.ops[name]

    def _custom(self, out: Output, name: str, begin: int) -> None:
        scan, op = self.scan, self._op(name, begin)
        outer = scan.op, scan.form
        scan.op, scan.form = op.spelling, usage(op)
        parts = self.fields.read(op)
        scan.back()
        self._write(out, parts, op, begin)
        scan.op, scan.form = outer

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
        operands = self.fields.values() if scan.peek("%") else []
        scan.need(")")
        attributes: list[tuple[str, str, int]] = []
        if scan.take("<"):
            attributes = self.fields.dictionary(op)
            scan.need(">")
        regions = []
        if scan.take("("):
            while not scan.take(")"):
                if regions and not scan.take(","):
                    scan.expected("',' or ')'")
                regions.append(self.fields.region())
        attributes += self.fields.dictionary(op) if scan.peek("{") else []
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
