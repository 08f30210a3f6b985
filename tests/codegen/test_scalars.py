"""Scalar arithmetic and control flow: the emitted C++, compiled by a host compiler, gives what the IR means."""

import shutil
import subprocess
from pathlib import Path

import pytest

from ptoc.codegen.cpu_check import compiler
from ptoc.dialect.errors import NotSupportedError

from .texts import cpp, function

STUB = Path(__file__).with_name("stub")
MAIN = """
#include "kernel.cpp"
#include <cstdio>
int main() { long long out[64] = {}; f((int64_t*)out); for (long long x : out) std::printf("%lld ", x); }
"""

BINARY = [
    ("addi", 7, -9, -2),
    ("subi", 7, -9, 16),
    ("muli", 100_000, 100_000, 10_000_000_000),
    ("divsi", -7, 2, -3),
    ("remsi", -7, 2, -1),
    ("floordivsi", -7, 2, -4),
    ("floordivsi", 7, 2, 3),
    ("floordivsi", 6, -2, -3),
    ("ceildivsi", 7, 2, 4),
    ("ceildivsi", -7, 2, -3),
    ("ceildivsi", 6, 2, 3),
    ("divui", -1, 2, 2**63 - 1),
    ("remui", -1, 10, 5),
    ("minsi", -3, 2, -3),
    ("maxsi", -3, 2, 2),
    ("minui", -3, 2, 2),
    ("maxui", -3, 2, -3),
    ("andi", 12, 10, 8),
    ("ori", 12, 10, 14),
    ("xori", 12, 10, 6),
    ("shli", 3, 4, 48),
    ("shrsi", -16, 2, -4),
    ("shrui", -1, 63, 1),
]

COMPARISONS = [
    ("eq", 0),
    ("ne", 1),
    ("slt", 1),
    ("sle", 1),
    ("sgt", 0),
    ("sge", 0),
    ("ult", 0),
    ("ule", 0),
    ("ugt", 1),
    ("uge", 1),
]


def run(body: str, folder: Path) -> list[int]:
    """What the function `f(%p)` leaves in the 64 integers behind its pointer."""
    (folder / "kernel.cpp").write_text(cpp(function(body)))
    (folder / "main.cpp").write_text(MAIN)
    clang = compiler() or shutil.which("g++")
    if clang is None:
        pytest.skip("no C++ compiler is installed")
    binary = folder / "main"
    subprocess.run([clang, "-std=c++17", "-w", f"-I{STUB}", str(folder / "main.cpp"), "-o", str(binary)], check=True)
    return [int(word) for word in subprocess.run([str(binary)], capture_output=True, text=True, check=True).stdout.split()]


def constants(**values: int) -> str:
    """Constants %name of type index."""
    return "\n".join(f"%{name} = arith.constant {value} : index" for name, value in values.items())


def store(value: str, at: int) -> str:
    """A store of an i64 value into the result."""
    return f"%at{at} = arith.constant {at} : index\npto.store_scalar %{value}, %p[%at{at}] : !pto.ptr<i64>, i64"


def test_binary_ops_compute_what_the_ir_means(tmp_path: Path) -> None:
    lines = []
    for number, (op, left, right, _) in enumerate(BINARY):
        # Loaded at run time, so that nothing is folded.
        lines += [f"%l{number} = arith.constant {left} : i64", f"%r{number} = arith.constant {right} : i64"]
        lines += [f"%v{number} = arith.{op} %l{number}, %r{number} : i64", store(f"v{number}", number)]
    assert run("\n".join(lines), tmp_path)[: len(BINARY)] == [expected for *_, expected in BINARY]


def test_comparisons_and_select(tmp_path: Path) -> None:
    lines = ["%l = arith.constant -1 : i64", "%r = arith.constant 1 : i64"]
    for number, (predicate, _) in enumerate(COMPARISONS):
        lines += [
            f"%c{number} = arith.cmpi {predicate}, %l, %r : i64",
            f"%s{number} = arith.select %c{number}, %r, %l : i64",
            store(f"s{number}", number),
        ]
    assert run("\n".join(lines), tmp_path)[: len(COMPARISONS)] == [1 if holds else -1 for _, holds in COMPARISONS]


def test_floats_and_conversions(tmp_path: Path) -> None:
    body = f"""
      %i = arith.constant 7 : i32
      %x = arith.sitofp %i : i32 to f32
      %half = arith.constant 5.000000e-01 : f32
      %y = arith.mulf %x, %half : f32
      %n = arith.fptosi %y : f32 to i64
      {store("n", 0)}
      %big = arith.constant 3.0 : f32
      %c = arith.cmpf ogt, %y, %big : f32
      %wide = arith.extui %c : i1 to i64
      {store("wide", 1)}
      %long = arith.constant 4294967298 : i64
      %short = arith.trunci %long : i64 to i32
      %again = arith.extsi %short : i32 to i64
      {store("again", 2)}
      %inf = arith.constant 0x7F800000 : f32
      %d = arith.cmpf olt, %y, %inf : f32
      %less = arith.extui %d : i1 to i64
      {store("less", 3)}
    """
    assert run(body, tmp_path)[:4] == [3, 1, 2, 1]


