"""lower-pipes: which programs are refused, in which words and with which lines, and what becomes of legal ones."""

import re
import sys
from pathlib import Path

import pytest

from ptoc.dialect import assembly
from ptoc.dialect.errors import NotSupportedError, PtocError, VerifyError

sys.path.insert(0, str(Path(__file__).parent))
from pipe_texts import ACC, HALF, VEC, WHOLE, alloc, declared, free, lines_of, loop, lowered, pop, program, push

SENT, TAKEN = alloc() + push(), pop() + free()
BUSY = loop("scf.if %c {\n" + SENT + "}\n")
"""A producer whose count is not known."""


def refused(text: str, message: str, arch: str = "a3") -> None:
    with pytest.raises(PtocError, match=message):
        lowered(text, arch)


@pytest.mark.parametrize(
    ("cube", "vector", "message"),
    [
        ("dir_mask = 1, slot_size = 1024", "dir_mask = 1, slot_size = 2048", "agree on slot_size; got 1024 at k.pto:8 and 2048 at k.pto:13: write the same on both"),
        ("dir_mask = 1, slot_size = 1024", "dir_mask = 2, slot_size = 1024", "agree on dir_mask; got 1 at k.pto:8 and 2 at k.pto:13"),
        ("dir_mask = 1, slot_size = 1024, slot_num = 4", "dir_mask = 1, slot_size = 1024", r"agree on slot_num; got 4 at k.pto:8 and 8 \(the default\) at k.pto:13"),
        ("dir_mask = 1, slot_size = 1024, sync_period = 2", "dir_mask = 1, slot_size = 1024", r"agree on sync_period; got 2 at k.pto:8 and 4 \(the default\) at"),
        ("dir_mask = 1, slot_size = 1024", "dir_mask = 1, slot_size = 1024, local_slot_num = 2", r"agree on local_slot_num; got 8 \(the default\) at k.pto:8 and 2 at"),
        ("dir_mask = 1, slot_size = 1024, nosplit = true", "dir_mask = 1, slot_size = 1024, nosplit = false", "agree on nosplit; got True at k.pto:8 and False at"),
        ("dir_mask = 1, slot_size = 1024, flag_base = 2", "dir_mask = 1, slot_size = 1024, flag_base = 4", "agree on flag_base; got 2 at k.pto:8 and 4 at k.pto:13"),
    ],
)
def test_the_two_sides_agree(cube: str, vector: str, message: str) -> None:
    refused(program(SENT.replace("split = 1", "split = 0") if "nosplit" in cube else SENT, TAKEN, cube, vector), f"^k.pto:13: pipe 0: the two sides must {message}")


def test_what_is_written_out_is_the_same_as_its_default() -> None:
    module, _ = lowered(program(SENT, TAKEN, "dir_mask = 1, slot_size = 1024", "dir_mask = 1, slot_size = 1024, slot_num = 8, sync_period = 4, local_slot_num = 8"))
    facts = re.findall(r"initialize_l2g2l_pipe (\{.*?\})", assembly.to_text(module))
    assert len(facts) == 2 and facts[0] == facts[1]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("dir_mask = 1, slot_size = 1024, slot_num = 16", r"slot_num must be at most 15 \(the counters of cross-core flags\); got 16"),
        ("dir_mask = 1, slot_size = 1024, slot_num = 8, sync_period = 3", "sync_period must divide slot_num; got 3 and 8: leave it out for the library's own, 4"),
        ("dir_mask = 1, slot_size = 1024, slot_num = 4, local_slot_num = 8", "local_slot_num must be at most slot_num; got 8 and 4"),
        ("dir_mask = 1, slot_size = 1024, sync_period = 0", "sync_period must be at least 1; got 0"),
        ("dir_mask = 1, slot_size = 1024, flag_base = 16", "flag_base must be 0 to 15; got 16"),
    ],
)
def test_counts_that_no_pipe_can_have(facts: str, message: str) -> None:
    refused(program(SENT, TAKEN, facts), f"^k.pto:8.*'pto.aic_initialize_pipe': {message}")


def test_a_pipe_has_two_sides() -> None:
    text = program(SENT, TAKEN)
    alone = text[: text.index("  pto.section.vector")] + "  return\n}\n"
    _, remarks = lowered(alone)
    assert remarks == ["k.pto:8: pipe 0: its vector side is not in this file: nothing was compared with it"]
    other = alone.replace("  return", f"  pto.section.vector {{\n {declared('aiv', number=1)}\n }}\n  return")
    refused(other, "^k.pto:8: pipe 0: it is declared on the cube core only; declare it with the same facts on the vector core")


