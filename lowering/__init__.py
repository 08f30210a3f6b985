"""Scheduled pto to the simulator IR."""

from . import event_rules, link_rules, pipe_rules, tile_rules  # noqa: F401  (register their rules with `lower_op`)
from .to_sim import lower

__all__ = ["lower"]
