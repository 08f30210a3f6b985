"""Which programs there are, without importing what runs them."""

import importlib.util
from pathlib import Path


def programs_folder() -> Path:
    """Where the shipped programs lie."""
    return Path(importlib.util.find_spec("ptoc.kernels").origin).parent / "programs"


def program_names() -> list[str]:
    """Names of the shipped programs."""
    return sorted(path.stem for path in programs_folder().glob("*.yaml"))


def is_program(text: str) -> bool:
    """Whether what a command line names is a program: a .yaml file, or a shipped program."""
    return text.endswith((".yaml", ".yml")) or text in program_names()
