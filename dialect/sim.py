"""The simulator IR: dialect `sim`, one function per kind of core, loops kept, one command per op that an engine runs.

Address arithmetic stays arith, loops stay scf.  Numbers are SSA values, so that a hand-written or edited text simulates as it stands.
"""

from collections.abc import Sequence
from typing import Any

from .mlir import ext, ir
from .op import PtoOp

Operand, Result = ir.Value, ir.OpResult

SIM_REGISTRY: dict[str, type["SimOp"]] = {}
"""Op classes by full name (`sim.command`)."""


class Sim(ext.Dialect, name="sim"):
    """The simulator dialect."""


class MemoryType(Sim.Type, name="memory"):
    """A pointer into a tensor in global memory."""

    text: ir.StringAttr


class RefType(Sim.Type, name="ref"):
    """A typed region of a memory."""

    text: ir.StringAttr


class ChannelType(Sim.Type, name="ring"):
    """A slot pipe between the cores of a block."""

    text: ir.StringAttr


def sim_type(mnemonic: str, text: str = "") -> ir.Type:
    """`!sim.<mnemonic><text>` in the current context."""
    return {"memory": MemoryType, "ref": RefType, "ring": ChannelType}[mnemonic].get(ir.StringAttr.get(text))


class SimOp(Sim.Operation):
    """Base of the simulator's ops; `format` as in the pto dialect."""

    format = ""
    spelling = ""
    operand_types = {}
    result_types = {}

    def __init_subclass__(cls, *, name: str | None = None, **kwargs: Any) -> None:
        if name is None:
            super().__init_subclass__(**kwargs)
            return
        super().__init_subclass__(name=name, **kwargs)
        cls.spelling = f"sim.{name}"
        SIM_REGISTRY[cls.spelling] = cls

    # The bindings allow one base class only, so what fields tell is taken over by name.
    operand_names = PtoOp.__dict__["operand_names"]
    result_names = PtoOp.__dict__["result_names"]
    segments = PtoOp.__dict__["segments"]


class TileRegion(SimOp, name="tile", traits=[ext.Pure]):
    """A tile stored at byte `address` of an on-chip memory, its valid part v_rows x v_cols elements.

    Attributes: memory, dtype, rows, cols, blayout, slayout, fractal.  In a slot of a ring: ring, owner (the consumer core's number); of a
    link: ring, axis, and `toward`, the direction of the neighbour whose slot it is (none: this block's own).
    """

    address: Operand[Any]
    v_rows: Operand[Any]
    v_cols: Operand[Any]
    result: Result[RefType]
    format = "$memory `[` $address `]` `valid` `(` $v_rows `,` $v_cols `)` attr-dict"
    operand_types = dict.fromkeys(("address", "v_rows", "v_cols"), "index")
    result_types = {"result": "!sim.ref<>"}


class PartRegion(SimOp, name="part", traits=[ext.Pure]):
    """The region of a tile from element (row, col) on, v_rows x v_cols elements."""

    source: Operand[RefType]
    row: Operand[Any]
    col: Operand[Any]
    v_rows: Operand[Any]
    v_cols: Operand[Any]
    result: Result[RefType]
    format = "$source `at` `(` $row `,` $col `)` `valid` `(` $v_rows `,` $v_cols `)` attr-dict"
    operand_types = {"source": "!sim.ref<>"} | dict.fromkeys(("row", "col", "v_rows", "v_cols"), "index")
    result_types = {"result": "!sim.ref<>"}


class ReshapeRegion(SimOp, name="reshape", traits=[ext.Pure]):
    """The bytes of a tile as another one: dtype, rows, cols, blayout, slayout, fractal."""

    source: Operand[RefType]
    v_rows: Operand[Any]
    v_cols: Operand[Any]
    result: Result[RefType]
    format = "$source `valid` `(` $v_rows `,` $v_cols `)` attr-dict"
    operand_types = {"source": "!sim.ref<>", "v_rows": "index", "v_cols": "index"}
    result_types = {"result": "!sim.ref<>"}


class AdvancePointer(SimOp, name="advance", traits=[ext.Pure]):
    """A pointer `offset` * `unit` bytes further on in its tensor."""

    pointer: Operand[MemoryType]
    offset: Operand[Any]
    result: Result[MemoryType]
    format = "$pointer `by` $offset attr-dict `:` type($pointer) `->` type($result)"
    operand_types = {"offset": "index"}
    result_types = {"result": "!sim.memory<>"}


class ViewRegion(SimOp, name="view", traits=[ext.Pure]):
    """A region of global memory: element (i0, ..) lies at pointer + sum(i_k * strides_k) elements of `dtype`."""

    pointer: Operand[MemoryType]
    sizes: Sequence[Operand[Any]]
    strides: Sequence[Operand[Any]]
    result: Result[RefType]
    format = "$pointer `sizes` `[` $sizes `]` `strides` `[` $strides `]` attr-dict `:` type($pointer)"
    operand_types = {"sizes": "index", "strides": "index"}
    result_types = {"result": "!sim.ref<>"}


class SliceRegion(SimOp, name="slice", traits=[ext.Pure]):
    """The part of a region of global memory from `offsets` on, of the given sizes."""

    source: Operand[RefType]
    offsets: Sequence[Operand[Any]]
    sizes: Sequence[Operand[Any]]
    result: Result[RefType]
    format = "$source `at` `[` $offsets `]` `sizes` `[` $sizes `]` attr-dict"
    operand_types = {"source": "!sim.ref<>", "offsets": "index", "sizes": "index"}
    result_types = {"result": "!sim.ref<>"}


