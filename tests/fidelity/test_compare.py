"""From a file of rows to errors: the command, its JSON, its plot, its groups."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ptoc.cli import main
from ptoc.dialect.errors import ChipError
from ptoc.fidelity.calibration import CALIBRATION
from ptoc.fidelity.compare import Outcome, compare, group_of, grouped
from ptoc.fidelity.metrics import Refused, predicted
from ptoc.fidelity.page import table
from ptoc.fidelity.report import to_svg, to_text
from ptoc.fidelity.rows import COLUMNS, Row, read_rows
from ptoc.fidelity.simulation import Run
from ptoc.machine.chip import load_chip

from .test_rows import row

B1 = load_chip("ascend910b1")
RUN = Run(B1, 24, 100.0, {("aic", "MTE2"): 80.0, ("aic", "M"): 50.0}, {"aic": 90.0}, {"aic": 24}, {"read_bytes": 8e6})
ATTENTION = {
    "kernel": "torch_jit flash_atten", "soc": "Ascend910B2", "cores": 1, "shape": "S0=128;S1=1024;H=128;B=1", "dtype": "fp16", "metric": "time (avg of 200)",
    "unit": "us", "window": "host_events", "l2": "warm", "source": "test",
}  # fmt: skip
ROWS = [
    ATTENTION | {"value": 19.2, "notes": "host aarch64"},
    ATTENTION | {"value": 16.54, "notes": "host x86_64"},
    ATTENTION | {"value": 70, "metric": "aic_mte2 busy ratio", "unit": "%"},
    ATTENTION | {"value": 5, "kernel": "somebody's kernel"},
    ATTENTION | {"value": 5, "soc": "TPUv6e"},
    {"kernel": "instruction TADD/vadd", "soc": "Ascend910B3", "cores": "1 AIV", "dtype": "fp32", "metric": "measured fit: fixed cycles", "value": 24, "unit": "cycles"},
]


def written(path: Path, rows: list[dict]) -> Path:
    """A CSV file of rows."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(("fields", "number"), [
    ({"metric": "time", "unit": "ms", "window": "host_events"}, (100 + 4.0 + 0.33 + 24 * 0.13) / 1000),
    ({"metric": "task_duration", "unit": "us", "window": "msprof_task"}, 100 + 0.33 + 24 * 0.13),
    ({"metric": "aicore_time", "unit": "us", "window": "device_counter"}, 90.0),
    ({"metric": "aic_mac_time", "unit": "us", "window": "device_counter"}, 50.0),
    ({"metric": "TMATMUL busy ratio", "unit": "%", "window": ""}, 50.0),
    ({"metric": "aic_total_cycles", "unit": "cycles", "window": "device_counter"}, 90.0 * 24 * 1850),
    ({"metric": "Read Bandwidth", "unit": "TB/s", "window": ""}, 8e6 / 80.0 / 1e6),
    ({"metric": "bandwidth", "unit": "GB/s", "window": ""}, 8e6 / 100.0 / 1e3),
])  # fmt: skip
def test_metrics(fields: dict, number: float) -> None:
    assert predicted(RUN, row(**fields)) == pytest.approx(number)


