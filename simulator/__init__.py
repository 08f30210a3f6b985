"""Elaboration, the event engine, values, the synchronisation checker, traces."""
