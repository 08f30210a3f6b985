"""The plan of the house, held against the files: who imports whom, what a file may be called, what is documented and installed."""

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptoc.dialect import ops  # noqa: F401  (declares the ops)
from ptoc.dialect.op import REGISTRY
from ptoc.passes.pipeline import PIPELINE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest there

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "ptoc": {"frontend", "dialect", "machine", "passes", "lowering", "codegen", "simulator", "fidelity"},
    "frontend": {"dialect"},
    "dialect": {"machine"},
    "machine": {"dialect.errors"},
    "passes": {"dialect", "machine"},
    "lowering": {"dialect", "machine"},
    "codegen": {"dialect", "machine"},
    "simulator": {"dialect", "machine"},
    "kernels": {"ptoc"},
    "fidelity": {"ptoc", "frontend", "dialect", "machine", "simulator"},
}
"""The arrows of ARCHITECTURE.md; a dotted name allows that module alone."""

FOLDERS = {folder: ROOT / folder for folder in MAY_IMPORT} | {"fidelity": ROOT / "benchmarks" / "fidelity"}
"""Where the sources of a package stand."""

FOREIGN = {"numpy", "jinja2", "yaml", "pydantic", "click", "ml_dtypes", "mlir", "torch_mlir", "numba"}
WHERE_FOREIGN = {"jinja2": {"codegen", "ptoc"}, "yaml": {"machine", "ptoc"}, "pydantic": {"machine", "ptoc"}, "click": {"ptoc"}, "ml_dtypes": {"dialect"}, "numba": {"simulator"}}
"""Packages that one folder alone needs."""


