"""Rows of device measurements: read from CSV, their shapes, tunings and chips parsed, and repeated measurements averaged.

Columns: kernel, soc, cores, shape, dtype, metric, value, unit, window, l2, notes, source.  A shape is sizes (`S0=128;S1=1024`, `M=N=K=8192`),
extents (`8192x8192`, `tensor[12288,12288] tile[64,64]`) or an amount (`8 MB`).
"""

import csv
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ptoc.dialect.errors import ArgumentError

COLUMNS = ("kernel", "soc", "cores", "shape", "dtype", "metric", "value", "unit", "window", "l2", "notes", "source")
WINDOWS = ("host_events", "msprof_task", "device_counter")


@dataclass(frozen=True)
class Row:
    """One device measurement; `line` is its line in the file, `samples` how many rows were averaged into it."""

    line: int
    kernel: str
    soc: str
    cores: str
    shape: str
    dtype: str
    metric: str
    value: float
    unit: str
    window: str
    l2: str
    notes: str
    source: str
    samples: int = 1

    @property
    def sizes(self) -> dict[str, int]:
        """`A=1;B=2` and `M=N=K=8` as numbers by name, in upper case."""
        result: dict[str, int] = {}
        for part in re.split(r"[;,\s]+", self.shape):
            *names, value = part.split("=")
            if names and re.fullmatch(r"\d+", value):
                result |= {name.strip().upper(): int(value) for name in names}
        return result

    @property
    def extents(self) -> tuple[int, ...]:
        """`8192x8192` as (8192, 8192); () where the shape is none."""
        found = re.fullmatch(r"\s*\[?(\d+)\s*(?:[x,]\s*(\d+)\s*)*\]?\s*", self.shape)
        return tuple(int(n) for n in re.findall(r"\d+", self.shape)) if found else ()

    def bracket(self, name: str) -> tuple[int, ...]:
        """`tile[64,256]` as (64, 256) for "tile"; () where it is not there."""
        found = re.search(rf"{name}\s*\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]", self.shape, re.IGNORECASE)
        return tuple(int(n) for n in found[1].split(",")) if found else ()

    @property
    def amount_bytes(self) -> int | None:
        """`8 MB` as 8,000,000; None where the shape is no amount."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(KB|MB|GB|KIB|MIB|GIB)\s*", self.shape, re.IGNORECASE)
        scale = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
        return round(float(found[1]) * scale[found[2].upper()]) if found else None

    @property
    def core_count(self) -> int | None:
        """Number of cores, None where the row does not say."""
        found = re.match(r"\s*(\d+)", self.cores)
        return int(found[1]) if found else None

    @property
    def runs(self) -> int | None:
        """How many runs the window holds (`repeat 20`, `100 iterations`, `avg of 200`), None where the row does not say."""
        found = re.search(r"\b(?:repeats?|avg of)\s+(\d+)|\b(\d+)\s+(?:iterations|runs|repeats)\b", f"{self.metric}; {self.notes}", re.IGNORECASE)
        return int(found[1] or found[2]) if found else None

    @property
    def identity(self) -> tuple:
        """What rows share that measure the same thing on different hosts, or state it twice."""
        notes = "" if re.search(r"\bhost\b", self.notes) else self.notes
        return (self.kernel, self.soc, self.cores, self.shape, self.dtype, self.metric, self.unit, self.window, self.l2, _untitled(notes))


def _untitled(notes: str) -> str:
    """Notes without their title, so that a scenario told under two headings is one."""
    return re.sub(r"^(scenario \d+): [^;]*;", r"\1;", notes)


def chip_of(soc: str) -> str:
    """The chip that a `soc` column names: `Ascend910B1 (Atlas A2)` is ascend910b1, a die of A3 ascend910c.  "" where none is named."""
    text = soc.lower()
    if found := re.search(r"910_?b(\d)", text):
        return f"ascend910b{found[1]}"
    if re.search(r"910_?93|910c|\ba3\b", text):
        return "ascend910c"
    if "950" in text:
        return "ascend950pr"
    return "sg2262" if "sg2262" in text else ""


def read_rows(path: Path) -> list[Row]:
    """The rows of a CSV file.  Raises ArgumentError naming file, line and column of what is missing or is no number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin a file with a byte order mark
            reader = csv.DictReader(file)
            absent = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if absent:
                raise ArgumentError(f"{path}: column '{absent[0]}' is missing; a file of measurements has {', '.join(COLUMNS)}")
            return [_row(record, reader.line_num, path) for record in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArgumentError(f"{path}: cannot be read: {error}") from None


def _row(record: dict[str, str | None], line: int, path: Path) -> Row:
    texts = {column: (record[column] or "").strip() for column in COLUMNS}
    try:
        value = float(texts.pop("value"))
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ArgumentError(f"{path}:{line}: column 'value' must be a number of at least 0; got {record['value'] or ''!r}")
    return Row(line=line, value=value, **texts)


def averaged(rows: list[Row]) -> list[Row]:
    """Rows that repeat a measurement (on another host, or stated twice) become one with the mean of their values, where the first stood."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.identity, []).append(row)
    return [replace(same[0], value=sum(r.value for r in same) / len(same), samples=len(same)) for same in groups.values()]
