"""A run: checked, planned and carried out, and whoever watches it."""
