"""Ring attention and mesh decode: results, who takes part, what travels, time against compute and link, and what is wrong."""

import numpy as np
import pytest

import ptoc
from ptoc.dialect.errors import ArgumentError, DeadlockError, NotSupportedError, SimulationError
from ptoc.kernels import mesh_decode as decode_module
from ptoc.kernels import ring_attention as ring_module
from ptoc.kernels.mesh_decode import mesh_decode
from ptoc.kernels.ring_attention import ring_attention

BOTH = (ring_attention, mesh_decode)
SMALL = {"ring_attention": {"SQ": 16, "SKV": 16, "HQ": 1}, "mesh_decode": {"B": 1, "SKV": 16, "HQ": 2, "HKV": 1}}
LARGE = ("llama_70b", "llama_70b_4k", "llama_70b_32k", "ranks_64")
QUICK = [(kernel, case) for kernel in BOTH for case in kernel.cases if case not in LARGE]
KERNELS = pytest.mark.parametrize("kernel", BOTH, ids=lambda kernel: kernel.name)
CYCLES = 1.65e-6
"""Cycles in a femtosecond."""


@pytest.mark.parametrize(("kernel", "case"), QUICK, ids=lambda value: getattr(value, "name", value))
def test_results_are_right_in_every_order(kernel, case):
    result = ptoc.run(kernel, case=case, check=True)
    assert result.passed, f"largest error {result.max_abs_error}"


@pytest.mark.parametrize(("kernel", "case"), [(ring_attention, "ranks_64"), (mesh_decode, "ranks_64"), (mesh_decode, "llama_70b"), (ring_attention, "llama_70b")])
def test_results_of_64_ranks_and_of_a_whole_layer_are_right(kernel, case):
    assert ptoc.run(kernel, case=case).passed


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize("axis", [0, 1])
@KERNELS
def test_ranks_are_elements_of_a_cube_or_cubes(kernel, axis, ranks):
    result = ptoc.run(kernel, N=ranks, RANK_AXIS=axis, **SMALL[kernel.name])
    assert result.passed
    assert result.blocks == ranks * (8 if axis else 1)


@KERNELS
def test_silent_elements_issue_no_command(kernel):
    result = ptoc.run(kernel, N=3, RANK_AXIS=1, **SMALL[kernel.name])
    assert all(bool(s.commands) is (s.core.block % 8 == 0) for s in result.program.streams)


