"""insert-sync against brute force: everything in order in every environment, and no unit that could go."""

import itertools
import random
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptoc.dialect.assembly import parse, to_text
from ptoc.machine.banks import Banks
from ptoc.passes.insert_sync import InsertSync
from ptoc.passes.plan_memory import PlanMemory

sys.path.insert(0, str(Path(__file__).parent))

from sync_oracle import Choice, commands, fault, units


class Chip:
    """A3 with room for everything."""

    arch = "a3"

    def capacity_bytes(self, memory: str) -> int:
        return 1 << 20

    def alignment_bytes(self, memory: str) -> int:
        return 32

    def ub_banks(self) -> Banks:
        return Banks(row=32, groups=16, banks=3, stride=65536, reads=1)

    def number(self, key: str) -> int:
        return {"sync.event_ids": 8}[key]


TILE = "!pto.tile_buf<vec, 8x8xf32>"
VIEW = "!pto.tensor_view<?x8xf32>"


def program(*lines: str, tiles: int = 4, rings: tuple[int, ...] = (2, 3)) -> str:
    """A kernel of lines; %t0.. are tiles, %r0.. rings of slots, %v, %o views of two pointers, %n a number, %c a choice."""
    head = [
        "func.func @k(%p: !pto.ptr<f32>, %q: !pto.ptr<f32>, %n: index, %c: i1) attributes {pto.entry} {",
        *(f"%c{i} = arith.constant {i} : index" for i in range(9)),
        *(f"%{v} = pto.make_tensor_view %{p}, shape = [%n, %c8], strides = [%c8, %c1] : {VIEW}" for v, p in (("v", "p"), ("o", "q"))),
        *(f"%t{i} = pto.alloc_tile : {TILE}" for i in range(tiles)),
        *(f"%r{i} = pto.alloc_multi_tile : !pto.multi_tile_buf<vec, 8x8xf32, count={n}>" for i, n in enumerate(rings)),
    ]
    return "\n".join([*head, *lines, "return", "}"])


def load(dst: str) -> str:
    return f"pto.tload ins(%v : {VIEW}) outs({dst} : {TILE})"


def store(src: str) -> str:
    return f"pto.tstore ins({src} : {TILE}) outs(%o : {VIEW})"


def tadd(a: str, b: str, dst: str) -> str:
    return f"pto.tadd ins({a}, {b} : {TILE}, {TILE}) outs({dst} : {TILE})"


def loop(variable: str, upper: str, *body: str, lower: str = "%c0", step: str = "%c1") -> list[str]:
    return [f"scf.for %{variable} = {lower} to {upper} step {step} {{", *body, "}"]


def slot(name: str, ring: int, index: str, count: int) -> str:
    return f"%{name} = pto.multi_tile_get %r{ring}[{index}] : !pto.multi_tile_buf<vec, 8x8xf32, count={count}> -> {TILE}"


def synced(text: str, arch: str = "a3"):
    module = parse(text, "k.pto")
    chip = Chip()
    chip.arch = arch
    with module.context:
        PlanMemory().run(module, chip)
        remarks = InsertSync().run(module, chip)
        assert module.operation.verify()
    return module, remarks


TRIPS = [(0,), (1,), (2,), (3,), (7,), (0, 3), (3, 0), (1, 4, 0, 2), (2, 5), (5, 1, 1)]
BRANCHES = [(True,), (False,), (True, False), (False, True), (True, True, False), (True, False, False), (False, True, True), (False, False, True)]
ENVIRONMENTS = list(itertools.product(TRIPS, BRANCHES))


def judge(text: str, free_trips: bool = True, arch: str = "a3", minimal: bool = True):
    """Asserts right and irredundant; the module."""
    module, remarks = synced(text, arch)
    barriers, free_trips = arch == "a3", free_trips and "maxsi" not in to_text(module)
    choices = ENVIRONMENTS if "scf.if" in text else [(trips, (True,)) for trips in TRIPS] if "scf.for" in text else [((1,), (True,))]
    runs = [commands(module, Choice(*choice), free_trips) for choice in choices]
    for choice, run in zip(choices, runs):
        assert not fault(run, barriers=barriers), f"{choice}: {fault(run, barriers=barriers)}\n{to_text(module)}"
    if minimal and not remarks and free_trips:  # with one number for all trips too few environments tell
        runs.sort(key=len)
        for unit in units(module):
            assert any(fault(run, unit, barriers) for run in runs) or _needed_somewhere(module, unit, free_trips, barriers), (
                f"unit {unit} is redundant\n{to_text(module)}"
            )
    return module


