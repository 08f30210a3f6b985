"""inline-calls and lower-events: what they refuse.  What they do: lit_tests/foreign/calls_and_events.pto."""

import pytest

from ptoc.dialect import assembly
from ptoc.dialect.errors import NotSupportedError
from ptoc.passes.inline_calls import InlineCalls


def inlined(text):
    module = assembly.parse(text, "k.pto")
    with module.context:
        InlineCalls().run(module, None)
    return assembly.to_text(module)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("func.func private @f()\nfunc.func @k() { func.call @f() : () -> ()\n return }", "k.pto:2: 'func.call': @f has no body in this file"),
        ("func.func @k() { return }\nfunc.func @f() { func.call @g() : () -> ()\n return }\nfunc.func @g() { func.call @g() : () -> ()\n return }", "@g calls itself"),
        (
            "func.func @k() { %0 = func.call @f() : () -> i32\n return }\n"
            "func.func @f() -> i32 attributes {pto.kernel_kind = #pto.kernel_kind<cube>} { %c = arith.constant 1 : i32\n return %c : i32 }",
            "a function of the cube core cannot return values",
        ),
    ],
)
def test_calls_that_cannot_be_inlined_are_refused(text, message):
    with pytest.raises(NotSupportedError) as caught:
        inlined(text)
    assert message in str(caught.value)


def test_a_function_is_inlined_wherever_it_is_called_with_its_results():
    text = inlined(
        "func.func @k(%a: i32) -> i32 { %0 = func.call @f(%a) : (i32) -> i32\n %1 = func.call @f(%0) : (i32) -> i32\n return %1 : i32 }\n"
        "func.func @f(%x: i32) -> i32 { %y = arith.addi %x, %x : i32\n return %y : i32 }"
    )
    assert text.count("arith.addi") == 2 and "func.call" not in text and "@f" not in text
