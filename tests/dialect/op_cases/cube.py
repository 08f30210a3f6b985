"""Cases of the matrix multiplications."""

from . import Case

SHAPES = (
    ("f16", "f32", "16x64", "64x32", "", "", ""),
    ("bf16", "f32", "32x32", "32x16", ", valid=29x20", ", valid=20x11", ", valid=29x11"),
    ("f32", "f32", "16x16", "16x32", "", "", ""),
    ("i8", "i32", "16x64", "64x32", ", valid=16x33", ", valid=33x32", ""),
    ("f16", "f32", "16x64", "64x32", ", valid=1x64", "", ", valid=1x32"),
)


def operands(shape: tuple[str, ...], lhs: str, rhs: str, start: str = "") -> dict[str, str]:
    """The tiles of a product; `start` is what it starts from."""
    factor, total, left, right, *valid = shape
    rows, cols = left.split("x")[0], right.split("x")[1]
    layout = ", blayout=col_major, slayout=row_major, fractal=1024"
    tiles = {
        lhs: f"left, {left}x{factor}{valid[0]}, slayout=row_major",
        rhs: f"right, {right}x{factor}{valid[1]}, slayout=col_major",
        "dst": f"acc, {rows}x{cols}x{total}{valid[2]}{layout}",
    }
    if start == "bias":
        tiles["bias"] = f"bias, 1x{cols}x{total}" + (", valid=1x" + valid[2].split("x")[1] if valid[2] else "")
    elif start:
        tiles[start] = tiles["dst"]
    return tiles



def scaled(start: str = "", rows: int = 16) -> Case:
    """A product with block scales: k = 64 in two groups."""
    tiles = operands(("f8E4M3FN", "f32", "16x64", "64x32", f", valid={rows}x64", "", f", valid={rows}x32"), "a", "b", start)
    tiles |= {"a_scale": f"scaling, 16x2xui8, valid={rows}x2, fractal=32", "b_scale": "scaling, 2x32xui8, fractal=32"}
    if start == "bias":
        tiles["bias"] = "bias, 1x32xf32"
    name = ("tgemv" if rows == 1 else "tmatmul") + ".mx" + {"": "", "c_in": ".acc", "bias": ".bias"}[start]
    return Case(f"pto.{name}", tiles, data={"a_scale": "exponent", "b_scale": "exponent"})


CASES = (
    [Case("pto.tmatmul", operands(shape, "lhs", "rhs")) for shape in SHAPES]
    + [Case("pto.tmatmul.acc", operands(shape, "lhs", "rhs", "acc_in")) for shape in SHAPES[:4]]
    + [Case("pto.tmatmul.bias", operands(shape, "a", "b", "bias")) for shape in SHAPES[:4]]
    + [
        Case("pto.tgemv", operands(SHAPES[4], "lhs", "rhs")),
        Case("pto.tgemv.acc", operands(SHAPES[4], "lhs", "rhs", "acc_in")),
        Case("pto.tgemv.bias", operands(SHAPES[4], "a", "b", "bias") | {"bias": "bias, 1x32xf32"}),
    ]
    + [scaled(start, rows) for rows in (16, 1) for start in ("", "c_in", "bias")]
)
