"""Chips load strictly, explain what is wrong with a file, and offer plain values."""

import re
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from ptoc.dialect.errors import ChipError
from ptoc.machine import chip as chip_module
from ptoc.machine.chip import canonical, chip_names, load_chip
from ptoc.machine.schema import ChipFile, Number, Path

TEMPLATE = (chip_module.CHIPS / "template.yaml").read_text()


def changed(tmp_path, old, new, text=TEMPLATE, count=1):
    """A chip file with one thing replaced."""
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, count))
    return path


def schema_keys(model=ChipFile, prefix=""):
    """All dotted keys that a chip file may have; list items and names in open mappings count as their parent."""
    keys = set()
    for name, field in model.model_fields.items():
        keys.add(prefix + name)
        below = [x for x in (field.annotation, *get_args(field.annotation)) if isinstance(x, type) and issubclass(x, BaseModel)]
        for child in below:
            if child is not Number:
                keys |= schema_keys(child, f"{prefix}{name}.")
    return keys


def file_keys(node, prefix=""):
    """All dotted keys of a loaded YAML tree, numbers not opened."""
    keys = set()
    for name, value in node.items():
        keys.add(prefix + name)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, dict) and "value" not in child:
                keys |= file_keys(child, f"{prefix}{name}.")
    return keys


def without_names(keys):
    """Keys with the names in open mappings (sources, rates, paths) taken out."""
    keys = {re.sub(r"^(paths|vector\.startups)\.\w+", r"\1", key) for key in keys}
    return {re.sub(r"^(sources|cube\.rates|sdma\.domains)\.\w+$", r"\1", key) for key in keys}


def test_template_has_every_key_and_no_other():
    assert without_names(file_keys(yaml.safe_load(TEMPLATE))) == schema_keys()
    assert set(yaml.safe_load(TEMPLATE)["paths"]) == set(get_args(Path))


def test_template_explains_every_key():
    comments = "\n".join(line for line in TEMPLATE.splitlines() if line.startswith(("#", "  #")))
    explained = set(re.findall(r"\w+", comments))
    assert {key.split(".")[-1] for key in schema_keys()} <= explained


SHIPPED = ["ascend910b1", "ascend910b2", "ascend910b3", "ascend910b4", "ascend910c", "ascend950pr", "mesh_cubes", "sg2262"]


@pytest.mark.parametrize("name", [*SHIPPED, "template"])
def test_shipped_chips_load(name):
    chip = load_chip(name)
    assert chip.name == name
    assert load_chip(name) is chip


def test_chip_names_are_the_shipped_ones():
    assert chip_names() == SHIPPED


def test_only_chips_with_a_fidelity_table_are_validated():
    table = (chip_module.CHIPS.parents[1] / "docs" / "fidelity.md").read_text().lower()
    validated = [name for name in SHIPPED if load_chip(name).validated]
    assert validated == ["ascend910b1", "ascend910b2"]
    assert all(name in table for name in validated)


def test_nothing_of_mesh_cubes_is_known():
    assert "0 measured, 0 documented" in load_chip("mesh_cubes").describe()


