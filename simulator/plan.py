"""A priced program as integer arrays for the engines: one row per command of each stream that is not the same as another one.

Cores are alike if their block holds the same streams; of alike cores the first is simulated and counts for all where they share
bandwidth.  Commands are numbered through all simulated streams; queue q of stream s is number s * len(PIPES) + pipe.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ptoc.machine.mesh import CORE_FLAGS, FLAGS

from .costs import WEIGHT, Costs, Prices
from .program import Program, Track
from .repeats import Cut
from .signals import Peers
from .table import AWAIT, QUEUES, SET, SHARED, SIGNAL, WAIT, WORK, Table, priced_tracks


@dataclass
class Plan:
    """`streams`: numbers of the simulated streams; `stands_for[n]`: position among them of the stream that is simulated for stream n.

    tracks: of each simulated stream.  cuts: what was left out of it.  order: commands by queue, qstart where each queue begins.  hold: the last
    earlier command of the scalar unit's queue, -1 for none.  partner: of a set its wait, of a wait its set, -1 for none; of an await how
    many awaits of its flag came before.  signals: by (stream, flag), from signal_start on.  copies: cores that a stream stands for.
    peers: who counts whose signals, among the simulated streams.  linked: blocks that use links.  untimed: a counter is raised or awaited by more than one queue of a core, so
    that who takes what depends on times.
    """

    program: Program
    costs: Costs
    table: Table
    streams: list[int]
    stands_for: list[int]
    copies: np.ndarray
    peers: Peers
    linked: frozenset[int]
    tracks: list[Track]
    cuts: list[Cut | None] = field(default_factory=list)

    def shortened(self, cuts: list[Cut | None]) -> "Plan":
        """The plan with parts of repeats left out."""
        return replace(self, tracks=[cut.track if cut else track for cut, track in zip(cuts, self.tracks)], cuts=cuts)

    def apart(self) -> "Plan":
        """The plan in which every stream stands for itself: where who takes a signal decides, alike cores differ."""
        cores = [stream.core for stream in self.program.streams]
        peers = Peers(cores, self.program.mesh)
        numbers = list(range(len(cores)))
        return replace(
            self, streams=numbers, stands_for=numbers, copies=np.ones(len(cores), np.int64), peers=peers, tracks=[self.tracks[n] for n in self.stands_for]
        )

    @cached_property
    def first(self) -> np.ndarray:
        """Where the commands of each simulated stream begin, and where they all end."""
        return np.concatenate(([0], np.cumsum([len(track) for track in self.tracks], dtype=np.int64)))

    @cached_property
    def code(self) -> np.ndarray:
        """Code of every command."""
        return np.concatenate([track.codes for track in self.tracks]) if self.tracks else np.zeros(0, np.int32)

    @cached_property
    def contended(self) -> bool:
        """True if transfers may have to share bandwidth."""
        return any((self.table.kind[track.used] == SHARED).any() for track in self.tracks)

    @cached_property
    def kind(self) -> np.ndarray:
        """Kind of every command."""
        return self.table.kind[self.code]

    @cached_property
    def stream(self) -> np.ndarray:
        """Simulated stream of every command: int32."""
        return np.repeat(np.arange(len(self.streams), dtype=np.int32), np.diff(self.first))

    @cached_property
    def integer(self) -> type:
        """The type of numbers of commands."""
        return np.int32 if self.code.size < 2**31 else np.int64

    @cached_property
    def queue(self) -> np.ndarray:
        """Queue of every command."""
        queue = self.table.queue.astype(np.int16 if len(self.streams) * QUEUES < 2**15 else np.int32)[self.code]
        queue += (self.stream * QUEUES).astype(queue.dtype)
        return queue

    @cached_property
    def order(self) -> np.ndarray:
        """Commands by queue and program order."""
        return np.argsort(self.queue, kind="stable").astype(self.integer)

    @cached_property
    def qstart(self) -> np.ndarray:
        """Where each queue begins in `order`."""
        counts = np.bincount(self.queue, minlength=len(self.streams) * QUEUES)
        return np.concatenate(([0], np.cumsum(counts)))

    @cached_property
    def hold(self) -> np.ndarray:
        """The last earlier command of the scalar unit, which held what came after; -1 for none."""
        hold = np.full(self.code.size, -1, self.integer)
        scalar = (self.table.queue == 0)[self.code]
        for low, high in zip(self.first.tolist(), self.first[1:].tolist()):
            at = np.flatnonzero(scalar[low:high]).astype(self.integer) + low
            hold[low + 1 : high] = np.repeat(np.concatenate(([-1], at)), np.diff(np.concatenate(([low], at, [high]))))[: max(0, high - low - 1)]
        return hold

    def flag_key(self, commands: np.ndarray | slice) -> np.ndarray:
        """A number for each (stream, pipe, peer, flag) of sets and waits, -1 for other commands."""
        of_code, flags = self._flags
        keys = of_code[self.code[commands]]
        return np.where(keys >= 0, self.stream[commands] * flags + keys, -1)

    @cached_property
    def _flags(self) -> tuple[np.ndarray, int]:
        """A number for each (pipe, peer, flag) of sets and waits, by code, -1 for others, and how many there may be."""
        table = self.table
        left = np.where(table.kind == SET, table.queue, table.peer)
        right = np.where(table.kind == SET, table.peer, table.queue)
        flags = (left * QUEUES + right) * (int(table.flag.max(initial=0)) + 2) + table.flag
        named = (table.kind == SET) | (table.kind == WAIT)
        _, small = np.unique(np.where(named, flags, -1), return_inverse=True)
        return np.where(named, small, -1), int(small.max(initial=0)) + 1

    def commands_of(self, kind: int) -> np.ndarray:
        """All commands of a kind."""
        return np.flatnonzero(self.kind == kind)

    @cached_property
    def index(self) -> np.ndarray:
        """Number of every command in its whole stream; of those kept of a repeat, as if the first periods were kept."""
        index = np.arange(self.code.size) - self.first[self.stream]
        for number, cut in enumerate(self.cuts):
            if cut:
                index[self.first[number] + cut.high : self.first[number + 1]] += cut.left_out * cut.period
        return index

    @cached_property
    def partner(self) -> np.ndarray:
        """See the class.  The k-th set of a flag releases the k-th wait: its sets sit in one in-order queue, and so do its waits."""
        partner = np.full(self.code.size, -1, self.integer)
        (sets, ranks, keys), (waits, _, waited) = (_grouped(found, self.flag_key(found)) for found in map(self.commands_of, (SET, WAIT)))
        begin, end = (np.searchsorted(waited, keys, side) for side in ("left", "right"))
        paired = begin + ranks < end
        sets, waits = sets[paired], waits[(begin + ranks)[paired]]
        partner[sets], partner[waits] = waits, sets
        awaits = self.commands_of(AWAIT)
        awaits, ranks, _ = _grouped(awaits, self._counter(awaits))
        partner[awaits] = ranks
        return partner

    def _counter(self, commands: np.ndarray) -> np.ndarray:
        """A number for each (stream, cross-core flag)."""
        return self.stream[commands] * FLAGS + self.table.flag[self.code[commands]]

    def awaits_of(self, stream: int) -> np.ndarray:
        """The awaits of a simulated stream, in program order."""
        low, high = self.first[stream], self.first[stream + 1]
        return low + np.flatnonzero(self.kind[low:high] == AWAIT)

    @cached_property
    def signals(self) -> np.ndarray:
        """Signals by (stream, flag), in program order."""
        signals = self.commands_of(SIGNAL)
        return _grouped(signals, self._counter(signals))[0]

    @cached_property
    def signal_start(self) -> np.ndarray:
        """Where the signals of (stream, flag) begin in `signals`."""
        counts = np.bincount(self._counter(self.signals), minlength=len(self.streams) * FLAGS)
        return np.concatenate(([0], np.cumsum(counts)))

    def signals_of(self, stream: int, flag: int) -> np.ndarray:
        """The signals of a flag that a simulated stream sends, in program order."""
        low, high = self.signal_start[stream * FLAGS + flag : stream * FLAGS + flag + 2]
        return self.signals[low:high]

    @cached_property
    def untimed(self) -> bool:
        """True if which signal an await takes does not depend on times."""
        table = self.table
        for track in {id(track): track for track in self.tracks}.values():
            used = track.used
            for kind in (SIGNAL, AWAIT):
                pairs = {(int(table.flag[c]), int(table.queue[c])) for c in used if table.kind[c] == kind}
                if len(pairs) > len({flag for flag, _ in pairs}):
                    return False
        return True


def _grouped(commands: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(commands, rank of each among those with its key, key), grouped by key."""
    by_key = np.argsort(keys.astype(np.int16) if keys.max(initial=0) < 2**15 else keys, kind="stable")
    commands, keys = commands[by_key], keys[by_key]
    begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if keys.size else np.zeros(0, np.int64)
    counts = np.diff(np.concatenate((begins, [keys.size])))
    return commands, np.arange(keys.size) - np.repeat(begins, counts), keys


