"""Several pipes in a kernel, entries held at once, other slot counts and periods, a5: values, proof of order, flags, and what goes wrong without."""

import re
from pathlib import Path

import numpy as np
import pytest

import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32


@ptoc.kernel
def two_at_once(
    x: ptoc.Tensor["R", 16, f16], w: ptoc.Tensor[16, 16, f16], z: ptoc.Out["R", 16, f32], R, *, SLOTS: int = 8, PERIOD: int = 4, ORDER: str = "ab", EARLY: bool = False
):
    """z = x @ w, 16 rows at a time; the vector cores hold two entries before they free them in the order ORDER."""
    q = ptoc.pipe("c2v", (16, 16), f32, slots=SLOTS, sync_period=PERIOD, name="q")
    tiles = R // 16
    with ptoc.cube():
        w1, w0 = ptoc.tile([16, 16], f16, L1), ptoc.tile([16, 16], f16, L0B)
        ptoc.load(w1, w[:, :])
        ptoc.mov(w0, w1)
        for t in ptoc.range(tiles, stages=2):
            x1, x0, acc = ptoc.tile([16, 16], f16, L1), ptoc.tile([16, 16], f16, L0A), ptoc.tile([16, 16], f32, L0C)
            ptoc.load(x1, x[t * 16 : t * 16 + 16, :])
            ptoc.mov(x0, x1)
            ptoc.matmul(acc, x0, w0)
            e = q.alloc()
            ptoc.store(e[:, :], acc)
            q.push(e)
    with ptoc.vector():
        for t in ptoc.range(tiles // 2, stages=2):
            entries = {}
            for n, name in enumerate("ab"):
                entries[name] = q.pop(), t * 32 + n * 16 + ptoc.sub_block_idx() * 8
            for name in ORDER:
                entry, row = entries[name]
                v = ptoc.tile([8, 16], f32)
                if EARLY and name == ORDER[0]:
                    q.free(entry)
                ptoc.load(v, entry[:, :])
                ptoc.store(z[row : row + 8, :], v)
                if not EARLY:
                    q.free(entry)
            if EARLY:
                q.free(entries[ORDER[1]][0])


@two_at_once.reference
def reference(x, w):
    return x.astype(np.float32) @ w.astype(np.float32)


two_at_once.tolerance = 1e-3


@pytest.mark.parametrize(("slots", "period"), [(3, 1), (2, 2), (4, 2), (8, 4), (6, 1), (8, 8), (12, 6)])
def test_two_entries_may_be_held_at_once(slots: int, period: int) -> None:
    """Popped a, b, freed a, b: with a period of more than 1 the free of b reports both."""
    result = ptoc.run(two_at_once, R=40 * 16, SLOTS=slots, PERIOD=period, cores=1, check=True)
    assert result.passed


def test_pairs_do_not_go_with_an_odd_period() -> None:
    """Reports come after a multiple of 5 pops, every second of which is in the middle of a pair: half of the slots are lost for ever."""
    message = r"test_pipe_traps.py:\d+: 'pto.tpop_from_aic': pipe 'q' would deadlock: 15 of 15 slots are popped and not reported free, 1 of them held since .*test_pipe_traps.py:\d+"
    with pytest.raises(ptoc.VerifyError, match=message):
        ptoc.run(two_at_once, R=640, SLOTS=15, PERIOD=5, cores=1)


def test_freed_in_another_order_is_refused_with_both_lines() -> None:
    with pytest.raises(ptoc.VerifyError, match=r"test_pipe_traps.py:\d+: 'pto.tfree_from_aic': the entries of pipe 'q' are freed in the order .* got that of .*test_pipe_traps.py:\d+"):
        ptoc.run(two_at_once, R=64, ORDER="ba", cores=1)


def test_freed_before_it_is_read_is_refused() -> None:
    with pytest.raises(ptoc.VerifyError, match=r"'pto.tload': an entry of pipe 'q' is used after it was freed at .*test_pipe_traps.py:\d+: the producer may be filling it again"):
        ptoc.run(two_at_once, R=64, EARLY=True, cores=1)


def test_a_second_report_for_the_same_pops_would_be_a_race(tmp_path: Path) -> None:
    """What a free of each entry would do where the library reports two at a time: the producer fills slots that are still read."""
    whole = ptoc.compile(two_at_once, SLOTS=4, PERIOD=2)
    release = re.search(r".*sim\.release .*\n", whole.sim)[0]
    assert whole.sim.count("sim.release") == 1
    file = tmp_path / "two_at_once.sim.mlir"
    file.write_text(whole.sim)
    assert ptoc.check(str(file), R=640, cores=1).ok
    file.write_text(whole.sim.replace(release, release * 2))
    report = ptoc.check(str(file), R=640, cores=1)
    assert not report.ok
