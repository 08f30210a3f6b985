"""Developer level against expert level: what is written without a flag or address is as fast as what is written by hand, with no more synchronisation."""

from collections import Counter
from functools import lru_cache

import pytest

import ptoc

GEMM = [("gemm", "gemm_expert", dict(zip(("M", "N", "K", "cores"), sizes))) for sizes in ((512, 1536, 2048, 1), (512, 1024, 512, 16), (200, 270, 300, 2))]
ATTENTION = [
    (kernel, "flash_attention_expert", {"S0": 128, "S1": columns})
    for kernel in ("flash_attention", "flash_attention_naive")
    for columns in (1024, 2048, 4096, 8192)
]
ALL = GEMM + ATTENTION
TURNS = [GEMM[0], *((kernel, "flash_attention_expert", {"S0": 256, "S1": 2560, "cores": 1}) for kernel in ("flash_attention", "flash_attention_naive"))]
"""Sizes with which every flag of a kernel takes its turn."""
NOW_AND_THEN = {"gemm": (("FIX", "M"),), "flash_attention": (("MTE3", "V"), ("M", "MTE1")), "flash_attention_naive": (("MTE3", "V"),)}
"""Engines between which the developer level passes flags in every round of a loop, and the hand-written kernel only where a result is stored,
or Q of a new block moved in: a compiler does not know that the first round of a tile follows the last round of the one before."""


AS_BY_HAND = {"flash_attention": {"WIDTH": 128}}
"""Parameters with which a kernel's products are as large as those of the hand-written one, where flags are counted."""


@lru_cache
def run(kernel: str, sizes: tuple[tuple[str, int], ...]) -> ptoc.Result:
    return ptoc.run(kernel, values=False, **dict(sizes))


def both(kernel: str, expert: str, sizes: dict[str, int]) -> tuple[ptoc.Result, ptoc.Result]:
    return run(kernel, tuple(sizes.items())), run(expert, tuple(sizes.items()))


def executed(result: ptoc.Result) -> Counter:
    """How many flags are raised between two engines, either way, and how many barriers of an engine."""
    sites = [command.site for stream in result.program.streams for command in stream.commands if command.site.kind in ("set", "barrier")]
    return Counter(frozenset((site.pipe, site.peer)) if site.kind == "set" else site.pipe for site in sites)


@pytest.mark.parametrize(("kernel", "expert", "sizes"), ALL)
def test_it_is_as_fast(kernel: str, expert: str, sizes: dict[str, int]) -> None:
    developer, by_hand = both(kernel, expert, sizes)
    assert developer.latency_us <= 1.02 * by_hand.latency_us
    assert developer.kernel_us <= 1.02 * by_hand.kernel_us


@pytest.mark.parametrize(("kernel", "expert", "sizes"), TURNS)
def test_it_has_no_more_flags_and_barriers(kernel: str, expert: str, sizes: dict[str, int]) -> None:
    developer, by_hand = (ptoc.check(name, **sizes) for name in (kernel, expert))
    assert developer.ok
    assert by_hand.ok
    assert developer.redundant == by_hand.redundant == ()
    assert developer.flag_units <= by_hand.flag_units
    assert developer.barrier_units <= by_hand.barrier_units


@pytest.mark.parametrize(("kernel", "expert", "sizes"), TURNS)
def test_it_executes_no_more_of_them(kernel: str, expert: str, sizes: dict[str, int]) -> None:
    chosen = sizes | AS_BY_HAND.get(kernel, {})
    developer, by_hand = executed(run(kernel, tuple(chosen.items()))), executed(run(expert, tuple(sizes.items())))
    assert {pipes for pipes, count in developer.items() if count > by_hand[pipes]} <= {frozenset(pair) for pair in NOW_AND_THEN[kernel]}


def test_the_accumulators_of_gemm_leave_while_the_next_ones_are_filled() -> None:
    """FIX works while M does, in both: M waits for it nowhere but at the end."""
    for kernel in ("gemm", "gemm_expert"):
        result = run(kernel, (("M", 512), ("N", 1536), ("K", 2048), ("cores", 1)))
        assert result.utilization["M"] > 0.96
