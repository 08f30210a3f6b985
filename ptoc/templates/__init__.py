"""Jinja templates of reports."""
