"""Numbers of a program file, written as expressions over named ones: `index_heads * index_dim`, `ceil_div(N, 128)`, `phase == "decode"`."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ptoc.dialect.errors import ArgumentError

OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Div: operator.truediv,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.USub: operator.neg, ast.Not: operator.not_,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "ceil_div": lambda a, b: -(-a // b)}


def evaluate(text: str, names: Mapping[str, Any], where: str) -> Any:
    """The value of an expression.

    It may have numbers, quoted texts, names, + - * / // %, comparisons, and, or, not, `a if c else b`, min, max and ceil_div.
    where: what it is the value of, for messages.  Raises: ArgumentError that names what is wrong.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, names)
    except SyntaxError:
        raise ArgumentError(f"{where}: '{text}' is no expression") from None
    except _Wrong as wrong:
        raise ArgumentError(f"{where}: '{text}': {wrong}") from None
    except (ArithmeticError, TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"{where}: '{text}': {error}") from None


class _Wrong(Exception):
    """What an expression may not hold."""


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise _Wrong(f"no number is called '{node.id}'; known: {', '.join(sorted(names))}")
        return names[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
        return OPERATORS[type(node.ops[0])](_value(node.left, names), _value(node.comparators[0], names))
    if isinstance(node, ast.BoolOp):
        values = (bool(_value(value, names)) for value in node.values)
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.IfExp):
        return _value(node.body if _value(node.test, names) else node.orelse, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and not node.keywords:
        return FUNCTIONS[node.func.id](*(_value(argument, names) for argument in node.args))
    raise _Wrong(f"'{ast.unparse(node)}' is not understood")