@pytest.mark.parametrize(
    ("cube", "vector", "message"),
    [
        (declared("aic"), "", "k.pto:9: 'pto.aic_initialize_pipe': pipe 0 is declared twice on this side; the first is at k.pto:8: give each an id of its own"),
        (declared("aiv", number=1), "", "k.pto:9: 'pto.aiv_initialize_pipe': it belongs to the vector core; got the cube one: move it into pto.section.vector"),
        (pop(), "", "k.pto:9: 'pto.tpop_from_aic': it belongs to the vector core; got the cube one"),
        (alloc(number=3), "", r"k.pto:9: 'pto.talloc_to_aiv': no pipe with id 3 is initialised in this section; it has 0: add pto.aic_initialize_pipe \{id = 3\}"),
        (push("%ring", number=3), "", "k.pto:9: 'pto.tpush_to_aiv': no pipe with id 3 is initialised in this section; it has 0: add pto.aic"),
        ("", "%e = pto.talloc_to_aic {id = 0, split = 1} -> " + HALF, "k.pto:13: 'pto.talloc_to_aic': pipe 0 has no direction vector to cube; dir_mask 1 is cube to vector .declared at k.pto:8"),
        (alloc() + loop(declared("aic", number=1)) + alloc("%f", number=1), "", "k.pto:13: 'pto.talloc_to_aiv': no pipe with id 1 is init|'pto.talloc_to_aiv': the pipe is declared at k.pto:11"),
    ],
)
def test_ops_stand_where_their_pipe_is(cube: str, vector: str, message: str) -> None:
    refused(program(cube, vector), message)


@pytest.mark.parametrize(
    ("cube", "vector", "facts", "message"),
    [
        (SENT, TAKEN, "dir_mask = 1, slot_size = 512", "k.pto:9: 'pto.talloc_to_aiv': an entry of 1024 bytes .16x16xf32. does not fit a slot of 512 of pipe 0, declared at k.pto:8"),
        ("", pop() + free(), "dir_mask = 1, slot_size = 512", r"'pto.tpop_from_aic': an entry of 1024 bytes \(8x16xf32, 16x16xf32 for both vector cores\) does not fit"),
        (
            SENT, TAKEN.replace(HALF, "!pto.tensor_view<4x16xf32>"), "dir_mask = 1, slot_size = 1024",
            "k.pto:14: 'pto.tpop_from_aic': a vector core has half of an entry of pipe 0 .split up_down.; got 4x16xf32, where k.pto:9 has 16x16xf32: 16x16xf32 goes with 8x16xf32",
        ),
        (
            SENT.replace(WHOLE, "!pto.tensor_view<15x16xf32>"), "", "dir_mask = 1, slot_size = 1024",
            "k.pto:9: 'pto.talloc_to_aiv': split up_down gives each vector core half of the rows, an even number; got 15",
        ),
        (
            SENT.replace("split = 1", "split = 2").replace(WHOLE, "!pto.tensor_view<16x15xf32>"), "", "dir_mask = 1, slot_size = 1024",
            "split left_right gives each vector core half of the columns, an even number; got 15",
        ),
        (
            SENT, TAKEN.replace(HALF, "!pto.tensor_view<8x16xi32>"), "dir_mask = 1, slot_size = 1024",
            "k.pto:14: 'pto.tpop_from_aic': an entry of pipe 0 has one element type; got i32, and f32 at k.pto:9",
        ),
        (
            SENT, TAKEN.replace("split = 1", "split = 2"), "dir_mask = 1, slot_size = 1024",
            r"'pto.tpop_from_aic': all ops of one direction of pipe 0 have one split; got 1 \(up_down\) at k.pto:9 and 2 \(left_right\) at k.pto:14",
        ),
        (SENT, TAKEN, "dir_mask = 1, slot_size = 1024, nosplit = true", "'pto.talloc_to_aiv': nosplit = true at k.pto:8 does not go together with split 1 at k.pto:9"),
        (
            "", TAKEN + pop("%t", kind=VEC) + free(""), "dir_mask = 1, slot_size = 1024",
            "k.pto:15: 'pto.tpop_from_aic': the pops of pipe 0 all give tiles or all give views; got both, the other at k.pto:13",
        ),
        (
            "", pop("%t", kind=VEC) + free(""), "dir_mask = 1, slot_size = 1024",
            "k.pto:12: 'pto.aiv_initialize_pipe': popped tiles need a consumer buffer of the direction cube to vector; got none",
        ),
    ],
)  # fmt: skip
def test_entries_fit(cube: str, vector: str, facts: str, message: str) -> None:
    refused(program(cube, vector, facts), message)


TWO = program("CUBE", "VECTOR").replace("CUBE", declared("aic", slots="%second", number=1)).replace("VECTOR", declared("aiv", slots="%third", number=1))


def second(place: str, pointer: str = "%gm", third: str | None = None) -> str:
    """Two pipes, the second one's slots at an offset of elements."""
    made = f"  %moved = pto.addptr {pointer}, {place} : !pto.ptr<f32> -> !pto.ptr<f32>\n"
    made += f"  %second = pto.make_tensor_view %moved, shape = [%n, %m], strides = [%m, %one] : {WHOLE}\n"
    return TWO.replace("  pto.section.cube", made + "  pto.section.cube", 1).replace("%third", third or "%second")


def test_each_pipe_has_its_own_slots() -> None:
    refused(second("%zero"), r"k.pto:11: pipe 1: its slots at k.pto:11 overlap those of pipe 0 at k.pto:10 \(8192 bytes\): give each pipe its own")
    lowered(second("%far"))
    lowered(second("%n"))  # where that is, only a run tells
    lowered(second("%zero", "%other"))


def test_both_sides_mean_the_same_slots() -> None:
    refused(second("%far", third="%ring"), "k.pto:15: pipe 1: the two sides must have the same slots; got other ones at k.pto:11 and k.pto:15")


