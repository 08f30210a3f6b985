"""Scheduled pto to the simulator IR."""

from .to_sim import lower

__all__ = ["lower"]
