"""Sections in naive order through split-sections and skew-pipeline: values, synchronisation, time, and what is refused."""

import pytest

import ptoc
from ptoc import L0C, L1, f32
from ptoc.kernels.flash_attention_expert import flash_attention_expert
from ptoc.kernels.flash_attention_naive import flash_attention_naive


@pytest.mark.parametrize("tiles", [1, 3, 8])
def test_naive_flash_attention_is_right_in_every_allowed_order(tiles: int) -> None:
    result = ptoc.run(flash_attention_naive, S0=256, S1=256 * tiles, cores=1, check=True)
    assert result.passed
    assert result.max_abs_error < 1e-3


@pytest.mark.parametrize("preload", range(8))
def test_any_preload_gives_the_same(preload: int) -> None:
    assert ptoc.run(flash_attention_naive, S0=128, S1=1280, check=True, PRELOAD=preload).passed


@pytest.mark.parametrize("preload", range(1, 8))
def test_nothing_is_missing_and_nothing_redundant(preload: int) -> None:
    """Each unit is needed for many tiles, or for one tile a block, of blocks in turn."""
    reports = [ptoc.check(flash_attention_naive, S0=rows, S1=columns, cores=1, PRELOAD=preload) for rows, columns in ((256, 2560), (384, 256))]
    assert all(report.ok for report in reports)
    assert not set.intersection(*({unit.unit for unit in report.redundant} for report in reports))


@pytest.mark.parametrize("tiles", [4, 8, 16, 32])
def test_it_is_as_fast_as_the_same_schedule_by_hand(tiles: int) -> None:
    naive, by_hand = (ptoc.run(k, S0=128, S1=256 * tiles, values=False).latency_us for k in (flash_attention_naive, flash_attention_expert))
    assert naive <= 1.05 * by_hand


def test_running_ahead_saves_time() -> None:
    slow, fast = (ptoc.run(flash_attention_naive, S0=128, S1=2048, values=False, PRELOAD=n).latency_us for n in (0, 4))
    assert fast < 0.75 * slow


def test_sizes_with_tails_are_refused() -> None:
    with pytest.raises(ptoc.ArgumentError, match=r"S0 must be a multiple of ROWS = 128 and S1 of TILE = 256; got 128 and 300"):
        ptoc.run(flash_attention_naive, S0=128, S1=300)


def refused(body: object) -> object:
    """A kernel whose body gets the input and the output."""

    @ptoc.kernel
    def k(x: ptoc.Tensor["N", 32, f32], y: ptoc.Out["N", 32, f32]):
        body(x, y)

    return k


def pass_on(x, y, out=None):
    """A tile that the vector cores store and the cube core loads, and the result back into `out`."""
    there, a, b = ptoc.cross((32, 32), f32), ptoc.tile([16, 32], f32), ptoc.tile([32, 32], f32, L1)
    with ptoc.vector():
        ptoc.load(a, x[0:16, :])
        ptoc.store(there, a)
        if out is not None:
            ptoc.store(out[0:16, :], a)
    with ptoc.cube():
        ptoc.load(b, there)
        if out is not None:
            ptoc.load(b, out[0:32, :])


def a_tensor_between_sections(x, y):
    pass_on(x, y, y)


def a_command_between_sections(x, y):
    pass_on(x, y)
    ptoc.load(ptoc.tile([16, 32], f32), x[0:16, :])


def a_cross_tile_of_all_iterations(x, y):
    there, a, b = ptoc.cross((32, 32), f32), ptoc.tile([16, 32], f32), ptoc.tile([32, 32], f32, L1)
    for _ in ptoc.range(4):
        with ptoc.vector():
            ptoc.store(there, a)
        with ptoc.cube():
            ptoc.load(b, there)


def a_tile_in_both(x, y):
    pass_on(x, y)
    both = ptoc.tile([32, 32], f32, L0C)
    with ptoc.vector():
        ptoc.store(y[0:32, :], both)
    with ptoc.cube():
        ptoc.store(x[0:32, :], both)


def a_pipe_as_well(x, y):
    ptoc.pipe("c2v", (32, 32), f32)
    pass_on(x, y)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (a_tensor_between_sections, r"py:\d+: a tensor cannot carry a value between sections"),
        (a_command_between_sections, r"py:\d+: 'pto.tload': a command between sections runs on both kinds of core"),
        (a_cross_tile_of_all_iterations, r"py:\d+: a cross tile belongs to one iteration"),
        (a_tile_in_both, r"py:\d+: a tile cannot carry a value between sections"),
        (a_pipe_as_well, r"py:\d+: pipes of the program's own do not go together with cross tiles"),
    ],
)
def test_other_values_are_refused_with_their_line(body: object, message: str) -> None:
    with pytest.raises(ptoc.NotSupportedError, match=message):
        ptoc.compile(refused(body))


def a_cross_tile_in_a_section(x, y):
    with ptoc.cube():
        ptoc.cross((32, 32), f32)


def a_cross_tile_used_outside(x, y):
    ptoc.store(ptoc.cross((32, 32), f32), ptoc.tile([16, 32], f32))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (a_cross_tile_in_a_section, "cross: a cross tile belongs to both kinds of core"),
        (a_cross_tile_used_outside, "cross: a cross tile is used inside a cube or a vector section"),
        (lambda x, y: ptoc.cross((3, 32), f32), "cross: a shape of two positive integers .* with even rows"),
        (lambda x, y: next(ptoc.range(4, preload=8)), "range: preload must be 0 to 7"),
    ],
)
def test_the_language_says_what_is_wrong(body: object, message: str) -> None:
    with pytest.raises(ptoc.ParseError, match=message):
        ptoc.compile(refused(body))


def test_a_preload_without_cross_tiles_is_remarked() -> None:
    def body(x, y):
        a = ptoc.tile([32, 32], f32)
        for i in ptoc.range(4, preload=2):
            ptoc.load(a, x[i * 32 : i * 32 + 32, :])
            ptoc.store(y[i * 32 : i * 32 + 32, :], a)

    assert any("preload does nothing" in remark for remark in ptoc.compile(refused(body)).remarks)
