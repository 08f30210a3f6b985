"""What is told of each shipped kernel: its page is up to date, its limits are refused, its effective parameters are those of the compiled text."""

import importlib.util
import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner

import ptoc
from ptoc.cli import main
from ptoc.dialect.errors import ArgumentError, PtocError
from ptoc.kernel_facts import arranged_case, full
from ptoc.kernel_page import full_lines
from ptoc.loading import chip_of, load_source, shipped_kernel, shipped_names
from ptoc.running import run_arranged
from ptoc.timeline_svg import MOST, timeline_svg

ROOT = Path(__file__).parent.parent.parent
LIMITS = [(name, text, beyond) for name in shipped_names() for text, beyond in shipped_kernel(name).limits]


def module_of(path: Path) -> object:
    """A Python file that is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", shipped_names())
def test_the_page_is_up_to_date(name: str) -> None:
    for file, text in module_of(ROOT / "docs" / "generate.py").kernel_pages(name).items():
        path = ROOT / "docs" / file
        assert path.exists(), f"docs/{file} is missing: run 'python docs/generate.py'"
        assert path.read_text(encoding="utf-8") == text, f"docs/{file} is out of date: run 'python docs/generate.py'"


def test_there_are_no_pages_of_kernels_that_there_are_not() -> None:
    assert {path.stem for path in (ROOT / "docs" / "kernels").iterdir()} == set(shipped_names())


@pytest.mark.parametrize("name", shipped_names())
def test_a_kernel_describes_its_schedule(name: str) -> None:
    """A first line that says what is computed, and the kernel's own line."""
    fact = full(shipped_kernel(name))
    assert fact["description"]
    assert fact["summary"].endswith(".")


@pytest.mark.parametrize(("name", "text", "beyond"), LIMITS, ids=[f"{name}-{number}" for number, (name, _, _) in enumerate(LIMITS)])
def test_what_lies_beyond_a_limit_is_refused(name: str, text: str, beyond: dict) -> None:
    kernel = load_source(name)
    sizes = {n: v for n, v in beyond.items() if n != "cores"}
    with pytest.raises(PtocError):
        ptoc.run(kernel, chip_of(kernel, None), values=False, cores=beyond.get("cores"), **sizes)


@pytest.mark.parametrize(("beyond", "message"), [({"NOTHING": 1}, "gives 'NOTHING', which is no size or parameter"), ({}, "gives nothing that lies beyond it")])
def test_a_limit_without_an_example_is_refused(beyond: dict, message: str) -> None:
    kernel = shipped_kernel("vector_add")
    with pytest.raises(ArgumentError, match=message):
        kernel.limit("few elements", **beyond)
    assert ("few elements", beyond) not in kernel.limits


@pytest.mark.parametrize("name", ["gemm", "flash_attention", "vector_add"])
def test_effective_parameters_are_those_of_the_compiled_text(name: str) -> None:
    """Every tile of the text with its address and slots, every ring with its slots; nothing else."""
    text = arranged_case(shipped_kernel(name), None).compile().pto
    constants = dict(re.findall(r"(%c\w+) = arith.constant (\d+) : i64", text))
    tiles = re.findall(r"pto\.alloc_(?:multi_)?tile addr = (%c\w+).*?buf<(\w+), (\d+x\d+x\w+?)[,>](?:.*?count=(\d+))?", text)
    compiled = full(shipped_kernel(name))["compiled"]
    told = [(t["address"], t["tile"], t["slots"]) for memory in compiled["memories"] for t in memory["tiles"]]
    assert sorted(told) == sorted((int(constants[address]), tile, int(count or 1)) for address, _, tile, count in tiles)
    rings = {(ring, int(slots)) for ring, slots in re.findall(r'name = "(\w+)", slot_num = (\d+)', text)}
    assert {(ring["name"], ring["slot_num"]) for ring in compiled["rings"]} == rings
    for memory in compiled["memories"]:
        assert memory["used"] == max(t["address"] + t["bytes"] for t in memory["tiles"]) <= memory["capacity"]


def test_slots_follow_from_the_compilation() -> None:
    """Tiles of which L1 holds one slot alone are told with one, and with the compiler's remark."""
    def slots(**parameters: int) -> tuple[list[int], bool]:
        kernel = shipped_kernel("gemm")
        kernel.case("page", M=256, K=2048, N=512, cores=1, **parameters)
        try:
            compiled = full(kernel, case="page")["compiled"]
        finally:
            del kernel.cases["page"]
        return [t["slots"] for memory in compiled["memories"] if memory["memory"] == "l1" for t in memory["tiles"]], bool(compiled["remarks"])

    assert slots() == ([2, 2], False)
    assert sum(slots(TM=128, TN=256, TK=512)[0]) < 4


