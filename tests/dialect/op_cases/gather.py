"""Cases of gathers and scatters."""

from . import Case

CASES = (
    [
        Case("pto.tgather", tiles, attributes={"src_cols": 64}, data={"indices": f"index:{limit}"})
        for limit, tiles in (
            (512, {"src": "vec, 8x64xf32", "indices": "vec, 4x32xi32", "dst": "vec, 4x32xf32", "tmp": "vec, 4x32xi32"}),
            (600, {"src": "vec, 8x64xf16", "indices": "vec, 4x32xui32, valid=3x20", "dst": "vec, 4x32xf16, valid=3x20", "tmp": "vec, 4x32xui32"}),
        )
    ]
    + [
        Case("pto.tgather", {"src": "vec, 4x64xf32", "dst": f"vec, 4x{cols}xf32"}, attributes={"maskPattern": f"mask_pattern {pattern}"})
        for pattern, cols in (("P0101", 32), ("P1010", 32), ("P0001", 16), ("P0010", 16), ("P0100", 16), ("P1000", 16), ("P1111", 64))
    ]
    + [
        Case(
            "pto.tgather",
            {"src": "vec, 4x64xf32", "dst": "vec, 4x64xi32", "cdst": "vec, 1x8xi32, valid=1x4", "tmp": "vec, 4x64xui8"},
            {"k_value": 2.0},
            {"cmpMode": f"cmp {mode}", "offset": 100},
            {"src": "index:5"},
        )
        for mode in ("eq", "gt")
    ]
    + [
        Case("pto.tgatherb", {"src": "vec, 8x64xf32", "offsets": "vec, 4x8xui32", "dst": "vec, 4x64xf32"}, data={"offsets": "block:64"}),
        Case("pto.tgatherb", {"src": "vec, 8x64xf16", "offsets": "vec, 4x8xui32, valid=4x2", "dst": "vec, 4x64xf16, valid=4x32"}, data={"offsets": "block:32"}),
    ]
    + [
        Case("pto.tscatter", {"src": "vec, 4x64xf32", "indexes": "vec, 4x64xi32", "dst": "vec, 4x64xf32"}, data={"indexes": "permutation"}),
    ]
    + [
        Case("pto.mgather", {"mem": "gm, 32x64xf32", "idx": idx, "dst": dst}, attributes=attributes, data={"idx": f"index:{limit}"})
        for idx, dst, attributes, limit in (
            ("vec, 8x16xi32", "vec, 8x16xf32", {}, 2048),
            ("vec, 8x16xi32", "vec, 8x16xf32", {"gatherOob": "gather_oob clamp"}, 5000),
            ("vec, 8x16xi32", "vec, 8x16xf32", {"gatherOob": "gather_oob wrap"}, 5000),
            ("vec, 8x16xi32", "vec, 8x16xf32", {"gatherOob": "gather_oob zero"}, 5000),
        )
    ]
    + [
        Case("pto.mscatter", {"src": src, "idx": idx, "mem": "gm, 32x64xf32"}, attributes=attributes, data={"idx": f"index:{limit}"})
        for src, idx, attributes, limit in (
            ("vec, 8x16xf32", "vec, 8x16xi32", {}, 64),
            ("vec, 8x16xf32", "vec, 8x16xi32", {"scatterAtomicOp": "scatter_atomic_op add"}, 64),
            ("vec, 8x16xf32", "vec, 8x16xi32", {"scatterAtomicOp": "scatter_atomic_op max"}, 64),
            ("vec, 8x16xf32", "vec, 8x16xi32", {"scatterAtomicOp": "scatter_atomic_op min"}, 64),
            ("vec, 8x16xf32", "vec, 8x16xi32", {"scatterOob": "scatter_oob skip"}, 5000),
            ("vec, 8x16xf32", "vec, 8x16xi32", {"scatterOob": "scatter_oob wrap"}, 5000),
            ("vec, 8x16xf32", "vec, 8x16xi32", {"scatterOob": "scatter_oob clamp"}, 5000),
        )
    ]
)

ROWS = {"coalesce": "coalesce row"}

LOCAL_CASES = [
    Case("pto.tscatter", {"src": "vec, 4x64xf16", "indexes": "vec, 4x64xi16, valid=3x20", "dst": "vec, 8x64xf16"}, data={"indexes": "index:512"}),
    Case("pto.tscatter", {"src": "vec, 4x64xi8", "indexes": "vec, 4x64xui16", "dst": "vec, 4x64xi8"}, data={"indexes": "index:256"}),
    Case("pto.mgather", {"mem": "gm, 32x64xf32", "idx": "vec, 1x8xi32", "dst": "vec, 8x64xf32"}, attributes=ROWS, data={"idx": "index:32"}),
    Case("pto.mscatter", {"src": "vec, 8x64xf32", "idx": "vec, 1x8xi32", "mem": "gm, 32x64xf32"}, attributes=ROWS, data={"idx": "index:32"}),
]
"""Cases that the library's CPU build does not have or does otherwise: it does not clear what a scatter leaves out."""
