"""What a schedule shows to be wrong about flags: set while raised, left raised, cross-core counters that overflow."""

import numpy as np

from ptoc.dialect.errors import SyncError
from ptoc.machine.mesh import CORE_FLAGS, FLAGS

from .costs import COUNTER_MAX
from .plan import Plan
from .program import Core, Site
from .table import SET


def check_flags(planned: Plan, end: np.ndarray, complete: np.ndarray) -> None:
    """Raises SyncError for the earliest set of a raised flag and, if all has run, for flags that are left raised."""
    sets = planned.commands_of(SET)
    sets = sets[complete[sets] >= 0]
    keys = planned.flag_key(sets)
    by_key = np.argsort(keys.astype(np.int16) if keys.max(initial=0) < 2**15 else keys, kind="stable")
    sets, keys = sets[by_key], keys[by_key]
    again = np.flatnonzero(keys[1:] == keys[:-1]) if sets.size else np.zeros(0, np.int64)
    earlier, later = sets[again], sets[again + 1] if again.size else sets[:0]
    wait = planned.partner[earlier]
    cleared = np.where(wait >= 0, end[wait] - planned.costs.wait_flag, -1)
    wrong = (wait < 0) | (end[wait] < 0) | (complete[later] < cleared)
    misuses = [(False, int(complete[b]), _number(planned, b), int(b), int(a)) for a, b in zip(earlier[wrong], later[wrong])]
    if complete.size and complete.min() >= 0:
        left = sets[planned.partner[sets] < 0]
        misuses += [(True, int(complete[g]), _number(planned, g), int(g), -1) for g in left]
    if misuses:
        raise SyncError(*_misuse(planned, *min(misuses)[3:]))


def _number(planned: Plan, command: int) -> int:
    return planned.streams[int(planned.stream[command])]


def _misuse(planned: Plan, command: int, earlier: int) -> tuple[str, str]:
    rows, code = planned.table.rows, planned.code
    site, flag, _ = rows[code[command]]
    core = planned.program.streams[_number(planned, command)].core
    what = f"'{site.op}' on {core}: flag {site.pipe} -> {site.peer} id {flag}"
    if earlier < 0:
        return f"{what} is left raised at the end; add a wait_flag on {site.peer}", site.location
    wait = planned.partner[earlier]
    clear = f"cleared only by the wait at {rows[code[wait]][0].location}" if wait >= 0 else "never waited for"
    return f"{what} is set while it is raised: it was set at {rows[code[earlier]][0].location} and is {clear}", site.location


def check_counters(planned: Plan, end: np.ndarray, complete: np.ndarray) -> None:
    """Raises SyncError for the first signal that a cross-core counter cannot take."""
    first = None
    for receiver in range(len(planned.streams)):
        awaits = planned.awaits_of(receiver)
        flags = planned.table.flag[planned.code[awaits]]
        for flag in range(FLAGS):
            for sender in planned.peers.senders(receiver, flag):
                signals = planned.signals_of(sender, flag)
                arrivals = complete[signals]
                arrivals = arrivals[arrivals >= 0] + planned.costs.signal
                if arrivals.size <= COUNTER_MAX:
                    continue
                ends = end[awaits[flags == flag]]
                ends = ends[ends >= 0] - planned.costs.wait_flag
                taken = np.full(arrivals.size, np.iinfo(np.int64).max)
                taken[: ends.size] = ends[: arrivals.size]
                over = np.flatnonzero(taken[: arrivals.size - COUNTER_MAX] > arrivals[COUNTER_MAX:])
                if over.size:
                    at = int(over[0]) + COUNTER_MAX
                    found = (int(arrivals[at]), planned.streams[sender], int(signals[at]), receiver, sender, flag)
                    first = found if first is None else min(first, found)
    if first is not None:
        _, sender, command, receiver, _, flag = first
        streams = planned.program.streams
        raise SyncError(*overflow(planned, command, streams[planned.streams[receiver]].core, receiver, streams[sender].core, flag))


def check_messages(planned: Plan) -> None:
    """Raises SyncError for the first message over a link that nobody receives."""
    for receiver in range(len(planned.streams)) if planned.linked else ():
        awaits = planned.awaits_of(receiver)
        received = np.bincount(planned.table.flag[planned.code[awaits]], minlength=FLAGS)
        for flag in range(CORE_FLAGS, FLAGS, 2):
            for sender in planned.peers.senders(receiver, flag):
                sent = planned.signals_of(sender, flag)
                if sent.size > received[flag]:
                    streams, site = planned.program.streams, planned.table.rows[planned.code[sent[received[flag]]]][0]
                    raise SyncError(*unreceived(site, streams[planned.streams[sender]].core, streams[planned.streams[receiver]].core, sent.size - int(received[flag])))


def unreceived(site: Site, sender: Core, receiver: Core, count: int) -> tuple[str, str]:
    """Message and place of messages that are left in a receive buffer at the end."""
    what = "1 message" if count == 1 else f"{count} messages"
    return f"'{site.op}' on {sender}: {what} to {receiver} {'is' if count == 1 else 'are'} never received: add as many trecv there, or send less", site.location


def overflow(planned: Plan, command: int, counting: Core, receiver: int, signalling: Core, flag: int) -> tuple[str, str]:
    """Message and place of a signal that is one too many: the command, and the cores that it went from and to."""
    rows, code = planned.table.rows, planned.code
    site = rows[code[command]][0]
    awaits = planned.awaits_of(receiver)
    lines = dict.fromkeys(rows[c][0].location for c in code[awaits].tolist() if rows[c][1] == flag)
    channel = f" ('{site.channel}')" if site.channel else ""
    return (
        f"'{site.op}' on {signalling}: cross-core flag {flag}{channel} of {counting} counts at most {COUNTER_MAX}, this "
        f"signal is one more; {'it is awaited at ' + ', '.join(lines) if lines else 'nobody awaits it'}: await earlier or signal less often"
    ), site.location
