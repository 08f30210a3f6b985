"""The shipped kernels, each with its numpy reference and cases; loaded by name."""
