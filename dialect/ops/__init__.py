"""The ops of the pto dialect, one file per unit.  Importing this package declares them all."""

from . import cube, elementwise, moves, pipes, reduce_expand, structure, sync  # noqa: F401
