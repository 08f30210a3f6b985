"""Control flow in C++: scf.for as a C for, scf.if with its results as variables, scf.while as a loop with a break in its middle."""

from ptoc.dialect import types as t
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir, scf

from .scalars import cpp_type
from .structure import emit_block, emit_op
from .tiles import tile_type
from .writer import Writer, source_of

LOOP_VARIABLES = "ijkmnpqrst"


def variable_type(value: ir.Value, op: ir.OpView, w: Writer) -> str:
    """C++ type of a value that control flow carries.  Raises NotSupportedError for views and pipes."""
    record = t.of(value.type)
    if isinstance(record, t.Tile):
        return tile_type(record, w)
    if isinstance(record, t.View | t.MultiTile | t.Opaque):
        raise NotSupportedError(f"a loop or branch that carries {value.type} has no C++ form", source_of(op))
    return cpp_type(value.type)


@emit_op.register
def _(op: scf.ForOp, w: Writer) -> None:
    low, high, step, *initial = op.operation.operands
    block = op.operation.regions[0].blocks[0]
    index, *carried = block.arguments
    for value, start, result in zip(carried, initial, op.operation.results):
        w.line(f"{variable_type(value, op, w)} {w.name(value, 'carried')} = {w.of(start)};", op)
        w.expressions[result] = w.of(value)
    kind = cpp_type(index.type)
    bounds = [w.of(v) for v in (low, high, step)]
    name = w.name(index, LOOP_VARIABLES[min(w.depth - 1, len(LOOP_VARIABLES) - 1)])
    w.line(f"for ({kind} {name} = {bounds[0]}; {name} < {bounds[1]}; {name} += {bounds[2]}) {{", op)
    with w.indented():
        emit_block(block, w)
        assign([w.of(v) for v in carried], list(_terminator(block).operands), w)
    w.line("}")


@emit_op.register
def _(op: scf.IfOp, w: Writer) -> None:
    for result in op.operation.results:
        w.line(f"{variable_type(result, op, w)} {w.name(result, 'chosen')};", op)
    results = [w.of(v) for v in op.operation.results]
    w.line(f"if ({w.of(op.operation.operands[0])}) {{", op)
    for number, region in enumerate(op.operation.regions):
        if not len(region.blocks):
            continue
        if number:
            w.line("} else {")
        with w.indented():
            emit_block(region.blocks[0], w)
            assign(results, list(_terminator(region.blocks[0]).operands), w)
    w.line("}")


@emit_op.register
def _(op: scf.WhileOp, w: Writer) -> None:
    before, after = (region.blocks[0] for region in op.operation.regions)
    for value, start in zip(before.arguments, op.operation.operands):
        w.line(f"{variable_type(value, op, w)} {w.name(value, 'state')} = {w.of(start)};", op)
    for value, result in zip(after.arguments, op.operation.results):
        w.line(f"{variable_type(value, op, w)} {w.name(value, 'passed')};", op)
        w.expressions[result] = w.of(value)
    w.line("while (true) {", op)
    with w.indented():
        emit_block(before, w)
        condition, *passed = _terminator(before).operands
        assign([w.of(v) for v in after.arguments], passed, w)
        w.line(f"if (!({w.of(condition)})) break;")
        emit_block(after, w)
        assign([w.of(v) for v in before.arguments], list(_terminator(after).operands), w)
    w.line("}")


def _terminator(block: ir.Block) -> ir.Operation:
    *_, last = block.operations
    return last.operation


def assign(targets: list[str], values: list[ir.Value], w: Writer) -> None:
    """Parallel assignment: through temporaries where a value read is a variable that is overwritten before."""
    texts = [w.of(v) for v in values]
    pairs = [(target, text) for target, text in zip(targets, texts) if target != text]
    written = {target for target, _ in pairs}
    if any(text in written for _, text in pairs[1:]):
        saved = []
        for target, text in pairs:
            temporary = w.fresh(f"next_{target}")
            w.line(f"const auto {temporary} = {text};")
            saved.append((target, temporary))
        pairs = saved
    for target, text in pairs:
        w.line(f"{target} = {text};")