def test_slots_come_from_a_view_that_says_where_they_are() -> None:
    text = program(SENT, TAKEN).replace("%n: index,", f"%n: index, %view: {WHOLE},").replace("gm_slot_tensor = %ring", "gm_slot_tensor = %view")
    refused(text, "'pto.aic_initialize_pipe': gm_slot_tensor must come from pto.make_tensor_view, which says where the slots are; got another view")


def test_names_are_of_one_pipe() -> None:
    text = second("%far").replace("id = 1,", 'id = 1, name = "qk",').replace("id = 0,", 'id = 0, name = "qk",')
    refused(text, "k.pto:11: pipe 'qk': two pipes have the name 'qk'; the other is at k.pto:10")


TILES = f"""
func.func @k(%gm: !pto.ptr<f32>) {{
  %none = arith.constant 0 : i32
  pto.section.cube {{
    %b = pto.import_reserved_buffer {{name = "in", peer_func = @k}} -> i32
    pto.aic_initialize_pipe {{FACTS}} (gm_slot_buffer = %gm : !pto.ptr<f32>, c2v_consumer_buf = %b : i32, v2c_consumer_buf = %none : i32)
    %acc = pto.alloc_tile : {ACC}
    CUBE
  }}
  pto.section.vector {{
    %b = pto.reserve_buffer {{name = "in", size = SIZE, location = #pto.address_space<LOC>, auto = true}} -> i32
    pto.aiv_initialize_pipe {{FACTS}} (gm_slot_buffer = %gm : !pto.ptr<f32>, c2v_consumer_buf = %b : i32, v2c_consumer_buf = %none : i32)
    VECTOR
  }}
  return
}}
"""
T_PUSH = f"pto.tpush_to_aiv(%acc : {ACC}) {{split = 1}}\n"


def tiles(cube: str, vector: str, facts: str = "dir_mask = 1, slot_size = 1024", size: int = 8192, loc: str = "vec", on_chip: bool = False) -> str:
    text = TILES.replace("FACTS", facts).replace("SIZE", str(size)).replace("LOC", loc).replace("CUBE", cube).replace("VECTOR", vector)
    return text.replace("gm_slot_buffer = %gm : !pto.ptr<f32>, ", "") if on_chip else text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (tiles(T_PUSH, pop("%t", kind=VEC), size=4096), r"k.pto:12: 'pto.reserve_buffer': pipe 0 needs 8192 bytes, 8 local slots of 1024 \(declared at k.pto:6\); got size 4096"),
        (tiles(T_PUSH, pop("%t", kind=VEC), loc="mat"), r"'pto.reserve_buffer': the consumer of pipe 0 \(cube to vector\) keeps its tiles in vec; got mat"),
        (tiles(T_PUSH, pop("%t", kind=VEC)).replace('"in", peer', '"out", peer'), "k.pto:13: pipe 0: the two sides must name one consumer buffer; got 'out' at k.pto:6 and 'in' at k.pto:13"),
        (tiles(T_PUSH, pop("%t", kind="!pto.tile_buf<vec, 16x32xf32, valid=8x16>")), "'pto.tpop_from_aic': a tile of 2048 bytes does not fit a slot of 1024 of pipe 0, declared at"),
    ],
)
def test_popped_tiles_have_a_buffer(text: str, message: str) -> None:
    refused(text, message)


def test_two_pipes_do_not_share_a_buffer() -> None:
    more = "pto.{}_initialize_pipe {{id = 1, dir_mask = 1, slot_size = 1024}} (gm_slot_buffer = %x : !pto.ptr<f32>, c2v_consumer_buf = %b : i32, v2c_consumer_buf = %none : i32)\n"
    text = tiles(more.format("aic") + T_PUSH, more.format("aiv") + pop("%t", kind=VEC) + pop("%u", 1, kind=VEC)).replace("%gm: !pto.ptr<f32>)", "%gm: !pto.ptr<f32>, %x: !pto.ptr<f32>)")
    refused(text.replace("SIZE", "8192"), "k.pto:13: pipe 1: its consumer buffer is that of pipe 0 too, at k.pto:13: reserve one for each|its consumer buffer is that of pipe 0 too")


def test_slots_lie_in_one_place() -> None:
    text = tiles(T_PUSH, pop("%t", kind=VEC) + free(""))
    mixed = text.replace("gm_slot_buffer = %gm : !pto.ptr<f32>, ", "", 1)
    refused(mixed, "k.pto:13: pipe 0: its slots lie in one place; got on chip at k.pto:6 and in global memory at k.pto:13", "a5")
    refused(tiles(T_PUSH, "", on_chip=True), "'pto.aic_initialize_pipe': on a3 the slots of a pipe lie in global memory; give gm_slot_buffer or gm_slot_tensor")


