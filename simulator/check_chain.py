"""The longest chain of synchronisations, each of which can only come after the one before: what keeps the engines from running side by side."""

from typing import Any, NamedTuple

import numpy as np

from .check_pattern import runs
from .check_report import Chain, ChainLink
from .program import Command, Program, Site
from .replay import Queue, Replay

LONGEST_TURN = 512


class _Link:
    """One synchronisation: the site that ends it, the work before it and the work after it (None: nothing yet)."""

    __slots__ = ("after", "before", "site")

    def __init__(self, site: Site, before: Site) -> None:
        self.site, self.before, self.after = site, before, None


class _Node(NamedTuple):
    """The end of a chain: its length, the link that ends it, what comes before that."""

    length: int
    link: _Link | None
    parent: Any


NOTHING = _Node(-1, None, None)
"""No work yet."""
ALONE = _Node(0, None, None)
"""Work that nothing was before."""


class _Chains(Replay):
    """A queue's `state` is the longest chain that its next command must follow, `seen` the last work that it ran."""

    def __init__(self, program: Program, barriers: bool) -> None:
        super().__init__(program)
        self.barriers, self.longest = barriers, NOTHING
        for queues in self.cores:
            for queue in queues.values():
                queue.state = NOTHING

    def work(self, queue: Queue, index: int, command: Command) -> None:
        node = self._now(queue)
        if node.link is not None and node.link.after is None:
            node.link.after = command.site
        if node.length > self.longest.length:
            self.longest = node
        queue.seen = command.site

    def raised(self, queue: Queue, index: int, command: Command) -> tuple[_Node, Site]:
        return self._own(queue), queue.seen or command.site

    def taken(self, queue: Queue, index: int, command: Command, tokens: list[tuple[_Node, Site]]) -> None:
        node, before = max(tokens, key=lambda token: token[0].length)
        self._follow(queue, node, command.site, before)

    def drained(self, queue: Queue, index: int, command: Command, queues: list[Queue]) -> None:
        last = max((other for other in queues if other.seen is not None), key=lambda other: self._own(other).length, default=None)
        if last is None:
            return
        if self.barriers:
            self._follow(queue, self._own(last), command.site, last.seen)
        elif self._own(last).length > self._now(queue).length:
            queue.state = self._own(last)

    def _follow(self, queue: Queue, node: _Node, site: Site, before: Site) -> None:
        if node is not NOTHING and node.length >= self._now(queue).length:
            queue.state = _Node(node.length + 1, _Link(site, before), node)

    def _own(self, queue: Queue) -> _Node:
        """The longest chain that ends in a queue: its last work, if nothing came before that."""
        node = self._now(queue)
        return ALONE if node is NOTHING and queue.seen is not None else node

    def _now(self, queue: Queue) -> _Node:
        """The longest chain that the queue's next command must follow."""
        if queue.waiting and queue.waiting[0][1].length > queue.state.length:
            queue.state = queue.waiting[0][1]
        return queue.state


def longest_chain(program: Program, barriers: bool = True) -> Chain:
    """The longest chain of a program that ends; without `barriers` only what crosses pipes counts."""
    chains = _Chains(program, barriers)
    chains.require_end()
    node = chains.longest
    links = []
    while node.link is not None:
        links.append(node.link)
        node = node.parent
    links.reverse()
    known: dict[tuple, int] = {}
    labels = np.array([known.setdefault(tuple(map(id, (k.site, k.before, k.after))), len(known)) for k in links], np.int64)
    first, length, turns = _turn(labels)
    turn = links[first : first + length]
    begin = min(range(length), key=lambda k: turn[k].before.index) if turns > 1 else 0
    return Chain(len(links), turns, tuple(_described(link) for link in turn[begin:] + turn[:begin]))


def _turn(labels: np.ndarray) -> tuple[int, int, int]:
    """(first, length, number) of the turns that cover most of a chain; all of it once where nothing repeats three times."""
    best, covered = (0, labels.size, 1), 0
    for period in range(1, min(LONGEST_TURN, labels.size // 3) + 1):
        for low, high in runs(labels[period:] == labels[:-period], 2 * period):
            turns = (high - low) // period + 1
            if turns * period > covered * 1.1:  # a longer turn must be worth it
                best, covered = (low, period, turns), turns * period
    return best


def _described(link: _Link) -> ChainLink:
    site, after = link.site, link.after or link.site
    if site.kind == "barrier":
        what = f"barrier {site.pipe}"
    elif site.kind == "wait":
        what = f"flag {site.peer} -> {site.pipe}"
    else:
        what = f"pipe {site.channel}" if site.channel else "signal"
    return ChainLink(what, link.before.pipe, link.before.location, after.pipe, after.location)
