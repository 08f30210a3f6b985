"""ptoc: compiler and simulator for NPU tile kernels."""
