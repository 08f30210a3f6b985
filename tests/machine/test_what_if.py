"""Changed chips: which numbers a name stands for, faster and slower, and what is refused."""

from fractions import Fraction

import pytest

from ptoc.dialect.errors import ArgumentError, ChipError
from ptoc.machine.chip import chip_names, load_chip
from ptoc.machine.pricing import price, sync_costs
from ptoc.machine.schema import ChipFile
from ptoc.machine.what_if import FIXED, INFINITE, PARTS, changed
from ptoc.machine.work import Cube, Scalar, Transfer, Vector

CHIP = load_chip("ascend910b1")

WORKS = {
    "cube": Cube("f16", 128, 128, 128),
    "vector": Vector("vadd", "f32", 64),
    "mte1": Transfer("l1_to_l0a", 1, 32768),
    "mte2": Transfer("gm_to_ub", 1, 32768),
    "mte3": Transfer("ub_to_gm", 1, 32768),
    "fix": Transfer("l0c_to_gm", 128, 512),
    "scalar": Scalar(1000),
}


@pytest.mark.parametrize("part", WORKS)
def test_a_part_twice_as_fast_takes_half_and_nothing_else_changes(part):
    fast = changed(CHIP, f"{part}=2x")
    for other, work in WORKS.items():
        was, now = price(CHIP, (work,)), price(fast, (work,))
        if other == part:
            assert abs(2 * now.occupancy - was.occupancy) <= 2
            assert abs(2 * now.latency - was.latency) <= 2
        else:
            assert now == was
    assert part == "scalar" or sync_costs(fast) == sync_costs(CHIP)


def test_parts_of_synchronisation_and_bandwidth():
    was, now = sync_costs(CHIP), sync_costs(changed(CHIP, "sync=2x,signal=0.5x,issue=inf,l2=2x,hbm=3x"))
    assert [now.set_flag, now.wait_flag] == [round(was.set_flag / 2), round(was.wait_flag / 2)]
    assert now.signal == 2 * was.signal
    assert abs(now.issue * INFINITE - was.issue) <= INFINITE
    assert now.rates["l2_read"] == 2 * was.rates["l2_read"]
    assert now.rates["hbm"] == 3 * was.rates["hbm"]


def test_a_factor_of_one_changes_no_number():
    same = changed(CHIP, ",".join(f"{part}=1x" for part in PARTS if part not in ("sdma", "mesh")))
    assert same.data == CHIP.data
    assert (same.vectors, same.paths) == (CHIP.vectors, CHIP.paths)


def test_changes_follow_one_another():
    assert changed(CHIP, "shared.hbm=100,hbm=2x,shared.hbm=2x").number("shared.hbm") == 400
    assert changed(CHIP, "sync.signal=0").number("sync.signal") == 0
    assert changed(CHIP, "clock=1.5x").number("clocks.laws") == float(Fraction("1.8") * Fraction("1.5"))
    assert CHIP.number("sync.signal") == 540


def test_every_key_that_a_part_names_is_one_of_the_chip_file():
    named = {key.split(".")[0] for keys in PARTS.values() for key in keys}
    assert named | set(FIXED) == set(ChipFile.model_fields)
    every = {path for name in chip_names() for path in load_chip(name).paths}
    said = [key.removeprefix("paths.") for keys in PARTS.values() for key in keys if key.startswith("paths.")]
    assert sorted(said) == sorted(set(said))
    assert every <= set(said)
    for keys in PARTS.values():
        for key in keys:
            if key.startswith(("shared.", "sync.")):
                assert CHIP.number(key) >= 0


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("cube", ArgumentError, "expected NAME=2x, NAME=inf or KEY=NUMBER"),
        ("cube=2", ArgumentError, "stands for several numbers: give a factor such as cube=2x"),
        ("cube=0x", ArgumentError, "a factor is above 0 and at most 1000000; got '0x'"),
        ("cube=1e400x", ArgumentError, "a factor is above 0 and at most 1000000; got '1e400x'"),
        ("sync.event_ids=4", ArgumentError, "'sync.event_ids' cannot change in a what-if, the program was compiled for it"),
        ("cube=1e-300x", ChipError, "key 'cube.start_occupancy': expected a value from 0 to 1e\\+09 cycles, got "),
        ("cube=twox", ArgumentError, "'twox' is no factor"),
        ("cupe=2x", ArgumentError, "no part of a chip is called 'cupe'; there are cube, vector"),
        ("sync.signal=fast", ArgumentError, "'sync.signal=fast': expected 2x, inf or a number"),
        ("cores.aic=2x", ArgumentError, "'cores.aic' cannot change in a what-if"),
        ("memories.ub.bytes=1", ArgumentError, "cannot change in a what-if, the program was compiled for it"),
        ("mesh=2x", ArgumentError, "chip ascend910b1 has no mesh"),
        ("shared.hbm=0", ChipError, "what-if 'shared.hbm=0': key 'shared.hbm': expected a value above 0 GB/s, got 0"),
        ("sync.signal=-1", ChipError, "expected a value of at least 0 cycles, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        changed(CHIP, text)
