"""`@ptoc.kernel`: a Python function becomes a pto module by being run once with tiles and views instead of data."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ptoc.dialect import new_context
from ptoc.dialect import types as t
from ptoc.dialect.errors import ArgumentError, ParseError, PtocError, VerifyError
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import location_text

from .builder import Trace, short_path, tracing
from .control import close_returns
from .tensor import TensorSpec
from .tile import View
from .values import Index, Number

SYNC = ("insert", "keep")
"""What becomes of synchronisation: what is missing is inserted, or all stays as written."""


Tolerance = float | tuple[float, float]


@dataclass
class Kernel:
    """A kernel: the traced function, its numpy reference and its named cases.

    Sizes: names in tensor annotations that no keyword parameter has; known at run time.  Parameters: keyword-only arguments of the
    function, constants of one compilation.  sync: "keep" where the kernel has its flags and barriers by hand.  chip: the one that
    it is made for, "" for any.  tolerance: of outputs, one number for absolute and relative, or the two (absolute, relative); or one of
    these for each element type, by its name, of which the largest of the kernel's types counts: a rounded input makes an f32 result no finer.
    """

    function: Callable[..., None]
    name: str
    tensors: dict[str, TensorSpec]
    parameters: dict[str, int | float | bool | str]
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    large_cases: set[str] = field(default_factory=set)
    limits: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tolerance: Tolerance | dict[str, Tolerance] = 1e-3
    reference_function: Callable[..., Any] | None = None
    flops_function: Callable[..., int] | None = None
    inputs_function: Callable[..., dict[str, Any]] | None = None
    cores_function: Callable[..., int] | None = None
    exact_cores: bool = False
    specialize_function: Callable[..., dict[str, Any]] | None = None
    sync: str = "insert"
    chip: str = ""
    compilations: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def sizes(self) -> tuple[str, ...]:
        """Names of the sizes that are known at run time, in order of appearance."""
        names = [n for spec in self.tensors.values() for n in spec.shape if isinstance(n, str) and n not in self.parameters]
        return tuple(dict.fromkeys(names))

    @property
    def doc(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0]

    def reference(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the numpy reference; gets the inputs as float64 or integer arrays by name, gives the outputs (one, or a tuple).

        A function that names no arguments of its own (`np.exp`) gets the inputs in their order.
        """
        self.reference_function = function if hasattr(function, "__code__") else lambda **inputs: function(*inputs.values())
        return function

    def flops(self, function: Callable[..., int]) -> Callable[..., int]:
        """Decorator: floating-point operations of a run, from sizes and parameters by name."""
        self.flops_function = function
        return function

    def inputs(self, function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """Decorator: inputs other than seeded normal data; gets (rng, shapes), gives arrays by name."""
        self.inputs_function = function
        return function

    def cores(self, function: Callable[..., int] | None = None, *, exact: bool = False) -> Callable[..., Any]:
        """Decorator: blocks to launch where none are asked for; gets sizes and parameters by name, and the chip's cores as `aic` and `aiv`.

        exact: the kernel does its work on that many blocks only; any other number is refused.
        """
        if function is None:
            return partial(self.cores, exact=exact)
        self.cores_function, self.exact_cores = function, exact
        return function

    def specialize(self, function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """Decorator: parameters that follow from sizes and other parameters where they are not given."""
        self.specialize_function = function
        return function

    def case(self, name: str, *, large: bool = False, **arguments: Any) -> None:
        """Names a set of sizes and parameters (and `cores`); the first one is the default case.

        large: too large to compute its values in a test; `make bench-kernels` times it.
        """
        unknown = set(arguments) - set(self.sizes) - set(self.parameters) - {"cores"}
        if unknown:
            raise ArgumentError(f"kernel {self.name}: case {name} gives '{sorted(unknown)[0]}', which is no size or parameter")
        self.cases[name] = arguments
        if large:
            self.large_cases.add(name)

    def limit(self, text: str, **beyond: Any) -> None:
        """States a limit, as a sentence, with sizes and parameters (and `cores`) beyond it: a run of the default case with them is refused."""
        unknown = set(beyond) - set(self.sizes) - set(self.parameters) - {"cores"}
        if unknown or not beyond:
            what = f"'{sorted(unknown)[0]}', which is no size or parameter" if unknown else "nothing that lies beyond it"
            raise ArgumentError(f"kernel {self.name}: the limit '{text}' gives {what}")
        self.limits.append((text, beyond))

    @property
    def small_cases(self) -> tuple[str, ...]:
        """Names of the cases that tests run with values."""
        return tuple(n for n in self.cases if n not in self.large_cases)

    def bound(self, parameters: dict[str, Any]) -> dict[str, TensorSpec]:
        """The tensors that the kernel takes with given parameters, by name: element types and orders are known, what is left out is not there.

        Raises: ArgumentError for an element type or order that there is not.
        """
        chosen = {**self.parameters, **parameters}
        specs = {n: spec.bound(chosen) for n, spec in self.tensors.items()}
        return {n: spec for n, spec in specs.items() if spec is not None}

    def shape(self, tensor: str, values: dict[str, Any]) -> tuple[int, ...]:
        """Extents of a tensor, as it lies in memory, for given sizes and parameters."""
        return tuple(values[n] if isinstance(n, str) else n for n in self.bound(values)[tensor].extents)

    def tolerance_of(self, tensor: str, values: dict[str, Any]) -> tuple[float, float]:
        """Absolute and relative tolerance of an output for given parameters.  Raises ArgumentError where none is stated for its element type."""
        stated = self.tolerance
        if isinstance(stated, dict):
            types = {name: spec.dtype.name for name, spec in self.bound(values).items()}
            dtype = types[tensor]
            if dtype not in stated:
                raise ArgumentError(f"kernel {self.name}: no tolerance for {dtype}, the type of '{tensor}'; there is one for {', '.join(stated)}")
            stated = max((stated[name] for name in types.values() if name in stated), key=lambda t: t if isinstance(t, tuple) else (t, t))
        return stated if isinstance(stated, tuple) else (stated, stated)

    def largest_tolerance(self, values: dict[str, Any]) -> tuple[float, float]:
        """The largest absolute and the largest relative tolerance of an output for given parameters."""
        absolute, relative = zip(*(self.tolerance_of(n, values) for n, spec in self.bound(values).items() if spec.output))
        return max(absolute), max(relative)

    def trace(self, context: ir.Context | None = None, arch: str = "a3", **parameters: Any) -> ir.Module:
        """The kernel as a pto module.  Raises ParseError at the user's line, VerifyError where a rule of the dialect is broken."""
        constants = {**self.parameters, **parameters}
        unknown = set(parameters) - set(self.parameters)
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise ArgumentError(f"kernel {self.name} has no parameter '{sorted(unknown)[0]}'; known: {known}")
        context = context or new_context()
        code = self.function.__code__
        with context, ir.Location.file(short_path(code.co_filename), code.co_firstlineno, 1):
            module = ir.Module.create()
            module.operation.attributes["pto.target_arch"] = ir.StringAttr.get(arch)
            trace = Trace(self.name)
            trace.arch = arch
            with tracing(trace), ir.InsertionPoint(module.body):
                _Body(self, constants, trace).build()
            verify(module)
        return module


class _Body:
    """Builds the function of one kernel."""

    def __init__(self, kernel: Kernel, constants: dict[str, Any], trace: Trace) -> None:
        self.kernel, self.constants, self.trace = kernel, constants, trace

    def build(self) -> None:
        kernel, sizes, tensors = self.kernel, self.kernel.sizes, self.kernel.bound(self.constants)
        pointers = [t.to_mlir(t.Ptr(spec.dtype)) for spec in tensors.values()]
        index = ir.IndexType.get()
        code = kernel.function.__code__
        where = ir.Location.file(short_path(code.co_filename), code.co_firstlineno, 1)
        function = func.FuncOp(kernel.name, ([*pointers, *[index] * len(sizes)], []), loc=where)
        function.attributes["pto.entry"] = ir.UnitAttr.get()
        block = function.add_entry_block()
        arguments = list(block.arguments)
        with ir.InsertionPoint(block):
            values: dict[str, Number] = {n: Index({v: 1}) for n, v in zip(sizes, arguments[len(pointers) :])}
            values |= {n: v for n, v in self.constants.items() if isinstance(v, int)}
            views = dict.fromkeys(kernel.tensors) | {n: self._view(spec, ptr, values) for (n, spec), ptr in zip(tensors.items(), arguments)}
            self.trace.block = block
            self._run(views, values)
            close_returns()
            func.ReturnOp([], loc=where)
        slots = [f"{pipe.name}_slots" for pipe in self.trace.pipes]
        names = [*tensors, *sizes, *slots]
        types = [argument.type for argument in block.arguments]
        function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(types, []))
        if slots:
            per_block = [ir.IntegerAttr.get(ir.IntegerType.get_signless(64), pipe.slots * pipe.slot_bytes) for pipe in self.trace.pipes]
            function.attributes["pto.workspace_bytes_per_block"] = ir.ArrayAttr.get(per_block)
        function.attributes["pto.arg_names"] = ir.ArrayAttr.get([ir.StringAttr.get(n) for n in names])
        function.attributes["pto.positive_args"] = ir.ArrayAttr.get([ir.StringAttr.get(n) for n in sizes])
        outputs = [ir.StringAttr.get(n) for n, spec in tensors.items() if spec.output]
        function.attributes["pto.outputs"] = ir.ArrayAttr.get(outputs)

    def _view(self, spec: TensorSpec, pointer: ir.Value, values: dict[str, Number]) -> View:
        shape = tuple(values[n] if isinstance(n, str) else n for n in spec.extents)
        strides: list[Number] = [1]
        for n in reversed(shape[1:]):
            strides.insert(0, strides[0] * n)
        view = View.of_pointer(pointer, shape, tuple(strides), spec.dtype)
        return view.T if spec.order == "dn" else view

    def _run(self, views: dict[str, View | None], values: dict[str, Number]) -> None:
        try:
            self.kernel.function(**views, **self.constants, **self._sizes_wanted(values))
            if self.trace.left_loop:
                message = "'break' cannot leave a ptoc.range loop, nor can 'return'; use a condition on the loop's bound, or ptoc.when"
                raise ParseError(message, self.trace.left_loop)
        except (PtocError, ir.MLIRError):
            raise
        except Exception as error:
            raise _at_user_line(error, self.kernel.function.__code__.co_filename) from error

    def _sizes_wanted(self, values: dict[str, Number]) -> dict[str, Number]:
        """Sizes that the function takes as arguments of their own."""
        return {n: values[n] for n in self.kernel.sizes if n in inspect.signature(self.kernel.function).parameters}


def _at_user_line(error: Exception, filename: str) -> ParseError:
    """An ordinary Python error in a kernel, told at the kernel's line."""
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return ParseError(f"{type(error).__name__}: {error}", f"{short_path(filename)}:{line}")


def verify(module: ir.Module) -> None:
    """Verifies a module.  Raises VerifyError that lists every diagnostic with its location."""
    try:
        module.operation.verify()
    except ir.MLIRError as error:
        lines = [f"{location_text(d.location) or '?'}: {_plain(d.message)}" for d in error.error_diagnostics]
        raise VerifyError("\n".join(dict.fromkeys(lines))) from None


def _plain(message: str) -> str:
    """MLIR's word for a value that is not known where it is used, in the kernel language's terms."""
    if "does not dominate this use" not in message:
        return message
    return "a tile, view or number made inside a loop, condition or section is used outside of it: make it before"


def kernel(function: Callable[..., None] | None = None, *, sync: str = "insert", chip: str = "") -> Kernel | Callable[[Callable[..., None]], Kernel]:
    """Decorator: makes a kernel of a function whose positional arguments are tensors and whose keyword-only ones are constants.

    sync: "insert", or "keep" (`@ptoc.kernel(sync="keep")`) for a kernel whose flags and barriers are all written by hand.
    chip: what it runs on where no other chip is asked for.
    Raises ParseError where an argument has no Tensor annotation or a keyword parameter no default, ArgumentError for another `sync`.
    """
    if sync not in SYNC:
        raise ArgumentError(f"kernel: sync must be {' or '.join(map(repr, SYNC))}; got {sync!r}")
    if function is None:
        return lambda later: kernel(later, sync=sync, chip=chip)
    where = f"{short_path(function.__code__.co_filename)}:{function.__code__.co_firstlineno}"
    tensors, parameters, sizes = {}, {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        if isinstance(parameter.annotation, TensorSpec):
            tensors[name] = parameter.annotation
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is not inspect.Parameter.empty:
            parameters[name] = parameter.default
        else:
            sizes.append(name)
    names = {n for spec in tensors.values() for n in spec.shape}
    for name in sizes:
        if name not in names:
            message = f"argument '{name}' needs a Tensor annotation, or must be the name of a size, or keyword-only with a default"
            raise ParseError(message, where)
    if not tensors:
        raise ParseError(f"kernel '{function.__name__}' takes no tensor", where)
    for name, spec in tensors.items():
        for parameter in spec.asked:
            if not isinstance(parameters.get(parameter), str):
                raise ParseError(f"argument '{name}': element type or order are asked of '{parameter}', which is no keyword parameter with a text as default", where)
    return Kernel(function, function.__name__, tensors, parameters, sync=sync, chip=chip)
