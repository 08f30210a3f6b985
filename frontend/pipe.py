"""Slot pipes between the cube core and the vector cores of a block: rings of slots in global memory."""

from ptoc.dialect import types as t
from ptoc.dialect.dtypes import DType
from ptoc.dialect.mlir import ir

from .builder import current, emit, fail, location, typed
from .control import block_idx
from .tile import View
from .values import Index

SPLITS = {"none": 0, "up_down": 1, "left_right": 2}
DIRECTIONS = {"c2v": 1, "v2c": 2}


class Pipe:
    """A one-way ring of `slots` slots; a slot holds one entry of [rows, cols] elements.

    The producer calls `e = pipe.alloc()`, stores into the view e, and `pipe.push(e)`; the consumer calls `e = pipe.pop()`, loads from it,
    and `pipe.free(e)`.  split: how the two vector cores share an entry: "up_down" (rows), "left_right" (columns) or "none".
    sync_period: the consumer reports free slots every that many entries (default: the library's, slots / 2, or slots up to 2).
    """

    def __init__(
        self,
        direction: str,
        shape: tuple[int, int],
        dtype: DType,
        *,
        slots: int = 8,
        local_slots: int | None = None,
        sync_period: int | None = None,
        split: str = "up_down",
        name: str = "",
    ) -> None:
        trace = current()
        if trace.section:
            raise fail("a pipe belongs to both kinds of core: make it before the sections")
        if direction not in DIRECTIONS:
            raise fail(f"pipe: the direction must be 'c2v' (cube to vector) or 'v2c'; got {direction!r}")
        if split not in SPLITS:
            raise fail(f"pipe: split must be one of {', '.join(SPLITS)}; got {split!r}")
        if not isinstance(shape, tuple | list) or len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise fail(f"pipe: the shape of an entry is two positive integers known when compiling; got {shape!r}")
        halved = {"up_down": 0, "left_right": 1}.get(split)
        if halved is not None and shape[halved] % 2:
            raise fail(f"pipe: split {split!r} gives each vector core half of the {('rows', 'columns')[halved]}, an even number; got {shape[halved]}")
        if slots < 1:
            raise fail(f"pipe: at least one slot is needed; got {slots}")
        self.direction, self.shape, self.dtype, self.slots = direction, tuple(shape), dtype, slots
        self.local_slots, self.sync_period, self.split = local_slots, sync_period, split
        self.id = len(trace.pipes)
        self.name = name or f"pipe{self.id}"
        pointer = trace.block.add_argument(typed(t.Ptr(dtype)), location())
        self.pointer = pointer
        trace.pipes.append(self)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot: the whole entry, before splitting."""
        return self.shape[0] * self.shape[1] * self.dtype.bytes

    def _initialize(self, kind: str) -> None:
        """The pipe's initialisation at the start of a section."""
        rows, cols = self.shape
        offset = Index.of(block_idx() * (self.slots * rows * cols))
        pointer = emit("addptr", {"ptr": self.pointer, "offset": offset.value()}, (typed(t.Ptr(self.dtype)),)).result
        view = View.of_pointer(pointer, (rows, cols), (cols, 1), self.dtype)
        number = ir.IntegerType.get_signless(32)
        facts = {
            "id": self.id,
            "dir_mask": DIRECTIONS[self.direction],
            "slot_size": self.slot_bytes,
            "slot_num": self.slots,
            "local_slot_num": self.local_slots,
            "sync_period": self.sync_period,
        }
        attributes = {k: ir.IntegerAttr.get(number, v) for k, v in facts.items() if v is not None}
        attributes["name"] = ir.StringAttr.get(self.name)
        emit("aic_initialize_pipe" if kind == "cube" else "aiv_initialize_pipe", {"gm_slot_tensor": view.value}, (), attributes)

    def alloc(self) -> View:
        """A free slot, as a view to store into; waits where all slots are in use."""
        return self._entry("talloc_to_aiv" if self.direction == "c2v" else "talloc_to_aic", self._producer())

    def push(self, entry: View) -> None:
        """Hands a filled slot to the consumer."""
        self._side(self._producer(), "push")
        emit("tpush_to_aiv" if self.direction == "c2v" else "tpush_to_aic", {"tile": entry.value}, (), self._attributes())

    def pop(self) -> View:
        """The next filled slot, as a view to load from; waits for it."""
        return self._entry("tpop_from_aic" if self.direction == "c2v" else "tpop_from_aiv", self._consumer())

    def free(self, entry: View | None = None) -> None:
        """Gives a slot back.  Without its entry the library reports nothing to the producer."""
        self._side(self._consumer(), "free")
        operands = {"entry": entry.value} if entry is not None else {}
        emit("tfree_from_aic" if self.direction == "c2v" else "tfree_from_aiv", operands, (), self._attributes())

    def _producer(self) -> str:
        return "cube" if self.direction == "c2v" else "vector"

    def _consumer(self) -> str:
        return "vector" if self.direction == "c2v" else "cube"

    def _side(self, kind: str, what: str) -> None:
        if current().section != kind:
            raise fail(f"pipe: {what} of a {self.direction} pipe belongs into the {kind} section; this is the {current().section or 'common'} part")

    def _attributes(self) -> dict[str, ir.Attribute]:
        number = ir.IntegerType.get_signless(32)
        return {"id": ir.IntegerAttr.get(number, self.id), "split": ir.IntegerAttr.get(number, SPLITS[self.split])}

    def _entry(self, op: str, kind: str) -> View:
        self._side(kind, "alloc" if "alloc" in op else "pop")
        rows, cols = self.shape
        if current().section == "vector":
            rows, cols = (rows // 2, cols) if self.split == "up_down" else (rows, cols // 2) if self.split == "left_right" else (rows, cols)
        result = emit(op, {}, (typed(t.View((rows, cols), self.dtype)),), self._attributes()).result
        return View(result, (rows, cols), self.dtype)