def sources(folder: str) -> list[Path]:
    """The Python files of a folder."""
    return sorted(FOLDERS[folder].rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every absolute import of a file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def allowed(folder: str, name: str) -> bool:
    """Whether a folder may import a name."""
    top, *rest = name.split(".")
    if top != "ptoc":
        return top in sys.stdlib_module_names or (top in FOREIGN and folder in WHERE_FOREIGN.get(top, MAY_IMPORT))
    if not rest or rest[0] not in MAY_IMPORT:
        return "ptoc" in MAY_IMPORT[folder] or folder == "ptoc"
    wanted = ".".join(rest)
    return any(wanted == arrow or wanted.startswith(f"{arrow}.") for arrow in {folder, *MAY_IMPORT[folder]})


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_follow_the_arrows(folder: str) -> None:
    wrong = [f"{path.relative_to(ROOT)}:{line}: {name}" for path in sources(folder) for line, name in imports(path) if not allowed(folder, name)]
    assert sources(folder)
    assert wrong == []


def test_an_arrow_that_runs_the_wrong_way_is_seen() -> None:
    assert not allowed("codegen", "ptoc.simulator.engine")
    assert not allowed("simulator", "ptoc.codegen.emit")
    assert not allowed("dialect", "ptoc.frontend")
    assert not allowed("machine", "ptoc.dialect.op")
    assert not allowed("kernels", "ptoc.dialect.op.record")
    assert not allowed("passes", "jinja2")
    assert allowed("machine", "ptoc.dialect.errors.ChipError")


def test_only_one_module_imports_the_bindings() -> None:
    users = {path.relative_to(ROOT).as_posix() for folder in MAY_IMPORT for path in sources(folder) for _, name in imports(path) if name.split(".")[0] in ("mlir", "torch_mlir")}
    assert users == {"dialect/mlir.py"}


def test_imports_within_a_package_are_relative() -> None:
    packages = [f for f in MAY_IMPORT if f not in ("ptoc", "kernels")]
    wrong = [f"{path.relative_to(ROOT)}:{line}" for folder in packages for path in sources(folder) for line, name in imports(path) if name.startswith(f"ptoc.{folder}.")]
    assert wrong == []


@pytest.mark.parametrize("folder", [f for f in MAY_IMPORT if f != "ptoc"])
def test_a_folder_is_no_package_of_its_own(folder: str, tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"No module named '{folder}'" in run.stderr


def test_import_ptoc_imports_nothing(tmp_path: Path) -> None:
    program = "import sys; before = set(sys.modules); import ptoc; print(sorted(n for n in set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in ast.literal_eval(run.stdout)}
    assert "ptoc" in loaded
    assert not loaded & {*FOREIGN, "click"}
    assert not any(name.startswith("ptoc.") for name in ast.literal_eval(run.stdout))


def test_public_names_exist() -> None:
    ptoc = importlib.import_module("ptoc")
    missing = [name for name in dir(ptoc) if not hasattr(ptoc, name)]
    assert {"kernel", "Tensor", "tile", "load", "matmul", "run", "range", "PtocError"} <= set(dir(ptoc))
    assert missing == []
    with pytest.raises(AttributeError, match="module 'ptoc' has no attribute 'nonsense'"):
        ptoc.nonsense  # noqa: B018


def test_names_say_what_is_inside() -> None:
    vague = re.compile(r"(util|helper|manager|handler|common|misc)")
    assert [str(path) for folder in MAY_IMPORT for path in sources(folder) if vague.search(path.stem)] == []


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_every_module_says_what_it_is(folder: str) -> None:
    bare = [path.relative_to(ROOT).as_posix() for path in sources(folder) if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert bare == []


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_op_is_documented(name: str) -> None:
    doc = inspect.getdoc(REGISTRY[name])
    assert "__doc__" in vars(REGISTRY[name])
    assert doc
    assert len(doc) > 10


def test_there_are_at_least_a_hundred_ops() -> None:
    assert len(REGISTRY) >= 100


@pytest.mark.parametrize("one", PIPELINE, ids=lambda p: p.name)
def test_every_pass_says_what_it_needs_leaves_and_raises(one: object) -> None:
    module = inspect.getmodule(type(one))
    text = f"{inspect.getdoc(module)}\n{inspect.getdoc(type(one))}"
    assert Path(module.__file__).stem.replace("_", "-") == one.name
    assert inspect.getdoc(module).startswith(f"{one.name}: ")
    for word in ("before", "after", "needs", "leaves", "raises"):
        assert word in text.lower(), word


def test_all_packages_are_installed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {package_of(init.parent, folder): init.parent for folder in MAY_IMPORT for init in FOLDERS[folder].rglob("__init__.py")}
    assert set(setuptools["packages"]) == set(packages)
    assert setuptools["package-dir"] == {name: path.relative_to(ROOT).as_posix() for name, path in packages.items()}
    with_python = {path.parent for folder in MAY_IMPORT for path in sources(folder)}
    assert with_python == set(packages.values())


def package_of(path: Path, folder: str) -> str:
    """The package that a folder with sources of `folder` is installed as."""
    inside = path.relative_to(FOLDERS[folder]).parts
    return ".".join([*(("ptoc",) if folder == "ptoc" else ("ptoc", folder)), *inside])


def test_data_files_are_installed() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    for folder in MAY_IMPORT:
        for path in FOLDERS[folder].rglob("*.*"):
            if path.suffix in (".py", ".pyc"):
                continue
            package = next(parent for parent in path.parents if (parent / "__init__.py").exists())
            patterns = data.get(package_of(package, folder), [])
            assert any(path.relative_to(package).match(pattern) for pattern in patterns), path


def docs_generator() -> object:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("_docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_of_the_docs_are_up_to_date() -> None:
    pages = docs_generator().pages()
    assert set(pages) == {"ops.md", "passes.md", "errors.md", "cli.md", "kernels.md"}
    for name, text in pages.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"docs/{name} is out of date: run 'python docs/generate.py'"


def test_architecture_is_short_and_names_every_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    folders = [path.relative_to(ROOT).as_posix() for path in FOLDERS.values()]
    assert [folder for folder in (*folders, "tests", "lit_tests", "benchmarks", "docs") if f"`{folder}/`" not in text] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")), ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
