"""Loops of sections in many shapes: how many stages, which comes first, what they hand on, how often they run."""

import sys
from pathlib import Path

import pytest

import ptoc
from ptoc import L0A, L0C, L1, f16, f32

sys.path.insert(0, str(Path(__file__).parent))
from section_chains import N, chain, multiply


def proven(kernel: ptoc.Kernel, blocks: int, redundancy: bool = True) -> None:
    """Right in every allowed order, nothing missing, and nothing redundant."""
    assert ptoc.run(kernel, R=blocks * N, cores=1, check=True).passed
    report = ptoc.check(kernel, R=blocks * N, cores=1)
    assert report.ok, report
    assert not redundancy or report.redundant == (), [str(unit) for unit in report.redundant]


@pytest.mark.parametrize("preload", [1, 2, 4])
@pytest.mark.parametrize("kinds", ["cv", "vc", "cvc", "vcv", "cvcv", "vcvc", "vcvcv", "cvcvcv"])
def test_chains_of_stages(kinds: str, preload: int) -> None:
    proven(chain(kinds, preload), 7)


@pytest.mark.parametrize("kinds", ["cvc", "vcv", "cvcv"])
def test_without_running_ahead(kinds: str) -> None:
    """Flags between stages that a round trip orders already are redundant here; see docs/decisions.md."""
    proven(chain(kinds, 0), 7, redundancy=False)


@pytest.mark.parametrize("blocks", [2, 3, 5, 20])
@pytest.mark.parametrize("kinds", ["cvc", "vcv"])
def test_fewer_and_more_iterations_than_run_ahead(kinds: str, blocks: int) -> None:
    proven(chain(kinds, 3), blocks)


@pytest.mark.parametrize("kinds", ["cvc", "vcv", "cvcv"])
def test_a_loop_that_runs_no_time(kinds: str) -> None:
    proven(chain(kinds, 2, start=5), 3)


@pytest.mark.parametrize("kinds", ["cvc", "vcv", "cvcv"])
def test_a_loop_with_start_and_step(kinds: str) -> None:
    proven(chain(kinds, 2, start=2, step=3), 14)


@pytest.mark.parametrize("kinds", ["cvc", "vcv"])
def test_two_cross_tiles_between_the_same_stages(kinds: str) -> None:
    proven(chain(kinds, 2, doubled=True), 9)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("kinds", ["cv", "vcv", "cvcv"])
def test_a_tile_that_one_stage_keeps_from_iteration_to_iteration(kinds: str, stages: int) -> None:
    proven(chain(kinds, 2, summed=True, stages=stages), 9)


@pytest.mark.parametrize("preload", [5, 6, 7])
def test_rings_of_up_to_fourteen_slots(preload: int) -> None:
    proven(chain("cvcv", preload), 16)


def test_more_rings_than_there_are_flags_are_refused() -> None:
    with pytest.raises(ptoc.VerifyError, match=r"section_chains.py:\d+: .*at most 5 one-way pipes fit"):
        ptoc.compile(chain("cvcvcvc", 1))


