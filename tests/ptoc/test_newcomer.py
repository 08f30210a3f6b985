"""What goes wrong on a first day with the tool: each mistake is told in one paragraph that says where and what to do."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ptoc
from ptoc.cli import main
from ptoc.dialect.errors import ArgumentError, BoundsError, CapacityError, ParseError, PtocError, VerifyError

HEAD = '''import numpy as np
import ptoc
from ptoc import f32, i32


@ptoc.kernel
def k(x: ptoc.Tensor["N", 16, f32], y: ptoc.Out["N", 16, f32], N):
    """A kernel."""
    t = ptoc.tile([8, 16], f32)
'''
COPY = "ptoc.load(t, x[0:8, :])\nptoc.store(y[0:8, :], t)"


def kernel_file(folder: Path, body: str, after: str = "") -> str:
    path = folder / "k.py"
    path.write_text(HEAD + textwrap.indent(body, "    ") + "\n\n\n" + after)
    return str(path)


WRONG = [
    ("ptoc.load(t[8, :], x[0:1, :])", ParseError, "an element of a tile must lie inside it, counted from 0; got 8 of 8"),
    ("ptoc.load(t[-1, :], x[0:1, :])", ParseError, "an element of a tile must lie inside it, counted from 0; got -1 of 8"),
    ("ptoc.load(t[0:1, :], x[-1, :])", ParseError, "an element of a view must lie inside it, counted from 0; got -1 of"),
    ("ptoc.load(t, x[-8:, :])", ParseError, "a part of a view must lie inside it; got -8:<a number known at run time>"),
    ("ptoc.load(t[4:4, :], x[0:4, :])", ParseError, "a part of a tile must hold at least one element; got 0x16"),
    ("for r in x:\n    pass", ParseError, "a tensor cannot be iterated over: for a loop use 'for i in ptoc.range"),
    ("for r in t:\n    pass", ParseError, "a tile cannot be iterated over: take parts of it"),
    ("with ptoc.when(N > 2):\n    return", ParseError, "k.py:11: a Python 'return' inside 'with' would leave out .* ptoc.return_if"),
    ("for i in ptoc.range(N):\n    with ptoc.when(i > 2):\n        continue", ParseError, "k.py:12: a Python 'continue' inside 'with'"),
    ("for i in range(3):\n    with ptoc.when(N > i):\n        break", ParseError, "k.py:12: a Python 'break' inside 'with'"),
    ("for i in ptoc.range(N):\n    return", ParseError, "'break' cannot leave a ptoc.range loop, nor can 'return'"),
    ("for i in ptoc.range(N):\n    u = ptoc.tile([8, 16], f32)\n    ptoc.load(u, x[0:8, :])\nptoc.store(y[0:8, :], u)", VerifyError, "k.py:13: a tile, view or number made inside a loop"),
    ("ptoc.add(t, t, 1.0)", ParseError, "add: src1 must be a tile or a view; got 1.0; with a number: adds"),
    ("ptoc.muls(t, t, t)", ParseError, r"muls: scalar must be a number; got tile\(8x16xf32, vec\); with a tile: mul"),
    ("ptoc.expands(ptoc.tile([8, 16], i32), 1.5)", ParseError, "1.5 is no number of i32: an integer of 32 bits is expected"),
    ("ptoc.expands(ptoc.tile([8, 16], i32), 1 << 40)", ParseError, "1099511627776 is no number of i32"),
    ("ptoc.tile([8, 16], f32, slots=0)", ParseError, "tile: slots must be a positive integer known when compiling; got 0"),
    ("ptoc.tile([8, 16], f32, valid=8)", ParseError, r"tile: valid is a pair, \(rows, columns\); got 8"),
    ("ptoc.tile(8, f32)", ParseError, "tile: a shape of two or three positive integers .* got 8"),
    ("t.reshape(16, 8, layout='foo')", ParseError, "reshape: layout must be one of nd dn nz zn zz nn; got 'foo'"),
    ("ptoc.load(ptoc.tile([8, 16], f32, slots=2), x[0:8, :])", ParseError, "load: dst must be a tile, a view or a number; got 2 slots of a tile"),
    ("p = ptoc.pipe('c2v', (15, 16), f32)", ParseError, "pipe: split 'up_down' gives each vector core half of the rows, an even number; got 15"),
    ("p = ptoc.pipe('c2v', 16, f32)", ParseError, "pipe: the shape of an entry is two positive integers"),
    ("u = ptoc.tile([8, 16], f32, addr=7)\nptoc.load(u, x[0:8, :])\nptoc.store(y[0:8, :], u)", CapacityError, "at 7: an address in ub is a multiple of 32 bytes"),
    ("for i in ptoc.range(8 // (ptoc.minimum(N, 1) - 1)):\n    " + COPY.replace("\n", "\n    "), ArgumentError, "a division by zero or a loop of step zero"),
    ("for i in ptoc.range(0, 8, ptoc.minimum(N, 1) - 1):\n    " + COPY.replace("\n", "\n    "), ArgumentError, "a division by zero or a loop of step zero"),
    ("n = N - 100\nptoc.load(t[0:n, :], x[0:n, :])\nptoc.store(y[0:n, :], t[0:n, :])", BoundsError, "has -84x16 elements: a size must not be negative"),
    ("for i in ptoc.range(2):\n    ptoc.load(t[i * 8 : i * 8 + 8, :], x[0:8, :])", BoundsError, r"is a part of 8x16 from \(8, 0\) on of a tile of 8x16"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "error", "message"), WRONG)
def test_a_wrong_kernel_is_told_so(body: str, error: type[PtocError], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message) as caught:
        ptoc.run(kernel_file(tmp_path, body), N=16)
    assert re.match(r"k\.py:\d+: ", str(caught.value)) or error is ArgumentError


def test_things_that_look_wrong_but_are_right(tmp_path: Path) -> None:
    body = """
