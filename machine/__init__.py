"""Chips: their files, their strict loader, the prices of work."""
