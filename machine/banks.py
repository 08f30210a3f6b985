"""When operands of a vector instruction meet in a bank of UB: `conflicts(banks, reads, writes, repeats)`.

UB is built of banks with rows of `row` bytes (a block), `groups` of them side by side: block number b of UB lies in group b % groups.  In a
cycle the vector engine reads `reads` rows of a group (of different banks, where it reads two) and writes one; a bank gives or takes one row.
A repeat is 8 blocks of each operand.  Two operands that are read meet where one repeat needs more rows of a group than that; one that is read
and one that is written meet where they need the same bank.
Source: Ascend C programming guide (CANN 8.5 and 9.0), "Avoiding Bank Conflicts in the Unified Buffer": 48 banks of 128 rows in 16 groups on
the 910B family, 16 banks of 512 rows in 8 groups on the 950; its examples are the tests of this module.  How many repeats a write trails its
reads is not said there: operands of one repeat are compared, as in its examples.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

BLOCKS = 8
"""Blocks of an operand that one repeat handles.  Source: pto-isa 3186c381, include/pto/npu/a2a3/common.hpp (REPEAT_BYTE / BLOCK_BYTE_SIZE)."""


class Banks(NamedTuple):
    """The banks of UB.  `row`: bytes of a row; `groups`: bank groups; `banks`: banks of a group; `stride`: bytes from one bank of a group to
    the next; `reads`: rows of a group that a cycle reads.
    """

    row: int
    groups: int
    banks: int
    stride: int
    reads: int

    @property
    def period(self) -> int:
        """Bytes after which the groups begin anew."""
        return self.row * self.groups

    def group(self, address: int) -> int:
        """Bank group of a byte."""
        return address // self.row % self.groups

    def bank(self, address: int) -> int:
        """Number of the bank of a byte; bank b is in group b % groups."""
        return address // self.stride % self.banks * self.groups + self.group(address)


class Stream(NamedTuple):
    """An operand of a vector instruction: UB address of its first repeat, bytes from one repeat to the next (0: the same bytes in each)."""

    address: int
    step: int = 256


class Conflicts(NamedTuple):
    """In how many repeats operands meet: two that are read, and one that is read with one that is written."""

    read_read: int
    read_write: int


@lru_cache(maxsize=65536)
def conflicts(banks: Banks, reads: tuple[Stream, ...], writes: tuple[Stream, ...], repeats: int, blocks: int = BLOCKS) -> Conflicts:
    """Repeats of an instruction in which its operands wait for each other.

    Each of the `blocks` blocks of an operand in a repeat lies right behind the one before.  An operand that is overwritten in place meets itself.
    """
    read, written = _rows(banks, reads, repeats, blocks), _rows(banks, writes, repeats, blocks)
    by_group = read.reshape(repeats, banks.banks, banks.groups).sum(axis=1)
    twice = (by_group > banks.reads).any(axis=1) | (read > 1).any(axis=1)
    both = ((read > 0) & (written > 0)).any(axis=1)
    return Conflicts(int(twice.sum()), int(both.sum()))


def _rows(banks: Banks, streams: tuple[Stream, ...], repeats: int, blocks: int) -> np.ndarray:
    """[repeats, banks in all]: rows that each repeat takes from each bank."""
    taken = np.zeros((repeats, banks.banks * banks.groups), np.int64)
    repeat, block = np.arange(repeats)[:, None], np.arange(blocks)[None, :] * banks.row
    for stream in streams:
        at = stream.address + repeat * stream.step + block
        np.add.at(taken, (np.broadcast_to(repeat, at.shape), banks.bank(at)), 1)
    return taken