def test_loop_carried_values_are_assigned_in_parallel(tmp_path: Path) -> None:
    """Fibonacci: (a, b) -> (b, a + b)."""
    body = f"""
      {constants(zero=0, ten=10, one=1)}
      %a0 = arith.constant 0 : i64
      %b0 = arith.constant 1 : i64
      %r:2 = scf.for %i = %zero to %ten step %one iter_args(%a = %a0, %b = %b0) -> (i64, i64) {{
        %s = arith.addi %a, %b : i64
        scf.yield %b, %s : i64, i64
      }}
      %first = arith.addi %r#0, %a0 : i64
      {store("first", 0)}
    """
    assert run(body, tmp_path)[0] == 55


def test_branches_give_values_and_nest_in_loops(tmp_path: Path) -> None:
    """Sum of the even numbers below 10, minus one for each odd one."""
    body = f"""
      {constants(zero=0, ten=10, one=1, two=2)}
      %start = arith.constant 0 : i64
      %minus = arith.constant -1 : i64
      %sum = scf.for %i = %zero to %ten step %one iter_args(%x = %start) -> (i64) {{
        %m = arith.remsi %i, %two : index
        %even = arith.cmpi eq, %m, %zero : index
        %d = scf.if %even -> (i64) {{
          %n = arith.index_cast %i : index to i64
          scf.yield %n : i64
        }} else {{
          scf.yield %minus : i64
        }}
        %next = arith.addi %x, %d : i64
        scf.yield %next : i64
      }}
      {store("sum", 0)}
      %never = arith.cmpi eq, %zero, %one : index
      scf.if %never {{
        {store("sum", 1)}
      }}
    """
    assert run(body, tmp_path)[:2] == [15, 0]


def test_while_loops(tmp_path: Path) -> None:
    """Steps of the Collatz sequence from 6."""
    body = f"""
      %n0 = arith.constant 6 : i64
      %zero = arith.constant 0 : i64
      %one = arith.constant 1 : i64
      %two = arith.constant 2 : i64
      %three = arith.constant 3 : i64
      %r:2 = scf.while (%n = %n0, %k = %zero) : (i64, i64) -> (i64, i64) {{
        %go = arith.cmpi ne, %n, %one : i64
        scf.condition(%go) %n, %k : i64, i64
      }} do {{
      ^bb0(%n: i64, %k: i64):
        %odd = arith.remsi %n, %two : i64
        %is = arith.cmpi eq, %odd, %one : i64
        %t = arith.muli %n, %three : i64
        %up = arith.addi %t, %one : i64
        %down = arith.divsi %n, %two : i64
        %next = arith.select %is, %up, %down : i64
        %count = arith.addi %k, %one : i64
        scf.yield %next, %count : i64, i64
      }}
      {store("r#1", 0)}
    """
    assert run(body, tmp_path)[0] == 8


def test_scalars_from_memory_and_event_ids(tmp_path: Path) -> None:
    body = f"""
      {constants(five=5, one=1)}
      %v = arith.constant 41 : i64
      pto.store_scalar %v, %p[%five] : !pto.ptr<i64>, i64
      %w = pto.load_scalar %p[%five] : !pto.ptr<i64> -> i64
      %q = pto.addptr %p, %one : !pto.ptr<i64> -> !pto.ptr<i64>
      pto.store_scalar %w, %q[%five] : !pto.ptr<i64>, i64
    """
    assert run(body, tmp_path)[5:7] == [41, 41]


def test_constants_of_every_type_are_literals_of_their_width() -> None:
    text = cpp(
        function(
            "%x = arith.constant 1.5 : f16\n%y = arith.addf %x, %x : f16\n%b = arith.constant 5000000000 : i64\n%c = arith.addi %b, %b : i64"
        )
    )
    assert "const half v1 = (half)1.5f + (half)1.5f;" in text
    assert "const int64_t v2 = 5000000000LL + 5000000000LL;" in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("%x = arith.constant 2.0 : f32\n%y = math.sqrt %x : f32", "k.pto:4: 'math.sqrt' has no C\\+\\+ form"),
        (
            "%a = arith.constant 1 : i64\n%b:2 = arith.addui_extended %a, %a : i64, i1",
            "k.pto:4: 'arith.addui_extended' has no C\\+\\+ form",
        ),
        ("%a = arith.constant 1.0 : f32\n%b = arith.cmpf ord, %a, %a : f32", "k.pto:4: 'arith.cmpf' with predicate 7 has no C\\+\\+ form"),
    ],
)
def test_what_has_no_cpp_form_is_refused_at_its_line(body: str, message: str) -> None:
    with pytest.raises(NotSupportedError, match=message):
        cpp(function(body))
