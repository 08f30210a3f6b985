"""Values in the scheduled order: what is read when, what is poison, and what a meaning must return."""

from types import SimpleNamespace

import numpy as np
import pytest

from ptoc.dialect.errors import BoundsError, DeadlockError, PoisonError, SimulationError
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.machine.hazards import needs_barrier
from ptoc.simulator.execute import execute, execute_adverse
from ptoc.simulator.memory import Memories
from ptoc.simulator.program import Command, Core, Program, Site, Stream

AIV = Core("aiv", 0)
MEANINGS = {
    "tload": lambda a, _: {"dst": a["src"]},
    "tstore": lambda a, _: {"dst": a["src"].reshape(a["dst"].shape)},
    "tstore_add": lambda a, _: {"dst": a["dst"] + a["src"].reshape(a["dst"].shape)},
    "tadds": lambda a, _: {"dst": a["src"] + np.float32(a["scalar"])},
    "tadd_": lambda a, _: {"dst": a["dst"] + a["src"]},
    "sum": lambda a, _: {"dst": np.full(a["dst"].shape, a["src"].sum(), a["dst"].dtype)},
}


def ub(slot, rows=4):
    return TileRef("ub", 1024 * slot, "f32", rows, 64, "row_major", "none_box", 512, 0, 0, rows, 64)


def gm(name, offset=0, rows=4):
    return ViewRef(f"gm:{name}", offset, "f32", (rows, 64), (64, 1))


class Build:
    """A program of one line per command, with the times (start, complete) of each."""

    def __init__(self, cores=(AIV,), arch="a3"):
        self.streams = {core: Stream(core, []) for core in cores}
        self.program = Program("k", arch, list(self.streams.values()), [], {"gm:x": 4096, "gm:y": 4096})
        self.timeline = SimpleNamespace(start=[[] for _ in cores], complete=[[] for _ in cores])

    def add(self, op, pipe, times, core=AIV, also_read=(), **operands):
        attributes = {"atomic": True} if op == "tstore_add" else {}
        kind = op if op in ("set", "wait", "barrier", "signal", "await") else "work"
        site = Site(len(self.program.sites), kind, op, pipe, f"k.py:{len(self.program.sites) + 1}", attributes=attributes)
        self.program.sites.append(site)
        reads = (*(("src",) if "src" in operands else ()), *also_read)
        self.streams[core].commands.append(Command(site, -1, (), tuple(operands.items()), reads, ("dst",) if "dst" in operands else ()))
        number = list(self.streams).index(core)
        self.timeline.start[number].append(times[0])
        self.timeline.complete[number].append(times[1])
        return self

    def run(self, inputs=None, meanings=MEANINGS):
        memories = Memories({"ub": 16384}, self.program.memories, inputs or {"gm:x": np.arange(1024, dtype=np.float32)})
        execute(self.program, self.timeline, memories, meanings, needs_barrier)
        return memories.array("gm:y", np.float32, (1024,))


def test_load_compute_store():
    build = (
        Build()
        .add("tload", "MTE2", (0, 10), src=gm("x"), dst=ub(0))
        .add("barrier", "ALL", (10, 10))
        .add("tadds", "V", (10, 20), src=ub(0), scalar=2, dst=ub(1))
    )
    out = build.add("tstore", "MTE3", (20, 30), src=ub(1), dst=gm("y", 256)).run()
    assert np.array_equal(out[256:512], np.arange(256) + 2)


def test_the_schedule_decides_not_the_program_order():
    build = Build().add("tload", "MTE2", (20, 30), src=gm("x"), dst=ub(0)).add("tadds", "V", (5, 8), src=ub(0), scalar=2, dst=ub(1))
    with pytest.raises(PoisonError, match=r"k\.py:2: 'tadds' on aiv0\.0 reads operand 'src' in ub, byte 0 .* nobody has written"):
        build.run()


