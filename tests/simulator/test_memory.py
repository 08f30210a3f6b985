"""Byte-addressed memories: every layout reads back what was written where the layout says, and poison is exact to the byte."""

import numpy as np
import pytest

from ptoc.dialect.dtypes import DTYPES
from ptoc.dialect.errors import ArgumentError, BoundsError, PoisonError, SimulationError
from ptoc.dialect.layout import TileRef, ViewRef, byte_indices
from ptoc.simulator.memory import Memories
from ptoc.simulator.program import Core, Site

CORE = Core("aiv", 0)
SITE = Site(0, "work", "tadd", "V", "k.py:7")


def tile(address=0, dtype="f32", rows=16, cols=16, layout=("row_major", "none_box", 512), row=0, col=0, v=None, memory="ub"):
    v_rows, v_cols = v or (rows - row, cols - col)
    return TileRef(memory, address, dtype, rows, cols, *layout, row, col, v_rows, v_cols)


def memories(**kwargs):
    return Memories({"ub": 64 * 1024, "l1": 64 * 1024}, kwargs.get("sizes", {"gm:x": 4096}), kwargs.get("inputs"))


LAYOUTS = [
    (blayout, slayout, fractal)
    for blayout in ("row_major", "col_major")
    for slayout, fractal in (("none_box", 512), ("row_major", 512), ("col_major", 512), ("row_major", 1024))
]
WINDOWS = [
    (0, 0, (64, 64)),
    (16, 32, (32, 32)),
    (16, 32, (16, 32)),
    (3, 5, (7, 9)),
    (0, 0, (33, 64)),
    (0, 16, (64, 17)),
    (5, 0, (40, 64)),
    (0, 0, (1, 64)),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dtype", ["f32", "f16", "i8", "bf16"])
def test_a_write_touches_exactly_the_bytes_of_its_layout(layout, window, dtype):
    row, col, v = window
    ref = tile(512, dtype, 64, 64, layout, row, col, v)
    mem = memories()
    values = np.arange(v[0] * v[1]).reshape(v).astype(DTYPES[dtype].numpy)
    mem.write(CORE, ref, values, SITE)
    assert mem.read(CORE, ref, SITE).tobytes() == values.tobytes()
    space = mem._space(CORE, "ub", SITE)
    expected = np.full(space.data.size, True)
    size = DTYPES[dtype].bytes
    places = byte_indices(ref)[..., None] + np.arange(size)
    expected[places.reshape(-1)] = False
    assert np.array_equal(space.poison() != 0, expected)
    assert space.data[places].tobytes() == values.tobytes()


@pytest.mark.parametrize("strides", [(16, 1), (1, 16), (32, 2)])
def test_views_read_and_write_through_their_strides(strides):
    data = np.arange(1024, dtype=np.float32)
    mem = memories(inputs={"gm:x": data})
    ref = ViewRef("gm:x", 8, "f32", (4, 8), strides)
    expected = data[8 + np.arange(4)[:, None] * strides[0] + np.arange(8) * strides[1]]
    assert np.array_equal(mem.read(CORE, ref, SITE), expected)
    mem.write(CORE, ref, expected * 2, SITE)
    assert np.array_equal(mem.read(CORE, ref, SITE), expected * 2)
    assert mem.array("gm:x", np.float32, (1024,)).sum() == data.sum() + expected.sum()


def test_reading_what_nobody_wrote_names_byte_and_element():
    mem = memories()
    mem.write(CORE, tile(v=(16, 8)), np.zeros((16, 8), np.float32), SITE)
    with pytest.raises(
        PoisonError, match=r"k\.py:7: 'tadd' on aiv0\.0 reads operand 'src' in ub, byte 32 \(element \[0, 8\]\), that nobody has written"
    ):
        mem.read(CORE, tile(), SITE, "src")
    mem.read(CORE, tile(v=(16, 8)), SITE, "src")


def test_bytes_in_flight_are_poison_until_the_last_writer_commits():
    mem = memories()
    first, second = mem.region(CORE, tile(), SITE, "a"), mem.region(CORE, tile(512, rows=8), SITE, "b")
    first.begin()
    second.begin()
    first.end()
    first.commit(np.ones((16, 16), np.float32))
    with pytest.raises(PoisonError, match=r"byte 512 \(element \[8, 0\]\), while a write to it is in flight"):
        first.read(SITE, "a")
    second.end()
    second.commit(np.full((8, 16), 2, np.float32))
    assert first.read(SITE, "a").sum() == 128 + 256


def test_read_arrays_cannot_be_written():
    mem = memories(inputs={"gm:x": np.zeros(1024, np.float32)})
    array = mem.read(CORE, ViewRef("gm:x", 0, "f32", (4,), (1,)), SITE)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_outside_of_a_tensor():
    mem = memories()
    with pytest.raises(
        BoundsError,
        match=r"k\.py:7: 'tadd' on aiv0\.0: operand 'src' \(2x8xf32\) reaches, at its index \[1, 4\], element 1024 of gm:x, which has 1024 elements",
    ):
        mem.read(CORE, ViewRef("gm:x", 1012, "f32", (2, 8), (8, 1)), SITE, "src")
    with pytest.raises(BoundsError, match=r"index \[0\], element -2 of gm:x"):
        mem.read(CORE, ViewRef("gm:x", -2, "f32", (8,), (1,)), SITE, "src")


def test_outside_of_an_on_chip_memory():
    with pytest.raises(BoundsError, match=r"reaches, at its index \[0, 8\], byte 65536 of ub, which has 65536 bytes"):
        memories().read(CORE, tile(65536 - 32), SITE, "src")


def test_unknown_memory():
    with pytest.raises(SimulationError, match=r"'tadd' uses memory 'l0a', which the run does not have; it has ub, l1, gm:x"):
        memories().read(CORE, tile(memory="l0a"), SITE)


def test_cores_have_their_own_on_chip_memories():
    mem = memories()
    mem.write(CORE, tile(), np.ones((16, 16), np.float32), SITE)
    with pytest.raises(PoisonError, match=r"aiv0\.1"):
        mem.read(Core("aiv", 0, 1), tile(), SITE)


def test_inputs_must_fit():
    with pytest.raises(ArgumentError, match="the input for gm:x has 8192 bytes; the program uses 4096"):
        memories(inputs={"gm:x": np.zeros(2048, np.float32)})
    with pytest.raises(ArgumentError, match="no global memory is named gm:y; the program has gm:x"):
        memories(inputs={"gm:y": np.zeros(4)})


def test_a_short_input_leaves_poison():
    mem = memories(inputs={"gm:x": np.zeros(1000, np.float32)})
    assert mem.unwritten("gm:x") == 96
    mem.write(CORE, ViewRef("gm:x", 1000, "f32", (4,), (1,)), np.ones(4, np.float32), SITE)
    assert mem.unwritten("gm:x") == 80
    assert memories(inputs={"gm:x": np.zeros(1024, np.float32)}).unwritten("gm:x") == 0


def test_an_empty_region_reads_nothing():
    assert memories().read(CORE, tile(v=(0, 16)), SITE).shape == (0, 16)
