"""What there is to know of a shipped kernel: its description, arguments, limits and cases, and what its compiled form says of itself."""

import inspect
import sys
from typing import Any

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import plain
from ptoc.dialect.pipe_facts import DIRECTIONS
from ptoc.frontend import Kernel
from ptoc.frontend.tensor import TensorSpec
from ptoc.machine.chip import Chip
from ptoc.passes.memory_plan import Plan
from ptoc.passes.plan_memory import plans_of_module
from ptoc.passes.tile_liveness import Buffer

from .arguments import kernel_values
from .compiled import Compiled
from .loading import Source, chip_of
from .running import Arranged, arrange, run_arranged

RUN_FACTS = ("chip", "cores", "arguments", "latency_us", "utilization", "commands", "sync")
RING_FACTS = ("name", "slot_num", "slot_size", "local_slot_num", "sync_period", "flag_base")


def brief(kernel: Kernel) -> dict[str, Any]:
    """What the list of kernels shows."""
    return {
        "name": kernel.name,
        "summary": kernel.doc,
        "arguments": [_argument(n, s) for n, s in kernel.tensors.items()],
        "sizes": list(kernel.sizes),
        "parameters": dict(kernel.parameters),
        "tolerance": kernel.tolerance,
        "cases": kernel.cases,
        "large_cases": sorted(kernel.large_cases),
    }


def _argument(name: str, spec: TensorSpec) -> dict[str, Any]:
    dtype = spec.dtype if isinstance(spec.dtype, str) else spec.dtype.name
    return {"name": name, "shape": list(spec.shape), "dtype": dtype, "output": spec.output, "stored_by": spec.order_by}


def full(kernel: Kernel, chip: str | None = None, case: str | None = None) -> dict[str, Any]:
    """What the kernel's page shows: compiled for a case (none: the first), on a chip (none: its own, else the default).

    Raises: ArgumentError for an unknown case, or PtocError of the stage that refuses the kernel.
    """
    arranged = arranged_case(kernel, case, chip)
    result = run_arranged(arranged, False)
    run = {key: value for key, value in result.to_json().items() if key in RUN_FACTS}
    compiled = {"case": case or next(iter(kernel.cases), None), **run, **effective(arranged.compile())}
    limits = [{"text": text, "beyond": beyond} for text, beyond in kernel.limits]
    chosen = {name: _chosen(kernel, name, arranged.chip) for name in kernel.cases}
    details = inspect.getdoc(kernel.function) or ""
    return brief(kernel) | {"description": description(kernel), "details": details, "limits": limits, "chosen": chosen, "compiled": compiled}


def _chosen(kernel: Kernel, case: str, chip: Chip) -> dict[str, Any]:
    """Parameters that the kernel itself chooses for a case, where they are not its defaults."""
    values = kernel_values(kernel, case, {}, chip)
    return {n: values[n] for n, default in kernel.parameters.items() if n not in kernel.cases[case] and values[n] != default}


def description(kernel: Kernel) -> str:
    """The docstring of the kernel's module."""
    module = sys.modules.get(kernel.function.__module__)
    return inspect.getdoc(module) or "" if module else ""


def arranged_case(kernel: Kernel, case: str | None, chip: str | None = None) -> Arranged:
    """A case of a kernel, ready for time alone."""
    source = Source(kernel.name, kernel)
    return arrange(source, chip_of(source, chip), {}, case, None, {}, None, values=False)


def effective(compiled: Compiled) -> dict[str, Any]:
    """What the passes made of the kernel: tiles with their slots and addresses by memory, rings between cores, remarks."""
    memories = [_memory(plan) for plan in plans_of_module(compiled.module, compiled.chip)]
    return {"memories": memories, "rings": _rings(compiled.module), "remarks": list(compiled.remarks)}


def _memory(plan: Plan) -> dict[str, Any]:
    placed = sorted(zip(plan.buffers, plan.blocks), key=lambda pair: (pair[1].address, pair[1].size))
    tiles = [{"address": block.address, "bytes": block.size, "slots": b.slots, "tile": _shape(b), "location": b.location} for b, block in placed]
    return {"memory": plan.memory, "used": max(block.end for block in plan.blocks), "capacity": plan.capacity, "tiles": tiles}


def _shape(buffer: Buffer) -> str:
    """Rows, columns and element type of a tile."""
    return f"{buffer.type.rows}x{buffer.type.cols}x{buffer.type.dtype}" if buffer.type else "reserved"


def _rings(module: ir.Module) -> list[dict[str, Any]]:
    """The slot pipes of a module, each once: both kinds of core make their side of it."""
    rings: dict[str, dict[str, Any]] = {}

    def visit(op: ir.Operation) -> ir.WalkResult:
        if "slot_num" in op.attributes and "dir_mask" in op.attributes:
            facts = {key: plain(op.attributes[key]) for key in RING_FACTS if key in op.attributes}
            facts["direction"] = DIRECTIONS[plain(op.attributes["dir_mask"])]
            rings.setdefault(str(facts.get("name", len(rings))), facts)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return list(rings.values())
