"""Each synchronisation unit of each shipped kernel, taken away one at a time: the checker misses it, and the run fails."""

from functools import lru_cache

import pytest

from ptoc.loading import load_source, shipped_names
from ptoc.machine.chip import load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.running import Prepared, prepare, prove
from ptoc.dialect.errors import CheckError, DeadlockError, PoisonError, SyncError
from ptoc.simulator.check import check, without

CASES = {"vector_add": "one_core", "softmax": "one_core", "gemm": "small", "flash_attention": "s2048"}


@lru_cache
def prepared(name: str) -> Prepared:
    case = CASES.get(name)
    return prepare(load_source(name), load_chip("ascend910b1"), {}, case, None, {}, "insert")


def units() -> list[tuple[str, int]]:
    found = []
    for name in shipped_names():
        program = prepared(name).program
        executed = {c.site.unit for s in program.streams for c in s.commands}
        ends = {site.unit for site in program.sites if site.role == "end"}
        found += [(name, unit) for unit in sorted(executed - ends - {-1})]
    return found


@pytest.mark.parametrize(("name", "unit"), units())
def test_a_unit_taken_away_is_missed(name: str, unit: int) -> None:
    whole = prepared(name)
    program = without(whole.program, unit)
    places = {site.location for site in program.sites if site.unit == unit}
    report = check(program, needs_barrier)
    assert not report.ok
    faults = " ".join([*map(str, report.missing), *report.misuse, report.deadlock or ""])
    assert places, faults
    with pytest.raises((CheckError, DeadlockError, PoisonError, SyncError)):
        prove(Prepared(whole.compiled, whole.arguments, whole.values, program))
