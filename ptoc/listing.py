"""What `ptoc kernels | chips | ops | passes` print; taken from the classes and files themselves."""

import inspect
from typing import Any

from ptoc.dialect import ops  # noqa: F401  (declares the ops)
from ptoc.dialect.op import REGISTRY
from ptoc.machine.chip import chip_names, load_chip
from ptoc.passes.pipeline import PIPELINE

from .kernel_facts import brief, full
from .kernel_page import brief_lines, full_lines
from .loading import shipped_kernel, shipped_names


def kernel_facts(name: str | None = None, chip: str | None = None, case: str | None = None) -> list[dict[str, Any]]:
    """Facts of all shipped kernels in brief, or of one in full, compiled for a case on a chip.  Raises: PtocError."""
    return [full(shipped_kernel(name), chip, case)] if name else [brief(shipped_kernel(n)) for n in shipped_names()]


def kernel_lines(facts: list[dict[str, Any]]) -> list[str]:
    """Readable lines of kernel facts."""
    return [line for fact in facts for line in (full_lines(fact) if "compiled" in fact else brief_lines(fact))]


def chip_facts() -> list[dict[str, Any]]:
    """Name, architecture, cores and standing of every chip."""
    chips = [load_chip(name) for name in chip_names()]
    return [{"name": c.name, "arch": c.arch, "aic": c.cores("aic"), "aiv": c.cores("aiv"), "validated": c.validated} for c in chips]


def chip_lines() -> list[str]:
    """A readable paragraph per chip."""
    return [load_chip(name).describe() for name in chip_names()]


def op_facts() -> list[dict[str, Any]]:
    """Name, engine ("" for structure, "by operands" where it depends on them), operands and meaning of every op."""
    facts = []
    for cls in sorted(REGISTRY.values(), key=lambda c: c.spelling):
        engine = cls.pipe or ("by operands" if cls.writes else "")
        facts.append({"name": cls.spelling, "engine": engine, "operands": list(cls.operand_names()), "summary": (inspect.getdoc(cls) or "").split("\n")[0]})
    return facts


def op_lines() -> list[str]:
    """A readable line per op."""
    return [f"{f['name']:28} {f['engine']:12} {f['summary']}" for f in op_facts()]


def pass_facts() -> list[dict[str, str]]:
    """Name and summary of every pass, in the order of the pipeline."""
    facts = []
    for one in PIPELINE:
        doc = inspect.getdoc(inspect.getmodule(type(one))) or ""
        facts.append({"name": one.name, "summary": doc.split("\n")[0].partition(": ")[2]})
    return facts
