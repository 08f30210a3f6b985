"""plan-memory: lifetimes, placement, given addresses, and what is said where a memory overflows."""

import re
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ptoc
from ptoc import f32
from ptoc.dialect import new_context
from ptoc.dialect.errors import CapacityError, NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY
from ptoc.loading import Source
from ptoc.machine.banks import Banks, Stream, conflicts
from ptoc.machine.chip import load_chip
from ptoc.passes.address_packing import Block, Unrelated, load, pack
from ptoc.passes.plan_memory import PlanMemory, memory_map
from ptoc.passes.tile_liveness import liveness
from ptoc.running import prepare


@dataclass(frozen=True)
class SmallChip:
    """A chip with round numbers: UB of 4096 bytes, its last 1024 used by the library; L0 memories of 2048."""

    sizes: dict = field(default_factory=lambda: {"ub": 4096, "l1": 8192})

    def capacity_bytes(self, memory: str) -> int:
        return self.sizes.get(memory, 2048)

    def alignment_bytes(self, memory: str) -> int:
        return 32 if memory in ("ub", "l1") else 512

    def ub_banks(self) -> Banks:
        return load_chip("ascend910b1").ub_banks()

    def number(self, key: str) -> int:
        return {"memories.ub_reserved_from": 3072}[key]


CHIP = SmallChip()
KIB = "vec, 8x32xf32"  # 1024 bytes


def tile(type_: str) -> str:
    return f'!pto.tile_buf<"{type_}">'


def alloc(name: str, type_: str = KIB, addr: str = "") -> str:
    signature = f"({addr}) {{operandSegmentSizes = array<i32: {int(bool(addr))}, 0, 0>}} : ({'i64' if addr else ''}) -> {tile(type_)}"
    return f'{name} = "pto.alloc_tile"{signature} loc("k.py":{line_of(name)}:1)'


def line_of(name: str) -> int:
    return 10 + ord(name[1]) - ord("a")


def texp(src: str, dst: str, type_: str = KIB) -> str:
    return f'"pto.texp"({src}, {dst}) : ({tile(type_)}, {tile(type_)}) -> () loc("k.py":50:1)'


def loop(*body: str) -> str:
    return "\n".join(["scf.for %i = %lo to %n step %one {", *body, "}"])


def module(*lines: str) -> ir.Module:
    head = "func.func @k(%n: index, %run: i64) {\n%lo = arith.constant 0 : index\n%one = arith.constant 1 : index"
    return ir.Module.parse("\n".join([head, *lines, "return\n}"]))


@pytest.fixture(autouse=True)
def context():
    with new_context() as ctx:
        yield ctx


def planned(*lines: str, chip: SmallChip = CHIP) -> list[tuple[int, int]]:
    """(address, bytes) of each alloc in program order."""
    mod = module(*lines)
    PlanMemory().run(mod, chip)
    mod.operation.verify()
    live = liveness(mod.body.operations[0].operation)
    return [(ir.IntegerAttr(b.op.operands[0].owner.attributes["value"]).value, b.size(chip.alignment_bytes(b.memory))) for b in live.buffers]


def test_no_reuse_where_all_fits():
    lines = [alloc("%a"), alloc("%b"), alloc("%c"), texp("%a", "%b"), texp("%b", "%c")]
    assert planned(*lines) == [(0, 1024), (1024, 1024), (2048, 1024)]


def test_reuse_only_as_needed():
    lines = [alloc(f"%{c}") for c in "abcdef"] + [texp("%a", "%b"), texp("%c", "%d"), texp("%e", "%f")]
    places = planned(*lines)
    assert [at for at, _ in places[:4]] == [0, 1024, 2048, 3072]
    assert {at for at, _ in places[4:]} == {0, 1024}


def test_tiles_of_a_loop_do_not_share():
    """Each is read in the loop before it is written there: they live through the back edge, five in room for four."""
    lines = [alloc(f"%{c}") for c in "abcde"]
    with pytest.raises(CapacityError, match="overflows: tiles alive here take 5120 bytes"):
        planned(*lines, loop(texp("%b", "%a"), texp("%c", "%b"), texp("%d", "%c"), texp("%e", "%d"), texp("%a", "%e")))


def test_scratch_overwritten_in_each_iteration_shares():
    body = [texp(*pair) for scratch in ("%c", "%d", "%e") for pair in (("%a", scratch), (scratch, "%b"))]
    places = planned(*(alloc(f"%{c}") for c in "abcdef"), texp("%a", "%b"), loop(*body))
    assert len({at for at, _ in places[2:5]}) == 2  # c, d and e in two places


