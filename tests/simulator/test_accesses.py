"""Accesses to global memory: the access forms give what the commands touch, and both forms of a program the same times."""

import pytest

from ptoc.frontend import Kernel
from ptoc.loading import Source, load_source
from ptoc.machine.chip import load_chip
from ptoc.running import arrange, time_program
from ptoc.simulator.accesses import accesses_of
from ptoc.simulator.streams import moves_of_forms, program_of_forms

CHIP = load_chip("ascend910b1")
RUNS = [
    ("flash_attention", {"S0": 256, "S1": 1536}, 1),
    ("flash_attention", {"S0": 200, "S1": 700}, 2),
    ("gemm", {"M": 512, "N": 512, "K": 512}, 4),
    ("softmax", {}, 4),
    ("vector_add", {}, 3),
]


def arranged(kernel: Kernel | str, sizes: dict, cores: int, chip=CHIP):
    source = load_source(kernel) if isinstance(kernel, str) else Source(kernel.name, kernel)
    return arrange(source, chip, dict(sizes), None, cores, {}, "insert", values=False)


@pytest.mark.parametrize(("kernel", "sizes", "cores"), RUNS)
@pytest.mark.parametrize("most", [10**6, 50])
def test_access_forms_give_what_commands_touch(kernel, sizes, cores, most):
    one = arranged(kernel, sizes, cores)
    forms = one.timed.forms
    assert forms.moves is not None
    seen = moves_of_forms(forms, program_of_forms(forms, one.extents, cores, {}, one.fill), one.extents, most)
    done = accesses_of(one.program(), most)
    assert seen.looked_at == done.looked_at
    for mine, theirs in zip(seen.cores, done.cores, strict=True):
        assert len(mine)
        assert [(seen.ways[w], *rest) for w, *rest in mine.tolist()] == [(done.ways[w], *rest) for w, *rest in theirs.tolist()]


@pytest.mark.parametrize(("kernel", "sizes", "cores"), RUNS)
@pytest.mark.parametrize("part", [0.3, 0.9, 3.0])
def test_both_forms_take_the_same_time(kernel, sizes, cores, part, small_l2):
    one = arranged(kernel, sizes, cores)
    chip = small_l2(round(part * sum(one.program().memories.values())))
    one = arranged(kernel, sizes, cores, chip)
    _, timeline = one.timed.simulate(one.extents, cores, {}, lambda: chip, one.fill)
    full = time_program(one.program(), chip)
    for mine, theirs in ((timeline.start, full.start), (timeline.complete, full.complete)):
        assert [column.tolist() for column in mine] == [column.tolist() for column in theirs]
    assert (one.timed.hits and part > 1) or any(hit < 1 for found in one.timed.hits.values() for hit in found.values())


@pytest.fixture
def small_l2(tmp_path):
    def make(capacity: int):
        file = tmp_path / "small.yaml"
        file.write_text(
            "name: small\ndescription: a chip with a small L2\nbase: ascend910b1\nvalidated: false\nshared:\n"
            f'  l2_effective: {{value: {capacity}, unit: bytes, source: "this test", kind: assumed}}\n'
        )
        return load_chip(str(file))

    return make
