"""Each synchronisation unit of each shipped kernel, taken away one at a time: the checker names it, and the run fails."""

from functools import lru_cache

import pytest

from ptoc.dialect.errors import CheckError, DeadlockError, PoisonError, SyncError
from ptoc.loading import load_source, shipped_names
from ptoc.machine.chip import load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.redundancy import without_sites
from ptoc.running import Prepared, prepare, prove
from ptoc.simulator.check import check

CASES = {
    "vector_add": ("one_core",),
    "softmax": ("one_core",),
    "gelu": ("one_core",),
    "embedding": ("in_turn",),
    "paged_attention": ("in_turn", "empty"),
    "reduce": ("in_turn",),
    "softmax_long": ("in_turn",),
    "topk": ("in_turn",),
    "transpose": ("in_turn",),
    "layernorm": ("in_turn",),
    "rmsnorm": ("in_turn",),
    "swiglu": ("one_core",),
    "gemm": ("tails_in_turn", "tails"),
    "gemm_expert": ("default", "tails"),
    "gemm_qk": ("default", "heads_in_turn", "small"),
    "gemm_qk_expert": ("default", "heads_in_turn", "small"),
    "flash_attention": ("s2048", "blocks_in_turn", "one_tile_in_turn"),
    "flash_attention_heads": ("default", "in_turn"),
    "flash_attention_split": ("default", "in_turn"),
    "flash_attention_combine": ("in_turn", "tails"),
    "flash_attention_expert": ("s2048", "blocks_in_turn", "one_tile_in_turn"),
    "flash_attention_naive": ("s2048", "blocks_in_turn", "one_tile_in_turn"),
}
"""Cases in which the units of a kernel are needed, each unit in at least one."""


@lru_cache
def prepared(name: str, case: str | None) -> Prepared:
    return prepare(load_source(name), load_chip("ascend910b1"), {}, case, None, {}, None)


def sites_of_units(name: str) -> dict[str, frozenset[int]]:
    """Readable name to the sites of each unit, save a kernel's end."""
    program = prepared(name, cases(name)[0]).program
    ends = {site.unit for site in program.sites if site.role == "end"}
    units: dict[int, list] = {}
    for site in program.sites:
        if site.unit >= 0 and site.unit not in ends:
            units.setdefault(site.unit, []).append(site)
    return {f"{name}-{unit}-{sites[0].op}-{sites[0].pipe}": frozenset(s.index for s in sites) for unit, sites in units.items()}


def cases(name: str) -> tuple[str | None, ...]:
    return CASES.get(name, (None,))


UNITS = [(name, label, sites) for name in shipped_names() if not load_source(name).kernel.chip for label, sites in sites_of_units(name).items()]


@pytest.mark.parametrize(("name", "sites"), [(n, s) for n, _, s in UNITS], ids=[label for _, label, _ in UNITS])
def test_a_unit_taken_away_is_missed(name: str, sites: frozenset[int]) -> None:
    for case in cases(name):
        whole = prepared(name, case)
        program = without_sites(whole.program, sites)
        report = check(program, needs_barrier)
        if report.ok:
            continue
        assert report.missing or report.misuse or report.deadlock
        with pytest.raises((CheckError, DeadlockError, PoisonError, SyncError)):
            prove(Prepared(whole.compiled, whole.arguments, whole.values, program))
        return
    pytest.fail("no case needs this unit")
