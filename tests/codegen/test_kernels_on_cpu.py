"""Shipped kernels as C++ through the library's own headers, on host threads, against their numpy references.

Needs PTO_LIB_PATH (a checkout of pto-isa) and clang++.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptoc.codegen.cpu_check import CpuProgram, compile_for_cpu, compiler, library_path
from ptoc.codegen.emit import kernel_text
from ptoc.dialect.errors import ArgumentError, SimulationError
from ptoc.dialect.op import plain
from ptoc.loading import chip_of, load_source
from ptoc.machine.chip import load_chip
from ptoc.running import Arranged, Prepared, arrange, expected_outputs

from .texts import VADD, function, parse

pytestmark = pytest.mark.skipif(library_path() is None or compiler() is None, reason="needs PTO_LIB_PATH and clang++")

CASES = [
    ("vector_add", "one_core"),
    ("softmax", "one_core"),
    ("softmax", "small"),
    ("softmax", "wide"),
    ("softmax_long", "small"),
    ("softmax_long", "half"),
    ("rmsnorm", "small"),
    ("rmsnorm", "wide"),
    ("layernorm", "small"),
    ("layernorm", "half"),
    ("gelu", "bfloat"),
    ("swiglu", "small"),
    ("transpose", "small"),
    ("reduce", "small"),
    ("reduce", "max_half"),
    ("embedding", "small"),
    ("topk", "small"),
    ("topk", "half"),
    ("gemm", "tails"),
    ("gemm", "small"),
    ("gemm", "bf16_to_bf16"),
    ("gemm", "f32"),
    ("gemm", "f16_out"),
    ("gemm", "bytes"),
    ("gemm", "bytes_scaled"),
    ("gemm", "bytes_scaled_by_column"),
    ("gemm", "transposed"),
    ("gemm", "bias_relu"),
    ("gemm", "split_k"),
    ("gemm", "decode"),
    ("gemm_expert", "small"),
    ("gemm_qk", "small"),
    ("gemm_qk_expert", "small"),
    ("flash_attention", "two_blocks"),
    ("flash_attention", "blocks_in_turn"),
    ("flash_attention", "tails"),
    ("flash_attention", "tails_in_turn"),
    ("flash_attention", "short"),
    ("flash_attention", "bf16_in_turn"),
    ("flash_attention", "d64_in_turn"),
    ("flash_attention", "d256_in_turn"),
    ("flash_attention", "mla_in_turn"),
    ("flash_attention_naive", "one_tile_in_turn"),
    ("flash_attention_expert", "one_tile_in_turn"),
    ("flash_attention_heads", "decode"),
    ("flash_attention_heads", "causal_tails"),
    ("flash_attention_split", "tails_few"),
    ("flash_attention_combine", "tails"),
    ("paged_attention", "odd_groups"),
    ("paged_qk", "small"),
    ("paged_softmax", "small"),
    ("paged_pv", "small"),
    ("paged_update", "small"),
    ("dsa_projection", "small"),
    ("dsa_scores", "small"),
]

BEYOND_THE_CPU_BUILD = {
    ("gemm", "bytes_scaled_by_column"): "it scales row i of an accumulator with column i's word (include/pto/cpu/TStore.hpp: scalars[isRowMajor ? col : row])",
}
"""Cases that compile and of which the library's CPU build gives other values than the device, with the reason; one that it gets right must leave the list."""


@pytest.fixture(scope="module")
def programs() -> dict[Any, CpuProgram]:
    """Programs by kernel and constants, compiled once."""
    return {}


def program_of(arranged: Arranged, programs: dict[Any, CpuProgram], folder: Path) -> CpuProgram:
    """The program of an arranged kernel."""
    compiled = arranged.compile()
    key = (compiled.name, tuple(sorted(arranged.parameters.items())))
    if key not in programs:
        text, kernels = kernel_text(compiled.module, compiled.chip, compiled.name)
        programs[key] = compile_for_cpu(text, kernels, folder)
    return programs[key]


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(*c, marks=pytest.mark.xfail(raises=AssertionError, strict=True, reason=BEYOND_THE_CPU_BUILD[c])) if c in BEYOND_THE_CPU_BUILD else c for c in CASES],
)
def test_a_kernel_gives_its_reference(name: str, case: str, programs: dict[Any, CpuProgram], tmp_path: Path) -> None:
    source = load_source(name)
    arranged = arrange(source, chip_of(source, None), {}, case, None, {}, None)
    kernel, compiled, values, arguments = source.kernel, arranged.compile(), arranged.values, arranged.arguments
    program = program_of(arranged, programs, tmp_path)
    tensors = [arguments.arrays[n] for n in kernel.bound(values)]
    blocks = arguments.blocks
    left = program.run(compiled.name, [*tensors, *[values[n] for n in kernel.sizes], *slots(compiled.module, blocks)], blocks, 2)
    got = dict(zip(kernel.bound(values), left))
    for output, wanted in expected_outputs(Prepared(compiled, arguments, values, arranged.program())).items():
        absolute, relative = kernel.tolerance_of(output, values)
        np.testing.assert_allclose(got[output].astype(np.float64), np.asarray(wanted, np.float64), rtol=relative, atol=absolute, err_msg=output)


def slots(module: Any, blocks: int) -> list[np.ndarray]:
    """Memory for the slots of a kernel's pipes."""
    attributes = module.body.operations[0].attributes
    if "pto.workspace_bytes_per_block" not in attributes:
        return []
    return [np.zeros(size * blocks, np.uint8) for size in plain(attributes["pto.workspace_bytes_per_block"])]


def test_vector_add_from_text(tmp_path: Path) -> None:
    text, kernels = kernel_text(parse(VADD), load_chip("ascend910b1"), "vadd")
    program = compile_for_cpu(text, kernels, tmp_path)
    a, b = np.random.default_rng(0).standard_normal((2, 64, 128), dtype=np.float32)
    assert np.array_equal(program.run("vadd", [a, b, np.zeros_like(a), 64])[2], a + b)
    with pytest.raises(ArgumentError, match=r"kernel 'vadd' takes 4 arguments \(a, b, c, n\); got 2"):
        program.run("vadd", [a, b])


def test_a_kernel_that_dies_says_why(tmp_path: Path) -> None:
    body = """
      %far = arith.constant 99999999999999 : index
      %x = arith.constant 1 : i64
      pto.store_scalar %x, %p[%far] : !pto.ptr<i64>, i64
    """
    text, kernels = kernel_text(parse(function(body)), load_chip("ascend910b1"), "k")
    program = compile_for_cpu(text, kernels, tmp_path)
    with pytest.raises(SimulationError, match="kernel 'f' failed on the CPU with code"):
        program.run("f", [np.zeros(4, np.int64)])


def test_cpp_that_does_not_compile_shows_the_first_errors(tmp_path: Path) -> None:
    _, kernels = kernel_text(parse(VADD), load_chip("ascend910b1"), "vadd")
    with pytest.raises(SimulationError, match=r"the emitted C\+\+ does not compile: .*kernel.cpp:1:1: error:"):
        compile_for_cpu("nonsense", kernels, tmp_path)


def test_without_the_library_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PTO_LIB_PATH")
    with pytest.raises(ArgumentError, match="set PTO_LIB_PATH to a checkout of pto-isa"):
        compile_for_cpu("", (), tmp_path)
