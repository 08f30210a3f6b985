"""The text form of programs: `parse` reads `.pto` text into an MLIR module, `to_text` writes it.

MLIR's own parser and printer handle modules, functions, scf, arith and memref; the ops, types and attributes of our dialects are
translated before and after, driven by the op classes' `format` alone.  `parse(to_text(m))` is m, and `to_text` of it the same text.
"""

from collections.abc import Sequence

from . import types
from .assembly_positions import Positions
from .assembly_reader import Reader
from .assembly_scan import DialectText, Scanner
from .assembly_symbols import Symbols
from .assembly_writer import Writer
from .context import new_context
from .mlir import ir
from .op import REGISTRY

PTO = DialectText("pto", REGISTRY, types.parse)
"""The pto dialect's text."""


def parse(text: str, filename: str = "<text>", context: ir.Context | None = None, dialects: Sequence[DialectText] = (PTO,)) -> ir.Module:
    """The verified module of a text; each op carries file:line:col of the text as its location.

    Raises ParseError where the text is no program and VerifyError where a rule is broken; all diagnostics are in the message,
    each with its place in the text.
    """
    scan, symbols = Scanner(text, filename), Symbols(dialects)
    scan.check_depth()
    positions = Positions(Reader(scan, dialects, symbols).read(), scan, symbols)
    with context or new_context():
        try:
            module = ir.Module.parse(positions.text)
        except ir.MLIRError as error:
            raise positions.error(error) from None
        positions.locate(module)
    return module


def to_text(module: ir.Module, dialects: Sequence[DialectText] = (PTO,)) -> str:
    """The (verified) module as `.pto` text.  Ops that their custom form cannot express are shown in generic form."""
    text = module.operation.get_asm(assume_verified=True)
    return Writer(text.rstrip() + "\n", dialects, Symbols(dialects)).write()


__all__ = ["PTO", "DialectText", "parse", "to_text"]
