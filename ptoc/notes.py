"""Priced cycles of each command, for the comments of emitted C++."""

from typing import Any


def priced_notes(compiled: Any) -> dict:
    """Notes by op; none yet."""
    return {}
