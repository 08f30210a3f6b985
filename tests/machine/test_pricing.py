"""Prices reproduce the measured points that the laws were fitted to, and compose as an op's instructions do."""

import pytest

from ptoc.dialect.errors import ChipError
from ptoc.machine.chip import load_chip
from ptoc.machine.l2 import crowding_of
from ptoc.machine.pricing import Price, item_cycles, price, sync_costs
from ptoc.machine.work import Cube, Link, Scalar, Sdma, Taken, Transfer, Vector

B1 = load_chip("ascend910b1")
KIB = 1024


def cycles(fs):
    """fs in cycles of 1/1.8 GHz."""
    return fs * 1.8e-6


# Occupancy in a loop of one instruction.  Source: Ascend/mskpp 065b75c, resource910b.cpp, tables 910b1 (fit errors below 0.3 % except where said).
@pytest.mark.parametrize(("instruction", "dtype", "repeats", "measured"), [
    ("vadd", "f32", 16, 32.03), ("vadd", "f32", 1, 3.09), ("vadds", "f32", 16, 16.03), ("vmul", "f16", 64, 128.07), ("vexp", "f32", 16, 32.04),
    ("vexp", "f16", 16, 62.34), ("vdiv", "f16", 32, 132.08), ("vdiv", "f32", 16, 64.04), ("vcadd", "f32", 14, 42.04), ("vcadd", "f16", 16, 112.10),
    ("vcmax", "f32", 16, 112.04), ("vcgmax", "f32", 16, 16.03), ("vmrgsort4", "f32", 16, 262.03), ("vgather", "f32", 16, 195.02),
    ("vgather", "f16", 1, 27.03), ("vreducev2", "ui32", 12, 168.03), ("vsel", "f32", 16, 32.04), ("vmla", "f32", 16, 96.04),
    ("vconv_f322bf16r", "f32", 16, 16.03), ("vbrcb", "ui32", 16, 16.03), ("vsqrt", "f16", 16, 64.04), ("vgatherb", "ui16", 32, 70.12),
])  # fmt: skip
def test_vector_throughput(instruction, dtype, repeats, measured):
    assert cycles(price(B1, (Vector(instruction, dtype, repeats),)).occupancy) == pytest.approx(measured, rel=0.03)


# Latency of one isolated instruction, f32.  Source: pto-isa 3186c381, cce_costmodel_vector_compute.hpp, fits on a 910B3.
@pytest.mark.parametrize(("instruction", "repeats", "measured"), [
    ("vadd", 16, 2.11 * 16 + 24), ("vmul", 8, 2.3 * 8 + 25), ("vdiv", 32, 4.03 * 32 + 31), ("vexp", 128, 287), ("vexp", 1, 33),
    ("vln", 64, 2.0 * 64 + 33), ("vmax", 64, 2.01 * 64 + 23), ("vmuls", 64, 64 + 26), ("vrsqrt", 16, 1.07 * 16 + 24), ("vlrelu", 64, 1.03 * 64 + 26),
])  # fmt: skip
def test_vector_latency(instruction, repeats, measured):
    assert cycles(price(B1, (Vector(instruction, "f32", repeats),)).latency) == pytest.approx(measured, rel=0.06)


# Transfers in a loop.  Source: Ascend/mskpp 065b75c, resource910b.cpp, tables 910b1: bandwidth turned into cycles at 1.8 GHz.
@pytest.mark.parametrize(("path", "kib", "measured"), [
    ("gm_to_l1", 32, 372.75), ("gm_to_l1", 128, 945.04), ("gm_to_l1", 512, 3356.36), ("gm_to_ub", 24, 534.25), ("gm_to_ub", 64, 1425.87),
    ("gm_to_ub", 186, 4057.95), ("ub_to_gm", 25, 398.39), ("ub_to_gm", 73, 1138.29), ("l0c_to_gm", 1, 82.61), ("l0c_to_gm", 31, 264.4),
    ("l0c_to_gm", 120, 994.95),
])  # fmt: skip
def test_transfer_throughput(path, kib, measured):
    assert cycles(price(B1, (Transfer(path, 1, kib * KIB),)).occupancy) == pytest.approx(measured, rel=0.04)


# The laws of L1 to L0, L1 to bias table and UB to UB, without the issue cost that a loop does not show.  Source: as above.
@pytest.mark.parametrize(("path", "size", "measured"), [
    ("l1_to_l0a", 64 * KIB, 2.1 + 64 * KIB / 263.3), ("l1_to_l0b", 32 * KIB, 2.1 + 32 * KIB / 131.6), ("l1_to_bias", KIB, 0.8 + KIB / 34.7),
    ("l1_to_scaling", KIB, 14.6 + KIB / 32.9), ("ub_to_ub", 120 * KIB, 120 * KIB / 262.8),
])  # fmt: skip
def test_on_chip_throughput(path, size, measured):
    occupancy, _ = item_cycles(B1, Transfer(path, 1, size))
    assert occupancy - float(B1.path_law(path).issue) == pytest.approx(measured, rel=1e-3)


