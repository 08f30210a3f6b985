"""Cases of the row expansions: the column as col_major vector and as blocks, on either side, with scratch and without, partly valid."""

from . import Case

BINARY = ("sub", "mul", "div", "add", "max", "min", "expdif")
SHAPES = (
    {"src0": "vec, 16x64xf32", "src1": "vec, 16x1xf32, blayout=col_major", "dst": "vec, 16x64xf32"},
    {"src0": "vec, 16x80xf32, valid=13x70", "src1": "vec, 16x8xf32, valid=13x8", "dst": "vec, 16x80xf32, valid=13x70"},
    {"src0": "vec, 8x16xf16, valid=8x16", "src1": "vec, 8x128xf16", "dst": "vec, 8x128xf16"},
    {
        "src0": "vec, 16x128xf16, valid=16x100",
        "src1": "vec, 16x1xf16, blayout=col_major",
        "dst": "vec, 16x128xf16, valid=16x100",
        "tmp": "vec, 16x16xf16",
    },
)
INTEGER = {"src0": "vec, 8x32xi32", "src1": "vec, 8x1xi32, blayout=col_major", "dst": "vec, 8x32xi32"}

CASES = (
    [Case(f"pto.trowexpand{f}", tiles, data={"src1" if "128xf16" not in tiles["src1"] else "src0": "positive"}) for f in BINARY for tiles in SHAPES]
    + [Case(f"pto.trowexpand{f}", INTEGER) for f in ("sub", "mul", "add", "max", "min")]
    + [
        Case("pto.trowexpand", {"src": src, "dst": dst})
        for src, dst in (
            ("vec, 16x1xf32, blayout=col_major", "vec, 16x8xf32"),
            ("vec, 16x8xf32, valid=11x1", "vec, 16x64xf32, valid=11x50"),
            ("vec, 8x32xi8, valid=8x1", "vec, 8x64xi8"),
            ("vec, 16x16xbf16, valid=16x3", "vec, 16x32xbf16"),
        )
    ]
)