@KERNELS
def test_the_rank_is_the_number_of_the_cube(kernel):
    result = ptoc.run(kernel, N=3, RANK_AXIS=1, **SMALL[kernel.name])
    stores = {(s.core.block, ref.offset) for s in result.program.streams for c in s.commands if c.site.op == "pto.tstore" for _, ref in c.operands if ref.memory == "gm:o"}
    size = int(np.prod(result.outputs["o"].shape[1:]))
    assert {block // 8 for block, _ in stores} == {0, 1, 2}
    assert all(offset // size == block // 8 for block, offset in stores)


@KERNELS
def test_the_default_axis_changes_nothing(kernel):
    assert ptoc.compile(kernel).pto == ptoc.compile(kernel, RANK_AXIS=0).pto
    outputs = [ptoc.run(kernel, N=3, RANK_AXIS=axis, **SMALL[kernel.name]).outputs["o"] for axis in (0, 1)]
    assert outputs[0].tobytes() == outputs[1].tobytes()


@pytest.mark.parametrize("ranks", [2, 5, 8])
def test_every_chunk_is_folded_once(ranks):
    """All keys weigh the same, and the values of chunk i are 1 in column i: an output's column i is how often chunk i was folded, over N."""
    shape = {"SQ": 16, "SKV": 32, "HQ": 2, "D": 128}
    q, k = (np.zeros((ranks, shape[rows], heads, 128), np.float16) for rows, heads in (("SQ", 2), ("SKV", 1)))
    v = np.zeros_like(k)
    for chunk in range(ranks):
        v[chunk, :, :, chunk] = 1
    o = ptoc.run(ring_attention, N=ranks, **shape, inputs={"q": q, "k": k, "v": v}).outputs["o"]
    np.testing.assert_allclose(o[..., :ranks] * ranks, 1, rtol=1e-6)
    assert not o[..., ranks:].any()


def test_every_partial_result_is_merged_once():
    ranks = 5
    k = np.zeros((ranks, 1, 16, 1, 128), np.float16)
    v = np.zeros_like(k)
    for rank in range(ranks):
        v[rank, ..., rank] = 1
    o = ptoc.run(mesh_decode, N=ranks, **SMALL["mesh_decode"], inputs={"q": np.zeros((1, 2, 128), np.float16), "k": k, "v": v}).outputs["o"]
    np.testing.assert_allclose(o[..., :ranks] * ranks, 1, rtol=1e-6)


@pytest.mark.parametrize(("kernel", "messages"), [(ring_attention, 2), (mesh_decode, 1)], ids=["ring", "decode"])
def test_a_link_carries_what_lies_behind_it(kernel, messages):
    ranks = 6
    result = ptoc.run(kernel, N=ranks, **SMALL[kernel.name])
    sent = {}
    for s in result.program.streams:
        for c in s.commands:
            if c.site.op == "pto.tsend":
                sent[s.core.block, c.site.pipe] = sent.get((s.core.block, c.site.pipe), 0) + 1
    expected = {(r, "LINK_E"): messages * (r + 1) for r in range(ranks - 1)} | {(r, "LINK_W"): messages * (ranks - r) for r in range(1, ranks)}
    assert sent == expected


@pytest.mark.parametrize("scale", [0.0, 6e-8, 30.0])
@KERNELS
def test_zeros_denormals_and_large_numbers(kernel, scale):
    rng = np.random.default_rng(3)
    given = {**SMALL[kernel.name], "N": 3}
    values = {**kernel.parameters, **given}
    inputs = {n: (rng.standard_normal(kernel.shape(n, values)) * scale).astype(np.float16) for n in ("q", "k", "v")}
    result = ptoc.run(kernel, **given, inputs=inputs)
    expected = kernel.reference_function(**{n: a.astype(np.float64) for n, a in inputs.items()})
    assert np.abs(result.outputs["o"] - expected).max() <= 1e-3 * max(1.0, scale)


def cycles(**given):
    return ptoc.run(ring_attention, values=False, **given).timeline.makespan * CYCLES


def test_a_step_takes_as_long_as_its_computation_where_that_is_longer():
    """All keys on one rank is the same work without links."""
    shape = {"SQ": 64, "HQ": 8}
    for ranks in (2, 4):
        alone = cycles(N=1, SKV=512 * ranks, **shape)
        assert alone <= cycles(N=ranks, SKV=512, **shape) <= 1.02 * alone


def test_a_step_takes_as_long_as_its_link_where_that_is_longer():
    """Between 8 and 16 ranks each rank more is a chunk more on the busiest link: 2 * 4 messages of 128 rows of 256 bytes."""
    shape = {"SQ": 16, "SKV": 512, "HQ": 1, "RANK_AXIS": 1}
    step = (cycles(N=16, **shape) - cycles(N=8, **shape)) / 8
    link = 8 * (100 + 128 * 256 / 32)
    alone = (cycles(N=1, **shape | {"SKV": 16 * 512}) - cycles(N=1, **shape | {"SKV": 8 * 512})) / 8
    assert alone < link <= step <= 1.15 * link


@KERNELS
def test_a_line_longer_than_what_there_is_is_told_at_its_line(kernel):
    module = ring_module if kernel is ring_attention else decode_module
    with open(module.__file__, encoding="utf-8") as file:
        line = next(n for n, text in enumerate(file, 1) if "ptoc.send(" in text)
    for cores, message in ((2, "a link to an element that runs nothing: block 2, of 2 that were launched"), (3, None)):
        if message is None:
            assert ptoc.run(kernel, N=3, cores=cores, **SMALL[kernel.name]).passed
        else:
            with pytest.raises(SimulationError, match=rf"{kernel.name}.py:{line}: {message}"):
                ptoc.run(kernel, N=3, cores=cores, **SMALL[kernel.name])
    with pytest.raises(SimulationError, match=rf"{kernel.name}.py:{line}: a link that is not there: PE 7 of cube 0 has no neighbour to the east along axis 0"):
        ptoc.run(kernel, N=9, **SMALL[kernel.name])


def test_a_rank_that_does_not_receive_is_a_deadlock(monkeypatch):
    """Rank 1 takes its own chunk again and again: nothing goes on to its neighbours, and their buffers fill."""
    take = ring_module.Cube.take

    def deaf(self, t):
        s = self.s
        with ptoc.when(s.line.rank != 1):
            take(self, t)
        with ptoc.otherwise():
            for tiles, tensor in ((self.k1, self.k), (self.v1, self.v)):
                ptoc.load(tiles[t % s.kept][0 : s.skv, :], tensor[s.line.rank, 0 : s.skv, s.kv_head(t), :])

    monkeypatch.setattr(ring_module.Cube, "take", deaf)
    ring_attention.compilations.clear()
    try:
        with pytest.raises(DeadlockError, match=r"ring_attention.py:\d+: aic0 LINK_IN, 'trecv' waits for a message from the east \(axis 0\): aic1 has no signal of it left"):
            ptoc.run(ring_attention, N=4, SQ=16, SKV=16, HQ=1)
    finally:
        ring_attention.compilations.clear()


def test_links_and_engines_work_side_by_side():
    result = ptoc.run(ring_attention, case="single_user_prefill", values=False)
    shares = result.timeline.utilization()
    assert shares["LINK_E"].busiest > 0.2
    assert shares["LINK_W"].busiest > 0.2
    assert sum(shares[pipe].busiest for pipe in ("LINK_E", "LINK_W", "V", "FIX")) > 1.5


@KERNELS
def test_what_cannot_be_compiled_is_told(kernel):
    with pytest.raises(ArgumentError, match=r"every KV head serves as many query heads.*got (HQ )?5 and (HKV )?2"):
        ptoc.compile(kernel, HQ=5, HKV=2)
    with pytest.raises(NotSupportedError, match="no C\\+\\+ for this chip: nothing compiles it for mesh_cubes"):
        ptoc.compile(kernel).cpp()
    with pytest.raises(NotSupportedError, match="the chip has no mesh; choose one that has links with --chip"):
        ptoc.compile(kernel, "ascend950pr")


def test_a_triplet_has_room_for_as_many_heads_as_a_row():
    with pytest.raises(ArgumentError, match="m of all query heads is one row of a triplet: at most D = 64 of them, in blocks of 8 a KV head; got 72"):
        ptoc.compile(mesh_decode, HQ=9, HKV=9, D=64)


@pytest.mark.parametrize(
    ("kernel", "given", "most"),
    [(ring_attention, {"N": 8, "SQ": 64, "SKV": 256, "HQ": 4, "HKV": 2}, 6), (mesh_decode, {"N": 6, "B": 2, "SKV": 1024, "HQ": 8, "HKV": 2}, 4)],
    ids=["ring", "decode"],
)
def test_synchronisation_is_complete_and_nearly_minimal(kernel, given, most):
    """insert-sync looks at one core, and at arms as if any might be left out: it does not see what messages and slot pipes order as well."""
    report = ptoc.check(kernel, **given)
    assert report.ok
    assert len(report.redundant) <= most < report.flag_units / 10
