"""The command line: `ptoc compile | run | diff | check | opt | fidelity | kernels | chips | ops | passes`."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ptoc.dialect.errors import PtocError

KINDS = ("pto", "sim", "cpp")


def reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """Tells every error of ptoc as a paragraph on standard error, exit status 1."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except PtocError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except RecursionError:
            click.echo("error: the program is nested too deeply", err=True)
            sys.exit(1)
        except MemoryError:
            click.echo("error: this machine has too little memory for tensors of these sizes", err=True)
            sys.exit(1)
        except OSError as error:
            click.echo(f"error: {error.filename or ''}: {error.strerror or error}", err=True)
            sys.exit(1)

    return call


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """KERNEL, -D, --case, --chip, --cores, --sync, --auto-stages: the words that compile, run and check share."""
    for option in reversed(
        (
            click.argument("kernel"),
            click.option("-D", "definitions", multiple=True, metavar="NAME=VALUE", help="A size, a parameter, or a tensor (SHAPE:DTYPE or FILE.npy)."),
            click.option("--case", help="A named case of the kernel; the first one by default."),
            click.option("--chip", help="A chip of `ptoc chips`, or a chip file; by default the one that the kernel is made for, else ascend910b1."),
            click.option("--cores", type=int, help="Blocks to launch."),
            click.option("--sync", type=click.Choice(["insert", "keep"]), help="Insert flags and barriers, or keep those that are there; by default as the kernel says."),
            click.option("--auto-stages", is_flag=True, help="Two slots for tiles that cross engines also in loops without stages=, where memory allows."),
        )
    ):
        function = option(function)
    return function


@click.group()
@click.version_option(package_name="ptoc")
def main() -> None:
    """Compile NPU tile kernels to C++ and simulate them: results and latency from one run.

    KERNEL is a shipped kernel's name (NAME:FUNCTION for another kernel of its file), FILE.py[:FUNCTION], a .pto file, or for run a .sim.mlir file or a
    program (a .yaml file, or a shipped program's name).
    """


@main.command("compile")
@run_options
@click.option("-o", "--output", required=True, help="Folder to write to; '-' with one kind: standard output.")
@click.option("--emit", default="pto,sim,cpp", show_default=True, help="Kinds to write, separated by commas.")
@click.option("--memory-map", is_flag=True, help="Print where every tile lies.")
@click.option("--no-check", is_flag=True, help="Do not prove the synchronisation.")
@reported
def compile_command(kernel: str, definitions: tuple, case: str | None, chip: str | None, cores: int | None, sync: str | None, auto_stages: bool, output: str, emit: str, memory_map: bool, no_check: bool) -> None:
    """Compile KERNEL to .pto, simulator IR and C++ with caller, build script and runner."""
    from .writing import compile_to

    kinds = tuple(k.strip() for k in emit.split(",") if k.strip())
    unknown = [k for k in kinds if k not in KINDS]
    if unknown or not kinds:
        raise PtocError(f"--emit: kinds are {', '.join(KINDS)}; got '{', '.join(unknown) or emit}'")
    for line in compile_to(kernel, definitions, case, chip, cores, sync, output, kinds, memory_map, not no_check, auto_stages):
        to_stdout = line.startswith("\0")
        click.echo(line.removeprefix("\0"), err=output == "-" and not to_stdout, nl=not to_stdout)


