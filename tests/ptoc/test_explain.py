"""`ptoc run --explain`, `--what-if`, `--relative-to`, `--pipe-utilization` and `ptoc diff`: what they say sums up and is true."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import ptoc
from ptoc.cli import main
from ptoc.dialect.errors import ArgumentError, NotSupportedError
from ptoc.explain import PART_OF, Step, part_of
from ptoc.explain_text import describe_explanation, explanation_json, parts
from ptoc.fidelity.attention_by_hand import attention_by_hand
from ptoc.machine.what_if import PARTS
from ptoc.profiler_columns import ROWS, summary
from ptoc.simulator.critical_path import CAUSES as PATH_CAUSES
from ptoc.simulator.idle import CAUSES


def output(*arguments: object) -> str:
    """Standard output of a command that succeeds."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """The error of a command that fails."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 1, result.output
    return result.output


@pytest.fixture(scope="module")
def attention() -> ptoc.Result:
    return ptoc.run("flash_attention", values=False)


def test_flash_attention_is_explained_in_under_25_lines() -> None:
    said = output("run", "flash_attention", "--explain", "--no-values")
    lines = said.splitlines()
    assert len(lines) < 25
    assert re.search(r"bound by  V \d+\.\d%, MTE2", said)
    assert re.search(r"_\w+\.py:\d+: t\w+ on V", said)
    assert re.search(r"waits     aiv0\.0 V \d.*\(pipe qk\)", said)
    bound = next(line for line in lines if "bound by" in line)
    path = next(line for line in lines if line.startswith("  path"))
    rows = [line for line in lines if re.match(r"  ai[cv]0", line)]
    assert len(rows) == 7
    assert "of launch before it" in path
    for line in (bound, path, *(row[: row.rindex(" ")] for row in rows)):
        assert sum(round(10 * float(part)) for part in re.findall(r"([\d.]+)%", line)) == 1000, line


def test_the_numbers_sum_up(attention: ptoc.Result) -> None:
    told = explanation_json(attention.explain())
    whole = attention.timeline.makespan
    path = told["critical_path"]
    assert told["makespan"] == whole == round(attention.kernel_us * 1e9)
    assert sum(path["by_cause"].values()) == sum(path["by_engine"].values()) == sum(entry["time"] for entry in path["by_line"]) == whole
    assert {(e["core"], e["engine"]) for e in told["engines"]} >= {("aic0", "M"), ("aiv0.0", "V")}
    for engine in told["engines"]:
        assert list(engine["spent"]) == list(CAUSES)
        assert sum(engine["spent"].values()) == whole
        assert engine["busy"] == engine["spent"]["work"] + engine["spent"]["bandwidth"]
        for wait in engine["waits"]:
            assert 0 < wait["time"] <= engine["spent"][wait["cause"]]
    assert told["launch"] + whole == round(attention.latency_us * 1e9)
    assert json.loads(json.dumps(told)) == told


def test_a_longer_run_is_bound_by_what_shares_bandwidth() -> None:
    found = ptoc.run(attention_by_hand, values=False, S0=6144, S1=4096, cores=24).explain()
    assert next(iter(found.path_by("engine"))) == ("MTE2",)
    (first, *_) = [step for step in found.path_by("cause", "resource") if step[0] == "bandwidth"]
    assert first == ("bandwidth", "l2_read")
    assert "bandwidth of l2_read, attention_by_hand.py" in describe_explanation(found)


def test_a_run_with_values_is_explained_the_same(attention: ptoc.Result) -> None:
    assert explanation_json(ptoc.run("flash_attention").explain()) == explanation_json(attention.explain())


def test_an_explanation_is_the_same_every_time() -> None:
    first, second = (output("run", "gemm", "--no-values", "--explain", "--json") for _ in range(2))
    assert first == second


def test_parts_sum_to_a_hundred_as_printed() -> None:
    assert parts([1, 1, 1]) == ["33.4%", "33.3%", "33.3%"]
    assert parts([2, 0, 0]) == ["100.0%", "0.0%", "0.0%"]


def test_an_unvalidated_chip_is_explained_in_parts_of_the_kernel() -> None:
    result = ptoc.run("flash_attention", "sg2262", values=False)
    told = explanation_json(result.explain())
    assert told["unit"] == "kernel"
    assert told["makespan"] == 1
    assert told["launch"] is None
    assert sum(told["critical_path"]["by_cause"].values()) == pytest.approx(1)
    assert told["pipe_utilization"]["aicore_time(us)"] is None
    assert " us" not in describe_explanation(result.explain())
    assert "us" not in output("run", "flash_attention", "--chip", "sg2262", "--no-values", "--what-if", "cube=2x").split("what if")[1]
    shown = ptoc.run("flash_attention", "sg2262", values=False, allow_unvalidated=True)
    assert explanation_json(shown.explain())["makespan"] == shown.timeline.makespan