def plan(program: Program, prices: Prices, costs: Costs) -> Plan:
    """The arrays of a priced program.

    Raises: SyncError for a cross-core flag that no core has, SimulationError for a command or price that makes no sense.
    """
    tracks, table = priced_tracks(program, prices, costs)
    linked = _linked(program, tracks, table)
    streams, stands_for, copies = _alike(program, tracks, linked)
    peers = Peers([program.streams[number].core for number in streams], program.mesh)
    result = Plan(program, costs, table, streams, stands_for, np.array(copies, np.int64), peers, linked, [tracks[n] for n in streams])
    _drop_idle_limits(result)
    return result


def _linked(program: Program, tracks: list[Track], table: Table) -> frozenset[int]:
    """The blocks that use links."""
    if program.mesh is None:
        return frozenset()
    crossing = np.where(table.kind >= SIGNAL, table.flag, -1) >= CORE_FLAGS
    known = {id(track): bool(crossing[track.used].any()) for track in {id(track): track for track in tracks}.values()}
    return frozenset(stream.core.block for stream, track in zip(program.streams, tracks) if known[id(track)])


def _alike(program: Program, tracks: list[Track], linked: frozenset[int]) -> tuple[list[int], list[int], list[int]]:
    """(streams to simulate, position among them of the one that stands for each stream, cores that each stands for)."""
    contents: dict[bytes, int] = {}
    by_track: dict[int, int] = {}
    for track in tracks:
        if id(track) not in by_track:
            by_track[id(track)] = contents.setdefault(track.content, len(contents))
    blocks: dict[int, list[int]] = {}
    for number, stream in enumerate(program.streams):
        blocks.setdefault(stream.core.block, []).append(number)
    leaders: dict[tuple, int] = {}
    streams: list[int] = []
    stands_for = [0] * len(tracks)
    copies: list[int] = []
    for block, members in blocks.items():
        content = [(program.streams[n].core.kind, by_track[id(tracks[n])]) for n in members]
        for number, mine in zip(members, content):
            key = (tuple(content), mine, block if block in linked else -1)  # blocks with links stand each at a place of their own
            if key not in leaders:
                leaders[key] = len(streams)
                streams.append(number)
                copies.append(0)
            stands_for[number] = leaders[key]
            copies[leaders[key]] += 1
    return streams, stands_for, copies


def _drop_idle_limits(plan: Plan) -> None:
    """Transfers whose resources cannot bind, even with every queue at its largest demand, become plain work."""
    table, capacity = plan.table, plan.costs.capacity
    shared = [code for code, demand in enumerate(table.demands) if demand is not None]
    if not shared:
        return
    most = dict.fromkeys(capacity, 0)
    for track, copies in zip(plan.tracks, plan.copies.tolist()):
        peaks: dict[tuple[int, str], int] = {}
        for code in track.used.tolist():
            if table.demands[code] is not None:
                rate, uses, _ = table.demands[code]
                for name, weight in uses:
                    key = (int(table.queue[code]), name)
                    peaks[key] = max(peaks.get(key, 0), -(-rate * weight >> WEIGHT))
        for (_, name), rate in peaks.items():
            most[name] += rate * copies
    for code in shared:
        if all(most[name] <= capacity[name] for name, _ in table.demands[code][1]):
            table.kind[code] = WORK