def _needed_somewhere(module, unit: int, free_trips: bool, barriers: bool) -> bool:
    """True where a unit is needed in one of many random environments."""
    rng = random.Random(unit)
    for _ in range(400):
        choice = Choice(tuple(rng.randrange(4) for _ in range(8)), tuple(rng.random() < 0.5 for _ in range(16)))
        if fault(commands(module, choice, free_trips), unit, barriers):
            return True
    return False


def counts(module) -> tuple[int, int]:
    """Units of flags, units of barriers."""
    text = to_text(module)
    barriers = sum("barrier" in line and "unit" in line for line in text.splitlines())
    return len(units(module)) - barriers, barriers


def test_straight_line():
    module = judge(program(load("%t0"), load("%t1"), tadd("%t0", "%t1", "%t2"), store("%t2")))
    assert counts(module) == (2, 0)


def test_dependent_vector_ops_get_a_barrier_on_a3_only():
    text = program(tadd("%t0", "%t0", "%t1"), tadd("%t1", "%t1", "%t2"))
    assert counts(judge(text)) == (0, 1)
    assert counts(judge(text, arch="a5")) == (0, 0)


def test_one_barrier_serves_what_comes_before_it():
    text = program(tadd("%t0", "%t0", "%t1"), tadd("%t0", "%t0", "%t2"), tadd("%t1", "%t2", "%t3"), tadd("%t2", "%t2", "%t0"))
    assert counts(judge(text)) == (0, 1)


def test_a_loop_over_one_buffer():
    module = judge(program(*loop("i", "%n", load("%t0"), tadd("%t0", "%t0", "%t1"), store("%t1"))))
    assert counts(module) == (4, 0)
    assert "dyn" not in to_text(module)


def test_double_buffering_takes_turns_with_two_ids():
    body = ["%s = arith.remsi %i, %c2 : index", slot("a", 0, "%s", 2), load("%a"), tadd("%a", "%a", "%t1"), store("%t1")]
    text = to_text(judge(program(*loop("i", "%n", *body))))
    assert text.count('role = "prime"') == 3
    assert "wait_flag_dyn[<PIPE_V>, <PIPE_MTE2>" in text


def test_a_ring_that_counts_on_through_an_outer_loop_is_primed_outside():
    index = ["%x = arith.muli %j, %c3 : index", "%y = arith.addi %x, %i : index", "%s = arith.remsi %y, %c2 : index"]
    inner = loop("i", "%c3", *index, slot("a", 0, "%s", 2), load("%a"), store("%a"))
    text = to_text(judge(program(*loop("j", "%n", *inner))))
    assert text.index("prime") < text.index("scf.for")


def test_a_ring_that_starts_anew_in_each_outer_iteration():
    body = ["%s = arith.remsi %i, %c2 : index", slot("a", 0, "%s", 2), load("%a"), store("%a")]
    judge(program(*loop("j", "%n", *loop("i", "%n", *body))))
    judge(program(*loop("j", "%n", *loop("i", "%c3", *body))))
    judge(program(*loop("j", "%n", *loop("i", "%c4", *body))))


def test_a_ring_that_meets_itself_only_in_the_next_outer_iteration():
    """Two trips of two slots: the conflict is two inner iterations back, more than the inner loop has in one go."""
    inner = loop("i", "%c2", "%s = arith.remsi %i, %c2 : index", slot("a", 0, "%s", 2), tadd("%t0", "%t0", "%a"), store("%a"))
    judge(program(*loop("j", "%n", *inner)))


def test_few_ids(monkeypatch):
    """With one or two ids flags merge, take turns, or barriers stand in, and order stays right."""
    for ids in (1, 2):
        monkeypatch.setattr(Chip, "number", lambda self, key, ids=ids: ids)
        for seed in range(30):
            judge(program(*_random_block(random.Random(seed), 0, [], [0])), minimal=False)


