"""The calibration set: what the chip files are fitted to, and to nothing else."""

from pathlib import Path

CALIBRATION = Path(__file__).parent / "calibration.csv"
"""Published device measurements with their sources; columns as in `rows.py`."""
