"""Lowering to the simulator IR: what becomes of ops, locations, arguments and kinds of cores."""

import pytest

from ptoc.dialect import assembly
from ptoc.dialect.errors import NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import location_of, plain
from ptoc.dialect.sim_text import parse_sim, sim_to_text
from ptoc.lowering import lower

TILE = "!pto.tile_buf<vec, 8x64xf32>"
VIEW = "!pto.tensor_view<8x64xf32>"


def lowered(body: str, attributes: str = "") -> ir.Module:
    """The simulator IR of a function: %v and %w are views of pointers x and y, %a is a tile at 0, %n an index."""
    lines = [
        f"func.func @f(%x: !pto.ptr<f32>, %y: !pto.ptr<f32>, %n: index) {attributes} {{",
        "  %c1 = arith.constant 1 : index  %c8 = arith.constant 8 : index  %c64 = arith.constant 64 : index  %c0 = arith.constant 0 : i64",
        f"  %v = pto.make_tensor_view %x, shape = [%c8, %c64], strides = [%c64, %c1] : {VIEW}",
        f"  %w = pto.make_tensor_view %y, shape = [%c8, %c64], strides = [%c64, %c1] : {VIEW}",
        f"  %a = pto.alloc_tile addr = %c0 : {TILE}",
        body,
        "  return",
        "}",
    ]
    return lower(assembly.parse("\n".join(lines), "kernel.pto"))


def ops(module: ir.Module, name: str) -> list[ir.Operation]:
    """All ops of a name, in order."""
    found: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == name:
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def facts(op: ir.Operation) -> dict:
    """An op's attributes as plain values, without the book-keeping of operands."""
    return {name: plain(attr) for name, attr in op.attributes.items() if name != "operandSegmentSizes"}


def test_a_leaf_is_one_command_with_its_facts_and_its_line() -> None:
    module = lowered(f"  pto.tadd ins(%a, %a : {TILE}, {TILE}) outs(%a : {TILE})")
    (command,) = ops(module, "sim.command")
    assert facts(command) == {
        "op": "pto.tadd",
        "pipe": "V",
        "names": ["src0", "src1", "dst"],
        "reads": ["src0", "src1"],
        "writes": ["dst"],
        "work": "vadd.f32 x 8",
    }
    assert location_of(command) == "kernel.pto:6"


def test_work_that_depends_on_the_run_is_left_open() -> None:
    part = "!pto.tile_buf<vec, 8x64xf32, valid=?x64>"
    body = f"  %b = pto.alloc_tile addr = %c0 valid_row = %n : {part}\n  pto.texp ins(%b : {part}) outs(%b : {part})"
    assert facts(ops(lowered(body), "sim.command")[0])["work"] == "?"


def test_ranges_of_a_transfer_are_the_bytes_that_move() -> None:
    module = lowered(f"  pto.tload ins(%v : {VIEW}) outs(%a : {TILE})\n  pto.tstore ins(%a : {TILE}) outs(%w : {VIEW})")
    load, store = ops(module, "sim.command")
    assert (facts(load)["pipe"], facts(load)["work"]) == ("MTE2", "gm_to_ub 1 x 2048 B")
    assert (facts(store)["pipe"], facts(store)["reads"], facts(store)["writes"]) == ("MTE3", ["src"], ["dst"])


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        (f"  pto.texp ins(%a : {TILE}) outs(%a : {TILE})", ["aiv"]),
        ("  pto.section.cube { pto.barrier <PIPE_ALL> }", ["aic"]),
        ("  pto.section.vector { pto.barrier <PIPE_ALL> }\n  pto.section.cube { pto.barrier <PIPE_ALL> }", ["aic", "aiv"]),
    ],
)
def test_one_function_for_each_kind_of_core(body: str, kinds: list[str]) -> None:
    functions = ops(lowered(body), "func.func")
    assert [facts(f)["sim.core"] for f in functions] == kinds
    assert {facts(f)["sim.kernel"] for f in functions} == {"f"}


def test_a_stated_kind_of_core_is_taken() -> None:
    module = lowered("  pto.barrier <PIPE_ALL>", "attributes {pto.kernel_kind = #pto.kernel_kind<cube>}")
    assert [facts(f)["sim.core"] for f in ops(module, "func.func")] == ["aic"]


def test_loops_and_conditions_stay() -> None:
    body = f"""  %i0 = arith.constant 0 : index
  scf.for %i = %i0 to %n step %c1 {{
    %c = arith.cmpi slt, %i, %c8 : index
    scf.if %c {{ pto.texp ins(%a : {TILE}) outs(%a : {TILE}) }}
  }}"""
    module = lowered(body)
    assert len(ops(module, "scf.for")) == len(ops(module, "scf.if")) == len(ops(module, "sim.command")) == 1


def test_flags_name_the_engine_that_sets_and_the_one_that_waits() -> None:
    flags = "[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>]"
    module = lowered(f"  pto.set_flag{flags}\n  pto.wait_flag{flags}\n  pto.texp ins(%a : {TILE}) outs(%a : {TILE})\n  pto.barrier <PIPE_ALL>")
    (set_,), (wait,), (barrier,) = (ops(module, f"sim.{name}") for name in ("set", "wait", "barrier"))
    assert facts(set_) == facts(wait) == {"pipe": "MTE2", "peer": "V"}
    assert facts(barrier)["pipe"] == "ALL"


def test_a_part_shares_its_tile_and_a_slot_lies_at_its_stride() -> None:
    multi, row = f"!pto.multi_tile_buf<{TILE.removeprefix('!pto.tile_buf<')[:-1]}, count=2>", "!pto.tile_buf<vec, 1x64xf32>"
    body = f"""  %i0 = arith.constant 0 : index
  %m = pto.alloc_multi_tile addr = %c0 : {multi}
  %s = pto.multi_tile_get %m[%n] : {multi} -> {TILE}
  %p = pto.subview %s[%c1, %i0] sizes [1, 64] : {TILE} -> {row}
  pto.texp ins(%p : {row}) outs(%p : {row})"""
    text = sim_to_text(lowered(body))
    assert "arith.constant 2048 : index" in text
    assert "sim.part" in text
    assert str(parse_sim(text, "f.sim.mlir")) == str(parse_sim(sim_to_text(parse_sim(text, "f.sim.mlir")), "f.sim.mlir"))


def test_a_tile_without_an_address_is_refused_at_its_line() -> None:
    with pytest.raises(NotSupportedError, match=r"kernel.pto:6: 'pto.alloc_tile': the tile has no address; run plan-memory first"):
        lowered(f"  %b = pto.alloc_tile : {TILE}\n  pto.texp ins(%b : {TILE}) outs(%b : {TILE})")
    with pytest.raises(NotSupportedError, match=r"kernel.pto:6: 'pto.alloc_multi_tile': the slots have no address; run plan-memory first"):
        lowered(f"  %m = pto.alloc_multi_tile : !pto.multi_tile_buf<vec, 8x64xf32, count=2>\n  pto.texp ins(%a : {TILE}) outs(%a : {TILE})")


def test_a_pipe_that_was_not_lowered_is_refused() -> None:
    ring = "!pto.tensor_view<8x64xf32>"
    with pytest.raises(NotSupportedError, match=r"kernel.pto:7: 'pto.aic_initialize_pipe' cannot be simulated"):
        lowered(f"  pto.section.cube {{\n  pto.aic_initialize_pipe {{dir_mask = 1 : i32, slot_size = 64 : i32}} (gm_slot_tensor = %v : {ring})\n  }}")
