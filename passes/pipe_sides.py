"""Do the two sides of each pipe fit together?  Counts, directions, sizes of entries, splits; where the slots lie is in `pipe_places`.

Every message names both lines.
"""

from collections.abc import Callable
from typing import Any

from ptoc.dialect import types as t
from ptoc.dialect.errors import VerifyError
from ptoc.dialect.pipe_facts import C2V, DIRECTIONS, SPLIT_NAMES, V2C, doubled, halved, with_defaults, wrong_counts

from .pipe_places import consumer_buffer, own_names, own_places
from .pipe_program import Pipe, Program, Use

AGREED = ("dir_mask", "slot_size", "slot_num", "local_slot_num", "sync_period", "nosplit", "flag_base")
"""Facts that both sides state alike; what one leaves out has its default, a flag_base and nosplit the other's."""


def agree(program: Program, arch: str) -> list[str]:
    """Fills in the facts of a program's pipes.  Returns remarks.  Raises VerifyError for the first thing that does not fit."""
    remarks = []
    for pipe in program.pipes:
        remarks += _both_sides(pipe, program)
        pipe.facts = _facts(pipe, arch)
        broken = next(wrong_counts(pipe.facts), None)
        if broken:
            raise VerifyError(f"{pipe.label}: {broken}", pipe.sides[0].location)
        _same_place(pipe, arch)
        for way in (C2V, V2C):
            uses = [use for use in pipe.uses if use.direction == way]
            if uses:
                _has_direction(pipe, uses[0])
                _one_form(pipe, uses)
                _one_split(pipe, uses, arch)
                _sizes(pipe, uses)
                consumer_buffer(pipe, way, uses)
    own_names(program)
    own_places(program)
    if arch == "a5":
        _vector_cores(program)
    return remarks


def _both_sides(pipe: Pipe, program: Program) -> list[str]:
    """A pipe that is declared on one kind of core alone: an error where the program has both, else a remark."""
    cores = {side.core for side in pipe.sides} | {use.core for use in pipe.uses}
    if "" in {side.core for side in pipe.sides} or {"cube", "vector"} <= cores:
        return []
    missing = "vector" if "cube" in cores else "cube"
    others = {side.core for p in program.pipes for side in p.sides} | {use.core for p in program.pipes for use in p.uses}
    where = pipe.sides[0].location
    if missing in others:
        raise VerifyError(f"{pipe.label}: it is declared on the {'cube' if missing == 'vector' else 'vector'} core only; declare it with the same facts on the {missing} core", where)
    return [f"{where}: {pipe.label}: its {missing} side is not in this file: nothing was compared with it"]


def _facts(pipe: Pipe, arch: str) -> dict[str, Any]:
    """The facts of a pipe with their defaults, after comparing its sides."""
    stated = [(side, {k: side.init.attributes[k] for k in AGREED if k in side.init.attributes}) for side in pipe.sides]
    full = [(side, given, with_defaults(given, arch)) for side, given in stated]
    first, given, facts = full[0]
    for other, others, its in full[1:]:
        for key in AGREED:
            absent = key not in facts or key not in its
            if not absent and facts[key] != its[key]:
                mine, theirs = (f"{v[key]}{'' if key in g else ' (the default)'}" for v, g in ((facts, given), (its, others)))
                raise VerifyError(
                    f"{pipe.label}: the two sides must agree on {key}; got {mine} at {first.location} and {theirs} at {other.location}: write the same on both",
                    other.location,
                )
        facts |= {key: value for key, value in its.items() if key not in facts}
    return facts


def _same_place(pipe: Pipe, arch: str) -> None:
    """Slots of a pipe lie in global memory on both sides, or on chip on both."""
    first = pipe.sides[0]
    for side in pipe.sides:
        if side.init.cls.through_gm(side.init) != first.init.cls.through_gm(first.init):
            where = ["on chip", "in global memory"]
            mine, its = (where[s.init.cls.through_gm(s.init)] for s in (first, side))
            raise VerifyError(f"{pipe.label}: its slots lie in one place; got {mine} at {first.location} and {its} at {side.location}", side.location)
    if arch == "a3" and not first.init.cls.through_gm(first.init):
        raise VerifyError(
            f"'{first.init.cls.spelling}': on a3 the slots of a pipe lie in global memory; give gm_slot_buffer or gm_slot_tensor", first.location
        )


