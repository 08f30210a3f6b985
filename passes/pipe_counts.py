"""Does the producer hand over as many entries as the consumer takes?  Compared where both counts are known, with the loops' trip counts as symbols."""

from ptoc.dialect.errors import VerifyError
from ptoc.dialect.mlir import ir
from ptoc.dialect.pipe_facts import C2V, V2C

from .pipe_program import Pipe, Use, function_of, scope_of
from .symbolic import Poly, Symbols, add, constant, multiply, number


def check_counts(pipes: list[Pipe]) -> None:
    """Compares both sides of each pipe.  Raises VerifyError where their counts differ for sure."""
    symbols: dict[ir.Operation, Symbols] = {}
    for pipe in pipes:
        for way in (C2V, V2C):
            pushes, pops = ([u for u in pipe.uses if u.direction == way and u.role == role] for role in ("push", "pop"))
            functions = {function_of(side.init.op) for side in pipe.sides}
            if len(functions) > 1 or not {"cube", "vector"} <= {side.core for side in pipe.sides} | {use.core for use in pipe.uses}:
                continue
            known = symbols.setdefault(next(iter(functions)), Symbols())
            pushed, popped = (_total(uses, known) for uses in (pushes, pops))
            if pushed is not None and popped is not None and _differ(pushed, popped):
                raise VerifyError(_message(pipe, pushes, pops, number(pushed), number(popped)), (pops or pushes)[0].location)


def _message(pipe: Pipe, pushes: list[Use], pops: list[Use], pushed: int | None, popped: int | None) -> str:
    mine, its = (f"{'those' if count is None else count}{' at ' if uses else ''}{_places(uses)}" for count, uses in ((pushed, pushes), (popped, pops)))
    return f"{pipe.label}: as many entries must be popped as are pushed; got pushes: {mine}; pops: {its}: one side would wait for ever, or leave signals behind"


def _places(uses: list[Use]) -> str:
    return ", ".join(dict.fromkeys(use.location for use in uses))


def _total(uses: list[Use], symbols: Symbols) -> Poly | None:
    """How often some ops run, None where a branch or a loop of unknown trip count is around one."""
    total: Poly = {}
    for use in uses:
        times, op, scope = constant(1), use.rec.op.parent.operation, scope_of(use.rec.op)
        while op != scope:
            trip = symbols.loop(op).trip if op.name == "scf.for" else None
            if trip is None or symbols.varies(trip):
                return None
            times = multiply(times, trip if number(trip) is None else constant(max(0, number(trip))))
            op = op.parent.operation
        total = add(total, times)
    return total


def _differ(a: Poly, b: Poly) -> bool:
    """Whether two counts differ by a number, or one is a multiple of the other."""
    distance = number(add(a, b, -1))
    if distance is not None:
        return distance != 0
    terms = [(a.get(m, 0), b.get(m, 0)) for m in {*a, *b}]
    one, other = terms[0]
    return all(x * other == y * one for x, y in terms) and all(x > 0 or y > 0 for x, y in terms)
