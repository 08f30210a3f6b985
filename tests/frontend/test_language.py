"""The kernel language: what each of its words becomes."""

import re
from pathlib import Path

import numpy as np
import pytest

import ptoc
from ptoc import f16, f32
from ptoc.dialect import assembly
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import location_of
from ptoc.frontend.ops import function_names, op_function

HERE = Path(__file__).name


def text(kernel: ptoc.Kernel, **parameters: int) -> str:
    """The module of a kernel, as text."""
    return assembly.to_text(kernel.trace(**parameters))


@ptoc.kernel
def plain(x: ptoc.Tensor["M", 64, f32], y: ptoc.Out["M", 64, f32], M, *, R: int = 8):
    """y = x + x."""
    t = ptoc.tile([R, 64], f32)
    ptoc.load(t, x[0:R, :])
    ptoc.add(t, t, t)
    ptoc.store(y[0:R, :], t)


def test_arguments_are_pointers_and_sizes() -> None:
    shown = text(plain)
    assert "func.func @plain(%arg0: !pto.ptr<f32>, %arg1: !pto.ptr<f32>, %arg2: index)" in shown
    assert 'pto.arg_names = ["x", "y", "M"]' in shown
    assert 'pto.outputs = ["y"]' in shown
    assert plain.sizes == ("M",)
    assert plain.parameters == {"R": 8}
    assert plain.doc == "y = x + x."


def test_parameters_are_constants() -> None:
    assert "!pto.tile_buf<vec, 8x64xf32>" in text(plain)
    assert "!pto.tile_buf<vec, 16x64xf32>" in text(plain, R=16)


@ptoc.kernel
def any_type(x: ptoc.Tensor["M", "T"], y: ptoc.Out["M", "T"], M, *, T: str = "f32"):
    """y = x + x."""
    t = ptoc.tile([1, 64], x.dtype, valid=(1, M))
    ptoc.load(t, x)
    ptoc.add(t, t, t)
    ptoc.store(y, t)


any_type.reference(lambda x: x + x)
any_type.case("half", M=33, T="f16")


def test_element_types_are_parameters() -> None:
    assert "!pto.tile_buf<vec, 1x64xf32, valid=1x?>" in text(any_type)
    assert "!pto.tile_buf<vec, 1x64xf16, valid=1x?>" in text(any_type, T="f16")
    result = ptoc.run(any_type, case="half")
    assert result.passed
    assert result.outputs["y"].dtype == np.float16
    assert ptoc.run(any_type, M=5, T="f32").outputs["y"].dtype == np.float32
    with pytest.raises(ptoc.ArgumentError, match=r"parameter T must be an element type .*; got 'f17'"):
        ptoc.run(any_type, M=5, T="f17")


def test_tolerances_by_element_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(any_type, "tolerance", {"f32": (1e-9, 1e-6), "f16": 1e-2})
    assert ptoc.run(any_type, M=5, T="f32").tolerance == 1e-6
    assert ptoc.run(any_type, M=5, T="f16").tolerance == 1e-2
    assert any_type.largest_tolerance({"T": "f32"}) == (1e-9, 1e-6)
    assert any_type.largest_tolerance({"T": "f16"}) == (1e-2, 1e-2)
    with pytest.raises(ptoc.ArgumentError, match="kernel any_type: no tolerance for i32, the type of 'y'; there is one for f32, f16"):
        ptoc.run(any_type, M=5, T="i32")


@ptoc.kernel
def over_size(x: ptoc.Tensor["N", f32], y: ptoc.Out["N", f32], N):
    """y = x / N, as a product and a quotient."""
    t = ptoc.tile([1, 64], f32, valid=(1, N))
    ptoc.load(t, x)
    ptoc.muls(t, t, N)
    ptoc.divs(t, t, N * N)
    ptoc.store(y, t)


def test_numbers_of_the_kernel_are_scalars_of_tiles() -> None:
    x = np.array([6.0, np.inf, -np.inf, np.nan, 0.0, 1e30], np.float32)
    over_size.reference(lambda x, N: x / N)
    assert ptoc.run(over_size, inputs={"x": x}, N=6, check=True).passed
    over_size.reference(lambda x, N: np.where(np.isnan(x), 0, x / N))
    assert not ptoc.run(over_size, inputs={"x": x}, N=6).passed
    over_size.reference(lambda x, N: np.where(np.isinf(x), 1e30, x / N))
    assert not ptoc.run(over_size, inputs={"x": x}, N=6).passed


