"""The time form of a kernel against its full form: the same commands for every core, and the same tracks for cores that are alike."""

import numpy as np
import pytest

from ptoc.dialect.errors import ArgumentError, NotSupportedError
from ptoc.dialect.sim_text import parse_sim
from ptoc.loading import load_kernel, load_source
from ptoc.machine.chip import load_chip
from ptoc.running import arrange
from ptoc.simulator.elaborate import elaborate, fill, time_forms
from ptoc.simulator.streams import program_of_forms

CHIP = load_chip("ascend910b1")
SMALL = [
    (name, case)
    for name in ("vector_add", "softmax", "gemm", "flash_attention")
    for case in load_kernel(name).small_cases
    if (name, case) not in (("flash_attention", "s4096"), ("flash_attention", "s8192"), ("gemm", "default"))
]


def seen(program):
    """(site number, op, line, flag, work) of every command, by core, as time sees them."""
    rows = program.codes.rows
    return [
        [(rows[c][0].index, rows[c][0].op, rows[c][0].location, rows[c][1], rows[c][2]) for c in stream.track.codes.tolist()]
        for stream in program.streams
    ]


def stated(program):
    """The same from the commands with operands."""
    return [[(c.site.index, c.site.op, c.site.location, c.flag, c.work) for c in stream.commands] for stream in program.streams]


def timed(text, arguments, blocks=1, arrays=None):
    return elaborate(parse_sim(text, "k.sim.mlir"), "k", arguments, blocks, arrays, timed=True)


@pytest.mark.parametrize(("name", "case"), SMALL)
def test_time_sees_the_commands_that_are_executed(name, case):
    arranged = arrange(load_source(name), CHIP, {}, case, None, {}, "insert")
    full = arranged.program()
    program = program_of_forms(arranged.timed.forms, arranged.extents, arranged.arguments.blocks, {}, arranged.fill)
    assert [stream.core for stream in program.streams] == [stream.core for stream in full.streams]
    assert seen(program) == stated(full)
    assert stated(program) == stated(full)


def test_alike_cores_share_a_track():
    arranged = arrange(load_source("flash_attention"), CHIP, {"S0": "1024", "S1": "512"}, None, 3, {}, "insert", values=False)
    program = program_of_forms(arranged.timed.forms, arranged.extents, 3, {}, arranged.fill)
    tracks = [id(stream.track) for stream in program.streams]
    assert tracks[:3] == tracks[3:6]  # blocks 0 and 1 have three blocks of rows, block 2 has two
    assert tracks[1] == tracks[2]
    assert tracks[6] not in tracks[:6]


HEAD = """module attributes {{sim.arch = "a3"}} {{
func.func @k({arguments}) attributes {{sim.core = "aiv", sim.kernel = "k", sim.arg_names = [{names}]}} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
{body}
  return
}}
}}"""


def text_of(body, **arguments):
    return HEAD.format(
        arguments=", ".join(f"%{n}: {t}" for n, t in arguments.items()), names=", ".join(f'"{n}"' for n in arguments), body=body
    )


LOOP = """  %b = sim.id "block_idx"
  scf.for %i = %c0 to %n step %c1 {{
    %f = arith.remsi %i, %c2 : index
    {inside}
  }}"""


def test_flags_follow_the_iteration():
    program = timed(text_of(LOOP.format(inside='sim.set "V" to "MTE3" id %f\n    sim.wait "V" to "MTE3" id %f'), n="index"), {"n": 5})
    assert [flag for _, _, _, flag, _ in seen(program)[0]] == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert seen(program) == stated(program)
    assert set(program.streams[0].track.marks.values()) == {0}


def test_what_only_addresses_depend_on_does_not_make_cores_differ():
    inside = """%at = arith.muli %b, %n : index
    %t = sim.tile "ub"[%at] valid(%c1, %c2) {blayout = "row_major", cols = 8, dtype = "f32", fractal = 512, rows = 1, slayout = "none_box"}
    sim.command "pto.texp" on "V"(%t, %t) {names = ["src", "dst"], reads = ["src"], work = "?", writes = ["dst"]}"""
    program = timed(text_of(LOOP.format(inside=inside), n="index"), {"n": 3}, blocks=4)
    assert len({id(stream.track) for stream in program.streams}) == 1
    assert seen(program) == stated(program)
    assert program.streams[2].commands[0].operands[0][1].address == 6


def test_sums_that_cancel_do_not_make_cores_differ():
    inside = """%at = arith.muli %b, %n : index
    %up = arith.addi %at, %c2 : index
    %size = arith.subi %up, %at : index
    %t = sim.tile "ub"[%c0] valid(%c1, %size) {blayout = "row_major", cols = 8, dtype = "f32", fractal = 512, rows = 1, slayout = "none_box"}
    sim.command "pto.texp" on "V"(%t, %t) {names = ["src", "dst"], reads = ["src"], work = "?", writes = ["dst"]}"""
    program = timed(text_of(LOOP.format(inside=inside), n="index"), {"n": 3}, blocks=4)
    assert len({id(stream.track) for stream in program.streams}) == 1
    assert seen(program) == stated(program)


def test_sizes_that_differ_do():
    inside = """%size = arith.addi %b, %c1 : index
    %t = sim.tile "ub"[%c0] valid(%c1, %size) {blayout = "row_major", cols = 512, dtype = "f32", fractal = 512, rows = 1, slayout = "none_box"}
    sim.command "pto.texp" on "V"(%t, %t) {names = ["src", "dst"], reads = ["src"], work = "?", writes = ["dst"]}"""
    program = timed(text_of(LOOP.format(inside=inside), n="index"), {"n": 2}, blocks=3)
    assert len({id(stream.track) for stream in program.streams}) == 3
    assert seen(program) == stated(program)


