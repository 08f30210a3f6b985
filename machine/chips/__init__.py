"""Chip files."""