@ptoc.kernel
def picked(x: ptoc.Tensor["M", 64, f32], order: ptoc.Tensor["N", 2, ptoc.i32], y: ptoc.Out["N", 64, f32], N):
    """y[i] = x[order[i, 1]]."""
    for i in ptoc.range(N):
        row = order.number(i, 1)
        t = ptoc.tile([1, 64], f32)
        ptoc.load(t, x[row : row + 1, :])
        with ptoc.when(order.number(i, 0) > 0):
            ptoc.muls(t, t, 2.0)
        ptoc.store(y[i : i + 1, :], t)


def test_elements_of_integer_tensors_are_numbers_of_the_kernel() -> None:
    order = np.array([[0, 3], [1, 0], [-1, 3]], np.int32)
    picked.reference(lambda x, order: x[order[:, 1]] * np.where(order[:, :1] > 0, 2, 1))
    assert ptoc.run(picked, inputs={"order": order}, M=4, N=3, check=True).passed
    assert "= pto.load_scalar %arg1[" in text(picked)


@ptoc.kernel
def placed(x: ptoc.Tensor["N", 64, f32], order: ptoc.Tensor["N", ptoc.i32], y: ptoc.Out["N", 64, f32], N):
    """y[order[i]] = x[i]."""
    for i in ptoc.range(N):
        row = order.number(i)
        t = ptoc.tile([1, 64], f32)
        ptoc.load(t, x[i : i + 1, :])
        ptoc.store(y[row : row + 1, :], t)


def test_a_number_that_places_a_store_is_still_one_of_an_input() -> None:
    placed.reference(lambda x, order: x[np.argsort(order)])
    assert ptoc.run(placed, inputs={"order": np.array([2, 0, 1], np.int32)}, N=3, check=True).passed


@ptoc.kernel
def one_row(x: ptoc.Tensor[1, 256, f32], y: ptoc.Out[2, 64, f32]):
    """The middle half of a row, as two rows."""
    t = ptoc.tile([1, 256], f32)
    ptoc.load(t, x)
    ptoc.store(y, t[:, 64:192].reshape(2, 64))


def test_a_part_of_one_row_has_other_shapes() -> None:
    one_row.reference(lambda x: x[0, 64:192].reshape(2, 64))
    assert ptoc.run(one_row, check=True).passed


