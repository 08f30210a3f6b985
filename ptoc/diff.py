"""Why one run takes longer than another: the differences of their critical paths by cause, engine and line, which sum to that of the times."""

from typing import Any

from ptoc.dialect.errors import ArgumentError

from .relative import read_run

LINES = 8
"""Lines of the source whose parts of the path differ most that are told one by one."""


def read_explained(file: str) -> dict[str, Any]:
    """What `ptoc run --explain --json` wrote.

    Raises: ArgumentError for a file without an explanation, or without the times of one.
    """
    facts = read_run(file)
    explanation = facts.get("explanation")
    if not isinstance(explanation, dict):
        raise ArgumentError(f"{file}: no explanation in it; write it with `ptoc run --explain --json`")
    if explanation.get("unit") != "fs":
        raise ArgumentError(f"{file}: times of chip {facts['chip']} were withheld, so that two runs have no common measure; write it with --allow-unvalidated")
    return facts


def difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """JSON-ready data: `ratio` is the second run's kernel time over the first's, all times are second minus first, in femtoseconds.

    Each of `by_cause`, `by_engine` and `by_line` sums to `kernel`.
    """
    one, two = first["explanation"], second["explanation"]
    paths = one["critical_path"], two["critical_path"]
    return {
        "kernel": two["makespan"] - one["makespan"],
        "ratio": round(two["makespan"] / one["makespan"], 6),
        "launch": two["launch"] - one["launch"],
        "settings": _settings(first, second),
        "by_cause": _sorted(_minus(*(path["by_cause"] for path in paths))),
        "by_engine": _sorted(_minus(*(path["by_engine"] for path in paths))),
        "by_line": [{"line": line, "op": op, "engine": engine, "time": fs} for (line, op, engine), fs in _sorted(_minus(*map(_by_line, paths))).items()],
        "engines": _engines(one, two),
    }


def _settings(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[Any]]:
    """What the runs were told differently: name to [first, second]."""
    settings = [{"kernel": run["kernel"], "chip": run["chip"], "cores": run["cores"], **run["arguments"]} for run in (first, second)]
    names = dict.fromkeys([*settings[0], *settings[1]])
    return {name: [run.get(name) for run in settings] for name in names if settings[0].get(name) != settings[1].get(name)}


def _by_line(path: dict[str, Any]) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    for entry in path["by_line"]:
        key = entry["line"], entry["op"], entry["engine"]
        found[key] = found.get(key, 0) + entry["time"]
    return found


def _minus(first: dict[Any, int], second: dict[Any, int]) -> dict[Any, int]:
    return {key: second.get(key, 0) - first.get(key, 0) for key in dict.fromkeys([*first, *second])}


def _sorted(times: dict[Any, int]) -> dict[Any, int]:
    """The largest difference first, without what did not change."""
    return dict(sorted(((key, fs) for key, fs in times.items() if fs), key=lambda item: (-abs(item[1]), item[0])))


def _engines(one: dict[str, Any], two: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Engine to its busy time by core of both runs and the change of what it waits for: means over the cores that have it, in fs."""
    found: dict[str, dict[str, float]] = {}
    means = [_means(explanation) for explanation in (one, two)]
    for name in dict.fromkeys([*means[0], *means[1]]):
        first, second = (mean.get(name, {}) for mean in means)
        changes = _minus(first, second)
        found[name] = {cause: round(fs) for cause, fs in changes.items() if round(fs)}
    return {name: changes for name, changes in found.items() if changes}


def _means(explanation: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Engine ("aic M") to the mean of its time by cause."""
    totals: dict[str, dict[str, int]] = {}
    cores: dict[str, int] = {}
    for engine in explanation["engines"]:
        name = f"{engine['core'][:3]} {engine['engine']}"
        cores[name] = cores.get(name, 0) + engine["stands_for"]
        mine = totals.setdefault(name, {})
        for cause, fs in engine["spent"].items():
            mine[cause] = mine.get(cause, 0) + fs * engine["stands_for"]
    return {name: {cause: fs / cores[name] for cause, fs in spent.items()} for name, spent in totals.items()}


def describe_difference(first: str, second: str, runs: tuple[dict[str, Any], dict[str, Any]], found: dict[str, Any]) -> str:
    """The difference as readable lines."""
    one, two = (run["explanation"]["makespan"] for run in runs)
    word = "slower" if found["kernel"] > 0 else "faster" if found["kernel"] < 0 else "as fast"
    lines = [f"{second} is {word}: kernel {two / 1e9:.2f} us against {one / 1e9:.2f} us of {first}, {_us(found['kernel'])}, ratio {found['ratio']:.3f}"]
    settings = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in found["settings"].items())
    lines.append(f"  settings  {settings or 'the same'}")
    for title, key in (("by cause", "by_cause"), ("by engine", "by_engine")):
        lines.append(f"  {title:9} {', '.join(f'{name} {_us(fs)}' for name, fs in found[key].items()) or 'no change'}")
    if found["by_line"]:
        lines.append("  by line of the critical path")
    for entry in found["by_line"][:LINES]:
        lines.append(f"  {_us(entry['time']):>12}  {entry['line']}: {entry['op']} on {entry['engine']}")
    rest = found["by_line"][LINES:]
    if rest:
        lines.append(f"  {_us(sum(entry['time'] for entry in rest)):>12}  {len(rest)} more")
    longer = ((name, cause, fs) for name, changes in found["engines"].items() for cause, fs in changes.items())
    most = sorted(longer, key=lambda item: (-abs(item[2]), item[:2]))[:LINES]
    if most:
        lines.append("  engines   " + ", ".join(f"{name} {cause} {_us(fs)}" for name, cause, fs in most) + " (means over cores)")
    return "\n".join(lines)


def _us(fs: float) -> str:
    return f"{fs / 1e9:+.2f} us" if abs(fs) >= 1e7 else f"{fs / 1e6:+.1f} ns"
