"""Roofs: what a run takes at least for its multiplications and for the bytes on each shared resource, beside what it took."""

from typing import NamedTuple

from ptoc.machine.work import Cube
from ptoc.simulator.loads import Loads

from .pricing import counted
from .result import Result


class Roof(NamedTuple):
    """`fs`: what a run takes at least for `amount` (flops of the cube, or bytes) at the chip's rate; intensity: flops for each of the bytes."""

    name: str
    amount: int
    fs: int
    intensity: float | None


def roofs_of(result: Result, loads: Loads) -> list[Roof]:
    """The roofs of a run, the one that takes longest first: the cube units of the cores that it runs on, and shared bandwidth.

    flops: two for each multiplication of the unpadded sizes, as the cube's work says.
    """
    flops, busiest = 0, 0.0
    rates = {name: float(number.value) for name, number in result.full_chip().data.cube.rates.items()}
    cycles_per_fs = float(result.full_chip().number("clocks.laws")) / 1e6
    for commands, streams in counted(result.program):
        cycles = 0.0
        for (_, work), count in commands.items():
            for item in work:
                if isinstance(item, Cube):
                    macs = item.m * item.k * item.n * count
                    flops += 2 * macs * streams
                    cycles += macs / rates[item.dtype]
        busiest = max(busiest, cycles / cycles_per_fs)
    found = [Roof("cube", flops, round(busiest), None)] if flops else []
    for name in loads.drawn:
        moved = loads.total(name)
        found.append(Roof(name, moved, round(moved * 10**15 / loads.rates[name]), flops / moved if flops else None))
    return sorted(found, key=lambda roof: (-roof.fs, roof.name))


