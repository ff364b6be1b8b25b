"""Schedulers: by name, with their options, their steps, and their noise from outside."""
