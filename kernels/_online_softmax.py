"""One step of online softmax, which all attention of several tiles takes: the rows of a tile of scores against what came before."""

from collections.abc import Callable
from typing import Any

import ptoc

Hook = Callable[[Any], None]


def online_softmax(
    x: Any, x16: Any, m: Any, before: Any, l: Any, r: Any, local: Any, column: Any, scratch: Any, scale: float,
    floor: Hook | None = None, keep: Hook | None = None,
) -> None:  # fmt: skip
    """x16 = exp(scale * (x - new m)); r = exp(scale * (m - new m)), by which what came before shrinks; l = before * r + the row sums.

    x: scores [rows, columns] f32, overwritten; m, before, l, r, local: [1, rows] f32, of which `column` is `local` as [rows, 1].
    floor: told the tile's own maxima before they are compared, keep: the new m.  Commands that do not depend on each other stand together:
    fewer barriers.
    """
    ptoc.rowmax(column, x, scratch)
    if floor is not None:
        floor(local)
    ptoc.max(local, local, m)
    ptoc.sub(r, m, local)
    ptoc.rowexpandsub(x, x, column)
    ptoc.mov(m, local)
    if keep is not None:
        keep(local)
    ptoc.muls(r, r, scale)
    ptoc.muls(x, x, scale)
    ptoc.exp(r, r)
    ptoc.exp(x, x)
    ptoc.mul(l, before, r)
    ptoc.cvt(x16, x)
    ptoc.rowsum(column, x, scratch)
    ptoc.add(l, l, local)