def test_every_op_remembers_its_line() -> None:
    module = plain.trace()
    places = {}

    def visit(op: ir.Operation) -> ir.WalkResult:
        places[op.name] = location_of(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    first = plain.function.__code__.co_firstlineno
    assert places["pto.alloc_tile"] == f"{HERE}:{first + 3}"
    assert places["pto.tload"] == f"{HERE}:{first + 4}"
    assert places["pto.tadd"] == f"{HERE}:{first + 5}"
    assert places["pto.tstore"] == f"{HERE}:{first + 6}"


def test_tracing_twice_gives_the_same_text() -> None:
    assert text(plain) == text(plain)


def test_affine_arithmetic_folds() -> None:
    seen = []

    @ptoc.kernel
    def arithmetic(x: ptoc.Tensor["M", f32], M):
        seen.append((M + 1) * 64 - M * 64)
        seen.append((2 * M + 3 - M - M) // 2)
        seen.append(ptoc.minimum(7, 5, 6) + ptoc.maximum(1, 2) + ptoc.ceil_div(9, 4))
        seen.append(str(type(M % 4).__name__))

    arithmetic.trace()
    assert seen == [64, 1, 10, "Index"]


def test_loops_carry_their_stages_and_python_ranges_unroll() -> None:
    @ptoc.kernel
    def loops(x: ptoc.Tensor["M", 64, f32], M):
        t = ptoc.tile([1, 64], f32)
        for i in ptoc.range(0, M, 2, stages=3):
            ptoc.load(t, x[i : i + 1, :])
        for _ in range(3):
            ptoc.exp(t, t)

    shown = text(loops)
    assert shown.count("scf.for") == 1
    assert "{pto.stages = 3 : i32}" in shown
    assert shown.count("pto.texp") == 3


def test_program_ids_by_axis() -> None:
    @ptoc.kernel
    def ids(y: ptoc.Out["M", "N", f32], M, N):
        """Block (i, j) writes i * 10 + j."""
        i, j = ptoc.program_id(0, (M, N)), ptoc.program_id(1, (M, N))
        t = ptoc.tile([1, 8], f32)
        ptoc.expands(t, 0.0)
        for _ in ptoc.range(i * 10 + j):
            ptoc.adds(t, t, 1.0)
        ptoc.store(y[i : i + 1, j : j + 1], t[0:1, 0:1])

    got = ptoc.run(ids, M=3, N=4, cores=12).outputs["y"]
    assert np.array_equal(got, [[i * 10 + j for j in range(4)] for i in range(3)])


@pytest.mark.parametrize(("limit", "rows"), [(0, 0), (3, 3), (9, 8)])
def test_early_return_leaves_the_rest_out(limit: int, rows: int) -> None:
    @ptoc.kernel
    def early(y: ptoc.Out["M", 8, f32], M, *, LIMIT: int = 0):
        row = ptoc.block_idx()
        ptoc.return_if(row >= LIMIT)
        t = ptoc.tile([1, 8], f32)
        ptoc.expands(t, 1.0)
        ptoc.store(y[row : row + 1, :], t)

    got = ptoc.run(early, M=8, LIMIT=limit, cores=8).outputs["y"]
    assert np.array_equal(got.sum(axis=1), [8.0] * rows + [0.0] * (8 - rows))


def test_views_issue_no_command() -> None:
    @ptoc.kernel
    def views(x: ptoc.Tensor[16, 64, f16], y: ptoc.Out[8, 32, f16]):
        t = ptoc.tile([16, 64], f16)
        ptoc.load(t, x)
        ptoc.store(y, t[8:16, 32:64])
        t.reshape(8, 128)

    assert ptoc.run(views, values=False).commands == ptoc.run(views, values=False).sync["flags"] + ptoc.run(views, values=False).sync["barriers"] + 2
    x = np.arange(16 * 64).reshape(16, 64).astype(np.float16)
    assert np.array_equal(ptoc.run(views, inputs={"x": x}).outputs["y"], x[8:, 32:])


def test_pipes_state_their_counts() -> None:
    @ptoc.kernel
    def ring(x: ptoc.Tensor[8, f32]):
        ptoc.pipe("v2c", (32, 64), f16, slots=6, local_slots=3, sync_period=2, name="p")
        with ptoc.cube():
            pass
        with ptoc.vector():
            pass

    shown = text(ring)
    for side in ("aic", "aiv"):
        facts = re.search(rf"pto.{side}_initialize_pipe {{(.*?)}}", shown)[1].split(", ")
        assert {"dir_mask = 2 : i32", "slot_num = 6 : i32", "local_slot_num = 3 : i32", "slot_size = 4096 : i32", "sync_period = 2 : i32"} <= set(facts)
    assert 'pto.arg_names = ["x", "p_slots"]' in shown
    assert "pto.workspace_bytes_per_block = [24576]" in shown


def test_a_function_for_every_op_that_writes() -> None:
    names = function_names()
    assert names["add"] == "pto.tadd"
    assert names["matmul_acc"] == "pto.tmatmul_acc"
    assert len(names) >= 80
    assert op_function("nonsense") is None
    assert "src0[i, j] + src1[i, j]" in ptoc.add.__doc__


def test_scratch_is_made_where_it_is_left_out() -> None:
    @ptoc.kernel
    def maximum(x: ptoc.Tensor[8, 64, f32], y: ptoc.Out[8, 1, f32]):
        t, m = ptoc.tile([8, 64], f32), ptoc.tile([8, 1], f32, layout="dn")
        ptoc.load(t, x)
        ptoc.rowmax(m, t)
        ptoc.store(y, m)

    maximum.reference(lambda x: x.max(axis=1, keepdims=True))
    assert ptoc.run(maximum, check=True).passed
