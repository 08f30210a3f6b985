"""The mesh of a chip: where a block stands in it, who its neighbours are, and the numbers of the flags that its links take.

A block is one processing element (PE).  `pes` of them stand in a row, west to east, and make a cube; cubes stand in rows of `columns`, the
first one in the north-west.  Axis 0 is the links within a cube, between a PE and the next; axis 1 the links between cubes, which end at
the first PE of each.  No link goes around an edge.
"""

from typing import NamedTuple

DIRECTIONS = ("E", "W", "N", "S")
"""In the order of link pipes and flags."""

OPPOSITE = {"E": "W", "W": "E", "N": "S", "S": "N"}

_STEPS = {"E": (1, 0), "W": (-1, 0), "N": (0, -1), "S": (0, 1)}
WORDS = {"E": "east", "W": "west", "N": "north", "S": "south"}

AXES = (0, 1)

CORE_FLAGS = 16
"""Cross-core flags between the cores of a block, 0 to 15.  Source: docs/semantics.md, Execution."""

FLAGS = CORE_FLAGS + len(AXES) * len(DIRECTIONS) * 2
"""All flags that count: behind those of a block, for each axis and direction of travel, messages that have come and slots that are free."""

MOST_SLOTS = 15
"""Messages that a receiver's buffer can hold at most: what a cross-core flag counts to."""


class Mesh(NamedTuple):
    """Cubes of `pes` elements on a grid of `columns` x `rows`; a receiver's buffer for a direction holds `slots` messages of `slot_bytes`."""

    pes: int
    columns: int
    rows: int
    slots: int
    slot_bytes: int

    def neighbour(self, block: int, axis: int, direction: str) -> int | None:
        """The block that a link leads to, None where there is no link."""
        cube, pe = divmod(block, self.pes)
        right, down = _STEPS[direction]
        if axis == 0:
            return block + right if right and 0 <= pe + right < self.pes else None
        row, column = divmod(cube, self.columns)
        if pe or not (0 <= column + right < self.columns and 0 <= row + down < self.rows):
            return None
        return (cube + right + down * self.columns) * self.pes

    def lacking(self, block: int, axis: int, direction: str) -> str:
        """Why there is no neighbour."""
        cube, pe = divmod(block, self.pes)
        where = f"PE {pe} of cube {cube}"
        if axis and pe:
            return f"{where} has no neighbour along axis 1: links between cubes end at PE 0"
        grid = f"{self.pes} PEs in a row" if axis == 0 else f"{self.columns} x {self.rows} cubes"
        return f"{where} has no neighbour to the {WORDS[direction]} along axis {axis} ({grid}, no wrap-around)"


def link_pipe(direction: str) -> str:
    """The engine that sends in a direction."""
    return f"LINK_{direction}"


SEND_PIPES = tuple(map(link_pipe, DIRECTIONS))
RECEIVE_PIPE = "LINK_IN"
"""The engine that takes messages out of receive buffers, in the order of the program whatever their direction."""

LINK_PIPES = (*SEND_PIPES, RECEIVE_PIPE)


def link_flags(axis: int, travel: str) -> tuple[int, int]:
    """(messages that came, slots that were freed) of what travels in a direction along an axis."""
    first = CORE_FLAGS + (axis * len(DIRECTIONS) + DIRECTIONS.index(travel)) * 2
    return first, first + 1


def link_of(flag: int) -> tuple[int, str]:
    """(axis, direction) in which signals of a link's flag go: messages as they travel, freed slots against it."""
    number, freed = divmod(flag - CORE_FLAGS, 2)
    axis, direction = divmod(number, len(DIRECTIONS))
    travel = DIRECTIONS[direction]
    return axis, OPPOSITE[travel] if freed else travel