def round_trip(x, y, w0, i):
    """y[i] = (x[i] @ w / 2) @ w."""
    there, back = ptoc.cross((N, N), f32), ptoc.cross((N, N), f16)
    with ptoc.cube():
        multiply([x[i * N : (i + 1) * N, :]], [there], w0)
    with ptoc.vector():
        t, h = ptoc.tile([N // 2, N], f32), ptoc.tile([N // 2, N], f16)
        ptoc.load(t, there)
        ptoc.muls(t, t, 0.5)
        ptoc.cvt(h, t)
        ptoc.store(back, h)
    with ptoc.cube():
        multiply([back], [y[i * N : (i + 1) * N, :]], w0)


def kernel_of(body: object) -> ptoc.Kernel:
    """A kernel of round trips that `body(x, y, w0, blocks)` makes."""
    made = chain("c", 0)

    @ptoc.kernel
    def k(x: ptoc.Tensor["R", N, f16], w: ptoc.Tensor[N, N, f16], y: ptoc.Out["R", N, f32], R):
        w1, w0 = ptoc.tile([N, N], f16, L1), ptoc.tile([N, N], f16, ptoc.L0B)
        with ptoc.cube():
            ptoc.load(w1, w)
            ptoc.mov(w0, w1)
        body(x, y, w0, R // N)

    @k.reference
    def reference(x, w):
        return (x @ w / 2).astype("float16").astype(float) @ w

    k.inputs(made.inputs_function)
    k.tolerance = 5e-3
    return k


def in_a_loop_around(x, y, w0, blocks):
    for outer in ptoc.range(blocks // 4):
        for i in ptoc.range(4, preload=2):
            round_trip(x, y, w0, outer * 4 + i)


def in_two_loops(x, y, w0, blocks):
    for i in ptoc.range(blocks // 2, preload=2):
        round_trip(x, y, w0, i)
    for i in ptoc.range(blocks // 2, blocks, preload=3):
        round_trip(x, y, w0, i)


def before_a_loop(x, y, w0, blocks):
    round_trip(x, y, w0, 0)
    for i in ptoc.range(1, blocks, preload=1):
        round_trip(x, y, w0, i)


def beside_empty_sections(x, y, w0, blocks):
    for i in ptoc.range(blocks, preload=2):
        with ptoc.vector():
            pass
        round_trip(x, y, w0, i)
        with ptoc.cube():
            pass


def beside_a_section_of_its_own(x, y, w0, blocks):
    for i in ptoc.range(blocks, preload=2):
        round_trip(x, y, w0, i)
        with ptoc.vector():
            t = ptoc.tile([N // 2, N], f16)
            ptoc.load(t, x[0 : N // 2, :])


def behind_an_early_return(x, y, w0, blocks):
    ptoc.return_if(ptoc.block_idx() > 0)
    for i in ptoc.range(blocks, preload=2):
        round_trip(x, y, w0, i)


@pytest.mark.parametrize(
    "body", [in_a_loop_around, in_two_loops, before_a_loop, beside_empty_sections, beside_a_section_of_its_own, behind_an_early_return]
)
def test_round_trips_stand_in_many_places(body: object) -> None:
    proven(kernel_of(body), 8)


def test_a_round_trip_under_a_condition_is_right_but_does_not_run_ahead() -> None:
    def body(x, y, w0, blocks):
        for i in ptoc.range(blocks, preload=2):
            with ptoc.when(i >= 0):
                round_trip(x, y, w0, i)

    kernel = kernel_of(body)
    proven(kernel, 8, redundancy=False)
    remarks = ptoc.compile(kernel).remarks
    assert any("preload does nothing: no cross tile connects sections that stand directly in this loop" in remark for remark in remarks)


def a_scratch_tile_of_two_stages(x, y, w0, blocks):
    t = ptoc.tile([N // 2, N], f32)
    for i in ptoc.range(blocks, preload=2):
        there, back, again = ptoc.cross((N, N), f32), ptoc.cross((N, N), f16), ptoc.cross((N, N), f32)
        with ptoc.cube():
            multiply([x[i * N : (i + 1) * N, :]], [there], w0)
        with ptoc.vector():
            h = ptoc.tile([N // 2, N], f16)
            ptoc.load(t, there)
            ptoc.cvt(h, t)
            ptoc.store(back, h)
        with ptoc.cube():
            multiply([back], [again], w0)
        with ptoc.vector():
            ptoc.load(t, again)
            ptoc.store(y[i * N + ptoc.sub_block_idx() * (N // 2) : i * N + (ptoc.sub_block_idx() + 1) * (N // 2), :], t)


def a_section_under_a_condition_beside_stages(x, y, w0, blocks):
    for i in ptoc.range(blocks, preload=2):
        round_trip(x, y, w0, i)
        with ptoc.when(i == 3), ptoc.cube():
            ptoc.load(ptoc.tile([N, N], f16, L1), x[0:N, :])


def a_cross_tile_that_nobody_loads(x, y, w0, blocks):
    for i in ptoc.range(blocks, preload=2):
        round_trip(x, y, w0, i)
        lost = ptoc.cross((N, N), f32)
        with ptoc.cube():
            c0 = ptoc.tile([N, N], f32, L0C)
            ptoc.matmul(c0, ptoc.tile([N, N], f16, L0A), w0)
            ptoc.store(lost, c0)


def two_loads_of_a_cross_tile(x, y, w0, blocks):
    for i in ptoc.range(blocks, preload=2):
        back = ptoc.cross((N, N), f16)
        with ptoc.vector():
            ptoc.store(back, ptoc.tile([N // 2, N], f16))
        for _ in range(2):
            with ptoc.cube():
                multiply([back], [y[i * N : (i + 1) * N, :]], w0)


def two_round_trips_that_store_to_one_tensor(x, y, w0, blocks):
    for i in ptoc.range(blocks // 2, preload=2):
        round_trip(x, y, w0, 2 * i)
        round_trip(x, y, w0, 2 * i + 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (a_scratch_tile_of_two_stages, r"a tile that stages of different lags use belongs to one iteration: make it in the loop's body"),
        (a_section_under_a_condition_beside_stages, r"a loop with preload holds sections that cross tiles connect, and nothing else"),
        (a_cross_tile_that_nobody_loads, r"stored in one section and loaded in one section of the other kind; got stored in cube \(.*\), loaded in none"),
        (two_loads_of_a_cross_tile, r"got stored in vector \(.*\), loaded in cube \(.*\), cube \("),
        (two_round_trips_that_store_to_one_tensor, r"a tensor cannot carry a value between sections"),
    ],
)
def test_other_shapes_are_refused_with_their_line(body: object, message: str) -> None:
    with pytest.raises(ptoc.NotSupportedError, match=rf"(test_section_shapes|section_chains).py:\d+: .*{message}"):
        ptoc.compile(kernel_of(body))
