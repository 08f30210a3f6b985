"""Our types and attributes between their spelling in text and the one that MLIR holds."""

import re
from collections.abc import Sequence
from typing import Any

from .assembly_scan import ENUMS, STRING, DialectText, Scanner, quote, unquote
from .errors import ParseError

_BARE = re.compile(r"([A-Za-z_]\w*)\s*(?:<(.*)>|(.*))$", re.S | re.ASCII)
_ELEMENT = re.compile(r"(!?[A-Za-z_][\w$.]*)")
_INNER = re.compile(rf"!(\w+\.\w+)<({STRING})>|#\w+\.attr<({STRING}), ({STRING})>|{STRING}")


class Symbols:
    """Translates `!pto.x<...>` and `#pto.x<...>`; each distinct text is parsed once."""

    def __init__(self, dialects: Sequence[DialectText]) -> None:
        self.dialects = {d.prefix: d for d in dialects}
        prefixes = "|".join(map(re.escape, self.dialects))
        self.pattern = rf"[!#](?:{prefixes})(?:\.[A-Za-z_][A-Za-z0-9_]*(?![\w.])|(?=\s*<))"
        self._symbol = re.compile(rf"{STRING}|({self.pattern})")
        self._types: dict[tuple[str, str, str], Any] = {}
        self._spans: dict[str, str] = {}
        self.aliases: dict[str, str] = {}

    def take(self, scan: Scanner, head: str, begin: int) -> str:
        """The internal text of a symbol whose head (`!pto.tile_buf`) has just been scanned; the position moves over its body."""
        body = scan.balanced()[1:-1] if scan.source.startswith("<", scan.at) else ""
        prefix, _, mnemonic = head[1:].partition(".")
        if head[0] == "!":
            return self.type_text(scan, prefix, mnemonic, body, begin)
        return self.attribute_text(scan, mnemonic, body, begin)

    def type_text(self, scan: Scanner, prefix: str, mnemonic: str, body: str, at: int) -> str:
        """`!pto.tile_buf<"canonical body">`; raises ParseError with the place of a wrong type."""
        return f"!{prefix}.{mnemonic}<{quote(str(self._record(scan, prefix, mnemonic, body, at)))}>"

    def attribute_text(self, scan: Scanner, mnemonic: str, body: str, at: int) -> str:
        """`#pto.attr<"name", "TEXT">` of `#pto.name<TEXT>` or, without a mnemonic, of `#pto<name TEXT>`."""
        if mnemonic == "attr" and body.startswith('"'):
            return f"#pto.attr<{body}>"
        if not mnemonic:
            bare = _BARE.match(body.strip())
            if not bare:
                scan.fail(f"expected '#pto<name VALUE>'; got '#pto<{body}>'", at)
            mnemonic, body = bare[1], bare[2] or bare[3] or ""
        return f"#pto.attr<{quote(mnemonic)}, {quote(' '.join(body.split()))}>"

    def _record(self, scan: Scanner, prefix: str, mnemonic: str, body: str, at: int) -> Any:
        key = (prefix, mnemonic, body)
        if key not in self._types:
            text = unquote(body) if body.startswith('"') and body.endswith('"') and len(body) > 1 else body
            try:
                self._types[key] = self.dialects[prefix].type_record(mnemonic, text)
            except ParseError as error:
                scan.fail(str(error), at)
        return self._types[key]

    def record(self, scan: Scanner, text: str) -> Any:
        """The record of an internal type text; None for types that are not ours."""
        text = self.aliases.get(text, text)
        found = _INNER.fullmatch(text)
        if not found or not found[1]:
            return None
        prefix, _, mnemonic = found[1].partition(".")
        return self._record(scan, prefix, mnemonic, found[2], scan.at)

    def inside(self, scan: Scanner, begin: int, end: int) -> str:
        """The text of a span with every symbol in its internal spelling."""
        parts, done, saved = [], begin, scan.at
        for found in self._symbol.finditer(scan.source, begin, end):
            if found[1] and found.start() >= done:
                parts.append(scan.source[done : found.start()])
                scan.at = found.end()
                parts.append(self.take(scan, found[0], found.start()))
                done = scan.at
        scan.at = saved
        return "".join(parts) + scan.source[done:end]

    def fact(self, text: str) -> str:
        """The internal text of a type that a class states."""
        return self.inside(Scanner(text, ""), 0, len(text)) if text.startswith("!") else text

    def type_at(self, scan: Scanner, fits: str = "", prefix: str = "pto") -> str:
        """Moves over a type, and returns its internal text; `<...>` alone takes the mnemonic that the field has."""
        scan.skip()
        begin = scan.at
        if fits and scan.source.startswith("<", begin):
            return self.type_text(scan, prefix, fits, scan.balanced()[1:-1], begin)
        if scan.source.startswith("(", begin):
            return self._function_type(scan)
        if not scan.match(_ELEMENT):
            scan.expected("a type")
        if scan.source.startswith("<", scan.at):
            scan.balanced()
        span = scan.source[begin : scan.at]
        if span not in self._spans:
            self._spans[span] = self.inside(scan, begin, scan.at)
        text = self._spans[span]
        if fits and not self.aliases.get(text, text).startswith(f"!{prefix}.{fits}<"):
            scan.fail(f"expected a type !{prefix}.{fits}; got '{self.outside(text)}'", begin)
        return text

    def _function_type(self, scan: Scanner) -> str:
        begin = scan.at
        while scan.peek("("):
            scan.balanced()
            if not scan.take("->"):
                return self.inside(scan, begin, scan.at)
        self.type_at(scan)
        return self.inside(scan, begin, scan.at)

    def outside(self, text: str) -> str:
        """Internal spellings in a text of MLIR (its print, a message) back to those of `.pto` text."""
        return _INNER.sub(_shown, text)


def _shown(found: re.Match) -> str:
    if found[1]:
        body = unquote(found[2])
        return f"!{found[1]}<{body}>" if body else f"!{found[1]}"
    if not found[3]:
        return found[0]
    name, text = unquote(found[3]), unquote(found[4])
    if name in ENUMS:
        return f"#pto<{name} {text}>"
    return f"#pto.{name}<{text}>" if text else f"#pto.{name}"
