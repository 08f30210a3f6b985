"""Orchestrations: dependences from what tasks read and write, the schedule of dispatcher, ring and cores, values in its order."""

import itertools

import numpy as np
import pytest

import ptoc
from ptoc.dependences import Dependences, Region
from ptoc.kernels._paged import CASES, attention_inputs, attention_of_pages
from ptoc.kernels.orchestrations.paged_attention import paged_attention
from ptoc.task_schedule import Work, schedule

X = Region.whole("x", np.zeros((8, 4)))
Y = Region.whole("y", np.zeros((8, 4)))


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (([], [X]), ([X], []), True),  # read after write
        (([X], []), ([], [X]), True),  # write after read
        (([], [X]), ([], [X]), True),  # write after write
        (([X], []), ([X], []), False),
        (([], [X]), ([Y], []), False),
        (([], [X[0:4]]), ([X[4:8]], []), False),
        (([], [X[0:4]]), ([X[3:8]], []), True),
        (([], [X[0:4, 0:2]]), ([X[3:8, 2:4]], []), False),
        (([], [X[2]]), ([X[2, 1:3]], []), True),
    ],
)
def test_a_task_waits_for_what_it_overlaps(first: tuple, second: tuple, waits: bool) -> None:
    known = Dependences()
    assert known.add(0, *first) == ()
    assert known.add(1, *second) == ((0,) if waits else ())


def test_a_whole_write_stands_for_all_before_it() -> None:
    known = Dependences()
    known.add(0, [], [X[0:4]])
    known.add(1, [X], [Y])
    assert known.add(2, [Y], [X]) == (0, 1)
    assert known.add(3, [X[0:4]], []) == (2,)
    assert known.add(4, [], [X[4:8]]) == (2,)
    assert known.add(5, [], [X]) == (2, 3, 4)


def test_tasks_start_when_they_are_dispatched_ready_and_have_cores() -> None:
    tasks = [Work("aiv", 1, 100, ()), Work("aiv", 1, 100, ()), Work("aiv", 1, 10, (0,)), Work("aic", 1, 5, ())]
    got = schedule(tasks, {"aic": 1, "aiv": 2}, ring=8, dispatch=7)
    assert got.dispatched == [7, 14, 21, 28]
    assert got.start == [7, 14, 107, 28]
    assert got.end == [107, 114, 117, 33]
    assert got.cores == [(0,), (1,), (0,), (0,)]
    assert got.stalled == 0


def test_no_more_tasks_are_in_flight_than_the_ring_has_places() -> None:
    rng = np.random.default_rng(4)
    tasks = [Work(str(rng.choice(["aic", "aiv"])), int(rng.integers(1, 3)), int(rng.integers(1, 90)), tuple(rng.integers(0, n, 2)) if n else ()) for n in range(200)]
    for ring in (1, 2, 7, 500):
        got = schedule(tasks, {"aic": 2, "aiv": 3}, ring, dispatch=3)
        retired = np.maximum.accumulate(got.end)
        for number, task in enumerate(tasks):
            assert got.start[number] >= got.dispatched[number]
            assert all(got.end[other] <= got.start[number] for other in task.after)
            if number >= ring:
                assert got.dispatched[number] >= retired[number - ring] + 3 * task.blocks
            if number:
                assert got.dispatched[number] >= got.dispatched[number - 1] + 3 * task.blocks
        for kind, count in (("aic", 2), ("aiv", 3)):
            spans = sorted((got.start[n], got.end[n], c) for n, t in enumerate(tasks) if t.kind == kind for c in got.cores[n])
            assert max(c for *_, c in spans) < count
            for core in range(count):
                mine = [(a, b) for a, b, c in spans if c == core]
                assert all(b <= a for (_, b), (a, _) in itertools.pairwise(mine))
    serial = schedule(tasks, {"aic": 2, "aiv": 3}, 1, dispatch=3)
    assert serial.makespan == sum(t.fs + 3 * t.blocks for t in tasks)
    assert serial.stalled == sum(t.fs for t in tasks[:-1])


