"""Comparisons: every combination of recipes, values, prompts and seeds drawn, measured, and shown on one page."""
