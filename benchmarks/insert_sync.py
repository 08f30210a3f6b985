"""CPU seconds of insert-sync by number of tile ops, in a straight line and in a loop: `make bench-sync`.

Shapes: `turning` 8 tiles are loaded, used and stored in turn; `phases` every tile is loaded, then every one used, then every one stored;
`memory` what was stored is loaded again from the same pointer.
"""

import time

from ptoc.dialect import assembly
from ptoc.machine.chip import load_chip
from ptoc.passes.pipeline import PIPELINE, pass_by_name, run_passes

SIZES = (300, 600, 1200, 2400, 4800)
TILE, ROWS = "!pto.tile_buf<vec, 1x8xf32>", "!pto.partition_tensor_view<1x8xf32>"
VIEW = "!pto.tensor_view<?x?xf32>"
HEAD = f"""func.func @k(%x: !pto.ptr<f32>, %y: !pto.ptr<f32>, %n: index) attributes {{pto.kernel_kind = #pto.kernel_kind<vector>}} {{
%c0 = arith.constant 0 : index
%c1 = arith.constant 1 : index
%c8 = arith.constant 8 : index
%all = arith.constant 1000000 : index
%xv = pto.make_tensor_view %x, shape = [%all, %c8], strides = [%c8, %c1] : {VIEW}
%yv = pto.make_tensor_view %y, shape = [%all, %c8], strides = [%c8, %c1] : {VIEW}"""


class Text:
    """Lines of a kernel; in a loop each iteration has its own rows of both pointers."""

    def __init__(self, looped: bool, rows: int) -> None:
        self.lines, self.looped, self.rows, self.views = [HEAD], looped, rows, 0

    def tiles(self, count: int) -> None:
        """Allocates %t0 .. and begins the loop."""
        self.lines += [f"%t{i} = pto.alloc_tile : {TILE}" for i in range(count)]
        if self.looped:
            self.lines += [f"%rows = arith.constant {self.rows} : index", "scf.for %i = %c0 to %n step %c1 {", "%base = arith.muli %i, %rows : index"]

    def row(self, view: str, number: int) -> str:
        """A view of one row."""
        v = self.views = self.views + 1
        self.lines.append(f"%o{v} = arith.constant {number} : index")
        if self.looped:
            self.lines.append(f"%b{v} = arith.addi %base, %o{v} : index")
        offset = f"%{'b' if self.looped else 'o'}{v}"
        self.lines.append(f"%p{v} = pto.partition_view {view}, offsets = [{offset}, %c0], sizes = [%c1, %c8] : {VIEW} -> {ROWS}")
        return f"%p{v}"

    def load(self, tile: int, view: str, number: int) -> None:
        """tile = row `number`."""
        self.lines.append(f"pto.tload ins({self.row(view, number)} : {ROWS}) outs(%t{tile} : {TILE})")

    def store(self, tile: int, view: str, number: int) -> None:
        """Row `number` = tile."""
        self.lines.append(f"pto.tstore ins(%t{tile} : {TILE}) outs({self.row(view, number)} : {ROWS})")

    def add(self, a: int, b: int, c: int) -> None:
        """c = a + b."""
        self.lines.append(f"pto.tadd ins(%t{a}, %t{b} : {TILE}, {TILE}) outs(%t{c} : {TILE})")

    def __str__(self) -> str:
        end = ["}"] if self.looped else []
        return "\n".join(['module attributes {pto.target_arch = "a3"} {', *self.lines, *end, "return", "}", "}", ""])


def turning(text: Text, ops: int) -> None:
    """Eight tiles in turn."""
    text.tiles(8)
    for k in range(ops // 4):
        a, b = k % 8, (3 * k + 1) % 8
        text.load(a, "%xv", k)
        text.add(a, b, a)
        text.add(a, a, b)
        text.store(b, "%yv", k)


def phases(text: Text, ops: int) -> None:
    """All loads, all additions, all stores."""
    count = ops // 3
    text.tiles(count)
    for k in range(count):
        text.load(k, "%xv", k)
    for k in range(count):
        text.add(k, k, k)
    for k in range(count):
        text.store(k, "%yv", k)


def memory(text: Text, ops: int) -> None:
    """What was stored eight rounds before is loaded from where it was stored."""
    text.tiles(8)
    for k in range(ops // 3):
        text.load(k % 8, "%xv" if k < 8 else "%yv", k - 8 if k >= 8 else k)
        text.add(k % 8, k % 8, k % 8)
        text.store(k % 8, "%yv", k)


def seconds(shape, ops: int, looped: bool) -> tuple[float, int]:
    """CPU seconds of insert-sync, and how many remarks it gave."""
    chip = load_chip("ascend910b1")
    text = Text(looped, ops)
    shape(text, ops)
    module = assembly.parse(str(text), "bench.pto")
    run_passes(module, chip, PIPELINE[:-1])
    start = time.process_time()
    with module.context:
        remarks = pass_by_name("insert-sync").run(module, chip)
    return time.process_time() - start, len(remarks)


def main() -> None:
    """Prints one row per shape: seconds, and in brackets how many times those of half as many ops."""
    print(f"{'tile ops':18}" + "".join(f"{ops:>16}" for ops in SIZES))
    for shape in (turning, phases, memory):
        for looped in (False, True):
            row, last = f"{shape.__name__ + (' in a loop' if looped else ''):18}", None
            for ops in SIZES:
                taken, _ = seconds(shape, ops, looped)
                row += f"{taken:9.2f} " + (f"({taken / last:.2f})" if last else "      ")
                last = taken
            print(row, flush=True)


if __name__ == "__main__":
    main()
