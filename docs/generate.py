"""Writes the pages of docs/ that are tables of classes, and what README's commands print: `python docs/generate.py`.

Tests compare them with what stands there.
"""

import inspect
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import click

from ptoc.cli import main
from ptoc.dialect import errors
from ptoc.dialect.op import REGISTRY, PtoOp
from ptoc.kernel_facts import arranged_case, full
from ptoc.kernel_page import page
from ptoc.listing import kernel_facts, pass_facts
from ptoc.loading import shipped_kernel, shipped_names
from ptoc.passes.pipeline import PIPELINE
from ptoc.running import run_arranged
from ptoc.timeline_svg import timeline_svg

HERE = Path(__file__).parent
ROOT = HERE.parent
NOTE = "Written by `docs/generate.py` from the classes; do not edit.\n"


def ops_page() -> str:
    """Every op by file: spelling, engine, operands (written ones marked), meaning."""
    lines = ["# Ops of the pto dialect", "", NOTE, f"{len(REGISTRY)} ops. `*`: the op writes this operand; `?`: it may be left out; `...`: any number.", ""]
    files: dict[str, list[type[PtoOp]]] = {}
    for cls in REGISTRY.values():
        files.setdefault(cls.__module__, []).append(cls)
    for module in sorted(files):
        title = inspect.getdoc(inspect.getmodule(files[module][0])).split("\n")[0]
        lines += [f"## {module.rpartition('.')[2]}", "", title, "", "| op | engine | operands | meaning |", "|---|---|---|---|"]
        lines += [_op_row(cls) for cls in sorted(files[module], key=lambda c: c.spelling)]
        lines.append("")
    return "\n".join(lines)


def _op_row(cls: type[PtoOp]) -> str:
    marks = {"optional": "?", "variadic": "...", "single": ""}
    operands = [name + "*" * (name in cls.writes) + marks[kind] for name, kind in zip(cls.operand_names(), cls.segments())]
    engine = cls.pipe or ("by operands" if cls.writes else "")
    meaning = inspect.getdoc(cls).split("\n")[0].partition("  Source:")[0].replace("|", "\\|")
    return f"| `{cls.spelling}` | {engine} | {', '.join(operands)} | {meaning} |"


def passes_page() -> str:
    """Every pass in the pipeline's order, with its description."""
    lines = ["# Passes", "", NOTE, "In the order in which `ptoc compile` runs them (`passes/pipeline.py`):", "", "| pass | does |", "|---|---|"]
    lines += [f"| `{fact['name']}` | {fact['summary']} |" for fact in pass_facts()]
    for one in dict.fromkeys(PIPELINE):
        module, own = inspect.getdoc(inspect.getmodule(type(one))), inspect.getdoc(type(one))
        described = own if "Needs:" in own else textwrap.dedent(module.split("\n", 2)[2])
        lines += ["", f"## {one.name}", "", "```", described.strip("\n"), "```"]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """The tree of errors."""
    tree = inspect.getdoc(errors).split("\n", 2)[2]
    text = (
        "Every error that ptoc raises is a `PtocError`. Its text is one paragraph for the user: where (file and line of the kernel or the text),"
        " which op, the rule, what was got, and, where it is not plain, what to do. The command line prints it after `error:` and ends with"
        " status 1; from Python it is an exception.\n"
    )
    return f"# Errors\n\n{NOTE}\n{text}\n```\n{tree}\n```\n"


def cli_page() -> str:
    """The help text of every command."""
    lines = ["# Command line", "", NOTE, "Exit status: 0 when all is well, 1 after an error or a failed check, 2 after a wrong option.", ""]
    lines += [_help(main, "ptoc")]
    lines += [_help(command, f"ptoc {name}") for name, command in main.commands.items()]
    return "\n".join(lines)


def _help(command: click.Command, name: str) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    words = [p.human_readable_name if p.required else f"[{p.human_readable_name}]" for p in arguments]
    usage = f"{name} COMMAND ..." if isinstance(command, click.Group) else " ".join([name, *words])
    lines = [f"## {name}", "", inspect.cleandoc(command.help), "", f"    {usage}", ""]
    options = [p for p in command.params if isinstance(p, click.Option)]
    if options:
        lines += ["| option | does |", "|---|---|", *(_option_row(p) for p in options), ""]
    return "\n".join(lines)


def _option_row(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar}" if option.metavar else f" {'|'.join(option.type.choices)}" if isinstance(option.type, click.Choice) else ""
    spelling = ", ".join(f"`{name}{value}`" for name in option.opts).replace("|", "\\|")
    default = f" Default: `{option.default}`." if option.show_default else ""
    return f"| {spelling} | {(option.help or '').rstrip('.')}.{' Required.' if option.required else ''}{default} |"


def example() -> str:
    """The kernel that README shows."""
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]


def readme() -> str:
    """README.md with the output of its commands as it is now."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "relu_axpy.py").write_text(example(), encoding="utf-8")
        return re.sub(r"```console\n(.*?)```", lambda block: f"```console\n{_console(block[1], folder)}```", text, flags=re.S)


def _console(block: str, folder: str) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    shown = []
    for command in (line for line in block.split("\n") if line.startswith("$ ")):
        run = subprocess.run(command[2:], shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        shown += [command, textwrap.dedent(run.stdout).rstrip("\n")]
    return "\n".join(shown) + "\n"


def kernels_page() -> str:
    """The list of kernels."""
    lines = ["# Kernels", "", NOTE, "`ptoc kernels NAME` prints the same as a kernel's page.", "", "| kernel | computes | cases |", "|---|---|---|"]
    for fact in kernel_facts():
        large = len(fact["large_cases"])
        cases = f"{len(fact['cases']) - large} small, {large} large" if large else f"{len(fact['cases'])}"
        summary = fact["summary"].replace("|", "\\|")
        lines.append(f"| [{fact['name']}](kernels/{fact['name']}.md) | {summary} | {cases} |")
    return "\n".join(lines) + "\n"


def kernel_pages(name: str) -> dict[str, str]:
    """The page of a kernel and the picture on it, by file name."""
    kernel = shipped_kernel(name)
    note = "Written by `docs/generate.py` from the kernel, compiled and simulated; do not edit.\n"
    picture = timeline_svg(run_arranged(arranged_case(kernel, None), False))
    return {f"kernels/{name}.md": page(full(kernel), note, f"{name}.svg"), f"kernels/{name}.svg": picture}


def pages() -> dict[str, str]:
    """All pages but those of kernels, by file name."""
    return {"ops.md": ops_page(), "passes.md": passes_page(), "errors.md": errors_page(), "cli.md": cli_page(), "kernels.md": kernels_page()}


def write_pages() -> None:
    """Writes all pages, and takes away those of kernels that there are no more."""
    found = pages()
    for name in shipped_names():
        found |= kernel_pages(name)
    (HERE / "kernels").mkdir(exist_ok=True)
    for old in (HERE / "kernels").iterdir():
        if f"kernels/{old.name}" not in found:
            old.unlink()
    for name, content in found.items():
        (HERE / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write_pages()
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
