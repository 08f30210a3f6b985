"""`ptoc opt`: passes on a text, for tests of the IR."""

import re
from collections.abc import Callable

from ptoc.dialect import assembly
from ptoc.dialect.errors import PtocError
from ptoc.dialect.families import target_arch
from ptoc.dialect.mlir import ir
from ptoc.machine.chip import load_chip
from ptoc.passes.pipeline import pass_by_name, run_passes

CHIP_OF_ARCH = {"a3": "ascend910b1", "a5": "ascend950pr"}
EXPECTED = re.compile(r"//\s*expected-error\s*(?:@\s*([+-]\d+))?\s*\{\{(.*?)\}\}")


def opt(
    text: str, file: str, passes: str, chip: str | None, print_after_all: bool, verify: bool, split: bool, echo: Callable[[str], None]
) -> bool:
    """Runs the named passes on each part of a text and prints the modules.

    With `verify`, errors are compared with the text's expected-error comments instead; False where they differ.
    Raises: PtocError of a part (without `verify`).
    """
    chosen = [pass_by_name(name.strip()) for name in re.split(r",(?![^{]*})", passes) if name.strip()]
    ok, first = True, 0
    for part in re.split(r"(?m)^// -----.*$\n?", text) if split else [text]:
        padded = "\n" * first + part
        first += part.count("\n") + 1
        if verify:
            ok &= _verified(padded, file, chosen, chip, echo)
        else:
            echo(_optimised(padded, file, chosen, chip, print_after_all, echo).rstrip() + "\n")
    return ok


def _optimised(text: str, file: str, passes: list, chip: str | None, print_after_all: bool, echo: Callable[[str], None]) -> str:
    module = assembly.parse(text, file)

    def after(one: object, module: ir.Module) -> None:
        echo(f"// after {one.name}\n{assembly.to_text(module)}")

    for remark in run_passes(module, load_chip(chip or chip_of(module)), passes, after if print_after_all else None):
        echo(f"// remark: {remark}")
    return assembly.to_text(module)


def chip_of(module: ir.Module) -> str:
    """A chip of a module's architecture; ascend910b1 where it states none."""
    arch = target_arch(module.operation) or "a3"
    if arch not in CHIP_OF_ARCH:
        raise PtocError(f"pto.target_arch must be one of {', '.join(CHIP_OF_ARCH)}; got '{arch}'")
    return CHIP_OF_ARCH[arch]


def _verified(text: str, file: str, passes: list, chip: str | None, echo: Callable[[str], None]) -> bool:
    expected = []
    for number, line in enumerate(text.split("\n"), 1):
        expected += [(number + int(m[1] or 0), m[2]) for m in EXPECTED.finditer(line)]
    got: list[tuple[int, str]] = []
    try:
        _optimised(text, file, passes, chip, False, lambda _: None)
    except PtocError as error:
        got = [_placed(line) for line in str(error).split("\n")]
    wrong = []
    for line, message in got:
        match = next((e for e in expected if e[0] == line and e[1] in message), None)
        if match is None:
            wrong.append(f"{file}:{line}: unexpected error: {message}")
        else:
            expected.remove(match)
    wrong += [f"{file}:{line}: expected error was not reported: {message}" for line, message in expected]
    for one in wrong:
        echo(one)
    return not wrong


def _placed(line: str) -> tuple[int, str]:
    match = re.match(r".*?:(\d+)(?::\d+)?: (.*)", line)
    return (int(match[1]), match[2]) if match else (0, line)
