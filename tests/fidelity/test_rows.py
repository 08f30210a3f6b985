"""Rows are read strictly, their shapes and chips parsed, repeated measurements averaged."""

from pathlib import Path

import pytest

from ptoc.dialect.errors import ArgumentError
from ptoc.fidelity.calibration import CALIBRATION
from ptoc.fidelity.rows import COLUMNS, Row, averaged, chip_of, read_rows

EMPTY = dict.fromkeys(set(COLUMNS) - {"value"}, "")


def row(**fields: object) -> Row:
    """A row with some fields set."""
    return Row(**{"line": 2, "value": 1.0, **EMPTY, **fields})


@pytest.mark.parametrize(("shape", "sizes"), [
    ("S0=128;S1=1024;H=128;S1_TILE=256;QK_PRELOAD=4", {"S0": 128, "S1": 1024, "H": 128, "S1_TILE": 256, "QK_PRELOAD": 4}),
    ("M=N=K=8192", {"M": 8192, "N": 8192, "K": 8192}),
    ("m=512; k=2048, n=1536;swizzleN=5", {"M": 512, "K": 2048, "N": 1536, "SWIZZLEN": 5}),
    ("8192x8192", {}),
])  # fmt: skip
def test_sizes(shape: str, sizes: dict) -> None:
    assert row(shape=shape).sizes == sizes


def test_extents_brackets_and_amounts() -> None:
    assert row(shape="8192x4096").extents == (8192, 4096)
    assert row(shape="S0=1").extents == ()
    tiles = row(shape="tensor[12288,12287] tile[1, 64]")
    assert (tiles.bracket("tensor"), tiles.bracket("tile"), tiles.bracket("block")) == ((12288, 12287), (1, 64), ())
    assert row(shape="469.8 MB").amount_bytes == 469_800_000
    assert row(shape="2 KiB").amount_bytes == 2048
    assert row(shape="-").amount_bytes is None
    assert (row(shape="1.2.3 MB").amount_bytes, row(shape="tensor[8,8] tile[,]").bracket("tile")) == (None, ())
    assert (row(cores="24").core_count, row(cores="1 AIV").core_count, row(cores="").core_count) == (24, 1, None)


@pytest.mark.parametrize(("soc", "chip"), [
    ("Ascend910B1 (Atlas A2, 24AIC/48AIV)", "ascend910b1"), ("Ascend910B3 (dav-2201)", "ascend910b3"), ("A3 (24 cube cores)", "ascend910c"),
    ("Ascend910_9382", "ascend910c"), ("Ascend950PR_9579", "ascend950pr"), ("TPUv6e", ""),
])  # fmt: skip
def test_chips(soc: str, chip: str) -> None:
    assert chip_of(soc) == chip


def test_repeated_measurements_are_averaged() -> None:
    rows = [row(value=2.0, notes="host aarch64"), row(value=4.0, notes="host x86_64"), row(value=9.0, metric="other")]
    first, other = averaged(rows)
    assert (first.value, first.samples, other.value, other.samples) == (3.0, 2, 9.0, 1)


def test_one_scenario_under_two_titles_is_one_row() -> None:
    rows = [row(notes="scenario 2: Large block; x"), row(notes="scenario 2: Aligned block; x"), row(notes="scenario 3: Large block; x")]
    assert [r.samples for r in averaged(rows)] == [2, 1]


def test_a_missing_column_and_a_value_that_is_no_number_are_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("kernel,soc\na,b\n")
    with pytest.raises(ArgumentError, match=r"rows.csv: column 'cores' is missing; a file of measurements has kernel, soc, cores"):
        read_rows(file)
    file.write_text(",".join(COLUMNS) + "\nk,s,1,x,f,m,fast,us,w,l,n,s\n")
    with pytest.raises(ArgumentError, match=r"rows.csv:2: column 'value' must be a number of at least 0; got 'fast'"):
        read_rows(file)
    with pytest.raises(ArgumentError, match=r"absent.csv: cannot be read"):
        read_rows(tmp_path / "absent.csv")


@pytest.mark.parametrize("value", ["nan", "inf", "-3", ""])
def test_a_value_that_no_device_shows_is_named(tmp_path: Path, value: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(",".join(COLUMNS) + f"\nk,s,1,x,f,m,{value},us,w,l,n,s\n")
    with pytest.raises(ArgumentError, match=rf"rows.csv:2: column 'value' must be a number of at least 0; got '{value}'"):
        read_rows(file)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(",".join(COLUMNS) + "\nk,s,1,x,f,m,2,us,w,l,n,s\n", encoding="utf-8-sig")
    assert [(r.kernel, r.value) for r in read_rows(file)] == [("k", 2.0)]


def test_the_calibration_set_has_sources_and_known_chips() -> None:
    rows = read_rows(CALIBRATION)
    assert len(rows) > 100
    assert all(r.source and chip_of(r.soc) for r in rows)
