"""Cases of conversions and quantisation: every pair of types, every rounding mode, ties and values out of range."""

from ptoc.dialect.ops.convert import CONVERSIONS

from . import Case

ROUNDINGS = ("RINT", "ROUND", "FLOOR", "CEIL", "TRUNC", "NONE")
RANGES = {"f32": "quarters:70000", "f16": "quarters:300", "bf16": "quarters:60", "i32": "index:100000", "i64": "index:5000000000", "i16": "index:30000"}


def cvt(src: str, dst: str, mode: str, data: str = "", sat: str = "", tmp: str = "", shape: str = "16x64") -> Case:
    """One conversion."""
    rows, _, valid = shape.partition(" ")
    tiles = {"src": f"vec, {rows}x{src}{valid}", "dst": f"vec, {rows}x{dst}{valid}"} | ({"tmp": tmp} if tmp else {})
    attributes = {"rmode": f"round_mode {mode}"} | ({"sat_mode": f"saturation_mode {sat}"} if sat else {})
    return Case("pto.tcvt", tiles, attributes=attributes, data={"src": data or RANGES.get(src, "")})


PAIRS = [
    cvt(src, dst, mode, shape=("16x64", "8x128 , valid=7x100", "3x256 , valid=3x200")[i % 3])
    for i, mode in enumerate(ROUNDINGS)
    for src, targets in CONVERSIONS.items()
    for dst in targets
]

OTHERS = [
    cvt("f32", "f16", "ODD", "normal", shape="8x64"),
    *(cvt("f32", dst, mode, "normal", shape="8x64") for dst in ("f16", "bf16") for mode in ("RINT", "ROUND", "FLOOR", "CEIL", "TRUNC")),
    *(cvt(src, dst, "RINT", sat="ON") for src, dst in (("f32", "i16"), ("f16", "i8"), ("f16", "ui8"), ("f16", "i16"), ("i32", "i16"), ("i64", "i32"))),
    cvt("f32", "f16", "RINT", sat="ON"),
]

COLUMN = "vec, 16x1xf32, blayout=col_major"
SCRATCH = "vec, 16x64xi32"
QUANTISATIONS = [
    Case("pto.tquant", {"src": "vec, 16x64xf32", "fp": COLUMN, "dst": "vec, 16x64xi8"}, {}, {"quant_type": "quant_type INT8_SYM"}, {"src": "quarters:200"}),
    Case(
        "pto.tquant",
        {"src": "vec, 16x64xf32", "fp": COLUMN, "offset": COLUMN, "dst": "vec, 16x64xui8"},
        {},
        {"quant_type": "quant_type INT8_ASYM"},
        {"src": "quarters:200", "fp": "positive"},
    ),
    Case("pto.tdequant", {"src": "vec, 16x64xi8, valid=16x50", "scale": COLUMN, "offset": COLUMN, "dst": "vec, 16x64xf32, valid=16x50"}),
    Case("pto.tdequant", {"src": "vec, 16x64xi16", "scale": "vec, 16x8xf32, valid=16x1", "offset": "vec, 16x8xf32, valid=16x1", "dst": "vec, 16x64xf32"}),
]

ON_A3 = [
    *(cvt(src, dst, "TRUNC", sat="OFF", tmp="vec, 16x64xi32") for src, dst in (("f32", "i16"), ("f16", "i16"), ("f16", "i8"))),
    Case("pto.tquant", {"src": "vec, 16x64xf32", "fp": COLUMN, "tmp": SCRATCH, "dst": "vec, 16x64xi8"}, {}, {"quant_type": "quant_type INT8_SYM"}, {"src": "quarters:200"}),
    Case(
        "pto.tquant",
        {"src": "vec, 16x64xf32", "fp": COLUMN, "offset": COLUMN, "tmp": SCRATCH, "dst": "vec, 16x64xui8"},
        {},
        {"quant_type": "quant_type INT8_ASYM"},
        {"src": "quarters:200", "fp": "positive"},
    ),
]
"""Forms with scratch, which the library's CPU build does not have."""

CASES = [*PAIRS, *OTHERS, *QUANTISATIONS]