def test_cube_law_and_padding():
    # 2.38 + m*k*n/4129 in a loop, 23.09 + m*k*n/4102 alone.  Source: mskpp, MMAD_FP16_FP16_FP32, 910b1 and 910b3.
    exact = price(B1, (Cube("f16", 128, 64, 128),))
    assert cycles(exact.occupancy) == pytest.approx(2.38 + 128 * 64 * 128 / 4129, rel=1e-3)
    assert cycles(exact.latency) == pytest.approx(23.09 + 128 * 64 * 128 / 4102, rel=0.01)
    assert price(B1, (Cube("f16", 113, 49, 127),)) == exact
    assert price(B1, (Cube("f32", 128, 57, 128),)).occupancy == price(B1, (Cube("f32", 128, 64, 128),)).occupancy > 3 * exact.occupancy


def test_cube_time_of_8192_cubed():
    # aic_mac_time 3082.16 us on 24 cores, base tile 128x256x64.  Source: asc-devkit 0da921b91, matmul_basic_api_high_performance.
    steps = 64 * 32 / 24 * 128
    assert steps * price(B1, (Cube("f16", 128, 64, 256),)).occupancy * 1e-9 == pytest.approx(3082.16, rel=0.01)


def test_mte1_time_of_8192_cubed():
    # aic_mte1_time 2553.06 us: within 7 % of what the issue cost of another GEMM gives.  Source: as above.
    steps = 64 * 32 / 24 * 128
    step = price(B1, (Transfer("l1_to_l0a", 1, 128 * 64 * 2), Transfer("l1_to_l0b", 1, 64 * 256 * 2)))
    assert steps * step.occupancy * 1e-9 == pytest.approx(2553.06, rel=0.07)


def test_mte2_of_a_flash_attention_tile():
    # 1.90 us per 256 columns on one core: K by the transposing law, V and P by the plain one, tiles of 32 KiB.  Source: pto-isa, torch_jit.
    tile = (Transfer("gm_to_l1_dn", 1, 32 * KIB),) * 2 + (Transfer("gm_to_l1", 1, 32 * KIB),) * 4
    assert price(B1, tile).occupancy * 1e-9 == pytest.approx(1.90, rel=0.01)


def test_small_bursts():
    # DataCopy of a 12288 x 12288 f16 matrix.  Source: asc-devkit 0da921b91, data_copy, MTE2 times.
    loads = 12288 * 192 / 48
    assert loads * price(B1, (Transfer("gm_to_ub", 1, 128),)).occupancy * 1e-9 == pytest.approx(548.161, rel=0.01)
    loads = 192 * 192 / 24
    assert loads * price(B1, (Transfer("gm_to_l1", 64, 128),), hit=0).occupancy * 1e-9 == pytest.approx(283.508, rel=0.02)


def test_transfers_that_miss():
    # Tile [64, 256]: 214.519 us of MTE2 for 384 loads at 32 B a cycle.  Source: as above.
    missed = price(B1, (Transfer("gm_to_l1", 64, 512),), hit=0.0)
    assert 384 * missed.occupancy * 1e-9 == pytest.approx(214.519, rel=0.03)
    dear = 4960 / 1440
    assert missed.shared == (("l2_read", round(32 * KIB * dear)), ("hbm", 32 * KIB))
    half = price(B1, (Transfer("gm_to_l1", 64, 512),), hit=0.5)
    whole = price(B1, (Transfer("gm_to_l1", 64, 512),))
    assert whole.shared == (("l2_read", 32 * KIB),)
    assert half.occupancy == pytest.approx((whole.occupancy + missed.occupancy) / 2, rel=1e-6)
    assert price(B1, (Transfer("gm_to_l1", 64, 512),), hit=-1).shared == (("hbm", 32 * KIB),)
    stored = dict(price(B1, (Transfer("ub_to_gm", 1, 32 * KIB),), hit=0.0).shared)
    assert stored == {"l2_write": 32 * KIB, "hbm": round(32 * KIB * 1430 / 2160)}
    assert price(B1, (Transfer("l1_to_l0a", 1, KIB),), hit=0.0) == price(B1, (Transfer("l1_to_l0a", 1, KIB),))


def test_unaligned_rows_fetch_a_line_more():
    # ND to NZ of rows of 512 B, tile [64, 256]: 439 us where the pitch is 12287 elements, 230 us where it is 12288.  Source: as above.
    aligned, unaligned = (price(B1, (Transfer("gm_to_l1", 64, 512, u),), hit=0.0).occupancy for u in (False, True))
    assert unaligned / aligned == pytest.approx(439 / 230, rel=0.06)
    assert price(B1, (Transfer("gm_to_l1", 64, 512, True),)) == price(B1, (Transfer("gm_to_l1", 64, 512),))


