"""Fidelity: device measurements simulated with frozen bench kernels, and the error of each (`ptoc fidelity`)."""
