"""`ptoc run --relative-to`: another run, told as words after `ptoc run` or read from what an earlier one printed as JSON."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from ptoc.dialect.errors import ArgumentError

from .result import FS_PER_US, Result
from .telling import Words


def compare(result: Result, text: str, words: Words) -> dict[str, Any]:
    """The kernel time of a run over that of another one: {"to": what was said, "kernel", "chip", "ratio"}.

    text: a .json file of `ptoc run --json`, or words such as `-D TILE=128` or `gemm_expert --chip ascend910b2`; of what they do not say the
    run's own `words` hold, but for -D, --case and --cores where they name another kernel.
    Raises: ArgumentError where the words are none, or the file has no time.
    """
    if text.endswith(".json"):
        facts = read_run(text)
        if not facts.get("kernel_us"):
            raise ArgumentError(f"{text}: no kernel time in it; write it with --allow-unvalidated, or give the words of the run instead of a file")
        return {"to": text, "kernel": facts["kernel"], "chip": facts["chip"], "ratio": round(result.timeline.makespan / FS_PER_US / facts["kernel_us"], 6)}
    other = run_words(other_words(text, words))
    return {"to": text, "kernel": other.kernel, "chip": other.chip.name, "ratio": round(result.relative_to(other), 6)}


def other_words(text: str, words: Words) -> Words:
    """The words of the other run."""
    from .cli import run_options

    @run_options
    def nothing() -> None:
        """Only its parameters are of use."""

    command = click.Command("--relative-to", params=[optional(option) for option in reversed(nothing.__click_params__)], add_help_option=False)
    try:
        given = command.make_context("--relative-to", shlex.split(text))
    except ValueError as error:
        raise ArgumentError(f"--relative-to '{text}': {error}") from None
    except click.UsageError as error:
        raise ArgumentError(f"--relative-to '{text}': {error.format_message()}") from None
    said = {name: value for name, value in given.params.items() if given.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE}
    same = said.get("kernel", words.kernel) == words.kernel
    base = vars(words) if same else vars(words) | {"definitions": (), "case": None, "cores": None}
    if same and "definitions" in said:
        said["definitions"] = words.definitions + said["definitions"]
    return Words(**{**base, **said})


def optional(option: click.Parameter) -> click.Parameter:
    """A parameter of a command as one that may be left out."""
    if isinstance(option, click.Argument):
        return click.Argument([option.name], required=False)
    return option


def run_words(words: Words) -> Result:
    """Time alone of what words choose."""
    from .arguments import parse_definitions
    from .timed_run import run_timed

    return run_timed(words.kernel, words.chip, parse_definitions(words.definitions), words.case, words.cores, words.sync, words.auto_stages, False)


def read_run(file: str) -> dict[str, Any]:
    """What `ptoc run --json` wrote.  Raises: ArgumentError for a file that is something else."""
    try:
        facts = json.loads(Path(file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(f"{file}: no JSON: {error}") from None
    if not isinstance(facts, dict) or not {"kernel", "chip", "arguments", "kernel_us"} <= set(facts):
        raise ArgumentError(f"{file}: not what `ptoc run --json` prints")
    return facts
