"""Regions while a stream is elaborated: parts, reshapes and slices of refs, pointers, integer arithmetic as the IR defines it."""

from typing import NamedTuple

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.errors import NotSupportedError, SimulationError
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.machine.mesh import Mesh


class Memory(NamedTuple):
    """A pointer: tensor and byte offset in it."""

    name: str
    offset: int


class OutsideRef(ViewRef):
    """A part of a view that does not lie inside of it: no fault until a command touches it.  `fault`: what is wrong.

    Cut to what a command touches (`_replace`) it is a view like any other.
    """

    fault: str
    _make = ViewRef._make

    @staticmethod
    def of(ref: ViewRef, fault: str) -> "OutsideRef":
        """The same region, marked."""
        result = OutsideRef(*ref)
        result.fault = fault
        return result


class Ids:
    """An array of event ids, filled while a stream is elaborated."""

    def __init__(self, size: int, location: str) -> None:
        self._numbers: list[int | None] = [None] * size
        self._location = location

    def put(self, index: int, value: int) -> None:
        """Sets a number."""
        self._numbers[self._checked(index)] = value

    def get(self, index: int) -> int:
        """A number that was set."""
        value = self._numbers[self._checked(index)]
        if value is None:
            raise SimulationError(f"'pto.eventid_array_get': element {index} was never set", self._location)
        return value

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self._numbers):
            raise SimulationError(f"an array of {len(self._numbers)} event ids has no element {index}", self._location)
        return index


def ring_memory(ring: str, block: int, owner: int, memory: str) -> str:
    """Name of the slots of an on-chip ring: memory that the cores of a block share, of core `owner` on the consumer's side.

    It is known to all cores of the run, like global memory; what follows the '/' is where it lies.
    """
    return f"gm:{ring}.{block}.{owner}/{memory}"


def linked(mesh: Mesh, block: int, blocks: int, sub: int, axis: int, direction: str, location: str) -> int:
    """The block that a link leads to.  Raises SimulationError, at the line of the send or receive, where none runs there."""
    if sub:
        raise SimulationError(f"the links of an element belong to its cube core and to vector core 0; vector core {sub} uses one", location)
    other = mesh.neighbour(block, axis, direction)
    if other is None:
        raise SimulationError(f"a link that is not there: {mesh.lacking(block, axis, direction)}", location)
    if other >= blocks:
        raise SimulationError(f"a link to an element that runs nothing: block {other}, of {blocks} that were launched", location)
    return other


def link_memory(ring: str, block: int, memory: str) -> str:
    """Name of the receive buffer of a block for what travels along one link."""
    return ring_memory(ring, block, 0, memory)


def part(ref: TileRef, row: int, col: int, v_rows: int, v_cols: int) -> TileRef:
    """The region of a tile from (row, col) on."""
    return ref._replace(row=ref.row + row, col=ref.col + col, v_rows=v_rows, v_cols=v_cols)


def reshape(ref: TileRef, v_rows: int, v_cols: int, dtype: str, rows: int, cols: int, blayout: str, slayout: str, fractal: int) -> TileRef:
    """The bytes of a tile as another one.  Raises NotSupportedError for a part that does not begin a contiguous run of the right size."""
    address = ref.address
    if ref.row or ref.col:
        whole_rows = ref.slayout == "none_box" and ref.blayout == "row_major" and (ref.col == 0 or ref.rows == 1)
        if not whole_rows:
            raise NotSupportedError("a reshape of a part of a tile needs a part that is contiguous")
        address += (ref.row * ref.cols + ref.col) * DTYPES[ref.dtype].bytes
    return TileRef(ref.memory, address, dtype, rows, cols, blayout, slayout, fractal, 0, 0, v_rows, v_cols)


def view(pointer: Memory, dtype: str, sizes: tuple[int, ...], strides: tuple[int, ...]) -> ViewRef:
    """A region of global memory at a pointer."""
    size = DTYPES[dtype].bytes
    if pointer.offset % size:
        raise NotSupportedError(f"a view of {dtype} at byte {pointer.offset} of {pointer.name} is not aligned to its elements")
    return ViewRef(pointer.name, pointer.offset // size, dtype, sizes, strides)


def slice_(ref: ViewRef, offsets: tuple[int, ...], sizes: tuple[int, ...]) -> ViewRef:
    """A part of a region of global memory."""
    offset, inside = ref.offset, type(ref) is ViewRef
    for o, s, n, extent in zip(offsets, ref.strides, sizes, ref.shape):
        offset += o * s
        inside = inside and 0 <= o <= extent - n
    result = ViewRef(ref.memory, offset, ref.dtype, sizes, ref.strides)
    if inside or 0 in sizes:
        return result
    if type(ref) is OutsideRef:
        return OutsideRef.of(result, ref.fault)
    shown = ["x".join(map(str, numbers)) for numbers in (sizes, ref.shape)]
    return OutsideRef.of(result, f"is a part of {shown[0]} from ({', '.join(map(str, offsets))}) on of a view of {shown[1]}")


def advance(pointer: Memory, offset: int, unit: int) -> Memory:
    """A pointer further on."""
    return Memory(pointer.name, pointer.offset + offset * unit)


def quotient(a: int, b: int) -> int:
    """a / b rounded to zero."""
    return -(-a // b) if (a < 0) != (b < 0) else a // b


def remainder(a: int, b: int) -> int:
    """a - b * quotient(a, b)."""
    return a - b * quotient(a, b)
