"""What a KERNEL argument names: a shipped kernel, `file.py[:function]`, a `.pto` file or a `.sim.mlir` file."""

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from ptoc.dialect.errors import ArgumentError, ParseError, PtocError
from ptoc.frontend import Kernel
from ptoc.machine.chip import Chip, load_chip


@dataclass(frozen=True)
class Source:
    """A kernel to compile or run: one in Python (`kernel`), or text (`text`, in the form "pto" or "sim", of `file`)."""

    name: str
    kernel: Kernel | None = None
    text: str = ""
    form: str = "python"
    file: str = ""


DEFAULT_CHIP = "ascend910b1"


def chip_of(source: Source, chip: str | Chip | None) -> Chip:
    """The chip that is asked for, else the one that a kernel is made for, else the default.  Raises ChipError for one that there is not."""
    return chip if isinstance(chip, Chip) else load_chip(chip or (source.kernel.chip if source.kernel else "") or DEFAULT_CHIP)


def shipped_names() -> list[str]:
    """Names of the kernels that come with ptoc."""
    folder = Path(importlib.import_module("ptoc.kernels").__file__).parent
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def shipped_kernel(name: str, function: str = "") -> Kernel:
    """A kernel that comes with ptoc, by its file's name; `function`: another one of that file.  Raises ArgumentError that lists the names."""
    if name not in shipped_names():
        raise ArgumentError(f"no kernel is called '{name}'; shipped kernels: {', '.join(shipped_names())}; or give file.py:function or file.pto")
    kernels = {n: value for n, value in vars(importlib.import_module(f"ptoc.kernels.{name}")).items() if isinstance(value, Kernel)}
    if (function or name) not in kernels:
        raise ArgumentError(f"the file of kernel {name} has no kernel '{function}'; it has: {', '.join(kernels)}")
    return kernels[function or name]


def load_source(text: str) -> Source:
    """What the command line's KERNEL names.

    Raises: ArgumentError for a name or file that does not exist, ParseError for Python that does not load.
    """
    path, _, function = text.partition(":")
    if path.endswith(".py"):
        kernel = _from_file(Path(path), function)
        return Source(kernel.name, kernel)
    if path.endswith((".pto", ".mlir")):
        file = Path(path)
        if not file.is_file():
            raise ArgumentError(f"no file '{path}'")
        try:
            content = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ArgumentError(f"{path}: cannot be read as text: {error}") from None
        return Source(file.name.split(".")[0], None, content, "sim" if path.endswith(".sim.mlir") else "pto", path)
    kernel = shipped_kernel(path, function)
    return Source(kernel.name, kernel)


def load_kernel(text: str) -> Kernel:
    """The Python kernel that `text` names (a shipped name or file.py:function)."""
    source = load_source(text)
    if source.kernel is None:
        raise ArgumentError(f"'{text}' is no Python kernel")
    return source.kernel


def _from_file(path: Path, function: str) -> Kernel:
    if not path.is_file():
        raise ArgumentError(f"no file '{path}'")
    spec = importlib.util.spec_from_file_location(f"_ptoc_kernel_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except PtocError:
        raise
    except SyntaxError as error:
        raise ParseError(f"not Python: {error.msg}", f"{path.name}:{error.lineno or 1}") from None
    except Exception as error:
        raise ParseError(f"{type(error).__name__}: {error}", f"{path.name}:{_line_in(error, path)}") from error
    finally:
        sys.path.pop(0)
    kernels = {name: value for name, value in vars(module).items() if isinstance(value, Kernel)}
    if function:
        if function not in kernels:
            raise ArgumentError(f"{path.name} has no kernel '{function}'; it has: {', '.join(kernels) or 'none'}")
        return kernels[function]
    if len(kernels) != 1:
        raise ArgumentError(f"{path.name} has {len(kernels)} kernels ({', '.join(kernels) or 'none'}); name one: {path.name}:FUNCTION")
    return next(iter(kernels.values()))


def _line_in(error: Exception, path: Path) -> int:
    line, trace = 0, error.__traceback__
    while trace:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
