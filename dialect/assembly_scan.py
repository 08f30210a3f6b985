"""Scanning `.pto` text: positions, balanced spans, words, and the two spellings of our types and attributes.

    text      !pto.tile_buf<vec, 16x128xf32>      #pto.pipe<PIPE_V>          #pto<round_mode RINT>
    internal  !pto.tile_buf<"vec, 16x128xf32">    #pto.attr<"pipe", "PIPE_V">   #pto.attr<"round_mode", "RINT">
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .errors import ParseError

STRING = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(rf"{STRING}|//[^\n]*")
_SPACE = re.compile(r"\s*")
_TOKEN = re.compile(rf"{STRING}|[%@^#!][\w$.-]+|->|-?\d[\w.+]*|[A-Za-z_][\w$.]*|\S")
_BRACKET = re.compile(rf"{STRING}|->|[<>(){{}}\[\]]")
DEEPEST = 64
"""Brackets within brackets that a text may have: a kernel of 20 nested loops has about 30."""
_CLOSING = {"<": ">", "(": ")", "{": "}", "[": "]"}
_KEY = re.compile(rf"\{{\s*(?:\}}|(?:{STRING}|[A-Za-z_][\w$.]*)\s*[=,}}])")

ENUMS = frozenset(
    "cmp round_mode saturation_mode st_phase atomic_type relu_pre_mode gather_oob scatter_atomic_op scatter_oob quant_type".split()
)
"""Attributes that are written `#pto<name VALUE>`; all others are `#pto.name<VALUE>`.  Both forms are read for either."""


@dataclass(frozen=True)
class DialectText:
    """What the text form asks of a dialect: its prefix, its op classes by inner name, the record of a type.

    `type_record(mnemonic, body)` returns an object whose `str` is the canonical body, or raises ParseError without a location.
    """

    prefix: str
    registry: Mapping[str, type]
    type_record: Callable[[str, str], Any]


@dataclass
class Scanner:
    """A position in a text.  Comments are blanked, so that offsets stay those of the user's file."""

    source: str
    filename: str
    at: int = 0
    op: str = ""
    form: str = ""
    lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = _COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else " " * len(m[0]), self.source)
        self.lines = [0, *(m.end() for m in re.finditer("\n", self.source))]

    def check_depth(self) -> None:
        """Raises ParseError where brackets are nested deeper than any program's: MLIR's parser would run out of stack."""
        depth = 0
        for found in _BRACKET.finditer(self.source):
            depth += {"[": 1, "(": 1, "{": 1, "<": 1, "]": -1, ")": -1, "}": -1, ">": -1}.get(found[0], 0)
            if depth > DEEPEST:
                self.fail(f"brackets are nested more than {DEEPEST} deep", found.start())

    def location(self, at: int) -> tuple[int, int]:
        """Line and column, both from 1."""
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def fail(self, message: str, at: int) -> NoReturn:
        """Raises ParseError at a place in the text."""
        line, column = self.location(min(at, len(self.source)))
        error = ParseError(f"'{self.op}': {message}" if self.op else message, f"{self.filename}:{line}:{column}")
        error.at = at
        raise error

    def expected(self, what: str) -> NoReturn:
        """Raises ParseError: something else is expected here."""
        self.skip()
        self.fail(f"expected {what}; got {self.shown()}" + (f"; the form is: {self.form}" if self.form else ""), self.at)

    def shown(self) -> str:
        """The token at the position, as messages show it."""
        token = _TOKEN.match(self.source, self.at)
        return f"'{token[0]}'" if token else "the end of the file"

    def skip(self) -> None:
        """Moves over white space."""
        self.at = _SPACE.match(self.source, self.at).end()

    def peek(self, text: str) -> bool:
        """True where `text` is the next token (a whole word, if it is one)."""
        self.skip()
        if not self.source.startswith(text, self.at):
            return False
        after = self.source[self.at + len(text) : self.at + len(text) + 1]
        return not (text[-1].isalnum() and (after.isalnum() or (after in ("_", "$", ".") and after)))

    def take(self, text: str) -> bool:
        """Moves over `text` if it is next."""
        if not self.peek(text):
            return False
        self.at += len(text)
        return True

    def need(self, text: str) -> None:
        """Moves over `text`, or raises."""
        if not self.take(text):
            self.expected(f"'{text}'")

    def back(self) -> None:
        """Moves back over white space, to the end of what was read."""
        while self.source[self.at - 1].isspace():
            self.at -= 1

    def before(self, at: int) -> str:
        """The last character before a place that is not white space."""
        while at and self.source[at - 1].isspace():
            at -= 1
        return self.source[at - 1 : at]

    def match(self, pattern: re.Pattern) -> re.Match | None:
        """Moves over a pattern if it is next."""
        self.skip()
        found = pattern.match(self.source, self.at)
        if found:
            self.at = found.end()
        return found

    def balanced(self) -> str:
        """Moves over a bracketed span, and returns it with its brackets."""
        self.skip()
        begin = self.at
        stack: list[str] = []
        for found in _BRACKET.finditer(self.source, begin):
            token = found[0]
            if token in _CLOSING:
                stack.append(_CLOSING[token])
            elif token[0] in ">)}]":
                if not stack or token != stack[-1]:
                    self.fail(f"expected '{stack[-1]}'; got '{token}'" if stack else f"unexpected '{token}'", found.start())
                stack.pop()
            if not stack:
                self.at = found.end()
                return self.source[begin : self.at]
        self.fail(f"'{self.source[begin]}' is not closed", begin)

    def at_dictionary(self) -> bool:
        """True where an attribute dictionary is next (and not a region)."""
        self.skip()
        return _KEY.match(self.source, self.at) is not None


def split(text: str, separator: str = ",") -> list[str]:
    """The parts of a text between separators outside of brackets and strings."""
    parts, depth, begin = [], 0, 0
    for found in re.finditer(rf"{STRING}|->|[<>(){{}}\[\]]|{re.escape(separator)}", text):
        token = found[0]
        if token in _CLOSING:
            depth += 1
        elif token in _CLOSING.values():
            depth -= 1
        elif token == separator and depth == 0:
            parts.append(text[begin : found.start()])
            begin = found.end()
    parts.append(text[begin:])
    return parts if len(parts) > 1 or parts[0].strip() else []


def quote(text: str) -> str:
    """A string literal of MLIR."""
    return '"' + text.replace("\\", "\\\\").replace('"', "\\22").replace("\n", "\\0A") + '"'


def unquote(literal: str) -> str:
    """The text of a string literal of MLIR."""
    plain = {b"n": b"\n", b"t": b"\t"}
    text = re.sub(
        rb"\\([0-9A-Fa-f]{2}|.)", lambda m: bytes([int(m[1], 16)]) if len(m[1]) == 2 else plain.get(m[1], m[1]), literal[1:-1].encode()
    )
    return text.decode(errors="replace")


_TIGHT_BEFORE = (")", "]", ",", ">")


def join(head: str, parts: list[str]) -> str:
    """The pieces of an op on one line: no space inside brackets, none before '(' and '[' that follow a name."""
    text = head
    for part in parts:
        if part in _TIGHT_BEFORE or text.endswith(("(", "[")) or (part == "(" and not text.endswith((",", ":", "=", ">"))):
            text += part
        elif part == "[" and not text.endswith((",", "=", "sizes")):
            text += part
        else:
            text += " " + part
    return text
