"""Text tests: `lit -v lit_tests`.  Substitutions %ptoc and %filecheck are the programs of the Python that runs lit."""

import sys
from pathlib import Path

import lit.formats

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent

config.name = "ptoc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".pto", ".mlir", ".py"]
config.excludes = ["lit.cfg.py"]
config.test_source_root = str(HERE)
config.test_exec_root = str(HERE.parent / "build" / "lit_tests")
config.substitutions += [("%ptoc", str(PROGRAMS / "ptoc")), ("%filecheck", str(PROGRAMS / "filecheck"))]
config.environment["PTOC_CACHE"] = "off"
