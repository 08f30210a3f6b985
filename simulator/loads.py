"""What all transfers in flight ask of each shared resource, over time, and which resource a transfer was held up by."""

from functools import cached_property

import numpy as np

from .history import History


class Loads:
    """Of each resource of the chip: transfers on it, as bytes and times.  Cores that are alike count as many."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.rates = history.plan.costs.rates

    @cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """Resource to the bytes that each command draws on it; resources that are not used are left out."""
        rows, code = self.history.plan.table.rows, self.history.plan.code
        found = {}
        for name in self.rates:
            by_code = np.array([dict(price[2] or ()).get(name, 0) if price else 0 for _, _, price in rows], np.int64)
            if by_code.size and by_code[code].any():
                found[name] = by_code[code]
        return found

    @cached_property
    def _copies(self) -> np.ndarray:
        return self.history.plan.copies[self.history.plan.stream]

    def total(self, name: str) -> int:
        """Bytes on a resource, all cores together."""
        return int((self.drawn[name] * self._copies).sum())

    def asked(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(time, bytes per fs that transfers ask for from then on): each as much as if it were alone."""
        return self._steps(name, np.maximum(self.history.plan.table.occupancy[self.history.plan.code], 1))

    def served(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(time, bytes per fs from then on): each transfer at its mean rate."""
        return self._steps(name, np.maximum(self.history.end - self.history.start, 1))

    def _steps(self, name: str, duration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        history, drawn = self.history, self.drawn[name]
        mine = np.flatnonzero((drawn > 0) & (history.end > history.start))
        rate = drawn[mine] * self._copies[mine] / duration[mine]
        times, at = np.unique(np.concatenate((history.start[mine], history.end[mine])), return_inverse=True)
        changes = np.bincount(at, np.concatenate((rate, -rate)), minlength=times.size)
        level = np.cumsum(changes)
        level[np.abs(level) < 1e-9] = 0.0
        return times, level

    @cached_property
    def _integrals(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        found = {}
        for name in self.drawn:
            times, level = self.asked(name)
            found[name] = times, np.concatenate(([0.0], np.cumsum(level[:-1] * np.diff(times))))
        return found

    def binding(self, commands: np.ndarray) -> np.ndarray:
        """Names of the resources that transfers asked the most of, for what they have, while each was in flight; "" for none."""
        begin, end = self.history.start[commands], self.history.end[commands]
        best, most = np.zeros(commands.size, np.int64), np.zeros(commands.size)
        names = np.array(["", *self._integrals])
        for number, (name, (times, integral)) in enumerate(self._integrals.items(), 1):
            asked = (np.interp(end, times, integral) - np.interp(begin, times, integral)) / np.maximum(end - begin, 1) / self.rates[name]
            more = (self.drawn[name][commands] > 0) & (end > begin) & (asked > most)
            best[more], most[more] = number, asked[more]
        return names[best]
