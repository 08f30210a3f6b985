"""Rows of single instructions."""

import pytest

from ptoc.fidelity.metrics import Refused
from ptoc.fidelity.single import measured_alone
from ptoc.machine.chip import load_chip

from .test_rows import row

B3 = load_chip("ascend910b3")


def test_slope_and_fixed_part() -> None:
    slope = row(kernel="instruction TMUL/vmul", dtype="fp32", metric="measured fit: cycles per repeat", unit="cycles/repeat")
    fixed = row(kernel="instruction TMUL/vmul", dtype="fp32", metric="measured fit: fixed cycles", unit="cycles")
    assert (measured_alone(slope, B3), measured_alone(fixed, B3)) == (pytest.approx(2.3), pytest.approx(25))
    gathered = row(kernel="instruction TGATHER/vgather", dtype="fp32", metric="measured marginal cost", unit="cycles/row")
    assert measured_alone(gathered, B3) == pytest.approx(46.6, rel=0.02)


def test_other_rows_are_none_or_refused() -> None:
    assert measured_alone(row(kernel="torch_jit flash_atten"), B3) is None
    for fields, reason in (
        ({"kernel": "SyncAll barrier"}, "no barrier over all cores"),
        ({"kernel": "instruction TADD/vadd", "dtype": "fp7"}, "element type 'fp7' is not known"),
        ({"kernel": "instruction TADD/vadd", "dtype": "fp32", "metric": "colour"}, "metric 'colour' of an instruction is not known"),
    ):
        with pytest.raises(Refused, match=reason):
            measured_alone(row(**fields), B3)
