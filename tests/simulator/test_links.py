"""Sends and receives over the links of a mesh: values, time, back-pressure, and what is wrong, in every engine."""

import json
from pathlib import Path

import numpy as np
import pytest

import ptoc
from ptoc import L1, f16, f32
from ptoc.dialect.errors import CheckError, DeadlockError, NotSupportedError, SimulationError, SyncError
from ptoc.machine.chip import load_chip
from ptoc.machine.hazards import needs_barrier
from ptoc.machine.mesh import CORE_FLAGS
from ptoc.simulator import compiled
from ptoc.simulator.check import check
from ptoc.simulator.elaborate import elaborate
from ptoc.simulator.engine import Costs, run, run_reference, run_repeating
from ptoc.simulator.plan import plan
from ptoc.simulator.trace import trace_events

CHIP = "mesh_cubes"
SLOTS = load_chip(CHIP).mesh().slots


SENDS = next(n for n, text in enumerate(Path(__file__).read_text().split("\n"), 1) if text.strip().startswith("ptoc.send(a, WAY"))
"""The line at which `shift` sends."""


@ptoc.kernel
def shift(x: ptoc.Tensor["N", 64, f32], y: ptoc.Out["N", 64, f32], N, *, AXIS: int = 0, WAY: str = "E"):
    """Rank r gets the row of the rank that is one step before it; the first keeps its own."""
    if AXIS:
        ptoc.return_if(ptoc.pe_idx() != 0)
    rank = ptoc.cube_idx() if AXIS else ptoc.pe_idx()
    row = rank if WAY == "E" else N - 1 - rank
    a, b = ptoc.tile([1, 64], f32), ptoc.tile([1, 64], f32)
    ptoc.load(a, x[row : row + 1, :])
    with ptoc.when(row < N - 1):
        ptoc.send(a, WAY, axis=AXIS)
    with ptoc.when(row > 0):
        ptoc.recv(b, "W" if WAY == "E" else "E", axis=AXIS)
        ptoc.store(y[row : row + 1, :], b)
    with ptoc.when(row == 0):
        ptoc.store(y[row : row + 1, :], a)


@shift.reference
def shifted(x):
    return np.concatenate([x[:1], x[:-1]])


@ptoc.kernel
def stream(x: ptoc.Tensor["M", 64, f32], y: ptoc.Out["M", 64, f32], M, *, TAKEN: int = -1, SLOW: int = 0):
    """Block 0 sends M rows to block 1, which stores them; it takes TAKEN of them where that is not -1, each after SLOW commands of its own."""
    t, u = ptoc.tile([1, 64], f32), ptoc.tile([1, 64], f32)
    with ptoc.when(ptoc.pe_idx() == 0):
        for i in ptoc.range(M, stages=2):
            ptoc.load(t, x[i : i + 1, :])
            ptoc.send(t, "E")
    with ptoc.when(ptoc.pe_idx() == 1):
        for i in ptoc.range(M if TAKEN < 0 else TAKEN):
            ptoc.recv(u, "W")
            for _ in range(SLOW):
                ptoc.exp(u, u)
            ptoc.store(y[i : i + 1, :], u)


stream.reference(lambda x: x)


def planned(kernel, cores, chip=CHIP, **given):
    return ptoc.run(kernel, chip, cores=cores, values=False, **given).timeline.plan


@pytest.mark.parametrize(("axis", "way", "ranks", "blocks"), [(0, "E", 2, 2), (0, "W", 8, 8), (1, "E", 3, 24), (1, "W", 2, 16)])
def test_rows_move_one_rank_on(axis, way, ranks, blocks):
    result = ptoc.run(shift, CHIP, N=ranks, cores=blocks, AXIS=axis, WAY=way, check=True)
    assert result.passed
    silent = [s for s in result.program.streams if axis and s.core.block % 8]
    assert len(silent) == (blocks - ranks if axis else 0)
    assert not any(command.site.kind == "work" for s in silent for command in s.commands)


