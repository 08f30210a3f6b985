"""Passes: pto in, pto out.  `pipeline.PIPELINE` is their order."""
