"""One op in custom form, by one format: what its class says is shown, and nothing is left out."""

import re
from dataclasses import dataclass

from .assembly_format import Element, OpText
from .assembly_scan import Scanner, join
from .assembly_symbols import Symbols

_I64 = re.compile(r"(-?\d+) : i64")
_TYPED = re.compile(r"\S+ : \w+")
_SHORT = re.compile(r"#pto(?:\.(\w+)<(.*)>|<(\w+) (.*)>)", re.S)


class CannotShow(Exception):
    """The format at hand does not express this instance."""


@dataclass
class Generic:
    """One op as MLIR prints it."""

    op: OpText
    values: dict[str, list[str]]
    types: dict[str, list[str]]
    regions: dict[str, str]
    attributes: dict[str, str]


class Shower:
    """Shows one op by one format."""

    def __init__(self, generic: Generic, symbols: Symbols) -> None:
        self.generic = generic
        self.symbols = symbols
        self.left = dict(generic.attributes)
        self.seen: set[str] = set()
        self.typed: set[str] = set()
        self.skipped: set[str] = set()
        self.ambiguous = False
        self.dictionary = -1
        self.parts: list[str] = []

    def show(self, elements: tuple[Element, ...]) -> str:
        """The op's custom form, or CannotShow where the format leaves something out."""
        generic = self.generic
        self._elements(elements)
        hidden = [name for name, values in (*generic.values.items(), *generic.regions.items()) if values and name not in self.seen]
        if hidden or (self.left and self.dictionary < 0):
            raise CannotShow
        for name, texts in generic.types.items():
            if name not in self.typed and any(text != self._fact(name) for text in texts):
                raise CannotShow
        if self.left:
            shown = ", ".join(f"{key} = {self._plain(value)}" if value else key for key, value in self.left.items())
            self.parts.insert(self.dictionary, f"{{{shown}}}")
        return join(generic.op.spelling, self.parts)

    def _fact(self, name: str) -> str:
        op = self.generic.op
        fact = op.unspelled(name)
        if callable(fact):
            scan = Scanner("", "")
            fact = fact({n: self.symbols.record(scan, self.generic.types[n][0]) for n in self.typed if self.generic.types[n]})
        return self.symbols.fact(fact)

    def _elements(self, elements: tuple[Element, ...]) -> None:
        for element in elements:
            if element.kind != "group":
                self._element(element)
            elif self._present(element.anchor):
                self._elements(element.children)
            else:
                self.skipped.add(_start(element.children[0]))

    def _present(self, anchor: Element) -> bool:
        generic, name = self.generic, anchor.name
        if anchor.kind == "attribute":
            return name in generic.attributes
        if anchor.kind == "region":
            return bool(generic.regions.get(name))
        return name in generic.op.results or bool(generic.values.get(name))

    def _element(self, element: Element) -> None:
        if element.kind == "attr-dict":
            self.dictionary = len(self.parts)
            return
        self.ambiguous |= _start(element) in self.skipped
        self.skipped.clear()
        self.parts += {
            "literal": self._literal,
            "operand": self._operand,
            "variadic": self._operands,
            "type": self._type,
            "types": self._type,
            "attribute": self._attribute,
            "region": self._region,
        }[element.kind](element)

    def _literal(self, element: Element) -> list[str]:
        return [element.name]

    def _operand(self, element: Element) -> list[str]:
        self.seen.add(element.name)
        values = self.generic.values.get(element.name)
        if not values or len(values) > 1:
            raise CannotShow
        return values

    def _operands(self, element: Element) -> list[str]:
        self.seen.add(element.name)
        values = self.generic.values[element.name]
        return [", ".join(values)] if values else []

    def _type(self, element: Element) -> list[str]:
        self.typed.add(element.name)
        types = self.generic.types.get(element.name)
        if not types and element.kind == "type":
            raise CannotShow
        return [", ".join(self.symbols.outside(text) for text in types)] if types else []

    def _attribute(self, element: Element) -> list[str]:
        value = self.left.pop(element.name, "")
        if not value:
            raise CannotShow
        text = self._plain(value)
        if element.before_colon and _TYPED.fullmatch(text):
            raise CannotShow
        short = _SHORT.fullmatch(text)
        if short and (short[1] or short[3]) == self.generic.op.enums.get(element.name):
            return [f"<{short[2] or short[4]}>"]
        return [text]

    def _region(self, element: Element) -> list[str]:
        self.seen.add(element.name)
        if element.name not in self.generic.regions:
            raise CannotShow
        return ["{" + self.generic.regions[element.name] + "}"]

    def _plain(self, value: str) -> str:
        number = _I64.fullmatch(value)
        return number[1] if number else self.symbols.outside(value)


def _start(element: Element) -> str:
    return element.name if element.kind == "literal" else {"operand": "%", "variadic": "%", "region": "{"}.get(element.kind, element.kind)
