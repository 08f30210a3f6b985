"""Shipped kernels as C++ through the library's own headers, on host threads, against their numpy references.

Needs PTO_LIB_PATH (a checkout of pto-isa) and clang++.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ptoc
from ptoc.arguments import kernel_inputs, kernel_values
from ptoc.codegen.cpu_check import CpuProgram, compile_for_cpu, compiler, library_path
from ptoc.codegen.emit import kernel_text
from ptoc.dialect.errors import ArgumentError, SimulationError
from ptoc.dialect.op import plain
from ptoc.loading import shipped_kernel
from ptoc.machine.chip import load_chip

from .texts import VADD, function, parse

pytestmark = pytest.mark.skipif(library_path() is None or compiler() is None, reason="needs PTO_LIB_PATH and clang++")

CASES = [
    ("vector_add", "one_core"),
    ("softmax", "one_core"),
    ("softmax", "small"),
    ("gemm", "tails"),
    ("gemm", "small"),
    ("flash_attention", "two_blocks"),
    ("flash_attention", "blocks_in_turn"),
    ("flash_attention", "tails"),
    ("flash_attention", "tails_in_turn"),
    ("flash_attention", "short"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, tuple[Any, CpuProgram]]:
    """Programs by kernel and constants, compiled once."""
    return {}


def program_of(name: str, constants: dict[str, Any], programs: dict, folder: Path) -> tuple[Any, CpuProgram]:
    """The compiled kernel and its program."""
    key = (name, tuple(sorted(constants.items())))
    if key not in programs:
        compiled = ptoc.compile(name, **constants)
        text, kernels = kernel_text(compiled.module, compiled.chip, compiled.name)
        programs[key] = (compiled, compile_for_cpu(text, kernels, folder))
    return programs[key]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_kernel_gives_its_reference(name: str, case: str, programs: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    kernel = shipped_kernel(name)
    values = kernel_values(kernel, case, {}, load_chip("ascend910b1"))
    compiled, program = program_of(name, {k: values[k] for k in kernel.parameters}, programs, tmp_path_factory.mktemp(name))
    blocks = values.get("cores", 1)
    inputs = kernel_inputs(kernel, values)
    arrays = {n: inputs[n] if n in inputs else np.zeros(kernel.shape(n, values), spec.dtype.numpy) for n, spec in kernel.bound(values).items()}
    left = program.run(compiled.name, [*arrays.values(), *[values[n] for n in kernel.sizes], *slots(compiled.module, blocks)], blocks, 2)
    expected = kernel.reference_function(**{n: a.astype(np.float64) for n, a in inputs.items()})
    outputs = [array for (_, spec), array in zip(kernel.bound(values).items(), left) if spec.output]
    absolute, relative = kernel.largest_tolerance(values)
    for got, wanted in zip(outputs, expected if isinstance(expected, tuple) else (expected,)):
        np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=relative, atol=absolute)


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
