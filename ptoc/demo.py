"""`python -m ptoc.demo`: flash attention from Python to .pto, C++ and simulator IR, run and timed, beside what devices measured."""

import sys
import time
from importlib import resources

import yaml

from ptoc.machine.chip import load_chip

from .loading import load_source
from .running import run_compiled
from .writing import compile_to

LENGTHS = (1024, 2048, 4096, 8192)
CHIP = "ascend910b1"
WITHIN = 0.15
"""How far outside of the interval that the device measurements span a latency may lie."""


def device_times() -> list[dict]:
    """The published device measurements of this shape."""
    text = (resources.files("ptoc.machine") / "measured" / "flash_attention.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def main(folder: str = "out/demo") -> int:
    """Compiles, runs and compares; 0 if all values are right and every latency lies in the measured interval or within 15 % of it."""
    print("flash attention, S0 = 128, D = 128, preload 4, one AIC with two AIVs of", CHIP)
    for line in compile_to("flash_attention", (), "default", CHIP, None, "insert", folder, ("pto", "sim", "cpp"), False, True):
        print(" ", line)
    measured = device_times()
    print(f"\n{'S1':>6} {'latency us':>11} {'TFLOP/s':>8} {'max error':>10}  " + "".join(f"{'device us':>11}" for _ in measured) + "  position")
    ok, spent = True, 0.0
    source, chip = load_source("flash_attention"), load_chip(CHIP)
    for length in LENGTHS:
        begin = time.perf_counter()
        result = run_compiled(source, chip, {"S0": 128, "S1": length}, None, 1, {}, True, False, False, "insert")
        spent += time.perf_counter() - begin
        times = [m["us"].get(length) for m in measured]
        position, inside = _position(result.latency_us, [t for t in times if t is not None])
        ok &= inside and bool(result.passed)
        shown = "".join(f"{t:11.2f}" if t is not None else f"{'-':>11}" for t in times)
        print(f"{length:6} {result.latency_us:11.2f} {result.tflops:8.2f} {result.max_abs_error:10.1e}  {shown}  {position}")
    for number, m in enumerate(measured, 1):
        print(f"  device {number}: {m['kernel']}, {m['chip']}; {m['source']}")
    print(f"compiled and simulated with values in {spent:.1f} s; {'all right' if ok else 'NOT within the bounds'}")
    return 0 if ok else 1


def _position(latency: float, times: list[float]) -> tuple[str, bool]:
    """Where a latency lies against the interval that the measurements span, and whether that is within 15 % of it."""
    low, high = min(times), max(times)
    if latency < low:
        return f"{latency / low - 1:+.1%} of the lowest", latency >= low * (1 - WITHIN)
    if latency > high:
        return f"{latency / high - 1:+.1%} of the highest", latency <= high * (1 + WITHIN)
    return "inside", True


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
