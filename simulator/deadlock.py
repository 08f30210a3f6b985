"""Why a program stands still: which queue waits for what, at which line, and the cycle if there is one.

Works on plain facts about the stuck state, so that the engine and the checker can both use it: `heads`, the next command of every queue
that has not finished; `counts`, the cross-core counters; `partners`, the pairing of flags from `pair_flags`.
"""

from typing import NamedTuple

from ptoc.machine.mesh import OPPOSITE, WORDS, link_of

from .program import Command, Program, Site
from .timeline import PIPES, queue_of

#: Lines of a message about single queues, cycle first; a deadlock of one block usually repeats itself in all others.
LINES_MAX = 16

Node = tuple[int, str]  # (stream number, pipe)


class Blocked(NamedTuple):
    """One queue that waits: its next command, what for, and the queues that would have to go on first."""

    node: Node
    index: int
    reason: str
    needs: tuple[Node, ...]
    starved: bool = False


def blocked_queues(
    program: Program, heads: dict[Node, int], counts: list[dict[int, list[int]]], partners: list[list[int]]
) -> list[Blocked]:
    """Every unfinished queue with what it waits for, by stream and pipe.

    heads: (stream, pipe) -> index of its next command; counts: per receiving stream, sender stream -> count per flag, None for one that it does not send;
    partners: per stream, for each wait the index of its set or -1.
    """
    state = _Stuck(program, heads, counts, partners)
    return [state.blocked(node) for node in sorted(heads, key=lambda node: (node[0], PIPES.index(node[1])))]


def find_cycle(blocked: list[Blocked]) -> list[Blocked]:
    """The first cycle of queues that wait for one another, rotated to begin at its least queue; empty if there is none."""
    by_node = {item.node: item for item in blocked}
    finished: set[Node] = set()
    for root in by_node:
        path: list[Node] = []
        pending = [(root, 0)]
        while pending:
            node, depth = pending.pop()
            for left in path[depth:]:
                finished.add(left)
            del path[depth:]
            if node in path:
                cycle = path[path.index(node) :]
                least = min(range(len(cycle)), key=lambda k: (by_node[cycle[k]].starved, cycle[k][0], PIPES.index(cycle[k][1])))
                return [by_node[member] for member in cycle[least:] + cycle[:least]]
            if node in finished or node not in by_node:
                continue
            path.append(node)
            pending.extend((need, depth + 1) for need in reversed(by_node[node].needs))
        finished.update(path)
    return []


def explain(program: Program, heads: dict[Node, int], counts: list[dict[int, list[int]]], partners: list[list[int]]) -> str:
    """The message of a DeadlockError: a paragraph, the waiting queues (cycle first, at most LINES_MAX), cross-core counters, slots of pipes."""
    blocked = blocked_queues(program, heads, counts, partners)
    cycle = find_cycle(blocked)
    waiting = [item for item in blocked if not item.starved]
    cores = {item.node[0] for item in waiting}
    text = f"deadlock in '{program.name}': {_count(len(waiting), 'queue')} on {_count(len(cores), 'core')} {'wait' if len(waiting) != 1 else 'waits'} for ever"
    if cycle:
        text += "; the cycle is " + " -> ".join(_name(program, item.node) for item in [*cycle, cycle[0]]) + " (-> waits for)"
    else:
        text += "; there is no cycle: what they wait for is never raised"
    shown = cycle + [item for item in waiting if item not in cycle]
    lines = [_line(program, item) for item in shown[:LINES_MAX]]
    if len(shown) > LINES_MAX:
        lines.append(f"and {len(shown) - LINES_MAX} more")
    lines += _counter_lines(program, counts, waiting)
    lines += _pipe_lines(program, heads, waiting)
    lines += dict.fromkeys(program.hints)
    return "\n  ".join([text, *lines])


