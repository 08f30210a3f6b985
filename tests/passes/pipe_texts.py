"""Texts of programs with pipes, for the tests of lower-pipes: a cube section and a vector section, each declaring what it is told."""

from ptoc.dialect import assembly
from ptoc.dialect.mlir import ir
from ptoc.machine.chip import load_chip
from ptoc.passes.lower_pipes import LowerPipes
from ptoc.passes.pipeline import run_passes

WHOLE, HALF = "!pto.tensor_view<16x16xf32>", "!pto.tensor_view<8x16xf32>"
ACC = "!pto.tile_buf<acc, 16x16xf32, blayout=col_major, slayout=row_major, fractal=1024>"
VEC = "!pto.tile_buf<vec, 8x16xf32>"
CHIPS = {"a3": "ascend910b1", "a5": "ascend950pr"}

FACTS = "dir_mask = 1, slot_size = 1024"


def declared(side: str, facts: str = FACTS, slots: str = "%ring", number: int = 0) -> str:
    """One side's declaration of a pipe with views of slots."""
    return f"pto.{side}_initialize_pipe {{id = {number}, {facts}}} (gm_slot_tensor = {slots} : {WHOLE})"


def program(cube: str = "", vector: str = "", cube_facts: str = FACTS, vector_facts: str | None = None) -> str:
    """A kernel with one pipe, id 0; lines 9 on are the cube's, and in both sections %n, %m, %one and %c are numbers and a condition."""
    return f"""
func.func @k(%gm: !pto.ptr<f32>, %other: !pto.ptr<f32>, %n: index, %m: index, %c: i1) {{
  %one = arith.constant 1 : index
  %zero = arith.constant 0 : index
  %far = arith.constant 4096 : index
  %ring = pto.make_tensor_view %gm, shape = [%n, %m], strides = [%m, %one] : {WHOLE}
  pto.section.cube {{
    {declared("aic", cube_facts)}
    {cube.strip()}
  }}
  pto.section.vector {{
    {declared("aiv", vector_facts if vector_facts is not None else cube_facts)}
    {vector.strip()}
  }}
  return
}}
"""


def alloc(name: str = "%e", number: int = 0, split: int = 1, kind: str = WHOLE) -> str:
    """The cube takes a slot."""
    return f"{name} = pto.talloc_to_aiv {{id = {number}, split = {split}}} -> {kind}\n"


def push(name: str = "%e", number: int = 0, split: int = 1, kind: str = WHOLE) -> str:
    """The cube hands a slot over."""
    return f"pto.tpush_to_aiv({name} : {kind}) {{id = {number}, split = {split}}}\n"


def pop(name: str = "%e", number: int = 0, split: int = 1, kind: str = HALF) -> str:
    """A vector core takes an entry."""
    return f"{name} = pto.tpop_from_aic {{id = {number}, split = {split}}} -> {kind}\n"


def free(name: str = "%e", number: int = 0, split: int = 1, kind: str = HALF) -> str:
    """A vector core gives an entry back; without its name where that is empty."""
    named = f"({name} : {kind})" if name else ""
    return f"pto.tfree_from_aic{named} {{id = {number}, split = {split}}}\n"


def loop(body: str, count: str = "%n") -> str:
    """A loop."""
    return f"scf.for %i = %zero to {count} step %one {{\n{body}}}\n"


def lowered(text: str, arch: str = "a3") -> tuple[ir.Module, list[str]]:
    """The module after lower-pipes, and the remarks."""
    module = assembly.parse(text, "k.pto")
    remarks = run_passes(module, load_chip(CHIPS[arch]), [LowerPipes()])
    return module, remarks


def lines_of(text: str, part: str) -> list[int]:
    """Numbers of the lines of a text that hold a part."""
    return [number for number, line in enumerate(text.split("\n"), 1) if part in line]