def test_where_ids_run_out_flags_are_merged(monkeypatch):
    monkeypatch.setattr(Chip, "number", lambda self, key: 1)
    lines = [load("%t0"), tadd("%t4", "%t4", "%t5"), load("%t1"), tadd("%t0", "%t0", "%t2"), tadd("%t1", "%t1", "%t3")]
    module, remarks = synced(program(*lines, *lines, tiles=6))
    assert not fault(commands(module, Choice((1,), (True,))))
    assert remarks
    for remark in remarks:
        assert "has only 1 event ids: one flag serves this line and k.pto" in remark
        assert re.search("waits here for [1-9] more commands of", remark)


def test_carried_flags_are_merged_too():
    """Twelve tiles that are each loaded, used and loaded again in the next iteration: eight ids, no barrier."""
    loads, adds = [load(f"%t{i}") for i in range(12)], [tadd(f"%t{i}", f"%t{i}", f"%t{12 + i}") for i in range(12)]
    module = judge(program(*loop("i", "%n", *loads, *adds), tiles=24), minimal=False)
    assert "PIPE_ALL> {unit" not in to_text(module)
    _, remarks = synced(program(*loop("i", "%n", *loads, *adds), tiles=24))
    assert all("more commands of" in remark for remark in remarks)


def test_where_flags_cannot_be_merged_two_pipes_wait_for_each_other(monkeypatch):
    """Flags of different distances in one loop, and one id: local barriers, in each iteration both ways."""
    monkeypatch.setattr(Chip, "number", lambda self, key: 1)
    ring = ["%s = arith.remsi %i, %c2 : index", slot("a", 0, "%s", 2), load("%a"), tadd("%a", "%a", "%t0")]
    text = program(*loop("i", "%n", *ring, load("%t1"), tadd("%t1", "%t1", "%t2")))
    module, remarks = synced(text)
    judge(text, minimal=False)
    assert any("MTE2 and V wait for each other here" in remark or "V and MTE2 wait for each other here" in remark for remark in remarks)
    assert "PIPE_ALL> {unit" not in to_text(module)


def test_where_not_even_a_local_barrier_has_ids_all_pipes_wait(monkeypatch):
    """All ids of one direction are in flags by hand."""
    monkeypatch.setattr(Chip, "number", lambda self, key: 1)
    manual = [f"pto.{k}_flag[<PIPE_V>, <PIPE_MTE2>, <EVENT_ID0>]" for k in ("set", "wait")]
    text = program(*manual, *loop("i", "%n", load("%t1"), tadd("%t1", "%t1", "%t2")))
    module, remarks = synced(text)
    judge(text, minimal=False)
    assert any("nor one for a barrier of the two: a barrier over all pipes stands in" in remark for remark in remarks)
    assert "PIPE_ALL> {unit" in to_text(module)


def test_a_slot_read_one_iteration_later():
    index = ["%s = arith.remsi %i, %c3 : index", "%x = arith.addi %i, %c2 : index", "%u = arith.remsi %x, %c3 : index"]
    judge(program(*loop("i", "%n", *index, slot("a", 1, "%s", 3), slot("b", 1, "%u", 3), load("%a"), tadd("%b", "%b", "%t0"))))


def test_branches():
    judge(program("scf.if %c {", load("%t0"), "} else {", load("%t1"), "}", tadd("%t0", "%t1", "%t2")))
    judge(program(*loop("i", "%n", load("%t0"), "scf.if %c {", tadd("%t0", "%t0", "%t1"), "}", store("%t1"))))


def test_a_tile_that_is_one_of_two():
    choose = ["%x = scf.if %c -> (" + TILE + ") {", f"scf.yield %t0 : {TILE}", "} else {", f"scf.yield %t1 : {TILE}", "}"]
    judge(program(load("%t0"), load("%t1"), *choose, tadd("%x", "%x", "%t2"), store("%t2")))


def test_more_flags_than_ids():
    loads = [load(f"%t{i}") for i in range(12)]
    adds = [tadd(f"%t{i}", f"%t{i}", f"%t{12 + i}") for i in range(12)]
    judge(program(*loads, *adds, tiles=24), minimal=False)


def test_flags_share_ids_one_after_the_other():
    rounds = [line for i in range(12) for line in (load("%t0"), tadd("%t0", "%t0", "%t1"))]
    text = to_text(judge(program(*rounds)))
    assert "PIPE_ALL> {unit" not in text


