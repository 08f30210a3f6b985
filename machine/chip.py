"""Chips: `load_chip("ascend910b1")` reads machine/chips/ascend910b1.yaml, strictly, into a frozen `Chip` of plain values.

Units: cycles of the clock `clocks.laws`, bytes, femtoseconds where a name ends in `_fs`.  Keys are explained in chips/template.yaml.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from ptoc.dialect.errors import ChipError

from .banks import Banks
from .mesh import Mesh
from .schema import ChipFile, Number

CHIPS = Path(__file__).parent / "chips"
FS_PER_SECOND = 10**15
RUNS = 100  # in a window of host events, where nothing else is known: what published harnesses take most often
OWN = ("name", "description", "validated")
"""Keys that say what a chip is: a file states them itself, so that none counts as compared with a device because its base is."""

ANY = "any"  # the dtype entry for all element types without one of their own

_ROUNDED = re.compile(r"(vconv_(?:f|s|u|bf)\d+?2(?:f|s|u|bf)(?:4|8|16|32|64))[acforz]")
_COMPARED = re.compile(r"(vcmp|vcmpv|vcmpvs)_(?:eq|ne|lt|le|gt|ge)")


class VectorLaw(NamedTuple):
    """occupancy = max(minimum, offset + per_repeat * r), latency = max(occupancy, offset + (per_repeat + stretch) * r + startup), in cycles.

    `conflict_free`: per_repeat where the operands do not meet in one UB bank.
    """

    per_repeat: Fraction
    offset: Fraction
    minimum: Fraction
    startup: Fraction
    conflict_free: Fraction
    stretch: Fraction


class PathLaw(NamedTuple):
    """A transfer path in cycles; see schema.TransferLaw.  `resource`: "l2_read", "l2_write" or None."""

    startup: Fraction
    startup_occupancy: Fraction
    minimum: Fraction
    issue: Fraction
    bytes_per_cycle: Fraction
    per_burst: Fraction
    resource: str | None


def canonical(instruction: str) -> str:
    """The table's name of an instruction: without the rounding letter of a conversion (vconv_f322f16r) and the relation of a compare."""
    for pattern in (_ROUNDED, _COMPARED):
        if match := pattern.fullmatch(instruction):
            return match[1]
    return instruction


