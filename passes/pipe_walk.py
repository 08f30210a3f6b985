"""The part of a section that has to do with one side of a pipe, as a tree, and running states through it.

A state is any frozen dataclass with a field `assumed`: the conditions that are known where it is.  All states that loops and branches can
lead to are followed: a loop whose trip count is unknown until nothing new comes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY

from .bounds import runs_at_least_once
from .cross_values import VIEWS, parent_in
from .symbolic import Symbols, number

LOOPS = ("scf.for", "scf.while", "scf.parallel", "scf.forall")
"""Ops whose regions repeat; those of all others run at most once."""

UNROLLED = 32
"""Loops of at most that many iterations are gone through one by one."""


@dataclass(frozen=True)
class Step:
    """An op that matters: its use of the pipe (None for one that only touches entries), and the entries that it touches."""

    op: ir.Operation
    use: Any
    touched: tuple[ir.Value, ...]


@dataclass(frozen=True)
class Loop:
    """A loop: iterations where that is a known number, and whether it surely has one."""

    op: ir.Operation
    body: tuple
    trips: int | None
    runs: bool


@dataclass(frozen=True)
class Branch:
    """A branch with its condition, None where the same one decides nothing else."""

    op: ir.Operation
    condition: ir.Value | None
    arms: tuple[tuple, ...]


def tree_of(scope: ir.Operation, uses: list[Any]) -> tuple:
    """The steps of a section that `uses` and the entries they name come to, with the loops and branches around them."""
    marked: dict[ir.Operation, Step] = {use.rec.op: Step(use.rec.op, use, ()) for use in uses}
    for value in dict.fromkeys(use.slot for use in uses if use.role in ("alloc", "pop")):
        for op in (op for op in _touching(value) if parent_in(op, scope)):
            step = marked.setdefault(op, Step(op, None, ()))
            marked[op] = replace(step, touched=(*step.touched, value))
    around = {parent for op in marked for parent in _parents(op, scope)}
    conditions: dict[ir.Value, int] = {}
    for op in around:
        if op.name == "scf.if":
            conditions[op.operands[0]] = conditions.get(op.operands[0], 0) + 1
    deciding = {value for value, count in conditions.items() if count > 1}
    symbols = Symbols()

    def nodes(blocks: Iterable[ir.Block]) -> tuple:
        found: list[Any] = []
        for block in blocks:
            for op in (view.operation for view in block.operations):
                if op in marked:
                    found.append(marked[op])
                elif op in around:
                    found.append(structure(op))
        return tuple(found)

    def structure(op: ir.Operation) -> Any:
        if op.name not in LOOPS:
            arms = tuple(nodes(region.blocks) for region in op.regions)
            condition = op.operands[0] if op.name == "scf.if" and op.operands[0] in deciding else None
            return Branch(op, condition, arms)
        trips = number(symbols.loop(op).trip) if op.name == "scf.for" else None
        runs = op.name == "scf.for" and (trips > 0 if trips is not None else runs_at_least_once(op))
        return Loop(op, nodes(block for region in op.regions for block in region.blocks), trips, runs)

    return nodes(block for region in scope.regions for block in region.blocks)


def _touching(value: ir.Value) -> list[ir.Operation]:
    """Ops that read or write a value's bytes, through views of it."""
    found = []
    for use in value.uses:
        op = use.owner.operation
        if op.name in REGISTRY and issubclass(REGISTRY[op.name], VIEWS):
            found += _touching(op.results[0])
        else:
            found.append(op)
    return found


def _parents(op: ir.Operation, scope: ir.Operation) -> list[ir.Operation]:
    found = []
    while (op := op.parent.operation) != scope:
        found.append(op)
    return found


def follow(states: list, nodes: tuple, step: Callable[[Any, Step], Any], turned: Callable[[Any, Any, Loop], Any]) -> list:
    """The states after some nodes, each once.  `step`: the state after an op; `turned`: that for the next iteration, from those at its ends."""
    for node in nodes:
        if isinstance(node, Step):
            states = _once(step(state, node) for state in states)
        elif isinstance(node, Branch):
            states = _once(after for state in states for after in _branch(state, node, step, turned))
        else:
            states = _loop(states, node, step, turned)
    return states


def _once(states: Iterable) -> list:
    """States without repetition, in their order, so that the same program gives the same first error."""
    return list(dict.fromkeys(states))


def _branch(state: Any, node: Branch, step: Callable, turned: Callable) -> Iterator:
    known = {value: taken for value, taken in state.assumed if node.condition is not None and value == node.condition}
    for taken, arm in zip((True, False) if node.condition is not None else (None,) * len(node.arms), node.arms):
        if node.condition is None or known.get(node.condition, taken) == taken:
            assumed = state.assumed if node.condition is None else state.assumed | {(node.condition, taken)}
            yield from follow([replace(state, assumed=assumed)], arm, step, turned)


def _loop(states: list, node: Loop, step: Callable, turned: Callable) -> list:
    def once(before: list) -> list:
        return _once(turned(state, after, node) for state in before for after in follow([state], node.body, step, turned))

    if node.trips is not None and node.trips <= UNROLLED:
        for _ in range(node.trips):
            states = once(states)
        return states
    found = [] if node.runs else states
    new, seen = states, set(states)
    while new:
        after = once(new)
        found = _once([*found, *after])
        new = [state for state in after if state not in seen]
        seen.update(after)
    return found
