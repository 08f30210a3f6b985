"""Which bench kernel, sizes and tuning a row stands for, and why a row is refused."""

import pytest

from ptoc.fidelity.metrics import Refused
from ptoc.fidelity.programs import Program, program_of
from ptoc.machine.chip import load_chip

from .test_rows import row

B1 = load_chip("ascend910b1")


def program(**fields: object) -> Program:
    """The program behind a row."""
    return program_of(row(**fields), B1)


def facts(found: Program) -> dict:
    return dict(found.definitions)


def test_attention_by_hand_takes_one_core_per_block_of_rows() -> None:
    found = program(kernel="manual flash_atten (PTO C++)", shape="S0=1024;S1=32768;H=128;heads=1;causal=0", cores="24")
    assert (found.name, found.cores, found.warm) == ("attention_by_hand", 8, True)
    assert facts(found) == {"S0": 1024, "S1": 32768, "D": 128, "TILE": 512, "PRELOAD": 4}
    assert facts(program(kernel="torch_jit flash_atten", shape="S0=128;S1=32768"))["TILE"] == 256


def test_attention_of_the_dsl() -> None:
    shape = "S0=128;S1=1024;H=128;S1_TILE=256;QK_PRELOAD=3"
    early = program(kernel="PTO-DSL flash_atten", shape=shape, cores="1", notes="redundant vector barriers in; one AIC")
    late = program(kernel="PTO-DSL flash_atten", shape=shape, cores="1", notes="`case1`; event timing; KV_SPLIT=2 for case5")
    assert (early.name, facts(early)["PRELOAD"]) == ("attention_dsl", 3)
    assert (facts(early)["BARRIERS"], facts(late)["BARRIERS"]) == (True, False)
    with pytest.raises(Refused, match="keys and values split between cores"):
        program(kernel="PTO-DSL flash_atten", shape=shape, notes="`case5`; KV_SPLIT=2 for case5")


def test_products() -> None:
    by_hand = program(kernel="manual gemm_performance", shape="m=6144;k=6144;n=6144", cores="24")
    assert facts(by_hand) == {"M": 6144, "N": 6144, "K": 6144, "CORE_M": 1536, "CORE_N": 1024}
    dsl = program(kernel="PTO-DSL gemm x", shape="m=512;k=2048;n=1536;swizzleN=8", cores="48")
    assert (dsl.name, dsl.cores, facts(dsl)["SWIZZLE"]) == ("gemm_dsl", 24, 6)
    rounds = [facts(program(kernel="matmul (basic API)", shape="M=N=K=8192", cores="24", notes=f"Scenario {n}")) for n in (1, 2)]
    assert [(f["CORE_M"], f["CORE_N"], f["ROUNDS"]) for f in rounds] == [(2048, 1536, 1), (1024, 1536, 2)]


def test_additions() -> None:
    def add(notes: str, cores: str = "48") -> Program:
        return program(kernel="vector add", shape="8192x8192", cores=cores, notes=notes)

    one = add("1; Single-core vector; 4096", "1")
    assert (one.cores, facts(one)["PIECE"], facts(one)["SLOTS"], facts(one)["IN_PLACE"]) == (1, 4096, 1, False)
    assert add("Case 1: Single-Core Vector Version", "") == one
    assert add("Case 2: Multi-Core Even Splitting + Small Block Transfer", "") == add("2; Multi-core even splitting; 4096")
    double = add("4; Double buffer; 16384")
    assert (facts(double)["PIECE"], facts(double)["SLOTS"], double.bypass) == (16384, 2, ())
    assert add("5; L2 bypass; 16384").bypass == ("x", "y")
    free = add("6; Bank conflict free; 16256")
    assert (facts(free)["PIECE"], facts(free)["APART"], facts(double)["APART"], free.bypass) == (16256, True, False, ("x", "y"))
    with pytest.raises(Refused, match="on the scalar unit"):
        add("0; Scalar version; 4096", "1")


def test_copies_and_streams() -> None:
    copied = program(kernel="DataCopy GM->L1", shape="tensor[12288,12288] tile[64,256]", cores="24", notes="scenario 2: Large block transfer")
    assert (copied.name, facts(copied)["TO_L1"], facts(copied)["REPEATS"]) == ("read_tiles", True, 1)
    again = program(kernel="DataCopy GM->UB", shape="tensor[12288,12288] tile[64,1024]", notes="repeated transfer, split in four")
    assert (facts(again)["REPEATS"], facts(again)["PARTS"], again.cores) == (4, 4, 48)
    stream = program(kernel="GM read stream (cached, PTO TLOAD)", shape="32 MB", cores="48", metric="bandwidth", l2="cold first pass")
    assert (facts(stream)["E"], facts(stream)["PASSES"], stream.warm) == (8_000_000, 15, False)
    assert program(kernel="GM read stream (L2-bypass alias)", shape="8 MB", metric="bandwidth").bypass == ("x",)
    assert program(kernel="GM write (zero_)", shape="-", metric="bandwidth").name == "stream_write"
    assert program(kernel="GM read AIC+AIV", shape="-", metric="bandwidth").name == "stream_read_both"
    cube = program(kernel="GM read AIC only", shape="-", metric="bandwidth")
    assert (cube.name, cube.cores, program(kernel="GM read AIC only", shape="-", metric="bandwidth", cores="8").cores) == ("stream_read_cube", 24, 8)


@pytest.mark.parametrize(("fields", "reason"), [
    ({"kernel": "paged attention"}, "no bench kernel for it"),
    ({"kernel": "torch_jit flash_atten", "shape": "S0=128"}, "the shape gives no S1"),
    ({"kernel": "torch_jit flash_atten", "shape": "S0=100;S1=256"}, "takes S0 in multiples of 128; got 100"),
    ({"kernel": "torch_jit flash_atten", "shape": "S0=128;S1=0"}, "takes S1 in multiples of 0; got 0"),
    ({"kernel": "torch_jit flash_atten", "shape": "S0=128;S1=256;B=2"}, "one head and one batch; got B=2"),
    ({"kernel": "torch_jit flash_atten", "shape": "S0=128;S1=256;causal=1"}, "no causal mask"),
    ({"kernel": "manual flash_atten", "shape": "S0=128;S1=256", "window": "device_counter", "notes": "a full-pipe barrier"}, "a counter read on the cores"),
    ({"kernel": "manual gemm_performance", "shape": "m=100;k=256;n=256", "cores": "24"}, "no grid of 24 cores divides C"),
    ({"kernel": "vector add", "shape": "4096"}, "no rows x columns"),
    ({"kernel": "GM read stream", "shape": "0 MB"}, "no amount above 0 such as 8 MB; got '0 MB'"),
    ({"kernel": "GM read stream", "shape": "1.2.3 MB"}, "no amount above 0 such as 8 MB; got '1.2.3 MB'"),
    ({"kernel": "DataCopy GM->UB", "shape": "tensor[128,128] tile[64,64]", "notes": "scenario 7: same address"}, "read the same addresses at once"),
    ({"kernel": "DataCopy GM->UB", "shape": "4096"}, r"no tensor\[rows,columns\]"),
])  # fmt: skip
def test_refusals(fields: dict, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        program(**fields)


def test_a_cold_l2_is_cold_in_any_spelling() -> None:
    shape = {"kernel": "torch_jit flash_atten", "shape": "S0=128;S1=256"}
    assert [program(**shape, l2=l2).warm for l2 in ("warm", "", "cold", "Cold (flushed)")] == [True, True, False, False]
