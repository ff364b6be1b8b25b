"""What is kept of a run while it lasts, and how it goes on from there."""

EVERY = 60.0
"""Seconds from one checkpoint to the next, unless somebody says otherwise."""
