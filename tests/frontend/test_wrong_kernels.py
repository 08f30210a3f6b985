"""Kernels that are wrong: each is refused in one paragraph, at the line of the user's file that is marked `# wrong`."""

from pathlib import Path

import pytest

from ptoc import load_kernel
from ptoc.dialect.errors import ArgumentError, CapacityError, ParseError, PtocError, VerifyError

HEAD = """import ptoc
from ptoc import L0A, L0B, L0C, L1, f16, f32


@ptoc.kernel
def kernel(x: ptoc.Tensor["M", "N", f32], y: ptoc.Out["M", "N", f32], M, N, *, T: int = 64):
    a = ptoc.tile([8, 64], f32)
"""

WRONG = [
    # control flow
    ("if M > 3:  # wrong\n    pass", ParseError, "a condition that is known at run time cannot decide a Python 'if'; use 'with ptoc.when"),
    ("if M:  # wrong\n    pass", ParseError, "a number that is known at run time cannot decide a Python 'if'"),
    ("for i in range(M):  # wrong\n    pass", ParseError, "cannot be a Python integer; for a loop use 'for i in ptoc.range"),
    ("for i in ptoc.range(4, step=0):  # wrong\n    pass", ParseError, "range: step must be at least 1; got 0"),
    ("for i in ptoc.range(4, stages=0):  # wrong\n    pass", ParseError, "range: stages must be at least 1; got 0"),
    ("for i in ptoc.range(M):\n    break  # wrong", ParseError, "'break' cannot leave a ptoc.range loop"),
    ("with ptoc.when(M):  # wrong\n    pass", ParseError, "when: a condition such as 'i < n' is expected"),
    ("ptoc.program_id(2, (4, M))  # wrong", ParseError, "program_id: the axis must be 0 to 1; got 2"),
    ("with ptoc.cube():\n    with ptoc.vector():  # wrong\n        pass", ParseError, "a vector section cannot stand inside a cube section"),
    # tiles and views
    ("x.number(0, 1)  # wrong", ParseError, "number: a whole tensor of integers is expected; got view"),
    ("ptoc.tile([8, M], f32)  # wrong", ParseError, "tile: a shape of .* known when compiling is expected"),
    ("ptoc.tile([8, 0], f32)  # wrong", ParseError, "tile: a shape of"),
    ("ptoc.tile([8, 64], 'f32')  # wrong", ParseError, "tile: an element type such as ptoc.f32 is expected; got 'f32'"),
    ("ptoc.tile([8, 64], f32, 'HBM')  # wrong", ParseError, "tile: the memory must be one of UB L1 L0A L0B L0C BIAS SCALING; got 'HBM'"),
    ("ptoc.tile([8, 64], f32, valid=(9, 64))  # wrong", ParseError, "tile: valid rows must be 0 to 8; got 9"),
    ("ptoc.tile([8, 64], f32, layout='xy')  # wrong", ParseError, "tile: layout must be one of nd dn nz zn zz nn; got 'xy'"),
    ("a[0:4]  # wrong", ParseError, r"a part of a tile is named by two slices: tile\[a:b, c:d\]"),
    ("a[0:9, :]  # wrong", ParseError, "a part of a tile must lie inside it; got 0:9 of 8"),
    ("a[0:8:2, :]  # wrong", ParseError, "a part of a tile has no step"),
    ("a.reshape(8, 65)  # wrong", ParseError, "reshape: 2048 bytes cannot become 2080"),
    ("ptoc.tile([8, 64], f32, slots=2)[2]  # wrong", ParseError, "slot 2 of 2 does not exist"),
    ("x[0:8, 0:64, 0:1]  # wrong", ParseError, "3 indices for a view of 2 axes"),
    ("x[0:8, :].T  # wrong", ParseError, "only a whole two-dimensional tensor can be transposed"),
    # ops
    ("ptoc.add(a, a, 'a')  # wrong", ParseError, "add: src1 must be a tile, a view or a number; got 'a'"),
    ("ptoc.add(a, a)  # wrong", ParseError, r"add: operand 'src1' is missing; the call is add\(dst, src0, src1\)"),
    ("ptoc.add(a, a, a, a)  # wrong", ParseError, r"add: 3 operands are expected \(dst, src0, src1\); got 4"),
    ("ptoc.cvt(a, a, mode='up')  # wrong", ParseError, "pto.tcvt has no attribute 'mode'; known:"),
    ("ptoc.addd(a, a, a)  # wrong", ParseError, "AttributeError: module 'ptoc' has no attribute 'addd'"),
    ("a.rows()  # wrong", ParseError, "AttributeError: 'Tile' object has no attribute 'rows'"),
    ("ptoc.add(a, a, ptoc.tile([8, 64], f16))  # wrong", VerifyError, "'pto.tadd': all tiles must have one element type; got src0 f32, src1 f16, dst f32"),
    ("ptoc.add(a, a, ptoc.tile([8, 32], f32))  # wrong", VerifyError, "'pto.tadd': all tiles must have the same valid columns"),
    ("ptoc.tile([100, 64], f16, L1)  # wrong", VerifyError, "'pto.alloc_tile': a tile in l1 consists of whole boxes of 16x16 f16; got 100x64; take a larger tile"),
    ("ptoc.tile([16, 12], f16, L0A)  # wrong", VerifyError, "'pto.alloc_tile': a tile in l0a consists of whole boxes of 16x16 f16; got 16x12"),
    ("ptoc.tile([16, 20], f32, L1, slots=2)  # wrong", VerifyError, "'pto.alloc_multi_tile': a tile in l1 consists of whole boxes of 16x8 f32; got 16x20"),
    ("ptoc.exp(a, ptoc.tile([16, 64], f32, L1))  # wrong", VerifyError, "'pto.texp': src must be a vec tile; got mat"),
    ("ptoc.matmul(ptoc.tile([16, 16], f32, L0C), ptoc.tile([16, 16], f16, L0A), ptoc.tile([32, 16], f16, L0B))  # wrong", VerifyError, "'pto.tmatmul': k: lhs columns and rhs rows must be equal; got 16 and 32"),
    # pipes
    ("ptoc.pipe('up', (8, 64), f32)  # wrong", ParseError, "pipe: the direction must be 'c2v' .* or 'v2c'; got 'up'"),
    ("ptoc.pipe('c2v', (8, 64), f32, slots=0)  # wrong", ParseError, "pipe: at least one slot is needed; got 0"),
    ("ptoc.pipe('c2v', (8, 64), f32, split='rows')  # wrong", ParseError, "pipe: split must be one of none, up_down, left_right; got 'rows'"),
    ("with ptoc.cube():\n    ptoc.pipe('c2v', (8, 64), f32)  # wrong", ParseError, "a pipe belongs to both kinds of core: make it before the sections"),
    ("p = ptoc.pipe('c2v', (8, 64), f32)\n    with ptoc.vector():\n        p.alloc()  # wrong".replace("\n    ", "\n"), ParseError, "pipe: alloc of a c2v pipe belongs into the cube section; this is the vector part"),
]


