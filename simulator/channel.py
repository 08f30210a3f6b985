"""A slot pipe as one core sees it: which slot comes next, and when to wait or to signal.

The rules are the library's: the producer waits from its second round on, once every `period` slots; the consumer signals after every
`period` pops.  Source: pto-isa 3186c381, include/pto/npu/a2a3/TPush.hpp (shouldWaitFree, shouldNotifyFree), TFree.hpp.
"""

from collections.abc import Callable

from .program import Command


class Channel:
    """State of one slot pipe on one core: entries allocated and popped so far."""

    __slots__ = ("allocated", "flag_free", "flag_ready", "period", "slot_bytes", "slots", "taken")

    def __init__(self, slots: int, slot_bytes: int, period: int, flag_ready: int, flag_free: int) -> None:
        self.slots, self.slot_bytes, self.period = slots, slot_bytes, period
        self.flag_ready, self.flag_free = flag_ready, flag_free
        self.allocated = self.taken = 0

    def acquire(self, append: Callable[[Command], None], await_free: Command) -> int:
        """Byte offset of the next slot to fill; waits where the ring is not known to have room."""
        index = self.allocated
        self.allocated += 1
        if index >= self.slots and index % self.period == 0:
            append(await_free)
        return index % self.slots * self.slot_bytes

    def take(self, append: Callable[[Command], None], await_ready: Command) -> int:
        """Byte offset of the next filled slot; waits for it."""
        append(await_ready)
        index = self.taken
        self.taken += 1
        return index % self.slots * self.slot_bytes

    def local(self, slots: int) -> int:
        """Byte offset of the slot last taken in a local buffer of `slots` slots."""
        return (self.taken - 1) % slots * self.slot_bytes

    def release(self, append: Callable[[Command], None], signal_free: Command) -> None:
        """Gives a slot back; the library counts pops, not frees, to tell when to signal."""
        if self.taken % self.period == 0:
            append(signal_free)
