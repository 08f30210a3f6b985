"""The HTML report: one file that loads nothing, well formed, with numbers that sum up; drawn by a browser where there is one."""

import itertools
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

import ptoc
from ptoc import report
from ptoc.cli import main
from ptoc.dialect.errors import ArgumentError
from ptoc.profiler_columns import summary
from ptoc.report import WIDTH, to_html, write_report

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
EMPTY = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """What stands in a page: tags with attributes, rows of tables by id, boxes of the timeline by track; every tag that opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.tracks: dict[str, list[tuple[float, float]]] = {}
        self.table = self.track = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.seen.append((tag, found))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.table = found["id"]
            self.tables[self.table] = []
        elif tag == "tr":
            self.tables[self.table].append([])
        elif tag in ("td", "th"):
            self.tables[self.table][-1].append("")
        elif tag == "g":
            self.track = found["data-track"]
            self.tracks[self.track] = []
        elif tag == "rect":
            self.tracks[self.track].append((float(found["x"]), float(found["width"])))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[self.table][-1][-1] += data


def percents(cells: list[str]) -> int:
    """Sum of the cells that are per cents, in tenths."""
    return sum(round(10 * float(cell[:-1])) for cell in cells if cell.endswith("%"))


@pytest.fixture(scope="module")
def text() -> str:
    return to_html(ptoc.run("flash_attention", values=False).explain())


def test_the_page_loads_nothing(text: str) -> None:
    page = Page(text)
    assert not [tag for tag, attributes in page.seen if "src" in attributes or "href" in attributes or tag in ("link", "img", "iframe")]
    assert "http" not in text


def test_its_tables_sum_up(text: str) -> None:
    page = Page(text)
    assert set(page.tables) == {"path", "engines", "waits", "roofs", "utilization"}
    assert sum(percents(row) for row in page.tables["path"]) == 1000
    header, *engines = page.tables["engines"]
    assert [row[:2] for row in engines] == [["aic0", name] for name in ("MTE2", "MTE1", "M", "FIX")] + [["aiv0.0", name] for name in ("MTE2", "V", "MTE3")]
    assert all(percents(row) == 1000 and len(row) == len(header) for row in engines)
    busy = ptoc.run("flash_attention", values=False)
    assert ["aic_mac_time(us)", str(summary(busy)["aic_mac_time(us)"])] in page.tables["utilization"]


@pytest.mark.parametrize("columns", [1500, 40])
def test_the_timeline_is_covered(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SLICES", columns)
    text = to_html(ptoc.run("flash_attention", values=False).explain())
    tracks = Page(text).tracks
    assert list(tracks) == ["critical path", "aic0 MTE2", "aic0 MTE1", "aic0 M", "aic0 FIX", "aiv0.0 MTE2", "aiv0.0 V", "aiv0.0 MTE3"]
    for boxes in tracks.values():
        assert boxes[0][0] == 0
        assert all(abs(one[0] + one[1] - two[0]) < 0.01 for one, two in itertools.pairwise(boxes))
        assert abs(sum(boxes[-1]) - WIDTH) < 0.01
    assert ("drawn in columns of" in text) == (columns == 40)
    assert columns != 40 or all(len(boxes) <= 40 for name, boxes in tracks.items() if name.startswith("ai"))


def test_columns_show_what_takes_most_of_each() -> None:
    explanation = ptoc.run("vector_add", values=False).explain()
    for engine in explanation.engines[:4]:
        edges = report.np.array([0, explanation.makespan // 3, explanation.makespan])
        by_cause = [report._within(engine.intervals, cause, edges) for cause in range(len(report.CAUSES))]
        assert [int(times.sum()) for times in by_cause] == engine.intervals.total().tolist()
        assert sum(int(times[0]) for times in by_cause) == edges[1]


def test_names_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    result = ptoc.run("vector_add", values=False)
    result.kernel = "<b>&"
    text = to_html(result.explain())
    assert "<b>&" not in text
    assert "&lt;b&gt;&amp;" in text


def test_withheld_times_stay_withheld() -> None:
    text = to_html(ptoc.run("flash_attention", "sg2262", values=False).explain())
    assert not re.search(r"\d us", text)
    assert ["aic_mac_time(us)", "withheld"] in Page(text).tables["utilization"]


def test_the_command_writes_the_same_file_every_time(tmp_path: Path, text: str) -> None:
    for name in ("a.html", "b.html"):
        result = CliRunner().invoke(main, ["run", "flash_attention", "--no-values", "--report", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        assert (tmp_path / name).read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.html").mkdir()
    with pytest.raises(ArgumentError, match=r"r\.html: cannot be written: Is a directory"):
        write_report(ptoc.run("vector_add", values=False), tmp_path / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_browser_draws_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(text)
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    boxes = sum(len(track) for track in Page(text).tracks.values())
    assert f'data-boxes="{boxes}"' in drawn