def case(name: str) -> tuple[dict, dict]:
    """Inputs and sizes of a golden case."""
    sizes = {"H": 16, "HKV": 1, **CASES[name]}
    inputs = attention_inputs(np.random.default_rng(0), **sizes)
    return inputs | {n: inputs[n].astype(ptoc.bf16.numpy) for n in "qkv"}, {n: sizes[n] for n in ("HKV", "PAGE")}


def expected(inputs: dict, sizes: dict) -> np.ndarray:
    """The reference's result."""
    return attention_of_pages(**(inputs | {n: inputs[n].astype(np.float32) for n in "qkv"}), **sizes)


@pytest.mark.parametrize("name", ["default", "one", "small", "whole_pages", "empty", "in_turn"])
def test_paged_attention_by_tasks(name: str) -> None:
    inputs, sizes = case(name)
    tasks = ptoc.Tasks(ring=8)
    paged_attention(tasks, **inputs, **sizes)
    result = tasks.finish()
    np.testing.assert_allclose(result.tensors["o"], expected(inputs, sizes), rtol=1e-2, atol=2e-3)
    pages = max(-(-int(inputs["contexts"].max()) // sizes["PAGE"]), 1) * len(inputs["contexts"])
    assert [len(result.of_kernel(f"paged_{k}")) for k in ("qk", "softmax", "pv", "update")] == [pages] * 4


def test_what_paged_attention_waits_for() -> None:
    inputs, sizes = case("one")
    tasks = ptoc.Tasks()
    paged_attention(tasks, **inputs, **sizes)
    after = [task.work.after for task in tasks.finish().tasks]
    assert after[:8] == [(), (0,), (1,), (1, 2), (), (4,), (5,), (3, 5, 6)]
    assert after[8] == (0, 1), "the third page's scores go where the first ones were, when the first softmax has read them"
    assert 2 in after[9], "its exponentials where the first product has"


def test_a_dependence_that_is_missed_gives_wrong_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, sizes = case("default")
    monkeypatch.setattr(Dependences, "add", lambda *_: ())
    tasks = ptoc.Tasks()
    paged_attention(tasks, **inputs, **sizes)
    assert not np.allclose(tasks.finish().tensors["o"], expected(inputs, sizes), rtol=1e-2, atol=2e-3)


def test_a_smaller_ring_is_slower_and_tells_how_long_it_stalled() -> None:
    inputs, sizes = case("in_turn")
    times = []
    for ring in (1, 4, 64):
        tasks = ptoc.Tasks(ring=ring, values=False)
        paged_attention(tasks, **inputs, **sizes)
        times.append(tasks.finish())
    assert times[0].makespan_us > times[1].makespan_us > times[2].makespan_us
    assert times[0].stalled_us > times[1].stalled_us > 0
    assert times[2].tensors == {}
    assert 0 < times[2].busy["aiv"] <= 1


def test_a_reduction_over_cores_is_two_tasks() -> None:
    x = np.random.default_rng(1).standard_normal(30_000).astype(np.float32)
    tasks = ptoc.Tasks()
    given, parts, total = tasks.tensor("x", x), tasks.zeros("parts", (4,), ptoc.f32), tasks.zeros("total", (1,), ptoc.f32)
    tasks.submit("reduce", x=given, y=parts, TILE=1024)
    tasks.submit("reduce", x=parts, y=total)
    result = tasks.finish()
    assert result.tasks[1].work.after == (0,)
    assert [len(c) for c in result.schedule.cores] == [4, 1]
    assert result.tensors["total"][0] == pytest.approx(x.astype(np.float64).sum(), rel=1e-5, abs=1e-3)


def test_pages_that_do_not_fit_into_the_l2_come_from_global_memory() -> None:
    page = np.zeros((128, 128), ptoc.bf16.numpy)
    times = []
    for pages in (4, 20_000):
        tasks = ptoc.Tasks(values=False)
        k, q, s = tasks.tensor("k", np.zeros((128 * pages, 128), page.dtype)), tasks.tensor("q", page[:16]), tasks.zeros("s", (16, 128), ptoc.f32)
        for _ in range(2):
            tasks.submit("paged_qk", q=q, k=k[0:128], s=s)
        times.append([task.work.fs for task in tasks.finish().tasks])
    assert times[0][0] == times[0][1] == times[1][1] < times[1][0]


def test_what_cannot_be_a_task_is_refused() -> None:
    tasks = ptoc.Tasks()
    x, y = tasks.tensor("x", np.zeros((64, 64), np.float32)), tasks.zeros("y", (64, 64), ptoc.f32)
    calls = {
        "ring must be a whole number of at least 1; got 0": lambda: ptoc.Tasks(ring=0),
        "ring must be a whole number of at least 1; got 2.5": lambda: ptoc.Tasks(ring=2.5),
        "there is a tensor 'x' already": lambda: tasks.zeros("x", (1,), ptoc.f32),
        "kernel transpose needs a region for 'y'": lambda: tasks.submit("transpose", x=x),
        "'x' has 2 axes; got x.0:1, 0:64.": lambda: tasks.submit("transpose", x=x[0], y=y),
        "'x' must lie in one piece; got x.0:64, 0:8.": lambda: tasks.submit("transpose", x=x[:, 0:8], y=y),
        "'y' makes size N 64, another tensor 8; got y": lambda: tasks.submit("transpose", x=x.__class__.whole("x", np.zeros((64, 8))), y=y),
        "x.0:64, 0:64.: 3 indices for 2 axes": lambda: x[0, 0, 0],
        "a part lies inside it and has no step; got slice.0, 65": lambda: x[0:65],
        "'lit_tests/dialect/structure.pto' is no Python kernel": lambda: tasks.submit("lit_tests/dialect/structure.pto"),
    }
    for message, call in calls.items():
        with pytest.raises(ptoc.ArgumentError, match=message):
            call()
    with pytest.raises(ptoc.ArgumentError, match="reduce: 49 blocks are more than the 48 aiv cores of ascend910b1"):
        tasks.submit("reduce", x=x[0], y=tasks.zeros("many", (49,), ptoc.f32))


def test_integers_that_a_task_writes_cannot_decide_control() -> None:
    tasks = ptoc.Tasks()
    i, j = (tasks.tensor(n, np.zeros((1, 1), np.int32)) for n in "ij")
    tasks.submit("transpose", x=i, y=j, T="i32")
    s, p = tasks.zeros("s", (16, 16), ptoc.f32), tasks.zeros("p", (16, 16), ptoc.bf16)
    top, total = (tasks.zeros(n, (16,), ptoc.f32) for n in "ml")
    with pytest.raises(ptoc.ArgumentError, match=r"integers decide control and must be known before; a task writes j\[0:1, 0:1\]"):
        tasks.submit("paged_softmax", s=s, tokens=j[0], p=p, m=top, l=total)


def test_a_kernel_of_both_kinds_of_core_is_no_task() -> None:
    tasks, sizes = ptoc.Tasks(), {"S0": 16, "S1": 16, "D": 128}
    q, k, v = (tasks.tensor(n, np.zeros((16, 128), np.float16)) for n in "qkv")
    tasks.submit("flash_attention", q=q, k=k, v=v, o=tasks.zeros("o", (16, 128), ptoc.f32), D=sizes["D"])
    with pytest.raises(ptoc.ArgumentError, match="kernel flash_attention runs on both kinds of core"):
        tasks.finish()


def test_two_vector_cores_share_an_even_number_of_heads() -> None:
    inputs, sizes = case("odd_groups")
    with pytest.raises(ptoc.ArgumentError, match="two vector cores share the query heads of a KV head; 5 is odd"):
        paged_attention(ptoc.Tasks(), **inputs, **sizes | {"HKV": 2})
