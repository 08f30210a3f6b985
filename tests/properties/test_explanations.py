"""Random kernels: the parts of an explanation sum to the kernel's time, and pricing again with a factor of 1 changes nothing.

PTOC_EXAMPLES=N runs N examples of each kind.
"""

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy, one_of

from ptoc.explain_text import LINES, describe_explanation, explanation_json
from ptoc.frontend import Kernel
from ptoc.loading import Source
from ptoc.machine.chip import load_chip
from ptoc.running import run_compiled

sys.path.insert(0, str(Path(__file__).parent))

from random_kernels import Example, cube_examples, pipe_examples, vector_examples

EXAMPLES = int(os.environ.get("PTOC_EXAMPLES", "0"))
CHIP = load_chip("ascend910b1")
KINDS: SearchStrategy[Example] = one_of(vector_examples(), cube_examples(), pipe_examples())


def kernel_of(example: Example) -> Kernel:
    scope: dict = {}
    exec(compile(example.source, "k.py", "exec"), scope)
    return scope["k"]


@settings(max_examples=EXAMPLES or 60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False)
@given(KINDS)
def test_explanations_sum_up(example: Example) -> None:
    result = run_compiled(Source("k", kernel_of(example)), CHIP, dict(example.sizes), None, example.cores, {}, False, False, False, "insert")
    found = result.explain()
    told = explanation_json(found)
    whole = result.timeline.makespan
    assert sum(segment.end - segment.begin for segment in found.path) == whole
    assert [segment.begin for segment in found.path] == [0, *(segment.end for segment in found.path[:-1])]
    assert all(sum(engine["spent"].values()) == whole for engine in told["engines"])
    assert all(engine["slack"] is None or 0 <= engine["slack"] <= engine["median_slack"] for engine in told["engines"])
    assert 0 < sum(entry["time"] for entry in told["critical_path"]["by_line"]) == whole
    assert len(describe_explanation(found).splitlines()) <= LINES
    same = result.what_if("cube=1x,vector=1x,mte2=1x,l2=1x,hbm=1x,sync=1x,shared.hbm=1x")
    assert [times.tolist() for times in same.timeline.end] == [times.tolist() for times in result.timeline.end]