def test_crowding_grows_with_the_load_and_solves_its_law():
    factors = [crowding_of(B1, moved, 10**9) for moved in (0, 2 * 10**6, 4 * 10**6, 8 * 10**6)]
    assert factors[0] == 1
    assert factors == sorted(factors)
    load = 8.0 / float(factors[-1])  # TB/s offered, less what the crowding takes off
    assert float(factors[-1]) == pytest.approx(1 + float(B1.number("shared.crowding")) * (load / 8), abs=1 / 64)
    assert crowding_of(B1, 10**9, 0) == 1
    one = (Transfer("gm_to_l1", 1, KIB), Transfer("l1_to_l0a", 1, KIB))
    assert price(B1, one[:1], crowding=factors[-1]).occupancy == pytest.approx(float(factors[-1]) * price(B1, one[:1]).occupancy)
    assert price(B1, one[1:], crowding=factors[-1]) == price(B1, one[1:])


def test_sdma_and_mesh():
    chip = load_chip("sg2262")
    gathered = price(chip, (Sdma("hbm", 5440),))
    assert gathered.occupancy == chip.fs(220)
    assert gathered.shared == (("sdma.hbm", 5440),)
    assert sync_costs(chip).rates["sdma.hbm"] == 8_601_600_000_000
    sent = price(chip, (Link(1, 3, 640),))
    assert (sent.occupancy, sent.latency) == (chip.fs(10), chip.fs(145))
    with pytest.raises(ChipError, match=r"sdma has no domain 'moon'; it has on_chip, hbm"):
        price(chip, (Sdma("moon", 1),))
    with pytest.raises(ChipError, match=r"ascend910b1.yaml: the chip has no mesh: key 'mesh' is null"):
        price(B1, (Link(0, 1, 1),))


def test_links_within_a_cube_and_between_cubes_have_laws_of_their_own():
    chip = load_chip("mesh_cubes")
    within, between = (price(chip, (Link(axis, 1, 6400),)) for axis in (0, 1))
    assert (within.occupancy, within.latency) == (chip.fs(50 + 100), chip.fs(50 + 100 + 20))
    assert (between.occupancy, between.latency) == (chip.fs(100 + 200), chip.fs(100 + 200 + 50))
    assert price(chip, (Taken(6400),)).latency == chip.fs(20 + 50)


def test_cube_of_another_shape():
    # ceil(M / 16) * ceil(N / 8) * ceil(K / 32) + 44 cycles for 8 bits.
    chip = load_chip("sg2262")
    assert price(chip, (Cube("i8", 17, 40, 9),)).latency == chip.fs(2 * 2 * 2 + 44)


def test_independent_instructions_overlap_and_barriers_wait():
    one = Vector("vadd", "f32", 8)
    assert cycles(price(B1, (one, one)).occupancy) == pytest.approx(32)
    assert cycles(price(B1, (one, one)).latency) == pytest.approx(16 + 40)
    held = price(B1, (one, one._replace(barrier=True)))
    assert cycles(held.occupancy) == pytest.approx(40 + 5 + 16)
    assert cycles(held.latency) == pytest.approx(40 + 5 + 40)
    drained = price(B1, (one, Vector("vadd", "f32", 0, barrier=True)))
    assert drained.occupancy == drained.latency
    assert cycles(drained.latency) == pytest.approx(45)


def test_operands_without_bank_conflict():
    # Vector add of 8192 x 8192 f16 on 48 cores: 12.845 us with, 6.95 us without conflict.  Source: asc-devkit 0da921b91, add_high_performance.
    conflict, free = (price(B1, (Vector("vadd", "f16", 10923, conflict=c),)).occupancy * 1e-9 for c in (True, False))
    assert conflict == pytest.approx(12.845, rel=0.06)
    assert free == pytest.approx(6.95, rel=0.15)
    assert price(B1, (Vector("vexp", "f32", 8, conflict=False),)) == price(B1, (Vector("vexp", "f32", 8),))


def test_prices_are_whole_femtoseconds_and_shared_bytes_add_up():
    result = price(B1, (Transfer("ub_to_gm", 3, 96), Transfer("ub_to_gm", 1, 32)))
    assert all(type(x) is int for x in result[:2])
    assert result.shared == (("l2_write", 320),)
    assert price(B1, (Transfer("l1_to_l0a", 1, 512),)).shared is None
    assert price(B1, ()) == Price(0, 0, None)
    assert cycles(price(B1, (Scalar(7),)).occupancy) == pytest.approx(7)


def test_sync_costs():
    costs = sync_costs(B1)
    assert cycles(costs.barrier) == pytest.approx(5)
    assert costs.rates["l2_read"] == 4_960_000_000_000
    assert set(costs.rates) == {"l2_read", "l2_write", "hbm", "sdma.on_chip", "sdma.hbm"}


def test_unknown_work_is_named():
    with pytest.raises(ChipError, match=r"ascend910b1.yaml: vector instruction 'vmagic' has no entry"):
        price(B1, (Vector("vmagic", "f32", 1),))
    with pytest.raises(ChipError, match=r"the cube multiplies no 'i64'; cube.rates has f16, bf16, f32, i8"):
        price(B1, (Cube("i64", 16, 16, 16),))
    with pytest.raises(ChipError, match=r"has no transfer path 'gm_to_moon'"):
        price(B1, (Transfer("gm_to_moon", 1, 32),))
