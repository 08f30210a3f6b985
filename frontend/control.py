"""Control flow of kernels: loops, conditions, early return, cube and vector sections, program ids."""

from collections.abc import Iterator
from contextlib import contextmanager

from ptoc.dialect.mlir import arith, ir, scf

from .builder import current, emit, fail, location, user_location
from .jumps import refuse_jumps
from .values import Condition, Index, Number


def range_(start: Number, stop: Number | None = None, step: Number = 1, *, stages: int | None = None, preload: int = 0) -> Iterator[Index]:
    """`for i in ptoc.range(n)`: a loop that stays a loop in the compiled kernel; it may run zero times.

    stages=N: tiles that cross engines, made inside it or overwritten first in each iteration, get N slots, so that iteration i + 1 loads while i
    computes.  stages=1: they get none, also with auto_stages; by default auto_stages decides.
    preload=P: sections that cross tiles connect run P iterations ahead of those that a round trip later need their values.
    """
    if stop is None:
        start, stop = 0, start
    if isinstance(step, int) and step < 1:
        raise fail(f"range: step must be at least 1; got {step}")
    if stages is not None and stages < 1:
        raise fail(f"range: stages must be at least 1; got {stages}")
    if not 0 <= preload <= 7:
        raise fail(f"range: preload must be 0 to 7 (a ring has at most 15 slots, two for each iteration ahead); got {preload}")
    where = location()
    bounds = [Index.of(x).value() for x in (start, stop, step)]
    loop = scf.ForOp(*bounds, loc=where)
    if stages is not None:
        loop.operation.attributes["pto.stages"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), stages)
    if preload:
        loop.operation.attributes["pto.preload"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(32), preload)
    trace = current()
    try:
        with _block(loop.body):
            yield Index({loop.induction_variable: 1})
            scf.YieldOp([], loc=where)
    except GeneratorExit:
        # An error raised here would be lost: the trace ends with it instead.
        trace.left_loop = trace.left_loop or user_location()
        raise


@contextmanager
def when(condition: Condition | bool) -> Iterator[None]:
    """`with ptoc.when(c):` runs its body where c holds."""
    if isinstance(condition, bool):
        condition = Condition(arith.constant(ir.IntegerType.get_signless(1), int(condition), loc=location()))
    if not isinstance(condition, Condition):
        raise fail(f"when: a condition such as 'i < n' is expected; got {condition!r}")
    refuse_jumps()
    branch = scf.IfOp(condition.value, loc=location())
    with _block(branch.then_block):
        yield
        scf.YieldOp([], loc=location())


@contextmanager
def otherwise() -> Iterator[None]:
    """`with ptoc.otherwise():` right behind a `with ptoc.when(c):` runs its body where c does not hold."""
    current()
    last = list(ir.InsertionPoint.current.block.operations)[-1:]
    branch = last[0].operation if last else None
    if branch is None or branch.name != "scf.if" or len(branch.regions[1].blocks):
        raise fail("otherwise: it belongs right behind the 'with ptoc.when(condition):' that it is the other half of")
    refuse_jumps()
    with _block(branch.regions[1].blocks.append()):
        yield
        scf.YieldOp([], loc=location())


def return_if(condition: Condition) -> None:
    """Ends the kernel (or the section) here where `condition` holds: what follows in the same block runs only where it does not."""
    where = location()
    branch = scf.IfOp((~condition).value, loc=where)
    point = ir.InsertionPoint(branch.then_block)
    point.__enter__()
    current().open_blocks[-1].append((point, where))


@contextmanager
def _block(block: ir.Block) -> Iterator[None]:
    """Emission into a block; early returns opened inside are closed with it."""
    trace = current()
    trace.open_blocks.append([])
    with ir.InsertionPoint(block):
        yield
        close_returns()
    trace.open_blocks.pop()


def close_returns() -> None:
    """Closes the guards that `return_if` opened in the current block."""
    for point, where in reversed(current().open_blocks[-1]):
        scf.YieldOp([], loc=where)
        point.__exit__(None, None, None)
    current().open_blocks[-1].clear()


@contextmanager
def _section(kind: str) -> Iterator[None]:
    trace = current()
    refuse_jumps()
    if trace.section:
        raise fail(f"a {kind} section cannot stand inside a {trace.section} section")
    op = ir.Operation.create(f"pto.section_{kind}", regions=1, loc=location())
    block = op.regions[0].blocks.append()
    trace.section = kind
    try:
        with _block(block):
            for pipe in trace.pipes:
                pipe._initialize(kind)
            yield
    finally:
        trace.section = ""


def cube() -> object:
    """`with ptoc.cube():` its body runs on the cube core (AIC) of each block."""
    return _section("cube")


def vector() -> object:
    """`with ptoc.vector():` its body runs on each vector core (AIV) of each block."""
    return _section("vector")


def _id(op: str) -> Index:
    value = emit(op, results=(ir.IntegerType.get_signless(64),)).result
    return Index({arith.index_cast(ir.IndexType.get(), value, loc=location()): 1})


@contextmanager
def part(name: str) -> Iterator[None]:
    """`with ptoc.part("softmax"):` commands written in its body are counted to that part in reports; they run as they would without it.

    A part inside of another one stands for its own commands alone.
    """
    if not (isinstance(name, str) and name.isidentifier()):
        raise fail(f"part: a name such as 'softmax' is expected; got {name!r}")
    trace = current()
    outer, trace.part = trace.part, name
    try:
        yield
    finally:
        trace.part = outer


def block_idx() -> Index:
    """Number of this block (cube core with its vector cores; in a kernel without cube code: of this vector core)."""
    return _id("get_block_idx")


def num_blocks() -> Index:
    """Number of blocks that the kernel was launched with."""
    return _id("get_block_num")


def sub_block_idx() -> Index:
    """Number of this vector core in its block: 0 or 1."""
    return _id("get_subblock_idx")


def program_id(axis: int, grid: tuple[Number, ...]) -> Number:
    """This block's coordinate along `axis` of a grid whose last axis runs fastest.  Raises ParseError where the axis is none of the grid's."""
    if not 0 <= axis < len(grid):
        raise fail(f"program_id: the axis must be 0 to {len(grid) - 1}; got {axis}")
    index: Number = block_idx()
    for extent in reversed(grid[axis + 1 :]):
        index = index // extent
    return index % grid[axis] if axis else index
