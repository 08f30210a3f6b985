"""Cases of sorting."""

from . import Case

CASES = (
    [
        Case("pto.tsort32", tiles, data={"idx": "permutation", "src": data})
        for tiles, data in (
            ({"src": "vec, 4x64xf32", "idx": "vec, 4x64xui32", "dst": "vec, 4x128xf32"}, ""),
            ({"src": "vec, 2x32xf16", "idx": "vec, 2x32xui32", "dst": "vec, 2x128xf16"}, "index:9"),
            (
                {"src": "vec, 2x64xf32, valid=2x50", "idx": "vec, 2x64xui32, valid=2x50", "dst": "vec, 2x128xf32, valid=2x100", "tmp": "vec, 1x64xf32"},
                "",
            ),
        )
    ]
    + [
        Case("pto.tmrgsort", {"src0": src, "dst": src}, {"block_len": block}, data={"src0": f"sorted:{block}"})
        for src, block in (("vec, 1x256xf32", 64), ("vec, 1x512xf32", 64), ("vec, 1x512xf16", 128))
    ]
    + [
        Case("pto.tmrgsort", {f"src{k}": f"vec, 1x{n}xf32" for k, n in enumerate(sizes)} | {"dst": f"vec, 1x{sum(sizes)}xf32", "tmp": f"vec, 1x{sum(sizes)}xf32"}, {"excuted": 0}, {"exhausted": early}, {f"src{k}": "sorted" for k in range(len(sizes))})
        for sizes in ((64, 64), (64, 32, 128), (64, 64, 64, 64))
        for early in (False, True)
    ]
    + [
        Case("pto.thistogram", {"src": "vec, 4x64xui16", "idx": "vec, 4x32xui8, valid=4x1", "dst": "vec, 4x256xui32"}, attributes={"isMSB": msb}, data={"src": "index:600", "idx": "index:3"})
        for msb in (True, False)
    ]
)

LOCAL_CASES = [
    Case("pto.tsort32", {"src": "vec, 2x64xf16", "idx": "vec, 2x64xui32", "dst": "vec, 2x256xf16"}, data={"idx": "permutation", "src": "index:9"})
]
"""The library's CPU build lets neighbouring blocks of f16 overlap; the device does not (TSort32.hpp, HALF_DST_STRIDE_COEF)."""
