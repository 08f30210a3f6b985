"""Cases of the elementwise ops: contiguous tiles, partly valid ones, tiles of unequal widths, all element types of each op."""

from typing import Any

from . import Case

SHAPES = ("32x64{}", "13x128{}, valid=11x100", "2x512{}, valid=2x300", "40x32{}, valid=40x17")
NUMBERS = ("xf32", "xf16", "xi32", "xi16")
FLOATS = ("xf32", "xf16")
INTEGERS = ("xi8", "xui8", "xi16", "xui16", "xi32", "xui32")


def cases(op: str, dtypes: tuple[str, ...], *names: str, data: dict[str, str] | None = None, shapes: tuple[str, ...] = SHAPES, **more: Any) -> list[Case]:
    """An op on tiles of one shape, for each type; the shapes take turns, so that each type meets one and each shape is met."""
    made = []
    for number, dtype in enumerate(dtypes if len(dtypes) >= len(shapes) else dtypes * 2):
        body = "vec, " + shapes[number % len(shapes)].format(dtype)
        made.append(Case(f"pto.{op}", {name: body for name in (*names, "dst")}, data=data or {}, **more))
    return made


def widths(op: str, dtype: str, *names: str) -> Case:
    """An op on tiles of equal valid parts and unequal widths."""
    bodies = (f"vec, 16x{cols}x{dtype}, valid=15x33" for cols in (64, 96, 128))
    return Case(f"pto.{op}", dict(zip((*names, "dst"), bodies)))


BINARY = [case for op in ("tadd", "tsub", "tmul", "tmax", "tmin") for case in (*cases(op, NUMBERS, "src0", "src1"), widths(op, "f32", "src0", "src1"))] + [
    *cases("tdiv", FLOATS, "src0", "src1", data={"src1": "positive"}),
    *cases("taddc", NUMBERS, "src0", "src1", "src2"),
    *cases("tsubc", NUMBERS, "src0", "src1", "src2"),
]

UNARY = [
    *cases("texp", FLOATS, "src"),
    *cases("tlog", FLOATS, "src", data={"src": "positive"}),
    *cases("tsqrt", FLOATS, "src", data={"src": "positive"}),
    *cases("trsqrt", FLOATS, "src", data={"src": "positive"}),
    Case("pto.trsqrt", {"src": "vec, 8x64xf32", "dst": "vec, 8x64xf32", "tmp": "vec, 1x8xf32"}, data={"src": "positive"}),
    *cases("trecip", FLOATS, "src", data={"src": "positive"}),
    *cases("tabs", FLOATS, "src"),
    *cases("tneg", NUMBERS, "src"),
    *cases("trelu", ("xf32", "xf16", "xi32"), "src"),
]

WITH_SCALAR = [
    case
    for op in ("tadds", "tsubs", "tmuls", "tmaxs", "tmins")
    for case in (
        *cases(op, FLOATS, "src", scalars={"scalar": 2.5}),
        *cases(op, ("xi32", "xi16"), "src", scalars={"scalar": -3}),
        Case(f"pto.{op}", {"src": "vec, 64x1xf32, blayout=col_major", "dst": "vec, 64x1xf32, blayout=col_major"}, {"scalar": -0.75}),
    )
] + [
    *cases("tlrelu", FLOATS, "src", scalars={"slope": 0.25}),
    *cases("taxpy", FLOATS, "src", scalars={"scalar": 0.3}),
    Case("pto.taxpy", {"src": "vec, 16x64xf16", "dst": "vec, 16x64xf32"}, {"scalar": 0.3}),
    *cases("tdivs", FLOATS, "src", scalars={"scalar": 3.0}),
    *cases("tdivs", ("xi32", "xi16"), "src", scalars={"scalar": -3}),
    *cases("tdivs", FLOATS, "scalar", data={"scalar": "positive"}, scalars={"src": 3.0}),
    *cases("tdivs", ("xi32", "xi16"), "scalar", data={"scalar": "nonzero"}, scalars={"src": 17}),
    *cases("taddsc", FLOATS, "src0", "src1", scalars={"scalar": 0.3}),
    *cases("taddsc", ("xi32", "xi16"), "src0", "src1", scalars={"scalar": 5}),
    *cases("tsubsc", FLOATS, "src0", "src1", scalars={"scalar": 0.3}),
    *cases("tsubsc", ("xi32", "xi16"), "src0", "src1", scalars={"scalar": 5}),
]

WIDE, ROW = "vec, 16x64xf32, valid=16x60", "vec, 1x128xf32"
REMAINDERS = [
    *cases("tfmod", ("xf32",), "src0", "src1", data={"src1": "nonzero"}),
    *cases("tfmods", ("xf32",), "src", scalars={"scalar": -0.75}),
    Case("pto.trem", {"src0": WIDE, "src1": WIDE, "tmp": ROW, "dst": WIDE}, data={"src1": "nonzero"}),
    Case("pto.trems", {"src": WIDE, "tmp": ROW, "dst": WIDE}, {"scalar": -0.75}),
    Case("pto.trems", {"src": "vec, 8x64xi32", "tmp": "vec, 1x64xi32", "dst": "vec, 8x64xi32"}, {"scalar": 3}),
]

