"""Cases of the scalar unit's accesses.  Results and pointers are no tiles: here are those whose operands are."""

from . import Case

CASES = [
    Case("pto.tsetval", {"dst": "vec, 8x64xf32"}, {"offset": 137, "val": 2.5}),
    Case("pto.tprint", {"src": "vec, 8x64xf32"}),
    Case("pto.print", {}, {"scalar": 1.5}, {"format": "x = %f"}),
    Case("pto.trap", {}),
    Case("pto.set_validshape", {"source": "vec, 8x64xf32, valid=?x?"}, {"valid_row": 3, "valid_col": 5}),
]
