"""Texts that are no programs: each is refused with its place and what was expected, and never with a traceback."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ptoc.dialect.assembly import parse, to_text
from ptoc.dialect.errors import ParseError, PtocError, VerifyError

from .assembly_texts import SOUND, TILE, body

ADD = f"pto.tadd ins(%a, %b : {TILE}, {TILE}) outs(%a : {TILE})"
"""A sound op; it stands on line 4 of `body`, from column 3."""

WRONG = [
    # the custom form of an op
    (ADD.replace(TILE + ")", TILE, 1), r"bad.pto:4:\d+: 'pto.tadd': expected '\)'; got 'outs'; the form is: pto.tadd ins\(%src0, %src1 : type, type\)"),
    (ADD.replace("ins(", "ins "), r"bad.pto:4:16: 'pto.tadd': expected '\('; got '%a'"),
    (ADD.replace("ins", "in"), r"bad.pto:4:12: 'pto.tadd': expected 'ins'; got 'in'"),
    (ADD.replace("%a, %b", "%a"), r"bad.pto:4:19: 'pto.tadd': expected ','; got ':'"),
    (ADD.replace("%a, %b", "%a, %b, %a"), r"bad.pto:4:22: 'pto.tadd': expected ':'; got ','"),
    (ADD.replace("%a,", "7,"), r"bad.pto:4:16: 'pto.tadd': expected an operand \(%name\); got '7'"),
    (ADD.replace(f"outs(%a : {TILE})", ""), r"bad.pto:5:3: 'pto.tadd': expected 'outs'; got 'return'"),
    (ADD.replace(TILE, "vec", 1), r"bad.pto:4:25: 'pto.tadd': expected a type !pto.tile_buf; got 'vec'"),
    (ADD.replace(TILE, "f32", 1), r"bad.pto:4:25: 'pto.tadd': expected a type !pto.tile_buf; got 'f32'"),
    (ADD.replace(TILE, "3", 1), r"bad.pto:4:25: 'pto.tadd': expected a type; got '3'"),
    (ADD + " {a = }", r"bad.pto:4:\d+: 'pto.tadd': expected an attribute's value; got '}'"),
    (ADD + " {a = 1 b}", r"bad.pto:4:\d+: expected"),
    (ADD + " {3 = 1}", r"bad.pto:4:\d+: .*got '3'|bad.pto:4:\d+: expected"),
    (ADD + " {a = [1, 2}", r"bad.pto:4:\d+: 'pto.tadd': expected '\]'; got '}'"),
    ("pto.tloud ins()", r"bad.pto:4:3: unknown op 'pto.tloud'; did you mean 'pto.tload'\?"),
    ("pto.zzzzzzzz", r"bad.pto:4:3: unknown op 'pto.zzzzzzzz'$"),
    ('"pto.zzzzzzzz"() : () -> ()', r"bad.pto:4:3: unknown op 'pto.zzzzzzzz'$"),
    ('"pto.tadd"(%a %b) : () -> ()', r"bad.pto:4:17: 'pto.tadd': expected '\)'; got '%b'"),
    ('"pto.tadd"(%a, %b, %a)', r"bad.pto:5:3: 'pto.tadd': expected ':'; got 'return'"),
    ('"pto.section.cube"() (region) : () -> ()', r"bad.pto:4:25: 'pto.section.cube': expected '{'; got 'region'"),
    ("pto.set_flag[<PIPE_V>, <PIPE_S>]", r"bad.pto:4:34: 'pto.set_flag': expected ','; got '\]'"),
    ("pto.set_flag[PIPE_V, <PIPE_S>, <EVENT_ID0>]", r"bad.pto:4:16: 'pto.set_flag': expected an attribute; got 'PIPE_V'"),
    ("pto.set_flag[, <PIPE_S>, <EVENT_ID0>]", r"bad.pto:4:16: 'pto.set_flag': expected an attribute; got ','"),
    ("pto.barrier", r"bad.pto:5:3: 'pto.barrier': expected an attribute; got 'return'; the form is: pto.barrier PIPE {attributes}"),
    ("%q = pto.addptr %p : <f32> -> <f32>", r"bad.pto:4:22: 'pto.addptr': expected ','; got ':'"),
    ("%q = pto.alloc_tile addr = 64 : " + TILE, r"bad.pto:4:30: 'pto.alloc_tile': expected an operand \(%name\); got '64'"),
    ("%q = pto.subview %a[%n, %n] : " + TILE, r"bad.pto:4:31: 'pto.subview': expected 'sizes'; got ':'"),
    ("%q = pto.make_tensor_view %p, shape = [%n], strides = [%n] : f32", r"bad.pto:4:64: .*expected a type !pto.tensor_view; got 'f32'"),
    ("pto.section.vector {", r"bad.pto:6:2: expected operation name"),
    # types
    ("%q = pto.alloc_tile : !pto.tile_buf<vec, 16x128xf32", r"bad.pto:4:38: .*'<' is not closed|bad.pto:\d+:\d+: .*expected '>'"),
    ("%q = pto.alloc_tile : !pto.tile_buf<ub, 16x128xf32>", r"bad.pto:4:25: 'pto.alloc_tile': tile_buf: unknown location 'ub'; known: vec"),
    ("%q = pto.alloc_tile : !pto.tile_buf<vec, 16xf32>", r"bad.pto:4:25: .*a shape of ROWSxCOLSxTYPE is expected; got '16xf32'"),
    ("%q = pto.alloc_tile : !pto.tile_buf<vec, 0x8xf32>", r"rows and cols must be at least 1; got 0x8"),
    ("%q = pto.alloc_tile : !pto.tile_buf<vec, 8x8xf33>", r"unknown element type 'f33'"),
    ("%q = pto.alloc_tile : !pto.tile_buf<vec, 8x8xf32, valid=9x8>", r"the valid part 9x8 is larger than the tile 8x8"),
    ("%q = pto.alloc_tile : !pto.tile_buf<loc=vec, rows=8, cols=8>", r"bad.pto:4:25: .*'dtype=' is missing"),
    ("%q = pto.alloc_tile : !pto.tile_buf<vec, 8x8xf32, fractal=7>", r"fractal must be one of 16, 32, 512, 1024; got 7"),
    ("%q = pto.alloc_tile : !pto.ptr<f32>", r"bad.pto:4:25: 'pto.alloc_tile': expected a type !pto.tile_buf; got '!pto.ptr<f32>'"),
    ("%q = pto.treshape %a : !pto.tile_view<8x8xf32> -> " + TILE, r"bad.pto:4:26: .*unknown type '!pto.tile_view'; known:"),
    # what MLIR finds
    (ADD.replace("%a, %b", "%a, %z"), r"bad.pto:4:20: use of undeclared SSA value name"),
    (ADD.replace("%a, %b", "%a, %n"), rf"bad.pto:4:20: use of value '%n' expects different type than prior uses: '{re.escape(TILE)}' vs 'index' \(prior use here: bad.pto:1:"),
    ("%a = arith.constant 1 : index", r"bad.pto:4:3: redefinition of SSA value '%a' \(previously defined here: bad.pto:2:3\)"),
    ("%q = arith.addi %n : index", r"bad.pto:4:21: expected ','"),
    ("%q = arith.nonsense %n : index", r"bad.pto:4:8: Dialect `arith' not found|bad.pto:4:8: .*unknown"),
    ("%q = arith.constant 2pto.tadd : index", r"bad.pto:4:24: unexpected 'pto.tadd'"),
    ("scf.if %n { pto.tadd = 1 }", r"bad.pto:4:\d+: "),
    ("emitc.thing", r"bad.pto:4:3: .*emitc"),
    ("%q, %r = pto.get_block_idx", r"bad.pto:4:\d+: operation defines 1 result.* but was provided 2 to bind"),
    ("}", r"bad.pto:5:3: custom op 'return' is unknown"),
]

@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_wrong_line_is_refused_with_its_place(line: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        parse(body(line), "bad.pto")
    assert str(caught.value).startswith("bad.pto:")
    assert '<"' not in str(caught.value)


def test_a_broken_rule_is_a_verify_error_with_its_place() -> None:
    mat = "!pto.tile_buf<mat, 16x128xf32>"
    text = body(f"%c = pto.alloc_tile : {mat}", f"pto.tadd ins(%a, %b : {TILE}, {TILE})", f"    outs(%c : {mat})")
    with pytest.raises(VerifyError, match=r"^bad.pto:5:3: 'pto.tadd': dst must be a vec tile; got mat"):
        parse(text, "bad.pto")


def test_every_diagnostic_is_listed() -> None:
    mat = "!pto.tile_buf<mat, 16x128xf32>"
    text = body(f"%c = pto.alloc_tile : {mat}", f"pto.tadd ins(%c, %c : {mat}, {mat}) outs(%a : {TILE})")
    with pytest.raises(VerifyError, match=r"^bad.pto:5:3: 'pto.tadd': src0 must [^\n]*\nbad.pto:5:3: 'pto.tadd': src1 must be a vec tile") as caught:
        parse(text, "bad.pto")
    assert caught.value.location == "bad.pto:5:3"


def test_a_rule_of_mlir_names_ops_as_the_text_does() -> None:
    with pytest.raises(PtocError, match=r"bad.pto:4:3: 'pto.section.cube': expects exactly 0 operands, but got 1") as caught:
        parse(body('"pto.section.cube"(%n) ({}) : (index) -> ()'), "bad.pto")
    assert "section_cube" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"pto.tadd"(%n, %n, %n) : (index, index, index) -> ()', r"are missing or of a wrong kind; got operands \(index, index, index\)"),
        (f'"pto.tadd"(%a) : ({TILE}) -> ()', r"'pto.tadd': expects exactly 3 operands, but got 1"),
        ('%q = "pto.alloc_tile"() {operandSegmentSizes = "none"} : () -> ' + TILE, r"'pto.alloc_tile': operands or attributes are missing or of a wrong kind"),
    ],
)
def test_an_op_of_wrong_kinds_in_generic_form_is_a_verify_error(line: str, message: str) -> None:
    with pytest.raises(VerifyError, match=rf"^bad.pto:4:\d+: .*{message}") as caught:
        parse(body(line), "bad.pto")
    assert "'pto." in str(caught.value)


def test_a_place_in_a_multi_line_op_is_that_of_its_token() -> None:
    text = body("pto.tadd ins(%a, %b :", f"         {TILE}, // first", "         !pto.tile_buf<vec, 16x128xf31>)", f"    outs(%a : {TILE})")
    with pytest.raises(ParseError, match=r"^bad.pto:6:12: 'pto.tadd': unknown element type 'f31'"):
        parse(text, "bad.pto")


def test_a_function_signature_is_read_too() -> None:
    with pytest.raises(ParseError, match=r"^bad.pto:2:10: unknown element type 'f31'"):
        parse("func.func private @f(!pto.ptr<f32>,\n         !pto.ptr<f31>)", "bad.pto")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("func.func @f() {", r"a.pto:1:15: expected operation name"),
        ("func.func @f() {\n  pto.section.cube {\n", r"a.pto:2:20: '{' is not closed"),
        ('module attributes {a = "no end} {\n}', r"a.pto:1:\d+: "),
        ("#pto<>", r"a.pto:1:1: expected '#pto<name VALUE>'; got '#pto<>'"),
        ("module attributes {a = #pto.layout<nd} {}", r"a.pto:1:35: '<' is not closed|a.pto:1:\d+: expected '>'; got '}'"),
        ("func.func @f(%a: !pto.eventid_array<many>)", r"a.pto:1:18: eventid_array: a number is expected; got 'many'"),
        ("func.func @f(%a: !pto.multi_tile_buf<vec, 8x8xf32>)", r"a.pto:1:18: multi_tile_buf: '<tile, count=N>' is expected"),
        ("func.func @f(%a: !pto.tensor_view<axf32>)", r"a.pto:1:18: extent: a number is expected; got 'a'"),
        ("pto.section.cube {" * 5000, r"a.pto:1:1170: brackets are nested more than 64 deep"),
        ("func.func @f(%a: () -> (" + "() -> (" * 5000, r"brackets are nested more than 64 deep"),
        ("module attributes {a = " + "[" * 100000, r"brackets are nested more than 64 deep"),
        ("%a = pto.treshape %b : " + "() -> " * 5000 + "i32 -> i32", r"a.pto:1:\d+: "),
        ("\u00fc pto.tadd", r"a.pto:1:"),
    ],
)
def test_a_wrong_text_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse(text, "a.pto")


TOKEN = re.compile(r'"[^"\n]*"|[%@#!]?[\w.]+|->|\s+|.', re.S)
EXTRA = st.sampled_from([*'{}()[]<>,:="#!%^@', "->", "pto.tadd", '"pto.tadd"', "!pto.ptr<", "#pto.pipe<", "#pto<", "loc(", "%a", "0x", "-", "}) :", "// ", "\x00", "ü", "<{"])


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SOUND), st.lists(st.tuples(st.sampled_from(["delete", "double", "replace", "insert", "cut"]), st.integers(0, 10**6), EXTRA), min_size=1, max_size=4))
@example(SOUND[0], [("cut", 40, "")])
def test_any_text_is_read_or_refused(text: str, edits: list[tuple[str, int, str]]) -> None:
    tokens = TOKEN.findall(text)
    for kind, at, extra in edits:
        k = at % max(1, len(tokens))
        if kind == "delete":
            del tokens[k : k + 1]
        elif kind == "double":
            tokens[k:k] = tokens[k : k + 1]
        elif kind == "replace":
            tokens[k : k + 1] = [extra]
        elif kind == "insert":
            tokens.insert(k, extra)
        else:
            del tokens[k:]
    module, refused = None, ""
    try:
        module = parse("".join(tokens), "fuzz.pto")
    except PtocError as error:
        refused = str(error)
    if module is None:
        assert re.match(r"fuzz\.pto(:\d+:\d+)?: ", refused)
    else:
        shown = to_text(module)
        assert to_text(parse(shown)) == shown
