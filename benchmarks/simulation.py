"""How fast time is simulated: `make bench-sim`.

Streams without contention and with 24 cores that share bandwidth, by the engines that ptoc has; the same stream as a small model in
SimPy; and whole commands, each in a process of its own.  Rates are commands per second of CPU time of one core, after compilation.
"""

import itertools
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import simpy

from ptoc.simulator.engine import Costs, run, run_reference, run_repeating
from ptoc.simulator.plan import Plan, plan
from ptoc.simulator.program import Codes, Core, Program, Site, Stream, Track
from ptoc.simulator.table import SET, WAIT, WORK

COSTS = Costs(issue=500_000, set_flag=1_000_000, wait_flag=1_000_000, barrier=5_000_000, signal=100_000_000, rates={"l2": 3695 * 10**9})
STEPS = (("MTE2", 700), ("MTE1", 250), ("M", 300), ("FIX", 450))
"""A gemm's inner loop: engines of one iteration in order, ns; each hands over by flags, two slots, and MTE2 and FIX use the L2."""


def pipeline(trips: int, cores: int, unlike: bool) -> Plan:
    """`cores` cores that run `trips` iterations of STEPS; `unlike`: no two cores have the same times, so that each is simulated."""
    table, sites, prices = Codes(), [], {}

    def site(kind: str, pipe: str, peer: str = "") -> Site:
        sites.append(Site(len(sites), kind, kind, pipe, "bench.py:1", peer=peer))
        return sites[-1]

    pairs = [(a, b) for (a, _), (b, _) in itertools.pairwise(STEPS)]
    wait_free = {a: site("wait", a, b) for a, b in pairs}
    wait_full = {b: site("wait", b, a) for a, b in pairs}
    set_full = {a: site("set", a, b) for a, b in pairs}
    set_free = {b: site("set", b, a) for a, b in pairs}
    mark = len(table.chunks)
    table.chunks.append(())
    streams = []
    for core in range(cores):
        bodies = []
        for slot in (0, 1):
            codes = []
            for pipe, ns in STEPS:
                codes += [table.code(wait_free[pipe], 2 + slot)] if pipe in wait_free else []
                codes += [table.code(wait_full[pipe], slot)] if pipe in wait_full else []
                work = (pipe, core if unlike else 0)
                shared = (("l2", 200_000),) if pipe in ("MTE2", "FIX") and cores > 1 else None
                prices[work] = ((ns + (core % 7 if unlike else 0)) * 10**6, (ns + 40) * 10**6, shared)
                codes.append(table.code(_work_site(sites, pipe), -1, work))
                codes += [table.code(set_full[pipe], slot)] if pipe in set_full else []
                codes += [table.code(set_free[pipe], 2 + slot)] if pipe in set_free else []
            bodies.append(table.chunk(tuple(codes)))
        prime = table.chunk(tuple(table.code(s, 2 + slot) for s in set_free.values() for slot in (0, 1)))
        drain = table.chunk(tuple(table.code(s, 2 + slot) for s in wait_free.values() for slot in (0, 1)))
        loop = np.empty((trips, 2), np.int32)
        loop[:, 0], loop[0::2, 1], loop[1::2, 1] = mark, bodies[0], bodies[1]
        track = Track(table, np.concatenate(([prime], loop.reshape(-1), [drain])).astype(np.int32), {mark: 0})
        streams.append(Stream(Core("aic", core), None, track))
    return plan(Program("pipeline", "a3", streams, sites, codes=table), lambda command: prices[command.work], COSTS)


def _work_site(sites: list[Site], pipe: str) -> Site:
    """The work site of a pipe."""
    for known in sites:
        if known.kind == "work" and known.pipe == pipe:
            return known
    sites.append(Site(len(sites), "work", "work", pipe, "bench.py:1"))
    return sites[-1]