def test_a_tile_made_in_a_loop_and_yielded_lives_through_it():
    body = [alloc("%b"), texp("%x", "%b"), alloc("%c"), texp("%b", "%c")]
    text = "\n".join([alloc("%a"), f"%r = scf.for %i = %lo to %n step %one iter_args(%x = %a) -> ({tile(KIB)}) {{", *body, f"scf.yield %b : {tile(KIB)}", "}", alloc("%d"), alloc("%e"), texp("%d", "%e"), texp("%r", "%d")])
    mod = module(text)
    a, b, c, d, _ = liveness(mod.body.operations[0].operation).buffers
    assert (a.lo, a.hi) == (b.lo, b.hi)  # one value from the loop's begin to the last use of its result
    assert b.lo < c.lo <= c.hi < d.lo < b.hi


def test_branches_share():
    types = [alloc(f"%{c}") for c in "abcdef"]
    branch = ["%t = arith.cmpi eq, %n, %lo : index", "scf.if %t {", texp("%a", "%b"), texp("%b", "%c"), "} else {", texp("%d", "%e"), texp("%e", "%f"), "}"]
    assert all(at + size <= 4096 for at, size in planned(*types, *branch))


def test_slots_lie_at_aligned_strides():
    multi = '%m = "pto.alloc_multi_tile"() {operandSegmentSizes = array<i32: 0, 0, 0>} : () -> !pto.multi_tile_buf<"vec, 1x9xf32, count=3">'
    assert planned(multi, alloc("%b")) == [(0, 3 * 64), (192, 1024)]


def test_given_addresses_are_kept_and_planned_around():
    lines = ["%k = arith.constant 1024 : i64", alloc("%a", addr="%k"), alloc("%b"), alloc("%c", "vec, 16x32xf32"), texp("%a", "%b"), texp("%c", "%c", "vec, 16x32xf32"), texp("%a", "%b")]
    assert planned(*lines) == [(1024, 1024), (0, 1024), (2048, 2048)]


def test_an_address_that_is_no_constant_is_refused():
    with pytest.raises(NotSupportedError, match=r"k.py:10: 'addr' must be a constant"):
        planned(alloc("%a", addr="%run"), texp("%a", "%a"))


def test_a_given_address_past_the_end_is_refused():
    with pytest.raises(CapacityError, match=r"k.py:10: 'pto.alloc_tile'.* ends at 5120, ub has 4096 bytes"):
        planned("%k = arith.constant 4096 : i64", alloc("%a", addr="%k"), texp("%a", "%a"))


def test_library_scratch_shortens_ub(monkeypatch):
    lines = [*(alloc(f"%{c}") for c in "abcd"), texp("%a", "%b"), texp("%c", "%d"), texp("%a", "%c"), texp("%b", "%d")]
    assert len(planned(*lines)) == 4
    monkeypatch.setattr(REGISTRY["pto.texp"], "internals", {"ub_scratch": True})
    with pytest.raises(CapacityError, match="ub overflows: tiles alive here take 4096 bytes of 3072"):
        planned(*lines)


def test_the_message_has_the_map_and_what_would_fit():
    big = "vec, 64x32xf32"
    with pytest.raises(CapacityError, match="overflows") as error:
        planned(alloc("%a", big), alloc("%b"), texp("%a", "%a", big), texp("%b", "%b"), texp("%a", "%a", big))
    text = str(error.value)
    assert text.startswith("k.py:50: 'k': ub overflows: tiles alive here take 9216 bytes of 4096 (5120 missing)")
    assert "8192 bytes  <vec, 64x32xf32>  k.py:10" in text
    assert "slices of 16 rows instead of 64 for <vec, 64x32xf32> (k.py:10)" in text


def test_fewer_slots_are_advised_first():
    multi = '%m = "pto.alloc_multi_tile"() {operandSegmentSizes = array<i32: 0, 0, 0>} : () -> !pto.multi_tile_buf<"vec, 16x32xf32, count=3"> loc("k.py":7:1)'
    get = f'%g = "pto.multi_tile_get"(%m, %n) : (!pto.multi_tile_buf<"vec, 16x32xf32, count=3">, index) -> {tile("vec, 16x32xf32")}'
    with pytest.raises(CapacityError, match=r"1 slot instead of 3 for <vec, 16x32xf32> x3 \(k.py:7\)"):
        planned(multi, alloc("%a"), get, texp("%g", "%g", "vec, 16x32xf32"), texp("%a", "%a"), texp("%g", "%g", "vec, 16x32xf32"))


