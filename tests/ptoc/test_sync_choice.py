"""Who says whether flags and barriers are inserted: the kernel, unless the caller does."""

import pytest

import ptoc
from ptoc import f32


@ptoc.kernel(sync="keep")
def without_a_flag(x: ptoc.Tensor[4, 64, f32], y: ptoc.Out[4, 64, f32]):
    t = ptoc.tile([4, 64], f32)
    ptoc.load(t, x)
    ptoc.store(y, t)


without_a_flag.reference(lambda x: x)


def test_a_kernel_says_that_its_synchronisation_is_by_hand() -> None:
    assert without_a_flag.sync == "keep"
    assert "set_flag" not in ptoc.compile(without_a_flag).pto
    report = ptoc.check(without_a_flag)
    assert [m.kind for m in report.missing] == ["RAW"]
    with pytest.raises(ptoc.CheckError, match="are in no order"):
        ptoc.run(without_a_flag, check=True)


def test_the_caller_may_have_the_rest_inserted() -> None:
    assert "set_flag" in ptoc.compile(without_a_flag, sync="insert").pto
    assert ptoc.run(without_a_flag, check=True, sync="insert").passed


def test_the_default_is_to_insert() -> None:
    @ptoc.kernel()
    def plain(x: ptoc.Tensor[4, 64, f32], y: ptoc.Out[4, 64, f32]):
        without_a_flag.function(x, y)

    assert plain.sync == "insert"
    assert ptoc.check(plain).ok


@pytest.mark.parametrize("call", [ptoc.compile, ptoc.run, ptoc.check])
def test_another_word_is_refused(call: object) -> None:
    with pytest.raises(ptoc.ArgumentError, match="sync must be 'insert' or 'keep'; got 'none'"):
        call(without_a_flag, sync="none")
    with pytest.raises(ptoc.ArgumentError, match="kernel: sync must be 'insert' or 'keep'; got 'none'"):
        ptoc.kernel(sync="none")
