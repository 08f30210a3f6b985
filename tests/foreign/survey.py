"""What becomes of the `.pto` files of a checkout:  python tests/foreign/survey.py PATH [NAME]

Prints a table, file by file: read and verified, round trip, C++, simulated, values against numpy, check, and why a stage was not reached.
PATH: a folder with `.pto` files (test/samples of PTOAS v0.27).  NAME: only files whose path matches this regular expression.
"""

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.foreign.samples import STAGES, examine


def main(root: Path, pattern: str = "") -> None:
    """Examines every file below a folder."""
    outcomes = []
    print(f"{'file':72} {' '.join(f'{s:>10}' for s in STAGES)}  numbers, reasons")
    for path in sorted(root.rglob("*.pto")):
        name = str(path.relative_to(root))
        if not re.search(pattern, name):
            continue
        begun = time.time()
        outcome = examine(name, path.read_text())
        outcomes.append(outcome)
        marks = " ".join(f"{'yes' if s in outcome.passed else '-':>10}" for s in STAGES)
        shown = ", ".join(f"{k}={v}" for k, v in outcome.numbers.items())
        why = "; ".join(outcome.reasons) or (f"error {outcome.error:.1e}" if outcome.error is not None else "")
        print(f"{name:72} {marks}  [{shown}] {why} ({time.time() - begun:.1f} s)", flush=True)
    counts = " ".join(f"{sum(s in o.passed for o in outcomes):>10}" for s in STAGES)
    print(f"{f'{len(outcomes)} files, {sum(o.complete for o in outcomes)} with all of it':72} {counts}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
