"""Names of functions' arguments in a `.pto` text: MLIR forgets them, a run asks for arguments by name."""

import re

from .mlir import func, ir

_FUNCTION = re.compile(r"func\.func\s+(?:(?:private|public|nested)\s+)?@([\w$.-]+)\s*\(")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|->|[<({\[>)}\],]|%([\w$.-]+)\s*:')


def argument_names(text: str) -> dict[str, list[str]]:
    """Function name to the names of its arguments as identifiers; `arg0` for one that has a number only."""
    return {found[1]: _names(text, found.end()) for found in _FUNCTION.finditer(re.sub(r"//[^\n]*", _blank, text))}


def keep_argument_names(module: ir.Module, text: str) -> None:
    """Writes the names as `pto.arg_names` on every function that has none and arguments to name."""
    names = argument_names(text)
    with module.context:
        for function in module.body.operations:
            if not isinstance(function, func.FuncOp) or "pto.arg_names" in function.attributes:
                continue
            given = names.get(function.name.value, [])
            if given and len(given) == len(function.type.inputs):
                function.attributes["pto.arg_names"] = ir.ArrayAttr.get([ir.StringAttr.get(n) for n in given])


def _blank(comment: re.Match) -> str:
    return " " * len(comment[0])


def _names(text: str, at: int) -> list[str]:
    names, depth = [], 0
    for found in _TOKEN.finditer(text, at):
        token = found[0]
        if found[1] and not depth:
            names.append(re.sub(r"\W", "_", found[1]) if not found[1][0].isdigit() else f"arg{len(names)}")
        elif token in "<({[":
            depth += 1
        elif token in ">)}]":
            depth -= 1
            if depth < 0:
                break
    return names
