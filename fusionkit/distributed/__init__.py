"""Several devices, or machines, at one picture or at many: a pool hands tasks to workers that hold the models."""
