"""Banks of UB: where a byte lies, and which repeats of an instruction wait."""

import pytest

from ptoc.machine.banks import Conflicts, Stream, conflicts
from ptoc.machine.chip import load_chip

A3, A5 = (load_chip(name).ub_banks() for name in ("ascend910b1", "ascend950pr"))


def meetings(banks, reads, writes, repeats=64):
    """Conflicts of operands at these addresses, 256 bytes a repeat."""
    return conflicts(banks, tuple(map(Stream, reads)), tuple(map(Stream, writes)), repeats)


@pytest.mark.parametrize(("address", "bank", "group"), [(0x10000, 16, 0), (0x10020, 17, 1), (0x10E20, 17, 1), (0x20020, 33, 1), (0x1FE00, 16, 0)])
def test_banks_of_the_910b_are_those_of_the_guide(address, bank, group):
    assert (A3.bank(address), A3.group(address)) == (bank, group)


def test_bank_0_of_the_950_is_at_64_kib_again():
    assert A5.bank(0) == A5.bank(0x10000) == 0
    assert [A5.group(n) for n in (0, 32, 224, 256)] == [0, 1, 7, 0]
    assert A5.bank(256) == 8


def test_all_banks_together_hold_ub():
    assert A3.groups * A3.banks * 128 * A3.row == 192 * 1024
    assert A5.groups * A5.banks * 512 * A5.row == 256 * 1024


def test_two_reads_meet_unless_half_a_row_of_groups_apart():
    assert meetings(A3, (0, 16384), ()).read_read == 64
    assert meetings(A3, (0, 16384 + 256), ()) == Conflicts(0, 0)
    assert meetings(A3, (0, 16384 + 224), ()).read_read == 64
    assert meetings(A3, (0, 65536), ()).read_read == 64  # another bank, the same group


def test_a_write_meets_a_read_of_its_bank_alone():
    assert meetings(A3, (0,), (16384,)) == Conflicts(0, 64)
    assert meetings(A3, (0,), (16384 + 256,)) == Conflicts(0, 0)
    assert meetings(A3, (0,), (65536,)) == Conflicts(0, 0)
    assert meetings(A3, (0, 16384 + 256), (65536,)) == Conflicts(0, 0)
    assert meetings(A3, (0, 16384 + 256), (32768,)) == Conflicts(0, 64)
    assert meetings(A3, (0,), (0,)) == Conflicts(0, 64)


def test_repeats_are_counted_where_an_operand_crosses_into_the_next_banks():
    assert meetings(A3, (0,), (65536 - 16 * 256,)).read_write == 16


def test_two_reads_of_the_950_meet_in_one_bank_only():
    assert meetings(A5, (0, 512), ()).read_read == 64
    assert meetings(A5, (0, 256), ()).read_read == 0
    assert meetings(A5, (0, 256, 1024), ()).read_read == 64


def test_an_operand_that_stands_still_meets_every_other_repeat():
    assert conflicts(A3, (Stream(0), Stream(512, 0)), (), 8).read_read == 4


def test_operands_of_few_blocks_need_few_groups():
    short = [conflicts(A3, (Stream(0), Stream(at)), (), 1, blocks=4).read_read for at in (0, 96, 128, 384, 416)]
    assert short == [1, 1, 0, 0, 1]
