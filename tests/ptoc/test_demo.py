"""The demo: every latency in, or within 15 % of, the interval that the device measurements span, and every value right."""

from pathlib import Path

import pytest

from ptoc import demo


def test_the_demo_holds_its_bounds(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert demo.main(str(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "all right" in printed
    for ending in (".pto", ".sim.mlir", ".cpp", "_caller.cpp"):
        assert (tmp_path / f"flash_attention{ending}").is_file()


@pytest.mark.parametrize(
    ("latency", "text", "inside"),
    [(18.0, "inside", True), (10.0, "-41.2% of the lowest", False), (21.0, r"+10.5% of the highest", True), (23.0, "+21.1% of the highest", False)],
)
def test_position_against_the_measurements(latency: float, text: str, inside: bool) -> None:
    assert demo._position(latency, [17.0, 19.0]) == (text, inside)
