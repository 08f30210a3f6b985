"""Work of a command: what its text states, or, where sizes are known at run time only, what the op's class says of these regions."""

from functools import lru_cache
from typing import Any

from ptoc.dialect import ops  # noqa: F401  (declares the ops)
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.dialect.op import REGISTRY, PtoOp
from ptoc.machine.work import WorkItem, apart, without_conflict

from .program import Site


def op_class(spelling: str) -> type[PtoOp]:
    """The op class of a spelling (`pto.tmatmul.acc`)."""
    return _by_spelling()[spelling]


@lru_cache(maxsize=1)
def _by_spelling() -> dict[str, type[PtoOp]]:
    return {cls.spelling: cls for cls in REGISTRY.values()}


def narrowed(site: Site, operands: tuple[tuple[str, Any], ...]) -> tuple[tuple[str, Any], ...]:
    """The operands of one dynamic command, each region cut to what it touches."""
    return tuple(op_class(site.op).narrow(dict(operands), site.attributes).items())


def work_of(site: Site, text: str, operands: tuple[tuple[str, Any], ...], reads: tuple[str, ...]) -> tuple[WorkItem, ...]:
    """The work items of one dynamic command that reads the named operands; alike commands share the computation.

    Of addresses it depends on one thing: whether a vector op's two sources lie apart in UB.
    """
    key = tuple((name, _on_chip(v) if type(v) is TileRef else v._replace(offset=0) if isinstance(v, ViewRef) else None) for name, v in operands)
    work = _work(site, key)
    if site.pipe == "V" and len(reads) == 2:
        addresses = [v.address for name, v in operands if name in reads and type(v) is TileRef and v.memory == "ub"]
        if len(addresses) == 2 and apart(*addresses):
            return without_conflict(work)
    return work


def _on_chip(ref: TileRef) -> TileRef:
    """A tile at address 0 of the memory that it lies in; rings between cores are named by what they lie in."""
    return ref._replace(address=0, memory=ref.memory.rpartition("/")[2])


@lru_cache(maxsize=65536)
def _work(site: Site, operands: tuple[tuple[str, Any], ...]) -> tuple[WorkItem, ...]:
    return op_class(site.op).work(dict(operands), site.attributes)


def meanings() -> dict[str, Any]:
    """Op spelling to its numpy meaning."""
    return {spelling: cls.evaluate for spelling, cls in _by_spelling().items()}