def _has_direction(pipe: Pipe, use: Use) -> None:
    mask = pipe.facts["dir_mask"]
    if not mask & use.direction:
        raise VerifyError(
            f"'{use.spelling}': {pipe.label} has no direction {DIRECTIONS[use.direction]}; dir_mask {mask} is {DIRECTIONS[mask]}"
            f" (declared at {pipe.sides[0].location})",
            use.location,
        )


def _one_form(pipe: Pipe, uses: list[Use]) -> None:
    """Pops of one direction all give tiles or all give views; on chip there are tiles only."""
    pops = [use for use in uses if use.role == "pop"]
    other = next((use for use in pops if isinstance(use.kind, t.Tile) != isinstance(pops[0].kind, t.Tile)), None)
    if other is not None:
        raise VerifyError(f"'{other.spelling}': the pops of {pipe.label} all give tiles or all give views; got both, the other at {pops[0].location}", other.location)
    view = next((use for use in uses if isinstance(use.kind, t.View)), None)
    if view is not None and not pipe.through_gm:
        raise VerifyError(f"'{view.spelling}': the slots of {pipe.label} lie on chip and hold tiles; got a view: give the pipe slots in global memory", view.location)


def _one_split(pipe: Pipe, uses: list[Use], arch: str) -> None:
    """All ops of a direction have one split, and `nosplit` says the same.  On a3 the library makes nothing of a free's."""
    split = [use for use in uses if use.role != "free" or arch == "a5"]
    for use in split[1:]:
        if use.split != split[0].split:
            mine, its = (f"{u.split} ({SPLIT_NAMES[u.split]})" for u in (split[0], use))
            raise VerifyError(
                f"'{use.spelling}': all ops of one direction of {pipe.label} have one split; got {mine} at {split[0].location} and {its} at {use.location}", use.location
            )
    if split and "nosplit" in pipe.facts and pipe.facts["nosplit"] != (split[0].split == 0):
        where = next(side for side in pipe.sides if "nosplit" in side.init.attributes)
        said = str(pipe.facts["nosplit"]).lower()
        raise VerifyError(
            f"'{split[0].spelling}': nosplit = {said} at {where.location} does not go together with split {split[0].split} at {split[0].location}", split[0].location
        )


def one_vector_core(pipe: Pipe) -> bool:
    """Whether a pipe goes to and from one vector core: stated, or because nothing on it is split."""
    splits = {use.split for use in pipe.uses if use.role != "free"}
    return pipe.facts.get("nosplit", splits == {0})


def _vector_cores(program: Program) -> None:
    """On a5 an unsplit pipe signals to vector core 0 alone: a program's pipes are all split, or none is."""
    used = [pipe for pipe in program.pipes if pipe.uses]
    first = next((pipe for pipe in used if one_vector_core(pipe)), None)
    other = next((pipe for pipe in used if not one_vector_core(pipe)), None)
    if first is not None and other is not None:
        raise VerifyError(
            f"{first.label}: on a5 a pipe without split goes to vector core 0 alone, a split one to both; got {other.label} at {other.sides[0].location} beside it:"
            " split both, or none",
            first.sides[0].location,
        )


def _sizes(pipe: Pipe, uses: list[Use]) -> None:
    """Entries fit their slots; halves are of an even whole; what one side has is what the other has."""
    for use in uses:
        if use.kind is not None and use.role != "free":
            _fits(pipe, use)
            if not pipe.through_gm:
                _on_chip(pipe, use)
    made, taken = ([u for u in uses if u.role in roles and u.kind is not None] for roles in (("alloc", "push"), ("pop",)))
    for use in taken:
        if made and not any(use.kind.dtype == other.kind.dtype for other in made):
            raise VerifyError(
                f"'{use.spelling}': an entry of {pipe.label} has one element type; got {use.kind.dtype}, and {made[0].kind.dtype} at {made[0].location}", use.location
            )
        shapes = [_whole(other) for other in made]
        if use.split and shapes and all(_same(_whole(use), shape) is False for shape in shapes):
            mine, its = (_text(use.kind, _shape(u)) for u in (use, made[0]))
            half, other = (_text(use.kind, x) for x in _expected(use, made[0]))
            raise VerifyError(
                f"'{use.spelling}': a vector core has half of an entry of {pipe.label} (split {SPLIT_NAMES[use.split]}); got {mine}, where {made[0].location} has {its}:"
                f" {other} goes with {half}",
                use.location,
            )


