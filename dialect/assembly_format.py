"""The assembly format of an op class, compiled: MLIR's declarative mini-language as a tree of elements.

    `literal`  $operand  $variadic  $attribute  $region  type($x)  attr-dict  ( ... $anchor^ ... )?

`format` is one text, or a tuple of them: the reader takes the first that fits, the writer the first that can show the op.
"""

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

_TOKENS = re.compile(r"`([^`]+)`|\$(\w+)|type\(\$(\w+)\)|(attr-dict)|(\()|(\)\?)|(\))|(\^)|(\S)")


@dataclass(frozen=True)
class Element:
    """One piece of a format.

    kind: literal | operand | variadic | attribute | region | type | types | attr-dict | group; `name` is the literal's text or the
    field's name, `children` and `anchor` belong to groups, `before_colon` tells an attribute that a ':' follows it, `leaves` a
    variadic operand how many single ones come after it in the same list (`$srcs `,` $tmp`).
    """

    kind: str
    name: str = ""
    children: tuple["Element", ...] = ()
    anchor: "Element | None" = None
    before_colon: bool = False
    leaves: int = 0


@dataclass(frozen=True)
class OpText:
    """What the reader and the writer know of an op class.

    `name` is the inner name, `spelling` the one in text; `operands` maps names to single | optional | variadic, `fits` a field to the
    mnemonic that its type must have (`tile_buf`), where the class says so.
    """

    cls: type
    name: str
    spelling: str
    operands: dict[str, str]
    results: tuple[str, ...]
    regions: tuple[str, ...]
    fits: dict[str, str]
    formats: tuple[tuple[Element, ...], ...]
    typed: frozenset[str]

    @property
    def segmented(self) -> bool:
        """True where operandSegmentSizes tells which operands are there."""
        return any(segment != "single" for segment in self.operands.values())

    @property
    def enums(self) -> dict[str, str]:
        """Attributes that may be written as `<VALUE>` alone: name to mnemonic."""
        return getattr(self.cls, "enums", {})

    def unspelled(self, name: str) -> Any:
        """The type of an operand or result that the format does not spell: text, or a function of the other types' records."""
        facts = getattr(self.cls, "operand_types" if name in self.operands else "result_types", {})
        return facts.get(name, "index")

    def __hash__(self) -> int:
        return hash(self.name)


@cache
def op_text(name: str, cls: type) -> OpText:
    """The compiled format of the class that is registered under an inner name."""
    kinds = {"OperandDef": [], "ResultDef": [], "RegionDef": []}
    for field in cls._fields:
        kinds.setdefault(type(field).__name__, []).append(field)
    operands = {field.name: field.variadicity.name for field in kinds["OperandDef"]}
    values = kinds["OperandDef"] + kinds["ResultDef"]
    fits = {f.name: f.constraint.type_name.split(".", 1)[1] for f in values if hasattr(f.constraint, "type_name")}
    regions = tuple(f.name for f in kinds["RegionDef"])
    formats = (cls.format,) if isinstance(cls.format, str) else tuple(cls.format)
    results = tuple(f.name for f in kinds["ResultDef"])
    compiled = tuple(compile_format(text, operands, results, regions) for text in formats)
    typed = frozenset(re.findall(r"type\(\$(\w+)\)", " ".join(formats)))
    return OpText(cls, name, cls.spelling, operands, results, regions, fits, compiled, typed)


def compile_format(text: str, operands: dict[str, str], results: tuple[str, ...] = (), regions: tuple[str, ...] = ()) -> tuple[Element, ...]:
    """The elements of one format.  Raises ValueError where the format is wrong (a bug of the class, not of a user's text)."""
    stack: list[list[Any]] = [[]]
    anchors: list[Element | None] = [None]
    for literal, field, typed, dictionary, opening, optional, closing, anchor, other in _TOKENS.findall(text):
        here = stack[-1]
        if literal:
            if literal == ":" and here and here[-1].kind == "attribute":
                here[-1] = Element("attribute", here[-1].name, before_colon=True)
            here.append(Element("literal", literal))
        elif field:
            kind = "region" if field in regions else "attribute"
            if field in operands:
                kind = "variadic" if operands[field] == "variadic" else "operand"
            here.append(Element(kind, field))
        elif typed:
            if typed not in operands and typed not in results:
                raise ValueError(f"format '{text}': type(${typed}) names no operand and no result")
            here.append(Element("types" if operands.get(typed) == "variadic" else "type", typed))
        elif dictionary:
            here.append(Element("attr-dict"))
        elif opening:
            stack.append([])
            anchors.append(None)
        elif optional and len(stack) > 1:
            children = tuple(stack.pop())
            anchored = anchors.pop()
            if anchored is None:
                raise ValueError(f"format '{text}': an optional group has no anchor")
            stack[-1].append(Element("group", "", children, anchored))
        elif anchor and here:
            anchors[-1] = here[-1]
        else:
            raise ValueError(f"format '{text}': unexpected '{optional or closing or anchor or other}'")
    if len(stack) > 1:
        raise ValueError(f"format '{text}': a group is not closed")
    return _with_leaves(stack[0])


def _with_leaves(elements: list[Element]) -> tuple[Element, ...]:
    for k, element in enumerate(elements):
        if element.kind != "variadic":
            continue
        leaves = 0
        while [e.kind for e in elements[k + 1 + 2 * leaves : k + 3 + 2 * leaves]] == ["literal", "operand"] and elements[k + 1 + 2 * leaves].name == ",":
            leaves += 1
        elements[k] = replace(element, leaves=leaves)
    return tuple(elements)


@cache
def usage(op: OpText) -> str:
    """The form of an op as a user would write it: `pto.tadd ins(%src0, %src1 : type, type) outs(%dst : type) {attributes}`."""
    from .assembly_scan import join

    return join(op.spelling, _shown(op.formats[0]))


def _shown(elements: tuple[Element, ...]) -> list[str]:
    parts: list[str] = []
    for element in elements:
        if element.kind == "group":
            inner = _shown(element.children)
            parts += ["[" + inner[0], *inner[1:-1], inner[-1] + "]"] if len(inner) > 1 else [f"[{inner[0]}]"]
        elif element.kind == "literal":
            parts.append(element.name)
        else:
            parts.append(
                {
                    "operand": f"%{element.name}",
                    "variadic": f"%{element.name}...",
                    "attribute": element.name.upper(),
                    "region": "{ ... }",
                    "type": "type",
                    "types": "types",
                    "attr-dict": "{attributes}",
                }[element.kind]
            )
    return parts
