"""A kernel's facts as lines for the command line, and as a page of docs/kernels."""

from typing import Any


def signature(fact: dict[str, Any]) -> list[str]:
    """The tensors, a line each."""
    lines = []
    for a in fact["arguments"]:
        shape, stored = ", ".join(map(str, a["shape"])), f", stored as {a['stored_by']} says" if a["stored_by"] else ""
        lines.append(f"{'out' if a['output'] else 'in '} {a['name']}[{shape}] {a['dtype']}{stored}")
    return lines


def listed(values: dict[str, Any]) -> str:
    """Names with their values."""
    return ", ".join(f"{k}={v}" if v != "" else f'{k}=""' for k, v in values.items())


def tolerance(stated: Any) -> str:
    """A tolerance: one number, absolute and relative, or one of these by element type."""
    if isinstance(stated, dict):
        return ", ".join(f"{dtype} {tolerance(one)}" for dtype, one in stated.items())
    return f"{stated[0]:g} absolute, {stated[1]:g} relative" if isinstance(stated, tuple) else f"{stated:g}"


def brief_lines(fact: dict[str, Any]) -> list[str]:
    """A kernel in the list of all."""
    cases = ", ".join(f"{name} (large)" if name in fact["large_cases"] else name for name in fact["cases"])
    return [f"{fact['name']}: {fact['summary']}", f"  cases: {cases or 'none'}"]


def full_lines(fact: dict[str, Any]) -> list[str]:
    """All of a kernel, for the command line."""
    lines = [f"{fact['name']}: {fact['summary']}", "", *fact["description"].split("\n"), ""]
    lines += [f"  {line}" for line in signature(fact)]
    lines.append(f"  parameters: {listed(fact['parameters']) or 'none'}")
    for case, arguments in fact["cases"].items():
        chosen = f"; chosen: {listed(fact['chosen'][case])}" if fact["chosen"][case] else ""
        lines.append(f"  case {case}{' (large)' if case in fact['large_cases'] else ''}: {listed(arguments)}{chosen}")
    lines += [f"  limit: {limit['text']} (refused: {listed(limit['beyond'])})" for limit in fact["limits"]]
    return [*lines, *compiled_lines(fact["compiled"])]


def compiled_lines(compiled: dict[str, Any]) -> list[str]:
    """What the compiled kernel says of itself."""
    lines = ["", f"{_compiled_for(compiled)}:"]
    for memory in compiled["memories"]:
        lines.append(f"  {memory['memory']}: {memory['used']} of {memory['capacity']} bytes")
        lines += [f"    {t['address']:>8} {t['bytes']:>8} bytes  {t['tile']}{_times(t['slots'])}  {t['location']}" for t in memory["tiles"]]
    for ring in compiled["rings"]:
        lines.append(f"  ring {_ring(ring)}")
    lines.append(f"  {_sync(compiled)}")
    return lines + [f"  remark: {remark}" for remark in compiled["remarks"]]


def _compiled_for(compiled: dict[str, Any]) -> str:
    blocks = f"{compiled['cores']} block{'s' if compiled['cores'] != 1 else ''}"
    return f"compiled for case {compiled['case']} on {compiled['chip']}, {blocks}: {listed(compiled['arguments'])}"


def _times(slots: int) -> str:
    return f" x{slots}" if slots > 1 else ""


def _ring(ring: dict[str, Any]) -> str:
    numbers = f"{ring['slot_num']} slots of {ring['slot_size']} bytes"
    local = f", {ring['local_slot_num']} in the consumer's memory" if "local_slot_num" in ring else ""
    period = f", given back every {ring['sync_period']}" if "sync_period" in ring else ""
    return f"{ring.get('name', '')}: {ring['direction']}, {numbers}{local}{period}"


def _sync(compiled: dict[str, Any]) -> str:
    flags, barriers = compiled["sync"]["flags"], compiled["sync"]["barriers"]
    return f"{flags} sets and waits of flags and {barriers} barrier{'s' if barriers != 1 else ''} in the text"


def page(fact: dict[str, Any], note: str, picture: str) -> str:
    """The page of a kernel; `picture`: file name of its timeline, "" without."""
    compiled = fact["compiled"]
    lines = [f"# {fact['name']}", "", note, fact["summary"], "", *fact["description"].split("\n"), "", "## Arguments", "", "```", *signature(fact), "```", ""]
    details = fact["details"].partition("\n")[2].strip("\n")
    lines += ["", details, ""] if details else []
    lines += [f"Parameters: {listed(fact['parameters']) or 'none'}. Tolerance: {tolerance(fact['tolerance'])}.", ""]
    lines += ["## Limits", "", "Each with a run that it refuses.", ""] if fact["limits"] else []
    lines += [f"- {limit['text']} (refused: `{listed(limit['beyond'])}`)" for limit in fact["limits"]]
    lines += ["", "## Cases", "", "Large ones are timed by `make bench-kernels` and not run with values by tests.", "", "| case | sizes and parameters | chosen by the kernel |", "|---|---|---|"]
    lines += [f"| {case}{' (large)' if case in fact['large_cases'] else ''} | {listed(arguments)} | {listed(fact['chosen'][case])} |" for case, arguments in fact["cases"].items()]
    lines += ["", "## Compiled", "", f"C{_compiled_for(compiled)[1:]}. {_sync(compiled)}.", ""]
    lines += ["| memory | bytes | address | tile | slots | made at |", "|---|---|---|---|---|---|"]
    for memory in compiled["memories"]:
        lines.append(f"| **{memory['memory']}** | {memory['used']} of {memory['capacity']} | | | | |")
        lines += [f"| | {t['bytes']} | {t['address']} | {t['tile']} | {t['slots']} | {t['location']} |" for t in memory["tiles"]]
    lines += ["", *(f"- Ring {_ring(ring)}." for ring in compiled["rings"])] if compiled["rings"] else []
    lines += ["", *(f"- Remark: {remark}" for remark in compiled["remarks"])] if compiled["remarks"] else []
    lines += ["", "## Timeline", "", f"![Engines of the first block over time]({picture})", ""] if picture else [""]
    return _one_blank("\n".join(lines))


def _one_blank(text: str) -> str:
    """No two empty lines in a row."""
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text
