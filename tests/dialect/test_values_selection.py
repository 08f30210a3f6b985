"""Lists by a limit, and rows gathered by SDMA: against scalar loops, with their rules and their work."""

import operator

import numpy as np
import pytest

import ptoc
from ptoc import f16, i32
from ptoc.dialect.errors import NotSupportedError, VerifyError
from ptoc.machine.work import Sdma, Vector

from .op_cases import Case, selection
from .op_instances import built, class_of, refs

COMPRESSED = [case for case in selection.LOCAL_CASES if case.op == "pto.tcompress"]
GATHERED = [case for case in selection.LOCAL_CASES if case.op == "pto.tsdma_gather"]


@pytest.mark.parametrize("case", selection.LOCAL_CASES, ids=str)
def test_cases_keep_the_rules(case: Case) -> None:
    with built(case):
        pass


@pytest.mark.parametrize("case", COMPRESSED, ids=str)
def test_what_passes_is_appended(case: Case) -> None:
    values, result = case.values(), class_of(case).evaluate(case.values(), case.plain_attributes())
    passes = {"gt": operator.gt, "le": operator.le}[case.plain_attributes()["cmpMode"]]
    expected, at = values["dst"][0].tolist(), int(values["count"][0, 0])
    for x, number in zip(values["src"][0].tolist(), values["payload"][0].tolist()):
        if passes(x, float(values["limit"][0, 0])) and at < len(expected):
            expected[at] = number
            at += 1
    assert result["dst"][0].tolist() == expected
    assert int(result["count"][0, 0]) == at > int(values["count"][0, 0])


def test_a_list_that_is_full_stays() -> None:
    case = COMPRESSED[1]
    values = case.values() | {"count": np.array([[8]], np.int32)}
    result = class_of(case).evaluate(values, case.plain_attributes())
    assert np.array_equal(result["dst"], values["dst"])
    assert result["count"][0, 0] == 8


@pytest.mark.parametrize("case", GATHERED, ids=str)
def test_rows_are_gathered(case: Case) -> None:
    values, result = case.values(), class_of(case).evaluate(case.values(), case.plain_attributes())
    gathered = result["dst"].reshape(-1, values["rows"].shape[1])
    for i, row in enumerate(values["index"].ravel().tolist()):
        assert gathered[i].tolist() == values["rows"][row].tolist()


def test_their_work() -> None:
    case = GATHERED[0]
    assert class_of(case).work(refs(case), case.plain_attributes()) == (Sdma("hbm", 9 * 24 * 2),)
    case = COMPRESSED[0]
    vectors = [item for item in class_of(case).work(refs(case), case.plain_attributes()) if isinstance(item, Vector)]
    assert [(item.instruction, item.repeats) for item in vectors] == [("vcmpvs", 1), ("vreducev2", 1), ("vreducev2", 0)]


@pytest.mark.parametrize(
    ("case", "changed", "said"),
    [
        (GATHERED[0], {"dst": "gm, 9x25xf16"}, "rows and dst must be equally wide; got 24 and 25"),
        (GATHERED[0], {"dst": "gm, 9x24xf32"}, "rows and dst must have one element type; got f16 and f32"),
        (GATHERED[0], {"index": "gm, 1x8xi32"}, "index must have an entry for each row of dst; got 8 for 9"),
        (GATHERED[0], {"index": "gm, 1x9xi16"}, "index must be i32 or ui32; got i16"),
        (GATHERED[0], {"dst": "vec, 9x24xf16"}, "dst must be a view of global memory"),
        (COMPRESSED[0], {"payload": "vec, 1x32xi32"}, "payload must have an entry for each column of src; got 1x32 for 1x64"),
        (COMPRESSED[0], {"count": "vec, 1x8xi32"}, "count must be one number; got 1x8"),
        (COMPRESSED[0], {"dst": "vec, 2x48xi32"}, "dst must be one row; got 2x48"),
        (COMPRESSED[0], {"src": "vec, 1x64xf16"}, "f16"),
    ],
    ids=str,
)
def test_their_rules(case: Case, changed: dict[str, str], said: str) -> None:
    with pytest.raises(VerifyError, match=said), built(Case(case.op, case.tiles | changed, {}, case.attributes)):
        pass


def test_a_gather_needs_a_domain_and_a_comparison_a_mode() -> None:
    with pytest.raises(VerifyError, match="a bandwidth domain is needed: domain = hbm"), built(Case(GATHERED[0].op, GATHERED[0].tiles)):
        pass
    with pytest.raises(VerifyError, match="cmpMode must be one of eq ne lt le gt ge; got about"), built(Case(COMPRESSED[0].op, COMPRESSED[0].tiles, {}, {"cmpMode": "cmp about"})):
        pass


@ptoc.kernel
def gathered_twice(rows: ptoc.Tensor["N", 32, f16], index: ptoc.Tensor["K", i32], out: ptoc.Out["K", 32, f16], back: ptoc.Out["K", 32, f16], K):
    ptoc.sdma_gather(out, rows, index, domain="hbm")
    t = ptoc.tile([16, 32], f16)
    for i in ptoc.range(K // 16, stages=2):
        ptoc.load(t, out[i * 16 : (i + 1) * 16, :])
        ptoc.store(back[i * 16 : (i + 1) * 16, :], t)


gathered_twice.inputs(lambda rng, N, K, **_: {"rows": rng.standard_normal((N, 32)), "index": rng.integers(0, N, K)})
gathered_twice.reference(lambda rows, index: (rows[index], rows[index]))


def test_loads_wait_for_a_gather_and_the_sources_are_told_apart() -> None:
    result = ptoc.run(gathered_twice, N=100, K=64, check=True)
    assert result.passed
    times = {c.site.op: (result.timeline.start[0][i], result.timeline.complete[0][i]) for i, c in reversed(list(enumerate(result.program.streams[0].commands)))}
    assert times["pto.tload"][0] >= times["pto.tsdma_gather"][1]
    assert not ptoc.check(gathered_twice, N=100, K=64).redundant


def test_a_domain_that_the_chip_does_not_have() -> None:
    @ptoc.kernel
    def far(rows: ptoc.Tensor[8, 32, f16], index: ptoc.Tensor[4, i32], out: ptoc.Out[4, 32, f16]):
        ptoc.sdma_gather(out, rows, index, domain="moon")

    with pytest.raises(ptoc.ChipError, match="sdma has no domain 'moon'; it has on_chip, hbm"):
        ptoc.run(far)


def test_an_engine_without_a_call_has_no_cpp() -> None:
    with pytest.raises(NotSupportedError, match=r"'pto.tsdma_gather' has no C\+\+ form"):
        ptoc.compile(gathered_twice).cpp()
    with pytest.raises(NotSupportedError, match=r"vector_add: no C\+\+ for this chip: nothing compiles it for sg2262; --emit pto,sim writes what there is"):
        ptoc.compile("vector_add", "sg2262").cpp()
