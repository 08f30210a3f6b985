"""Large cases of the shipped kernels, simulated for time alone, beside what the chip could do at best: `make bench-kernels`.

Names of kernels as arguments choose among them; `--chip NAME` simulates on another chip than the kernel's own or the 910B2.
The roofline is the longest of: multiplications at the rate of all cube cores; bytes that the cores load and store at the L2's rates; and, where the
tensors do not fit into the L2 together, their bytes at the HBM's rate, and those loaded at the rate of L2 misses.  Vector work has no roof of its own:
"busiest engine" tells where it bounds.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import ptoc
from ptoc.dialect.errors import PtocError
from ptoc.frontend import Kernel
from ptoc.loading import shipped_kernel, shipped_names
from ptoc.machine.chip import Chip, load_chip
from ptoc.machine.work import Cube, Transfer

CHIP = "ascend910b2"
COLUMNS = ("kernel", "case", "chip", "blocks", "latency us", "TFLOP/s", "GB/s", "roofline", "roof", "busiest engine")


class Moved(NamedTuple):
    """What all cores of a run do together: multiplications by element type, bytes loaded from and stored to global memory."""

    macs: dict[str, int]
    loaded: int
    stored: int


def moved(result: ptoc.Result) -> Moved:
    """The work of a run."""
    macs: dict[str, int] = {}
    loaded = stored = 0
    for stream in result.program.streams:
        for code, count in enumerate(stream.track.counts.tolist()):
            for item in result.program.codes.rows[code][2] if count else ():
                if isinstance(item, Cube):
                    macs[item.dtype] = macs.get(item.dtype, 0) + item.m * item.k * item.n * count
                elif isinstance(item, Transfer):
                    loaded += item.bytes * count * item.path.startswith("gm_to_")
                    stored += item.bytes * count * item.path.endswith("_to_gm")
    return Moved(macs, loaded, stored)


def touched(work: Moved, kernel: Kernel, values: dict) -> tuple[int, int]:
    """Bytes of the inputs and of the outputs, each counted once; of a table of which some rows are loaded, those that are."""
    read, written = tensor_bytes(kernel, values)
    return min(read, work.loaded), min(written, work.stored)


def tensor_bytes(kernel: Kernel, values: dict) -> tuple[int, int]:
    """Bytes of the inputs and of the outputs."""
    sizes = [(math.prod(kernel.shape(n, values)) * spec.dtype.bytes, spec.output) for n, spec in kernel.bound(values).items()]
    return sum(size for size, output in sizes if not output), sum(size for size, output in sizes if output)


def roofs(result: ptoc.Result, kernel: Kernel, chip: Chip) -> dict[str, float]:
    """Microseconds that each roof allows at least."""
    work = moved(result)
    read, written = touched(work, kernel, result.arguments)
    rates = chip.data.cube.rates
    cycles = sum(macs / float(rates[dtype].value) for dtype, macs in work.macs.items()) / chip.cores("aic")
    found = {"cube": cycles / float(chip.number("clocks.laws")) / 1e3}
    found["L2 reads"] = work.loaded / float(chip.number("shared.l2_read")) / 1e3
    found["L2 writes"] = work.stored / float(chip.number("shared.l2_write")) / 1e3
    if sum(tensor_bytes(kernel, result.arguments)) > float(chip.number("shared.l2_effective")):
        found["L2 misses"] = read / float(chip.number("shared.l2_miss")) / 1e3
        found["HBM"] = (read / float(chip.number("shared.hbm")) + written / float(chip.number("shared.hbm_write"))) / 1e3
    return found


def row(kernel: Kernel, case: str, chip: str, unvalidated: bool = False) -> tuple[str, ...]:
    """One line of the table; times and rates of a chip that was never compared with a device only where asked for.  Raises: PtocError."""
    result = ptoc.run(kernel, chip, case=case, values=False, allow_unvalidated=True)
    found = roofs(result, kernel, load_chip(chip))
    roof = max(found, key=found.get)
    rate = f"{result.tflops:.1f}" if result.flops and found["cube"] > 0 else ""
    bandwidth = f"{sum(touched(moved(result), kernel, result.arguments)) / result.latency_us / 1e3:.0f}"
    engine, busy = max(result.utilization.items(), key=lambda item: item[1])
    standing = "" if result.chip.validated else "*"
    times = (f"{result.latency_us:.1f}", rate, bandwidth) if result.chip.validated or unvalidated else ("withheld", "", "")
    return (kernel.name, case, chip + standing, str(result.blocks), *times, f"{found[roof] / result.latency_us:.0%}", roof, f"{engine} {busy:.0%}")


def rows(names: list[str], chip: str | None, unvalidated: bool) -> Iterator[tuple[str, ...]]:
    """The lines of the table; a case that is refused says why in its place."""
    for name in names:
        kernel = shipped_kernel(name)
        for case in (n for n in kernel.cases if n in kernel.large_cases):
            on = chip or kernel.chip or CHIP
            try:
                yield row(kernel, case, on, unvalidated)
            except PtocError as error:
                yield (name, case, on, f"refused: {error}")


def main(arguments: list[str] | None = None) -> int:
    """Prints the table, a line as soon as it is known; 1 if a case was refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs="*", help="names; all by default")
    parser.add_argument("--chip")
    parser.add_argument("--allow-unvalidated", action="store_true", help="show times of a chip that was never compared with a device")
    options = parser.parse_args(arguments)
    widths = (24, 24, 13, 6, 10, 8, 6, 8, 9, 14)
    refused = 0
    print(" ".join(f"{title:<{width}}" for title, width in zip(COLUMNS, widths)).rstrip())
    for line in rows(options.kernels or shipped_names(), options.chip, options.allow_unvalidated):
        refused += len(line) < len(COLUMNS)
        print(" ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip(), flush=True)
    print("roofline: least time that the named roof allows over the latency; *: a chip that was never compared with a device (--allow-unvalidated shows its times)")
    return 1 if refused else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PtocError as problem:
        sys.exit(f"error: {problem}")
