"""The bench kernels compute what they say, with a synchronisation that is proven: what is timed is a right program."""

import pytest

import ptoc
from ptoc.fidelity.attention_by_hand import attention_by_hand
from ptoc.fidelity.attention_dsl import attention_dsl
from ptoc.fidelity.copies_bench import read_tiles, stream_read, stream_read_both, stream_read_cube, stream_write, vector_add
from ptoc.fidelity.gemm_bench import gemm_basic_api, gemm_by_hand, gemm_dsl


@pytest.mark.parametrize(("kernel", "cores", "arguments"), [
    (attention_by_hand, 1, {"S0": 128, "S1": 1536}),
    (attention_by_hand, 2, {"S0": 384, "S1": 512}),
    (attention_by_hand, 1, {"S0": 128, "S1": 2560, "TILE": 512}),
    (attention_dsl, 1, {"S0": 128, "S1": 1536}),
    (attention_dsl, 2, {"S0": 384, "S1": 512, "PRELOAD": 3, "BARRIERS": True}),
    (gemm_by_hand, 2, {"M": 256, "N": 512, "K": 512, "CORE_M": 128, "CORE_N": 512}),
    (gemm_dsl, 5, {"M": 256, "N": 1536, "K": 512}),
    (gemm_basic_api, 4, {"M": 512, "N": 768, "K": 1024, "CORE_M": 128, "CORE_N": 512}),
    (vector_add, 3, {"E": 8 * 8192, "PIECE": 4096}),
    (vector_add, 3, {"E": 8 * 8192, "PIECE": 4096, "SLOTS": 2}),
    (vector_add, 3, {"E": 8 * 8192, "PIECE": 4096, "IN_PLACE": True}),
    (vector_add, 3, {"E": 8 * 8192, "PIECE": 16256, "SLOTS": 2, "APART": True}),
])  # fmt: skip
def test_values_and_order(kernel: object, cores: int, arguments: dict) -> None:
    assert ptoc.run(kernel, cores=cores, check=True, **arguments).passed


def loads(kernel: object, cores: int, **arguments: object) -> list[list[tuple]]:
    """By core, the offsets and shapes in x of its loads, in order."""
    program = ptoc.run(kernel, cores=cores, values=False, **arguments).program
    return [[(ref.offset, ref.shape) for c in stream.commands for name, ref in c.operands if getattr(ref, "memory", "") == "gm:x"] for stream in program.streams]


def test_tiles_are_read_once_each() -> None:
    read = [place for core in loads(read_tiles, 4, M=256, N=200, ROWS=64, COLS=64) for place in core]
    assert len(set(read)) == len(read) == 16
    assert {shape for _, shape in read} == {(64, 64), (64, 8)}


def test_repeats_and_parts() -> None:
    (whole,) = loads(read_tiles, 1, M=128, N=256, ROWS=64, COLS=64, REPEATS=3)
    assert whole == whole[:8] * 3
    (parts,) = loads(read_tiles, 1, M=128, N=256, ROWS=64, COLS=64, REPEATS=3, PARTS=4)
    assert parts[:6] == parts[:2] * 3
    assert sorted(parts) == sorted(whole)


def moved(kernel: object, cores: int, **arguments: object) -> int:
    """Bytes that a kernel moves from and to global memory."""
    program = ptoc.run(kernel, cores=cores, values=False, **arguments).program
    return sum(item.bytes for stream in program.streams for c in stream.commands for item in c.work if getattr(item, "path", "").find("gm") >= 0)


def test_streams_move_their_footprint_as_often_as_asked() -> None:
    assert moved(stream_read, 3, E=3 * 20000, PASSES=4) == 4 * 4 * 3 * 20000
    assert moved(stream_write, 3, E=3 * 20000) == 4 * 3 * 20000
    assert moved(stream_read_cube, 2, M=2048) == 2048 * 256
    assert moved(stream_read_both, 2, M=4096) == 4096 * 256


def test_operands_that_lie_apart_are_added_in_half_the_time() -> None:
    # 12.85 us of vector time with, 6.95 us without bank conflict.  Source: asc-devkit 0da921b91, add_high_performance.
    def vector_fs(apart: bool) -> int:
        result = ptoc.run(vector_add, cores=1, values=False, E=8 * 16256, ROW=16256, PIECE=16256, SLOTS=2, APART=apart)
        return next(fs for (_, pipe), fs in result.timeline.busy().items() if pipe == "V")

    assert vector_fs(False) / vector_fs(True) == pytest.approx(2, rel=0.05)
