"""The passes in their order, and running them."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, Protocol

from ptoc.dialect.errors import ArgumentError, VerifyError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import location_text

from .canonicalize import EARLY, Canonicalize
from .inline_calls import InlineCalls
from .insert_sync import InsertSync
from .lower_events import LowerEvents
from .lower_pipes import LowerPipes
from .multi_buffer import MultiBuffer
from .plan_memory import PlanMemory
from .skew_pipeline import SkewPipeline
from .split_sections import SplitSections


class Pass(Protocol):
    """A pass: changes a module in place and gives remarks, each beginning with file:line."""

    name: str

    def run(self, module: ir.Module, chip: Any) -> list[str]:
        """Runs the pass."""
        ...


PIPELINE: tuple[Pass, ...] = (
    # One function per kernel, flags in one spelling: what follows looks at neither calls nor events.
    InlineCalls(),
    LowerEvents(),
    # Fewer ops first: everything after it has less to look at, and constants make sizes known.  What nobody reads stays until sections
    # are split: messages about them speak of the program as it was written.
    Canonicalize(EARLY),
    # One program a kind of core, then its stages shifted: rings must be known before pipes are lowered.
    SplitSections(),
    SkewPipeline(),
    # Pipes before buffers: which engine touches a tile is known only when pushes and pops are.
    LowerPipes(),
    MultiBuffer(),
    # Folds the slot arithmetic that multi-buffer wrote, and drops what nobody reads.
    Canonicalize(),
    # Addresses before synchronisation: tiles that share bytes depend on each other.
    PlanMemory(),
    InsertSync(),
)
"""What `ptoc compile` runs."""


def pass_by_name(text: str) -> Pass:
    """The pass that `name` or `name{option, option=value}` on the command line means.

    Options are the fields of the pass, with dashes; a bool is switched on by its name alone.  Raises ArgumentError that lists what there is.
    """
    name, _, options = text.partition("{")
    known = {p.name: p for p in PIPELINE}
    if name not in known:
        raise ArgumentError(f"no pass is called '{name}'; passes: {', '.join(known)}")
    given = dict(_option(known[name], option.strip()) for option in options.removesuffix("}").split(",") if option.strip())
    return replace(known[name], **given)


def _option(one: Pass, text: str) -> tuple[str, bool | int]:
    """Field and value of an option's text."""
    key, _, value = (part.strip() for part in text.partition("="))
    kinds = {f.name: f.type for f in fields(one)}
    field = key.replace("-", "_")
    if field not in kinds:
        options = ", ".join(name.replace("_", "-") for name in kinds) or "none"
        raise ArgumentError(f"pass '{one.name}' has no option '{key}'; options: {options}")
    if kinds[field] is bool and value in ("", "true", "false"):
        return field, value != "false"
    if kinds[field] is int and value.isdecimal():
        return field, int(value)
    expected = "true or false" if kinds[field] is bool else "a number"
    raise ArgumentError(f"pass '{one.name}': option '{key}' is {expected}; got '{value}'")


def run_passes(
    module: ir.Module, chip: Any, passes: Sequence[Pass] = PIPELINE, after: Callable[[Pass, ir.Module], None] | None = None
) -> list[str]:
    """Runs passes in order, verifying the module after each; `after` sees it in between.  Returns all remarks."""
    remarks = []
    for one in passes:
        with module.context:
            remarks += one.run(module, chip)
        verify_after(one.name, module)
        if after is not None:
            after(one, module)
    return remarks


def verify_after(name: str, module: ir.Module) -> None:
    """Raises VerifyError where a pass left a module that breaks the dialect's rules."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        lines = [f"{location_text(d.location) or '?'}: after {name}: {d.message}" for d in error.error_diagnostics]
        raise VerifyError("\n".join(dict.fromkeys(lines))) from None
