"""Our own files in the style of public samples: through all stages, values against a numpy reading of the unscheduled text."""

from pathlib import Path

import numpy as np
import pytest

from . import meanings
from .samples import examine

FILES = Path(__file__).parents[2] / "lit_tests" / "foreign"
NAMES = ("valid_sizes", "row_table", "pushed_tiles", "on_chip_slots", "chosen_tile", "aliased_addresses", "changed_valid_sizes")


def outcome_of(name: str):
    return examine(f"{name}.pto", (FILES / f"{name}.pto").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_passes_every_stage(name):
    outcome = outcome_of(name)
    assert outcome.complete, outcome.reasons


def test_every_file_that_can_run_is_named():
    apart = {"computed_address", "calls_and_events", "event_arrays"}  # refused, no kernel, and synchronised by hand
    assert {path.stem for path in FILES.glob("*.pto")} == {*NAMES, *apart}


@pytest.mark.parametrize(("op", "name"), [("tmuls", "valid_sizes"), ("tmatmul", "pushed_tiles"), ("tmul", "chosen_tile"), ("texp", "changed_valid_sizes")])
def test_a_wrong_meaning_is_seen(op, name, monkeypatch):
    right = meanings.MEANINGS[op]
    monkeypatch.setitem(meanings.MEANINGS, op, lambda values, rec: {"dst": right(values, rec)["dst"] * 1.01})
    outcome = outcome_of(name)
    assert "values" not in outcome.passed
    assert any("differ by" in reason for reason in outcome.reasons)


def test_values_that_are_not_finite_are_no_check(monkeypatch):
    monkeypatch.setitem(meanings.MEANINGS, "tmuls", lambda values, rec: {"dst": np.full(values["dst"].shape, np.nan)})
    outcome = outcome_of("valid_sizes")
    assert outcome.reasons == ["values of 'y' are not finite"]