@pytest.mark.parametrize(
    ("cube", "vector", "message"),
    [
        (T_PUSH.replace("split = 1", "split = 2").replace("16x16", "16x48"), "", "'pto.tpush_to_aiv': split left_right on chip needs a multiple of 32 columns; got 48 of f32"),
        (T_PUSH.replace("xf32", "xi16"), "", "'pto.tpush_to_aiv': FIXP splits elements of 4 bytes; got i16: use split = 0, or slots in global memory"),
        (alloc() + push(), "", "'pto.talloc_to_aiv': the slots of pipe 0 lie on chip and hold tiles; got a view: give the pipe slots in global memory"),
        ("", pop("%t", kind=VEC), "k.pto:13: 'pto.tpop_from_aic': the entry of pipe 0 that is popped here is not freed by the end of the section"),
    ],
)
def test_on_chip(cube: str, vector: str, message: str) -> None:
    text = tiles(cube, vector, "dir_mask = 1, slot_size = 4096", 32768, on_chip=True)
    for shape in ("16x48xf32", "16x16xi16"):
        if shape in cube:
            text = text.replace("alloc_tile : !pto.tile_buf<acc, 16x16xf32", f"alloc_tile : !pto.tile_buf<acc, {shape}")
    refused(text, message, "a5")


def test_a_pushed_part_of_a_row_is_whole_blocks_on_chip() -> None:
    vec = "!pto.tile_buf<vec, 16x8xf32, valid=16x4, blayout=col_major, slayout=row_major>"
    text = f"""
func.func @k() {{
  %none = arith.constant 0 : i32
  pto.section.vector {{
    pto.aiv_initialize_pipe {{dir_mask = 2, slot_size = 1024}} (c2v_consumer_buf = %none : i32, v2c_consumer_buf = %none : i32)
    %t = pto.alloc_tile : {vec}
    pto.tpush_to_aic(%t : {vec}) {{split = 2}}
  }}
  return
}}
"""
    refused(text, "k.pto:7: 'pto.tpush_to_aic': split left_right on chip needs columns of a multiple of 32 bytes; got 4 of f32", "a5")


def test_on_a5_split_and_unsplit_pipes_do_not_go_together() -> None:
    more = SENT + alloc("%f", 1, 0) + push("%f", 1, 0)
    text = second("%far").replace(declared("aic", slots="%second", number=1), declared("aic", slots="%second", number=1) + "\n" + more)
    refused(text, "k.pto:11: pipe 1: on a5 a pipe without split goes to vector core 0 alone, a split one to both; got pipe 0 at k.pto:10 beside it: split both, or none", "a5")
    taken = TAKEN + pop("%f", 1, 0, WHOLE) + free("%f", 1, 0, WHOLE)
    lowered(text.replace(declared("aiv", slots="%second", number=1), declared("aiv", slots="%second", number=1) + "\n" + taken))


def test_a_pipe_of_both_directions_needs_sections() -> None:
    text = """
func.func @k(%gm: !pto.ptr<f32>) {
  %p = pto.initialize_l2g2l_pipe {dir_mask = 3, slot_size = 1024, slot_num = 4} (%gm : !pto.ptr<f32>) -> !pto.pipe
  %e = pto.declare_global -> !pto.tensor_view<16x16xf32>
  pto.talloc(%e, %p : !pto.tensor_view<16x16xf32>, !pto.pipe) {split = 1}
  return
}
"""
    with pytest.raises(NotSupportedError, match=r"k.pto:5: 'pto.talloc': which way does a pipe of both directions go here. put the op into pto.section.cube or .vector"):
        lowered(text)


THREE = """
func.func @k(%a: !pto.ptr<f32>, %b: !pto.ptr<f32>, %c: !pto.ptr<f32>, %d: !pto.ptr<f32>, %e: !pto.ptr<f32>, %f: !pto.ptr<f32>) {
  %none = arith.constant 0 : i32
  pto.section.cube { HAND
PIPES
  }
  return
}
"""


def many(*masks: str, hand: str = "") -> str:
    rows = [
        f"    pto.aic_initialize_pipe {{id = {n}, dir_mask = {mask}, slot_size = 64}} (gm_slot_buffer = %{'abcdef'[n]} : !pto.ptr<f32>, c2v_consumer_buf = %none : i32, v2c_consumer_buf = %none : i32)"
        for n, mask in enumerate(masks)
    ]
    return THREE.replace("HAND", hand).replace("PIPES", "\n".join(rows))


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        (many("1", "2", "1"), [0, 2, 4]),
        (many("1", "3", "2"), [0, 2, 6]),
        (many("3", "3", "1"), [0, 4, 8]),
        (many("1", "1", "1", "1", "1"), [0, 2, 4, 6, 8]),
        (many("1", "1, flag_base = 0", "1"), [2, 0, 4]),
        (many("1", "1", hand="pto.sync.set <PIPE_FIX>, 1 pto.sync.wait <PIPE_FIX>, 5"), [2, 6]),
    ],
)
def test_flags_are_distinct(text: str, bases: list[int]) -> None:
    module, _ = lowered(text)
    assert [int(n) for n in re.findall(r"flag_base = (\d+)", assembly.to_text(module))] == bases


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            many("1", "1", "1", "1", "1", "1"),
            r"k.pto:10: pipe 5: no 2 cross-core flags in a row are left of 16; in use: 0 to 1 pipe 0 \(k.pto:5\), .*, 8 to 9 pipe 4 \(k.pto:9\), 11 to 14 the library:"
            " use fewer pipes, at most 5 one-way ones fit",
        ),
        (many("3", "3", "3"), "k.pto:7: pipe 2: no 4 cross-core flags in a row are left of 16"),
        (many("1", "1, flag_base = 10"), "k.pto:6: pipe 1: flag_base 10 takes flags 10 to 11; 11 to 14 belong to the library: choose others, or leave it out"),
        (many("1, flag_base = 2", "1, flag_base = 3"), "k.pto:6: pipe 1: flag_base 3 takes flags 3 to 4; 3 belongs to pipe 0, declared at k.pto:5: choose others, or leave it out"),
        (many("1, flag_base = 15"), "k.pto:5: pipe 0: flag_base 15 takes flags 15 to 16; there are 16 .0 to 15.: lower it, or leave it out"),
        (many("1, flag_base = 4", hand="pto.sync.set <PIPE_FIX>, 5"), "pipe 0: flag_base 4 takes flags 4 to 5; 5 is used by 'pto.sync.set' at k.pto:4: choose others"),
        (many("1", "1", hand=" ".join(f"pto.sync.set <PIPE_FIX>, {n}" for n in (1, 3, 5, 7, 9))), r"no 2 cross-core flags in a row are left of 16; in use: 1 'pto.sync.set' \(k.pto:4\), 3"),
    ],
)
def test_flags_that_do_not_suffice(text: str, message: str) -> None:
    refused(text, message)


