"""Byte-addressed memories whose bytes are poison until written and while a write is in flight.

One poison byte stands beside each byte: bit 7 is set until the first write, bits 0 to 6 count the writes in flight; 0 means readable.
On-chip memories belong to a core, global memories ("gm:NAME") to the run.  Regions are numpy views of the bytes wherever the layout
allows it (row- and column-major, whole boxes), else gathered by index.
"""

from collections.abc import Mapping

import numpy as np

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.errors import ArgumentError, BoundsError, PoisonError, SimulationError
from ptoc.dialect.layout import Access, Ref, TileRef, box_of, byte_indices

from .program import Core, Site
from .regions import OutsideRef

UNWRITTEN = 0x80
IN_FLIGHT = 0x7F


class _Space:
    """One memory.  `poison` is None while every byte is readable (inputs that nobody writes)."""

    __slots__ = ("_poison", "data", "name")

    def __init__(self, name: str, data: np.ndarray, poison: np.ndarray | None) -> None:
        self.name, self.data, self._poison = name, data, poison

    def poison(self) -> np.ndarray:
        if self._poison is None:
            self._poison = np.zeros(self.data.size, np.uint8)
        return self._poison

    @property
    def clean(self) -> bool:
        return self._poison is None


class Region:
    """The bytes of one ref in one memory: `read`, and a write in steps: `begin` (bytes become poison), `end`, `commit`."""

    __slots__ = ("_indices", "_masks", "_space", "_view", "core", "ref")

    def __init__(self, core: Core, ref: Ref, space: _Space) -> None:
        self.core, self.ref, self._space = core, ref, space
        self._masks: list[np.ndarray] | None = None
        plan = _strides(ref)
        self._indices = byte_indices(ref) if plan is None else None
        if plan is None:
            self._view = None
        else:
            offset, shape, strides = plan
            self._view = np.ndarray(shape, DTYPES[ref.dtype].numpy, space.data, offset, strides)
            self._view.flags.writeable = False

    def read(self, site: Site, operand: str, unwritten_only: bool = False) -> np.ndarray:
        """The elements, in the ref's shape; read-only, a view of the memory where possible.

        `unwritten_only`: let bytes pass that are only in flight (atomic operations on one another).
        Raises: PoisonError.
        """
        if not self._space.clean and any(mask.any() for mask in self.masks()):
            self._refuse_poison(site, operand, UNWRITTEN if unwritten_only else 0xFF)
        if self._view is None:
            size = DTYPES[self.ref.dtype].bytes
            return self._space.data[self._indices[..., None] + np.arange(size)].view(DTYPES[self.ref.dtype].numpy)[..., 0]
        return self._view if self._view.ndim == len(self.ref.shape) else self._view.reshape(self.ref.shape)

    def begin(self) -> None:
        """Marks the bytes as being written."""
        for mask in self.masks():
            mask += 1

    def end(self) -> None:
        """Takes the mark of `begin` back."""
        for mask in self.masks():
            mask -= 1

    def commit(self, array: np.ndarray) -> None:
        """Writes the elements; the bytes become readable unless another write to them is in flight."""
        if self._view is None:
            size = DTYPES[self.ref.dtype].bytes
            data = np.ascontiguousarray(array).view(np.uint8).reshape(*self.ref.shape, size)
            self._space.data[self._indices[..., None] + np.arange(size)] = data
        else:
            self._view.flags.writeable = True
            self._view[...] = array if self._view.ndim == len(self.ref.shape) else array.reshape(self._view.shape)
            self._view.flags.writeable = False
        for mask in self.masks():
            mask &= IN_FLIGHT

    def masks(self) -> list[np.ndarray]:
        """Views of the poison bytes of the region."""
        if self._masks is None:
            poison = self._space.poison()
            self._masks = [_bytes_of(poison, access) for access in self.ref.accesses()]
        return self._masks

    def _refuse_poison(self, site: Site, operand: str, bits: int) -> None:
        size = DTYPES[self.ref.dtype].bytes
        places = byte_indices(self.ref)[..., None] + np.arange(size)
        state = self._space.poison()[places] & bits
        if not state.any():
            return
        where = np.unravel_index(int(np.flatnonzero(state)[0]), state.shape)
        byte, element = int(places[where]), [int(i) for i in where[:-1]]
        why = "while a write to it is in flight" if state[where] & IN_FLIGHT else "that nobody has written"
        raise PoisonError(
            f"'{site.op}' on {self.core} reads operand '{operand}' in {self._space.name}, byte {byte} (element {element}), {why}: "
            "order the writer before it (`ptoc check` names the missing order)",
            site.location,
        )