def test_reserved_buffers_take_part():
    reserve = '%r = "pto.reserve_buffer"() {name = "fifo", size = 2048 : i32, location = #pto.attr<"address_space", "vec">, auto = true} : () -> i32 loc("k.py":8:1)'
    mod = module(alloc("%a"), reserve, alloc("%b"), texp("%a", "%b"))
    PlanMemory().run(mod, CHIP)
    text = memory_map(mod, CHIP)
    assert text.splitlines()[0] == "k: ub: 4096 of 4096 bytes"
    assert "    1024      2048 bytes  fifo <reserved>  k.py:8" in text
    assert "base = 1024 : i32" in str(mod)


def test_same_text_in_same_text_out():
    lines = [*(alloc(f"%{c}") for c in "abcdef"), texp("%a", "%b"), texp("%c", "%d"), texp("%e", "%f")]
    texts = []
    for _ in range(2):
        mod = module(*lines)
        remarks = PlanMemory().run(mod, CHIP)
        texts.append(str(mod))
    assert texts[0] == texts[1]
    assert remarks == ["k: ub: 6144 bytes of tiles share 4096 of 4096 bytes"]


def test_a_planned_module_stays_as_it_is():
    mod = module(alloc("%a"), alloc("%b"), texp("%a", "%b"))
    PlanMemory().run(mod, CHIP)
    before = str(mod)
    PlanMemory().run(mod, CHIP)
    assert str(mod) == before


def test_a_tile_that_a_branch_yields_lives_as_long_as_the_result():
    choice = f"%r = scf.if %t -> ({tile(KIB)}) {{ {texp('%a', '%b')}\n scf.yield %b : {tile(KIB)} }} else {{ scf.yield %a : {tile(KIB)} }}"
    mod = module(*(alloc(f"%{c}") for c in "abcd"), "%t = arith.cmpi eq, %n, %lo : index", choice, texp("%c", "%d"), texp("%r", "%d"))
    a, b, c, d = liveness(mod.body.operations[0].operation).buffers
    assert a.hi == b.hi == d.hi
    assert c.hi < a.hi


def test_a_tile_that_a_loop_hands_from_arm_to_iteration_lives_through_it():
    arm = f"%y = scf.if %t -> ({tile(KIB)}) {{ scf.yield %b : {tile(KIB)} }} else {{ scf.yield %x : {tile(KIB)} }}"
    lines = [alloc("%a"), alloc("%b"), alloc("%c"), "%t = arith.cmpi eq, %n, %lo : index"]
    loop_ = f"%r = scf.for %i = %lo to %n step %one iter_args(%x = %a) -> ({tile(KIB)}) {{ {texp('%x', '%c')}\n{arm}\nscf.yield %y : {tile(KIB)} }}"
    mod = module(*lines, loop_, texp("%r", "%r"))
    a, b, _ = liveness(mod.body.operations[0].operation).buffers
    assert (a.lo, a.hi) == (b.lo, b.hi)


def test_a_part_that_is_read_beyond_what_is_overwritten_keeps_the_tile_alive():
    """The first use writes 4 of 8 rows; a view of all 8 is read behind it: the others come from the iteration before."""
    part = "vec, 8x32xf32, valid=4x32"
    view = f'%v = "pto.treshape"(%b) : ({tile(part)}) -> {tile(KIB)}'
    lines = [alloc("%a", part), alloc("%b", part), alloc("%c"), loop(texp("%a", "%b", part), view, texp("%v", "%c"))]
    mod = module(*lines)
    _, b, c = liveness(mod.body.operations[0].operation).buffers
    assert b.lo < c.lo
    direct = [alloc("%a", part), alloc("%b", part), alloc("%c", part), loop(texp("%a", "%b", part), texp("%b", "%c", part))]
    mod = module(*direct)
    a, b, _ = liveness(mod.body.operations[0].operation).buffers
    assert a.lo < b.lo