def test_manual_flags_are_kept_and_counted_on():
    manual = ["pto.set_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>]", "pto.wait_flag[<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>]"]
    assert counts(judge(program(load("%t0"), *manual, tadd("%t0", "%t0", "%t1")))) == (0, 0)
    text = to_text(judge(program(load("%t0"), *manual, tadd("%t0", "%t0", "%t1"), store("%t1"), load("%t2"), tadd("%t2", "%t2", "%t3"))))
    assert text.count("<PIPE_MTE2>, <PIPE_V>, <EVENT_ID3>") == 2


def test_a_barrier_stands_before_the_return():
    lines = to_text(judge(program(load("%t0")))).splitlines()
    assert 'pto.barrier <PIPE_ALL> {role = "end"}' in lines[-4]
    assert "PIPE_ALL" not in to_text(synced(program())[0])


def test_sync_has_the_line_of_what_needs_it():
    module, _ = synced(program(load("%t0"), tadd("%t0", "%t0", "%t1")))
    lines = [op.location.start_line for op in module.body.operations[0].operation.regions[0].blocks[0].operations if "flag" in op.operation.name]
    source = program(load("%t0"), tadd("%t0", "%t0", "%t1")).splitlines()
    assert {source[line - 1].split()[0] for line in lines} == {"pto.tadd"}


def _random_block(rng: random.Random, depth: int, loops: list[tuple[str, str]], names: list[int]) -> list[str]:
    """A few random commands, rings, loops and branches."""
    lines: list[str] = []
    for _ in range(rng.randint(1, 3 if depth else 4)):
        kind = rng.choice(["load", "add", "store", "add", "load", "loop", "if", "ring"])
        tile = f"%t{rng.randrange(3)}"
        if kind == "loop" and depth < 2:
            names[0] += 1
            variable, upper = f"i{names[0]}", rng.choice(["%n", "%n", "%c3", "%c2"])
            lines += loop(variable, upper, *_random_block(rng, depth + 1, [*loops, (variable, upper)], names))
        elif kind == "if" and depth < 2:
            lines += ["scf.if %c {", *_random_block(rng, depth + 1, loops, names), "}"]
            if rng.random() < 0.5:
                lines += ["else {", *_random_block(rng, depth + 1, loops, names), "}"]
                lines[-len(lines) :] = _joined_else(lines)
        elif kind == "ring" and loops:
            tile, made = _random_slot(rng, loops, names)
            lines += made
            lines.append(rng.choice([load(tile), tadd(tile, tile, "%t0"), tadd("%t1", "%t1", tile), store(tile)]))
            if rng.random() < 0.6:
                lines.append(rng.choice([tadd(tile, "%t2", "%t1"), store(tile)]))
        elif kind == "add":
            lines.append(tadd(f"%t{rng.randrange(3)}", tile, f"%t{rng.randrange(3)}"))
        else:
            lines.append(store(tile) if kind == "store" else load(tile))
    return lines


def _joined_else(lines: list[str]) -> list[str]:
    at = max(i for i, line in enumerate(lines) if line == "else {")
    return [*lines[: at - 1], "} else {", *lines[at + 1 :]]


def _random_slot(rng: random.Random, loops: list[tuple[str, str]], names: list[int]) -> tuple[str, list[str]]:
    names[0] += 1
    key, ring = names[0], rng.randrange(2)
    count = (2, 3)[ring]
    variable, upper = loops[-1]
    lines, index = [], f"%{variable}"
    if len(loops) > 1 and upper != "%n" and rng.random() < 0.5:
        lines += [f"%x{key} = arith.muli %{loops[-2][0]}, {upper} : index", f"%y{key} = arith.addi %x{key}, {index} : index"]
        index = f"%y{key}"
    if rng.random() < 0.3:
        lines.append(f"%z{key} = arith.addi {index}, %c1 : index")
        index = f"%z{key}"
    lines += [f"%s{key} = arith.remsi {index}, %c{count} : index", slot(f"a{key}", ring, f"%s{key}", count)]
    return f"%a{key}", lines


@given(st.integers(0, 10**9))
@settings(max_examples=40, deadline=None)
def test_random_programs(seed):
    judge(program(*_random_block(random.Random(seed), 0, [], [0])))


@pytest.mark.parametrize("seed", range(10))
def test_random_programs_without_vector_barriers(seed):
    judge(program(*_random_block(random.Random(seed), 0, [], [0])), arch="a5")
