"""Cases of loads and stores: views of several ranks and layouts, conversions of accumulators, atomic addition."""

from ptoc.dialect.fixpipe import control_word

from . import Case

ACC = ", blayout=col_major, slayout=row_major, fractal=1024"
NZ = ", blayout=col_major, slayout=row_major"

CASES = (
    [
        Case("pto.tload", {"src": src, "dst": dst})
        for src, dst in (
            ("gm, 16x64xf32", "vec, 16x64xf32"),
            ("gm, 13x50xf16", "vec, 16x64xf16, valid=13x50"),
            ("gm, 1x2x1x8x32xf32", "vec, 16x32xf32"),
            ("gm, 1x1x1x16x1xf32", "vec, 16x1xf32, blayout=col_major"),
            ("gm, 128x64xf16", f"mat, 128x64xf16{NZ}"),
            ("gm, 60x30xbf16", f"mat, 64x32xbf16, valid=60x30{NZ}"),
            ("gm, 1x4x2x16x16xf16", f"mat, 32x64xf16{NZ}"),
            ("gm, 64x128xf16", "mat, 64x128xf16, blayout=row_major, slayout=col_major"),
        )
    ]
    + [
        Case("pto.tstore", {"src": src, "dst": dst}, attributes=attributes)
        for src, dst, attributes in (
            ("vec, 16x64xf32, valid=13x50", "gm, 13x50xf32", {}),
            ("vec, 16x32xi8", "gm, 1x1x2x8x32xi8", {}),
            ("vec, 16x64xf32", "gm, 16x64xf32", {"atomicType": "atomic_type atomic_add"}),
            (f"acc, 32x32xf32, valid=30x20{ACC}", "gm, 30x20xf32", {}),
            (f"acc, 32x32xf32{ACC}", "gm, 32x32xf16", {"reluPreMode": "relu_pre_mode normal_relu"}),
            (f"acc, 32x32xf32{ACC}", "gm, 32x32xbf16", {}),
            (f"acc, 32x32xi32{ACC}", "gm, 32x32xi32", {}),
            (f"acc, 32x32xi32{ACC}", "gm, 32x32xf16", {}),
            (f"acc, 32x32xf32{ACC}", "gm, 32x32xf32", {"atomicType": "atomic_type atomic_add", "reluPreMode": "relu_pre_mode normal_relu"}),
        )
    ]
    + [
        Case("pto.tstore", {"src": src, "dst": dst}, {"pre_quant_scalar": word}, attributes)
        for src, dst, word, attributes in (
            (f"acc, 32x32xf32{ACC}", "gm, 32x32xi8", control_word(37.5, 3), {}),
            (f"acc, 32x32xi32{ACC}", "gm, 32x32xi8", control_word(20.0), {"reluPreMode": "relu_pre_mode normal_relu"}),
            (f"acc, 32x32xi32{ACC}", "gm, 32x32xf16", control_word(0.25), {}),
            (f"acc, 32x32xf32{ACC}", "gm, 32x32xui8", control_word(90.0, 5, signed=False), {}),
        )
    ]
    + [Case("pto.tstore_fp", {"src": f"acc, 16x32xf32{ACC}", "fp": "scaling, 1x32xi64", "dst": "gm, 16x32xi8"}, data={"fp": "control_word"})]
    + [Case("pto.tprefetch", {"src": "gm, 16x64xf32", "dst": "vec, 16x64xf32"})]
)