def test_cubes_have_links_to_the_north_and_south():
    @ptoc.kernel
    def down(x: ptoc.Tensor[1, 64, f32], y: ptoc.Out[1, 64, f32]):
        ptoc.return_if(ptoc.pe_idx() != 0)
        t = ptoc.tile([1, 64], f32)
        with ptoc.when(ptoc.cube_idx() == 3):
            ptoc.load(t, x)
            ptoc.send(t, "S", axis=1)
            ptoc.recv(t, "S", axis=1)
            ptoc.store(y, t)
        with ptoc.when(ptoc.cube_idx() == 64 + 3):
            ptoc.recv(t, "N", axis=1)
            ptoc.exp(t, t)
            ptoc.send(t, "N", axis=1)

    down.reference(lambda x: np.exp(x))
    assert ptoc.run(down, CHIP, cores=8 * 68, check=True).passed


def test_tiles_of_a_cube_core_travel_in_their_layout():
    @ptoc.kernel
    def product(a: ptoc.Tensor[32, 64, f16], b: ptoc.Tensor[48, 64, f16], c: ptoc.Out[32, 48, f32]):
        a1, b1 = ptoc.tile([32, 64], f16, L1), ptoc.tile([64, 48], f16, L1, layout="zn")
        with ptoc.cube():
            with ptoc.when(ptoc.pe_idx() == 0):
                ptoc.load(b1, b.T[:, :])
                ptoc.send(b1, "E")
            with ptoc.when(ptoc.pe_idx() == 1):
                a0, b0 = ptoc.tile([32, 64], f16, ptoc.L0A), ptoc.tile([64, 48], f16, ptoc.L0B)
                c0 = ptoc.tile([32, 48], f32, ptoc.L0C)
                ptoc.load(a1, a)
                ptoc.recv(b1, "W")
                ptoc.mov(a0, a1)
                ptoc.mov(b0, b1)
                ptoc.matmul(c0, a0, b0)
                ptoc.store(c, c0)

    product.reference(lambda a, b: a @ b.T)
    assert ptoc.run(product, CHIP, cores=2, check=True).passed


def test_a_full_buffer_holds_the_sender():
    quick, slow = (ptoc.run(stream, CHIP, M=SLOTS + 8, cores=2, SLOW=n, check=True) for n in (0, 40))
    assert quick.passed
    program, timeline = slow.program, slow.timeline
    sends, takes = ([n for n, c in enumerate(s.commands) if c.site.kind == "work" and c.site.op == op] for s, op in zip(program.streams, ("pto.tsend", "pto.trecv")))
    waits = [c for c in program.streams[0].commands if c.site.kind == "await"]
    assert len(sends) == len(takes) == SLOTS + 8
    assert len(waits) == 8
    assert all(timeline.start[0][sends[n + SLOTS]] >= timeline.complete[1][takes[n]] for n in range(8))
    assert timeline.start[0][sends[SLOTS - 1]] < timeline.start[1][takes[SLOTS - 1]]


def test_a_message_takes_as_long_as_its_link():
    result = ptoc.run(stream, CHIP, M=20, cores=2)
    work = [n for n, c in enumerate(result.program.streams[0].commands) if c.site.op == "pto.tsend" and c.site.kind == "work"]
    start = result.timeline.start[0][work]
    assert np.diff(start)[5:].min() >= 10**6 * (50 + 256 / 64) / 1.65 - 1


@pytest.mark.parametrize(("kernel", "cores", "given"), [(shift, 8, {"N": 8}), (shift, 32, {"N": 4, "AXIS": 1}), (stream, 2, {"M": 30, "SLOW": 3}), (stream, 2, {"M": 30})])
def test_engines_agree(kernel, cores, given):
    of_run = planned(kernel, cores, **given)
    ways = [run_reference(of_run), run(of_run, compiled=False)]
    if compiled.can_compile():
        ways.append(run(of_run, compiled=True))
    for other in ways[1:]:
        for column in ("start", "end", "complete"):
            assert all(np.array_equal(a, b) for a, b in zip(getattr(ways[0], column), getattr(other, column)))


@pytest.mark.parametrize("slow", [0, 9])
def test_loops_over_links_are_left_out_exactly(tmp_path, slow):
    path = tmp_path / "few_slots.yaml"
    slots = "{value: 4, unit: count, source: a test, kind: assumed}"
    path.write_text(f"base: {CHIP}\nname: few_slots\ndescription: a shorter buffer\nvalidated: false\nmesh:\n  slots: {slots}\n")
    of_run = planned(stream, 2, str(path), M=6000, SLOW=slow)
    short, whole = run_repeating(of_run), run(of_run, compiled=False)
    assert short is not None
    assert short.plan is of_run
    assert short.makespan == whole.makespan