@dataclass(frozen=True, eq=False, repr=False)
class Chip:
    """A chip: compared by identity, so that it can key caches; the same file text gives the same object.

    `data` is the validated file with every number's provenance.
    """

    data: ChipFile
    file: str
    vectors: dict[tuple[str, str], VectorLaw]
    paths: dict[str, PathLaw]

    def __repr__(self) -> str:
        """Name and file: the numbers fill pages."""
        return f"Chip({self.name!r}, {self.file!r})"

    @property
    def name(self) -> str:
        """Name of the chip, as in `ptoc run --chip`."""
        return self.data.name

    @property
    def arch(self) -> str:
        """ "a3" (Ascend 910B, 910C) or "a5" (Ascend 950)."""
        return self.data.arch

    @property
    def validated(self) -> bool | str:
        """True, "provisional" or False: False means that only ratios between runs may be shown."""
        return self.data.validated

    def provenance(self, key: str) -> Number:
        """The number at a dotted key, with unit, source (written out) and kind.  Raises ChipError for a key that holds none."""
        node: Any = self.data
        for part in key.split("."):
            inside = type(node).model_fields if isinstance(node, BaseModel) else node if isinstance(node, dict) else ()
            if part not in inside:
                raise ChipError(f"no key '{key}'; '{part}' is none of: {', '.join(inside) or 'a number has no keys'}", self.file)
            node = getattr(node, part) if isinstance(node, BaseModel) else node[part]
        if not isinstance(node, Number):
            raise ChipError(f"key '{key}' holds no number", self.file)
        return node.model_copy(update={"source": self.data.sources.get(node.source, node.source)})

    def number(self, key: str) -> int | float:
        """The plain value at a dotted key: `chip.number("memories.ub.bytes")`.  Raises ChipError for a key that holds none."""
        return self.provenance(key).value

    def cores(self, kind: str) -> int:
        """Number of cores of a kind: "aic" or "aiv"."""
        return int(self.number("cores.aic") * (1 if kind == "aic" else self.number("cores.aiv_per_aic")))

    def capacity_bytes(self, memory: str) -> int:
        """Bytes of an on-chip memory of one core (ub, l1, l0a, l0b, l0c, bias, scaling)."""
        return int(self.number(f"memories.{memory}.bytes"))

    def alignment_bytes(self, memory: str) -> int:
        """Alignment of tile addresses in an on-chip memory."""
        return int(self.number(f"memories.{memory}.alignment"))

    def ub_banks(self) -> Banks:
        """The banks of UB."""
        return Banks(*(int(self.number(f"memories.ub_banks.{key}")) for key in Banks._fields))

    def mesh(self) -> Mesh | None:
        """The mesh of the chip, None where it has none."""
        return Mesh(*(int(self.number(f"mesh.{key}")) for key in Mesh._fields)) if self.data.mesh else None

    def fs(self, cycles: Fraction | int) -> int:
        """`cycles` of the law clock in femtoseconds, rounded to the nearest."""
        return round(cycles * FS_PER_SECOND / (exact(self.number("clocks.laws")) * 10**9))

    @property
    def dispatch_fs(self) -> int:
        """What it takes to hand one block to a core."""
        return self.launch_fs("host_events", 1) - self.launch_fs("host_events", 0)

    def launch_fs(self, window: str, blocks: int, runs: int = RUNS) -> int:
        """What a timing window (host_events, msprof_task, device_counter) adds to the time of a kernel of so many blocks.

        runs: how many a window of host events holds.  What the host takes between its first event and the first kernel is shared by them.
        """
        if window == "device_counter":
            return round(exact(self.number("launch.device_counter")) * 10**9)
        task = exact(self.number("launch.msprof_task")) + blocks * exact(self.number("launch.block"))
        return round((task + (exact(self.number("launch.host_window")) / runs if window == "host_events" else 0)) * 10**9)

    def vector_law(self, instruction: str, dtype: str) -> VectorLaw:
        """The law of a vector instruction.  Raises ChipError naming an instruction or element type that the file does not have."""
        name = canonical(instruction)
        law = self.vectors.get((name, dtype)) or self.vectors.get((name, ANY))
        if law is not None:
            return law
        dtypes = [d for n, d in self.vectors if n == name]
        what = f"element type {dtype} (has {', '.join(dtypes)})" if dtypes else "entry; add it to a group of vector.rates and of vector.startups"
        raise ChipError(f"vector instruction '{instruction}' has no {what}", self.file)

    def path_law(self, path: str) -> PathLaw:
        """The law of a transfer path.  Raises ChipError naming a path that the chip does not have."""
        if path in self.paths:
            return self.paths[path]
        raise ChipError(f"the chip has no transfer path '{path}'; it has {', '.join(self.paths)}", self.file)

    def describe(self) -> str:
        """The text of `ptoc chips`: one line of name, cores and clock, one each of memories, shared rates, launch and origin of numbers."""
        return describe(self)


def describe(chip: Chip) -> str:
    """See `Chip.describe`."""
    status = {True: "validated", False: "not validated: ratios between runs only"}.get(chip.validated, chip.validated)
    kib = (f"{name} {chip.capacity_bytes(name) / 1024:g}" for name in ("ub", "l1", "l0a", "l0b", "l0c"))
    kinds = [number.kind for number in _numbers(chip.data)]
    origin = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("measured", "documented", "assumed"))
    shared = ", ".join(f"{name} {chip.number(f'shared.{name}'):g}" for name in ("l2_read", "l2_write", "hbm"))
    launch = ", ".join(f"{window} {chip.number(f'launch.{window}'):g}" for window in ("host_window", "msprof_task", "device_counter", "block"))
    return "\n".join((
        f"{chip.name} ({chip.arch}, {status}): {chip.data.description}",
        f"  cores     {chip.cores('aic')} aic, {chip.cores('aiv')} aiv at {chip.number('clocks.core'):g} GHz (laws count {chip.number('clocks.laws'):g} GHz)",
        f"  memories  {', '.join(kib)} KiB",
        f"  shared    {shared} GB/s",
        f"  launch    {launch} us",
        f"  numbers   {origin}",
    ))  # fmt: skip


