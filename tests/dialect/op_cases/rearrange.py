"""Cases of padding, transposing and joining."""

from . import Case

CASES = (
    [
        Case(op, {"src": src, "dst": dst}, attributes={"pad": int(dst[-1])})
        for op in ("pto.tfillpad", "pto.tfillpad_inplace")
        for src, dst in (
            ("vec, 16x64xf32, valid=13x50", "vec, 16x64xf32, pad=3"),
            ("vec, 16x32xf16, valid=16x32", "vec, 16x32xf16, pad=2"),
            ("vec, 16x32xi32, valid=9x16", "vec, 16x32xi32, valid=12x32, pad=1"),
            ("vec, 8x64xi8, valid=7x33", "vec, 8x64xi8, pad=3"),
            ("vec, 8x64xbf16, valid=7x33", "vec, 8x64xbf16, pad=2"),
        )
    ]
    + [Case("pto.tfillpad_expand", {"src": "vec, 8x32xf32, valid=5x30", "dst": "vec, 16x64xf32, pad=1"}, attributes={"pad": 1})]
    + [
        Case("pto.ttrans", {"src": src, "tmp": tmp, "dst": dst})
        for src, tmp, dst in (
            ("vec, 32x64xf16", "vec, 64x32xf16", "vec, 64x32xf16"),
            ("vec, 32x16xf32, valid=20x13", "vec, 16x32xf32", "vec, 16x32xf32, valid=13x20"),
            ("vec, 32x32xi8", "vec, 32x32xi8", "vec, 32x32xi8"),
            ("vec, 16x8xf32, valid=5x8", "vec, 8x16xf32", "vec, 8x8xf32, valid=8x5"),
        )
    ]
    + [
        Case("pto.tconcat", {"src0": src0, "src1": src1, "dst": dst})
        for src0, src1, dst in (
            ("vec, 8x16xf32", "vec, 8x32xf32", "vec, 8x48xf32"),
            ("vec, 8x32xi16, valid=5x11", "vec, 8x32xi16, valid=5x20", "vec, 8x64xi16, valid=5x31"),
        )
    ]
)
