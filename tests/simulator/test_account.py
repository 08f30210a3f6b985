"""Accounts of parts: flops and bytes from work items, busy times, the same with and without values; what bounds a run."""

import numpy as np
import pytest

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32
from ptoc.dialect.errors import ParseError
from ptoc.simulator.account import Account, accounts, bound, loads, spans


@ptoc.kernel
def scaled_product(a: ptoc.Tensor["M", 64, f16], b: ptoc.Tensor[48, 64, f16], c: ptoc.Out["M", 48, f32], M, *, TM: int = 32):
    """c = 2 * (a @ b.T), TM rows at a time; the product goes through a ring."""
    ring = ptoc.pipe("c2v", (TM, 48), f32, slots=2, split="up_down", name="ring")
    tiles = ptoc.maximum(ptoc.ceil_div(M // TM - ptoc.block_idx(), ptoc.num_blocks()), 0)
    with ptoc.cube():
        a1, b1 = ptoc.tile([TM, 64], f16, L1), ptoc.tile([64, 48], f16, L1, layout="zn")
        a0, b0, c0 = ptoc.tile([TM, 64], f16, L0A), ptoc.tile([64, 48], f16, L0B), ptoc.tile([TM, 48], f32, L0C)
        for i in ptoc.range(tiles):
            row = (ptoc.block_idx() + i * ptoc.num_blocks()) * TM
            with ptoc.part("product"):
                ptoc.load(a1, a[row : row + TM, :])
                ptoc.load(b1, b.T[:, :])
                ptoc.mov(a0, a1)
                ptoc.mov(b0, b1)
                ptoc.matmul(c0, a0, b0)
                entry = ring.alloc()
                ptoc.store(entry, c0)
                ring.push(entry)
    with ptoc.vector():
        half = ptoc.tile([TM // 2, 48], f32)
        for i in ptoc.range(tiles):
            row = (ptoc.block_idx() + i * ptoc.num_blocks()) * TM + ptoc.sub_block_idx() * (TM // 2)
            with ptoc.part("scale"):
                entry = ring.pop()
                ptoc.load(half, entry)
                ring.free(entry)
                ptoc.muls(half, half, 2.0)
            ptoc.store(c[row : row + TM // 2, :], half)


scaled_product.reference(lambda a, b: 2 * (a @ b.T))


def test_parts_have_the_flops_and_bytes_of_their_work() -> None:
    result = ptoc.run(scaled_product, M=128, cores=2)
    assert result.passed
    found = accounts(result.program, result.timeline)
    assert list(found) == ["product", "scale", ""]
    product, scale, rest = found.values()
    assert product.cube_flops == 2 * 128 * 64 * 48
    assert product.vector_flops == scale.cube_flops == 0
    assert scale.vector_flops == 128 * 48
    tiles = 4
    assert product.bytes == {
        ("gm_to_l1", "a"): 128 * 64 * 2, ("gm_to_l1_dn", "b"): tiles * 64 * 48 * 2, ("l1_to_l0a", ""): 128 * 64 * 2,
        ("l1_to_l0b", ""): tiles * 64 * 48 * 2, ("l0c_to_gm", "ring_slots"): 128 * 48 * 4,
    }  # fmt: skip
    assert scale.bytes == {("gm_to_ub", "ring_slots"): 128 * 48 * 4}
    assert rest.bytes == {("ub_to_gm", "c"): 128 * 48 * 4}
    assert product.global_bytes == 128 * 64 * 2 + tiles * 64 * 48 * 2 + 128 * 48 * 4


@pytest.mark.parametrize("cores", [1, 2])
def test_time_alone_gives_the_same_accounts(cores: int) -> None:
    full, timed = (ptoc.run(scaled_product, M=2048, cores=cores, values=values) for values in (True, False))
    assert accounts(full.program, full.timeline) == accounts(timed.program, timed.timeline)
    assert bound(full.timeline) == bound(timed.timeline)
    assert loads(full.timeline) == loads(timed.timeline)


def test_busy_times_of_the_parts_are_those_of_the_engines() -> None:
    result = ptoc.run(scaled_product, M=128, cores=1)
    busy = result.timeline.busy()
    parts = accounts(result.program, result.timeline)
    cube = {pipe: fs for (core, pipe), fs in busy.items() if core.kind == "aic"}
    assert parts["product"].busy == cube


def test_spans_begin_and_end_with_a_parts_commands() -> None:
    result = ptoc.run(scaled_product, M=32, cores=1)
    found = spans(result.program, result.timeline)
    assert found["product"][0] < found["scale"][0] < found[""][0]
    stores = [int(result.timeline.complete[n][i]) for n, s in enumerate(result.program.streams) for i, c in enumerate(s.commands) if c.site.op == "pto.tstore"]
    assert found[""][1] == max(stores)
    for low, high in found.values():
        assert 0 <= low < high


def test_a_run_that_fills_the_memory_is_bound_by_it() -> None:
    result = ptoc.run("vector_add", N=1 << 24, values=False)
    moved = loads(result.timeline)
    assert moved["hbm"] > 0.8
    assert bound(result.timeline) == ("hbm", moved["hbm"])


def test_a_run_that_fills_no_memory_is_bound_by_its_busiest_engine() -> None:
    result = ptoc.run("vector_add", N=100_000, cores=1, values=False)
    name, used = bound(result.timeline)
    assert (name, round(used, 4)) == max(result.utilization.items(), key=lambda entry: entry[1])


def test_accounts_add_up() -> None:
    one = Account(4, 2, {("gm_to_ub", "x"): 8}, {"V": 10})
    two = one.plus(Account(1, 0, {("ub_to_gm", "y"): 1, ("gm_to_ub", "x"): 1}, {"V": 1, "M": 2}), times=3)
    assert two == Account(7, 2, {("gm_to_ub", "x"): 11, ("ub_to_gm", "y"): 3}, {"V": 13, "M": 6})
    assert two.flops == 9
    assert one == Account(4, 2, {("gm_to_ub", "x"): 8}, {"V": 10})


def test_a_part_changes_nothing_but_the_name() -> None:
    def body(x, y, named):
        t = ptoc.tile([1, 64], f32)
        ptoc.load(t, x)
        with ptoc.part("scale") if named else ptoc.when(True):
            ptoc.muls(t, t, 2.0)
        ptoc.store(y, t)

    @ptoc.kernel
    def plain(x: ptoc.Tensor[64, f32], y: ptoc.Out[64, f32]):
        body(x, y, False)

    @ptoc.kernel
    def named(x: ptoc.Tensor[64, f32], y: ptoc.Out[64, f32]):
        body(x, y, True)

    x = np.arange(64, dtype=np.float32)
    one, two = (ptoc.run(kernel, inputs={"x": x}) for kernel in (plain, named))
    assert np.array_equal(one.outputs["y"], two.outputs["y"])
    assert one.cycles == two.cycles


def test_a_part_needs_a_name() -> None:
    @ptoc.kernel
    def nameless(x: ptoc.Tensor[64, f32]):
        with ptoc.part("two words"):
            ptoc.tile([1, 64], f32)

    with pytest.raises(ParseError, match=r"test_account.py:\d+: part: a name such as 'softmax' is expected; got 'two words'"):
        ptoc.compile(nameless)
