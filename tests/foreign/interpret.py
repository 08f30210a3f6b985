"""A plain numpy reading of unscheduled `.pto` modules: program order, no engines, no synchronisation, no physical layouts.

A tile is a numpy view of bytes: of its own where it has no address, else of the memory that it names, at its address, so that tiles
that overlap on purpose do.  Boxed tiles lie in rows, like all others but column-major ones.  What an op means is written here from its
documentation, not taken from the compiler.  Cores of a block take turns: one runs until it waits for a tile that is not there yet.
"""

import operator
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ptoc.dialect import types as t
from ptoc.dialect.mlir import func, ir
from ptoc.dialect.op import REGISTRY, Record, plain, record

from .meanings import MEANINGS

MEMORY_BYTES = 1 << 20

COMPARE = ["eq", "ne", "lt", "le", "gt", "ge", "lt", "le", "gt", "ge"]
INTEGER = {
    "addi": lambda a, b: a + b, "subi": lambda a, b: a - b, "muli": lambda a, b: a * b, "minsi": min, "maxsi": max,
    "divsi": lambda a, b: int(a / b), "remsi": lambda a, b: a - b * int(a / b), "floordivsi": lambda a, b: a // b,
    "divui": lambda a, b: a // b, "remui": lambda a, b: a % b, "ceildivsi": lambda a, b: -(-a // b),
    "andi": lambda a, b: a & b, "ori": lambda a, b: a | b, "xori": lambda a, b: a ^ b, "addf": lambda a, b: a + b,
    "subf": lambda a, b: a - b, "mulf": lambda a, b: a * b, "divf": lambda a, b: a / b,
}  # fmt: skip
SAME = ("index_cast", "index_castui", "extsi", "extui", "trunci", "extf", "truncf")


@dataclass
class Pointer:
    """A tensor's elements and an offset into them."""

    data: np.ndarray
    offset: int = 0


@dataclass
class View:
    """Elements of a tensor at offset + sum(index * stride)."""

    data: np.ndarray
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def places(self) -> np.ndarray:
        """Element numbers, in the view's shape."""
        result = np.array(self.offset)
        for axis, (n, stride) in enumerate(zip(self.shape, self.strides)):
            result = result[..., None] + (np.arange(n) * stride).reshape((1,) * axis + (n,))
        if result.size and (result.min() < 0 or result.max() >= self.data.size):
            raise IndexError(f"a view reaches element {result.max()} of a tensor of {self.data.size}")
        return result


@dataclass
class Tile:
    """Bytes as rows x cols elements, of which `valid` count."""

    kind: t.Tile
    bytes: np.ndarray
    valid: tuple[int, int]
    strides: tuple[int, int] | None = None

    def whole(self) -> np.ndarray:
        """All elements, as a view of the bytes."""
        size, rows, cols = self.kind.dtype.bytes, self.kind.rows, self.kind.cols
        columns = self.kind.blayout == "col_major" and self.kind.slayout == "none_box"
        strides = self.strides or ((size, rows * size) if columns else (cols * size, size))
        return np.ndarray((rows, cols), self.kind.dtype.numpy, self.bytes, 0, strides)

    def array(self) -> np.ndarray:
        """The valid elements, as a view of the bytes."""
        return self.whole()[: self.valid[0], : self.valid[1]]


@dataclass
class Core:
    """One core: its kind, number among its kind in the block, and memories."""

    kind: str
    sub: int
    memories: dict[str, np.ndarray] = field(default_factory=dict)

    def at(self, memory: str, address: int, size: int) -> np.ndarray:
        """Bytes of a memory."""
        if memory not in self.memories:
            self.memories[memory] = np.zeros(MEMORY_BYTES, np.uint8)
        return self.memories[memory][address : address + size]


