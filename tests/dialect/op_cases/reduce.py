"""Cases of the row reductions: one repeat and part of one, several, the library's special shapes, column and row major results."""

from . import Case

FOLDS = ("pto.trowmax", "pto.trowmin", "pto.trowsum", "pto.trowprod")
SHAPES = (
    ("vec, 16x64xf32", "vec, 16x1xf32, blayout=col_major"),
    ("vec, 16x64xf32, valid=13x50", "vec, 16x8xf32, valid=13x1"),
    ("vec, 8x192xf32, valid=8x100", "vec, 8x1xf32, blayout=col_major"),
    ("vec, 32x256xf32", "vec, 32x1xf32, blayout=col_major"),
    ("vec, 16x256xf16, valid=16x250", "vec, 16x16xf16, valid=16x1"),
    ("vec, 8x32xi32, valid=8x27", "vec, 8x8xi32, valid=8x1"),
    ("vec, 8x32xi16", "vec, 8x16xi16, valid=8x1"),
)


def tiles(src: str, dst: str) -> dict[str, str]:
    """The tiles of a row reduction; tmp has the shape of src."""
    return {"src": src, "tmp": src.split(", valid")[0], "dst": dst}


CASES = [Case(op, tiles(src, dst), data={"src": "near_one" if op.endswith("prod") and "xf" in src else ""}) for op in FOLDS for src, dst in SHAPES] + [
    Case(op, tiles(src, dst), data={"src": data})
    for op in ("pto.trowargmax", "pto.trowargmin")
    for src, dst, data in (
        ("vec, 8x64xf32, valid=8x33", "vec, 8x1xi32, blayout=col_major", ""),
        ("vec, 8x128xf16, valid=7x128", "vec, 8x8xui32, valid=7x1", ""),
        ("vec, 8x256xf32", "vec, 8x1xi32, blayout=col_major", "index:5"),
    )
]