def test_kernels_of_one_module_have_flags_of_their_own() -> None:
    text = many("1", "2") + many("2", "1").replace("@k(", "@l(")
    module, _ = lowered(text)
    assert re.findall(r"flag_base = (\d+)", assembly.to_text(module)) == ["0", "2", "0", "2"]


def numbers(module: object) -> list[str]:
    return re.findall(r"pto\.(tpop|tfree|talloc|tpush)\(", assembly.to_text(module))


@pytest.mark.parametrize(
    ("vector", "slots", "left"),
    [
        (pop("%a") + free("%a") + pop("%b") + free("%b"), 8, ["tpop", "tfree", "tpop", "tfree"]),
        (pop("%a") + pop("%b") + free("%a") + free("%b"), 3, ["tpop", "tpop", "tfree", "tfree"]),  # period 1: each free reports its own slot
        (pop("%a") + pop("%b") + free("%a") + free("%b"), 4, ["tpop", "tpop", "tfree"]),  # period 2: the last free reports both
        (loop(pop("%a") + pop("%b") + free("%a") + free("%b")), 8, ["tpop", "tpop", "tfree"]),
        (pop("%a") + pop("%b") + pop("%d") + free("%a") + free("%b") + free("%d"), 6, ["tpop", "tpop", "tpop", "tfree"]),
    ],
)
def test_interleaved_frees_are_reported_once(vector: str, slots: int, left: list[str]) -> None:
    module, remarks = lowered(program(BUSY, vector, f"dir_mask = 1, slot_size = 1024, slot_num = {slots}"))
    assert numbers(module)[2:] == left
    gone = [r for r in remarks if "reported with the free of the entry that is popped next: the library counts pops" in r]
    assert len(gone) == vector.count("tpop") + vector.count("tfree") - len(left)


A, B = pop("%a"), pop("%b")


@pytest.mark.parametrize(
    ("vector", "slots", "message"),
    [
        (
            A + B + free("%b") + free("%a"), 8,
            "k.pto:15: 'pto.tfree_from_aic': the entries of pipe 0 are freed in the order in which they were taken, the library only counts;"
            " got that of k.pto:14 before that of k.pto:13: free that one first",
        ),
        (A + free("%a") + free("%a"), 8, "k.pto:15: 'pto.tfree_from_aic': the entry is not one of pipe 0 that can be freed: it was freed at k.pto:14 before"),
        (free("%ring", kind=WHOLE), 8, "'pto.tfree_from_aic': the entry is not one of pipe 0 that can be freed: no pop of this pipe gave it here"),
        (free(""), 8, "k.pto:13: 'pto.tfree_from_aic': nothing of pipe 0 is popped here that could be freed: each pop is freed once"),
        (A, 8, "k.pto:13: 'pto.tpop_from_aic': the entry of pipe 0 that is popped here is not freed by the end of the section, on some way through it .k.pto:11.; it must be freed"),
        (loop(A), 8, "k.pto:14: 'pto.tpop_from_aic': the entry of pipe 0 that is popped here is not freed by the end of the body of the loop at k.pto:13; it must be freed"),
        (A + loop(free("%a")), 8, "k.pto:15: 'pto.tfree_from_aic': an entry taken at k.pto:13, outside of the loop at k.pto:14, is freed in it, once in each iteration"),
        (A + "scf.if %c {\n" + free("%a") + "}\n", 8, "k.pto:13: 'pto.tpop_from_aic': the entry of pipe 0 that is popped here is not freed by the end of the section, on some way"),
        (
            "%t = pto.alloc_tile : " + VEC + "\n" + A + free("%a") + f"pto.tload ins(%a : {HALF}) outs(%t : {VEC})\n", 8,
            "k.pto:16: 'pto.tload': an entry of pipe 0 is used after it was freed at k.pto:15: the producer may be filling it again",
        ),
        (
            loop(A + B + free("%a") + free("%b") + pop("%d") + free("%d")), 2,
            "k.pto:18: 'pto.tpop_from_aic': pipe 0 would deadlock: 2 of 2 slots are popped and not reported free|would deadlock",
        ),
        (
            A + "scf.if %c {\n" + B + free("%a") + free("%b") + "} else {\n" + free("%a") + "}\n", 8, "",
        ),
        (
            A + "scf.if %c {\n" + B + free("%b") + "}\n" + free("%a"), 8, "got that of k.pto:15 before that of k.pto:13: free that one first",
        ),
    ],
)  # fmt: skip
def test_the_order_of_pops_and_frees(vector: str, slots: int, message: str) -> None:
    text = program("" if message else BUSY, vector, f"dir_mask = 1, slot_size = 1024, slot_num = {slots}")
    if message:
        refused(text, message)
    else:
        lowered(text)


C = alloc("%a") + alloc("%b")


@pytest.mark.parametrize(
    ("cube", "message"),
    [
        (C + push("%b") + push("%a"), "k.pto:11: 'pto.tpush_to_aiv': the entries of pipe 0 are pushed in the order in which they were taken, the library only counts; got that of k.pto:10 before"),
        (alloc() + push() + push(), "k.pto:11: 'pto.tpush_to_aiv': the entry is not one of pipe 0 that can be pushed: it was pushed at k.pto:10 before"),
        (push("%ring"), "'pto.tpush_to_aiv': the entry is not one of pipe 0 that can be pushed: no alloc of this pipe gave it here"),
        (alloc(), "k.pto:9: 'pto.talloc_to_aiv': the entry of pipe 0 that is allocated here is not pushed by the end of the section, .*; it must be pushed: its consumer would wait for ever"),
        (loop(alloc()), "k.pto:10: 'pto.talloc_to_aiv': the entry of pipe 0 that is allocated here is not pushed by the end of the body of the loop at k.pto:9"),
        (alloc() + loop(push()), "k.pto:11: 'pto.tpush_to_aiv': an entry taken at k.pto:9, outside of the loop at k.pto:10, is pushed in it, once in each iteration"),
        (
            f"%t = pto.alloc_tile : {ACC}\n" + alloc() + push() + f"pto.tstore ins(%t : {ACC}) outs(%e : {WHOLE})\n",
            "k.pto:12: 'pto.tstore': an entry of pipe 0 is used after it was pushed at k.pto:11: the consumer may be reading it",
        ),
        (
            f"%t = pto.alloc_tile : {ACC}\n" + alloc() + f"pto.tpush_to_aiv(%t : {ACC}) {{id = 0, split = 1}}\n" + push(),
            "k.pto:11: 'pto.tpush_to_aiv': a tile is pushed while the entry allocated at k.pto:10 is not: the consumer takes slots in their order; push that one first",
        ),
    ],
)
def test_the_order_of_allocs_and_pushes(cube: str, message: str) -> None:
    refused(program(cube, ""), message)


def ahead(count: int, slots: int, period: int | None = None) -> str:
    """A loop that holds `count` slots at once."""
    names = [f"%e{n}" for n in range(count)]
    body = "".join(map(alloc, names)) + "".join(map(push, names))
    facts = f"dir_mask = 1, slot_size = 1024, slot_num = {slots}" + (f", sync_period = {period}" if period else "")
    return program(loop(body), loop("".join(pop(n) + free(n) for n in names)), facts)


HELD = [
    (5, 8, None, True), (7, 8, None, False), (8, 8, None, True), (7, 8, 2, True), (9, 8, 2, False), (3, 2, None, False), (2, 2, None, True), (1, 8, 8, True),
    (2, 8, 8, True), (3, 8, 8, False), (4, 4, 1, True), (5, 4, 1, False),
]  # fmt: skip
"""Slots held at once in a loop, slot_num, sync_period: legal where at most slot_num - sync_period are held whenever the producer waits."""


@pytest.mark.parametrize(("count", "slots", "period", "legal"), HELD)
def test_slots_in_flight_past_the_first_round(count: int, slots: int, period: int | None, legal: bool) -> None:
    """The producer waits at every sync_period-th slot; two of eight, taken in pairs, are never held there."""
    if legal:
        lowered(ahead(count, slots, period))
    else:
        refused(ahead(count, slots, period), rf"pipe 0 would deadlock: it waits for a free slot while \d+ before it are not pushed, the first from k.pto:10; of {slots} slots that are"
                " reported free . at a time at most . may be: push earlier, or raise slot_num")  # fmt: skip


def test_as_many_as_the_slots_may_be_held_before_the_ring_goes_round() -> None:
    names = [f"%e{n}" for n in range(4)]
    lowered(program("".join(map(alloc, names)) + "".join(map(push, names)), "".join(pop(n) + free(n) for n in names), "dir_mask = 1, slot_size = 1024, slot_num = 4"))


@pytest.mark.parametrize(("held", "slots", "period", "legal"), [(1, 8, None, True), (7, 8, None, False), (2, 4, 1, True), (5, 4, 1, False), (4, 4, 1, True), (2, 4, 2, True), (3, 4, 2, False)])
def test_entries_held_by_the_consumer(held: int, slots: int, period: int | None, legal: bool) -> None:
    """Popped, and reported once for every period: the producer needs a slot for the next one."""
    names = [f"%e{n}" for n in range(held)]
    facts = f"dir_mask = 1, slot_size = 1024, slot_num = {slots}" + (f", sync_period = {period}" if period else "")
    text = program(BUSY, loop("".join(map(pop, names)) + "".join(map(free, names))), facts)
    if legal:
        lowered(text)
    else:
        refused(text, rf"'pto.tpop_from_aic': pipe 0 would deadlock: \d of {slots} slots are popped and not reported free.*a report comes every . pops, with a free that no later pop"
                " precedes: free each entry before the next pop")  # fmt: skip


