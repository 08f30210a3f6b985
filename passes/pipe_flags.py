"""Which cross-core flags each pipe of a program uses: two a direction, those that are stated kept, none that the library or another op has."""

from ptoc.dialect.errors import VerifyError
from ptoc.dialect.op import Record
from ptoc.dialect.ops.events import CrossCoreOp
from ptoc.dialect.pipe_facts import flags_of

from .pipe_program import Pipe, Program, pto_ops

FLAGS = 16
RESERVED_FLAGS = range(11, 15)
"""Cross-core flags of a core, and those that belong to the library's SYNCALL.  Source: docs/semantics.md."""


def assign_flags(program: Program) -> None:
    """Gives every pipe of a program its `flag_base`.

    Raises: VerifyError where stated flags belong to the library, to another pipe or to a flag written by hand, or where 16 do not suffice.
    """
    by_hand = _by_hand(program)
    taken: dict[int, Pipe] = {}
    for pipe in (p for p in program.pipes if "flag_base" in p.facts):
        for flag in flags(pipe):
            _refuse_taken(pipe, flag, taken, by_hand)
            taken[flag] = pipe
    for pipe in (p for p in program.pipes if "flag_base" not in p.facts):
        need = flags_of(pipe.facts["dir_mask"])
        free = {n for n in range(FLAGS) if n not in RESERVED_FLAGS and n not in taken and n not in by_hand}
        base = next((n for n in sorted(free) if free.issuperset(range(n, n + need))), None)
        if base is None:
            raise VerifyError(_no_more(pipe, need, taken, by_hand), pipe.sides[0].location)
        pipe.facts["flag_base"] = base
        taken |= dict.fromkeys(range(base, base + need), pipe)


def flags(pipe: Pipe) -> range:
    """The flags of a pipe that has its base."""
    return range(pipe.facts["flag_base"], pipe.facts["flag_base"] + flags_of(pipe.facts["dir_mask"]))


def _by_hand(program: Program) -> dict[int, Record]:
    """Flags of the program's own signals, with the first op that names each."""
    found: dict[int, Record] = {}
    for function in program.functions:
        for rec in pto_ops(function):
            if issubclass(rec.cls, CrossCoreOp) and "event_id" in rec.attributes:
                found.setdefault(int(rec.attributes["event_id"]), rec)
    return found


def _refuse_taken(pipe: Pipe, flag: int, taken: dict[int, Pipe], by_hand: dict[int, Record]) -> None:
    need, where = flags(pipe), next(s for s in pipe.sides if "flag_base" in s.init.attributes).location
    mine = f"{pipe.label}: flag_base {need.start} takes flags {need.start} to {need.stop - 1}"
    if flag >= FLAGS:
        raise VerifyError(f"{mine}; there are 16 (0 to 15): lower it, or leave it out", where)
    if flag in RESERVED_FLAGS:
        raise VerifyError(f"{mine}; {RESERVED_FLAGS.start} to {RESERVED_FLAGS.stop - 1} belong to the library: choose others, or leave it out", where)
    if flag in taken:
        raise VerifyError(f"{mine}; {flag} belongs to {taken[flag].label}, declared at {taken[flag].sides[0].location}: choose others, or leave it out", where)
    if flag in by_hand:
        rec = by_hand[flag]
        raise VerifyError(f"{mine}; {flag} is used by '{rec.cls.spelling}' at {rec.location}: choose others, or leave it out", where)


def _no_more(pipe: Pipe, need: int, taken: dict[int, Pipe], by_hand: dict[int, Record]) -> str:
    owners = dict.fromkeys(taken.values())
    parts = [f"{flags(p).start} to {flags(p).stop - 1} {p.label} ({p.sides[0].location})" for p in owners]
    parts += [f"{flag} '{rec.cls.spelling}' ({rec.location})" for flag, rec in sorted(by_hand.items())]
    parts.append(f"{RESERVED_FLAGS.start} to {RESERVED_FLAGS.stop - 1} the library")
    return f"{pipe.label}: no {need} cross-core flags in a row are left of 16; in use: {', '.join(parts)}: use fewer pipes, at most {RESERVED_FLAGS.start // 2} one-way ones fit"