def _fits(pipe: Pipe, use: Use) -> None:
    shape, kind, slot = _shape(use), use.kind, pipe.facts["slot_size"]
    if use.split and use.core == "cube" and shape[use.split - 1] is not None and shape[use.split - 1] % 2:
        what = ("rows", "columns")[use.split - 1]
        raise VerifyError(f"'{use.spelling}': split {SPLIT_NAMES[use.split]} gives each vector core half of the {what}, an even number; got {shape[use.split - 1]}", use.location)
    whole = _whole(use)
    if None not in whole:
        size = kind.dtype.bytes
        for n in whole:
            size *= n
        if size > slot:
            times = f", {_text(kind, whole)} for both vector cores" if whole != shape else ""
            raise VerifyError(
                f"'{use.spelling}': an entry of {size} bytes ({_text(kind, shape)}{times}) does not fit a slot of {slot} of {pipe.label}, declared at {pipe.sides[0].location}",
                use.location,
            )
    if use.role == "pop" and isinstance(kind, t.Tile) and None not in kind.valid and kind.bytes > slot:
        raise VerifyError(f"'{use.spelling}': a tile of {kind.bytes} bytes does not fit a slot of {slot} of {pipe.label}, declared at {pipe.sides[0].location}", use.location)


def _on_chip(pipe: Pipe, use: Use) -> None:
    """What FIXP and MTE3 can split.  Source: pto-isa 3186c381, include/pto/npu/a5/TPush.hpp (pushAcc2VecFiFo, pushVec2MatFiFo)."""
    if use.role != "push" or not use.split:
        return
    columns, size = _shape(use)[1], use.kind.dtype.bytes
    if use.direction == C2V and size != 4:
        raise VerifyError(f"'{use.spelling}': FIXP splits elements of 4 bytes; got {use.kind.dtype}: use split = 0, or slots in global memory", use.location)
    wrong = use.split == 2 and columns is not None and (columns % 32 if use.direction == C2V else columns * size % 32)
    if wrong:
        unit = "a multiple of 32 columns" if use.direction == C2V else "columns of a multiple of 32 bytes"
        raise VerifyError(f"'{use.spelling}': split left_right on chip needs {unit}; got {columns} of {use.kind.dtype}", use.location)


def _shape(use: Use) -> tuple[int | None, ...]:
    """What an op has of an entry: the view's extents, or the tile's valid sizes."""
    return use.kind.shape if isinstance(use.kind, t.View) else use.kind.valid


def _whole(use: Use) -> tuple[int | None, ...]:
    """The entry that an op has, or has half of."""
    return doubled(_shape(use), use.split) if use.core == "vector" and use.split else _shape(use)


def _same(a: tuple[int | None, ...], b: tuple[int | None, ...]) -> bool | None:
    """Whether two shapes are equal; None where that is not known."""
    if len(a) != len(b):
        return False
    known = [(x, y) for x, y in zip(a, b) if None not in (x, y)]
    return False if any(x != y for x, y in known) else (True if len(known) == len(a) else None)


def _expected(use: Use, made: Use) -> tuple[tuple, tuple]:
    """What goes with the producer's entry on the consumer's side, and the producer's."""
    change: Callable = halved if made.core == "cube" else doubled
    return change(_shape(made), made.split), _shape(made)


def _text(kind: Any, shape: tuple[int | None, ...]) -> str:
    return "x".join("?" if n is None else str(n) for n in shape) + f"x{kind.dtype}"
