"""insert-sync: the flags and barriers that the dependences need, and no others."""

from dataclasses import dataclass

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY, record
from ptoc.machine.hazards import needs_barrier

from .event_ids import FreeIds, assign_ids
from .plan_memory import functions
from .sync_dependences import dependences
from .sync_emit import barrier, emit
from .sync_greedy import solve
from .sync_tree import kinds_of, read_function


@dataclass(frozen=True)
class InsertSync:
    """Orders conflicting commands of different pipes by flags, of one pipe by barriers where that pipe needs them.

    Before:
        scf.for %i = .. { pto.tload ins(%x) outs(%a)            pto.texp ins(%a) outs(%b) }
    After:
        pto.set_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID0>]
        scf.for %i = .. { pto.wait_flag[V, MTE2, 0] tload       pto.set_flag[MTE2, V, 0]
                          pto.wait_flag[MTE2, V, 0] texp        pto.set_flag[V, MTE2, 0] }
        pto.wait_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID0>]       pto.barrier <PIPE_ALL>

    Flags and barriers that are there already are kept and counted on.  A dependence d iterations back gets d flags that take turns.
    Each inserted op has the location of the command that needs it and the number of its `unit`; primes, drains and the last barrier have a
    `role`.
    Needs: an address on every tile.  Leaves: explicit order, PIPE_ALL at each end of a function that no other calls.
    Raises: nothing; a remark where event ids ran out, with what that costs.
    """

    name = "insert-sync"

    def run(self, module: ir.Module, chip) -> list[str]:
        """Inserts into every function; remarks, if any."""
        remarks: list[str] = []
        called = _called(module)
        event_ids = int(chip.number("sync.event_ids"))
        number = 0

        def needs(pipe: str, hazard: str) -> bool:
            return needs_barrier(chip.arch, pipe, hazard)

        for func in functions(module):
            commands = False
            trees = []
            for kind in kinds_of(func):
                tree = read_function(func, kind)
                free = FreeIds(tree, event_ids)
                remarks += assign_ids(tree, solve(tree, dependences(tree, needs), free), free)
                commands |= any(leaf.op is not None for leaf in tree.root.leaves())
                trees.append(tree)
            for tree in trees:
                number = emit(tree, number)
            if commands and ir.StringAttr(func.attributes["sym_name"]).value not in called:
                _end(func)
        return remarks


def _called(module: ir.Module) -> set[str]:
    """Names of functions that another function calls."""
    names: set[str] = set()

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "func.call":
            names.add(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return names


def _end(func: ir.Operation) -> None:
    """PIPE_ALL before each return that has none; inside a guard around all that the function does, so that a core that is left out issues nothing."""
    for block in func.regions[0].blocks:
        if block.operations[len(block.operations) - 1].operation.name == "func.return":
            _end_of(block)


def _end_of(block: ir.Block) -> None:
    *earlier, before, end = [None, *(view.operation for view in block.operations)]
    if before is not None and before.name == "pto.barrier" and "PIPE_ALL" in str(before.attributes["pipe"]):
        return
    guard = before is not None and before.name == "scf.if" and not len(before.results) and not len(before.regions[1].blocks)
    if guard and not any(_issues(op) for op in earlier if op is not None):
        _end_of(before.regions[0].blocks[0])
        return
    with ir.InsertionPoint(end), end.location:
        barrier("ALL", role=ir.StringAttr.get("end"))


def _issues(op: ir.Operation) -> bool:
    """False for an op that gives a value and uses no engine."""
    if op.name not in REGISTRY:
        return not op.name.startswith("arith.")
    rec = record(op)
    return not rec.results or bool(rec.cls.pipe_of(rec) or rec.cls.reads or rec.cls.writes)