def test_what_if_prices_again_and_nothing_else(attention: ptoc.Result) -> None:
    same = attention.what_if("cube=1x,vector=1x,mte1=1x,mte2=1x,mte3=1x,fix=1x,l2=1x,hbm=1x,sync=1x,signal=1x,issue=1x,clock=1x")
    assert same.timeline.makespan == attention.timeline.makespan
    assert [t.tolist() for t in same.timeline.complete] == [t.tolist() for t in attention.timeline.complete]
    # At twice the clock as many bytes come in half the time, so the L2 must be twice as fast for it to be as crowded.
    assert attention.what_if("clock=2x,l2=2x").relative_to(attention) == pytest.approx(0.5, rel=1e-3)
    assert attention.what_if("vector=0.5x").relative_to(attention) > 1.1
    assert attention.what_if("launch=2x").latency_us < attention.latency_us
    said = json.loads(output("run", "flash_attention", "--no-values", "--what-if", "hbm=2x,cube=inf", "--what-if", "vector=inf", "--json"))["what_if"]
    assert [entry["changes"] for entry in said] == ["hbm=2x,cube=inf", "vector=inf"]
    assert said[1]["ratio"] == round(attention.what_if("vector=inf").relative_to(attention), 6)
    assert "no part of a chip is called 'gpu'" in refused("run", "gemm", "--no-values", "--what-if", "gpu=2x")


def test_what_is_tried_is_what_the_path_consists_of(attention: ptoc.Result) -> None:
    assert list(attention.explain().without)[:2] == ["vector=inf", "mte2=inf"]
    shared = ptoc.run("vector_add", "ascend950pr", values=False).explain()
    assert "l2=inf" in shared.without
    assert {part_of(Step(cause, engine, "", "", "hbm")) for cause in PATH_CAUSES for engine in PART_OF} == set(PARTS) - {"l2", "launch", "clock", "mesh"}
    assert all(part_of(Step("bandwidth", "MTE2", "", "", name)) in PARTS for name in ("l2_read", "l2_write", "hbm", "sdma.ring"))
    for change, ratio in attention.explain().without.items():
        assert ratio == attention.what_if(change).relative_to(attention) < 1


def test_a_what_if_of_a_run_by_hand_is_refused(attention: ptoc.Result) -> None:
    alone = ptoc.Result("k", attention.chip, 1, {}, attention.program, attention.timeline)
    with pytest.raises(ArgumentError, match="k: a result that was put together by hand cannot be priced again"):
        alone.what_if("cube=2x")


def test_a_run_that_takes_no_time_has_no_explanation(attention: ptoc.Result) -> None:
    from ptoc.simulator.engine import Costs, schedule
    from ptoc.simulator.program import Core, Program, Stream

    program = Program("k", "a3", [Stream(Core("aiv", 0), [])], [])
    empty = ptoc.Result("k", attention.chip, 1, {}, program, schedule(program, [[]], Costs()))
    with pytest.raises(ArgumentError, match="k: the run takes no time, so there is nothing to explain"):
        empty.explain()


