"""Translated text that remembers where each piece came from, and MLIR's diagnostics told in the user's places."""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from .assembly_scan import Scanner
from .assembly_symbols import Symbols
from .errors import ParseError, PtocError, VerifyError
from .mlir import ir

_RULE = re.compile(r"'[\w.]+'(:| op )|op |'operandSegmentSizes' attribute|expected '.*' but got '")
"""Messages of the verifier (of a class's rules, of MLIR, of the types that a class declares); all others are the parser's."""
_OP_NAME = re.compile(r'"?([a-z_]\w*\.[\w.]+)')


@dataclass
class Output:
    """Pieces of translated text, each with the offset in the source that it stands for."""

    pieces: list[tuple[str, int, bool]] = field(default_factory=list)

    def copy(self, source: str, begin: int, end: int) -> None:
        """A piece that is taken over as it is."""
        if end > begin:
            self.pieces.append((source[begin:end], begin, True))

    def write(self, text: str, at: int) -> None:
        """A piece that stands for the source at one offset."""
        self.pieces.append((text, at, False))

    def extend(self, other: "Output") -> None:
        """All pieces of another output."""
        self.pieces.extend(other.pieces)

    def text(self) -> str:
        """The whole text."""
        return "".join(piece for piece, _, _ in self.pieces)


class Positions:
    """From line and column in the translated text to line and column in the user's."""

    def __init__(self, output: Output, scan: Scanner, symbols: Symbols) -> None:
        self.scan = scan
        self.symbols = symbols
        self.text = output.text()
        self.pieces = output.pieces
        self._lines = [0, *(m.end() for m in re.finditer("\n", self.text))]
        self._begins = []
        at = 0
        for piece, _, _ in output.pieces:
            self._begins.append(at)
            at += len(piece)
        self._ascii = self.text.isascii()
        self._spellings = {name: cls.spelling for d in symbols.dialects.values() for name, cls in d.registry.items() if cls.spelling != name}

    def place(self, line: int, column: int) -> tuple[int, int]:
        """The user's line and column."""
        return self.scan.location(self.source_offset(line, column))

    def source_offset(self, line: int, column: int) -> int:
        """The offset in the user's text."""
        begin = self._lines[min(line, len(self._lines)) - 1]
        if not self._ascii:
            end = self._lines[line] if line < len(self._lines) else len(self.text)
            column = len(self.text[begin:end].encode()[: column - 1].decode(errors="ignore")) + 1
        at = begin + column - 1
        k = max(0, bisect_right(self._begins, at) - 1)
        if not self.pieces:
            return 0
        _, source, verbatim = self.pieces[k]
        return source + (at - self._begins[k] if verbatim else 0)

    def locate(self, module: ir.Module) -> None:
        """Gives every op whose location is one of the translated text its place in the user's file."""
        filename = self.scan.filename

        def relocate(op: ir.Operation) -> ir.WalkResult:
            location = op.location
            if isinstance(location, ir.FileLineColLoc) and location.filename == "-":
                op.location = ir.Location.file(filename, *self.place(location.start_line, location.start_col))
            return ir.WalkResult.ADVANCE

        module.operation.walk(relocate)

    def error(self, error: ir.MLIRError) -> PtocError:
        """All diagnostics of a failure, one per line, as ParseError or (a rule of the dialect is broken) VerifyError."""
        found = error.error_diagnostics
        if not found:
            return self._unexplained()
        broken = bool(found) and all(_RULE.match(d.message) for d in found)
        lines = [(self.where(d.location), self._message(d)) for d in found]
        text = "\n".join(f"{where}: {message}" if k else message for k, (where, message) in enumerate(lines))
        return (VerifyError if broken else ParseError)(text, lines[0][0])

    def _unexplained(self) -> ParseError:
        """MLIR is silent where it meets an op of ours in custom form: it stands where no op can be."""
        spellings = {cls.spelling for d in self.symbols.dialects.values() for cls in d.registry.values()}
        names = (found for found in re.finditer(r"[a-z]\w*\.\w[\w.]*", self.scan.source) if found[0] in spellings)
        stray = next(filter(self._is_stray, names), None)
        line, column = self.scan.location(stray.start() if stray else 0)
        message = f"unexpected '{stray[0]}'" if stray else "the text is no module"
        return ParseError(message, f"{self.scan.filename}:{line}:{column}")

    def _is_stray(self, found: re.Match) -> bool:
        """True where the name was taken over as it is, and not as a quoted one."""
        at = found.start()
        return self.scan.source[at - 1] != '"' and any(same and begin <= at < begin + len(piece) for piece, begin, same in self.pieces)

    def where(self, location: ir.Location) -> str:
        """file:line:col of the user's text; of the first file where several places are joined."""
        location = ir.Location.from_attr(location.attr, location.context)
        if isinstance(location, ir.NameLoc):
            return self.where(location.child_loc)
        if isinstance(location, ir.CallSiteLoc):
            return self.where(location.callee)
        if isinstance(location, ir.FusedLoc):
            return self.where(location.locations[0])
        if not isinstance(location, ir.FileLineColLoc):
            return self.scan.filename
        if location.filename != "-":
            return f"{location.filename}:{location.start_line}:{location.start_col}"
        line, column = self.place(location.start_line, location.start_col)
        return f"{self.scan.filename}:{line}:{column}"

    def _offset(self, location: ir.Location) -> int | None:
        location = ir.Location.from_attr(location.attr, location.context)
        if isinstance(location, ir.FileLineColLoc) and location.filename == "-":
            return self.source_offset(location.start_line, location.start_col)
        return None

    def _message(self, diagnostic: ir.DiagnosticInfo) -> str:
        text = diagnostic.message
        for note in diagnostic.notes:
            if not note.message.startswith("see current operation"):
                text += f" ({note.message}: {self.where(note.location)})"
        text = self.symbols.outside(text)
        for name, spelling in self._spellings.items():
            text = text.replace(f"'{name}'", f"'{spelling}'")
        return self._named(text, diagnostic.location)

    def _named(self, text: str, location: ir.Location) -> str:
        """The message with the op's name in front, where MLIR leaves it out."""
        at = self._offset(location)
        op = _OP_NAME.match(self.scan.source, at) if at is not None else None
        name = self._spellings.get(op[1], op[1]) if op else ""
        if not name or f"'{name}'" in text:
            return text
        return f"'{name}': {text.removeprefix('op ')}"
