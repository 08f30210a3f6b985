"""The shipped kernels: a check that skips loops and alike blocks reports what one that walks everything does."""

import pytest

from ptoc.loading import load_source
from ptoc.machine.chip import load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.running import prepare
from ptoc.simulator import check_loops
from ptoc.simulator.check import check, needs_of, without_sites
from ptoc.simulator.check_blocks import groups_of
from ptoc.simulator.check_clocks import Clocks
from ptoc.simulator.check_pattern import Pattern
from ptoc.simulator.check_regions import Regions


def program_of(name, case, chip="ascend910b1", cores=None):
    return prepare(load_source(name), load_chip(chip), {}, case, cores, {}, "insert").program


def rounds_skipped(program):
    """Rounds of loops that the walk through the first block skips."""
    block = groups_of(program)[0].program
    regions = Regions(block)
    clocks = Clocks(block, regions, needs_of(block, needs_barrier), pattern=Pattern(block, regions))
    assert clocks.run()
    return clocks.skipper.skipped


@pytest.mark.parametrize("chip", ["ascend910b1", "ascend950pr"])
@pytest.mark.parametrize(("name", "case"), [("flash_attention", "s8192"), ("gemm", "default")])
def test_long_loops_are_skipped_with_the_same_report(name, case, chip):
    program = program_of(name, case, chip)
    assert rounds_skipped(program) > 0
    assert check(program, needs_barrier) == check(program, needs_barrier, shortcuts=False)


@pytest.mark.parametrize(("name", "case", "blocks"), [("gemm", "many_cores", [16]), ("flash_attention", "two_blocks", [2]), ("vector_add", "default", [26, 1, 21]), ("flash_attention", "tails_in_turn", [1])])
def test_alike_blocks_are_checked_once_with_the_same_report(name, case, blocks):
    program = program_of(name, case)
    assert [len(group.blocks) for group in groups_of(program)] == blocks
    assert check(program, needs_barrier) == check(program, needs_barrier, shortcuts=False)


@pytest.mark.parametrize(("name", "case"), [("gemm", "tails"), ("flash_attention", "one_tile_in_turn"), ("softmax", "in_turn")])
def test_deletions_are_judged_together_as_one_by_one(name, case):
    program = program_of(name, case)
    report = check(program, needs_barrier, redundancy=True)
    assert report == check(program, needs_barrier, redundancy=True, shortcuts=False)


def test_a_kernel_that_lacks_a_flag_is_refused_in_the_same_words(monkeypatch):
    monkeypatch.setattr(check_loops, "SNAPSHOT_COMMANDS", 1)
    program = program_of("flash_attention", "s4096")
    units = {site.unit for site in program.sites if site.kind == "wait" and not site.role}
    refused = 0
    for unit in sorted(units)[::5]:
        smaller = without_sites(program, {site.index for site in program.sites if site.unit == unit})
        report = check(smaller, needs_barrier)
        assert report == check(smaller, needs_barrier, shortcuts=False)
        refused += not report.ok
    assert refused > 3
