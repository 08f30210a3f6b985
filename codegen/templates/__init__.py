"""Frames of the emitted files: kernel, launcher, build script, runner; and the CPU driver with its shims."""