def test_reading_while_the_load_is_in_flight():
    build = Build().add("tload", "MTE2", (0, 10), src=gm("x"), dst=ub(0)).add("tadds", "V", (9, 12), src=ub(0), scalar=2, dst=ub(1))
    with pytest.raises(PoisonError, match="while a write to it is in flight"):
        build.run()


def test_reads_happen_at_the_start():
    build = Build().add("tload", "MTE2", (0, 10), src=gm("x"), dst=ub(0)).add("tstore", "MTE3", (10, 40), src=ub(0), dst=gm("y"))
    out = build.add("tload", "MTE2", (20, 30), src=gm("x", 256), dst=ub(0)).run()
    assert np.array_equal(out[:256], np.arange(256))


def test_a_pipe_sees_its_own_results_before_they_are_complete_where_no_barrier_is_needed():
    build = Build().add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0)).add("tadds", "V", (1, 9), src=ub(0), scalar=1, dst=ub(1))
    build.add("tadds", "V", (3, 12), src=ub(1), scalar=1, dst=ub(2)).add("tstore", "MTE3", (12, 13), src=ub(2), dst=gm("y"))
    with pytest.raises(PoisonError, match=r"k\.py:3: .* in flight"):
        build.run()
    build.program.arch = "a5"
    assert build.run()[5] == 7


def test_an_accumulator_is_read_and_written():
    build = Build().add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0)).add("tadd_", "V", (1, 2), src=ub(0), dst=ub(0), also_read=("dst",))
    assert build.add("tstore", "MTE3", (2, 3), src=ub(0), dst=gm("y")).run()[7] == 14


def test_a_command_without_duration():
    build = Build().add("tload", "MTE2", (0, 0), src=gm("x"), dst=ub(0)).add("tstore", "MTE3", (0, 0), src=ub(0), dst=gm("y"))
    assert build.run()[7] == 7


def test_atomic_adds_of_two_cores_lose_nothing():
    other = Core("aiv", 0, 1)
    build = Build((AIV, other))
    for core in (AIV, other):
        build.add("tload", "MTE2", (0, 1), core, src=gm("x"), dst=ub(0)).add(
            "tstore_add", "MTE3", (1, 9), core, also_read=("dst",), src=ub(0), dst=gm("y")
        )
    x = np.arange(1024, dtype=np.float32)
    assert np.array_equal(build.run({"gm:x": x, "gm:y": x}), np.concatenate([3 * x[:256], x[256:]]))


def test_an_atomic_add_to_bytes_that_nobody_wrote():
    build = (
        Build()
        .add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0))
        .add("tstore_add", "MTE3", (1, 9), also_read=("dst",), src=ub(0), dst=gm("y"))
    )
    with pytest.raises(PoisonError, match=r"'tstore_add' .* operand 'dst' in gm:y, byte 0"):
        build.run()


def test_what_is_only_written_comes_as_noise():
    build = Build().add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0))
    seen = []
    build.run(meanings={"tload": lambda a, _: (seen.append(a["dst"]), {"dst": a["src"]})[1]})
    assert (seen[0].shape, seen[0].dtype, seen[0].flags.writeable) == ((4, 64), np.float32, False)
    assert not np.array_equal(seen[0], np.zeros((4, 64)))


def test_out_of_bounds_at_its_line():
    with pytest.raises(
        BoundsError, match=r"k\.py:1: 'tload' on aiv0\.0: operand 'src' \(4x64xf32\) reaches, at its index \[3, 0\], element 1024 of gm:x"
    ):
        Build().add("tload", "MTE2", (0, 1), src=gm("x", 832), dst=ub(0)).run()


def test_an_op_without_meaning():
    with pytest.raises(SimulationError, match=r"k\.py:1: 'tnew' has no numpy meaning"):
        Build().add("tnew", "V", (0, 1), dst=ub(0)).run()


