"""Counters of a trace: bytes per second on each shared resource, all cores together, and what has arrived in each pipe between cores.

Source: "Trace Event Format" (Chrome project), phase C.
"""

from collections.abc import Iterator

import numpy as np

from .history import History
from .loads import Loads
from .timeline import Timeline

FS_PER_US = 10**9


def counter_events(timeline: Timeline) -> Iterator[dict]:
    """Metadata and counters: a process `chip` behind the cores for bandwidth; in each core's process the entries, or free slots, that wait for it."""
    history = History(timeline)
    yield from _bandwidth(history, len(timeline.program.streams))
    yield from _slots(history)


def _bandwidth(history: History, process: int) -> Iterator[dict]:
    loads = Loads(history)
    if loads.drawn:
        yield {"name": "process_name", "ph": "M", "pid": process, "args": {"name": "chip"}}
        yield {"name": "process_sort_index", "ph": "M", "pid": process, "args": {"sort_index": -1}}
    for name in loads.drawn:
        times, rates = loads.served(name)
        for time, rate in zip(times.tolist(), rates.tolist()):
            yield {"name": f"{name} GB/s", "ph": "C", "ts": time / FS_PER_US, "pid": process, "args": {"GB/s": round(rate * 1e6, 3)}}


def _slots(history: History) -> Iterator[dict]:
    """What was signalled and not yet taken, by receiver and pipe: it arrives with the last of its signals, one of each core of the other kind."""
    plan = history.plan
    for number, simulated in enumerate(plan.stands_for):
        awaits = plan.awaits_of(simulated)
        awaits = awaits[history.released_by[awaits] >= 0]
        by_name: dict[str, list[int]] = {}
        for command in awaits.tolist():
            site = history.site(command)
            if site.channel:
                by_name.setdefault(f"{site.channel} {'free' if site.op == 'talloc' else 'ready'}", []).append(command)
        for name, commands in by_name.items():
            mine = np.array(commands)
            times, at = np.unique(np.concatenate((history.released[mine], history.end[mine])), return_inverse=True)
            there = np.cumsum(np.bincount(at, np.repeat((1, -1), mine.size), minlength=times.size))
            for time, count in zip(times.tolist(), there.tolist()):
                yield {"name": name, "ph": "C", "ts": time / FS_PER_US, "pid": number, "args": {"entries": int(count)}}
