"""A ping-pong protocol by hand: unprimed it hangs, the checker says what to prime and to drain, and with that it is right and minimal."""

from pathlib import Path

import pytest
from click.testing import CliRunner

import ptoc
from ptoc.cli import main
from ptoc.dialect.errors import CheckError

FILE = Path(__file__).parent / "ping_pong.py"
LINES = FILE.read_text().split("\n")
CARRIED = [("MTE1", "MTE2", 0), ("M", "MTE1", 1), ("M", "MTE1", 2), ("FIX", "M", 3), ("FIX", "M", 4)]
"""The event ids that a turn of the loop waits for before it sets them: by pair, in the order of the first waits."""


def line_of(text: str) -> int:
    """Number of the one line that holds a text."""
    (number,) = [n for n, line in enumerate(LINES, 1) if text in line]
    return number


def advice(loop: str) -> list[str]:
    return [
        f"{what} {FILE.name}:{line_of(loop)}, on aic: " + ", ".join(f"{command}({s} -> {t}, {n})" for s, t, n in CARRIED)
        for what, command in (("prime before the loop at", "set_flag"), ("drain after the loop at", "wait_flag"))
    ]


def check(**parameters: object) -> object:
    return ptoc.check(str(FILE), sync="keep", **parameters)


@pytest.mark.parametrize(("tiles", "batches", "loop"), [(16, 1, "for i in ptoc"), (4, 3, "for _ in ptoc"), (3, 2, "for _ in ptoc")])
def test_unprimed_it_is_told_exactly_what_to_prime_and_to_drain(tiles: int, batches: int, loop: str) -> None:
    report = check(N=64 * tiles, BATCHES=batches)
    assert report.deadlock is not None
    assert list(report.advice) == [*advice(loop), "with these flags every order is there"]


def test_primed_alone_it_is_told_what_to_drain() -> None:
    report = check(N=1024, PRIMED=True)
    assert report.deadlock is None
    assert len(report.misuse) == 3  # one for each line with a set
    assert list(report.advice) == [advice("for i in ptoc")[1], "with these flags every order is there"]


@pytest.mark.parametrize(("tiles", "batches"), [(16, 1), (3, 2), (1, 1)])
def test_completed_as_told_it_is_in_order_and_right(tiles: int, batches: int) -> None:
    given = {"N": 64 * tiles, "BATCHES": batches, "PRIMED": True, "DRAINED": True}
    assert check(**given).ok
    assert ptoc.run(str(FILE), sync="keep", check=True, **given).passed


def test_completed_it_has_nothing_to_spare() -> None:
    result = CliRunner().invoke(main, ["check", str(FILE), "--sync", "keep", "--strict", "-D", "PRIMED=True", "-D", "DRAINED=True"])
    assert result.exit_code == 0
    assert "0 missing, 0 redundant" in result.stdout


def test_a_run_that_is_checked_gives_the_advice_too() -> None:
    with pytest.raises(CheckError, match=r"advice: prime before the loop at .*ping_pong\.py:\d+, on aic: set_flag\(MTE1 -> MTE2, 0\)"):
        ptoc.run(str(FILE), sync="keep", check=True)


@pytest.mark.parametrize("pair", CARRIED[1::2])
def test_each_carried_flag_is_needed(pair: tuple[str, str, int], tmp_path: Path) -> None:
    """Without the waits and sets of one pair inside the loop an order is missing, or a flag is set twice."""
    source, target, _ = pair
    changed = [line for line in LINES if f'_flag("{source}", "{target}"' not in line]
    file = tmp_path / "less.py"
    file.write_text("\n".join(changed))
    report = ptoc.check(str(file), sync="keep", PRIMED=True, DRAINED=True)
    assert report.missing or report.misuse