@pytest.mark.parametrize(
    ("result", "got"), [(np.zeros((4, 64)), "4x64 float64"), (np.zeros(256, np.float32), "256 float32"), (None, "NoneType")]
)
def test_a_meaning_must_return_the_operand(result, got):
    with pytest.raises(SimulationError, match=f"'tload' must return 4x64 float32 for operand 'dst'; got {got}"):
        Build().add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0)).run(meanings={"tload": lambda *_: {"dst": result}})


def test_a_command_that_writes_nothing_still_reads():
    with pytest.raises(PoisonError, match=r"'tprint' .* nobody has written"):
        Build().add("tprint", "S", (0, 1), src=ub(0)).run()


# the adverse order


class Adverse:
    """A program of streams written as flags and work; `run` gives gm:y."""

    def __init__(self, cores=(AIV,), arch="a3"):
        self.streams = {core: Stream(core, []) for core in cores}
        self.program = Program("k", arch, list(self.streams.values()), [], {"gm:x": 4096, "gm:y": 4096})

    def add(self, kind, pipe, op="", core=AIV, flag=0, peer="", also_read=(), line=None, **operands):
        if line is None:
            attributes = {"atomic": True} if op == "tstore_add" else {"drained": True} if op == "drained" else {}
            op = "tadds" if op == "drained" else op
            self.program.sites.append(
                Site(
                    len(self.program.sites), kind, op or kind, pipe, f"k.py:{len(self.program.sites) + 1}", peer=peer, attributes=attributes
                )
            )
        reads = (*(("src",) if "src" in operands else ()), *also_read)
        site = self.program.sites[line - 1 if line else -1]
        self.streams[core].commands.append(Command(site, flag, (), tuple(operands.items()), reads, ("dst",) if "dst" in operands else ()))
        return self

    def load(self, slot, offset=0, core=AIV):
        return self.add("work", "MTE2", "tload", core, src=gm("x", offset), dst=ub(slot))

    def adds(self, source, target, op="tadds"):
        return self.add("work", "V", op, src=ub(source), scalar=1, dst=ub(target))

    def store(self, slot, offset=0, core=AIV):
        return self.add("work", "MTE3", "tstore", core, src=ub(slot), dst=gm("y", offset))

    def sync(self, pipe, peer, core=AIV):
        return self.set(pipe, peer, core).wait(pipe, peer, core)

    def set(self, pipe, peer, core=AIV):
        return self.add("set", pipe, core=core, peer=peer)

    def wait(self, pipe, peer, core=AIV):
        return self.add("wait", peer, core=core, peer=pipe)

    def barrier(self, pipe):
        return self.add("barrier", pipe)

    def run(self, inputs=None):
        memories = Memories({"ub": 16384}, self.program.memories, inputs or {"gm:x": np.arange(1024, dtype=np.float32)})
        execute_adverse(self.program, memories, MEANINGS, needs_barrier)
        return memories.array("gm:y", np.float32, (1024,))


def ring(rounds, ahead):
    """Load, add, store over one buffer each, with the flags back unless `ahead` names the pipe that runs ahead."""
    b = Adverse()
    backs = [(pipe, peer) for pipe, peer in (("V", "MTE2"), ("MTE3", "V")) if peer != ahead]
    for back in backs:
        b.set(*back)
    for k in range(rounds):
        if ahead != "MTE2":
            b.wait("V", "MTE2")
        b.load(0, 256 * k).sync("MTE2", "V")
        if ahead != "V":
            b.wait("MTE3", "V")
        b.adds(0, 1)
        if ahead != "MTE2":
            b.set("V", "MTE2")
        b.sync("V", "MTE3").store(1, 256 * k)
        if ahead != "V":
            b.set("MTE3", "V")
    for back in backs:
        b.wait(*back)
    return b


def test_adverse_order_of_a_synchronised_loop_gives_the_right_values():
    assert np.array_equal(ring(4, "").run(), np.arange(1024) + 1)