def in_simpy(planned: Plan) -> int:
    """The makespan of a plan of flags and work, each queue a SimPy process, each flag an event list.  No shared bandwidth."""
    table, costs = planned.table, planned.costs
    env = simpy.Environment()
    complete: dict[int, Any] = {g: env.event() for g in planned.commands_of(SET).tolist()}
    ends = [0]

    def queue(commands: list[int]) -> Any:
        done = 0
        for g in commands:
            code = planned.code[g]
            kind = table.kind[code]
            issued = costs.issue * (int(planned.index[g]) + 1)
            if issued > env.now:
                yield env.timeout(issued - env.now)
            if kind == WORK:
                done = max(done, env.now + int(table.latency[code]))
                yield env.timeout(int(table.occupancy[code]))
            elif kind == SET:
                raised = max(done, env.now) + costs.set_flag
                done = raised
                complete[g].succeed(raised)
                yield env.timeout(costs.set_flag)
            elif kind == WAIT:
                raised = yield complete[int(planned.partner[g])]
                yield env.timeout(max(0, raised - env.now) + costs.wait_flag)
                done = max(done, env.now)
        ends[0] = max(ends[0], done)

    for low, high in zip(planned.qstart[:-1].tolist(), planned.qstart[1:].tolist()):
        if high > low:
            env.process(queue(planned.order[low:high].tolist()))
    env.run()
    return ends[0]


def measured(what: str, planned: Plan, function: Callable[[Plan], Any], repeats: int = 2) -> Any:
    """Prints one line: commands (of all cores), CPU seconds, commands per second.  Returns what `function` gives."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        result = function(planned)
        best = min(best, time.process_time() - start)
    walked, commands = int(planned.first[-1]), sum(len(planned.tracks[s]) for s in planned.stands_for)
    share = "" if walked == commands else f" ({walked / best / 1e6:.2f} million of the {walked} simulated ones)"
    print(f"{what:58} {commands:11} {best:8.3f} s {commands / best / 1e6:9.2f} million/s{share}")
    return result


def command(*words: str) -> None:
    """Prints wall time and memory of a command, the second time it is run."""
    line = [sys.executable, "-m", "ptoc.cli", *words]
    for _ in range(2):
        before = time.perf_counter()
        process = subprocess.Popen(line, stdout=subprocess.PIPE)
        process.stdout.read()
        _, status, usage = _wait(process)
        seconds = time.perf_counter() - before
        if status:
            raise SystemExit(f"failed: {' '.join(line)}")
    print(f"ptoc {' '.join(words):78} {seconds:6.2f} s  {usage.ru_utime + usage.ru_stime:6.2f} s CPU  {usage.ru_maxrss / 1024:6.0f} MB")


def _wait(process: subprocess.Popen) -> tuple[int, int, resource.struct_rusage]:
    pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return pid, process.returncode, usage


def main() -> None:
    """Prints one line per measurement."""
    print("whole commands, flash attention (second run)")
    for s0, s1, cores in ((128, 8192, 1), (8192, 8192, 24), (131072, 131072, 24)):
        command("run", "flash_attention", "--no-values", "-D", f"S0={s0}", "-D", f"S1={s1}", "--cores", str(cores))
    command("run", "flash_attention", "-D", "S0=1024", "-D", "S1=1024", "--cores", "24")
    run(pipeline(10, 1, False), compiled=True)  # compiles
    print("one core, no contention")
    short, long = pipeline(5_000, 1, False), pipeline(500_000, 1, False)
    measured("  SimPy", short, in_simpy, 1)
    measured("  reference", short, lambda p: run_reference(p), 1)
    expected = measured("  Python", short, lambda p: run(p, compiled=False)).makespan
    assert expected == in_simpy(short) == run_reference(short).makespan
    walked = measured("  compiled", long, lambda p: run(p, compiled=True)).makespan
    assert measured("  repeats left out", long, run_repeating).makespan == walked
    print("24 cores that share bandwidth")
    unlike = pipeline(5_000, 24, True)
    measured("  reference, no two cores alike", pipeline(100, 24, True), lambda p: run_reference(p), 1)
    measured("  Python, no two cores alike", pipeline(1_000, 24, True), lambda p: run(p, compiled=False), 1)
    measured("  compiled, no two cores alike", unlike, lambda p: run(p, compiled=True))
    alike = pipeline(50_000, 24, False)
    walked = measured("  compiled, all alike", alike, lambda p: run(p, compiled=True)).makespan
    assert measured("  all alike, repeats left out", alike, run_repeating).makespan == walked


if __name__ == "__main__":
    main()
