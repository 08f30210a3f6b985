"""What part of each transfer the L2 has, decided before scheduling."""

import pytest

import ptoc
from ptoc import f32
from ptoc.machine.chip import load_chip
from ptoc.running import time_program
from ptoc.simulator.accesses import accesses_of
from ptoc.simulator.residency import MOST, NEGLIGIBLE, all_hit, footprint, hit_fractions


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


def fractions(one, most=MOST, **options):
    """The part of what the one load reads that hits."""
    (load,) = [site.index for site in one.sites if site.pipe == "MTE2" and site.kind == "work"]
    return hit_fractions(accesses_of(one, most), one.memories, **options).get(load, 1.0)


def test_a_warm_run_that_is_small_hits_everywhere():
    assert hit_fractions(accesses_of(program(E=16384, cores=2), MOST), program(E=16384, cores=2).memories, capacity=10**9, warm=True) == {}


def test_what_is_left_out_as_small_would_round_to_hits():
    one = program(E=16384, cores=2)
    whole = {**one.memories, "gm:beside": 10**6}
    for factor in (1.01, 0.99):
        capacity = factor * footprint(one.memories) / NEGLIGIBLE
        assert all_hit(one.memories, capacity, True) == (factor > 1)
    assert hit_fractions(accesses_of(one, MOST), whole, 1.01 * footprint(one.memories) / NEGLIGIBLE, True) == {}


def test_rings_on_the_chip_are_no_global_memory():
    assert footprint({"gm:x": 100, "gm:ring.0.0/ub": 10**9}) == 100


def test_a_cold_run_misses_once():
    assert fractions(program(E=16384, cores=2, TIMES=4), capacity=10**9, warm=False) == 0.75  # of the four passes over each tile the first


def test_what_is_further_than_the_capacity_misses():
    one = program(E=16384, cores=2)  # 64 KiB read and 64 KiB written in each pass
    assert fractions(one, capacity=128 * 1024, warm=True) == 0.0
    assert fractions(one, capacity=256 * 1024, warm=True) == pytest.approx(0.75, abs=1 / 64)


def test_of_a_long_run_the_beginning_is_looked_at():
    one = program(E=16384, cores=2, TIMES=16)
    whole, first = (fractions(one, most=most, capacity=256 * 1024, warm=True) for most in (MOST, 128))
    assert accesses_of(one, 128).looked_at == 0.25 and first == pytest.approx(whole, abs=2 / 64)


def test_reads_past_the_l2_are_told_apart():
    assert fractions(program(E=16384, cores=2), capacity=10**9, warm=True, bypass=("x",)) == -1.0


def test_misses_take_longer():
    one = program(E=65536, cores=2)
    warm, cold = (time_program(one, CHIP, warm=w).makespan for w in (True, False))
    assert cold > 1.1 * warm


def test_many_cores_crowd_each_other():
    alone = program(E=16384, cores=1, TIMES=1)
    many = program(E=16384 * 24, cores=24, TIMES=1)
    assert time_program(many, CHIP).makespan > time_program(alone, CHIP).makespan