for i in ptoc.range(2):
    for j in range(3):
        if j == 1:
            continue
        with ptoc.when(i < 1):
            for _ in range(4):
                break
            ptoc.load(t, x[0:8, :])
            ptoc.adds(t, t, np.float32(2))
            ptoc.store(y[j * 4 : j * 4 + 8, :], t)
for u in ptoc.tile([8, 16], f32, slots=2):
    ptoc.load(u, x[8:16, :])
print(x, t, N)
"""
    x = np.arange(256, dtype=np.float32).reshape(16, 16)
    got = ptoc.run(kernel_file(tmp_path, body), N=16, inputs={"x": x}, check=True).outputs["y"]
    assert got.tobytes() == np.concatenate([x[0:8] + 2, x[0:8] + 2]).tobytes()


def told(*arguments: object) -> str:
    """Standard error of a command that fails; it is one error and no traceback."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("error: ")
    return result.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that a first day brings."""
    (tmp_path / "empty.pto").write_text("")
    (tmp_path / "empty.sim.mlir").write_text("")
    (tmp_path / "binary.py").write_bytes(bytes(range(256)))
    kernel_file(tmp_path, COPY)
    np.save(tmp_path / "wide.npy", np.zeros((16, 16)))
    np.save(tmp_path / "complex.npy", np.zeros((16, 16), complex))
    np.save(tmp_path / "shape.npy", np.zeros((3, 5), np.float32))
    with (tmp_path / "archive.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3), b=np.zeros(3))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "empty.pto"], "empty.pto: no function with a body, so there is nothing to compile"),
        (["run", "empty.sim.mlir"], "empty.sim.mlir: no kernel in it"),
        (["run", "binary.py"], "binary.py:1: not Python"),
        (["run", "vector_add", "-D", "N=99999999999999999999"], "tensor 'x' of 99999999999999999999 would take"),
        (["run", "vector_add", "-D", "TILE=0"], r"vector_add.py:\d+: kernel vector_add: its cores function fails for TILE=0.*ZeroDivisionError"),
        (["run", "vector_add", "-D", "TILE=-5"], "its cores function must give at least 1 block; it gives -200000 for TILE=-5"),
        (["run", "vector_add", "--case", "small", "--cores", "1000"], "1000 blocks are more than the 48 aiv cores of ascend910b1"),
        (["run", "k.py", "-D", "N=16", "-D", "x=complex.npy"], "tensor 'x' is of f32; got complex128; convert it first"),
        (["run", "k.py", "-D", "N=16", "-D", "x=shape.npy"], r"tensor 'x' must have shape \(16, 16\); got \(3, 5\)"),
        (["run", "k.py", "-D", "N=16", "-D", "x=archive.npy"], "not a numpy file of one array, but an archive of several"),
        (["run", "out/k.pto", "-D", "x=complex.npy"], "-D x: the tensor has elements of f32; got complex128; convert it first"),
        (["run", "out/k.pto", "-D", "x=99999999x99999999:f32"], "tensor 'x' of 99999999x99999999 would take"),
        (["run", "out/k.pto", "--cores", "0"], "--cores must be at least 1; got 0"),
    ],
)
def test_a_wrong_command_is_told_so(arguments: list[str], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if "out/k.pto" in arguments:
        assert CliRunner().invoke(main, ["compile", "k.py", "-D", "N=16", "--emit", "pto", "-o", "out"]).exit_code == 0
    assert re.search(message, told(*arguments))


def test_a_tensor_of_a_python_kernel_comes_from_a_file(folder: Path) -> None:
    np.save(folder / "x.npy", np.arange(256.0).reshape(16, 16))
    done = CliRunner().invoke(main, ["run", str(folder / "k.py"), "-D", "N=16", "-D", f"x={folder / 'x.npy'}", "--save", str(folder / "out")])
    assert done.exit_code == 0, done.output
    assert np.load(folder / "out" / "y.npy")[:8].tobytes() == np.arange(128, dtype=np.float32).tobytes()


def test_a_simulator_file_may_be_renamed(folder: Path) -> None:
    assert CliRunner().invoke(main, ["compile", str(folder / "k.py"), "-D", "N=16", "--emit", "sim", "-o", str(folder)]).exit_code == 0
    (folder / "k.sim.mlir").rename(folder / "other.sim.mlir")
    assert CliRunner().invoke(main, ["run", str(folder / "other.sim.mlir")]).exit_code == 0
    assert "is for arch a3, chip ascend950pr is a5" in told("run", folder / "other.sim.mlir", "--chip", "ascend950pr")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("x + np.zeros(3)", r"k.py:\d+: kernel k: its reference function fails for .*ValueError: operands could not be broadcast"),
        ("x[:3]", r"its reference must give 1 arrays, 'y' of shape \(16, 16\); it gives \(3, 16\)"),
        ("(x, x)", r"its reference must give 1 arrays, 'y' of shape \(16, 16\); it gives \(16, 16\), \(16, 16\)"),
    ],
)
def test_a_wrong_reference_is_told_so(returned: str, message: str, tmp_path: Path) -> None:
    after = f"@k.reference\ndef reference(x):\n    return {returned}\n"
    with pytest.raises(ArgumentError, match=message):
        ptoc.run(kernel_file(tmp_path, COPY, after), N=16)


def test_a_reference_may_be_a_function_of_numpy(tmp_path: Path) -> None:
    whole = "for i in ptoc.range(2):\n    ptoc.load(t, x[i * 8 : i * 8 + 8, :])\n    ptoc.store(y[i * 8 : i * 8 + 8, :], t)"
    assert ptoc.run(kernel_file(tmp_path, whole, "k.reference(np.positive)\n"), N=16).passed
    with pytest.raises(ArgumentError, match=r"kernel k: its reference function fails for .*: TypeError: add"):
        ptoc.run(kernel_file(tmp_path, whole, "k.reference(np.add)\n"), N=16)


def test_a_size_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"size 'N' must be a whole number; got 2\.5"):
        ptoc.run("vector_add", N=2.5)
    assert ptoc.run("vector_add", N=np.int64(7)).passed


def test_a_part_that_wraps_into_the_next_rows_is_out_of_bounds() -> None:
    @ptoc.kernel
    def k(x: ptoc.Tensor[24, "N", ptoc.f32], y: ptoc.Out[24, "N", ptoc.f32], N):
        t = ptoc.tile([8, 64], ptoc.f32)
        ptoc.load(t, x[0:8, N - 32 : N + 32])
        ptoc.store(y[0:8, N - 32 : N + 32], t)

    with pytest.raises(BoundsError, match=r"'pto.tload' on aiv0.0: operand 'src' is a part of 8x64 from \(0, 8\) on of a view of 24x40"):
        ptoc.run(k, N=40)


@pytest.mark.parametrize(("kernel", "sizes", "own"), [("reduce", {"N": 100_000, "P": 4}, 4), ("paged_softmax", {}, 2), ("paged_update", {}, 2)])
def test_a_kernel_for_an_exact_number_of_blocks_refuses_others(kernel: str, sizes: dict, own: int) -> None:
    assert ptoc.run(kernel, cores=own, **sizes).passed
    with pytest.raises(ArgumentError, match=f"kernel {kernel} does its work on exactly {own} blocks for .*; got 1"):
        ptoc.run(kernel, cores=1, values=False, **sizes)
