"""Annotations of a kernel's tensor arguments."""

from dataclasses import dataclass
from typing import Any

from ptoc.dialect.dtypes import DType
from ptoc.dialect.errors import ParseError


@dataclass(frozen=True)
class TensorSpec:
    """A tensor in global memory: extents (a number, or the name of a size) and element type; `output` if the kernel writes it."""

    shape: tuple[int | str, ...]
    dtype: DType
    output: bool = False


class _Tensor:
    """`ptoc.Tensor["M", "K", ptoc.f16]`: sizes by name are known at run time, or constants where a keyword parameter has that name."""

    def __init__(self, output: bool) -> None:
        self._output = output

    def __getitem__(self, key: Any) -> TensorSpec:
        *shape, dtype = key if isinstance(key, tuple) else (key,)
        if not isinstance(dtype, DType):
            raise ParseError(f"Tensor[...]: the last entry must be an element type such as ptoc.f16; got {dtype!r}")
        if not shape:
            raise ParseError("Tensor[...]: at least one extent is needed, such as Tensor['N', ptoc.f16]")
        for n in shape:
            if not isinstance(n, str) and not (isinstance(n, int) and n > 0):
                raise ParseError(f"Tensor[...]: an extent is a positive integer or the name of a size; got {n!r}")
        return TensorSpec(tuple(shape), dtype, self._output)


Tensor = _Tensor(output=False)
Out = _Tensor(output=True)
