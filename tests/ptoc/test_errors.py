"""The tree of errors, and that nothing else is raised on purpose."""

import ast
import inspect
from pathlib import Path

import pytest

from ptoc.dialect import errors
from ptoc.dialect.errors import PtocError

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("ptoc", "frontend", "dialect", "machine", "passes", "lowering", "codegen", "simulator", "kernels")
CLASSES = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, PtocError)}
ALLOWED = {
    "AttributeError": {"ptoc/__init__.py"},  # what __getattr__ has to raise
    "ValueError": {"machine/schema.py", "ptoc/model.py", "dialect/assembly_format.py"},  # what pydantic asks of its validators; an op class whose format is no format
    "NotAdmittedError": {"simulator/reach.py"},  # caught where it is asked for
}
"""Other exceptions that are raised, and where; AssertionError, for bugs of our own, may be raised anywhere."""


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn, path = {}, []
    for line in inspect.getdoc(errors).split("\n")[2:]:
        depth = (len(line) - len(line.lstrip())) // 2
        path = [*path[:depth], line.split()[0]]
        drawn[path[-1]] = path[-2] if depth else "Exception"
    assert drawn == {name: cls.__base__.__name__ for name, cls in CLASSES.items()}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_error_begins_with_its_place(name: str) -> None:
    import ptoc

    assert getattr(ptoc, name) is CLASSES[name]
    assert inspect.getdoc(CLASSES[name])
    with pytest.raises(PtocError, match=r"^fa.py:41: 'pto.tadd': a rule$") as caught:
        raise CLASSES[name]("'pto.tadd': a rule", "fa.py:41")
    assert caught.value.location == "fa.py:41"
    assert str(CLASSES[name]("a rule")) == "a rule"


def raised(path: Path) -> set[str]:
    """Names of the exceptions that a file raises by calling a class."""
    calls = [n.exc for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id[0].isupper()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_only_errors_of_the_tree_are_raised(folder: str) -> None:
    found = {path.relative_to(ROOT).as_posix(): raised(path) - {*CLASSES, 'AssertionError'} for path in (ROOT / folder).rglob("*.py")}
    wrong = {path: names - {n for n in names if path in ALLOWED.get(n, ())} for path, names in found.items()}
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_error_is_swallowed_whole(folder: str) -> None:
    wrong = []
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and all(isinstance(s, ast.Pass) for s in node.body):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []
