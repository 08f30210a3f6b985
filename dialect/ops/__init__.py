"""The ops of the pto dialect, one file per unit.  Importing this package declares them all."""

from . import cube, elementwise, expand, expand_columns, moves, pipes, reduce, reduce_columns, structure, sync  # noqa: F401
