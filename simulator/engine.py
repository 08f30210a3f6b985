"""The timing engine: start and completion of every command, from in-order queues, flags and shared bandwidth.

Rules, all in int64 femtoseconds:

- The scalar unit S hands a core's commands to their queues in program order, `issue` apart.  What sits in its own queue (work,
  flags and barriers of pipe S, barriers of ALL, on a3 every cross-core wait) holds it: nothing later is issued before its end.
  Commands already queued go on meanwhile; queues have no depth limit.
- start = max(issued, end of the queue's previous command).
- work: end = start + occupancy, complete = start + latency.
- set, signal: end = start + set_flag; complete = max(start, completion of all earlier commands of the queue) + set_flag.
- wait: end = max(start, completion of its set) + wait_flag.  The k-th set of a flag releases the k-th wait.
- barrier: end = max(start, completion of all earlier commands of the queue; ALL: of the core) + barrier.
- A signal arrives `signal` after its completion: one count at every other-kind core of its block (mode 2), of a link's flag at the core in
  the neighbouring block.  `await` takes one count from each that sends: an aic goes on when all aivs of its block have signalled.  What arrives and is taken at one time was never
  counted.
- Transfers in flight share named resources max-min fairly; one that is alone takes its priced time.  A transfer of B bytes that is
  priced at D fs asks for ceil(B * 2**30 / D); one that has been served ends no earlier than D after its start, so that rounding the
  demand up never shows.

Three engines keep these rules: `walk.py` as Python, for short programs; the same text compiled, for long ones; and `reference.py`, plain
and slow, which is what the others are tested against, and which runs what they do not: programs in which the order of time decides who
takes a signal.
"""

import numpy as np

from ptoc.dialect.errors import DeadlockError, SyncError
from ptoc.machine.mesh import CORE_FLAGS, FLAGS

from .costs import COUNTER_MAX, Costs, Prices
from .deadlock import explain
from .extrapolate import cross, shortened
from .misuse import check_counters, check_flags, check_messages, overflow
from .plan import Plan, plan
from .program import Program
from .reference import Reference
from .repeating import RepeatingTimeline
from .signals import Peers
from .state import State
from .table import QUEUES, SET, WAIT
from .timeline import PIPES, Timeline

__all__ = ["Costs", "Prices", "schedule"]


def schedule(program: Program, prices: Prices, costs: Costs) -> Timeline:
    """Runs `program` and returns when each command started, ended and was complete.

    Raises: SyncError (flag set while raised, left raised; cross-core counter over 15), DeadlockError (engines wait for ever),
    SimulationError (a command or price that makes no sense).
    """
    planned = plan(program, prices, costs)
    if not planned.untimed:
        return run_reference(planned)
    return run_repeating(planned) or run(planned)


def run(planned: Plan, compiled: bool | None = None) -> Timeline:
    """The timeline of a plan, command by command, by the compiled engine or by the same one in Python; by its size where nothing is said."""
    state = State(planned, compiled)
    state.walk(planned.qstart[1:])
    finish(planned, state)
    return Timeline.of_plan(planned, *state.columns())


def run_repeating(planned: Plan) -> Timeline | None:
    """The timeline of a plan, with what repeats itself walked only until it is certain to; None where nothing is gained.

    Raises nothing: what is wrong is found again, and told, by a walk over everything.
    """
    for short in shortened(planned):
        state = State(short)
        jump = cross(short, state)
        if jump is None:
            continue
        try:
            finish(short, state)
        except (SyncError, DeadlockError):
            return None
        return RepeatingTimeline(planned, short, state.columns(), jump)
    return None


def finish(planned: Plan, state: State) -> None:
    """Raises SyncError and DeadlockError for what is wrong at the end of a walk."""
    _, end, complete = state.columns()
    check_counters(planned, end, complete)
    check_flags(planned, end, complete)
    position = np.asarray(state.queues[0])
    if (position < planned.qstart[1:]).any():
        raise DeadlockError(_deadlock(planned, position, complete, end))
    check_messages(planned)


def run_reference(planned: Plan) -> Timeline:
    """The timeline of a plan by the reference engine."""
    reference = Reference(planned)
    reference.run()
    over = min(reference.overflows(COUNTER_MAX), default=None)
    program, stands_for = planned.program, planned.stands_for
    columns = [[np.array([row[k] for row in times], np.int64) for times in reference.times] for k in range(3)]
    if over is not None:
        _, sender, index, receiver, flag = over
        raise SyncError(*overflow(planned, int(planned.first[stands_for[sender]]) + index, program.streams[receiver].core, stands_for[receiver], program.streams[sender].core, flag))
    _, end, complete = (np.concatenate([column[n] for n in planned.streams]) if planned.streams else np.zeros(0, np.int64) for column in columns)
    check_flags(planned, end, complete)
    heads = {(n, PIPES[q]): indices[0] for (n, q), indices in reference.queues.items() if indices}
    if heads:
        counts = [reference.peers.counts(n, lambda sender, flag, n=n: len(reference.raised[n, sender, flag])) for n in range(len(program.streams))]
        raise DeadlockError(explain(program, heads, counts, [_partners(planned, n) for n in range(len(stands_for))]))
    check_messages(planned)
    timeline = Timeline(program, *columns, plan=planned.apart())
    for (receiver, _, flag), rest in reference.raised.items():
        key = (program.streams[receiver].core, flag)
        if rest and flag < CORE_FLAGS:
            timeline.counters[key] = max(timeline.counters.get(key, 0), len(rest))
    return timeline


def _partners(planned: Plan, number: int) -> list[int]:
    """For each set its wait and the reverse, as indices of one stream; -1 for none."""
    simulated = planned.stands_for[number]
    low, high = int(planned.first[simulated]), int(planned.first[simulated + 1])
    kind, partner = planned.kind[low:high], planned.partner[low:high]
    return np.where(((kind == SET) | (kind == WAIT)) & (partner >= 0), partner - low, -1).tolist()


def _deadlock(planned: Plan, position: np.ndarray, complete: np.ndarray, end: np.ndarray) -> str:
    """Who waits for what, on all cores."""
    heads: dict[tuple[int, str], int] = {}
    partners: list[list[int]] = []
    counts: list[dict[int, list[int]]] = []
    streams = planned.program.streams
    peers = Peers([stream.core for stream in streams], planned.program.mesh)
    for number, simulated in enumerate(planned.stands_for):
        low = int(planned.first[simulated])
        for pipe, name in enumerate(PIPES):
            queue = simulated * QUEUES + pipe
            if position[queue] < planned.qstart[queue + 1]:
                heads[number, name] = int(planned.order[position[queue]]) - low
        partners.append(_partners(planned, number))
        waiting = awaited(planned, simulated, end)
        counts.append(peers.counts(number, lambda other, flag, over=waiting: arrived(planned, planned.stands_for[other], flag, complete) - over[flag]))
    return explain(planned.program, heads, counts, partners)


def awaited(planned: Plan, receiver: int, end: np.ndarray) -> list[int]:
    """By flag: awaits of `receiver` that are over."""
    awaits = planned.awaits_of(receiver)
    return np.bincount(planned.table.flag[planned.code[awaits[end[awaits] >= 0]]], minlength=FLAGS).tolist()


def arrived(planned: Plan, sender: int, flag: int, complete: np.ndarray) -> int:
    """Signals of a flag that `sender` has sent."""
    return int((complete[planned.signals_of(sender, flag)] >= 0).sum())