def written(folder: Path, body: str) -> tuple[str, int]:
    """The kernel's file, and the number of the line that is marked."""
    text = HEAD + "".join(f"    {line}\n" for line in body.split("\n"))
    path = folder / "kernel.py"
    path.write_text(text)
    return str(path), next(n for n, line in enumerate(text.split("\n"), 1) if "# wrong" in line)


@pytest.mark.parametrize(("body", "kind", "message"), WRONG, ids=[w[0].replace("\n", " ")[:60] for w in WRONG])
def test_a_wrong_kernel_is_refused_at_its_line(body: str, kind: type[PtocError], message: str, tmp_path: Path) -> None:
    path, line = written(tmp_path, body)
    kernel = load_kernel(path)
    with pytest.raises(kind, match=message) as caught:
        kernel.trace()
    assert str(caught.value).startswith(f"kernel.py:{line}: ")
    assert str(tmp_path) not in str(caught.value)


def test_tiles_that_do_not_fit_give_the_memory_map(tmp_path: Path) -> None:
    path, line = written(tmp_path, "b = ptoc.tile([512, 64], f32)\nc = ptoc.tile([512, 64], f32)\nptoc.exp(c, b)  # wrong")
    import ptoc

    with pytest.raises(CapacityError, match=r"ub overflows: .*\nmemory map of ub here") as caught:
        ptoc.compile(load_kernel(path))
    assert f"kernel.py:{line - 2}" in str(caught.value)
    assert f"kernel.py:{line - 1}" in str(caught.value)


DECLARED = [
    ("def kernel(): pass", ParseError, "kernel.py:5: kernel 'kernel' takes no tensor"),
    ('def kernel(x: ptoc.Tensor["M", f32], K): pass', ParseError, "kernel.py:5: argument 'K' needs a Tensor annotation"),
    ('def kernel(x: ptoc.Tensor["M", f32], *, T): pass', ParseError, "kernel.py:5: argument 'T' needs a Tensor annotation"),
    ('def kernel(x: ptoc.Tensor["M"]): pass', ParseError, "at least one extent is needed"),
    ('def kernel(x: ptoc.Tensor["M", 3]): pass', ParseError, "the last entry must be an element type such as ptoc.f16, or the name of a parameter; got 3"),
    ('def kernel(x: ptoc.Tensor["M", "T"]): pass', ParseError, "argument 'x': element type or order are asked of 'T', which is no keyword parameter"),
    ('def kernel(x: ptoc.Tensor["M", f32].stored("T")): pass', ParseError, "only a matrix can be stored transposed; got 1 extents"),
    ('def kernel(x: ptoc.Tensor["M", 8, f32].stored("O"), *, O: int = 1): pass', ParseError, "element type or order are asked of 'O'"),
    ('def kernel(x: ptoc.Tensor["M", f32].stored("O"), *, O: str = "nd"): pass', ParseError, "only a matrix can be stored transposed; got 1 extents"),
    ("def kernel(x: ptoc.Tensor[f32]): pass", ParseError, "at least one extent is needed"),
    ("def kernel(x: ptoc.Tensor[0, f32]): pass", ParseError, "an extent is a positive integer or the name of a size; got 0"),
]


@pytest.mark.parametrize(("text", "kind", "message"), DECLARED, ids=[d[0] for d in DECLARED])
def test_a_wrong_declaration_is_refused(text: str, kind: type[PtocError], message: str, tmp_path: Path) -> None:
    path = tmp_path / "kernel.py"
    path.write_text(f"import ptoc\nfrom ptoc import f32\n\n\n@ptoc.kernel\n{text}\n")
    with pytest.raises(kind, match=message):
        load_kernel(str(path))


def test_ops_outside_of_a_kernel_are_refused() -> None:
    import ptoc

    with pytest.raises(ParseError, match=r"test_wrong_kernels.py:\d+: tile operations belong into a function decorated with @ptoc.kernel"):
        ptoc.tile([8, 64], ptoc.f32)


def test_unknown_parameters_and_cases_are_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path, "pass  # wrong")
    kernel = load_kernel(path)
    with pytest.raises(ArgumentError, match="kernel kernel has no parameter 'Q'; known: T"):
        kernel.trace(Q=1)
    with pytest.raises(ArgumentError, match="case odd gives 'K', which is no size or parameter"):
        kernel.case("odd", K=1)
