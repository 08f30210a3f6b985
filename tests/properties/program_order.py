"""Values in program order: every command of a core runs to its end before the next one starts; cores take turns at their pipes."""

from collections import Counter

from ptoc.dialect.errors import DeadlockError
from ptoc.simulator.memory import Memories
from ptoc.simulator.program import Program
from ptoc.simulator.values import Running


def run_in_program_order(program: Program, memories: Memories, meanings: dict) -> None:
    """Runs all work at once where it stands; flags and barriers within a core mean nothing, awaits let other cores go first.

    Raises: DeadlockError where all cores wait for each other.
    """
    tokens: Counter = Counter()
    cores = [stream.core for stream in program.streams]
    peers = [[j for j, o in enumerate(cores) if o.block == c.block and o.kind != c.kind] for c in cores]
    at = [0] * len(cores)
    moved = True
    while moved:
        moved = False
        for number, stream in enumerate(program.streams):
            while at[number] < len(stream.commands):
                command = stream.commands[at[number]]
                kind = command.site.kind
                if kind == "await":
                    keys = [(number, sender, command.flag) for sender in peers[number]]
                    if not all(tokens[key] for key in keys):
                        break
                    tokens.subtract(keys)
                elif kind == "signal":
                    tokens.update((receiver, number, command.flag) for receiver in peers[number])
                elif kind == "work":
                    Running(stream.core, command, memories, meanings).commit()
                at[number] += 1
                moved = True
    if any(i < len(stream.commands) for i, stream in zip(at, program.streams)):
        raise DeadlockError("in program order all cores wait for each other")