def test_both_sides_holding_slots_add_up() -> None:
    names = ["%a", "%b", "%d"]
    cube = loop(SENT.replace("%e", "%x") + "".join(map(alloc, names)) + "".join(map(push, names)))
    vector = loop("".join(map(pop, names)) + "".join(map(free, names)), "%m")
    facts = "dir_mask = 1, slot_size = 1024, slot_num = {}, sync_period = 1"
    lowered(program(cube, vector, facts.format(5)))
    message = "would deadlock: 2 of 4 slots are popped and not reported free, 2 of them held since k.pto:.*, and the producer allocates 2 more before it pushes"
    refused(program(cube, vector, facts.format(4)), message)


def test_a_free_that_may_or_may_not_be_the_last_is_refused() -> None:
    vector = A + "scf.if %c {\n" + B + free("%a") + free("%b") + "} else {\n" + free("%a") + "}\n"
    lowered(program(BUSY, vector))
    text = f"""
func.func @k(%gm: !pto.ptr<f32>, %c: i1) {{
  pto.section.vector {{
    %p = pto.initialize_l2g2l_pipe {{dir_mask = 1, slot_size = 1024, slot_num = 8}} (%gm : !pto.ptr<f32>) -> !pto.pipe
    %e = pto.declare_global -> {HALF}
    %f = pto.declare_global -> {HALF}
    pto.tpop(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
    scf.if %c {{
      pto.tpop(%f, %p : {HALF}, !pto.pipe) {{split = 1}}
    }}
    pto.tfree(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
    scf.if %c {{
      pto.tfree(%f, %p : {HALF}, !pto.pipe) {{split = 1}}
    }}
  }}
  return
}}
"""
    refused(text, "k.pto:11: 'pto.tfree': whether a later entry of pipe 0 is held at this free depends on the way to it, .*: free before the next pop")


def test_one_condition_takes_one_way() -> None:
    """Popped under a condition and freed under the same one: there is no way on which only one of both happens."""
    text = f"""
func.func @k(%gm: !pto.ptr<f32>, %c: i1, %d: i1) {{
  pto.section.vector {{
    %p = pto.initialize_l2g2l_pipe {{dir_mask = 1, slot_size = 1024, slot_num = 8}} (%gm : !pto.ptr<f32>) -> !pto.pipe
    %e = pto.declare_global -> {HALF}
    scf.if %c {{
      pto.tpop(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
    }}
    scf.if %c {{
      pto.tfree(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
    }}
  }}
  return
}}
"""
    lowered(text)
    last = text.rindex("scf.if %c")
    refused(text[:last] + "scf.if %d" + text[last + 9 :], "the entry is not one of pipe 0|is not freed by the end")


def test_an_entry_is_not_taken_over_one_that_is_held() -> None:
    text = f"""
func.func @k(%gm: !pto.ptr<f32>) {{
  pto.section.vector {{
    %p = pto.initialize_l2g2l_pipe {{dir_mask = 1, slot_size = 1024, slot_num = 8}} (%gm : !pto.ptr<f32>) -> !pto.pipe
    %e = pto.declare_global -> {HALF}
    pto.tpop(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
    pto.tpop(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
  }}
  return
}}
"""
    refused(text, "k.pto:7: 'pto.tpop': its entry is still the one that was taken at k.pto:6, which is not freed yet")


def test_popped_tiles_live_as_long_as_their_local_slot() -> None:
    vec = f"%t = pto.alloc_tile : {VEC}\n"
    use = f"pto.tadd ins(%x, %x : {VEC}, {VEC}) outs(%t : {VEC})\n"
    pops = [pop(name, kind=VEC) for name in ("%x", "%y", "%z")]
    facts = "dir_mask = 1, slot_size = 1024, local_slot_num = {}"
    lowered(tiles(T_PUSH * 2, vec + "".join(pops[:2]) + use, facts.format(2), 2048))
    lowered(tiles(T_PUSH * 3, vec + "".join(pops) + use, facts.format(3), 3072))
    refused(
        tiles(T_PUSH * 3, vec + "".join(pops) + use, facts.format(2), 2048),
        r"'pto.tadd': the tile popped from pipe 0 is lost: its local slot, one of 2, was filled again by the pop at k.pto:\d+: use it before, or raise local_slot_num",
    )


def test_a_popped_tile_of_the_last_iteration_is_known_by_its_name() -> None:
    use = f"pto.tadd ins(%x, %x : {VEC}, {VEC}) outs(%x : {VEC})\n"
    text = tiles(f"scf.for %i = %one to %n step %one {{\n{T_PUSH}}}\n", f"scf.for %i = %one to %n step %one {{\n{pop('%x', kind=VEC)}{use}{use}}}\n", "dir_mask = 1, slot_size = 1024, local_slot_num = 1", 1024)
    lowered(text.replace("  %none", "  %one = arith.constant 1 : index\n  %n = arith.constant 100 : index\n  %none"))


