"""Random kernels through the whole pipeline: values of the schedule are those of program order, and the synchronisation is needed.

2,000 programs, in shards so that both cores of a small machine have work.  PTOC_EXAMPLES=N runs N examples in each shard,
PTOC_SHRINK=1 makes a failing one smaller, which takes minutes.
"""

import os
import re
import sys
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from ptoc.dialect import assembly
from ptoc.dialect.sim_text import sim_to_text
from ptoc.frontend import Kernel
from ptoc.loading import Source
from ptoc.lowering import lower
from ptoc.machine.chip import load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.machine.pricing import price, sync_costs
from ptoc.pricing import prices_of
from ptoc.running import Arranged, Prepared, arrange, compare_adverse, memories_of, prepare, run_values, time_program
from ptoc.simulator.accesses import accesses_of
from ptoc.simulator.check import check, check_without
from ptoc.simulator.elaborate import elaborate
from ptoc.simulator.engine import Costs, run, run_reference
from ptoc.simulator.plan import plan
from ptoc.simulator.program import Program
from ptoc.simulator.residency import MOST
from ptoc.simulator.streams import moves_of_forms, program_of_forms
from ptoc.simulator.work import meanings

sys.path.insert(0, str(Path(__file__).parent))

from program_order import run_in_program_order
from random_kernels import Example, cube_examples, pipe_examples, vector_examples

EXAMPLES = int(os.environ.get("PTOC_EXAMPLES", "0"))
PHASES = tuple(Phase) if os.environ.get("PTOC_SHRINK") else (Phase.explicit, Phase.generate)
CHIP = load_chip("ascend910b1")


def kernel_of(example: Example) -> Kernel:
    scope: dict = {}
    exec(compile(example.source, "k.py", "exec"), scope)
    return scope["k"]


def prepared(example: Example) -> Prepared:
    return prepare(Source("k", kernel_of(example)), CHIP, dict(example.sizes), None, example.cores, {}, "insert")


def text_again(whole: Prepared) -> None:
    """The `.pto` text, read back, prints as the same text and lowers to the same simulator IR, source lines apart."""
    module = assembly.parse(whole.compiled.pto, "k.pto")
    assert assembly.to_text(module) == whole.compiled.pto
    assert without_lines(sim_to_text(lower(module))) == without_lines(whole.compiled.sim)


def without_lines(text: str) -> str:
    return re.sub(r"k\.(py|pto):[0-9:]+", "", text)


def outputs(whole: Prepared, memories: object) -> dict[str, np.ndarray]:
    arrays = whole.arguments.arrays
    return {n: memories.array(f"gm:{n}", arrays[n].dtype, arrays[n].shape) for n in whole.arguments.outputs}


def same_accesses(whole: Program, arranged: Arranged) -> None:
    """The access forms give what the commands touch, all of it and of a part."""
    timed = program_of_forms(arranged.timed.forms, arranged.extents, arranged.arguments.blocks, {}, arranged.fill)
    for most in (MOST, 40):
        one, other = accesses_of(whole, most), moves_of_forms(arranged.timed.forms, timed, arranged.extents, most)
        assert one.looked_at == other.looked_at
        for mine, theirs in zip(one.cores, other.cores):
            assert [(one.ways[way], *rest) for way, *rest in mine.tolist()] == [(other.ways[way], *rest) for way, *rest in theirs.tolist()]


def time_sees_the_same(example: Example, whole: Prepared) -> None:
    """The form that time alone uses has the same commands, and the reference engine gives them the same times."""
    arranged = arrange(Source("k", kernel_of(example)), CHIP, dict(example.sizes), None, example.cores, {}, "insert", values=False)
    program = elaborate(whole.compiled.simulator_ir, "k", arranged.extents, arranged.arguments.blocks, timed=True)
    for stream, full in zip(program.streams, whole.program.streams):
        seen = [(row[0].index, *row[1:]) for row in (program.codes.rows[code] for code in stream.track.codes.tolist())]
        assert seen == [(command.site.index, command.flag, command.work) for command in full.commands]
    planned = plan(program, prices_of(program, {}, partial(price, CHIP), CHIP), Costs(**sync_costs(CHIP)._asdict()))
    if arranged.timed.forms.moves is not None:
        same_accesses(whole.program, arranged)
    slow = run_reference(planned)
    for timeline in (run(planned), time_program(whole.program, CHIP)):
        for one, other in ((timeline.start, slow.start), (timeline.end, slow.end), (timeline.complete, slow.complete)):
            assert all(np.array_equal(a, b) for a, b in zip(one, other))


def prove_example(example: Example) -> None:
    whole = prepared(example)
    report = check(whole.program, needs_barrier, redundancy=True)
    assert report.ok, [*map(str, report.missing), *report.misuse, report.deadlock]
    memories = memories_of(whole)
    run_in_program_order(whole.program, memories, meanings())
    wanted = outputs(whole, memories)
    got = run_values(whole, time_program(whole.program, CHIP))
    for name, array in wanted.items():
        assert array.tobytes() == got[name].tobytes(), f"'{name}' differs from program order"
    compare_adverse(whole, wanted)
    if zlib.crc32(example.source.encode()) % 8 == 0:  # what does not depend on the order of commands: an eighth of them will do
        time_sees_the_same(example, whole)
        assert whole.compiled.pto == prepared(example).compiled.pto
        text_again(whole)
    spare = {u.unit for u in (*report.redundant, *report.idle)}
    ends = {s.unit for s in whole.program.sites if s.role == "end"}
    for unit in sorted({s.unit for s in whole.program.sites if s.unit >= 0 and not s.role} - spare - ends):
        assert not check_without(whole.program, unit, needs_barrier).ok


def prove_examples(kind: SearchStrategy[Example], shard: int, count: int) -> None:
    """Proves `count` examples that are the same in each run, others than those of other shards."""

    @seed(shard)
    @settings(max_examples=EXAMPLES or count, phases=PHASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
    @given(kind)
    def proven(example: Example) -> None:
        prove_example(example)

    proven()


SHARDS = pytest.mark.parametrize("shard", range(10))


@SHARDS
def test_vector_kernels(shard: int) -> None:
    prove_examples(vector_examples(), shard, 80)


@SHARDS
def test_cube_kernels(shard: int) -> None:
    prove_examples(cube_examples(), shard, 60)


@SHARDS
def test_pipe_kernels(shard: int) -> None:
    prove_examples(pipe_examples(), shard, 60)
