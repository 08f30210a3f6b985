"""Annotations of a kernel's tensor arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ptoc.dialect.dtypes import DTYPES, DType
from ptoc.dialect.errors import ArgumentError, ParseError

ORDERS = ("nd", "dn")
"""How a matrix lies in memory: row by row, or column by column (its transpose row by row)."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor in global memory: extents (a number, or the name of a size) and element type; `output` if the kernel writes it.

    dtype: an element type, or the name of the parameter that says which ("f16"; "" leaves the tensor out).
    order_by: name of the parameter that says how the matrix is stored, "nd" or "dn"; "" for row by row.
    """

    shape: tuple[int | str, ...]
    dtype: DType | str
    output: bool = False
    order_by: str = ""
    order: str = "nd"

    def stored(self, order_by: str) -> "TensorSpec":
        """The matrix lies in memory as the parameter `order_by` says: "nd" [rows, columns], or "dn" [columns, rows], its transpose.

        Raises: ParseError for a tensor that is no matrix.
        """
        if len(self.shape) != 2:
            raise ParseError(f"Tensor[...].stored({order_by!r}): only a matrix can be stored transposed; got {len(self.shape)} extents")
        return replace(self, order_by=order_by)

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the parameters that element type and order depend on."""
        return tuple(name for name in (self.dtype if isinstance(self.dtype, str) else "", self.order_by) if name)

    @property
    def extents(self) -> tuple[int | str, ...]:
        """Extents as they lie in memory."""
        return self.shape[::-1] if self.order == "dn" else self.shape

    def bound(self, parameters: Mapping[str, Any]) -> "TensorSpec | None":
        """The tensor for given parameters; None where they leave it out.  Raises: ArgumentError for a type or an order that there is not."""
        dtype, order = self.dtype, self.order
        if isinstance(dtype, str):
            name = parameters[dtype]
            if name == "":
                return None
            if name not in DTYPES:
                raise ArgumentError(f"parameter {dtype} must be an element type ({', '.join(DTYPES)}); got {name!r}")
            dtype = DTYPES[name]
        if self.order_by:
            order = parameters[self.order_by]
            if order not in ORDERS:
                raise ArgumentError(f"parameter {self.order_by} must be {' or '.join(ORDERS)}; got {order!r}")
        return replace(self, dtype=dtype, order=order)


class _Tensor:
    """`ptoc.Tensor["M", "K", ptoc.f16]`: sizes by name are known at run time, or constants where a keyword parameter has that name.

    The last entry may be the name of a parameter that holds the element type's name.
    """

    def __init__(self, output: bool) -> None:
        self._output = output

    def __getitem__(self, key: Any) -> TensorSpec:
        *shape, dtype = key if isinstance(key, tuple) else (key,)
        if not isinstance(dtype, DType | str):
            raise ParseError(f"Tensor[...]: the last entry must be an element type such as ptoc.f16, or the name of a parameter; got {dtype!r}")
        if not shape:
            raise ParseError("Tensor[...]: at least one extent is needed, such as Tensor['N', ptoc.f16]")
        for n in shape:
            if not isinstance(n, str) and not (isinstance(n, int) and n > 0):
                raise ParseError(f"Tensor[...]: an extent is a positive integer or the name of a size; got {n!r}")
        return TensorSpec(tuple(shape), dtype, self._output)


Tensor = _Tensor(output=False)
Out = _Tensor(output=True)