def _numbers(node: Any) -> list[Number]:
    """All numbers below a node of the file, in its order."""
    if isinstance(node, Number):
        return [node]
    if isinstance(node, BaseModel):
        return [x for name in type(node).model_fields for x in _numbers(getattr(node, name))]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [x for child in children for x in _numbers(child)]


def exact(value: int | float) -> Fraction:
    """The decimal number as it is written in the file, without binary rounding."""
    return Fraction(str(value))


def chip_names() -> list[str]:
    """Names of the chips that ptoc ships, sorted; the template is not one."""
    return sorted(path.stem for path in CHIPS.glob("*.yaml") if path.stem != "template")


def load_chip(name_or_path: str | Path) -> Chip:
    """The chip of that name, or of that YAML file (anything that ends in .yaml or .yml).

    Raises: ChipError naming the file, the key and what is expected there; for an unknown name, the names that there are.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = CHIPS / f"{name_or_path}.yaml"
        if not path.is_file():
            raise ChipError(f"no chip is called '{name_or_path}'; there are {', '.join(chip_names())}, or give the path of a .yaml file")
    texts, seen = [_read(path)], [path.resolve()]
    while (base := _tree(texts[-1], str(seen[-1])).get("base")) is not None:
        seen.append(_base_path(base, seen[-1]))
        if seen[-1] in seen[:-1]:
            raise ChipError(f"key 'base': '{base}' is based on itself", str(path))
        texts.append(_read(seen[-1]))
    return _chip((str(path), *map(str, seen[1:])), *texts)


def _base_path(base: Any, path: Path) -> Path:
    """The file that a `base` key names: beside `path`, else a shipped chip."""
    for folder in (path.parent, CHIPS):
        if isinstance(base, str) and (found := folder / f"{base}.yaml").is_file():
            return found.resolve()
    raise ChipError(f"key 'base': expected the name of a chip file beside this one or of a shipped chip, got '{base}'", str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ChipError(f"cannot read the chip file: {error}", str(path)) from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # PyYAML's C one, where it is there, is ten times faster
    """Safe YAML in which a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [str(key) for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key '{twice[0]}' is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


@lru_cache(maxsize=32)
def _tree(text: str, file: str) -> dict:
    """The mapping in a YAML text; shared, so not to be changed."""
    try:
        tree = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else file
        raise ChipError(f"not YAML: {getattr(error, 'problem', None) or error}", where) from None
    if not isinstance(tree, dict):
        raise ChipError(f"expected a mapping of keys as in template.yaml, got {type(tree).__name__}", file)
    return tree


def _merge(base: dict, over: dict) -> dict:
    """`base` with the keys of `over`; mappings are merged, but a number (a mapping with `value`) or a list is replaced whole."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merge(base[key], value) if both and "value" not in value else value
    return result


@lru_cache(maxsize=32)
def _chip(files: tuple[str, ...], *texts: str) -> Chip:
    """The chip of a file's text, followed by those of its bases; an error names the one of `files` that holds the key."""
    file = files[0]
    tree: dict = {}
    for text in reversed(texts):
        tree = _merge(tree, _tree(text, file))
    tree.pop("base", None)
    for key in OWN:
        if key not in _tree(texts[0], file):
            raise ChipError(f"key '{key}' is missing; it is never taken from a base, template.yaml explains it", file)
    try:
        data = ChipFile.model_validate(tree)
    except ValidationError as error:
        holder = next((one for one, text in zip(files, texts) if _holds(_tree(text, one), error.errors()[0]["loc"])), file)
        raise ChipError(first_error(error), holder) from None
    return chip_of(data, file)


def _holds(node: Any, keys: tuple[int | str, ...]) -> bool:
    """Whether the keys lead somewhere from here; what pydantic adds behind a plain value is none of them."""
    for key in keys:
        if not isinstance(node, dict | list):
            return True
        try:
            node = node[key]
        except (LookupError, TypeError):
            return False
    return True


def chip_of(data: ChipFile, file: str) -> Chip:
    """The chip of a validated file.  Raises: ChipError for vector instructions in two groups or in none."""
    return Chip(data, file, _vectors(data, file), _paths(data))


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, in one sentence: key, what is expected, what was got."""
    detail = error.errors()[0]
    key = ".".join(str(part) for part in detail["loc"] if part not in ("int", "float", "bool", "[key]"))
    key = re.sub(r"\.(literal|lax-or-strict|function)\[[^]]*\]", "", key)
    others = len({tuple(part for part in other["loc"] if part not in ("int", "float")) for other in error.errors()}) - 1
    more = f" (and {others} more)" if others else ""
    got = detail["input"]
    shown = "a mapping" if isinstance(got, dict) else "a list" if isinstance(got, list) else repr(got)
    if detail["type"] == "missing":
        return f"key '{key}' is missing; template.yaml explains it{more}"
    if detail["type"] == "extra_forbidden":
        return f"unknown key '{key}'; template.yaml lists the keys that there are{more}"
    if detail["type"] == "value_error":
        return f"key '{key}': {detail['ctx']['error']}{more}"
    if detail["type"] in ("model_type", "model_attributes_type"):
        return f"key '{key}': expected a mapping (a number is {{value, unit, source, kind}}), got {shown}{more}"
    if detail["type"] in ("too_short", "invalid_key"):
        return f"key '{key}': expected {'at least one entry' if detail['type'] == 'too_short' else 'a text as key'}, got {shown if got else 'none'}{more}"
    expected = "a number" if detail["type"] in ("int_type", "float_type") else detail["msg"].removeprefix("Input should be ")
    return f"key '{key}': expected {expected}, got {shown}{more}"


def _vectors(data: ChipFile, file: str) -> dict[tuple[str, str], VectorLaw]:
    """(instruction, dtype) -> law, from the groups; every instruction needs one rate per dtype and one startup."""
    startups: dict[str, tuple[Fraction, Fraction]] = {}
    for group in data.vector.startups.values():
        for name in group.instructions:
            if name in startups:
                raise ChipError(f"key 'vector.startups': instruction '{name}' is in two groups, expected one", file)
            startups[name] = exact(group.startup.value), exact(group.stretch.value)
    laws: dict[tuple[str, str], VectorLaw] = {}
    free = dict.fromkeys(data.vector.conflict_free.instructions, exact(data.vector.conflict_free.per_repeat.value))
    for group in data.vector.rates:
        for name in group.instructions:
            if name not in startups:
                raise ChipError(f"key 'vector.startups': instruction '{name}' has a rate but no startup, expected it in one group", file)
            for dtype in group.dtypes:
                if (name, dtype) in laws:
                    raise ChipError(f"key 'vector.rates': instruction '{name}' has two rates for {dtype}, expected one", file)
                numbers = [exact(n.value) for n in (group.per_repeat, group.offset, group.minimum)]
                startup, stretch = startups[name]
                laws[name, dtype] = VectorLaw(*numbers, startup, free.get(name, numbers[0]), stretch)
    for name in startups:
        if all(n != name for n, _ in laws):
            raise ChipError(f"key 'vector.rates': instruction '{name}' has a startup but no rate, expected it in a group", file)
    return laws


def _paths(data: ChipFile) -> dict[str, PathLaw]:
    return {
        name: PathLaw(*(exact(getattr(law, key).value) for key in PathLaw._fields[:-1]), law.resource)
        for name, law in data.paths.items()
    }  # fmt: skip
