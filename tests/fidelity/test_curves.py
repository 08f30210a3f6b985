"""Curves of instructions beside the chip's laws."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ptoc.cli import main
from ptoc.dialect.errors import ArgumentError
from ptoc.fidelity.curves import is_table_of_curves, read_curves

HEAD = "source,table,kind,instr_or_path,dtypes,soc,size_key,size_value,metric,value,unit,derived_cycles_at_1800MHz,notes\n"
POINTS = """s,VecType,vector,VADD,FP32_FP32_FP32,910b1,elements(repeat),1024(16),calPerf,1,b,32.03,n
s,VecType,vector,VCONV,FP32_BF16,910b1,elements(repeat),1024(16),calPerf,1,b,16.03,n
s,MovType,dma,L1_TO_L0A,,910b1,KiB,32,bandwidth,1,GiB/s,126.5,n
s,MovType,dma,GM_TO_UB,,910b3,KiB,64,bandwidth,1,GiB/s,711,n
s,MmadType,cube,MMAD,FP16_FP16_FP32,910b1,"m,k,n","128,64,64",calPerf,1,x,129.35,n
s,MovType,dma,GM_TO_MOON,,910b1,KiB,1,bandwidth,1,GiB/s,10,n
s,MovType,dma,GM_TO_L1,,91095,KiB,1,bandwidth,1,GiB/s,10,n
s,Rep,dma-repeat,GM_TO_L0A,,910b1,repeat,1,bandwidth,1,GiB/s,,n
"""


def test_points_are_priced_by_kind(tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    file.write_text(HEAD + POINTS)
    curves = {c.name: c for c in read_curves(file)}
    for name in ("VADD_FP32_FP32_FP32", "VCONV_FP32_BF16", "L1_TO_L0A", "GM_TO_UB", "MMAD_FP16_FP16_FP32"):
        assert curves[name].mean_abs_error_pct < 1, name
    assert "no transfer path 'gm_to_moon'" in curves["GM_TO_MOON"].reason
    assert curves["GM_TO_L1"].reason == "no chip is known as '91095'"
    assert len(curves) == 7


def test_the_command_knows_a_table_of_curves(tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    file.write_text(HEAD + POINTS)
    text = CliRunner().invoke(main, ["fidelity", str(file)]).stdout
    assert "910b1: 4 tables" in text
    data = json.loads(CliRunner().invoke(main, ["fidelity", str(file), "--json"]).stdout)
    assert {c["name"] for c in data["curves"]} >= {"L1_TO_L0A", "GM_TO_UB"}


def test_a_point_that_is_no_number(tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    file.write_text(HEAD + POINTS.replace("32.03", "quick"))
    with pytest.raises(ArgumentError, match=r"curves.csv:2: column 'derived_cycles_at_1800MHz' must be a number; got 'quick'"):
        read_curves(file)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"absent.csv: cannot be read"):
        is_table_of_curves(tmp_path / "absent.csv")
