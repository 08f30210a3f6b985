"""Least values of integers: which loops run at least once.

`least(value)` follows constants, sums, products, quotients, minima and maxima; sizes of a kernel are at least 1 (`pto.positive_args`).
One relation is known: in a loop over ceil(n / t) tiles, n - i * t, what is left for tile i, is at least 1.
"""

from ptoc.dialect.mlir import ir
from ptoc.dialect.op import plain

LEAST_OF_OP = {"pto.get_block_idx": 0, "pto.get_mesh_idx": 0, "pto.get_block_num": 1, "pto.get_subblock_idx": 0, "pto.get_subblock_num": 1}
LESS, AT_LEAST = 2, 5
"""Signed less, and greater or equal: numbers of predicates of arith.cmpi.  Source: MLIR, Arith dialect."""
THROUGH = ("arith.index_cast", "arith.extsi", "arith.extui", "arith.trunci")


def runs_at_least_once(loop: ir.Operation) -> bool:
    """True where an scf.for surely has an iteration."""
    lower, upper, _ = list(loop.operands)[:3]
    first, last = constant(lower), least(upper)
    return first is not None and last is not None and last > first


def in_first_iteration(condition: ir.Value) -> dict[ir.Operation, bool]:
    """Loops (scf.for with a known first counter) in whose first iteration a condition surely holds (True) or does not (False)."""
    op = defining(condition)
    if op is None or op.name not in ("arith.andi", "arith.cmpi"):
        return {}
    if op.name == "arith.andi":
        parts = [in_first_iteration(operand) for operand in op.operands]
        return {loop: False for part in parts for loop, holds in part.items() if not holds}
    counter, limit = op.operands
    predicate = plain(op.attributes["predicate"])
    if predicate not in (LESS, AT_LEAST) or defining(counter) is not None:
        return {}
    loop = counter.owner.owner.operation
    first = constant(loop.operands[0]) if loop.name == "scf.for" and ir.BlockArgument(counter).arg_number == 0 else None
    low = least(limit)
    return {loop: predicate == LESS} if first is not None and low is not None and first < low else {}


def constant(value: ir.Value) -> int | None:
    """The number that a value is, None where it is not known when compiling."""
    op = defining(value)
    return plain(op.attributes["value"]) if op is not None and op.name == "arith.constant" else None


def defining(value: ir.Value) -> ir.Operation | None:
    """The op that makes a value, None for block arguments."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.operation


def least(value: ir.Value) -> int | None:
    """A number that an integer is never below, None where none is known."""
    op = defining(value)
    if op is None:
        return _least_of_argument(value)
    if op.name in LEAST_OF_OP:
        return LEAST_OF_OP[op.name]
    if op.name in THROUGH:
        return least(op.operands[0])
    if op.name == "arith.constant":
        return constant(value)
    if op.name in ("arith.addi", "arith.subi") and _is_rest_of_tiles(value):
        return 1
    rule = _RULES.get(op.name)
    return rule(*op.operands) if rule else None


def _least_of_argument(value: ir.Value) -> int | None:
    """A loop's counter is at least its lower bound, a size of the kernel at least 1."""
    block = value.owner
    parent = block.owner.operation
    number = ir.BlockArgument(value).arg_number
    if parent.name == "scf.for" and number == 0:
        return least(parent.operands[0])
    if parent.name == "func.func" and "pto.positive_args" in parent.attributes and "pto.arg_names" in parent.attributes:
        names = plain(parent.attributes["pto.arg_names"])
        return 1 if number < len(names) and names[number] in plain(parent.attributes["pto.positive_args"]) else None
    return None


def _both(a: ir.Value, b: ir.Value) -> tuple[int, int] | None:
    low = (least(a), least(b))
    return None if None in low else low


def _add(a: ir.Value, b: ir.Value) -> int | None:
    low = _both(a, b)
    return sum(low) if low else None


def _multiply(a: ir.Value, b: ir.Value) -> int | None:
    low = _both(a, b)
    return low[0] * low[1] if low and min(low) >= 0 else None


def _divide(a: ir.Value, b: ir.Value) -> int | None:
    low, divisor = least(a), constant(b)
    return low // divisor if low is not None and low >= 0 and divisor is not None and divisor > 0 else None


def _divide_up(a: ir.Value, b: ir.Value) -> int | None:
    low, divisor = least(a), constant(b)
    return -(-low // divisor) if low is not None and low >= 0 and divisor is not None and divisor > 0 else None


def _minimum(a: ir.Value, b: ir.Value) -> int | None:
    low = _both(a, b)
    return min(low) if low else None


def _maximum(a: ir.Value, b: ir.Value) -> int | None:
    return max((n for n in (least(a), least(b)) if n is not None), default=None)


def _remainder(a: ir.Value, b: ir.Value) -> int | None:
    low = least(a)
    return 0 if low is not None and low >= 0 else None


_RULES = {
    "arith.addi": _add,
    "arith.muli": _multiply,
    "arith.divsi": _divide,
    "arith.floordivsi": _divide,
    "arith.ceildivsi": _divide_up,
    "arith.minsi": _minimum,
    "arith.maxsi": _maximum,
    "arith.remsi": _remainder,
}


def _is_rest_of_tiles(value: ir.Value) -> bool:
    """True for n - i * t where i counts a loop whose upper bound is ceil(n / t): (n + t - 1) // t."""
    op = defining(value)
    total, product = op.operands
    if defining(product) is None or defining(product).name != "arith.muli":
        total, product = product, total
    inner = defining(product)
    if inner is None or inner.name != "arith.muli":
        return False
    counter, factor = inner.operands
    step = constant(factor)
    if step is None or defining(counter) is not None:
        return False
    tile = -step if op.name == "arith.addi" else step
    loop = counter.owner.owner.operation
    if tile <= 0 or loop.name != "scf.for" or ir.BlockArgument(counter).arg_number != 0:
        return False
    return _is_number_of_tiles(loop.operands[1], total, tile)


def _is_number_of_tiles(value: ir.Value, total: ir.Value, tile: int) -> bool:
    """True for (total + tile - 1) // tile."""
    op = defining(value)
    if op is None or op.name not in ("arith.floordivsi", "arith.divsi") or constant(op.operands[1]) != tile:
        return False
    rounded = defining(op.operands[0])
    if rounded is None or rounded.name != "arith.addi":
        return False
    parts = list(rounded.operands)
    return total in parts and any(constant(part) == tile - 1 for part in parts)
