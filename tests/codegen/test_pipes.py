"""Pipes in C++: the library's names for where slots lie, consumer buffers, and the forms that are broken in the library."""

import sys
from pathlib import Path

import numpy as np
import pytest

import ptoc
from ptoc.codegen.cpu_check import compile_for_cpu, compiler, library_path
from ptoc.codegen.emit import kernel_text
from ptoc.compiled import compile_source
from ptoc.dialect.errors import NotSupportedError
from ptoc.loading import Source
from ptoc.machine.chip import load_chip

sys.path.insert(0, str(Path(__file__).parent.parent / "kernels"))
from test_pipe_tiles import BOTH, CHIPS, TWO, inputs, one_way, there_and_back
from test_pipe_traps import two_at_once


def cpp(text: str, arch: str) -> str:
    return compile_source(Source("k", None, text, "pto", "k.pto"), load_chip(CHIPS[arch])).cpp()["k.cpp"]


FACTS = "dir_mask = 1, slot_size = 1024, slot_num = 4, local_slot_num = 2"


@pytest.mark.parametrize(
    ("arch", "gm", "token"),
    [("a3", True, "TPipe<0, Direction::DIR_C2V, 1024, 4, 2, false>"), ("a5", True, "TPipe<0, Direction::DIR_C2V_GM, 1024, 4, 2, false>"), ("a5", False, "TPipe<0, Direction::DIR_C2V, 1024, 4, 2, false>")],
)
def test_where_slots_lie_is_part_of_the_direction(arch: str, gm: bool, token: str) -> None:
    assert token in cpp(one_way(arch, gm, 1, 4, FACTS, 1), arch)


@pytest.mark.parametrize(
    ("pipes", "ids", "calls"),
    [(BOTH, (0, 0), ["Pipe0Pipe pipe0(nullptr, 0x40, 0x80);"]), (TWO, (0, 1), ["Pipe0Pipe pipe0(nullptr, 0, 0x80);", "Pipe1Pipe pipe1(nullptr, 0x40, 0);"])],
)
def test_a_buffer_stands_in_its_consumers_place(pipes: str, ids: tuple[int, int], calls: list[str]) -> None:
    """The library's constructor takes the vector cores' buffer, then the cube core's."""
    text = there_and_back(pipes, ids, 4)
    for name, base in (("vec", 64), ("mat", 128)):
        text = text.replace(f'"{name}", size = 4096, location = #pto.address_space<{name}>, auto = true', f'"{name}", size = 4096, location = #pto.address_space<{name}>, auto = false, base = {base}')
    written = cpp(text, "a5")
    assert [call for call in calls if call not in written] == []


def test_a_popped_tile_is_not_freed_twice_on_a5() -> None:
    """There the library frees a slot in global memory when its tile is popped, and a free behind it would free another one."""
    lines = cpp(one_way("a5", True, 1, 4, FACTS, 1), "a5").split("\n")
    at = next(n for n, line in enumerate(lines) if "TFREE<" in line)
    assert (lines[at - 1], lines[at + 1]) == ("#ifdef __CPU_SIM", "#endif")
    for arch, gm in (("a3", True), ("a5", False)):
        assert "__CPU_SIM" not in cpp(one_way(arch, gm, 1, 4, FACTS, 1), arch)


ENTRIES = """
func.func @k(%s: !pto.ptr<f32>) {
  pto.section.cube {
    %p = pto.initialize_l2g2l_pipe {dir_mask = 3, slot_size = 1024, slot_num = 4} (%s : !pto.ptr<f32>) -> !pto.pipe
    %e = pto.declare_global -> !pto.tensor_view<16x16xf32>
    pto.talloc(%e, %p : !pto.tensor_view<16x16xf32>, !pto.pipe) {split = 1}
    pto.tpush(%e, %p : !pto.tensor_view<16x16xf32>, !pto.pipe) {split = 1}
  }
  pto.section.vector {
    %p = pto.initialize_l2g2l_pipe {dir_mask = 3, slot_size = 1024, slot_num = 4} (%s : !pto.ptr<f32>) -> !pto.pipe
    %e = pto.declare_global -> !pto.tensor_view<8x16xf32>
    pto.tpop(%e, %p : !pto.tensor_view<8x16xf32>, !pto.pipe) {split = 1}
    pto.tfree(%e, %p : !pto.tensor_view<8x16xf32>, !pto.pipe) {split = 1}
  }
  return
}
"""


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("a3", "k.pto:4: views of slots of a pipe of both directions have no C.*: the library gives both directions the same slots; use two one-way pipes"),
        ("a5", "k.pto:4: a pipe of both directions through global memory has no C.* for a5: the library's DIR_BOTH_GM moves no tile; use two one-way pipes"),
    ],
)
def test_what_the_library_gets_wrong_is_refused(arch: str, message: str) -> None:
    with pytest.raises(NotSupportedError, match=message):
        cpp(ENTRIES, arch)


on_a_cpu = pytest.mark.skipif(library_path() is None or compiler() is None, reason="needs PTO_LIB_PATH and clang++")


@on_a_cpu
def test_entries_held_at_once_come_right_through_the_library(tmp_path: Path) -> None:
    """The free that reports two entries is one call, and the library counts as the simulator does."""
    compiled = ptoc.compile(two_at_once, SLOTS=4, PERIOD=2)
    text, kernels = kernel_text(compiled.module, compiled.chip, compiled.name)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((640, 16)).astype(np.float16), rng.standard_normal((16, 16)).astype(np.float16)
    left = compile_for_cpu(text, kernels, tmp_path).run("two_at_once", [x, w, np.zeros((640, 16), np.float32), 640, np.zeros(4096, np.uint8)], 1, 2)
    np.testing.assert_allclose(left[2], x.astype(np.float64) @ w.astype(np.float64), atol=1e-2)


@on_a_cpu
@pytest.mark.parametrize("facts", ["dir_mask = 1, slot_size = 1024", "dir_mask = 1, slot_size = 1024, slot_num = 4, local_slot_num = 3"])
def test_tiles_come_right_through_the_library(tmp_path: Path, facts: str) -> None:
    compiled = compile_source(Source("k", None, one_way("a3", True, 1, 12, facts, 1), "pto", "k.pto"), load_chip(CHIPS["a3"]))
    text, kernels = kernel_text(compiled.module, compiled.chip, compiled.name)
    given = inputs(12, 8)
    left = compile_for_cpu(text, kernels, tmp_path).run("k", [given["x"], given["w"], np.zeros((192, 16), np.float32), given["s"]], 1, 2)
    np.testing.assert_allclose(left[2], 2 * (given["x"] @ given["w"]), atol=1e-4)
