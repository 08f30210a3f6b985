"""hit_fractions(accesses, ...) = what part of a command's bytes finds itself in the L2, by site, before anything is scheduled.

Time is not known yet: the accesses of all cores are merged as if every core went through its own evenly.
"""

import numpy as np

from ptoc.machine import l2

from .accesses import Accesses

GRANULE = 64 * 1024
"""Memories that a run writes and reads (rings, work spaces) are told apart in pieces of this size: what is read was stored in other shapes."""

NEGLIGIBLE = (2 * l2.STEPS) ** -0.5
"""Of the capacity: no re-use distance of a warm run is larger than its memories together; below this a fraction of hits rounds to 1."""

MOST = 1 << 19
"""Accesses that are looked at.  A longer run is taken to go on as it began; see docs/decisions.md."""


def all_hit(memories: dict[str, int], capacity: float, warm: bool, bypass: tuple[str, ...] = ()) -> bool:
    """True for a run whose transfers hit, all of them, however they are ordered.  memories: bytes of each global memory."""
    return warm and not bypass and footprint(memories) < capacity * NEGLIGIBLE


def footprint(memories: dict[str, int]) -> int:
    """Bytes of the global memories of a run; rings that lie on the chip ("NAME/MEMORY") are none."""
    return sum(size for name, size in memories.items() if "/" not in name)


def hit_fractions(accesses: Accesses, memories: dict[str, int], capacity: float, warm: bool, bypass: tuple[str, ...] = ()) -> dict[int, float]:
    """Number of a site to the part of its bytes that hit, -1 for reads past the L2; sites that are not in it hit.

    All commands of a site are priced alike: the mean.  capacity: bytes that the L2 keeps of streams; warm: the run follows one like it;
    bypass: names of tensors that are read past the L2.
    """
    if not accesses.ways or all_hit(memories, capacity, warm, bypass):
        return {}
    past = {f"gm:{name}" for name in bypass}
    sites = np.array([way.site for way in accesses.ways])
    around = {way.site: -1.0 for way in accesses.ways if way.memory in past}
    way, start, size = _merged(accesses, np.array([way.memory in past for way in accesses.ways]))
    if not len(way):
        return around
    keys = _keys(accesses, way, start, size)
    whole = None
    if warm and accesses.looked_at < 1:
        whole = float(footprint(memories))
    fractions = l2.hit_fractions(l2.reuse_distances(keys, size, warm, whole), keys, size, capacity)
    bytes_of = np.bincount(sites[way], size)
    hits = np.bincount(sites[way], fractions * size)
    found = {int(site): _stepped(hits[site] / bytes_of[site]) for site in np.flatnonzero(bytes_of)}
    return {site: hit for site, hit in found.items() if hit < 1} | around


def _stepped(fraction: float) -> float:
    return round(fraction * l2.STEPS) / l2.STEPS


def _merged(accesses: Accesses, left_out: np.ndarray) -> tuple[np.ndarray, ...]:
    """(way, first byte, bytes) of all accesses that move bytes and are not left out, in the order of time."""
    table = np.concatenate(accesses.cores)
    time = np.concatenate([(np.arange(len(core)) + 0.5) / max(1, len(core)) for core in accesses.cores])
    kept = (table[:, 2] > 0) & ~left_out[table[:, 0]]
    table = table[kept]
    order = np.argsort(time[kept], kind="stable")
    return tuple(table[order].T)


def _keys(accesses: Accesses, way: np.ndarray, start: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A number for each access, the same for the same bytes."""
    names = sorted({w.memory for w in accesses.ways})
    memory = np.array([names.index(w.memory) for w in accesses.ways])[way]
    writes = np.array([w.writes for w in accesses.ways])[way]
    both = np.array([bool(writes[memory == m].any() and not writes[memory == m].all()) for m in range(len(names))])[memory]
    place, extent = np.where(both, start // GRANULE, start), np.where(both, 0, size)
    order = np.lexsort((extent, place, memory))
    changed = np.zeros(len(order), np.int64)
    for column in (memory, place, extent):
        changed[1:] |= column[order][1:] != column[order][:-1]
    keys = np.empty(len(order), np.int64)
    keys[order] = np.cumsum(changed)
    return keys
