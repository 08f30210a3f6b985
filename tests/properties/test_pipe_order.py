"""Random programs with one pipe: lower-pipes refuses exactly those that would deadlock with the library's counters.

The counters are run here on their own, without loops or states; the pass follows loops of unknown trip count.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ptoc.dialect.errors import VerifyError

sys.path.insert(0, str(Path(__file__).parent.parent / "passes"))
from pipe_texts import alloc, free, loop, lowered, pop, program, push

ROUNDS = 40
"""Bodies that are run of the side with the longer one; rings have at most 8 slots."""


@dataclass(frozen=True)
class Example:
    """`cube`, `vector`: bodies of the loops, each a list of (taken, number) in order; slots, period."""

    cube: tuple[tuple[bool, int], ...]
    vector: tuple[tuple[bool, int], ...]
    slots: int
    period: int

    def text(self) -> str:
        facts = f"dir_mask = 1, slot_size = 1024, slot_num = {self.slots}, sync_period = {self.period}"
        cube = "".join((alloc if taken else push)(f"%e{n}") for taken, n in self.cube)
        vector = "".join((pop if taken else free)(f"%e{n}") for taken, n in self.vector)
        return program(loop(cube), loop(vector, "%m"), facts)


def body(draw: st.DrawFn) -> tuple[tuple[bool, int], ...]:
    """Up to five entries, taken and given on in order, as far apart as it comes."""
    count = draw(st.integers(1, 5))
    steps, taken, given = [], 0, 0
    while given < count:
        if taken < count and (given == taken or draw(st.booleans())):
            steps.append((True, taken))
            taken += 1
        else:
            steps.append((False, given))
            given += 1
    return tuple(steps)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    slots = draw(st.integers(1, 8))
    period = draw(st.sampled_from([n for n in range(1, slots + 1) if slots % n == 0]))
    return Example(body(draw), body(draw), slots, period)


def deadlocks(example: Example) -> bool:
    """The library's counters: whether one side waits for ever before as many entries have passed as fit both loops."""
    entries = [sum(taken for taken, _ in side) for side in (example.cube, example.vector)]
    total = math.lcm(*entries) * ROUNDS
    cube, vector = (side * (total // count) for side, count in zip((example.cube, example.vector), entries))
    at_cube = at_vector = allocated = pushed = popped = freed = tokens = used = 0
    moved = True
    while moved:
        moved = False
        while at_cube < len(cube):
            taken, _ = cube[at_cube]
            if taken and allocated >= example.slots and allocated % example.period == 0:
                if tokens == used:
                    break
                used += 1
            allocated, pushed = allocated + taken, pushed + (not taken)
            at_cube, moved = at_cube + 1, True
        while at_vector < len(vector):
            taken, _ = vector[at_vector]
            if taken and popped == pushed:
                break
            popped, freed = popped + taken, freed + (not taken)
            last = example.period == 1 or freed == popped
            if not taken and last and popped % example.period == 0:
                tokens += 1
            at_vector, moved = at_vector + 1, True
    return at_cube < len(cube) or at_vector < len(vector)


@settings(max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(examples())
def test_exactly_what_would_deadlock_is_refused(example: Example) -> None:
    told = ""
    try:
        lowered(example.text())
    except VerifyError as error:
        told = str(error)
    assert ("would deadlock" in told) == deadlocks(example)
    assert bool(told) == deadlocks(example)
