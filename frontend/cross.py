"""Cross tiles: a value of one loop iteration that one kind of core stores and the other loads."""

from ptoc.dialect import types as t
from ptoc.dialect.dtypes import DType
from ptoc.dialect.mlir import ir

from .builder import current, emit, fail, typed
from .tile import View


class Cross(View):
    """`x = ptoc.cross((rows, cols), f32)`, made beside the sections that use it: stored in one `with ptoc.cube():` or `ptoc.vector():`
    section and loaded in a later one of the other kind.

    The cube core sees all rows, a vector core its half of them.  The compiler makes a ring of slots of it.
    """

    def __init__(self, shape: tuple[int, int], dtype: DType, *, name: str = "") -> None:
        if current().section:
            raise fail("cross: a cross tile belongs to both kinds of core: make it before the sections")
        if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape) or shape[0] % 2:
            raise fail(f"cross: a shape of two positive integers known when compiling is expected, with even rows; got {shape!r}")
        attributes = {"name": ir.StringAttr.get(name)} if name else {}
        self._declared = emit("declare_global", {}, (typed(t.View(tuple(shape), dtype)),), attributes).result
        self._rows, self._cols, self.dtype = shape[0], shape[1], dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns as the core of this section sees them."""
        return (self._rows // 2 if current().section == "vector" else self._rows, self._cols)

    @property
    def value(self) -> ir.Value:
        """The part that the core of this section sees."""
        return self[:, :].value

    def __getitem__(self, key: object) -> View:
        """A part: slices a:b of the rows and columns that the core of this section sees."""
        if not current().section:
            raise fail("cross: a cross tile is used inside a cube or a vector section")
        return View(self._declared, self.shape, self.dtype)[key]