class _Stuck:
    """The stuck state, with a reason per queue."""

    def __init__(self, program: Program, heads: dict[Node, int], counts: list[dict[int, list[int]]], partners: list[list[int]]) -> None:
        self.program, self.heads, self.counts, self.partners = program, heads, counts, partners

    def blocked(self, node: Node) -> Blocked:
        number, pipe = node
        index = self.heads[node]
        command = self.program.streams[number].commands[index]
        scalar = self.heads.get((number, "S"), index)
        if pipe != "S" and scalar < index:
            held = self.program.streams[number].commands[scalar].site
            return Blocked(node, index, f"is not issued, the scalar unit is held by '{held.op}' at {held.location}", ((number, "S"),), True)
        if command.site.kind == "wait":
            return self._flag(node, index, command)
        if command.site.kind == "await":
            return self._counter(node, index, command)
        others = tuple((number, other) for other in PIPES[1:] if self.heads.get((number, other), index) < index)
        return Blocked(node, index, f"waits until {', '.join(other for _, other in others)} of its core are drained", others)

    def _flag(self, node: Node, index: int, command: Command) -> Blocked:
        site = command.site
        what = f"waits for flag {site.peer} -> {site.pipe} id {command.flag}"
        raised = self.partners[node[0]][index]
        if raised < 0:
            return Blocked(node, index, f"{what}, but no set_flag is left that would raise it: add one on {site.peer}, or drop the wait", ())
        source = self.program.streams[node[0]].commands[raised].site
        return Blocked(node, index, f"{what}, which '{source.op}' at {source.location} would raise", ((node[0], site.peer),))

    def _counter(self, node: Node, index: int, command: Command) -> Blocked:
        what = f"waits for {_flag(command.site, command.flag)}"
        fifos = {sender: counts[command.flag] for sender, counts in self.counts[node[0]].items() if counts[command.flag] is not None}
        if not fifos:
            return Blocked(node, index, f"{what}, but the program has no other core in its block that could signal it", ())
        needs, texts = [], []
        for sender, count in fifos.items():
            if count:
                continue
            core = self.program.streams[sender].core
            signal = self._next_signal(sender, command.flag)
            if signal is None:
                texts.append(f"{core} has no signal of it left")
            else:
                needs.append((sender, signal.pipe))
                texts.append(f"{core} {signal.pipe} would signal it at {signal.location}")
        return Blocked(node, index, f"{what}: {', '.join(texts)}", tuple(needs))

    def _next_signal(self, sender: int, flag: int) -> Site | None:
        for index, command in enumerate(self.program.streams[sender].commands):
            site = command.site
            if site.kind == "signal" and command.flag == flag and index >= self.heads.get((sender, site.pipe), index + 1):
                return site
        return None


def _flag(site: Site, flag: int) -> str:
    if site.link:
        axis, direction = link_of(flag)
        words = {True: f"a free slot of the buffer to the {WORDS[OPPOSITE[direction]]}", False: f"a message from the {WORDS[OPPOSITE[direction]]}"}
        return f"{words[direction != site.link]} (axis {axis})"
    return f"cross-core flag {_number(site, flag)}"


def _number(site: Site, flag: int) -> str:
    return f"{flag} ('{site.channel}')" if site.channel else str(flag)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _name(program: Program, node: Node) -> str:
    return f"{program.streams[node[0]].core} {node[1]}"


def _line(program: Program, item: Blocked) -> str:
    site = program.streams[item.node[0]].commands[item.index].site
    return f"{site.location}: {_name(program, item.node)}, '{site.op}' {item.reason}"


def _counter_lines(program: Program, counts: list[dict[int, list[int]]], waiting: list[Blocked]) -> list[str]:
    """The state of every cross-core counter of the cores that wait on one, awaited or not zero."""
    lines = []
    awaited: dict[int, set[int]] = {}
    channels: dict[tuple[int, int], str] = {}
    for item in waiting:
        command = program.streams[item.node[0]].commands[item.index]
        if command.site.kind == "await":
            awaited.setdefault(item.node[0], set()).add(command.flag)
            channels[item.node[0], command.flag] = _flag(command.site, command.flag) if command.site.link else _number(command.site, command.flag)
    for receiver in list(awaited)[:LINES_MAX]:
        states = []
        for flag in range(max(map(len, counts[receiver].values()), default=0)) or sorted(awaited[receiver]):
            values = {sender: fifos[flag] for sender, fifos in counts[receiver].items() if fifos[flag] is not None}
            if flag in awaited[receiver] or any(values.values()):
                parts = ", ".join(f"{value} from {program.streams[sender].core}" for sender, value in values.items()) or "no sender"
                states.append(f"{channels.get((receiver, flag), flag)}: {parts}")
        lines.append(f"cross-core counters of {program.streams[receiver].core}: {'; '.join(states)}")
    return lines


def _pipe_lines(program: Program, heads: dict[Node, int], waiting: list[Blocked]) -> list[str]:
    """How far each slot pipe has come in the block of the first core that waits: what its cores signalled and took, of how many."""
    block = program.streams[waiting[0].node[0]].core.block if waiting else None
    pipes: dict[str, dict[str, dict[str, list[int]]]] = {}
    for number, stream in enumerate(program.streams):
        if stream.core.block != block:
            continue
        for index, command in enumerate(stream.commands):
            site = command.site
            if site.channel:
                of = pipes.setdefault(site.channel, {}).setdefault(str(stream.core), {}).setdefault(site.op, [0, 0])
                of[0] += index < heads.get((number, queue_of(site, program.arch)), index + 1)
                of[1] += 1
    return [
        f"pipe '{channel}': " + "; ".join(f"{core} " + ", ".join(f"{op} {done} of {every}" for op, (done, every) in of.items()) for core, of in cores.items())
        for channel, cores in list(pipes.items())[:LINES_MAX]
    ]
