"""The lines of the loops around each command."""

from pathlib import Path

import pytest

import ptoc
from ptoc import f32
from ptoc.loading import Source
from ptoc.machine.chip import load_chip
from ptoc.running import prepare
from ptoc.simulator.elaborate import kernel_functions
from ptoc.simulator.loop_lines import loop_lines


@ptoc.kernel
def nested(x: ptoc.Tensor[64, 64, f32], y: ptoc.Out[64, 64, f32]):
    with ptoc.vector():
        for i in ptoc.range(4):  # outer
            a = ptoc.tile([1, 64], f32)
            for j in ptoc.range(2):  # inner
                ptoc.load(a, x[2 * i + j : 2 * i + j + 1, :])
                ptoc.store(y[2 * i + j : 2 * i + j + 1, :], a)
            ptoc.muls(a, a, 2.0)


def lines_by_op():
    prepared = prepare(Source("nested", nested), load_chip("ascend910b1"), {}, None, 1, {}, "insert")
    functions = list(kernel_functions(prepared.compiled.simulator_ir)["nested"].values())
    return prepared, functions, loop_lines(functions, prepared.program)


def test_each_command_has_the_lines_of_its_loops_the_outermost_first():
    prepared, _, lines = lines_by_op()
    loops = {site.op: [place.rpartition("/")[2] for place in lines[site.index]] for site in prepared.program.sites if site.kind == "work"}
    source = Path(__file__).read_text().split("\n")
    outer, inner = (f"test_loop_lines.py:{n}" for mark in ("  # outer", "  # inner") for n, line in enumerate(source, 1) if line.endswith(mark))
    assert loops == {"pto.tload": [outer, inner], "pto.tstore": [outer, inner], "pto.tmuls": [outer]}
    flags = {lines[site.index] for site in prepared.program.sites if site.kind in ("set", "wait") and not site.role}
    assert flags
    assert all(len(found) in (1, 2) for found in flags)
    assert all(lines[site.index] == () for site in prepared.program.sites if site.role == "end")


def test_a_program_of_other_functions_is_refused():
    prepared, functions, _ = lines_by_op()
    prepared.program.sites.pop(next(n for n, site in enumerate(prepared.program.sites) if site.kind == "set"))
    with pytest.raises(AssertionError, match="comes from other functions"):
        loop_lines(functions, prepared.program)
