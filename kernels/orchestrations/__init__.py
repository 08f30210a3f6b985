"""Programs that submit kernels as tasks (`ptoc.Tasks`)."""
