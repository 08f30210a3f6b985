"""Curves of single instructions and paths: points of a measured table beside the chip's laws.

Columns: kind, instr_or_path, dtypes, soc, size_value, derived_cycles_at_1800MHz (and table, size_key, notes): a loop of one instruction, its
time as cycles of 1.8 GHz.  kind: vector (size `128(1)`: elements(repeats)), cube (`m,k,n`), dma (KiB).
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ptoc.dialect.errors import ArgumentError, ChipError
from ptoc.machine.chip import ANY, Chip, canonical, load_chip
from ptoc.machine.pricing import item_cycles
from ptoc.machine.work import Cube, Transfer, Vector, WorkItem

from .rows import chip_of

COLUMNS = ("kind", "instr_or_path", "dtypes", "soc", "size_value", "derived_cycles_at_1800MHz")
DTYPES = {
    "FP16": "f16", "FP32": "f32", "BF16": "bf16", "INT4": "i4", "INT8": "i8", "UINT8": "ui8", "INT16": "i16", "UINT16": "ui16", "INT32": "i32",
    "UINT32": "ui32", "INT64": "i64", "UINT64": "ui64",
}  # fmt: skip
SHORT = {"FP16": "f16", "FP32": "f32", "BF16": "bf16", "INT4": "s4", "INT8": "s8", "UINT8": "u8", "INT16": "s16", "INT32": "s32", "INT64": "s64"}
PATHS = {"L1_TO_BT": "l1_to_bias", "L1_TO_FB": "l1_to_scaling", "GM_TO_L1_TRANS": "gm_to_l1_dn"}
ALONE = frozenset({"910b3"})
"""Chips whose tables of multiplies and loads time one command alone, start-up included: 23 + m*k*n / 4102 cycles where a loop takes 2.4 more."""

NAMES = {"VECTORDUP": "vector_dup", "VMRGSORT": "vmrgsort4", "VCONVDEQ": "vconv_deq", "VCONVVDEQ": "vconv_vdeq"}


@dataclass(frozen=True)
class Curve:
    """One measured table: `points` of (predicted, measured) cycles; `reason` where the chip has no law for it."""

    name: str
    soc: str
    kind: str
    points: tuple[tuple[float, float], ...]
    reason: str = ""

    @property
    def errors_pct(self) -> list[float]:
        """Error of each point in percent."""
        return [100 * (predicted / measured - 1) for predicted, measured in self.points]

    @property
    def mean_abs_error_pct(self) -> float | None:
        """Mean of the absolute errors, None where there is no law."""
        return sum(map(abs, self.errors_pct)) / len(self.points) if self.points else None


def is_table_of_curves(path: Path) -> bool:
    """Whether a CSV file has the columns of curves."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return set(COLUMNS) <= set(next(csv.reader(file), ()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ArgumentError(f"{path}: cannot be read: {error}") from None


def read_curves(path: Path, chip: str | None = None) -> list[Curve]:
    """The tables of a file, each point beside its prediction.  chip: price all on this one.  Raises ArgumentError for a number that is none."""
    tables: dict[tuple[str, str, str], list[tuple[str, str, str, float]]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line, record in enumerate(csv.DictReader(file), 2):
            if not record["derived_cycles_at_1800MHz"]:
                continue
            try:
                cycles = float(record["derived_cycles_at_1800MHz"])
            except ValueError:
                raise ArgumentError(f"{path}:{line}: column 'derived_cycles_at_1800MHz' must be a number; got {record['derived_cycles_at_1800MHz']!r}") from None
            name = "_".join(filter(None, (record["instr_or_path"], record["dtypes"])))
            tables.setdefault((name, record["soc"], record["kind"]), []).append((record["instr_or_path"], record["dtypes"], record["size_value"], cycles))
    return [_curve(name, soc, kind, points, chip) for (name, soc, kind), points in tables.items()]


def _curve(name: str, soc: str, kind: str, points: list[tuple[str, str, str, float]], given: str | None) -> Curve:
    number = re.fullmatch(r"910b(\d)", soc)
    wanted = given or (f"ascend910b{number[1]}" if number else chip_of(soc))
    try:
        if not wanted:
            raise ChipError(f"no chip is known as '{soc}'")
        chip = load_chip(wanted)
        to_laws = float(chip.number("clocks.laws")) / 1.8
        alone = soc in ALONE and (kind == "cube" or name.startswith("GM_"))
        pairs = tuple(
            (item_cycles(chip, _item(chip, kind, *point))[alone] - _issue(chip, kind, point[0]), cycles * to_laws) for *point, cycles in points
        )
    except ChipError as error:
        return Curve(name, soc, kind, (), str(error))
    return Curve(name, soc, kind, pairs)


def _issue(chip: Chip, kind: str, name: str) -> float:
    """What a command costs in a kernel beyond a loop of it, which the tables do not show."""
    return float(chip.path_law(_path(name)).issue) if kind == "dma" else 0.0


def _path(name: str) -> str:
    return PATHS.get(name, name.lower())


def _item(chip: Chip, kind: str, name: str, dtypes: str, size: str) -> WorkItem:
    """The work of one point."""
    if kind == "cube":
        m, k, n = map(int, size.split(","))
        return Cube(DTYPES[dtypes.split("_")[0]], m, k, n)
    if kind == "dma":
        return Transfer(_path(name), 1, round(float(size) * 1024))
    if kind != "vector":
        raise ChipError(f"curves of kind '{kind}' have no law")
    first, *others = dtypes.split("_")
    mnemonic = NAMES.get(name, name.lower())
    converted = f"{mnemonic}_{SHORT.get(first, first.lower())}2{SHORT.get(others[-1], others[-1].lower())}" if others else ""
    if any((canonical(converted), dtype) in chip.vectors for dtype in (ANY, DTYPES[first])):
        mnemonic = converted
    repeats = re.search(r"\((\d+)", size)
    return Vector(mnemonic, DTYPES[first], int(repeats[1]) if repeats else 1)


def describe_curves(curves: list[Curve]) -> str:
    """One line for each table, then how the tables do by chip: median and mean of their mean absolute errors, and of all points."""
    lines = [f"{'points':>6} {'mean abs':>9} {'largest':>8}  table"]
    for c in curves:
        if c.points:
            lines.append(f"{len(c.points):6} {c.mean_abs_error_pct:8.2f}% {max(map(abs, c.errors_pct)):7.1f}%  {c.name}, {c.soc}")
    lines.append("")
    for soc in dict.fromkeys(c.soc for c in curves):
        known = [c for c in curves if c.soc == soc and c.points]
        if known:
            errors = [c.mean_abs_error_pct for c in known]
            points = [abs(e) for c in known for e in c.errors_pct]
            lines.append(
                f"{soc}: {len(known)} tables, median {median(errors):.2f}%, mean {sum(errors) / len(errors):.2f}%;"
                f" {len(points)} points, median {median(points):.2f}%, mean {sum(points) / len(points):.2f}%"
            )
    refused = [c for c in curves if not c.points]
    lines += ["", "refused:"] if refused else []
    return "\n".join(lines + [f"  {c.name}, {c.soc}: {c.reason}" for c in refused])


def curves_json(curves: list[Curve]) -> dict:
    """The tables as JSON-ready data."""
    return {
        "curves": [
            {"name": c.name, "soc": c.soc, "kind": c.kind, "points": len(c.points), "mean_abs_error_pct": c.mean_abs_error_pct, "reason": c.reason or None}
            for c in curves
        ]
    }
