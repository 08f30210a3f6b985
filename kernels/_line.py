"""A line of ranks on a mesh, open at both ends, along which something of each rank travels to every other."""

import ptoc


class Line:
    """This rank's place in the line, and what it folds in which order."""

    def __init__(self, rank, ranks, axis):
        self.rank, self.ranks, self.axis = rank, ranks, axis
        self.west, self.east = rank, ranks - 1 - rank  # ranks on either side
        self.both = 2 * ptoc.minimum(self.west, self.east)  # chunks that come from both sides in turn

    def from_west(self, fold):
        """Whether fold number `fold` (from 1 on) is of a chunk from the west."""
        in_turn = (fold <= self.both) & (fold % 2 == 1)
        return in_turn | ((fold > self.both) & (self.west > self.east))

    def goes(self, fold, way):
        """Whether a chunk goes on to a side: where there is a rank, and it did not come from there."""
        side = self.east if way == "E" else self.west
        if isinstance(fold, int):
            return side > 0
        came = self.from_west(fold) if way == "E" else ~self.from_west(fold)
        return (side > 0) & (came | (fold == 0))
