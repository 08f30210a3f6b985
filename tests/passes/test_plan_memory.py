"""plan-memory: lifetimes, placement, given addresses, and what is said where a memory overflows."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptoc.dialect import new_context
from ptoc.dialect.errors import CapacityError, NotSupportedError
from ptoc.dialect.mlir import ir
from ptoc.dialect.op import REGISTRY
from ptoc.machine.banks import Banks
from ptoc.machine.chip import load_chip
from ptoc.passes.address_packing import Block, pack
from ptoc.passes.plan_memory import PlanMemory, memory_map
from ptoc.passes.tile_liveness import liveness


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


block = st.builds(lambda size, lo, length: Block(32 * size, lo, lo + length), st.integers(1, 20), st.integers(0, 12), st.integers(0, 5))


@given(st.lists(block, max_size=12), st.integers(8, 120))
@settings(max_examples=200, deadline=None)
def test_blocks_alive_together_never_overlap(blocks, capacity):
    capacity *= 32
    if not pack(blocks, capacity, 32):
        assert all(b.address is None for b in blocks)
        assert sum(b.size for b in blocks) > capacity
        return
    for i, a in enumerate(blocks):
        assert 0 <= a.address
        assert a.end <= capacity
        assert a.address % 32 == 0
        for b in blocks[:i]:
            assert not a.lives_with(b) or a.end <= b.address or b.end <= a.address
    if sum(b.size for b in blocks) <= capacity:
        assert all(a.end <= b.address or b.end <= a.address for i, a in enumerate(blocks) for b in blocks[:i])