def test_what_a_chip_is_comes_from_no_base(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: ascend910b1\nname: mine\ndescription: mine\n")
    with pytest.raises(ChipError, match=r"key 'validated' is missing; it is never taken from a base"):
        load_chip(path)


def test_plain_values_of_910b1():
    chip = load_chip("ascend910b1")
    assert (chip.arch, chip.validated) == ("a3", True)
    assert (chip.cores("aic"), chip.cores("aiv")) == (24, 48)
    assert [chip.capacity_bytes(m) // 1024 for m in ("ub", "l1", "l0a", "l0b", "l0c", "bias")] == [192, 512, 64, 64, 128, 1]
    assert chip.number("memories.ub_reserved_from") == 184 * 1024
    assert (chip.alignment_bytes("ub"), chip.alignment_bytes("l0c")) == (32, 512)
    assert chip.fs(9) == 5_000_000  # 9 cycles of 1/1.8 GHz are 5 ns
    assert chip.launch_fs("msprof_task", 48) == chip.launch_fs("msprof_task", 1) + 47 * 130_000_000
    assert chip.launch_fs("device_counter", 48) == 0


def test_950_is_not_validated():
    chip = load_chip("ascend950pr")
    assert (chip.arch, chip.validated) == ("a5", False)
    assert "ratios between runs only" in chip.describe()


def test_base_is_merged_and_numbers_are_replaced_whole():
    b1, b2 = load_chip("ascend910b1"), load_chip("ascend910b2")
    assert (b1.number("clocks.core"), b2.number("clocks.core")) == (1.85, 1.8)
    assert b2.path_law("gm_to_ub").bytes_per_cycle != b1.path_law("gm_to_ub").bytes_per_cycle
    assert b2.path_law("gm_to_ub").startup_occupancy == b1.path_law("gm_to_ub").startup_occupancy
    assert b2.vectors == b1.vectors


def test_provenance_writes_the_source_out():
    number = load_chip("ascend910b1").provenance("paths.gm_to_l1.bytes_per_cycle")
    assert (number.value, number.unit, number.kind) == (171.0, "bytes/cycle", "measured")
    assert "resource910b.cpp" in number.source


def test_describe_counts_the_origin_of_numbers():
    text = load_chip("ascend910b1").describe()
    assert "ascend910b1 (a3, validated)" in text
    assert re.search(r"\d+ measured, \d+ documented, \d+ assumed", text)
    assert "ub 192, l1 512, l0a 64, l0b 64, l0c 128 KiB" in text


@pytest.mark.parametrize(("old", "new", "message"), [
    ("name: template\n", "", r"key 'name' is missing"),
    ("  barrier: {value: 1, unit: cycles, source: none, kind: assumed}\n", "", r"key 'sync.barrier' is missing"),
    ("\narch: a3", "\narch: a3\ncolour: red", r"unknown key 'colour'"),
    ("cores:\n", "cores:\n  tpu: {value: 1, unit: count, source: none, kind: assumed}\n", r"unknown key 'cores.tpu'"),
    ("paths:\n  gm_to_l1:", "paths:\n  gm_to_moon:", r"key 'paths.gm_to_moon': expected 'gm_to_l1',.* or 'l0c_to_ub'"),
    ("l2_read: {value: 1000,", "l2_read: {value: -5,", r"key 'shared.l2_read': expected a value above 0 GB/s, got -5"),
    ("issue: {value: 1,", "issue: {value: -1,", r"key 'sync.issue': expected a value of at least 0 cycles, got -1"),
    ("laws: {value: 1,", "laws: {value: .inf,", r"key 'clocks.laws': expected a value from 0.001 to 1000 GHz, got inf"),
    ("laws: {value: 1,", "laws: {value: 1.0e-300,", r"key 'clocks.laws': expected a value from 0.001 to 1000 GHz, got 1e-300"),
    ("l2_read: {value: 1000,", "l2_read: {value: 1.0e+300,", r"key 'shared.l2_read': expected a value from 0.001 to 1e\+09 GB/s, got 1e\+300"),
    ("event_ids: {value: 8,", "event_ids: {value: 10000000000,", r"key 'sync.event_ids': expected a value from 1 to 1.04858e\+06 count, got 10000000000"),
    ("  rates:\n    f16: {value: 4096, unit: MACs/cycle, source: none, kind: assumed}", "  rates: {}", r"key 'cube.rates': expected at least one entry, got none"),
    ("\narch: a3", "\narch: a3\n1: 2", r"key '1': expected a text as key, got 1"),
    ("event_ids: {value: 8,", "event_ids: {value: 7.5,", r"key 'sync.event_ids': expected a whole number, got 7.5 count"),
    ("laws: {value: 1, unit: GHz", "laws: {value: 1, unit: MHz", r"key 'clocks.laws': expected unit 'GHz', got 'MHz'"),
    ("kind: assumed", "kind: dreamt", r"key 'cores.aic.kind': expected 'measured', 'documented' or 'assumed', got 'dreamt'"),
    ("aic: {value: 1,", "aic: {value: '1',", r"key 'cores.aic.value': expected a number, got '1'$"),
    ("aic: {value: 1, unit: count, source: none, kind: assumed}", "aic: 24", r"key 'cores.aic': expected a mapping .*, got 24"),
    (", source: none", "", r"key 'cores.aic.source' is missing"),
    ("\narch: a3", "\narch: a9", r"key 'arch': expected 'a3' or 'a5', got 'a9'"),
    ("validated: false", "validated: maybe", r"key 'validated': expected .*, got 'maybe'"),
    ("    resource: l2_read", "    resource: l3", r"key 'paths.gm_to_l1.resource': expected 'l2_read' or 'l2_write', got 'l3'"),
    ("hbm_write: {value: 1000, unit: GB/s", "hbm_write: {value: 1000, unit: GiB/s", r"key 'shared.hbm_write': expected unit 'GB/s', got 'GiB/s'"),
    ("l2_bytes:", "l2_byte:", r"key 'shared.l2_bytes' is missing; .* \(and 1 more\)"),
    ("mesh:\n  pes", "mesh:\n  pees", r"key 'mesh.pes' is missing"),
    ("  slots: {value: 4,", "  slots: {value: 16,", r"key 'mesh': expected slots of 1 to 15, what a cross-core counter counts; got 16"),
    ("startup_occupancy: {value: 0,", "startup_occupancy: {value: 9,", r"key 'paths.gm_to_l1': expected startup_occupancy of at most startup \(0\), got 9"),
    ("      dtypes: [any]", "      dtypes: [any, any]", r"key 'vector.rates': instruction 'vadd' has two rates for any"),
    ("      instructions: [vadd, vexp]\n      startup", "      instructions: [vadd]\n      startup", r"instruction 'vexp' has a rate but no startup"),
    ("      instructions: [vadd, vexp]\n      startup", "      instructions: [vadd, vexp, vln]\n      startup", r"instruction 'vln' has a startup but no rate"),
    ("      instructions: [vadd, vexp]\n      startup", "      instructions: [vadd, vexp, vadd]\n      startup", r"'vadd' is in two groups"),
    ("\narch: a3", "\narch: [a3", r"mine.yaml:\d+: not YAML"),
    ("\narch: a3", "\narch: a3\narch: a5", r"mine.yaml:\d+: not YAML: key 'arch' is given twice"),
])  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    with pytest.raises(ChipError, match=message) as caught:
        load_chip(changed(tmp_path, old, new))
    text = str(caught.value)
    assert "mine.yaml" in text
    assert "\n" not in text


def test_a_file_that_is_no_mapping(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n")
    with pytest.raises(ChipError, match=r"list.yaml: expected a mapping of keys as in template.yaml, got list"):
        load_chip(path)


def test_no_such_file_or_chip(tmp_path):
    with pytest.raises(ChipError, match=r"absent.yaml: cannot read the chip file"):
        load_chip(tmp_path / "absent.yaml")
    with pytest.raises(ChipError, match=r"no chip is called 'ascend9000'; there are ascend910b1, ascend910b2, ascend910b3"):
        load_chip("ascend9000")


def test_base_must_exist(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: nowhere\nname: mine\n")
    with pytest.raises(ChipError, match=r"key 'base': expected the name of a chip file .* got 'nowhere'"):
        load_chip(path)


@pytest.mark.parametrize(("value", "message"), [("-1", "expected a value of at least 0 cycles, got -1"), ("fast", "expected a number, got 'fast'")])
def test_an_error_names_the_file_that_holds_the_key(tmp_path, value, message):
    head = "description: x\nvalidated: false\n"
    (tmp_path / "one.yaml").write_text(f"base: two\nname: one\n{head}")
    (tmp_path / "two.yaml").write_text(f"base: ascend910b1\nname: two\n{head}sync: {{signal: {{value: {value}, unit: cycles, source: x, kind: assumed}}}}\n")
    with pytest.raises(ChipError, match=f"two.yaml: key 'sync.signal.*': {message}"):
        load_chip(tmp_path / "one.yaml")


def test_base_must_end(tmp_path):
    for name, base in (("one", "two"), ("two", "one")):
        (tmp_path / f"{name}.yaml").write_text(f"base: {base}\nname: {name}\n")
    with pytest.raises(ChipError, match=r"one.yaml: key 'base': 'one' is based on itself"):
        load_chip(tmp_path / "one.yaml")


def test_base_changes_one_number(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: ascend910b2\nname: mine\ndescription: d\nvalidated: false\nshared:\n  hbm: {value: 2000, unit: GB/s, source: what if, kind: assumed}\n")
    chip = load_chip(path)
    assert chip.number("shared.hbm") == 2000
    assert chip.number("clocks.core") == 1.8


def test_unknown_keys_of_number():
    chip = load_chip("template")
    with pytest.raises(ChipError, match=r"no key 'cores.tpu'; 'tpu' is none of: aic, aiv_per_aic"):
        chip.number("cores.tpu")
    with pytest.raises(ChipError, match=r"key 'cores' holds no number"):
        chip.number("cores")


def test_unknown_instruction_dtype_and_path():
    with pytest.raises(ChipError, match=r"vector instruction 'vfoo' has no entry; add it to a group of vector.rates"):
        load_chip("ascend910b1").vector_law("vfoo", "f32")
    with pytest.raises(ChipError, match=r"vector instruction 'vexp' has no element type i8 \(has f32, f16\)"):
        load_chip("ascend910b1").vector_law("vexp", "i8")
    with pytest.raises(ChipError, match=r"the chip has no transfer path 'l0c_to_ub'; it has gm_to_l1"):
        load_chip("ascend910b1").path_law("l0c_to_ub")


@pytest.mark.parametrize(("instruction", "name"), [
    ("vconv_f322f16r", "vconv_f322f16"), ("vconv_f322f16", "vconv_f322f16"), ("vconv_f322bf16a", "vconv_f322bf16"),
    ("vconv_f322f32f", "vconv_f322f32"), ("vconv_s642f32z", "vconv_s642f32"), ("vcmpvs_lt", "vcmpvs"), ("vcmp_ge", "vcmp"), ("vadd", "vadd"),
])  # fmt: skip
def test_canonical_names(instruction, name):
    assert canonical(instruction) == name


#: Vector instructions that the a2a3 library issues.  Source: pto-isa 3186c381, include/pto/npu/a2a3/*.hpp.
LIBRARY = """vabs vadd vadds vaddreluconv_f162s8 vaddreluconv_f322f16 vaddreluconv_s162s8 vand vaxpy vbitsort vbrcb vcadd vcgadd vcgmax vcgmin vcmax
vcmin vcmp_ge vcmp_le vcmpv_eq vcmpv_ge vcmpv_gt vcmpv_le vcmpv_lt vcmpvs_eq vcmpvs_ge vcmpvs_gt vcmpvs_le vcmpvs_lt vconv_bf162f32 vconv_bf162s32r
vconv_deq vconv_f162f32 vconv_f162s16r vconv_f162s32a vconv_f162s4 vconv_f162s8z vconv_f162u8z vconv_f322bf16r vconv_f322f16o vconv_f322f32z
vconv_f322s16r vconv_f322s32f vconv_f322s64z vconv_s162f16a vconv_s162f32 vconv_s322f32 vconv_s322s16 vconv_s322s64 vconv_s42f16 vconv_s642f32r
vconv_s642s32 vconv_s82f16 vconv_u82f16 vcopy vcpadd vdiv vector_dup vexp vgather vln vlrelu vmadd vmaddrelu vmax vmaxs vmin vmins vmla vmrgsort4
vmul vmuls vnot vor vreducev2 vrelu vrsqrt vsel vshl vshr vsqrt vsub vsubrelu vsubreluconv_f162s8 vsubreluconv_f322f16 vsubreluconv_s162s8
scatter_vnchwconv_b8 scatter_vnchwconv_b16 scatter_vnchwconv_b32""".split()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_instruction_of_the_library_has_a_law(name):
    chip = load_chip(name)
    assert all(chip.vector_law(instruction, "f32") for instruction in LIBRARY)


def test_every_source_key_is_used_and_known():
    for name in ("ascend910b1", "ascend950pr", "mesh_cubes", "sg2262"):
        text = (chip_module.CHIPS / f"{name}.yaml").read_text()
        used = " ".join(re.findall(r"source: (.*?), kind:", text))
        for key in yaml.safe_load(text)["sources"]:
            assert re.search(rf"\b{key}\b", used), f"{name}: source '{key}' is not used"
