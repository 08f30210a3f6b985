"""Golden files of a compilation: every argument in the kernel's order, and the reference's results."""

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from ptoc.cli import main


def test_compile_writes_arguments_and_expected_results(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["compile", "vector_add", "--case", "small", "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "golden"
    (case,) = json.loads((folder / "index.json").read_text())["cases"]
    assert [a["name"] for a in case["arguments"]] == ["x", "y", "z", "N"]
    x, y, z = (np.fromfile(folder / a["file"], np.float32) for a in case["arguments"][:3])
    expected = np.fromfile(folder / case["arguments"][2]["golden"], np.float32)
    assert x.shape == (100,)
    assert not z.any()
    np.testing.assert_array_equal(expected, x + y)
    assert case["arguments"][3]["value"] == 100
