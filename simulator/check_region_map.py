"""Where the regions of a loop's commands go from one period to the next."""

from collections.abc import Sequence

import numpy as np

from .check_pattern import Pattern


class RegionMap:
    """Regions of commands, and of those a period later: in `rounds` periods, fewer where they do not match one to one.

    front, first: per stream the earliest command that has not run, and the next one to issue, where the first period begins.
    """

    def __init__(self, pattern: Pattern, front: Sequence[int], first: Sequence[int], periods: Sequence[int], rounds: int) -> None:
        self.pattern, self.rounds = pattern, rounds
        self.to = np.full(pattern.size + 1, -1, np.int64)
        while self.rounds > 0 and not self._read(front, first, periods):
            continue

    def _read(self, front: Sequence[int], first: Sequence[int], periods: Sequence[int]) -> bool:
        """Reads the map; False, with fewer rounds, where it is not one to one."""
        pairs = []
        for stream, period in enumerate(periods):
            if period:
                offsets, regions = self.pattern.offsets[stream], self.pattern.regions[stream]
                low, high = front[stream], first[stream] + self.rounds * period
                pairs.append((regions[offsets[low] : offsets[high]], regions[offsets[low + period] : offsets[high + period]]))
        source, image = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        bad = np.zeros(source.size, bool)
        for keys, values in ((source, image), (image, source)):
            table = np.full(self.pattern.size + 1, -1, np.int64)
            table[keys[::-1]] = values[::-1]  # the first one stays
            bad |= table[keys] != values
        if not bad.any():
            self.to[:] = -1
            self.to[source] = image
            return True
        place = 0
        for (stream, period), (part, _) in zip(((s, p) for s, p in enumerate(periods) if p), pairs):
            wrong = np.flatnonzero(bad[place : place + part.size])
            place += part.size
            if wrong.size:
                offsets = self.pattern.offsets[stream]
                command = int(np.searchsorted(offsets, offsets[front[stream]] + wrong[0], side="right")) - 1
                self.rounds = min(self.rounds - 1, (command - first[stream]) // period)
        return False

    def target(self) -> np.ndarray:
        """Where each region goes in one period: regions that the commands do not touch stay; `size` where that is not known."""
        nowhere = self.pattern.size
        result = np.arange(nowhere + 1)
        known = self.to >= 0
        result[self.to[known]] = nowhere
        result[known] = self.to[known]
        return result

    def keeps_overlaps(self, present: set[int]) -> bool:
        """True if regions that the commands touch overlap the same ones, of them and of those in tables, after the move."""
        sources = np.flatnonzero(self.to >= 0)
        images = self.to[sources]
        staying = {region for region in present if self.to[region] < 0}
        reached = set(images.tolist())
        if staying & reached:
            return False
        if np.array_equal(sources, images):
            return True
        if any(self.pattern.shared[a] != self.pattern.shared[b] for a, b in zip(sources.tolist(), images.tolist())):
            return False
        target = self.target()
        old, new = present | set(sources.tolist()), staying | reached
        neighbours = self.pattern.neighbours
        return all(
            {int(target[other]) for other in neighbours[a] if other in old} == {other for other in neighbours[b] if other in new}
            for a, b in zip(sources.tolist(), images.tolist())
        )

    def power(self, present: set[int]) -> tuple[int, np.ndarray]:
        """(rounds, where regions go in so many): fewer than `self.rounds` where one that is present would go nobody knows where."""
        regions = list(present)
        for rounds in (self.rounds, self.rounds - 1, self.rounds // 2):
            result, square, rest = np.arange(self.pattern.size + 1), self.target(), rounds
            while rest:
                if rest & 1:
                    result = square[result]
                square, rest = square[square], rest >> 1
            if (result[regions] < self.pattern.size).all():
                return rounds, result
        return 0, self.target()
