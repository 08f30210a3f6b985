"""Cases of dialect/ops/selection.py and sdma.py."""

from . import Case

CASES: list[Case] = []
"""None that the library could run: it has no such calls."""

LOCAL_CASES = [
    Case(
        "pto.tcompress",
        {"src": "vec, 1x64xf32", "limit": "vec, 1x8xf32, valid=1x1", "payload": "vec, 1x64xi32", "count": "vec, 1x8xi32, valid=1x1", "dst": "vec, 1x48xi32"},
        attributes={"cmpMode": "cmp gt"},
        data={"src": "quarters:2", "limit": "zeros", "payload": "permutation", "count": "index:4"},
    ),
    Case(
        "pto.tcompress",
        {"src": "vec, 1x64xf32, valid=1x50", "limit": "vec, 1x8xf32, valid=1x1", "payload": "vec, 1x64xi32, valid=1x50", "count": "vec, 1x8xi32, valid=1x1", "dst": "vec, 1x8xi32"},
        attributes={"cmpMode": "cmp le"},
        data={"src": "quarters:2", "limit": "zeros", "payload": "permutation", "count": "zeros"},
    ),
    Case(
        "pto.tsdma_gather",
        {"rows": "gm, 40x24xf16", "index": "gm, 1x9xi32", "dst": "gm, 9x24xf16"},
        attributes={"domain": "sdma_domain hbm"},
        data={"index": "index:40"},
    ),
    Case(
        "pto.tsdma_gather",
        {"rows": "gm, 16x8xf32", "index": "gm, 1x5xi32", "dst": "gm, 1x5x8xf32"},
        attributes={"domain": "sdma_domain on_chip"},
        data={"index": "index:16"},
    ),
]