def test_values_and_time_alone_take_the_same_time():
    for axis, cores in ((0, 4), (1, 32)):
        assert ptoc.run(shift, CHIP, N=4, cores=cores, AXIS=axis).timeline.makespan == planned_makespan(4, cores, axis)


def planned_makespan(ranks, cores, axis):
    return ptoc.run(shift, CHIP, N=ranks, cores=cores, AXIS=axis, values=False).timeline.makespan


def test_only_blocks_without_links_stand_for_each_other():
    of_run = planned(shift, 32, N=4, AXIS=1)
    assert of_run.linked == {0, 8, 16, 24}
    assert len(of_run.streams) == 4 + 1


def program_of(kernel, cores, extents, **parameters):
    """The streams of a run, without its tensors."""
    ready = ptoc.compile(kernel, CHIP, **parameters)
    return elaborate(ready.simulator_ir, ready.name, extents, cores)


def test_sending_more_than_is_received_and_the_buffer_holds_is_a_deadlock():
    message = r"test_links.py:\d+: aiv0.0 LINK_E, 'tsend' waits for a free slot of the buffer to the east \(axis 0\): aiv1.0 has no signal of it left"
    with pytest.raises(DeadlockError, match=message):
        ptoc.run(stream, CHIP, M=12, cores=2, TAKEN=3)
    program = program_of(stream, 2, {"M": 12, "x": 3072, "y": 3072}, TAKEN=3)
    for engine in (run_reference, run):
        with pytest.raises(DeadlockError, match=message):
            engine(plan(program, lambda command: (1000, 2000, None), Costs()))
    report = check(program, needs_barrier)
    assert "waits for a free slot of the buffer to the east" in report.deadlock


def test_receiving_what_nobody_sends_is_a_deadlock():
    message = r"'trecv' waits for a message from the west \(axis 0\): aiv0.0 has no signal of it left"
    with pytest.raises(DeadlockError, match=message):
        ptoc.run(stream, CHIP, M=2, cores=2, TAKEN=3, inputs={"x": np.zeros((2, 64), np.float32)})


def test_messages_that_nobody_receives_are_told():
    message = r"test_links.py:\d+: 'tsend' on aiv0.0: 2 messages to aiv1.0 are never received: add as many trecv there, or send less"
    with pytest.raises(SyncError, match=message):
        ptoc.run(stream, CHIP, M=3, cores=2, TAKEN=1)
    with pytest.raises(CheckError, match=message):
        ptoc.run(stream, CHIP, M=3, cores=2, TAKEN=1, check=True)
    program = program_of(stream, 2, {"M": 3, "x": 768, "y": 768}, TAKEN=1)
    for engine in (run_reference, run):
        with pytest.raises(SyncError, match=message):
            engine(plan(program, lambda command: (1000, 2000, None), Costs()))


@pytest.mark.parametrize(
    ("cores", "given", "message"),
    [
        (9, {"N": 9}, "a link that is not there: PE 7 of cube 0 has no neighbour to the east along axis 0"),
        (2, {"N": 3}, "a link to an element that runs nothing: block 2, of 2 that were launched"),
        (8, {"N": 2, "AXIS": 1}, "a link to an element that runs nothing: block 8, of 8 that were launched"),
    ],
)
@pytest.mark.parametrize("values", [True, False])
def test_a_send_without_a_neighbour_is_told_at_its_line(cores, given, message, values):
    with pytest.raises(SimulationError, match=rf"test_links.py:{SENDS}: {message}"):
        ptoc.run(shift, CHIP, cores=cores, values=values, **given)


@pytest.mark.parametrize("values", [True, False])
def test_a_receive_without_a_neighbour_is_told_at_its_line(values):
    @ptoc.kernel
    def first(x: ptoc.Out[1, 64, f32]):
        t = ptoc.tile([1, 64], f32)
        ptoc.recv(t, "W")
        ptoc.store(x, t)

    with pytest.raises(SimulationError, match=r"test_links.py:\d+: a link that is not there: PE 0 of cube 0 has no neighbour to the west"):
        ptoc.run(first, CHIP, values=values)


