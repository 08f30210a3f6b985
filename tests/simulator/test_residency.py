"""What part of each transfer the L2 has, decided before scheduling."""

import pytest

import ptoc
from ptoc import f32
from ptoc.machine.chip import load_chip
from ptoc.running import time_program
from ptoc.simulator.residency import hit_fractions


@ptoc.kernel
def passes(x: ptoc.Tensor["E", f32], y: ptoc.Out["E", f32], E, *, TIMES: int = 2):
    share = E // ptoc.num_blocks()
    t = ptoc.tile([1, 1024], f32)
    for _ in ptoc.range(TIMES):
        for i in ptoc.range(share // 1024):
            first = ptoc.block_idx() * share + i * 1024
            ptoc.load(t, x[first : first + 1024])
            ptoc.store(y[first : first + 1024], t)


CHIP = load_chip("ascend910b2")


def program(**arguments):
    return ptoc.run(passes, CHIP, values=False, **arguments).program


def fractions(one, **options):
    """Hit fractions of the loads, in program order, by core."""
    hits = hit_fractions(one, **options)
    return [
        [hits(number, index) for index, c in enumerate(stream.commands) if c.site.pipe == "MTE2" and c.work] for number, stream in enumerate(one.streams)
    ]


def test_a_warm_run_that_is_small_hits_everywhere():
    assert hit_fractions(program(E=16384, cores=2), capacity=10**9, warm=True) is None


def test_a_cold_run_misses_once():
    loads = fractions(program(E=16384, cores=2, TIMES=4), capacity=10**9, warm=False)
    assert loads == [[0.75] * 32] * 2  # each tile is read four times, the first time it misses: the mean of all


def test_what_is_further_than_the_capacity_misses():
    one = program(E=16384, cores=2)  # 64 KiB read and 64 KiB written in each pass
    assert fractions(one, capacity=128 * 1024, warm=True) == [[0.0] * 16] * 2
    half = fractions(one, capacity=256 * 1024, warm=True)
    assert half[0] == pytest.approx([0.75] * 16, abs=1 / 64)


def test_reads_past_the_l2_are_told_apart():
    loads = fractions(program(E=16384, cores=2), capacity=10**9, warm=True, bypass=("x",))
    assert loads == [[-1.0] * 16] * 2


def test_misses_take_longer():
    one = program(E=65536, cores=2)
    warm, cold = (time_program(one, CHIP, warm=w).makespan for w in (True, False))
    assert cold > 1.1 * warm


def test_many_cores_crowd_each_other():
    alone = program(E=16384, cores=1, TIMES=1)
    many = program(E=16384 * 24, cores=24, TIMES=1)
    assert time_program(many, CHIP).makespan > time_program(alone, CHIP).makespan
