"""The ops of the pto dialect, one file per unit.  Importing this package declares them all."""

from . import (  # noqa: F401
    bitwise,
    compare,
    convert,
    copies,
    cube,
    elementwise,
    expand,
    expand_columns,
    fills,
    moves,
    partial,
    pipes,
    reduce,
    reduce_columns,
    remainder,
    scalar_ops,
    structure,
    sync,
    unary,
)
