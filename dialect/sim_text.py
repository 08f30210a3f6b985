"""Text of the simulator IR, in and out."""

from . import assembly
from .dtypes import DTYPES
from .errors import ParseError
from .mlir import ir
from .sim import SIM_REGISTRY


def _canonical(mnemonic: str, body: str) -> str:
    if mnemonic not in ("memory", "ref", "ring"):
        raise ParseError(f"unknown type '!sim.{mnemonic}'; known: memory, ref, ring")
    if body and body not in DTYPES:
        raise ParseError(f"!sim.{mnemonic}: an element type is expected; got '{body}'")
    return body


SIM = assembly.DialectText("sim", SIM_REGISTRY, _canonical)


def parse_sim(text: str, filename: str, context: ir.Context | None = None) -> ir.Module:
    """The module of a simulator IR text.  Raises ParseError and VerifyError with file:line:col."""
    return assembly.parse(text, filename, context, (SIM, assembly.PTO))


def sim_to_text(module: ir.Module) -> str:
    """A simulator IR module as text."""
    return assembly.to_text(module, (SIM, assembly.PTO))
