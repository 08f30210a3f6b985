"""Orchestrations: small kernels as tasks under a Python program, as a runtime on the chip's host would run them.

    tasks = ptoc.Tasks("ascend910b2", ring=64)
    x, y = tasks.tensor("x", array), tasks.zeros("y", (64, 128), ptoc.f32)
    for i in range(4):
        tasks.submit("rmsnorm", x=x[16 * i : 16 * i + 16], gain=g, y=y[16 * i : 16 * i + 16])
    result = tasks.finish()

What a task waits for follows from what it and those before it read and write (`dependences.py`), when it runs from dispatch, ring and cores
(`task_schedule.py`), how long it takes from the simulation of its kernel.  `finish` computes the values in the order of the schedule: a task reads when it
starts and writes when it ends, so that a dependence that was missed gives wrong numbers.

What is not modelled: that tasks on different cores share the bandwidth of the L2 and of global memory, and the time in which the dispatcher learns of
an end.  A part of a tensor that no task has touched before comes from global memory where the tensors together do not fit into the L2.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from ptoc.dialect.dtypes import DType
from ptoc.dialect.errors import ArgumentError
from ptoc.frontend import Kernel
from ptoc.machine.chip import Chip, load_chip
from ptoc.simulator.accesses import accesses_of
from ptoc.simulator.residency import MOST, all_hit

from .dependences import Dependences, Region
from .loading import Source, load_source
from .result import FS_PER_US
from .running import Prepared, prepare, run_values, time_program
from .task_schedule import Schedule, Work, schedule

RING = 64
"""Tasks in flight where nothing is said."""


@dataclass(frozen=True)
class Task:
    """A submitted task: its kernel with the regions by tensor name, and what it waits for."""

    kernel: str
    prepared: Prepared
    regions: dict[str, Region]
    work: Work


@dataclass
class TasksResult:
    """A run of an orchestration.  `tensors`: contents by name; empty for time alone."""

    chip: Chip
    tasks: list[Task]
    schedule: Schedule
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def makespan_us(self) -> float:
        """From the first dispatch to the end of the last task."""
        return self.schedule.makespan / FS_PER_US

    @property
    def stalled_us(self) -> float:
        """For how long the dispatcher waited for a place in the ring."""
        return self.schedule.stalled / FS_PER_US

    @cached_property
    def busy(self) -> dict[str, float]:
        """Part of the time for which the cores of each kind that ran anything were busy."""
        spans: dict[str, float] = {}
        used: dict[str, set[int]] = {}
        for task, cores in zip(self.tasks, self.schedule.cores):
            spans[task.work.kind] = spans.get(task.work.kind, 0) + task.work.fs * len(cores)
            used.setdefault(task.work.kind, set()).update(cores)
        return {kind: total / (len(used[kind]) * self.schedule.makespan) for kind, total in sorted(spans.items())}

    def of_kernel(self, name: str) -> list[int]:
        """Numbers of the tasks of a kernel."""
        return [number for number, task in enumerate(self.tasks) if task.kernel == name]


class Tasks:
    """Tasks that are submitted one after the other.  ring: most tasks in flight; values=False: time alone."""

    def __init__(self, chip: str | Chip = "ascend910b1", *, ring: int = RING, values: bool = True) -> None:
        if not isinstance(ring, int) or ring < 1:
            raise ArgumentError(f"Tasks: ring must be a whole number of at least 1; got {ring}")
        self.chip = load_chip(chip) if isinstance(chip, str) else chip
        self.ring, self.values = ring, values
        self._arrays: dict[str, np.ndarray] = {}
        self._known: dict[Any, Prepared] = {}
        self._times: dict[Any, int] = {}
        self._submitted: list[tuple[str, Prepared, dict[str, Region], tuple[int, ...], frozenset[str]]] = []
        self._dependences = Dependences()

    def tensor(self, name: str, array: np.ndarray) -> Region:
        """A tensor in global memory with given contents."""
        if name in self._arrays:
            raise ArgumentError(f"Tasks: there is a tensor '{name}' already")
        self._arrays[name] = np.ascontiguousarray(array)
        return Region.whole(name, self._arrays[name])

    def zeros(self, name: str, shape: tuple[int, ...], dtype: DType) -> Region:
        """A tensor of zeros."""
        return self.tensor(name, np.zeros(shape, dtype.numpy))

    def submit(self, kernel: Kernel | str, *, cores: int | None = None, **arguments: Any) -> int:
        """Adds a task and gives its number.  arguments: regions by tensor name, and parameters; sizes follow from the regions' shapes.

        Raises: ArgumentError where a region is missing, does not lie in one piece, or does not fit the kernel's tensor.
        """
        source = Source(kernel.name, kernel) if isinstance(kernel, Kernel) else load_source(kernel)
        if source.kernel is None:
            raise ArgumentError(f"Tasks: '{kernel}' is no Python kernel")
        regions = {n: arguments.pop(n) for n in source.kernel.tensors if n in arguments}
        prepared = self._prepared(source, regions, arguments, cores)
        outputs = set(prepared.arguments.outputs)
        reads, writes = ([r for n, r in regions.items() if (n in outputs) == out] for out in (False, True))
        fresh = frozenset(n for n, r in regions.items() if n not in outputs and not self._dependences.touched(r))
        after = self._dependences.add(len(self._submitted), reads, writes)
        self._submitted.append((source.name, prepared, regions, after, fresh))
        return len(self._submitted) - 1

    def finish(self) -> TasksResult:
        """Schedules all tasks, and computes their values in that order."""
        tasks = []
        for name, prepared, regions, after, fresh in self._submitted:
            kinds = {stream.core.kind for stream in prepared.program.streams}
            if len(kinds) > 1:
                raise ArgumentError(f"Tasks: kernel {name} runs on both kinds of core; a task runs on one")
            (kind,), blocks = kinds, prepared.arguments.blocks
            tasks.append(Task(name, prepared, regions, Work(kind, blocks, self._fs(prepared, fresh), after)))
        times = schedule([task.work for task in tasks], {k: self.chip.cores(k) for k in ("aic", "aiv")}, self.ring, self.chip.dispatch_fs)
        if self.values:
            self._compute(tasks, times)
        return TasksResult(self.chip, tasks, times, dict(self._arrays) if self.values else {})

    def _prepared(self, source: Source, regions: dict[str, Region], parameters: dict[str, Any], cores: int | None) -> Prepared:
        """The kernel elaborated for these shapes, parameters and integers; tasks that are alike share it."""
        kernel = source.kernel
        sizes: dict[str, int] = {}
        for name, spec in kernel.bound({**kernel.parameters, **parameters}).items():
            if name not in regions:
                raise ArgumentError(f"Tasks: kernel {kernel.name} needs a region for '{name}'")
            region = regions[name]
            if len(region.shape) != len(spec.extents):
                raise ArgumentError(f"Tasks: kernel {kernel.name}: '{name}' has {len(spec.extents)} axes; got {region}")
            if not region.contiguous:
                raise ArgumentError(f"Tasks: kernel {kernel.name}: '{name}' must lie in one piece; got {region}")
            for extent, size in zip(spec.extents, region.shape):
                if isinstance(extent, str) and sizes.setdefault(extent, size) != size:
                    raise ArgumentError(f"Tasks: kernel {kernel.name}: '{name}' makes size {extent} {size}, another tensor {sizes[extent]}; got {region}")
        inputs = {n: regions[n].array for n, spec in kernel.tensors.items() if not spec.output}
        for name, array in inputs.items():
            if array.dtype.kind in "iu" and self._dependences.written(regions[name]):
                raise ArgumentError(f"Tasks: kernel {kernel.name}: integers decide control and must be known before; a task writes {regions[name]}")
        integers = tuple(a.tobytes() for a in inputs.values() if a.dtype.kind in "iu")
        key = (source.name, id(kernel), tuple(sorted(sizes.items())), tuple(sorted(parameters.items())), cores, integers)
        if key not in self._known:
            defaults = kernel.parameters if kernel.specialize_function is None else {}
            self._known[key] = prepare(source, self.chip, {**defaults, **sizes, **parameters}, None, cores, inputs, None)
        return self._known[key]

    def _fs(self, prepared: Prepared, fresh: frozenset[str]) -> int:
        """Time of a task on its own, its fresh inputs from global memory."""
        footprint = {name: array.nbytes for name, array in self._arrays.items()}
        cold = frozenset() if all_hit(footprint, self.chip.number("shared.l2_effective"), True) else fresh
        key = (id(prepared), cold)
        if key not in self._times:
            self._times[key] = time_program(prepared.program, self.chip, hits=_misses(prepared, cold)).makespan
        return self._times[key]

    def _compute(self, tasks: list[Task], times: Schedule) -> None:
        """Values: a task reads its inputs when it starts; its outputs are there when it ends."""
        events = sorted([(t, 1, n) for n, t in enumerate(times.start)] + [(t, 0, n) for n, t in enumerate(times.end)])
        made: dict[int, dict[str, np.ndarray]] = {}
        for _, starts, number in events:
            task = tasks[number]
            if not starts:
                for name, array in made.pop(number).items():
                    task.regions[name].array[...] = array
                continue
            arrays = {n: task.regions[n].array.copy() for n in task.prepared.arguments.arrays}
            prepared = replace(task.prepared, arguments=replace(task.prepared.arguments, arrays=arrays))
            made[number] = run_values(prepared, time_program(prepared.program, self.chip))


def _misses(prepared: Prepared, cold: frozenset[str]) -> dict[int, float]:
    """Sites whose transfers read tensors that come from global memory."""
    names = {f"gm:{name}" for name in cold}
    return {way.site: 0.0 for way in accesses_of(prepared.program, MOST).ways if way.memory in names and not way.writes} if names else {}
