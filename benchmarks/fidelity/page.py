"""`python -m ptoc.fidelity.page PAGE.md [CURVES.csv]` writes the table of the calibration set into a page, between its markers, with the date."""

import sys
from datetime import date
from pathlib import Path

from .calibration import CALIBRATION
from .compare import Outcome, compare, grouped
from .curves import read_curves
from .report import to_svg
from .rows import read_rows

BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def table(outcomes: list[Outcome]) -> str:
    """Groups and rows as Markdown."""
    lines = ["| group | rows | refused | mean absolute error | nine in ten within | bias |", "|---|---|---|---|---|---|"]
    for g in grouped(outcomes):
        numbers = "| | |" if g.mean_abs_error_pct is None else f"{g.mean_abs_error_pct:.1f} % | {g.nine_in_ten_pct:.1f} % | {g.bias_pct:+.1f} % |"
        lines.append(f"| {g.name} | {g.rows} | {g.refused} | {numbers}")
    lines += ["", "| kernel | shape | cores | chip | metric | predicted | measured | error |", "|---|---|---|---|---|---|---|---|"]
    for o in outcomes:
        row = o.row
        if row.kernel.startswith("instruction"):
            continue
        note = f"; {row.notes.split('; Tensor=')[0]}" if o.group.startswith(("vector add", "copies")) else ""
        metric = f"{row.metric} ({row.unit}{', ' + row.window if row.window else ''})"
        shown = f"{o.predicted:.4g} | {row.value:.4g} | {o.error_pct:+.1f} %" if o.error_pct is not None else f"refused: {o.reason} | {row.value:.4g} |"
        lines.append(f"| {row.kernel} | {row.shape}{note} | {row.core_count or ''} | {row.soc.split(' (')[0]} | {metric} | {shown} |")
    return "\n".join(lines)


def curves_sentence(path: Path) -> str:
    """How the laws of single instructions do on a file of curves."""
    curves = [c for c in read_curves(path) if c.points]
    errors = sorted(c.mean_abs_error_pct for c in curves)
    points = sorted(abs(e) for c in curves for e in c.errors_pct)
    return (
        f"Curves of single instructions and paths (mskpp, {len(curves)} tables, {len(points)} points): half of the tables have a mean absolute error of at"
        f" most {errors[len(errors) // 2]:.1f} %, nine in ten of at most {errors[9 * len(errors) // 10]:.1f} %; half of the points are within"
        f" {points[len(points) // 2]:.1f} %.\n"
    )


def main(page: str, curves: str | None = None) -> None:
    """Rewrites the page's table and the plot beside it."""
    path = Path(page)
    outcomes = compare(read_rows(CALIBRATION), progress=lambda text: print(text, file=sys.stderr))
    extra = [curves_sentence(Path(curves))] if curves else []
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text("\n".join([before + BEGIN, f"As of {date.today()}.", "", *extra, table(outcomes), END + after]), encoding="utf-8")
    path.with_suffix(".svg").write_text(to_svg(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