class NumberOp(SimOp, name="number", traits=[ext.Pure]):
    """A number as an operand of a command."""

    value: Operand[Any]
    result: Result[RefType]
    format = "$value attr-dict `:` type($value)"
    result_types = {"result": "!sim.ref<>"}


class CommandOp(SimOp, name="command"):
    """One command: what it means (`op`), the engine, its operands by name, what it reads and writes, its work, attributes of the op."""

    operands_: Sequence[Operand[Any]]
    format = "$op `on` $pipe `(` $operands_ `)` attr-dict"
    operand_types = {"operands_": "!sim.ref<>"}


class FetchOp(SimOp, name="fetch"):
    """A command that gives a number to the scalar unit; otherwise as `sim.command`."""

    operands_: Sequence[Operand[Any]]
    result: Result[Any]
    format = "$op `on` $pipe `(` $operands_ `)` attr-dict `->` type($result)"
    operand_types = {"operands_": "!sim.ref<>"}


class SetOp(SimOp, name="set"):
    """Raises flag `id` of (pipe -> peer) when all earlier commands of `pipe` are complete."""

    id: Operand[Any]
    format = "$pipe `to` $peer `id` $id attr-dict"
    operand_types = {"id": "index"}


class WaitOp(SimOp, name="wait"):
    """Holds `peer` until flag `id` of (pipe -> peer) is raised, and clears it."""

    id: Operand[Any]
    format = "$pipe `to` $peer `id` $id attr-dict"
    operand_types = {"id": "index"}


class BarrierOp(SimOp, name="barrier"):
    """Holds `pipe` until its earlier commands are complete; ALL holds the scalar unit until every pipe is drained."""

    format = "$pipe attr-dict"


class ChannelOp(SimOp, name="channel"):
    """A slot pipe: channel (its name), producer (aic | aiv), slots, slot_bytes, period (slots per acknowledgement), flag_ready, flag_free.

    With `link`, a direction of travel, and `axis` it leads from each block to its neighbour in that direction.
    """

    result: Result[ChannelType]
    format = "attr-dict"
    result_types = {"result": "!sim.ring<>"}


class AcquireOp(SimOp, name="acquire"):
    """Takes the next slot, waiting (on a3 the scalar unit, on a5 `pipe`) where it is not known to be free; gives its byte offset in the ring."""

    channel: Operand[ChannelType]
    slot: Result[Any]
    format = "$channel attr-dict"
    operand_types = {"channel": "!sim.ring<>"}
    result_types = {"slot": "index"}


class PushOp(SimOp, name="push"):
    """Signals the consumer from `pipe` that the slot last acquired is filled."""

    channel: Operand[ChannelType]
    format = "$channel `on` $pipe attr-dict"
    operand_types = {"channel": "!sim.ring<>"}


class TakeOp(SimOp, name="take"):
    """Waits for the next filled slot; gives its byte offset in the ring."""

    channel: Operand[ChannelType]
    slot: Result[Any]
    format = "$channel attr-dict"
    operand_types = {"channel": "!sim.ring<>"}
    result_types = {"slot": "index"}


class LocalOp(SimOp, name="local"):
    """Byte offset of the slot last taken in a local buffer of `slots` slots."""

    channel: Operand[ChannelType]
    offset: Result[Any]
    format = "$channel attr-dict"
    operand_types = {"channel": "!sim.ring<>"}
    result_types = {"offset": "index"}


class ReleaseOp(SimOp, name="release"):
    """Gives the oldest taken slot back: every `period` slots a signal from `pipe`.  With `unnamed` nothing is signalled, as in the library."""

    channel: Operand[ChannelType]
    format = "$channel `on` $pipe attr-dict"
    operand_types = {"channel": "!sim.ring<>"}


class SignalOp(SimOp, name="signal"):
    """Raises cross-core flag `id` from `pipe` for the peer cores of the block."""

    id: Operand[Any]
    format = "$pipe `id` $id attr-dict"
    operand_types = {"id": "index"}


class AwaitOp(SimOp, name="await"):
    """Waits for cross-core flag `id`: on a3 the scalar unit, on a5 `pipe`."""

    id: Operand[Any]
    format = "$pipe `id` $id attr-dict"
    operand_types = {"id": "index"}


class IdsOp(SimOp, name="ids"):
    """An array of `size` numbers, none of them set."""

    result: Result[ChannelType]
    format = "attr-dict"
    result_types = {"result": "!sim.ring<>"}


class PutOp(SimOp, name="put"):
    """ids[index] = value."""

    ids: Operand[ChannelType]
    index: Operand[Any]
    value: Operand[Any]
    format = "$ids `[` $index `]` `,` $value attr-dict"
    operand_types = {"ids": "!sim.ring<>", "index": "index", "value": "index"}


class GetOp(SimOp, name="get"):
    """ids[index]."""

    ids: Operand[ChannelType]
    index: Operand[Any]
    result: Result[Any]
    format = "$ids `[` $index `]` attr-dict"
    operand_types = {"ids": "!sim.ring<>", "index": "index"}
    result_types = {"result": "index"}


class IdOp(SimOp, name="id", traits=[ext.Pure]):
    """A number of this core: of = block_idx, block_num, subblock_idx or subblock_num."""

    result: Result[Any]
    format = "$of attr-dict"
    result_types = {"result": "index"}


__all__ = ["SIM_REGISTRY", "Sim", "sim_type"]
