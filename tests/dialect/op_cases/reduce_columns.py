"""Cases of the column reductions."""

from . import Case

FOLDS = ("pto.tcolmax", "pto.tcolmin", "pto.tcolsum", "pto.tcolprod")
SHAPES = (
    ("vec, 16x64xf32", "vec, 1x64xf32"),
    ("vec, 16x80xf32, valid=13x70", "vec, 8x80xf32, valid=1x70"),
    ("vec, 8x128xf16, valid=7x128", "vec, 1x128xf16"),
    ("vec, 8x32xi32", "vec, 1x32xi32"),
    ("vec, 1x32xi16", "vec, 1x32xi16"),
)

CASES = (
    [Case(op, {"src": src, "dst": dst}, data={"src": "near_one" if op.endswith("prod") and "xf" in src else ""}) for op in FOLDS for src, dst in SHAPES]
    + [
        Case("pto.tcolsum", {"src": src, "tmp": tmp, "dst": dst}, attributes=attributes)
        for attributes in ({"isBinary": True}, {})
        for src, tmp, dst in (
            ("vec, 16x64xf32", "vec, 8x64xf32", "vec, 1x64xf32"),
            ("vec, 16x128xf16, valid=15x100", "vec, 8x128xf16", "vec, 1x128xf16, valid=1x100"),
        )
    ]
    + [
        Case(op, {"src": src, "tmp": tmp, "dst": dst}, data={"src": data})
        for op in ("pto.tcolargmax", "pto.tcolargmin")
        for src, tmp, dst, data in (
            ("vec, 16x64xf32, valid=9x50", "vec, 1x256xf32", "vec, 1x64xi32, valid=1x50", ""),
            ("vec, 8x128xf16", "vec, 1x512xf16", "vec, 1x128xui32", "index:3"),
        )
    ]
)