@pytest.mark.parametrize("name", ["gemm", "softmax", "flash_attention"])
def test_the_picture_shows_the_run(name: str) -> None:
    """A box for each of the first commands of the first block, inside the picture, in rows that do not overlap."""
    result = run_arranged(arranged_case(shipped_kernel(name), None), False)
    text = timeline_svg(result)
    assert text == timeline_svg(result)
    root = ElementTree.fromstring(text)
    width, height = int(root.get("width")), int(root.get("height"))
    boxes = [box for box in root.iter("{http://www.w3.org/2000/svg}rect") if len(box)]
    commands = sum(c.site.kind == "work" for s in result.program.streams if s.core.block == 0 for c in s.commands)
    assert len(boxes) == min(commands, MOST)
    rows: dict[str, list[tuple[float, float]]] = {}
    for box in boxes:
        x, wide = float(box.get("x")), float(box.get("width"))
        assert 0 <= x <= x + wide <= width + 0.2
        assert 0 < float(box.get("y")) < height
        rows.setdefault(box.get("y"), []).append((x, wide))
    for spans in rows.values():
        ordered = sorted(spans)
        assert all(a + wide <= b + 0.6 for (a, wide), (b, _) in itertools.pairwise(ordered))
    assert len(rows) == len({(str(s.core), c.site.pipe) for s in result.program.streams if s.core.block == 0 for c in s.commands if c.site.kind == "work"})


def output(*words: str) -> str:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_line_tells_the_same() -> None:
    assert output("kernels", "gemm") == "\n".join(full_lines(full(shipped_kernel("gemm")))) + "\n"
    assert "compiled for case tails on ascend910b2, 2 blocks" in output("kernels", "gemm", "--case", "tails", "--chip", "ascend910b2")
    (fact,) = json.loads(output("kernels", "gemm", "--json"))["kernels"]
    assert fact["compiled"]["memories"]
    assert fact["chosen"]["f16_6144"] == {"TAILS": False}
    every = output("kernels")
    assert all(f"{name}: " in every for name in shipped_names())
    assert "f16_6144 (large)" in every


def test_a_case_without_a_kernel_is_refused() -> None:
    result = CliRunner().invoke(main, ["kernels", "--case", "tails"])
    assert result.exit_code == 1
    assert "--case and --chip say what a kernel is compiled for; name one" in result.stderr


def test_the_bench_tells_rates_roofs_and_what_bounds() -> None:
    bench = module_of(ROOT / "benchmarks" / "kernels.py")
    kernel = shipped_kernel("gemm")
    line = dict(zip(bench.COLUMNS, bench.row(kernel, "many_cores", "ascend910b2")))
    result = ptoc.run(kernel, "ascend910b2", case="many_cores", values=False)
    assert line["latency us"] == f"{result.latency_us:.1f}"
    assert line["TFLOP/s"] == f"{result.tflops:.1f}"
    work = bench.moved(result)
    assert work.macs == {"f16": 512 * 512 * 1024}
    assert work.stored == 4 * 512 * 1024
    assert work.loaded == 2 * 512 * (512 * 4 + 1024 * 4)
    assert bench.tensor_bytes(kernel, result.arguments) == (2 * 512 * (512 + 1024), 4 * 512 * 1024)
    assert line["busiest engine"].split()[0] in result.utilization


def test_the_bench_withholds_times_of_a_chip_that_was_never_compared() -> None:
    bench = module_of(ROOT / "benchmarks" / "kernels.py")
    held, shown = (dict(zip(bench.COLUMNS, bench.row(shipped_kernel("vector_add"), "small", "ascend910b4", unvalidated))) for unvalidated in (False, True))
    assert [held[name] for name in ("latency us", "TFLOP/s", "GB/s")] == ["withheld", "", ""]
    assert float(shown["latency us"]) > 0 and shown["GB/s"] and held["chip"] == "ascend910b4*" and held["roofline"] == shown["roofline"]


def test_the_bench_names_what_is_refused(capsys: pytest.CaptureFixture) -> None:
    bench = module_of(ROOT / "benchmarks" / "kernels.py")
    kernel = shipped_kernel("vector_add")
    kernel.case("impossible", large=True, N=10, TILE=10**6)
    try:
        assert bench.main(["vector_add"]) == 1
    finally:
        del kernel.cases["impossible"]
        kernel.large_cases.clear()
    assert "refused: " in capsys.readouterr().out
