"""A chip that is faster in one thing, for what-if questions: the chip file with some of its numbers changed, read as strictly as any other."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from ptoc.dialect.errors import ArgumentError, ChipError

from .chip import Chip, chip_of, exact, first_error

INFINITE = 1000
"""`inf`: so many times as fast, which leaves a thousandth of the time and every law of the file as it is."""

LARGEST = 10**6
"""The largest factor that a text may give."""

PARTS = {
    "cube": ("cube",),
    "vector": ("vector", "paths.ub_to_ub"),
    "mte1": ("paths.l1_to_l0a", "paths.l1_to_l0b", "paths.l1_to_bias", "paths.l1_to_scaling", "paths.l1_to_ub"),
    "mte2": ("paths.gm_to_l1", "paths.gm_to_l1_dn", "paths.gm_to_ub"),
    "mte3": ("paths.ub_to_gm", "paths.ub_to_l1", "paths.l1_to_gm"),
    "fix": ("paths.l0c_to_gm", "paths.l0c_to_l1", "paths.l0c_to_ub"),
    "l2": ("shared.l2_read", "shared.l2_write", "shared.l2_miss", "shared.l2_mixed"),
    "hbm": ("shared.hbm", "shared.hbm_write", "shared.cold", "shared.cold_burst"),
    "sync": ("sync.set_flag", "sync.wait_flag", "sync.barrier"),
    "signal": ("sync.signal",),
    "issue": ("sync.issue",),
    "scalar": ("sync.scalar_operation",),
    "launch": ("launch",),
    "clock": ("clocks",),
    "sdma": ("sdma",),
    "mesh": ("mesh",),
}
"""Name of a part of the chip to the keys of the chip file that say how fast it is."""

RATES = ("GHz", "bytes/cycle", "GB/s", "MACs/cycle")
TIMES = ("cycles", "cycles/repeat", "us")
FIXED = ("name", "description", "arch", "toolchain", "validated", "sources", "cores", "memories")
"""Sections that no what-if changes: what they say has gone into the compiled program."""

FLAGS = ("sync.event_ids", "sync.cross_core_flags", "sync.cross_core_counter_max")
"""Numbers of the other sections that have gone into it too."""


def changed(chip: Chip, text: str) -> Chip:
    """The chip with changes such as `hbm=2x,cube=inf,sync.signal=0`.

    NAME=2x: the part of PARTS, or the one number at a dotted key, is that many times as fast: rates are multiplied, times divided; a factor
    below 1 makes it slower.  inf: INFINITE times.  KEY=NUMBER: what the number at a dotted key is, in its unit.
    Raises: ArgumentError for a text or name that makes no sense, ChipError for a number that no chip can have.
    """
    changes: dict[tuple[str, ...], Any] = {}
    numbers = dict(_numbers(chip.data.model_dump(), ()))
    for name, value in _pairs(text):
        factor = _factor(value)
        for path in _keys(chip, name, numbers, factor):
            old, unit = changes.get(path, numbers[path]["value"]), numbers[path]["unit"]
            changes[path] = _absolute(name, value) if factor is None else _faster(old, unit, factor)
    tree = chip.data.model_dump()
    for path, value in changes.items():
        _set(tree, path, value)
    try:
        return chip_of(type(chip.data).model_validate(tree), chip.file)
    except ValidationError as error:
        raise ChipError(f"what-if '{text}': {first_error(error)}", chip.file) from None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not (name and equals and value):
            raise ArgumentError(f"what-if '{text}': expected NAME=2x, NAME=inf or KEY=NUMBER, separated by commas; got '{part.strip()}'")
        yield name, value.strip()


def _factor(value: str) -> Fraction | None:
    """How many times as fast, None for a plain number."""
    if value == "inf":
        return Fraction(INFINITE)
    if not value.endswith("x"):
        return None
    try:
        factor = Fraction(value[:-1])
    except (ValueError, ZeroDivisionError):
        raise ArgumentError(f"what-if: '{value}' is no factor; expected a number and x, as in 2x or 0.5x") from None
    if not 0 < factor <= LARGEST:
        raise ArgumentError(f"what-if: a factor is above 0 and at most {LARGEST}; got '{value}'")
    return factor


def _absolute(name: str, value: str) -> int | float:
    try:
        return _plain(Fraction(value))
    except (ValueError, ZeroDivisionError):
        raise ArgumentError(f"what-if: '{name}={value}': expected 2x, inf or a number") from None


def _keys(chip: Chip, name: str, numbers: dict, factor: Fraction | None) -> list[tuple[str, ...]]:
    """The numbers that a name stands for."""
    dotted = tuple(name.split("."))
    if dotted in numbers:
        if dotted[0] in FIXED or name in FLAGS:
            raise ArgumentError(f"what-if: '{name}' cannot change in a what-if, the program was compiled for it; give another chip file with --chip")
        return [dotted]
    if name not in PARTS:
        raise ArgumentError(f"what-if: no part of a chip is called '{name}'; there are {', '.join(PARTS)}, and the keys of the chip file, such as sync.signal")
    if factor is None:
        raise ArgumentError(f"what-if: '{name}' stands for several numbers: give a factor such as {name}=2x, or inf")
    prefixes = [tuple(key.split(".")) for key in PARTS[name]]
    found = [path for path, number in numbers.items() if any(path[: len(p)] == p for p in prefixes) and number["unit"] in RATES + TIMES]
    if not found:
        raise ArgumentError(f"what-if: chip {chip.name} has no {name}")
    return found


def _faster(value: int | float, unit: str, factor: Fraction) -> int | float:
    """A number that makes its part `factor` times as fast; sizes and counts are multiplied."""
    return value if factor == 1 else _plain(exact(value) / factor if unit in TIMES else exact(value) * factor)


def _plain(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


def _numbers(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict]]:
    """(path, number) of everything in the tree of a chip file that is a number with a unit."""
    if isinstance(node, dict) and "unit" in node and "value" in node:
        yield path, node
        return
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, child in children:
        yield from _numbers(child, (*path, str(key)))


def _set(tree: Any, path: tuple[str, ...], value: int | float) -> None:
    for key in path:
        tree = tree[int(key)] if isinstance(tree, list | tuple) else tree[key]
    tree["value"] = value
