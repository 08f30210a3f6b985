"""Outcomes as text, JSON and SVG."""

import math
from typing import Any

from .compare import Outcome, grouped


def to_json(outcomes: list[Outcome]) -> dict[str, Any]:
    """{"rows": [...], "groups": [...]}, ready for JSON."""
    return {"rows": [_row(o) for o in outcomes], "groups": [vars(g) | {} for g in grouped(outcomes)]}


def _row(outcome: Outcome) -> dict[str, Any]:
    row = outcome.row
    return {
        "kernel": row.kernel,
        "soc": row.soc,
        "shape": row.shape,
        "cores": row.core_count,
        "metric": row.metric,
        "unit": row.unit,
        "window": row.window,
        "l2": row.l2,
        "notes": row.notes,
        "group": outcome.group,
        "predicted": outcome.predicted,
        "measured": row.value,
        "samples": row.samples,
        "error_pct": outcome.error_pct,
        "reason": outcome.reason or None,
    }


def to_text(outcomes: list[Outcome]) -> str:
    """A table of rows by group, a table of groups, and the refused rows with their reasons."""
    lines = [f"{'predicted':>10} {'measured':>10} {'error':>8}  row"]
    for name in dict.fromkeys(o.group for o in outcomes):
        lines.append(f"{name}:")
        for o in outcomes:
            if o.group == name and o.error_pct is not None:
                lines.append(f"{o.predicted:10.4g} {o.row.value:10.4g} {o.error_pct:+7.1f}%  {_label(o)}")
    lines += ["", f"{'group':24} {'rows':>5} {'refused':>8} {'mean abs':>9} {'9 in 10':>8} {'bias':>8}"]
    for g in grouped(outcomes):
        numbers = "" if g.mean_abs_error_pct is None else f" {g.mean_abs_error_pct:8.1f}% {g.nine_in_ten_pct:7.1f}% {g.bias_pct:+7.1f}%"
        lines.append(f"{g.name:24} {g.rows:5} {g.refused:8}{numbers}")
    refused = [o for o in outcomes if o.error_pct is None]
    lines += ["", "refused:"] if refused else []
    lines += [f"  {_label(o)}: {o.reason}" for o in refused]
    return "\n".join(lines)


def _label(outcome: Outcome) -> str:
    row = outcome.row
    cores = f" on {row.core_count} cores" if row.core_count else ""
    note = f" [{row.notes[:28]}]" if outcome.group.startswith(("vector add", "copies")) else ""
    window = f", {row.window}" if row.window else ""
    return f"{row.kernel} {row.shape}{cores}, {row.soc.split(' (')[0]}: {row.metric} ({row.unit}{window}){note}"


SIZE, EDGE = 640, 60
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f", "#bcbd22", "#e377c2", "#000000")


def to_svg(outcomes: list[Outcome]) -> str:
    """Measured time (across) against predicted time (up), both logarithmic in microseconds, with lines at equality and 10 % from it."""
    scale = {"us": 1.0, "ms": 1e3}
    points = [(o.group, o.row.value * scale[o.row.unit], o.predicted * scale[o.row.unit]) for o in outcomes if o.predicted and o.row.unit in scale]
    if not points:
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{SIZE}"/>\n'
    low = math.floor(math.log10(min(min(m, p) for _, m, p in points)))
    high = max(low + 1, math.ceil(math.log10(max(max(m, p) for _, m, p in points))))

    def place(us: float) -> float:
        return EDGE + (math.log10(us) - low) / (high - low) * (SIZE - 2 * EDGE)

    groups = list(dict.fromkeys(group for group, _, _ in points))
    body = []
    for factor, dash in ((1.0, ""), (0.9, "4 4"), (1.1, "4 4")):
        a, b = 10.0**low / min(factor, 1.0), 10.0**high / max(factor, 1.0)
        body.append(
            f'<line x1="{place(a):.1f}" y1="{SIZE - place(a * factor):.1f}" x2="{place(b):.1f}" y2="{SIZE - place(b * factor):.1f}"'
            f' stroke="#999" stroke-dasharray="{dash}"/>'
        )
    for power in range(low, high + 1):
        at = place(10.0**power)
        body.append(f'<text x="{at:.1f}" y="{SIZE - EDGE + 18}" text-anchor="middle">{10.0**power:g}</text>')
        body.append(f'<text x="{EDGE - 8}" y="{SIZE - at:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for group, measured, predicted in points:
        colour = COLOURS[groups.index(group) % len(COLOURS)]
        body.append(f'<circle cx="{place(measured):.1f}" cy="{SIZE - place(predicted):.1f}" r="4" fill="{colour}" fill-opacity="0.7"/>')
    for number, group in enumerate(groups):
        body.append(f'<text x="{EDGE + 10}" y="{EDGE + 16 * number}" fill="{COLOURS[number % len(COLOURS)]}">{group}</text>')
    body.append(f'<text x="{SIZE / 2}" y="{SIZE - 16}" text-anchor="middle">measured, us</text>')
    body.append(f'<text x="16" y="{SIZE / 2}" text-anchor="middle" transform="rotate(-90 16 {SIZE / 2})">predicted, us</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{SIZE}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{SIZE}" height="{SIZE}" fill="white"/>', *body, "</svg>", ""])
