"""Which hazards within one pipe need a barrier."""

import itertools

import pytest

from ptoc.dialect.errors import ChipError
from ptoc.machine.hazards import ARCHITECTURES, HAZARDS, PIPES, needs_barrier


def test_only_the_vector_pipe_of_a3_needs_barriers():
    needed = {x for x in itertools.product(ARCHITECTURES, PIPES, HAZARDS) if needs_barrier(*x)}
    assert needed == {("a3", "V", "RAW"), ("a3", "V", "WAR"), ("a3", "V", "WAW")}


@pytest.mark.parametrize(("question", "message"), [
    (("a4", "V", "RAW"), r"no architecture is called 'a4'; expected one of a3, a5"),
    (("a3", "VEC", "RAW"), r"no pipe is called 'VEC'; expected one of S, V, M"),
    (("a3", "V", "RAR"), r"no hazard is called 'RAR'; expected one of RAW, WAR, WAW"),
])  # fmt: skip
def test_unknown_names(question, message):
    with pytest.raises(ChipError, match=message):
        needs_barrier(*question)
