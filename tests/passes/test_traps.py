"""Programs that synchronisation is easily got wrong for: each right in every allowed order, nothing missing, nothing redundant."""

from pathlib import Path

import numpy as np
import pytest

import ptoc
from ptoc import f32
from ptoc.kernels.flash_attention import flash_attention
from ptoc.kernels.flash_attention_naive import flash_attention_naive
from ptoc.kernels.gemm import Tiling, gemm, multiply


def proven(kernel: object, **arguments: object) -> ptoc.Result:
    """The checked run of a kernel."""
    result = ptoc.run(kernel, check=True, **arguments)
    assert result.passed
    report = ptoc.check(kernel, **arguments)
    assert report.ok, report
    assert report.redundant == (), [str(unit) for unit in report.redundant]
    return result


@pytest.mark.parametrize("rows", [8, 16, 17, 80])
def test_a_loop_that_may_run_zero_times(rows: int) -> None:
    """Primed and drained flags balance where the loop's body never runs, and what stands behind it is ordered after what stands before."""

    @ptoc.kernel
    def doubled_but_the_first(x: ptoc.Tensor["M", 64, f32], y: ptoc.Out["M", 64, f32], M):
        t = ptoc.tile([8, 64], f32)
        ptoc.load(t, x[0:8, :])
        for i in ptoc.range(1, M // 8):
            ptoc.store(y[i * 8 - 8 : i * 8, :], t)
            ptoc.load(t, x[i * 8 : i * 8 + 8, :])
            ptoc.add(t, t, t)
        ptoc.store(y[M // 8 * 8 - 8 : M // 8 * 8, :], t)

    @doubled_but_the_first.reference
    def reference(x):
        y = 2 * x
        y[:8] = x[:8]
        y[len(x) // 8 * 8 :] = 0
        return y

    doubled_but_the_first.case("long", M=80)
    proven(doubled_but_the_first, M=rows)


TILE, VIEW = "!pto.tile_buf<vec, 16x64xf32>", "!pto.tensor_view<16x64xf32>"
CHOSEN = f"""
func.func @chosen(%x: !pto.ptr<f32>, %y: !pto.ptr<f32>, %which: i32) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c16 = arith.constant 16 : index
  %c64 = arith.constant 64 : index
  %one = arith.constant 1 : i32
  %vx = pto.make_tensor_view %x, shape = [%c16, %c64], strides = [%c64, %c1] : {VIEW}
  %vy = pto.make_tensor_view %y, shape = [%c16, %c64], strides = [%c64, %c1] : {VIEW}
  %a = pto.alloc_tile : {TILE}
  %b = pto.alloc_tile : {TILE}
  %second = arith.cmpi eq, %which, %one : i32
  scf.for %i = %c0 to %c4 step %c1 {{
    pto.tload ins(%vx : {VIEW}) outs(%a : {TILE})
    %t = scf.if %second -> ({TILE}) {{
      pto.tadd ins(%a, %a : {TILE}, {TILE}) outs(%b : {TILE})
      scf.yield %b : {TILE}
    }} else {{
      scf.yield %a : {TILE}
    }}
    pto.tstore ins(%t : {TILE}) outs(%vy : {VIEW})
  }}
  return
}}
"""


@pytest.mark.parametrize(("which", "factor"), [(0, 1), (1, 2)])
def test_a_branch_that_yields_one_of_two_tiles(tmp_path: Path, which: int, factor: int) -> None:
    file = tmp_path / "chosen.pto"
    file.write_text(CHOSEN)
    x = np.arange(1024, dtype=np.float32).reshape(16, 64)
    result = ptoc.run(str(file), check=True, inputs={"x": x}, which=which)
    assert np.array_equal(result.outputs["y"].reshape(16, 64), factor * x)
    assert ptoc.check(str(file), which=which).ok


def test_each_flag_is_needed_by_one_of_the_branchs_arms(tmp_path: Path) -> None:
    file = tmp_path / "chosen.pto"
    file.write_text(CHOSEN)
    spare = [{unit.locations for unit in ptoc.check(str(file), which=which).redundant} for which in (0, 1)]
    assert not spare[0] & spare[1]


@pytest.mark.parametrize("preload", [1, 2, 3, 4, 5, 6])
def test_flash_attention_has_event_ids_enough(preload: int) -> None:
    compiled = ptoc.compile(flash_attention, PRELOAD=preload)
    assert compiled.remarks == []
    assert compiled.pto.count("PIPE_ALL") == 1
    assert ptoc.run(flash_attention, S0=128, S1=1792, PRELOAD=preload, check=True).passed
    reports = [ptoc.check(flash_attention, S0=rows, S1=columns, cores=1, PRELOAD=preload) for rows, columns in ((256, 2560), (384, 256))]
    assert all(report.ok for report in reports)
    assert not set.intersection(*({unit.unit for unit in report.redundant} for report in reports))


@pytest.mark.parametrize("columns", [32, 96, 512])
@pytest.mark.parametrize("kernel", [flash_attention, flash_attention_naive], ids=["pipes", "naive"])
def test_tiles_of_32_columns_two_ahead(kernel: ptoc.Kernel, columns: int) -> None:
    products = {"WIDTH": 32} if kernel is flash_attention else {"SUB": 32}
    assert ptoc.run(kernel, S0=128, S1=columns, TILE=32, PRELOAD=2, check=True, **products).passed
    assert ptoc.check(kernel, S0=128, S1=columns, TILE=32, PRELOAD=2, **products).ok


def test_what_was_stored_is_loaded_again() -> None:
    @ptoc.kernel
    def there_and_back(x: ptoc.Tensor[32, 64, f32], y: ptoc.Out[32, 64, f32], z: ptoc.Out[32, 64, f32]):
        a, b = ptoc.tile([8, 64], f32), ptoc.tile([8, 64], f32)
        for i in ptoc.range(4):
            ptoc.load(a, x[i * 8 : i * 8 + 8, :])
            ptoc.adds(a, a, 1.0)
            ptoc.store(y[i * 8 : i * 8 + 8, :], a)
            ptoc.load(b, y[i * 8 : i * 8 + 8, :])
            ptoc.add(b, b, b)
            ptoc.store(z[i * 8 : i * 8 + 8, :], b)

    there_and_back.reference(lambda x: (x + 1, 2 * x + 2))
    proven(there_and_back)
    assert "PIPE_MTE3>, <PIPE_MTE2>" in ptoc.compile(there_and_back).pto


@pytest.mark.parametrize("k", [1, 128, 129, 300, 640, 700])
def test_gemm_with_a_tail_of_k(k: int) -> None:
    result = proven(gemm, M=150, N=600, K=k, cores=1)
    assert result.max_abs_error < 1e-3


def test_gemms_tiles_run_into_each_other() -> None:
    """Nothing is primed or drained inside the loop over output tiles."""
    lines = ptoc.compile(gemm).pto.split("\n")
    loop = next(n for n, line in enumerate(lines) if "scf.for" in line)
    indent = len(lines[loop]) - len(lines[loop].lstrip())
    end = next(n for n, line in enumerate(lines) if n > loop and line == " " * indent + "}")
    primes, drains = ([n for n, line in enumerate(lines) if f'role = "{role}"' in line] for role in ("prime", "drain"))
    assert len(primes) == len(drains) == 6
    assert max(primes) < loop
    assert min(drains) > end


@ptoc.kernel
def two_products(
    a: ptoc.Tensor["M", "K", ptoc.f16],
    b: ptoc.Tensor["K", "N", ptoc.f16],
    d: ptoc.Tensor["K", "N", ptoc.f16],
    c: ptoc.Out["M", "N", f32],
    e: ptoc.Out["M", "N", f32],
    M,
    N,
    K,
    *,
    TAILS: bool = False,
):
    """c = a @ b, then e = a @ d."""
    cut = Tiling(128, 256, 128, 64, tails=TAILS)
    multiply(a, b, c, M, N, K, cut)
    multiply(a, d, e, M, N, K, cut)


two_products.reference(lambda a, b, d: (a @ b, a @ d))
two_products.tolerance = gemm.tolerance
two_products.specialize(lambda M, N, K, **_: {"TAILS": bool(M % 128 or N % 256 or K % 128)})
two_products.case("whole", M=256, N=512, K=512)
two_products.case("tails", M=200, N=300, K=200)
two_products.case("more_tails", M=300, N=600, K=700)


@pytest.mark.parametrize(("m", "n", "k"), [(256, 512, 512), (200, 300, 200)])
def test_two_calls_of_gemm_in_one_kernel(m: int, n: int, k: int) -> None:
    result = proven(two_products, M=m, N=n, K=k, cores=1)
    commands, begun, ended = result.program.streams[0].commands, result.timeline.start[0], result.timeline.end[0]
    work = [(n, command) for n, command in enumerate(commands) if command.site.kind == "work"]
    stored = max(n for n, command in work if any(ref.memory == "gm:c" for ref in command.refs(command.writes)))
    loaded = min(n for n, command in work if n > stored and command.site.pipe == "MTE2")
    multiplied = max(n for n, command in work if n < stored and command.site.pipe == "M")
    assert begun[loaded] < ended[multiplied]