@pytest.mark.parametrize(("ahead", "reader"), [("MTE2", "tadds"), ("V", "tstore")])
def test_adverse_order_lets_the_next_round_overwrite_what_is_still_read(ahead, reader):
    with pytest.raises(PoisonError, match=f"'{reader}' on aiv0"):
        ring(4, ahead).run()


def test_adverse_order_shows_a_missing_flag():
    with pytest.raises(PoisonError, match=r"k\.py:2: 'tadds' .* in flight"):
        Adverse().load(0).adds(0, 1).run()


def test_adverse_order_shows_an_overwritten_operand():
    build = Adverse().load(0).sync("MTE2", "MTE3").store(0).load(0, 256).barrier("ALL")
    with pytest.raises(PoisonError, match=r"'tstore' .* operand 'src' in ub, byte 0 .* while a write to it is in flight"):
        build.run()


def test_adverse_order_shows_an_operand_that_was_overwritten_and_committed():
    build = Adverse().load(0).sync("MTE2", "MTE3").store(0).load(1, 256).sync("MTE2", "V").adds(1, 0).sync("V", "S").barrier("ALL")
    with pytest.raises(PoisonError, match=r"k\.py:4: 'tstore' on aiv0\.0: operand 'src' in ub is overwritten while it may still be read"):
        build.run()


@pytest.mark.parametrize("between", ["barrier", "flags", "drained"])
def test_adverse_order_and_the_vector_pipe(between):
    build = Adverse().load(0).sync("MTE2", "V").adds(0, 1, "drained" if between == "drained" else "tadds")
    if between == "barrier":
        build.barrier("V")
    elif between == "flags":
        build.sync("V", "S")
    assert build.adds(1, 2).sync("V", "MTE3").store(2).run()[7] == 9


def test_adverse_order_shows_a_missing_vector_barrier():
    build = Adverse().load(0).sync("MTE2", "V").adds(0, 1).adds(1, 2)
    with pytest.raises(PoisonError, match=r"k\.py:5: 'tadds' .* in flight"):
        build.run()
    build.program.arch = "a5"
    build.run()


def test_adverse_order_commits_unordered_writes_the_other_way_round():
    build = Adverse().load(0).load(1, 256).barrier("ALL").store(0).add("work", "FIX", "tstore", src=ub(1), dst=gm("y"))
    assert build.run()[0] == 0  # in program order it would be 256


def test_adverse_order_across_cores():
    aic = Core("aic", 0)

    def build(synced):
        b = Adverse((aic, AIV)).load(0, core=aic).sync("MTE2", "MTE3", aic).store(0, core=aic)
        if synced:
            b.add("signal", "MTE3", core=aic).add("await", "S")
        return b.add("work", "MTE2", "tload", src=gm("y"), dst=ub(0)).sync("MTE2", "MTE3").store(0, 256)

    assert build(True).run()[256 + 7] == 7
    with pytest.raises(PoisonError, match=r"'tload' on aiv0\.0 reads operand 'src' in gm:y, byte 0"):
        build(False).run()


def test_adverse_order_of_atomic_adds():
    build = Adverse().load(0).sync("MTE2", "MTE3")
    for _ in range(3):
        build.add("work", "MTE3", "tstore_add", also_read=("dst",), src=ub(0), dst=gm("y"))
    x = np.arange(1024, dtype=np.float32)
    assert build.run({"gm:x": x, "gm:y": 0 * x})[5] == 15


def test_adverse_order_of_many_commands_in_flight():
    build = Adverse()
    for k in range(200):
        build.load(k % 16)
    build.sync("MTE2", "MTE3").store(3)
    assert build.run()[5] == 5


def test_adverse_order_deadlock():
    with pytest.raises(DeadlockError, match=r"k\.py:2: aiv0\.0 V, 'wait' waits for flag MTE2 -> V id 0"):
        Adverse().load(0).wait("MTE2", "V").adds(0, 1).run()