ON_A3 = [
    Case("pto.trem", {n: x.replace("f32", "i32") for n, x in {"src0": WIDE, "src1": WIDE, "tmp": ROW, "dst": WIDE}.items()}, data={"src1": "nonzero"}),
]
"""What the a3 library does otherwise than its CPU build: it leaves other bits in the sources."""

BITWISE = [
    *(case for op in ("tand", "tor") for case in cases(op, INTEGERS, "src0", "src1")),
    *cases("txor", INTEGERS, "src0", "src1", "tmp"),
    *cases("tnot", INTEGERS, "src"),
    *(case for op in ("tands", "tors") for case in cases(op, INTEGERS, "src", scalars={"scalar": 5})),
    *cases("txors", INTEGERS, "src", "tmp", scalars={"scalar": 5}),
    *(case for op in ("tshl", "tshr") for case in cases(op, INTEGERS, "src0", "src1", data={"src1": "index:8"})),
    *(case for op in ("tshls", "tshrs") for case in cases(op, ("xi32", "xi16", "xui32", "xui16"), "src", scalars={"scalar": 2})),
]

MODES = ("eq", "ne", "lt", "le", "gt", "ge")
MASK = "vec, 16x32xui8, valid=16x8"
COMPARISONS = [
    Case("pto.tcmp", {"src0": src, "src1": src, "dst": MASK}, attributes={"cmpMode": f"cmp {mode}"}, data={"src0": "quarters:2", "src1": "quarters:2"})
    for mode in MODES
    for src in ("vec, 16x64xf32", "vec, 16x64xf16, valid=16x50")
] + [
    *(Case("pto.tcmps", {"src": "vec, 16x64xf32", "dst": MASK}, {"scalar": 0.25}, {"cmpMode": f"cmp {mode}"}, {"src": "quarters:2"}) for mode in MODES),
    *(Case("pto.tcmp", {"src0": "vec, 16x64xi32", "src1": "vec, 16x64xi32", "dst": MASK}, attributes={"cmpMode": f"cmp {mode}"}) for mode in ("eq", "ne")),
    Case("pto.tcmps", {"src": "vec, 16x64xi32", "dst": MASK}, {"scalar": 3}),
]

SELECTIONS = [
    *(
        Case(
            "pto.tsel",
            {"mask": MASK, **dict.fromkeys(("src0", "src1"), f"vec, 16x64x{dtype}"), "tmp": "vec, 1x32xui8", "dst": f"vec, 16x64x{dtype}"},
            data={"mask": "mask"},
        )
        for dtype in ("f32", "f16", "i32", "i16")
    ),
    *(
        Case(
            "pto.tsels",
            {"mask": MASK, "src": f"vec, 16x64x{dtype}, valid=16x61", "tmp": "vec, 1x32xui8", "dst": f"vec, 16x64x{dtype}, valid=16x61"},
            {"scalar": scalar},
            data={"mask": "mask"},
        )
        for dtype, scalar in (("f32", -1.5), ("f16", -1.5), ("i32", 7), ("i16", 7))
    ),
    Case("pto.tprelu", {"src0": "vec, 16x64xf32", "src1": "vec, 16x64xf32", "tmp": "vec, 17x64xui8", "dst": "vec, 16x64xf32"}),
    Case("pto.tprelu", {"src0": "vec, 16x64xf16", "src1": "vec, 16x64xf16", "tmp": "vec, 17x64xui8", "dst": "vec, 16x64xf16"}),
]

FILLS = [
    *(Case("pto.texpands", {"dst": f"vec, 16x64x{dtype}, valid=15x50"}, {"scalar": 2.5}) for dtype in ("f32", "f16", "bf16")),
    *(Case("pto.texpands", {"dst": f"vec, 16x64{dtype}"}, {"scalar": 7}) for dtype in INTEGERS),
    Case("pto.texpands", {"dst": "mat, 32x64xf16"}, {"scalar": 1.5}),
    Case("pto.tci", {"dst": "vec, 1x64xi32"}, {"start": 10}),
    Case("pto.tci", {"dst": "vec, 1x64xi16, valid=1x50"}, {"start": 10}, {"descending": True}),
    *(
        Case("pto.ttri", {"dst": f"vec, 16x32x{dtype}, valid=15x30"}, {"diagonal": diagonal}, {"upperOrLower": upper})
        for dtype in ("f32", "i16")
        for diagonal in (0, 3, -4, 40)
        for upper in (0, 1)
    ),
]

PARTIAL = [
    Case(f"pto.{op}", {"src0": f"vec, 16x64x{dtype}{a}", "src1": f"vec, 16x64x{dtype}{b}", "dst": f"vec, 16x64x{dtype}"})
    for op in ("tpartadd", "tpartmul", "tpartmax", "tpartmin")
    for dtype, a, b in (("f32", "", ""), ("f16", "", ", valid=9x64"), ("i32", ", valid=16x40", ""), ("i16", "", ", valid=10x33"), ("f32", "", ", valid=0x64"))
]

CASES = [*BINARY, *UNARY, *WITH_SCALAR, *REMAINDERS, *BITWISE, *COMPARISONS, *SELECTIONS, *FILLS, *PARTIAL]
