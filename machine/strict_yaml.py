"""YAML files read strictly: a key given twice, a key that nothing knows, a missing one or a wrong value is an error that names file and key."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ptoc.dialect.errors import PtocError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """The base of what such files hold: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Safe YAML in which a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [str(key) for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key '{twice[0]}' is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_strictly(path: Path, model: type[Model], error: type[PtocError]) -> Model:
    """The content of a file as `model`.  Raises `error` that begins with the file's name, and its line where YAML itself is broken."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as trouble:
        raise error(f"cannot be read as text: {trouble}", str(path)) from None
    except yaml.YAMLError as trouble:
        mark = getattr(trouble, "problem_mark", None)
        raise error(f"not YAML: {getattr(trouble, 'problem', None) or trouble}", f"{path}:{mark.line + 1}" if mark else str(path)) from None
    if not isinstance(tree, dict):
        raise error(f"a mapping of the keys {', '.join(model.model_fields)} is expected; got {type(tree).__name__}", str(path))
    return validated(tree, model, error, str(path))


def validated(tree: dict[str, Any], model: type[Model], error: type[PtocError], file: str = "") -> Model:
    """A mapping as `model`.  Raises `error`."""
    try:
        return model.model_validate(tree)
    except ValidationError as trouble:
        raise error(_first(trouble), file) from None


def _first(trouble: ValidationError) -> str:
    """The first thing that is wrong, in one sentence: key, what is expected, what was got."""
    detail = trouble.errors()[0]
    key = ".".join(re.sub(r"\[.*", "", str(part)) for part in detail["loc"] if str(part) not in ("int", "float", "bool", "str"))
    more = f" (and {trouble.error_count() - 1} more)" if trouble.error_count() > 1 else ""
    if detail["type"] == "missing":
        return f"key '{key}' is missing{more}"
    if detail["type"] == "extra_forbidden":
        return f"unknown key '{key}'{more}"
    if detail["type"] == "value_error":
        return f"key '{key}': {detail['ctx']['error']}{more}"
    got = detail["input"]
    shown = "a mapping" if isinstance(got, dict) else "a list" if isinstance(got, list) else repr(got)
    return f"key '{key}': expected {detail['msg'].removeprefix('Input should be ')}, got {shown}{more}"
