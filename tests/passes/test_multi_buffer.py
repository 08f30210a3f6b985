"""multi-buffer: which tiles get slots and how many, by hand and by itself; buffers of two names."""

import numpy as np
import pytest

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32
from ptoc.dialect.errors import ArgumentError
from ptoc.passes.multi_buffer import MultiBuffer
from ptoc.passes.pipeline import pass_by_name

ROWS, PARTS = 32, 16
KIB_8 = [ROWS, 64]


def part(i):
    return slice(i * ROWS, i * ROWS + ROWS)


def in_loop(tile_bytes: int, tiles: int, stages: int | None, scratch: int = 0):
    """A kernel whose loop loads `tiles` tiles, adds them up in place and stores the sum; `scratch` tiles are the vector engine's own."""
    cols = tile_bytes // 4

    @ptoc.kernel
    def k(x: ptoc.Tensor["N", f32], y: ptoc.Out["N", f32], N):
        for i in ptoc.range(N // cols, stages=stages):
            here = slice(i * cols, (i + 1) * cols)
            ts = [ptoc.tile([1, cols], f32) for _ in range(tiles)]
            own = [ptoc.tile([1, cols], f32) for _ in range(scratch)]
            for t in ts:
                ptoc.load(t, x[here])
            for t in own:
                ptoc.muls(t, ts[0], 1.5)
            for t in ts[1:]:
                ptoc.add(ts[0], ts[0], t)
            ptoc.store(y[here], ts[0])

    k.reference(lambda x: tiles * x)
    return k


def slots(kernel, **options) -> list[int]:
    """Slots of each tile, in program order of the scheduled text."""
    lines = [line for line in ptoc.compile(kernel, **options).pto.split("\n") if "pto.alloc_" in line]
    return sorted(int(line.rpartition("count=")[2].rstrip(">")) if "multi" in line else 1 for line in lines)


def remarks(kernel, **options) -> list[str]:
    return ptoc.compile(kernel, **options).remarks


def test_crossing_tiles_get_the_slots_that_are_asked_for_and_scratch_none():
    assert slots(in_loop(4096, 2, stages=3, scratch=1)) == [1, 3, 3]
    assert not remarks(in_loop(4096, 2, stages=3, scratch=1))


def test_slots_that_do_not_fit_are_refused_evenly_with_a_remark_each():
    kernel = in_loop(48 * 1024, 2, stages=4)
    assert slots(kernel) == [2, 2]
    for i, remark in enumerate(remarks(kernel)):
        assert remark.endswith("gets 2 of 4 slots: ub has no room for more"), i


def test_slots_count_on_what_the_planner_can_place():
    """Before and behind the loop stand tiles of all of UB: their bytes are the loop's while it runs."""

    @ptoc.kernel
    def k(x: ptoc.Tensor[64, 12288, f32], y: ptoc.Out[64, 12288, f32]):
        for t in (ptoc.tile([4, 12288], f32), None, ptoc.tile([4, 12288], f32)):
            if t is not None:
                ptoc.load(t, x[0:4, :])
                ptoc.store(y[0:4, :], t)
                continue
            for i in ptoc.range(64, stages=2):
                u = ptoc.tile([1, 12288], f32)
                ptoc.load(u, x[i : i + 1, :])
                ptoc.exp(u, u)
                ptoc.store(y[i : i + 1, :], u)

    k.reference(lambda x: np.concatenate([x[:4], np.exp(x[4:])]))
    assert slots(k) == [1, 1, 2]
    assert ptoc.run(k, check=True).passed


def test_no_slot_is_given_for_which_engines_would_wait_over_shared_bytes():
    """40 + 80 + 70 KiB fit beside each other; with 40 more the scratch would lie where the second load goes."""

    @ptoc.kernel
    def k(x: ptoc.Tensor[64, 17920, f32], y: ptoc.Out[64, 17920, f32]):
        for i in ptoc.range(64, stages=2):
            a, scratch, b = ptoc.tile([1, 10240], f32), ptoc.tile([2, 10240], f32), ptoc.tile([1, 17920], f32)
            ptoc.load(a, x[i : i + 1, 0:10240])
            ptoc.store(y[i : i + 1, 0:10240], a)
            ptoc.expands(scratch, 1.0)
            ptoc.adds(scratch, scratch, 1.0)
            ptoc.load(b, x[i : i + 1, :])
            ptoc.store(y[i : i + 1, :], b)

    shared, full = remarks(k)
    assert shared.endswith("gets 1 of 2 slots: in ub more would share bytes, over which engines wait for each other in the loop")
    assert full.endswith("gets 1 of 2 slots: ub has no room for more")
    assert slots(k) == [1, 1, 1]


def test_a_tile_made_outside_turns_with_the_loop_that_overwrites_it():
    @ptoc.kernel
    def k(x: ptoc.Tensor[512, 64, f32], y: ptoc.Out[512, 64, f32]):
        t, kept = ptoc.tile(KIB_8, f32), ptoc.tile(KIB_8, f32)
        ptoc.load(kept, x[part(0), :])
        for i in ptoc.range(PARTS, stages=2):
            ptoc.load(t, x[part(i), :])
            ptoc.exp(t, t)
            ptoc.store(y[part(i), :], t)
        ptoc.store(y[part(0), :], kept)

    k.reference(lambda x: np.concatenate([x[:ROWS], np.exp(x[ROWS:])]))
    assert slots(k) == [1, 2]
    assert ptoc.run(k, check=True).passed


def test_slots_by_hand_are_never_altered():
    @ptoc.kernel
    def k(x: ptoc.Tensor[512, 64, f32], y: ptoc.Out[512, 64, f32]):
        for i in ptoc.range(PARTS, stages=3):
            t = ptoc.tile(KIB_8, f32, slots=2)[i % 2]
            ptoc.load(t, x[part(i), :])
            ptoc.exp(t, t)
            ptoc.store(y[part(i), :], t)

    assert slots(k) == slots(k, auto_stages=True) == [2]


def test_auto_stages_are_as_good_as_stages_by_hand():
    plain, by_hand = in_loop(4096, 2, None), in_loop(4096, 2, 2)
    run = {"N": 32 * 1024, "cores": 1, "check": True}
    slow, fast, wanted = ptoc.run(plain, **run), ptoc.run(plain, **run, auto_stages=True), ptoc.run(by_hand, **run)
    assert fast.passed
    assert fast.cycles == wanted.cycles < 0.6 * slow.cycles
    assert ptoc.check(plain, N=32 * 1024, cores=1, auto_stages=True).ok


def test_auto_stages_leave_loops_of_one_stage_and_of_one_iteration():
    assert slots(in_loop(4096, 2, 1), auto_stages=True) == [1, 1]

    @ptoc.kernel
    def once(x: ptoc.Tensor[512, 64, f32], y: ptoc.Out[512, 64, f32]):
        for i in ptoc.range(1):
            t = ptoc.tile(KIB_8, f32)
            ptoc.load(t, x[part(i), :])
            ptoc.store(y[part(i), :], t)

    assert slots(once, auto_stages=True) == [1]


def test_auto_stages_keep_stages_by_hand():
    assert slots(in_loop(4096, 2, 3), auto_stages=True) == [3, 3]


def test_auto_stages_leave_loops_with_flags_by_hand():
    @ptoc.kernel
    def k(x: ptoc.Tensor[512, 64, f32], y: ptoc.Out[512, 64, f32]):
        t = ptoc.tile(KIB_8, f32)
        for i in ptoc.range(PARTS):
            ptoc.load(t, x[part(i), :])
            ptoc.set_flag("MTE2", "MTE3", 0)
            ptoc.wait_flag("MTE2", "MTE3", 0)
            ptoc.store(y[part(i), :], t)

    assert slots(k, auto_stages=True) == [1]


def test_auto_stages_leave_tiles_that_may_hold_what_an_earlier_iteration_wrote():
    @ptoc.kernel
    def k(x: ptoc.Tensor[512, 64, f32], y: ptoc.Out[512, 64, f32]):
        for i in ptoc.range(PARTS):
            kept, t = ptoc.tile(KIB_8, f32), ptoc.tile(KIB_8, f32)
            with ptoc.when(i == 0):
                ptoc.load(kept, x[part(0), :])
            ptoc.load(t, x[part(i), :])
            ptoc.add(t, t, kept)
            ptoc.store(y[part(i), :], t)

    k.reference(lambda x: x + np.tile(x[:ROWS], (PARTS, 1)))
    assert slots(k, auto_stages=True) == [1, 2]
    assert ptoc.run(k, check=True, auto_stages=True).passed


def test_a_tile_made_outside_may_be_used_through_one_part():
    @ptoc.kernel
    def k(x: ptoc.Tensor["M", 64, f32], y: ptoc.Out["M", 64, f32], M):
        t, column = ptoc.tile(KIB_8, f32), ptoc.tile([1, 64], f32, valid=(1, ptoc.minimum(M, 64)))
        for i in ptoc.range(ptoc.ceil_div(M, ROWS), stages=2):
            rows = ptoc.minimum(M - i * ROWS, ROWS)
            here = slice(i * ROWS, i * ROWS + rows)
            ptoc.load(t[0:rows, :], x[here, :])
            ptoc.exp(t[0:rows, :], t[0:rows, :])
            ptoc.store(y[here, :], t[0:rows, :])
            ptoc.load(column, x[0:1, 0 : ptoc.minimum(M, 64)])
            ptoc.store(y[0:1, 0 : ptoc.minimum(M, 64)], column)

    def reference(x):
        y = np.exp(x)
        y[0, : min(len(x), 64)] = x[0, : min(len(x), 64)]
        return y

    k.reference(reference)
    assert slots(k) == [2, 2]
    assert ptoc.run(k, M=75, check=True).passed


def test_auto_stages_take_no_more_slots_than_there_are_event_ids():
    assert slots(in_loop(4096, 6, None), auto_stages=True) == [1, 1, 2, 2, 2, 2]
    run = {"N": 32 * 1024, "cores": 1}
    slow, fast = (ptoc.run(in_loop(4096, 6, None), **run, auto_stages=auto) for auto in (False, True))
    assert fast.cycles < 0.7 * slow.cycles
    assert not any("event id" in r for r in remarks(in_loop(4096, 6, None), auto_stages=True))


def test_auto_stages_reach_every_level_of_the_cube_core():
    @ptoc.kernel
    def products(a: ptoc.Tensor[1024, 64, f16], b: ptoc.Tensor[64, 1024, f16], c: ptoc.Out[1024, 128, f32]):
        for i in ptoc.range(8):
            here = slice(i * 128, i * 128 + 128)
            a1, b1 = ptoc.tile([128, 64], f16, L1), ptoc.tile([64, 128], f16, L1)
            a0, b0, acc = ptoc.tile([128, 64], f16, L0A), ptoc.tile([64, 128], f16, L0B), ptoc.tile([128, 128], f32, L0C)
            ptoc.load(a1, a[here, :])
            ptoc.load(b1, b[:, here])
            ptoc.mov(a0, a1)
            ptoc.mov(b0, b1)
            ptoc.matmul(acc, a0, b0)
            ptoc.store(c[here, :], acc)

    products.reference(lambda a, b: np.concatenate([a[i : i + 128] @ b[:, i : i + 128] for i in range(0, 1024, 128)]))
    products.tolerance = 1e-2
    assert slots(products) == [1, 1, 1, 1, 1]
    assert slots(products, auto_stages=True) == [2, 2, 2, 2, 2]
    slow, fast = (ptoc.run(products, cores=1, check=True, auto_stages=auto) for auto in (False, True))
    assert fast.passed
    assert fast.cycles < slow.cycles


def test_auto_stages_reach_inner_and_outer_loops():
    @ptoc.kernel
    def product(a: ptoc.Tensor[128, 1024, f16], b: ptoc.Tensor[1024, 64, f16], c: ptoc.Out[128, 64, f32]):
        acc = ptoc.tile([128, 64], f32, L0C)
        for i in ptoc.range(4):
            a1, b1 = ptoc.tile([128, 256], f16, L1), ptoc.tile([256, 64], f16, L1)
            ptoc.load(a1, a[:, i * 256 : i * 256 + 256])
            ptoc.load(b1, b[i * 256 : i * 256 + 256, :])
            for j in ptoc.range(4):
                a0, b0 = ptoc.tile([128, 64], f16, L0A), ptoc.tile([64, 64], f16, L0B)
                ptoc.extract(a0, a1, 0, j * 64)
                ptoc.extract(b0, b1, j * 64, 0)
                first = (i + j) == 0
                with ptoc.when(first):
                    ptoc.matmul(acc, a0, b0)
                with ptoc.when(~first):
                    ptoc.matmul_acc(acc, acc, a0, b0)
        ptoc.store(c, acc)

    product.reference(lambda a, b: a @ b)
    product.tolerance = 1e-2
    assert slots(product, auto_stages=True) == [1, 2, 2, 2, 2]  # the sum is made once
    slow, fast = (ptoc.run(product, cores=1, check=True, auto_stages=auto) for auto in (False, True))
    assert fast.passed
    assert fast.cycles < 0.8 * slow.cycles


@pytest.mark.parametrize("kernel", ["vector_add", "softmax", "gemm", "flash_attention"])
def test_auto_stages_make_no_shipped_kernel_slower(kernel):
    plain, auto = (ptoc.run(kernel, cores=1, values=False, auto_stages=auto) for auto in (False, True))
    assert auto.cycles <= plain.cycles


def one_tile_of_two_names(names):
    """A loop over pairs whose halves take turns in `names`."""

    @ptoc.kernel
    def k(x: ptoc.Tensor[512, 64, f32], y: ptoc.Out[512, 64, f32]):
        take = names()
        for i in ptoc.range(0, PARTS, 2):
            for j in range(2):
                t = take(i, j)
                ptoc.load(t, x[part(i + j), :])
                ptoc.exp(t, t)
                ptoc.store(y[part(i + j), :], t)

    k.reference(lambda x: np.exp(x))
    return k


def list_of_one():
    t = ptoc.tile(KIB_8, f32)
    both = [t, t]
    return lambda i, j: both[j]


def list_of_two():
    both = [ptoc.tile(KIB_8, f32) for _ in range(2)]
    return lambda i, j: both[j]


def ring_at_one_place():
    ring = ptoc.tile(KIB_8, f32, slots=2)
    return lambda i, j: ring[(i + 2 * j) % 2]


def ring_at_one_unknown_place():
    ring = ptoc.tile(KIB_8, f32, slots=3)
    return lambda i, j: ring[(i + 3 * j) % 3]


def ring_at_two_places():
    ring = ptoc.tile(KIB_8, f32, slots=2)
    return lambda i, j: ring[(i + j) % 2]


def lines_of(remark: str) -> int:
    return remark.count("test_multi_buffer.py:")


def test_a_list_that_names_one_tile_twice_is_told_with_its_lines():
    kernel = one_tile_of_two_names(list_of_one)
    (remark,) = remarks(kernel)
    assert "one tile under all its names is filled again while it is in use: MTE2 fills it 2 times" in remark
    assert "ub has room for 2 slots" in remark
    assert lines_of(remark) == 4  # the tile, its loads, exp, store
    assert ptoc.run(kernel, check=True).passed


def test_slots_that_are_always_the_same_one_are_told():
    never, again = remarks(one_tile_of_two_names(ring_at_one_place))
    assert "x2: never used: slot 1; its indices are 0" in never
    assert "one slot of it is filled again while it is in use" in again
    (again,) = remarks(one_tile_of_two_names(ring_at_one_unknown_place))
    assert again.endswith("indices of different slots")


@pytest.mark.parametrize("names", [list_of_two, ring_at_two_places])
def test_two_tiles_and_two_slots_are_right(names):
    kernel = one_tile_of_two_names(names)
    assert remarks(kernel) == []
    both, one = (ptoc.run(k, cores=1, check=True) for k in (kernel, one_tile_of_two_names(list_of_one)))
    assert both.passed
    assert both.cycles < 0.7 * one.cycles


def test_one_tile_is_not_told_where_there_is_no_room_for_a_second():
    @ptoc.kernel
    def k(x: ptoc.Tensor[8, 32768, f32], y: ptoc.Out[8, 32768, f32]):
        t = ptoc.tile([1, 32768], f32)
        for i in range(2):
            ptoc.load(t, x[i : i + 1, :])
            ptoc.exp(t, t)
            ptoc.store(y[i : i + 1, :], t)

    assert remarks(k) == []


def test_arms_of_one_branch_and_parts_of_one_tile_are_not_told():
    @ptoc.kernel
    def k(n: ptoc.Tensor["N", f32], x: ptoc.Tensor[512, 64, f32], y: ptoc.Out[512, 64, f32], N):
        t = ptoc.tile(KIB_8, f32)
        for half in (slice(0, 16), slice(16, 32)):
            ptoc.load(t[half, :], x[half, :])
            ptoc.store(y[half, :], t[half, :])

    assert remarks(k) == []


def test_shipped_kernels_have_no_such_remark():
    for kernel in ("vector_add", "softmax", "gemm", "flash_attention"):
        assert remarks(kernel) == []


def test_the_option_is_spelled_as_in_mlir():
    assert pass_by_name("multi-buffer{auto-stages}") == pass_by_name("multi-buffer{auto-stages=true}") == MultiBuffer(auto_stages=True)
    assert pass_by_name("multi-buffer{auto-stages=false}") == pass_by_name("multi-buffer") == MultiBuffer()


@pytest.mark.parametrize(("text", "message"), [
    ("multi-bufer", r"no pass is called 'multi-bufer'; passes: inline-calls"),
    ("multi-buffer{stages=2}", r"pass 'multi-buffer' has no option 'stages'; options: auto-stages"),
    ("plan-memory{x}", r"pass 'plan-memory' has no option 'x'; options: none"),
    ("multi-buffer{auto-stages=2}", r"option 'auto-stages' is true or false; got '2'"),
])  # fmt: skip
def test_wrong_options_are_refused(text, message):
    with pytest.raises(ArgumentError, match=message):
        pass_by_name(text)
