"""Cases of moves between on-chip memories."""

from ptoc.dialect.fixpipe import control_word

from . import Case

ACC = ", blayout=col_major, slayout=row_major, fractal=1024"
NZ = ", blayout=col_major, slayout=row_major"
LEFT, RIGHT = ", slayout=row_major", ", slayout=col_major"
WINDOW = {"index_row": 16, "index_col": 32}

CASES = (
    [
        Case("pto.tmov", {"src": src, "dst": dst}, attributes=attributes)
        for src, dst, attributes in (
            ("vec, 16x64xf32", "vec, 16x64xf32", {}),
            ("vec, 16x64xf16, valid=13x50", "vec, 16x64xf16, valid=13x50", {}),
            ("vec, 16x1xf32, blayout=col_major", "vec, 16x1xf32, blayout=col_major", {}),
            (f"mat, 32x64xf16{NZ}", f"left, 32x64xf16{LEFT}", {}),
            (f"mat, 64x32xf16{NZ}", f"right, 64x32xf16{RIGHT}", {}),
            ("mat, 1x64xf16", "bias, 1x64xf32", {}),
            ("mat, 1x32xi64", "scaling, 1x32xi64", {}),
            (f"acc, 32x32xf32{ACC}", f"mat, 32x32xf16{NZ}", {"reluPreMode": "relu_pre_mode normal_relu"}),
            (f"acc, 32x32xf32, valid=30x20{ACC}", f"mat, 32x32xbf16, valid=30x20{NZ}", {}),
            (f"acc, 32x32xf32{ACC}", "vec, 32x32xf32", {}),
        )
    ]
    + [
        Case("pto.tmov", {"src": f"acc, 16x32xi32{ACC}", "dst": f"mat, 16x32xi8{NZ}"}, {"pre_quant_scalar": control_word(9.0)}),
        Case("pto.tmov", {"src": f"acc, 16x32xf32{ACC}", "fp": "scaling, 1x32xi64", "dst": f"mat, 16x32xi8{NZ}"}, data={"fp": "control_word"}),
        Case("pto.tmov.fp", {"src": f"acc, 16x32xi32{ACC}", "fp": "scaling, 1x32xi64", "dst": f"mat, 16x32xf16{NZ}"}, data={"fp": "control_word"}),
    ]
    + [
        Case("pto.textract", {"src": src, "dst": dst}, WINDOW)
        for src, dst in (
            (f"mat, 64x128xf16{NZ}", f"left, 32x64xf16{LEFT}"),
            (f"mat, 64x128xf16{NZ}", f"right, 32x64xf16{RIGHT}"),
            ("vec, 32x64xf32", "vec, 8x16xf32"),
            ("vec, 32x64xf32", "vec, 8x16xf32, valid=5x11"),
            ("vec, 32x64xf32", "vec, 1x8xf32, valid=1x1"),
            (f"vec, 64x64xf16{NZ}", f"vec, 16x32xf16{NZ}"),
            (f"acc, 64x64xf32{ACC}", f"mat, 32x32xf16{NZ}"),
        )
    ]
    + [
        Case("pto.tinsert", {"src": src, "dst": dst}, WINDOW)
        for src, dst in (
            ("vec, 8x16xf32", "vec, 32x64xf32"),
            ("vec, 8x16xf32, valid=5x11", "vec, 32x64xf32"),
            (f"acc, 32x32xf32{ACC}", f"mat, 64x64xf16{NZ}"),
            (f"vec, 16x32xf16{NZ}", f"mat, 64x64xf16{NZ}"),
        )
    ]
    + [
        Case(op, {"src": src, "dst": dst}, WINDOW, {"reluPreMode": "relu_pre_mode normal_relu"})
        for op, src, dst in (
            ("pto.textract", f"acc, 64x128xf32{ACC}", f"mat, 32x64xf16{NZ}"),
            ("pto.tinsert", f"acc, 16x32xf32{ACC}", f"mat, 32x64xf16{NZ}"),
        )
    ]
    + [
        Case("pto.textract_fp", {"src": f"acc, 32x64xf32{ACC}", "fp": "scaling, 1x64xi64", "dst": f"mat, 16x32xi8{NZ}"}, WINDOW, data={"fp": "control_word"}),
        Case("pto.tinsert_fp", {"src": f"acc, 16x32xf32{ACC}", "fp": "scaling, 1x32xi64", "dst": f"mat, 32x64xi8{NZ}"}, WINDOW, data={"fp": "control_word"}),
    ]
)
