"""Arguments of files that come as text: extents from what the views reach, integers from their uses as bounds."""

from typing import Any

import numpy as np

from ptoc.dialect.errors import NotSupportedError

from .arguments import Arguments
from .compiled import Compiled


def foreign_arguments(compiled: Compiled, definitions: dict[str, str], blocks: int, inputs: dict[str, np.ndarray]) -> Arguments:
    """Arguments of a kernel that came as text."""
    raise NotSupportedError(f"{compiled.name}: running text files is not supported yet")
