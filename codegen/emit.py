"""A scheduled module as files: kernel, host launcher, build script, device runner."""

from typing import Any

import jinja2

from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir

from .kernel import Kernel, helper_text, kernels_of
from .writer import Writer

NPU_ARCH = {"a3": ("dav-2201", "MEMORY_BASE"), "a5": ("dav-3510", "REGISTER_BASE")}
"""Compiler target and library switch by architecture.  Source: pto-isa 3186c381, include/pto/common/arch_macro.hpp (__NPU_ARCH__)."""


def emit(module: ir.Module, chip: Any, name: str, notes: dict[ir.Operation, str] | None = None) -> dict[str, str]:
    """File name to text: NAME.cpp, NAME_caller.cpp, build.sh, run.py.

    `notes`: remark per op (priced cycles, for example), printed behind its line.
    Raises NotSupportedError, with the source line, for what has no C++ form and for chips without a C++ toolchain.
    """
    text, kernels = kernel_text(module, chip, name, notes)
    target, switch = NPU_ARCH[chip.arch]
    facts = {"name": name, "chip": chip, "kernels": [k for k in kernels if k.launched], "target": target, "switch": switch}
    return {
        f"{name}.cpp": text,
        f"{name}_caller.cpp": render("caller.cpp.j2", facts),
        "build.sh": render("build.sh.j2", facts),
        "run.py": render("run.py.j2", facts),
    }


def kernel_text(module: ir.Module, chip: Any, name: str, notes: dict[ir.Operation, str] | None = None) -> tuple[str, tuple[Kernel, ...]]:
    """The kernel file alone, and what it holds.  Raises as `emit`."""
    if chip.arch not in NPU_ARCH:
        known = ", ".join(sorted(NPU_ARCH))
        raise NotSupportedError(f"no C++ for this chip: '{chip.name}' has architecture '{chip.arch}'; C++ exists for {known}")
    with module.context:
        w = Writer(chip, {op.operation: text for op, text in (notes or {}).items()})
        kernels = kernels_of(module, name, w)
    if not any(k.launched for k in kernels):
        raise NotSupportedError("the module has no function that a host could launch")
    aliases = [(alias, text, comment) for text, (alias, comment) in w.aliases.items()]
    facts = {"name": name, "chip": chip, "kernels": kernels, "aliases": aliases, "helpers": [helper_text(h) for h in sorted(w.helpers)]}
    return render("kernel.cpp.j2", facts), kernels


def render(template: str, facts: dict[str, Any]) -> str:
    """A template of this package filled in."""
    loader = jinja2.PackageLoader("ptoc.codegen", "templates")
    environment = jinja2.Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    return environment.get_template(template).render(facts)