class Memories:
    """All memories of a run.

    on_chip: bytes of each on-chip memory of a core (ub, l1, ...).  global_bytes: bytes of each "gm:NAME".  inputs: initial contents of
    some of them; what they do not cover is poison.
    Raises: ArgumentError where an input does not fit.
    """

    def __init__(self, on_chip: Mapping[str, int], global_bytes: Mapping[str, int], inputs: Mapping[str, np.ndarray] | None = None) -> None:
        self._on_chip = dict(on_chip)
        self._spaces: dict[tuple[Core, str] | str, _Space] = {}
        self._regions: dict[tuple[Core, Ref], Region] = {}
        inputs = dict(inputs or {})
        for name, size in global_bytes.items():
            self._spaces[name] = _global(name, size, inputs.pop(name, None))
        if inputs:
            known = ", ".join(global_bytes) or "none"
            raise ArgumentError(f"no global memory is named {', '.join(sorted(inputs))}; the program has {known}")

    def region(self, core: Core, ref: Ref, site: Site, operand: str) -> Region:
        """The region that `ref` names on `core`.  Raises: BoundsError."""
        if not isinstance(ref, TileRef):
            return self._region(core, ref, site, operand)
        key = (core, ref)
        found = self._regions.get(key)
        if found is None:
            found = self._regions[key] = self._region(core, ref, site, operand)
        return found

    def read(self, core: Core, ref: Ref, site: Site, operand: str = "") -> np.ndarray:
        """The elements of a ref, in its shape.  Raises: PoisonError, BoundsError."""
        return self.region(core, ref, site, operand).read(site, operand)

    def write(self, core: Core, ref: Ref, array: np.ndarray, site: Site, operand: str = "") -> None:
        """Writes elements at once.  Raises: BoundsError."""
        self.region(core, ref, site, operand).commit(array)

    def array(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """A copy of a global memory's first elements, written or not."""
        data = self._spaces[name].data
        return data[: int(np.prod(shape)) * np.dtype(dtype).itemsize].view(dtype).reshape(shape).copy()

    def unwritten(self, name: str) -> int:
        """Number of bytes of a global memory that nobody has written."""
        space = self._spaces[name]
        return 0 if space.clean else int(np.count_nonzero(space.poison() & UNWRITTEN))

    def _region(self, core: Core, ref: Ref, site: Site, operand: str) -> Region:
        space = self._space(core, ref.memory, site)
        _refuse_outside(core, ref, site, operand)
        accesses = ref.accesses()
        if accesses and (min(map(_first, accesses)) < 0 or max(map(_end, accesses)) > space.data.size):
            _refuse_bounds(core, ref, space, site, operand)
        return Region(core, ref, space)

    def _space(self, core: Core, memory: str, site: Site) -> _Space:
        key = memory if memory.startswith("gm:") else (core, memory)
        space = self._spaces.get(key)
        if space is None:
            if memory not in self._on_chip:
                known = ", ".join([*self._on_chip, *(k for k in self._spaces if isinstance(k, str))])
                raise SimulationError(f"'{site.op}' uses memory '{memory}', which the run does not have; it has {known}", site.location)
            size = self._on_chip[memory]
            space = self._spaces[key] = _Space(memory, np.zeros(size, np.uint8), np.full(size, UNWRITTEN, np.uint8))
        return space


def _global(name: str, size: int, contents: np.ndarray | None) -> _Space:
    data = np.zeros(size, np.uint8)
    if contents is None:
        return _Space(name, data, np.full(size, UNWRITTEN, np.uint8))
    given = np.ascontiguousarray(contents).reshape(-1).view(np.uint8)
    if given.size > size:
        raise ArgumentError(f"the input for {name} has {given.size} bytes; the program uses {size}")
    data[: given.size] = given
    poison = None
    if given.size < size:
        poison = np.full(size, UNWRITTEN, np.uint8)
        poison[: given.size] = 0
    return _Space(name, data, poison)


def _refuse_outside(core: Core, ref: Ref, site: Site, operand: str) -> None:
    """Raises BoundsError for a size below zero, or a part that does not lie inside its tile."""
    if min(ref.shape, default=0) < 0:
        wrong = f"has {'x'.join(map(str, ref.shape))} elements: a size must not be negative"
    elif isinstance(ref, TileRef) and (ref.row < 0 or ref.col < 0 or ref.row + ref.v_rows > ref.rows or ref.col + ref.v_cols > ref.cols):
        wrong = f"is a part of {ref.v_rows}x{ref.v_cols} from ({ref.row}, {ref.col}) on of a tile of {ref.rows}x{ref.cols}"
    elif isinstance(ref, OutsideRef):
        wrong = ref.fault
    else:
        return
    raise BoundsError(f"'{site.op}' on {core}: operand '{operand}' {wrong}", site.location)


def _refuse_bounds(core: Core, ref: Ref, space: _Space, site: Site, operand: str) -> None:
    size = DTYPES[ref.dtype].bytes
    places = byte_indices(ref)
    bad = np.flatnonzero((places < 0) | (places + size > space.data.size))[0]
    where = [int(i) for i in np.unravel_index(int(bad), places.shape)]
    at, extent = int(places.reshape(-1)[bad]) // size, space.data.size // size
    what = (
        f"element {at} of {space.name}, which has {extent} elements"
        if space.name.startswith("gm:")
        else f"byte {at * size} of {space.name}, which has {space.data.size} bytes"
    )
    raise BoundsError(
        f"'{site.op}' on {core}: operand '{operand}' ({'x'.join(map(str, ref.shape))}x{ref.dtype}) reaches, at its index {where}, {what}",
        site.location,
    )


def _first(access: Access) -> int:
    return access.base + sum(min(0, (count - 1) * stride) for count, stride in access.levels)


def _end(access: Access) -> int:
    return access.base + sum(max(0, (count - 1) * stride) for count, stride in access.levels) + access.run


def _bytes_of(data: np.ndarray, access: Access) -> np.ndarray:
    shape = [count for count, _ in access.levels if _] + [access.run]  # a broadcast level (stride 0) names the same bytes again
    strides = [stride for _, stride in access.levels if stride] + [1]
    return np.ndarray(shape, np.uint8, data, access.base, strides)


def _strides(ref: Ref) -> tuple[int, tuple[int, ...], tuple[int, ...]] | None:
    """Byte offset, shape and byte strides of a view with the ref's elements in row-major order; None where no strides express it."""
    size = DTYPES[ref.dtype].bytes
    if not isinstance(ref, TileRef):
        return ref.offset * size, ref.shape, tuple(s * size for s in ref.strides)
    if not ref.v_rows or not ref.v_cols:
        return ref.address, ref.shape, (size, size)
    ir, ic = box_of(ref.slayout, ref.fractal, ref.dtype)
    box, boxes_r, boxes_c = ir * ic, -(-ref.rows // ir), -(-ref.cols // ic)
    in_r, in_c = (ic, 1) if ref.slayout == "row_major" else (1, ir)
    out_r, out_c = (boxes_c * box, box) if ref.blayout == "row_major" else (box, boxes_r * box)
    rows, cols = _split(ref.row, ref.v_rows, ir, in_r, out_r), _split(ref.col, ref.v_cols, ic, in_c, out_c)
    if rows is None or cols is None:
        return None
    axes = [rows[1], rows[2], cols[1], cols[2]]
    if rows[1][0] == 1 and cols[1][0] == 1:
        axes = [rows[2], cols[2]]
    offset = ref.address + (rows[0] + cols[0]) * size
    return offset, tuple(n for n, _ in axes), tuple(stride * size for _, stride in axes)


def _split(start: int, count: int, per_box: int, inner: int, outer: int) -> tuple[int, tuple[int, int], tuple[int, int]] | None:
    """One axis of a boxed tile as (offset, (boxes, stride), (elements, stride)); None if it cuts a box."""
    boxes, rest = divmod(start, per_box)
    if outer == per_box * inner or per_box == 1 or rest + count <= per_box:
        stride = outer if per_box == 1 else inner
        return boxes * outer + rest * inner, (1, 0), (count, stride)
    if rest or count % per_box:
        return None
    return boxes * outer, (count // per_box, outer), (per_box, inner)