@pytest.mark.parametrize(("fields", "reason"), [
    ({"metric": "time", "unit": "us", "window": "stopwatch"}, "window 'stopwatch' is none of host_events"),
    ({"metric": "theoretical: duration", "unit": "us"}, "computed, not measured"),
    ({"metric": "aiv_scalar_time", "unit": "us"}, "busy time of the scalar unit"),
    ({"metric": "aiv_total_cycles", "unit": "cycles"}, "no kind of core of the run"),
    ({"metric": "aic_mte3_time", "unit": "us"}, "names no engine of the run"),
    ({"metric": "aiv_mte2_time", "unit": "us"}, "names no engine of the run"),
    ({"metric": "aiv_time", "unit": "us"}, "the bench kernel runs on no aiv core"),
    ({"metric": "time", "unit": "fortnight"}, "unit 'fortnight' of metric 'time' is not known"),
])  # fmt: skip
def test_metrics_that_a_run_does_not_have(fields: dict, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        predicted(RUN, row(**fields))


def test_busy_times_are_those_of_the_kind_of_core_that_the_metric_names() -> None:
    both = replace(RUN, busy_us={("aic", "MTE2"): 80.0, ("aiv", "MTE2"): 30.0}, counts={"aic": 24, "aiv": 48}, active_us={"aic": 90.0, "aiv": 70.0})
    metrics = ("aic_mte2_time", "aiv_mte2_time", "TLOAD time", "aic_time", "aiv_time", "aicore_time")
    assert [predicted(both, row(metric=metric, unit="us")) for metric in metrics] == [80.0, 30.0, 80.0, 90.0, 70.0, 90.0]


def test_a_bandwidth_of_a_kernel_that_counts_no_bytes_is_refused() -> None:
    for metric in ("Read Bandwidth", "bandwidth"):
        with pytest.raises(Refused, match="does not count the bytes that it moves"):
            predicted(replace(RUN, facts={}), row(metric=metric, unit="GB/s"))


def test_a_row_measured_as_zero_is_refused_with_its_reason() -> None:
    (outcome,) = compare([row(**ATTENTION | {"value": 0.0, "cores": "1"})])
    assert (outcome.predicted, outcome.error_pct, outcome.reason) == (None, None, "measured as 0: an error in per cent of it says nothing")


def test_a_plot_of_one_point_has_an_axis() -> None:
    assert "<circle" in to_svg([Outcome(row(value=10.0, unit="us"), 10.0)])


def test_command_gives_rows_and_groups(tmp_path: Path) -> None:
    svg = tmp_path / "plot.svg"
    result = CliRunner().invoke(main, ["fidelity", str(written(tmp_path / "rows.csv", ROWS)), "--json", "--svg", str(svg)])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    first, ratio, foreign, unknown, instruction = data["rows"]
    assert (first["measured"], first["samples"], first["reason"]) == (pytest.approx(17.87), 2, None)
    assert abs(first["error_pct"]) < 12
    assert first["error_pct"] == pytest.approx(100 * (first["predicted"] / first["measured"] - 1))
    assert 0 < ratio["predicted"] < 100
    assert (foreign["predicted"], foreign["error_pct"], foreign["reason"]) == (None, None, "no bench kernel for it")
    assert unknown["reason"] == "no chip is known as 'TPUv6e'"
    assert instruction["predicted"] == pytest.approx(24)
    assert {"kernel", "shape", "cores", "metric", "predicted", "measured", "error_pct", "reason"} <= set(first)
    groups = {g["name"]: g for g in data["groups"]}
    assert (groups["flash attention"]["rows"], groups["flash attention"]["refused"]) == (2, 1)
    assert groups["flash attention"]["mean_abs_error_pct"] == pytest.approx(abs(first["error_pct"]))
    assert svg.read_text().count("<circle") == 1


def test_command_prints_a_table_and_the_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["fidelity", str(written(tmp_path / "rows.csv", ROWS[3:]))])
    assert "no bench kernel for it" in result.stdout
    assert "somebody's kernel" in result.stdout.split("refused:")[1]
    assert "+0.0%" in result.stdout


def test_another_chip_for_all_rows(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "rows.csv", ROWS[5:]))
    assert compare(rows, "ascend910b1")[0].predicted == pytest.approx(24)
    with pytest.raises(ChipError, match="no chip is called 'nowhere'"):
        compare(rows, "nowhere")


def test_equal_programs_run_once(tmp_path: Path) -> None:
    told: list[str] = []
    compare(read_rows(written(tmp_path / "rows.csv", ROWS[:3])), progress=told.append)
    assert told == ["torch_jit flash_atten, S0=128;S1=1024;H=128;B=1, 1 cores of ascend910b2"]


def test_groups_tell_mean_spread_and_bias() -> None:
    errors = [10, -10, 20, 0, 0, 0, 0, 0, 0, 50]
    outcomes = [Outcome(row(kernel="torch_jit flash_atten", metric="time", value=100.0), 100.0 + e) for e in errors]
    outcomes.append(Outcome(row(kernel="torch_jit flash_atten", metric="time"), None, "why"))
    (group,) = grouped(outcomes)
    assert (group.rows, group.refused) == (11, 1)
    assert group.mean_abs_error_pct == pytest.approx(9)
    assert group.nine_in_ten_pct == pytest.approx(20)
    assert group.bias_pct == pytest.approx(7)
    assert "flash attention" in to_text(outcomes)
    assert "| 11 | 1 | 9.0 % |" in table(outcomes)


def test_parts_and_wholes_are_groups_of_their_own() -> None:
    assert group_of(row(kernel="vector add", metric="task_duration")) == "vector add"
    assert group_of(row(kernel="vector add", metric="aiv_vec_time")) == "vector add parts"
    assert group_of(row(kernel="GM read AIC only", metric="bandwidth")) == "streams"
    assert group_of(row(kernel="x", metric="time")) == "other"


def test_a_plot_without_times_is_empty() -> None:
    assert to_svg([]).startswith("<svg")


def test_every_calibration_row_is_expressed_or_refused_with_a_reason() -> None:
    from ptoc.fidelity.programs import program_of
    from ptoc.fidelity.single import measured_alone

    def expressed(one: Row) -> object:
        try:
            return measured_alone(one, B1) or program_of(one, B1)
        except Refused as reason:
            return str(reason)

    assert all(map(expressed, read_rows(CALIBRATION)))