class Interpreter:
    """Runs one kernel of a module on one block."""

    def __init__(self, module: ir.Module, arrays: dict[str, np.ndarray]) -> None:
        self.functions = {f.name.value: f for f in module.body.operations if isinstance(f, func.FuncOp)}
        self.arrays = arrays
        self.queues: dict[tuple[int, str, int], deque] = {}
        self.slots: dict[int, list] = {}
        self.moves = 0

    def run(self, kernel: str, values: list[Any], kinds: tuple[str, ...], vectors: int) -> None:
        """Runs all cores of a block to their ends.  values: arguments in order, arrays (changed in place) and numbers."""
        self.vectors = vectors
        cores = [Core("aic", 0)] if "aic" in kinds else []
        cores += [Core("aiv", sub) for sub in range(self.vectors)] if "aiv" in kinds else []
        waiting = [self.call(core, kernel, values) for core in cores]
        while waiting:
            still = []
            before = self.moves
            for run in waiting:
                try:
                    next(run)
                    still.append(run)
                except StopIteration:
                    self.moves += 1
            assert self.moves > before, "the cores wait for each other"
            waiting = still

    def call(self, core: Core, name: str, values: list[Any]) -> Iterator[bool]:
        """The body of a function; yields where it waits for another core."""
        function = self.functions[name]
        kind = plain(function.attributes["pto.kernel_kind"]) if "pto.kernel_kind" in function.attributes else None
        if kind and {"cube": "aic", "vector": "aiv"}[kind] != core.kind:
            return
        known = {a: Pointer(v.reshape(-1)) if isinstance(v, np.ndarray) else v for a, v in zip(function.arguments, values)}
        yield from self.block(core, function.entry_block, known)

    def block(self, core: Core, block: ir.Block, known: dict) -> Iterator[bool]:
        """The ops of a block; the values of its terminator are left in known["yield"]."""
        for view in block.operations:
            op = view.operation
            if op.name in ("scf.yield", "func.return", "scf.condition"):
                known["yield"] = [known[v] for v in op.operands]
            elif op.name.startswith("scf."):
                yield from self.structure(core, op, known)
            elif op.name == "func.call":
                values = [v.data if isinstance(v, Pointer) else v for v in (known[o] for o in op.operands)]
                yield from self.call(core, ir.FlatSymbolRefAttr(op.attributes["callee"]).value, values)
            elif op.name in ("pto.section_cube", "pto.section_vector"):
                if {"pto.section_cube": "aic", "pto.section_vector": "aiv"}[op.name] == core.kind:
                    yield from self.block(core, op.regions[0].blocks[0], known)
            elif op.name.startswith("arith."):
                known[op.results[0]] = self.number(op, [known[v] for v in op.operands])
            elif op.name in REGISTRY:
                yield from self.op(core, record(op), known)
            else:
                raise NotImplementedError(op.name)

    def structure(self, core: Core, op: ir.Operation, known: dict) -> Iterator[bool]:
        """A loop or a branch."""
        if op.name == "scf.if":
            taken = 0 if known[op.operands[0]] else 1
            known["yield"] = []
            if len(op.regions[taken].blocks):
                yield from self.block(core, op.regions[taken].blocks[0], known)
            known.update(zip(op.results, known["yield"]))
        elif op.name == "scf.for":
            low, high, step, *carried = (known[v] for v in op.operands)
            block = op.regions[0].blocks[0]
            for i in range(low, high, step):
                known.update(zip(block.arguments, [i, *carried]))
                yield from self.block(core, block, known)
                carried = known["yield"]
            known.update(zip(op.results, carried))
        else:
            before, after = (region.blocks[0] for region in op.regions)
            carried = [known[v] for v in op.operands]
            while True:
                known.update(zip(before.arguments, carried))
                yield from self.block(core, before, known)
                go, *passed = known["yield"]
                if not go:
                    break
                known.update(zip(after.arguments, passed))
                yield from self.block(core, after, known)
                carried = known["yield"]
            known.update(zip(op.results, passed))

    def number(self, op: ir.Operation, values: list[Any]) -> Any:
        """A result of arith."""
        name = op.name.removeprefix("arith.")
        if name == "constant":
            return plain(op.attributes["value"])
        if name in ("cmpi", "cmpf"):
            return bool(getattr(operator, COMPARE[plain(op.attributes["predicate"])])(*values))
        if name == "select":
            return values[1] if values[0] else values[2]
        if name in ("sitofp", "uitofp"):
            return float(values[0])
        return values[0] if name in SAME else INTEGER[name](*values)

    def op(self, core: Core, rec: Record, known: dict) -> Iterator[bool]:
        """One op of the dialect."""
        name = rec.op.name.removeprefix("pto.")
        own = getattr(self, f"_{name}", None)
        if own is not None:
            result = own(core, rec, known)
            if isinstance(result, Iterator):
                yield from result
            return
        values = {n: _plain(known[v]) for n, v in rec.operands.items()}
        for target, value in MEANINGS[name](values, rec).items():
            _store(known[rec.operands[target]], value)

    # structure

    def _tile(self, core: Core, rec: Record, known: dict, kind: t.Tile, address: int | None) -> Tile:
        sizes = [known[rec.operands[k]] if v is None else v for k, v in zip(("valid_row", "valid_col"), kind.valid)]
        data = np.zeros(kind.bytes, np.uint8) if address is None else core.at(kind.memory, address, kind.bytes)
        return Tile(kind, data, tuple(sizes))

    def _alloc_tile(self, core: Core, rec: Record, known: dict) -> None:
        address = known[rec.operands["addr"]] if "addr" in rec.operands else None
        known[rec.results["result"]] = self._tile(core, rec, known, rec.tile("result"), address)

    def _set_validshape(self, core: Core, rec: Record, known: dict) -> None:
        known[rec.operands["source"]].valid = (known[rec.operands["valid_row"]], known[rec.operands["valid_col"]])

    def _subview(self, core: Core, rec: Record, known: dict) -> None:
        source, kind = known[rec.operands["source"]], rec.tile("result")
        row, col = (known[v] for v in rec.operands["offsets"])
        assert kind.slayout == "none_box", "the interpreter takes parts of unboxed tiles only"
        whole = source.whole()
        first = row * whole.strides[0] + col * whole.strides[1]
        sizes = [known[rec.operands[k]] if v is None else v for k, v in zip(("valid_row", "valid_col"), kind.valid)]
        part = whole[row : row + sizes[0], col : col + sizes[1]]
        known[rec.results["result"]] = Tile(replace(kind, rows=part.shape[0], cols=part.shape[1]), source.bytes[first:], tuple(sizes), whole.strides)

    def _treshape(self, core: Core, rec: Record, known: dict) -> None:
        known[rec.results["result"]] = replace(self._tile(core, rec, known, rec.tile("result"), None), bytes=known[rec.operands["src"]].bytes)

    def _make_tensor_view(self, core: Core, rec: Record, known: dict) -> None:
        pointer = known[rec.operands["ptr"]]
        sizes, strides = (tuple(known[v] for v in rec.operands[k]) for k in ("shape", "strides"))
        known[rec.results["result"]] = View(pointer.data, pointer.offset, sizes, strides)

    def _partition_view(self, core: Core, rec: Record, known: dict) -> None:
        source = known[rec.operands["source"]]
        offsets, sizes = (tuple(known[v] for v in rec.operands[k]) for k in ("offsets", "sizes"))
        offset = source.offset + sum(o * s for o, s in zip(offsets, source.strides))
        known[rec.results["result"]] = View(source.data, offset, sizes, source.strides)

    def _load_scalar(self, core: Core, rec: Record, known: dict) -> None:
        pointer = known[rec.operands["ptr"]]
        known[rec.results["value"]] = pointer.data[pointer.offset + known[rec.operands["offset"]]].item()

    def _tgetval(self, core: Core, rec: Record, known: dict) -> None:
        order = "F" if rec.tile("src").blayout == "col_major" else "C"
        known[rec.results["dst"]] = known[rec.operands["src"]].whole().reshape(-1, order=order)[known[rec.operands["offset"]]].item()

    def _addptr(self, core: Core, rec: Record, known: dict) -> None:
        pointer = known[rec.operands["ptr"]]
        known[rec.results["result"]] = Pointer(pointer.data, pointer.offset + known[rec.operands["offset"]])

    def _get_block_idx(self, core: Core, rec: Record, known: dict) -> None:
        known[rec.results["result"]] = 0

    def _get_block_num(self, core: Core, rec: Record, known: dict) -> None:
        known[rec.results["result"]] = 1

    def _get_subblock_idx(self, core: Core, rec: Record, known: dict) -> None:
        known[rec.results["result"]] = core.sub

    def _get_subblock_num(self, core: Core, rec: Record, known: dict) -> None:
        known[rec.results["result"]] = self.vectors

    def _nothing(self, core: Core, rec: Record, known: dict) -> None:
        known.update((value, 0) for value in rec.results.values())

    _set_flag = _wait_flag = _barrier = _record_event = _wait_event = _barrier_sync = _tprint = _nothing
    _sync_set = _sync_wait = _get_buf = _rls_buf = _reserve_buffer = _import_reserved_buffer = _nothing
    _tfree_from_aic = _tfree_from_aiv = _nothing

    # pipes: queues without an end, one for each vector core and direction; the cube's tiles also go where the pipe's slots lie

    def _aic_initialize_pipe(self, core: Core, rec: Record, known: dict) -> None:
        if "gm_slot_buffer" in rec.operands:
            slots = rec.attributes.get("slot_num", 4 if rec.attributes["dir_mask"] == 3 else 8)
            self.slots[rec.attributes.get("id", 0)] = [known[rec.operands["gm_slot_buffer"]], rec.attributes["slot_size"], slots, 0]

    def _aiv_initialize_pipe(self, core: Core, rec: Record, known: dict) -> None:
        """Nothing: what the cube says counts."""

    def _queue(self, rec: Record, direction: str, sub: int) -> deque:
        return self.queues.setdefault((rec.attributes.get("id", 0), direction, sub), deque())

    def _tpush_to_aiv(self, core: Core, rec: Record, known: dict) -> None:
        tile, split = known[rec.operands["tile"]].array(), rec.attributes.get("split", 0)
        parts = [tile, tile] if not split else np.split(tile, 2, axis=split - 1)
        for sub, part in enumerate(parts):
            self._queue(rec, "c2v", sub).append(part.copy())
        self.moves += 1
        slot = self.slots.get(rec.attributes.get("id", 0))
        if slot is not None:
            pointer, size, count, index = slot
            begin = pointer.offset + index % count * size // tile.itemsize
            pointer.data[begin : begin + tile.size] = tile.reshape(-1)
            slot[3] += 1

    def _tpush_to_aic(self, core: Core, rec: Record, known: dict) -> None:
        self._queue(rec, "v2c", core.sub).append(known[rec.operands["tile"]].array().copy())
        self.moves += 1

    def _tpop_from_aic(self, core: Core, rec: Record, known: dict) -> Iterator[bool]:
        queue = self._queue(rec, "c2v", core.sub)
        while not queue:
            yield False
        self._popped(core, rec, known, queue.popleft())

    def _tpop_from_aiv(self, core: Core, rec: Record, known: dict) -> Iterator[bool]:
        queues, split = [self._queue(rec, "v2c", sub) for sub in range(self.vectors)], rec.attributes.get("split", 0)
        while not all(queues):
            yield False
        parts = [queue.popleft() for queue in queues]
        self._popped(core, rec, known, np.concatenate(parts, axis=split - 1) if split else parts[0])

    def _popped(self, core: Core, rec: Record, known: dict, array: np.ndarray) -> None:
        tile = self._tile(core, rec, known, rec.tile("tile"), None)
        known[rec.results["tile"]] = tile
        _store(tile, array)
        self.moves += 1


def _plain(value: Any) -> Any:
    if isinstance(value, Tile):
        return value.array()
    return value.data[value.places()] if isinstance(value, View) else value


def _store(target: Tile | View, value: np.ndarray) -> None:
    if isinstance(target, View):
        places = target.places()
        target.data[places] = value.reshape(places.shape).astype(target.data.dtype)
        return
    target.array()[...] = value.reshape(target.array().shape).astype(target.kind.dtype.numpy)
