"""Cases of the column expansions."""

from . import Case

BINARY = ("sub", "mul", "div", "add", "max", "min", "expdif")
SHAPES = (
    {"src0": "vec, 16x64xf32", "src1": "vec, 1x64xf32", "dst": "vec, 16x64xf32"},
    {"src0": "vec, 16x80xf16, valid=13x70", "src1": "vec, 1x80xf16, valid=1x70", "dst": "vec, 16x80xf16, valid=13x70"},
)
INTEGER = {"src0": "vec, 8x32xi32", "src1": "vec, 8x32xi32, valid=1x32", "dst": "vec, 8x32xi32"}

CASES = (
    [Case(f"pto.tcolexpand{f}", tiles, data={"src1": "positive"}) for f in BINARY for tiles in SHAPES]
    + [Case(f"pto.tcolexpand{f}", INTEGER) for f in ("sub", "mul", "add", "max", "min")]
    + [
        Case("pto.tcolexpand", {"src": src, "dst": dst})
        for src, dst in (("vec, 1x64xf32", "vec, 16x64xf32"), ("vec, 4x64xi8, valid=1x50", "vec, 16x64xi8, valid=9x50"))
    ]
)