def test_slots_live_through_the_loop_that_turns_them():
    multi = '!pto.multi_tile_buf<"vec, 8x32xf32, count=2">'
    ring = f'%m = "pto.alloc_multi_tile"() {{operandSegmentSizes = array<i32: 0, 0, 0>}} : () -> {multi}'
    body = [ring, f'%g = "pto.multi_tile_get"(%m, %i) : ({multi}, index) -> {tile(KIB)}', texp("%a", "%a"), texp("%a", "%g"), texp("%a", "%a")]
    mod = module(alloc("%a"), loop(*body))
    a, m = liveness(mod.body.operations[0].operation).buffers
    assert (m.lo, m.hi) == (a.lo, a.hi)


VIEW = '!pto.partition_tensor_view<"8x32xf32">'


def tload(dst: str) -> str:
    return f'"pto.tload"(%view, {dst}) {{operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0>}} : ({VIEW}, {tile(KIB)}) -> () loc("k.py":60:1)'


def module_with_view(*lines: str) -> ir.Module:
    head = f"func.func @k(%n: index, %view: {VIEW}) {{\n%lo = arith.constant 0 : index\n%one = arith.constant 1 : index"
    return ir.Module.parse("\n".join([head, *lines, "return\n}"]))


def addresses(mod: ir.Module) -> list[int]:
    return [ir.IntegerAttr(b.op.operands[0].owner.attributes["value"]).value for b in liveness(mod.body.operations[0].operation).buffers]


def test_tiles_of_one_engine_share_before_tiles_of_two():
    """Room for four: b, c and d are the vector engine's own, a and e are loaded too."""
    body = [tload("%a"), texp("%a", "%b"), texp("%a", "%c"), tload("%e"), texp("%e", "%d")]
    mod = module_with_view(*(alloc(f"%{c}") for c in "abcde"), loop(*body))
    remarks = PlanMemory().run(mod, CHIP)
    assert remarks == ["k: ub: 5120 bytes of tiles share 4096 of 4096 bytes"]
    a, b, c, d, e = addresses(mod)
    assert len({a, e, b}) == 3
    assert d in (b, c) or b == c


def test_engines_that_wait_over_shared_bytes_are_named():
    body = [tload("%a"), texp("%a", "%b"), tload("%c"), texp("%c", "%d"), tload("%e"), texp("%e", "%f")]
    chip = SmallChip({"ub": 2048})
    mod = module_with_view(*(alloc(f"%{c}") for c in "abcdef"), loop(*body))
    total, wait = PlanMemory().run(mod, chip)
    assert total == "k: ub: 6144 bytes of tiles share 2048 of 2048 bytes"
    assert wait.startswith("k.py:12: <vec, 8x32xf32> (MTE2, V) shares bytes of ub with <vec, 8x32xf32> of k.py:10 (MTE2, V): in their loop")
    assert re.search(r"these engines wait for each other \(and \d more pairs of tiles\)$", wait)


def test_bytes_shared_around_given_addresses_are_told():
    """Room for all, but not beside the given one, which lies in the middle."""
    big, body = "vec, 12x32xf32", [tload("%a"), texp("%c", "%c", "vec, 12x32xf32"), texp("%d", "%d", "vec, 12x32xf32")]
    lines = ["%at = arith.constant 1280 : i64", alloc("%a", KIB, "%at"), alloc("%c", big), alloc("%d", big), *body]
    mod = module_with_view(*lines)
    assert PlanMemory().run(mod, CHIP) == ["k: ub: 4096 bytes of tiles share 3840 of 4096 bytes"]
    assert addresses(mod) == [1280, 2304, 2304]


def test_outside_of_loops_no_engine_is_named():
    body = [tload("%a"), texp("%a", "%b"), tload("%c"), texp("%c", "%d"), tload("%e"), texp("%e", "%f")]
    mod = module_with_view(*(alloc(f"%{c}") for c in "abcdef"), *body)
    assert PlanMemory().run(mod, SmallChip({"ub": 2048})) == ["k: ub: 6144 bytes of tiles share 2048 of 2048 bytes"]


def add(a: str, b: str, dst: str) -> str:
    return f'"pto.tadd"({a}, {b}, {dst}) : ({tile(KIB)}, {tile(KIB)}, {tile(KIB)}) -> () loc("k.py":70:1)'


def test_banks_are_avoided_where_that_costs_no_room():
    roomy, full = SmallChip({"ub": 192 * 1024}), SmallChip({"ub": 3072})
    lines = [*(alloc(f"%{c}") for c in "abc"), add("%a", "%b", "%c")]
    mod = module(*lines)
    PlanMemory().run(mod, roomy)
    assert addresses(mod) == [0, 1024 + 256, 65536]
    mod = module(*lines)
    PlanMemory().run(mod, full)
    assert addresses(mod) == [0, 1024, 2048]


