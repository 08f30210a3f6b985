"""Streams of a run from the time forms of a kernel: cores for which a form's key is the same share one track.  No MLIR."""

from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.errors import ArgumentError, NotSupportedError
from ptoc.machine.mesh import Mesh

from .accesses import COLUMNS, Accesses, Enough, Ways, accesses_of, first_of, part_of
from .program import Codes, Core, Program, Site, Stream, Track
from .regions import Memory
from .timed import TimeForm

Loader = Callable[[Memory, int, str, Site], Any]


@dataclass
class Forms:
    """The time forms of a kernel by kind of core, "aic" first, with the sites and the table of codes that they refer to; vector cores of a block.

    `moves`: functions that give accesses to global memory, numbered in `ways`; None where these depend on numbers that are read.
    """

    name: str
    arch: str
    sites: list[Site]
    table: Codes
    parts: dict[str, TimeForm]
    vectors: int
    ways: Ways = field(default_factory=Ways)
    moves: dict[str, TimeForm] | None = None
    mesh: Mesh | None = None

    def learned(self) -> int:
        """Number of commands that were looked up so far."""
        return sum(form.learned() for form in self.parts.values())


def program_of_forms(
    forms: Forms, arguments: dict[str, Any], blocks: int, arrays: dict[str, np.ndarray], fill: Callable[[Program], None]
) -> Program:
    """The program of a run on `blocks` blocks; `fill` makes its commands with operands when they are asked for.

    Raises: ArgumentError where an argument is missing or a loop cannot run, NotSupportedError where control depends on a computed value.
    """
    program = Program(forms.name, forms.arch, [], forms.sites, {}, codes=forms.table, mesh=forms.mesh)
    functions = {kind: form.functions(forms.table) for kind, form in forms.parts.items()}
    values = {kind: [argument_of(name, dtype, arguments, program) for name, dtype in form.arguments] for kind, form in forms.parts.items()}
    tracks: dict[tuple, Track] = {}
    load = loader(arrays)
    for core in cores_of(forms.parts, blocks, forms.vectors):
        stream, key = functions[core.kind]
        place = (core.block, blocks, core.sub, *values[core.kind])
        try:
            same = (core.kind, key(*place))
        except ZeroDivisionError:  # the stream itself may not get there; if it does, it is refused below
            same = core
        if same not in tracks:
            chunks: list[int] = []
            try:
                stream(chunks.append, load, *place)
            except (ZeroDivisionError, ValueError) as error:
                fill(replace(program, streams=[Stream(core) for core in cores_of(forms.parts, blocks, forms.vectors)]))  # raises with the command that came before
                raise refused(error, program.name, None) from None
            tracks[same] = Track(forms.table, np.array(chunks, np.int32), forms.parts[core.kind].marks)
        program.streams.append(Stream(core, None, tracks[same], lambda: fill(program)))
    return program


def moves_of_forms(forms: Forms, program: Program, arguments: dict[str, Any], most: int) -> Accesses:
    """The accesses of a program made of these forms, of more than `most` the first part of each stream.  Raises what making it raises."""
    if forms.moves is None:
        return accesses_of(program, most)
    counts = _counts(forms, program)
    part = part_of(sum(counts), most)
    functions = {kind: form.functions(forms.table)[0] for kind, form in forms.moves.items()}
    values = {kind: [argument_of(name, dtype, arguments, program) for name, dtype in form.arguments] for kind, form in forms.moves.items()}
    blocks = 1 + max(stream.core.block for stream in program.streams)
    load, cores = loader({}), []
    for stream, count in zip(program.streams, counts):
        flat = array("q")
        wanted = first_of(count, part) * COLUMNS

        def touch(numbers: tuple[int, ...], flat: array = flat, wanted: int = wanted) -> None:
            if len(flat) >= wanted:
                raise Enough
            flat.extend(numbers)

        core = stream.core
        with suppress(Enough):
            functions[core.kind](touch if part < 1 else flat.extend, load, core.block, blocks, core.sub, *values[core.kind])
        cores.append(np.frombuffer(flat, np.int64).reshape(-1, COLUMNS)[: first_of(count, part)])
    return Accesses(forms.ways.rows, cores, part)


def _counts(forms: Forms, program: Program) -> list[int]:
    """How many accesses each stream makes: of each command of a site as many as it has ways."""
    each: dict[int, int] = {}
    for way in forms.ways.rows:
        each[way.site] = each.get(way.site, 0) + 1
    per_code = np.array([each.get(site.index, 0) for site, _, _ in forms.table.rows], np.int64)
    known: dict[int, int] = {}
    for stream in program.streams:
        if id(stream.track) not in known:
            known[id(stream.track)] = int((per_code * stream.track.counts).sum())
    return [known[id(stream.track)] for stream in program.streams]


def cores_of(kinds: Iterable[str], blocks: int, vectors: int) -> list[Core]:
    """The cores of a run: per block one cube core, and as many vector cores as there are beside one."""
    kinds = list(kinds)
    return [Core(kind, block, sub) for block in range(blocks) for kind in kinds for sub in range(vectors if kind == "aiv" else 1)]


def refused(error: Exception, kernel: str, last: Site | None) -> Exception:
    """What a division by zero or a loop of step zero is told as; any other error as it is."""
    if isinstance(error, ValueError) and "range()" not in str(error):
        return error
    after = f"; it comes after '{last.op}' ({last.location})" if last is not None else ""
    return ArgumentError(f"kernel {kernel}: a division by zero or a loop of step zero for these arguments ({error}){after}")


def argument_of(name: str, dtype: str | None, arguments: dict[str, Any], program: Program) -> Any:
    """The value of an argument: a number, or a pointer, whose extent the program then knows.  Raises ArgumentError for one that is missing."""
    if name not in arguments:
        raise ArgumentError(f"kernel {program.name}: argument '{name}' is missing; give it as -D {name}=VALUE")
    if dtype is None:
        return arguments[name]
    program.memories[f"gm:{name}"] = arguments[name]
    return Memory(f"gm:{name}", 0)


def loader(arrays: dict[str, np.ndarray]) -> Loader:
    """Reads a number of an integer tensor at elaboration."""

    def load(pointer: Memory, offset: int, dtype: str, site: Site) -> Any:
        array = arrays.get(pointer.name.removeprefix("gm:"))
        if array is None:
            name = pointer.name.removeprefix("gm:")
            raise NotSupportedError(
                f"'{site.op}': control or an address depends on '{name}', which no input gives; pass its contents (-D {name}=FILE.npy)", site.location
            )
        at = pointer.offset + offset * DTYPES[dtype].bytes
        data = array.reshape(-1).view(np.uint8)[at : at + DTYPES[dtype].bytes]
        if data.size != DTYPES[dtype].bytes:
            raise ArgumentError(f"'{site.op}': element {offset} lies outside of '{pointer.name}'", site.location)
        return data.view(DTYPES[dtype].numpy)[0].item()

    return load