def test_other_elements_of_a_cube_have_no_link_to_other_cubes():
    @ptoc.kernel
    def all_of_them(x: ptoc.Tensor[1, 64, f32], y: ptoc.Out[1, 64, f32]):
        t = ptoc.tile([1, 64], f32)
        ptoc.load(t, x)
        with ptoc.when(ptoc.cube_idx() == 0):
            ptoc.send(t, "E", axis=1)
        ptoc.store(y, t)

    with pytest.raises(SimulationError, match="PE 1 of cube 0 has no neighbour along axis 1: links between cubes end at PE 0"):
        ptoc.run(all_of_them, CHIP, cores=16)


def test_vector_core_1_has_no_link():
    @ptoc.kernel
    def halves(x: ptoc.Tensor[1, 64, f32], y: ptoc.Out[1, 64, f32]):
        with ptoc.cube():
            ptoc.barrier("ALL")
        with ptoc.vector():
            t = ptoc.tile([1, 64], f32)
            ptoc.load(t, x)
            with ptoc.when(ptoc.pe_idx() == 0):
                ptoc.send(t, "E")
            ptoc.store(y, t)

    with pytest.raises(SimulationError, match="the links of an element belong to its cube core and to vector core 0; vector core 1 uses one"):
        ptoc.run(halves, CHIP, cores=2)


@pytest.mark.parametrize("values", [True, False])
def test_one_kind_of_core_sends_in_a_direction(values):
    @ptoc.kernel
    def both(x: ptoc.Tensor[16, 64, f16], y: ptoc.Out[16, 64, f16]):
        for section, memory in ((ptoc.cube, L1), (ptoc.vector, ptoc.UB)):
            with section():
                t = ptoc.tile([16, 64], f16, memory)
                ptoc.load(t, x)
                ptoc.send(t, "E")

    with pytest.raises(NotSupportedError, match=r"'tsend': the cube core and the vector core both send over one link \(test_links.py:\d+ is the other\)"):
        ptoc.run(both, CHIP, values=values)


def test_a_chip_without_links_and_a_message_that_is_too_long():
    with pytest.raises(NotSupportedError, match=r"test_links.py:\d+: 'pto.get_mesh_idx': the chip has no mesh; choose one that has links with --chip"):
        ptoc.run(shift, "ascend950pr", N=2, cores=2)

    @ptoc.kernel
    def long(x: ptoc.Tensor[128, 160, f32], y: ptoc.Out[128, 160, f32]):
        t = ptoc.tile([128, 160], f32)
        ptoc.load(t, x)
        ptoc.send(t, "E")
        ptoc.store(y, t)

    with pytest.raises(NotSupportedError, match=r"'pto.tsend': a message is at most 65536 bytes, one slot of the receiver's buffer; got 81920 \(128x160xf32\)"):
        ptoc.run(long, CHIP)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: ptoc.send(t, "NE"), "test_links.py:\\d+: send: the direction must be one of E W N S; got 'NE'"),
        (lambda t: ptoc.recv(t, "W", axis=2), r"recv: axis must be 0 \(elements of a cube\) or 1 \(cubes\); got 2"),
        (lambda t: ptoc.send(3, "E"), "send: a tile is expected; got 3"),
    ],
)
def test_wrong_calls_are_told(call, message):
    @ptoc.kernel
    def broken(x: ptoc.Tensor[1, 64, f32]):
        call(ptoc.tile([1, 64], f32))

    with pytest.raises(ptoc.ParseError, match=message):
        broken.trace()


def test_links_are_tracks_of_the_trace(tmp_path):
    result = ptoc.run(stream, CHIP, M=SLOTS + 2, cores=2)
    events = list(trace_events(result.timeline, result.program))
    tracks = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    sent = [e for e in events if e["ph"] == "X" and e["name"] == "pto.tsend" and e["cat"] == "work"]
    assert {tracks[e["pid"], e["tid"]] for e in sent} == {"LINK_E"}
    assert len(sent) == SLOTS + 2
    arrows = [e for e in events if e["ph"] in "sf" and e["name"].startswith("link")]
    assert len(arrows) == 2 * (SLOTS + 2 + 2)
    assert {(e["pid"], e["ph"]) for e in arrows} == {(0, "s"), (1, "f"), (1, "s"), (0, "f")}
    assert json.dumps(events)


def test_flags_of_links_are_none_that_a_program_may_name():
    program = program_of(shift, 2, {"N": 2, "x": 512, "y": 512})
    flags = {command.flag for s in program.streams for command in s.commands if command.site.link}
    assert flags
    assert min(flags) >= CORE_FLAGS