def test_the_sources_of_an_addition_meet_in_no_repeat():
    """Planned, no repeat of the addition waits; one behind the other, each does."""
    waits = {}
    for name, places in (("planned", (None, None, None)), ("one behind the other", (0, 16384, 32768))):

        @ptoc.kernel
        def k(x: ptoc.Tensor[64, 64, f32], y: ptoc.Out[64, 64, f32], *, PLACES: tuple = places):
            a, b, c = (ptoc.tile([64, 64], f32, addr=at) for at in PLACES)
            ptoc.load(a, x)
            ptoc.load(b, x)
            ptoc.add(c, a, b)
            ptoc.store(y, c)

        chip = load_chip("ascend910b1")
        program = prepare(Source("k", k), chip, {}, None, 1, {}, "insert").program
        (command,) = [c for stream in program.streams for c in stream.commands if len(c.reads) == 2]
        at = {n: Stream(ref.address) for n, ref in command.operands}
        waits[name] = conflicts(chip.ub_banks(), (at["src0"], at["src1"]), (at["dst"],), 64)
    assert waits == {"planned": (0, 0), "one behind the other": (64, 64)}


def blocks_of(draw_size: int) -> st.SearchStrategy[Block]:
    """A block with a lifetime; some have a given address."""
    place = st.one_of(st.none(), st.none(), st.integers(0, draw_size).map(lambda n: 32 * n))
    return st.builds(lambda size, lo, length, at: Block(32 * size, lo, lo + length, at), st.integers(1, 20), st.integers(0, 12), st.integers(0, 5), place)


@dataclass(frozen=True)
class Engines(Unrelated):
    """Blocks by engine; those of two engines wait for each other in the loop of the later one."""

    engines: tuple[int, ...]

    def waits(self, i: int, j: int) -> int:
        return 0 if self.engines[i] == self.engines[j] else 1 + max(self.engines[i], self.engines[j]) % 2


@given(st.lists(blocks_of(60), max_size=12), st.integers(60, 160), st.lists(st.integers(0, 2), min_size=12, max_size=12))
@settings(max_examples=300, deadline=None)
def test_blocks_alive_together_never_overlap(blocks, capacity, engines):
    capacity *= 32
    given_ = [b.address for b in blocks]
    again = [replace(b) for b in blocks]
    relations = Engines(tuple(engines))
    packing = pack(blocks, capacity, 32, relations)
    assert (packing, [b.address for b in blocks]) == (pack(again, capacity, 32, relations), [b.address for b in again])
    assert all(at is None or at == b.address for at, b in zip(given_, blocks))
    open_ = [i for i, at in enumerate(given_) if at is None]
    if packing is None:
        assert all(blocks[i].address is None for i in open_)
        assert sum(b.size for b in blocks) > capacity or len(open_) < len(blocks)
        return
    for i in open_:
        a = blocks[i]
        assert 0 <= a.address <= a.end <= capacity
        assert a.address % 32 == 0
        for j, b in enumerate(blocks):
            assert i == j or not a.overlaps(b) or (packing.shared and not a.lives_with(b) and relations.waits(i, j) <= packing.waits)


@given(st.lists(blocks_of(60), min_size=1, max_size=9), st.randoms(use_true_random=False), st.lists(st.integers(0, 2), min_size=9, max_size=9))
@settings(max_examples=200, deadline=None)
def test_slots_that_are_tried_fit_in_any_order(blocks, random, engines):
    """What multi-buffer tries before it rewrites is placed as well or better when the blocks come in another order."""
    capacity = max(load(blocks).values())
    tried = pack([replace(b) for b in blocks], capacity, 32, Engines(tuple(engines)), any_order=True)
    order = random.sample(range(len(blocks)), len(blocks))
    shuffled = [replace(blocks[i]) for i in order]
    assert tried is None or pack(shuffled, capacity, 32, Engines(tuple(engines[i] for i in order))) is not None


@given(st.lists(blocks_of(60).map(lambda b: replace(b, address=None)), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_few_blocks_fit_where_the_most_that_live_together_do(blocks):
    """Not so for any number of blocks: then this is a bound that a little more room always meets."""
    most = max(load(blocks).values())
    assert pack([replace(b) for b in blocks], most + most // 4 // 32 * 32 + 32, 32) is not None
