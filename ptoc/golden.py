"""The golden case of a compilation: arguments and expected results of the run that it was compiled for, for the device runner."""

from typing import Any

import numpy as np

from ptoc.codegen import Case
from ptoc.dialect.dtypes import of_mlir
from ptoc.dialect.mlir import ir
from ptoc.simulator.elaborate import kernel_functions

from .running import Prepared, expected_outputs, run_values, time_program


def golden_case(prepared: Prepared, name: str = "case") -> Case:
    """Inputs, zeroed outputs and rings of slots, sizes, and what comes out: the numpy reference, or for a text the simulated values."""
    kernel, arguments = prepared.compiled.kernel, prepared.arguments
    expected = expected_outputs(prepared)
    if expected is None:
        expected = run_values(prepared, time_program(prepared.program, prepared.compiled.chip))
    tolerance = kernel.largest_tolerance(prepared.values) if kernel else (1e-3, 1e-3)
    values = {argument: _value(prepared, argument, type_) for argument, type_ in _signature(prepared)}
    outputs = {n: np.asarray(expected[n], arguments.arrays[n].dtype) for n in arguments.outputs if n in expected}
    return Case(name, prepared.compiled.name, arguments.blocks, values, outputs, *reversed(tolerance))


def _signature(prepared: Prepared) -> list[tuple[str, ir.Type]]:
    """Names and types of the kernel's arguments, in order."""
    function = next(iter(kernel_functions(prepared.compiled.simulator_ir)[prepared.compiled.name].values()))
    names = [ir.StringAttr(a).value for a in ir.ArrayAttr(function.attributes["sim.arg_names"])]
    return list(zip(names, [a.type for a in function.arguments]))


def _value(prepared: Prepared, name: str, type_: ir.Type) -> Any:
    """An argument: array, ring of slots as zeros, or number."""
    arrays, numbers = prepared.arguments.arrays, prepared.arguments.numbers
    if name in arrays:
        return arrays[name]
    if isinstance(type_, ir.DynamicType):
        dtype = of_mlir(ir.Type.parse(ir.StringAttr(type_.params[0]).value, type_.context)).numpy
        return np.zeros(numbers[name] // dtype.itemsize, dtype)
    return numbers[name]