def test_a_run_of_very_many_commands_is_refused(attention: ptoc.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptoc.simulator.history.MOST", 100)
    with pytest.raises(NotSupportedError, match="flash_attention: an explanation looks at every simulated command"):
        attention.explain()


def test_relative_to_words_and_files(tmp_path: Path) -> None:
    other = ptoc.run("flash_attention", values=False, TILE=128)
    ratio = round(ptoc.run("flash_attention", values=False).relative_to(other), 6)
    command = ("run", "flash_attention", "--no-values", "--json", "--relative-to")
    found = json.loads(output(*command, "-D TILE=128"))["relative_to"]
    assert found == {"to": "-D TILE=128", "kernel": "flash_attention", "chip": "ascend910b1", "ratio": ratio}
    file = tmp_path / "run.json"
    file.write_text(output("run", "flash_attention", "--no-values", "-D", "TILE=128", "--json"))
    assert json.loads(output(*command, file))["relative_to"]["ratio"] == pytest.approx(ratio, rel=1e-5)
    assert json.loads(output(*command, "flash_attention_expert"))["relative_to"]["kernel"] == "flash_attention_expert"
    assert "relative  1.0000 of the kernel time of --chip sg2262" in output("run", "flash_attention", "--chip", "sg2262", "--no-values", "--relative-to", "--chip sg2262")
    # What is said of the run is kept for the other one, but for another kernel.
    small = output("run", "vector_add", "--case", "small", "--no-values", "--relative-to", "--chip ascend910b2", "--json")
    assert json.loads(small)["relative_to"]["ratio"] == pytest.approx(ptoc.run("vector_add", case="small", values=False).relative_to(ptoc.run("vector_add", "ascend910b2", case="small", values=False)), abs=1e-6)


def test_a_ratio_to_a_run_that_takes_no_time_is_refused() -> None:
    @ptoc.kernel
    def idle(x: ptoc.Out["N", ptoc.f32], N: int) -> None:
        """Nothing."""

    with pytest.raises(ArgumentError, match="idle: the run takes no time, so there is no ratio to it"):
        ptoc.run("vector_add", case="small", values=False).relative_to(ptoc.run(idle, N=64, values=False))


def test_what_is_printed_of_an_engine_is_no_more_than_its_whole() -> None:
    """Largest waits beside the table's column for them, whose row is rounded so that it sums to 100.0 %."""
    columns = ("work", "bandwidth", "data", "slot")
    for case in ("gemm", "vector_add", "softmax"):
        lines = output("run", case, "--no-values", "--explain").splitlines()
        rows = {tuple(line.split()[:2]): dict(zip(columns, re.findall(r"([\d.]+)%", line))) for line in lines if re.match(r"  ai[cv]\d", line)}
        found = [re.match(r"  waits     (\S+) (\S+) ([\d.]+)% for (data|room)", line) for line in lines if line.startswith("  waits")]
        assert found
        for core, engine, part, cause in (match.groups() for match in found if match):
            assert float(part) <= float(rows[core, engine]["data" if cause == "data" else "slot"])


def test_a_run_prints_as_the_command_line_says_it() -> None:
    withheld = ptoc.run("vector_add", "ascend910b4", case="small")
    assert repr(withheld).splitlines()[1] == "  time      withheld: this chip was never compared with a device (--allow-unvalidated shows it)"
    assert str(withheld.explain()) == describe_explanation(withheld.explain())
    assert re.fullmatch(r"Chip\('ascend910b4', '.*ascend910b4.yaml'\)", repr(withheld.full_chip()))


@pytest.mark.parametrize("option", ["--trace", "--report"])
def test_a_folder_that_is_not_there_is_named_as_it_was_given(tmp_path: Path, option: str) -> None:
    path = tmp_path / "absent" / "file"
    assert refused("run", "vector_add", "--case", "small", option, path) == f"error: {path}: cannot be written: No such file or directory\n"


def test_blocks_of_a_case_are_no_argument(tmp_path: Path) -> None:
    command = ("run", "vector_add", "--case", "one_core", "--no-values", "--explain", "--json")
    for name, more in (("a", ()), ("b", ("--cores", "5"))):
        (tmp_path / f"{name}.json").write_text(output(*command, *more))
    facts = [json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab"]
    assert [(f["cores"], f["arguments"]) for f in facts] == [(1, {"TILE": 8192, "N": 50001}), (5, {"TILE": 8192, "N": 50001})]
    assert "settings  cores 1 -> 5" in output("diff", tmp_path / "a.json", tmp_path / "b.json")


def test_there_is_nothing_to_save_without_values(tmp_path: Path) -> None:
    for kernel in ("vector_add", "dsa"):
        assert refused("run", kernel, "--no-values", "--save", tmp_path / "out").startswith("error: --save: with --no-values there are no outputs to save")
    assert not (tmp_path / "out").exists()


def test_relative_to_what_is_no_run_is_refused(tmp_path: Path) -> None:
    command = ("run", "vector_add", "--no-values", "--relative-to")
    assert "--relative-to '--chap 3': No such option" in refused(*command, "--chap 3")
    assert "--relative-to '\"': No closing quotation" in refused(*command, '"')
    file = tmp_path / "a.json"
    file.write_text("{")
    assert "a.json: no JSON" in refused(*command, file)
    file.write_text("{}")
    assert "a.json: not what `ptoc run --json` prints" in refused(*command, file)
    file.write_text(output("run", "vector_add", "--no-values", "--chip", "sg2262", "--json"))
    assert "no kernel time in it; write it with --allow-unvalidated" in refused(*command, file)


def test_differences_sum_to_that_of_the_times(tmp_path: Path) -> None:
    files = []
    for tile in (256, 128):
        files.append(tmp_path / f"tile{tile}.json")
        files[-1].write_text(output("run", "flash_attention", "--no-values", "-D", f"TILE={tile}", "--explain", "--json"))
    found = json.loads(output("diff", *files, "--json"))
    runs = [json.loads(file.read_text()) for file in files]
    assert found["kernel"] == runs[1]["explanation"]["makespan"] - runs[0]["explanation"]["makespan"] != 0
    assert found["kernel"] == sum(found["by_cause"].values()) == sum(found["by_engine"].values()) == sum(entry["time"] for entry in found["by_line"])
    assert found["settings"]["TILE"] == [256, 128]
    said = output("diff", *files)
    assert "is slower" in said.splitlines()[0]
    assert "TILE 256 -> 128" in said
    assert "is faster" in output("diff", *reversed(files))
    same = output("diff", files[0], files[0])
    assert "is as fast" in same
    assert "no change" in same


def test_only_explained_runs_with_times_are_compared(tmp_path: Path) -> None:
    good, plain, withheld = (tmp_path / name for name in ("good.json", "plain.json", "withheld.json"))
    good.write_text(output("run", "vector_add", "--no-values", "--explain", "--json"))
    plain.write_text(output("run", "vector_add", "--no-values", "--json"))
    withheld.write_text(output("run", "vector_add", "--no-values", "--chip", "sg2262", "--explain", "--json"))
    assert "plain.json: no explanation in it; write it with `ptoc run --explain --json`" in refused("diff", good, plain)
    assert "times of chip sg2262 were withheld" in refused("diff", withheld, good)


def test_utilisation_has_the_profilers_columns(tmp_path: Path, attention: ptoc.Result) -> None:
    file = tmp_path / "PipeUtilization.csv"
    output("run", "flash_attention", "--no-values", "-D", "S0=256", "--cores", 2, "--pipe-utilization", file)
    with file.open(newline="") as text:
        table = list(csv.DictReader(text))
    assert [(row["block_id"], row["sub_block_id"]) for row in table] == [("0", "cube0"), ("1", "cube0"), ("0", "vector0"), ("0", "vector1"), ("1", "vector0"), ("1", "vector1")]
    assert list(table[0])[2:8] == ["aic_time(us)", "aic_total_cycles", "aiv_time(us)", "aiv_total_cycles", "aiv_vec_time(us)", "aiv_vec_ratio"]
    assert len(table[0]) == 6 + 2 * len(ROWS)
    for row in table:
        kind = "aic" if row["sub_block_id"].startswith("cube") else "aiv"
        for name, value in row.items():
            assert (value != "NA") == (name.startswith(kind) or name.endswith("block_id")), name
            if name.endswith("_ratio") and value != "NA":
                assert float(value) == pytest.approx(float(row[name.replace("_ratio", "_time(us)")]) / float(row[f"{kind}_time(us)"]), abs=1e-4)
    mean = summary(attention)
    assert list(mean)[:4] == ["aicore_time(us)", "aic_total_cycles", "aic_mac_time(us)", "aic_mac_ratio"]
    busy = {(core.kind, pipe): fs for (core, pipe), fs in attention.timeline.busy().items()}
    assert mean["aic_mac_time(us)"] == round(busy["aic", "M"] / 1e9, 6)
    assert mean["aiv_vec_time(us)"] == round(busy["aiv", "V"] / 1e9, 6)
    assert mean["aiv_mte3_ratio"] == round(mean["aiv_mte3_time(us)"] / mean["aiv_time(us)"], 6)


def test_what_the_page_shows_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ ptoc (.*)$", page, re.M)
    assert len(commands) >= 6
    for command in commands:
        words, _, file = command.partition(" > ")
        said = output(*shlex.split(words))
        if file:
            Path(file).write_text(said)
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json", "report.html", "trace.json", "PipeUtilization.csv"}


def test_the_page_names_every_cause_and_part() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    assert f"({', '.join(PARTS)})" in page
    rows = [name for row in re.findall(r"^\| (\w[\w, ]*) \|", page, re.M) for name in row.split(", ")]
    assert [cause for cause in rows if cause != "cause"] == [*PATH_CAUSES, *CAUSES]


def test_a_trace_of_withheld_times_is_refused(tmp_path: Path) -> None:
    command = ("run", "vector_add", "--no-values", "--chip", "sg2262", "--trace", tmp_path / "t.json")
    assert "never compared with a device" in refused(*command)
    assert list(tmp_path.iterdir()) == []
    output(*command, "--allow-unvalidated")


def test_texts_are_explained_by_their_lines(tmp_path: Path) -> None:
    output("compile", "vector_add", "--case", "small", "--emit", "pto,sim", "-o", tmp_path)
    for name in ("vector_add.pto", "vector_add.sim.mlir"):
        said = output("run", tmp_path / name, "--explain", "--no-values")
        assert re.search(rf"{re.escape(name)}:\d+: tload on MTE2", said), said
        assert len(said.splitlines()) < 25


def test_a_kernel_without_cube_has_no_cube_columns_filled() -> None:
    mean = summary(ptoc.run("vector_add", values=False))
    assert mean["aicore_time(us)"] is None
    assert mean["aic_mac_ratio"] is None
    assert mean["aiv_vec_ratio"] > 0