CARRIED = """  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %c0, %u = %c1) -> (index, index) {
    %odd = arith.cmpi eq, %a, %c0 : index
    %next = scf.if %odd -> (index) {
      sim.barrier "V"
      scf.yield %c1 : index
    } else {
      scf.yield %c0 : index
    }
    %v = arith.muli %u, %c2 : index
    scf.yield %next, %v : index, index
  }
  sim.set "V" to "M" id %r#0
  sim.wait "V" to "M" id %r#0"""


def test_values_that_loops_carry():
    program = timed(text_of(CARRIED, n="index"), {"n": 5})
    assert [(op, flag) for _, op, _, flag, _ in seen(program)[0]] == [*[("pipe_barrier", -1)] * 3, ("set_flag", 1), ("wait_flag", 1)]
    assert seen(program) == stated(program)


CHOSEN = """  %b = sim.id "block_idx"
  %small = sim.tile "ub"[%b] valid(%c1, %c2) {blayout = "row_major", cols = 8, dtype = "f32", fractal = 512, rows = 1, slayout = "none_box"}
  %large = sim.tile "ub"[%n] valid(%c2, %n) {blayout = "row_major", cols = 256, dtype = "f32", fractal = 512, rows = 2, slayout = "none_box"}
  %first = arith.cmpi eq, %b, %c0 : index
  %t = scf.if %first -> (!sim.ref<>) {
    scf.yield %small : !sim.ref<>
  } else {
    scf.yield %large : !sim.ref<>
  }
  %last = scf.for %i = %c0 to %n step %c1 iter_args(%u = %t) -> (!sim.ref<>) {
    sim.command "pto.texp" on "V"(%u, %u) {names = ["src", "dst"], reads = ["src"], work = "?", writes = ["dst"]}
    scf.yield %large : !sim.ref<>
  }
  %chosen = arith.select %first, %last, %small : !sim.ref<>
  sim.command "pto.texp" on "V"(%chosen, %chosen) {names = ["src", "dst"], reads = ["src"], work = "?", writes = ["dst"]}"""


def test_regions_that_conditions_choose_and_loops_carry():
    program = timed(text_of(CHOSEN, n="index"), {"n": 200}, blocks=2)
    assert seen(program) == stated(program)
    assert [len({work for *_, work in commands}) for commands in seen(program)] == [2, 2]


WHILE = """  %r = scf.while (%a = %n) : (index) -> index {
    %more = arith.cmpi sgt, %a, %c0 : index
    scf.condition(%more) %a : index
  } do {
  ^bb0(%b: index):
    %less = arith.subi %b, %c2 : index
    sim.barrier "V"
    scf.yield %less : index
  }"""


def test_loops_with_a_condition():
    assert len(timed(text_of(WHILE, n="index"), {"n": 7}).streams[0]) == 4


def test_a_division_by_zero_is_told_with_the_command_before():
    body = """  sim.barrier "V"
  %q = arith.divsi %c2, %n : index
  scf.for %i = %c0 to %q step %c1 {
    sim.barrier "M"
  }"""
    with pytest.raises(ArgumentError, match=r"a division by zero or a loop of step zero for these arguments .* it comes after 'pipe_barrier'"):
        timed(text_of(body, n="index"), {"n": 0})


def test_an_argument_that_is_missing_is_told():
    with pytest.raises(ArgumentError, match="argument 'n' is missing"):
        timed(text_of(CARRIED, n="index"), {})


def test_operands_can_be_made_later():
    module = parse_sim(text_of(LOOP.format(inside='sim.barrier "V"'), n="index"), "k.sim.mlir")
    program = program_of_forms(time_forms(module, "k"), {"n": 2}, 1, {}, lambda program: fill(module, {"n": 2}, 1, {}, program))
    assert len(program.streams[0]) == 2
    assert [command.site.op for command in program.streams[0].commands] == ["pipe_barrier"] * 2
    assert program.streams[0].commands[0].site is program.sites[0]


TABLE = """
func.func @k(%x: !pto.ptr<f32>, %y: !pto.ptr<f32>, %t: !pto.ptr<i32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c8 = arith.constant 8 : index
  %times32 = pto.load_scalar %t[%c1] : !pto.ptr<i32> -> i32
  %times = arith.index_cast %times32 : i32 to index
  %vx = pto.make_tensor_view %x, shape = [%c8, %c8], strides = [%c8, %c1] : !pto.tensor_view<8x8xf32>
  %vy = pto.make_tensor_view %y, shape = [%c8, %c8], strides = [%c8, %c1] : !pto.tensor_view<8x8xf32>
  %a = pto.alloc_tile : !pto.tile_buf<vec, 8x8xf32>
  scf.for %i = %c0 to %times step %c1 {
    pto.tload ins(%vx : !pto.tensor_view<8x8xf32>) outs(%a : !pto.tile_buf<vec, 8x8xf32>)
    pto.tstore ins(%a : !pto.tile_buf<vec, 8x8xf32>) outs(%vy : !pto.tensor_view<8x8xf32>)
  }
  return
}
"""


def test_control_may_follow_a_table_of_integers():
    from ptoc.loading import Source

    table = np.array([9, 3, 7], np.int32)
    arranged = arrange(Source("k", None, TABLE, "pto", "k.pto"), CHIP, {}, None, None, {"t": table}, "insert", values=False)
    program = elaborate(arranged.compile().simulator_ir, "k", arranged.extents, 1, {"t": table}, timed=True)
    assert seen(program) == stated(program)
    assert sum(op == "pto.tload" for _, op, *_ in seen(program)[0]) == 3
    with pytest.raises(NotSupportedError, match="pass its contents"):
        elaborate(arranged.compile().simulator_ir, "k", arranged.extents, 1, {}, timed=True)
