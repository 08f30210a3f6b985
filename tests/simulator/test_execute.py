"""Values in the scheduled order: what is read when, what is poison, and what a meaning must return."""

from types import SimpleNamespace

import numpy as np
import pytest
from ptoc.dialect.errors import BoundsError, PoisonError, SimulationError
from ptoc.dialect.layout import TileRef, ViewRef
from ptoc.simulator.execute import execute
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

    def run(self, inputs=None, meanings=MEANINGS, barriers=()):
        memories = Memories({"ub": 16384}, self.program.memories, inputs or {"gm:x": np.arange(1024, dtype=np.float32)})
        execute(self.program, self.timeline, memories, meanings, lambda arch, pipe, hazard: (arch, pipe) in barriers)
        return memories.array("gm:y", np.float32, (1024,))


def test_load_compute_store():
    build = Build().add("tload", "MTE2", (0, 10), src=gm("x"), dst=ub(0)).add("tadds", "V", (10, 20), src=ub(0), scalar=2, dst=ub(1))
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
    assert build.run()[5] == 7
    with pytest.raises(PoisonError, match=r"k\.py:3: .* in flight"):
        build.run(barriers={("a3", "V")})


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
        build.add("tload", "MTE2", (0, 1), core, src=gm("x"), dst=ub(0)).add("tstore_add", "MTE3", (1, 9), core, also_read=("dst",), src=ub(0), dst=gm("y"))
    x = np.arange(1024, dtype=np.float32)
    assert np.array_equal(build.run({"gm:x": x, "gm:y": x}), np.concatenate([3 * x[:256], x[256:]]))


def test_an_atomic_add_to_bytes_that_nobody_wrote():
    build = Build().add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0)).add("tstore_add", "MTE3", (1, 9), also_read=("dst",), src=ub(0), dst=gm("y"))
    with pytest.raises(PoisonError, match=r"'tstore_add' .* operand 'dst' in gm:y, byte 0"):
        build.run()


def test_what_is_only_written_comes_as_noise():
    build = Build().add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0))
    seen = []
    build.run(meanings={"tload": lambda a, _: (seen.append(a["dst"]), {"dst": a["src"]})[1]})
    assert (seen[0].shape, seen[0].dtype, seen[0].flags.writeable) == ((4, 64), np.float32, False)
    assert not np.array_equal(seen[0], np.zeros((4, 64)))


def test_out_of_bounds_at_its_line():
    with pytest.raises(BoundsError, match=r"k\.py:1: 'tload' on aiv0\.0: operand 'src' \(4x64xf32\) reaches, at its index \[3, 0\], element 1024 of gm:x"):
        Build().add("tload", "MTE2", (0, 1), src=gm("x", 832), dst=ub(0)).run()


def test_an_op_without_meaning():
    with pytest.raises(SimulationError, match=r"k\.py:1: 'tnew' has no numpy meaning"):
        Build().add("tnew", "V", (0, 1), dst=ub(0)).run()


@pytest.mark.parametrize(("result", "got"), [(np.zeros((4, 64)), "4x64 float64"), (np.zeros(256, np.float32), "256 float32"), (None, "NoneType")])
def test_a_meaning_must_return_the_operand(result, got):
    with pytest.raises(SimulationError, match=f"'tload' must return 4x64 float32 for operand 'dst'; got {got}"):
        Build().add("tload", "MTE2", (0, 1), src=gm("x"), dst=ub(0)).run(meanings={"tload": lambda *_: {"dst": result}})


def test_a_command_that_writes_nothing_still_reads():
    with pytest.raises(PoisonError, match=r"'tprint' .* nobody has written"):
        Build().add("tprint", "S", (0, 1), src=ub(0)).run()