@main.command("run")
@run_options
@click.option("--no-values", is_flag=True, help="Time alone, without results.")
@click.option("--check", "checked", is_flag=True, help="Also prove the synchronisation and run the most adverse order that it allows.")
@click.option("--trace", type=click.Path(dir_okay=False), help="Write a Chrome/Perfetto trace.")
@click.option("--explain", "explained", is_flag=True, help="Say what bounds the run: critical path by source line, where each engine's time goes, roofs.")
@click.option("--what-if", "changes", multiple=True, metavar="CHANGES", help="Price the run again with changes such as hbm=2x,cube=inf,sync.signal=0; may be repeated.")
@click.option("--relative-to", metavar="RUN", help="The ratio to another run: words such as '-D TILE=128 --chip ascend910b2', or a FILE.json of --json.")
@click.option("--report", type=click.Path(dir_okay=False), help="Write the explanation as one HTML file.")
@click.option("--pipe-utilization", type=click.Path(dir_okay=False), help="Write busy times with the columns of the profiler's PipeUtilization.csv.")
@click.option("--save", type=click.Path(file_okay=False), help="Write the outputs as .npy files into a folder.")
@click.option("--allow-unvalidated", is_flag=True, help="Show times of a chip that was never compared with a device.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def run_command(
    kernel: str, definitions: tuple, case: str | None, chip: str | None, cores: int | None, sync: str | None, auto_stages: bool, no_values: bool, checked: bool,
    trace: str | None, explained: bool, changes: tuple[str, ...], relative_to: str | None, report: str | None, pipe_utilization: str | None,
    save: str | None, allow_unvalidated: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compile and simulate KERNEL: results and time from one run.  A program (a .yaml file, or a shipped program's name) runs its kernels in order."""
    from .arguments import parse_definitions
    from .program_names import is_program
    from .telling import Words, tell

    if save and no_values:
        raise PtocError("--save: with --no-values there are no outputs to save; leave one of them out")
    given = parse_definitions(definitions)
    if is_program(kernel):
        refused = {
            "--case": case, "--cores": cores, "--sync": sync, "--auto-stages": auto_stages, "--trace": trace, "--explain": explained, "--what-if": changes,
            "--relative-to": relative_to, "--report": report, "--pipe-utilization": pipe_utilization,
        }  # fmt: skip
        _run_program(kernel, given, chip, [name for name, value in refused.items() if value], not no_values, checked, save, allow_unvalidated, as_json)
        return
    if no_values and not checked:
        from .timed_run import run_timed

        result = run_timed(kernel, chip, given, case, cores, sync, auto_stages, allow_unvalidated)
    else:
        from .loading import chip_of, load_source
        from .running import run_compiled

        source = load_source(kernel)
        result = run_compiled(source, chip_of(source, chip), given, case, cores, {}, not no_values, checked, allow_unvalidated, sync, auto_stages)
    if trace:
        from ptoc.simulator.trace import write_trace

        result.refuse_withheld()
        write_trace(result.timeline, result.program, Path(trace))
    if save:
        from .writing import save_outputs

        save_outputs(result, Path(save))
    if pipe_utilization:
        from .profiler_columns import to_csv

        Path(pipe_utilization).write_text(to_csv(result), encoding="utf-8")
    if report:
        from .report import write_report

        write_report(result, Path(report))
    words = Words(kernel, definitions, case, chip, cores, sync, auto_stages)
    told = tell(result, explained, changes, relative_to, words)
    click.echo(json.dumps(told.data, indent=2) if as_json else told.text)
    if result.passed is False:
        sys.exit(1)


@main.command("diff")
@click.argument("first")
@click.argument("second")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def diff_command(first: str, second: str, as_json: bool) -> None:
    """Say why run SECOND takes longer than run FIRST; both are files of `ptoc run --explain --json`."""
    from .diff import describe_difference, difference, read_explained

    runs = read_explained(first), read_explained(second)
    found = difference(*runs)
    click.echo(json.dumps(found, indent=2) if as_json else describe_difference(first, second, runs, found))


def _run_program(
    text: str, definitions: dict[str, str], chip: str | None, refused: list[str], values: bool, checked: bool, save: str | None, allow_unvalidated: bool, as_json: bool
) -> None:
    """`ptoc run` of a program."""
    from ptoc.machine.chip import load_chip

    from .loading import DEFAULT_CHIP
    from .program import load_program
    from .program_report import describe_program, program_json
    from .program_run import run_program
    from .writing import save_arrays

    if refused:
        raise PtocError(f"{refused[0]}: not for a program; its file says what each step runs with")
    result = run_program(load_program(text), load_chip(chip or DEFAULT_CHIP), definitions, None, values, checked, allow_unvalidated)
    if save:
        save_arrays(result.tensors, Path(save))
    click.echo(json.dumps(program_json(result), indent=2) if as_json else describe_program(result))
    if result.passed is False:
        sys.exit(1)


@main.command("check")
@run_options
@click.option("--strict", is_flag=True, help="Redundant synchronisation fails too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def check_command(kernel: str, definitions: tuple, case: str | None, chip: str | None, cores: int | None, sync: str | None, auto_stages: bool, strict: bool, as_json: bool) -> None:
    """Prove KERNEL's synchronisation: every conflict ordered, nothing waits for ever, nothing redundant."""
    from .arguments import parse_definitions
    from .loading import chip_of, load_source
    from .running import check_compiled
    from .sync_text import check_json, describe_check

    source = load_source(kernel)
    report = check_compiled(source, chip_of(source, chip), parse_definitions(definitions), case, cores, {}, sync, auto_stages)
    click.echo(json.dumps(check_json(report), indent=2) if as_json else describe_check(report))
    if not report.ok or (strict and report.redundant):
        sys.exit(1)


@main.command("opt")
@click.argument("file")
@click.option("--passes", default="", help="Passes of `ptoc passes`, separated by commas, options as in `multi-buffer{auto-stages}`; none: parse, verify and print.")
@click.option("--chip", default=None, help="A chip of `ptoc chips`; by default one of the module's architecture.")
@click.option("--print-after-all", is_flag=True, help="Print the module after each pass.")
@click.option("--verify-diagnostics", is_flag=True, help="Compare errors with '// expected-error {{text}}' comments.")
@click.option("--split-input-file", is_flag=True, help="Handle the parts between '// -----' lines one by one.")
@reported
def opt_command(file: str, passes: str, chip: str | None, print_after_all: bool, verify_diagnostics: bool, split_input_file: bool) -> None:
    """Run passes on a .pto FILE ('-': standard input) and print the module."""
    from .opt import opt

    text = sys.stdin.read() if file == "-" else _text_of(file)
    ok = opt(text, file, passes, chip, print_after_all, verify_diagnostics, split_input_file, click.echo)
    if not ok:
        sys.exit(1)


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise PtocError(f"{file}: not a text in UTF-8: {error.reason}") from None


@main.command("fidelity")
@click.argument("file", required=False)
@click.option("--chip", default=None, help="Simulate all rows on this chip instead of the one that each names.")
@click.option("--svg", type=click.Path(dir_okay=False), help="Write a plot of predicted against measured times.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def fidelity_command(file: str | None, chip: str | None, svg: str | None, as_json: bool) -> None:
    """Compare device measurements in a CSV FILE (default: the calibration set) with their simulation by frozen bench kernels."""
    from ptoc.fidelity.calibration import CALIBRATION
    from ptoc.fidelity.compare import compare
    from ptoc.fidelity.curves import curves_json, describe_curves, is_table_of_curves, read_curves
    from ptoc.fidelity.report import to_json, to_svg, to_text
    from ptoc.fidelity.rows import read_rows

    path = Path(file) if file else CALIBRATION
    if is_table_of_curves(path):
        curves = read_curves(path, chip)
        click.echo(json.dumps(curves_json(curves), indent=2) if as_json else describe_curves(curves))
        return
    outcomes = compare(read_rows(path), chip, lambda text: click.echo(f"simulating {text}", err=True))
    if svg:
        Path(svg).write_text(to_svg(outcomes), encoding="utf-8")
    click.echo(json.dumps(to_json(outcomes), indent=2) if as_json else to_text(outcomes))


@main.command("kernels")
@click.argument("name", required=False)
@click.option("--case", help="The case that NAME is compiled for; the first one by default.")
@click.option("--chip", help="The chip that NAME is compiled for; by default the one that it is made for, else ascend910b1.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def kernels_command(name: str | None, case: str | None, chip: str | None, as_json: bool) -> None:
    """List the shipped kernels with their cases; of NAME description, arguments, limits, cases, and what its compiled form takes."""
    from .listing import kernel_facts, kernel_lines

    if name is None and (case or chip):
        raise PtocError("--case and --chip say what a kernel is compiled for; name one")
    facts = kernel_facts(name, chip, case)
    click.echo(json.dumps({"kernels": facts}, indent=2) if as_json else "\n".join(kernel_lines(facts)))


@main.command("chips")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def chips_command(as_json: bool) -> None:
    """List the chips."""
    from .listing import chip_facts, chip_lines

    click.echo(json.dumps({"chips": chip_facts()}, indent=2) if as_json else "\n\n".join(chip_lines()))


@main.command("ops")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def ops_command(as_json: bool) -> None:
    """List the ops of the pto dialect with engine and meaning."""
    from .listing import op_facts, op_lines

    click.echo(json.dumps({"ops": op_facts()}, indent=2) if as_json else "\n".join(op_lines()))


@main.command("passes")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reported
def passes_command(as_json: bool) -> None:
    """List the passes in the order of the pipeline."""
    from .listing import pass_facts

    facts = pass_facts()
    click.echo(json.dumps({"passes": facts}, indent=2) if as_json else "\n".join(f"{f['name']:14} {f['summary']}" for f in facts))


if __name__ == "__main__":
    main()
