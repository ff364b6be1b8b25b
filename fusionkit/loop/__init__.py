"""The loop, what its hooks are asked about, and what it needs of a model and a scheduler."""