@pytest.mark.parametrize(
    ("cube", "vector", "message"),
    [
        (SENT + alloc("%f") + push("%f"), TAKEN, "k.pto:16: pipe 0: as many entries must be popped as are pushed; got pushes: 2 at k.pto:10, k.pto:12; pops: 1 at k.pto:16: one side"),
        (loop(SENT), loop(TAKEN + pop("%f") + free("%f")), "as many entries must be popped as are pushed; got pushes: those at k.pto:11; pops: those at"),
        (loop(SENT), loop(TAKEN) + pop("%f") + free("%f"), "as many entries must be popped as are pushed"),
        (loop(SENT), loop(TAKEN, "%m"), ""),
        (loop(SENT), "scf.if %c {\n" + TAKEN + "}\n", ""),
        (loop(SENT), loop(TAKEN), ""),
        (loop(loop(SENT, "%m").replace("%i ", "%j ")), loop(loop(TAKEN).replace("%i ", "%j "), "%m"), ""),
    ],
)
def test_as_many_pops_as_pushes(cube: str, vector: str, message: str) -> None:
    text = program(cube, vector)
    if message:
        refused(text, message)
    else:
        lowered(text)


def test_a_nameless_free_is_told_before_it_hangs() -> None:
    text = program(loop(SENT), loop(pop() + free("")))
    line = lines_of(text, "pto.tfree_from_aic")[0]
    _, remarks = lowered(text)
    assert remarks == [
        f"k.pto:{line}: 'pto.tfree_from_aic': this free of pipe 0 does not name its entry, and on a3 the library then reports nothing:"
        " the producer waits for ever once all 8 slots were used; name the entry"
    ]
    assert lowered(text, "a5")[1] == []


def test_pipe_values_find_their_other_side_and_get_what_they_leave_out() -> None:
    """By name first, by the buffer next, by order last."""
    text = """
func.func @k(%a: !pto.ptr<f32>, %b: !pto.ptr<f32>) {
  pto.section.cube {
    %p = pto.initialize_l2g2l_pipe {name = "x", dir_mask = 1, slot_size = 1024, slot_num = 2} (%a : !pto.ptr<f32>) -> !pto.pipe
    %q = pto.initialize_l2g2l_pipe {name = "y", dir_mask = 2, slot_size = 512, slot_num = 4} (%b : !pto.ptr<f32>) -> !pto.pipe
  }
  pto.section.vector {
    %q = pto.initialize_l2g2l_pipe {name = "y", dir_mask = 2, slot_size = 512, slot_num = 4, local_slot_num = 4} (%b : !pto.ptr<f32>) -> !pto.pipe
    %p = pto.initialize_l2g2l_pipe {name = "x", dir_mask = 1, slot_size = 1024, slot_num = 2, flag_base = 6} (%a : !pto.ptr<f32>) -> !pto.pipe
  }
  return
}
"""
    found = re.findall(r'flag_base = (\d).*?name = "(\w)".*?sync_period = (\d)', assembly.to_text(lowered(text)[0]))
    assert found == [("6", "x", "2"), ("0", "y", "2"), ("0", "y", "2"), ("6", "x", "2")]
    again = re.sub(r'name = "\w", ', "", text)
    refused(again, "the two sides must agree on dir_mask; got 1 at k.pto:4 and 2 at k.pto:8")


def test_a_popped_tile_of_open_size_is_whole() -> None:
    text = tiles(T_PUSH, pop("%t", kind="!pto.tile_buf<vec, 8x16xf32, valid=?x?>"))
    module, _ = lowered(text)
    assert re.search(r"pto.declare_tile\(%c8\w*, %c16\w*\) -> !pto.tile_buf<vec, 8x16xf32, valid=\?x\?>", assembly.to_text(module))


def test_errors_are_of_the_tree() -> None:
    with pytest.raises(VerifyError):
        lowered(program(loop(alloc()), ""))


def test_one_value_may_serve_both_sections() -> None:
    text = f"""
func.func @k(%gm: !pto.ptr<f32>) {{
  %p = pto.initialize_l2g2l_pipe {{dir_mask = 1, slot_size = 1024, slot_num = 4}} (%gm : !pto.ptr<f32>) -> !pto.pipe
  pto.section.cube {{
    %e = pto.declare_global -> {WHOLE}
    pto.talloc(%e, %p : {WHOLE}, !pto.pipe) {{split = 1}}
    pto.tpush(%e, %p : {WHOLE}, !pto.pipe) {{split = 1}}
  }}
  pto.section.vector {{
    %e = pto.declare_global -> {HALF}
    pto.tpop(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
    pto.tfree(%e, %p : {HALF}, !pto.pipe) {{split = 1}}
  }}
  return
}}
"""
    module, remarks = lowered(text)
    assert 'flag_base = 0 : i32, local_slot_num = 4 : i32, name = "pipe0"' in assembly.to_text(module) and remarks == []
    refused(text.replace(f"    pto.tfree(%e, %p : {HALF}, !pto.pipe) {{split = 1}}\n", ""), "k.pto:11: 'pto.tpop': the entry of pipe 0 that is popped here is not freed by the end of the section")
